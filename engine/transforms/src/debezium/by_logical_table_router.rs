//! `ByLogicalTableRouter`: sends the change events of several tables to one topic, and tells their
//! keys apart.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StructArray};
use millrace_api::config::validators::{all_of, non_empty_string, regex};
use millrace_api::config::{Config, Validator, invalid_value};
use millrace_api::data::{
    Column, Field, Kind, Records, RowError, Schema, SchemaBuilder, SchemaRef, Struct, Value,
};
use millrace_api::{Props, Result, Transformation};

use super::event::{field_names, is_envelope, no_field, null_pointer, required_struct};
use super::schema_names::{Adjustment, mode};
use crate::each_value::refuse_all;
use crate::null_defaults::NullDefaults;
use crate::pattern::{Pattern, Replacement};
use crate::refused::Refused;
use crate::schema_cache::SchemaCache;
use crate::schemas::{Fields, with_basics};
use crate::struct_array::struct_array;

const PURPOSE: &str = "Updating schema";

#[derive(Config, Debug)]
pub(crate) struct ByLogicalTableRouterConfig {
    /// What the name of a topic must match, as a whole, for its records to go elsewhere.
    #[config(key = "topic.regex", importance = Low, validate = topic_regex)]
    topic_regex: String,
    /// The topic they go to; groups of the expression are $1 or ${name}.
    #[config(key = "topic.replacement", importance = Low, validate = non_empty_string)]
    topic_replacement: String,
    /// Whether keys get a field that says which table they are of: keys of several tables may be
    /// the same.
    #[config(key = "key.enforce.uniqueness", importance = Low, default = true)]
    key_enforce_uniqueness: bool,
    /// What the topic's name must match, as a whole, for that field to hold anything but the name.
    #[config(key = "key.field.regex", importance = Low)]
    key_field_regex: Option<String>,
    /// What the field holds then; groups of the expression are $1 or ${name}.
    #[config(key = "key.field.replacement", importance = Low)]
    key_field_replacement: Option<String>,
    /// What the field is called.
    #[config(key = "key.field.name", importance = Low, default = "__dbz__physicalTableIdentifier")]
    key_field_name: String,
    /// What becomes of schemas' names that Avro does not allow: none leaves them, avro puts an
    /// underscore for each wrong character, avro_unicode its number.
    #[config(key = "schema.name.adjustment.mode", importance = Low, default = "none")]
    #[config(validate = mode)]
    schema_names: String,
    /// How many topics and schemas are remembered.
    #[config(key = "logical.table.cache.size", importance = Low, default = 16)]
    cache_size: i32,
}

fn topic_regex() -> Validator {
    all_of([non_empty_string(), regex()])
}

pub(crate) struct ByLogicalTableRouter {
    topic: (Pattern, Replacement),
    key_field: Option<KeyField>,
    names: Adjustment,
    /// What is known of topics, the latest first.
    routes: VecDeque<(Arc<str>, Option<Route>)>,
    max_routes: usize,
}

/// The field that tells the keys of tables apart.
struct KeyField {
    name: Arc<str>,
    content: Option<(Pattern, Replacement)>,
}

/// Where the records of a topic go.
struct Route {
    topic: Arc<str>,
    /// The field that keys get, and what it holds.
    identifier: Option<(Arc<str>, Arc<str>)>,
    names: Adjustment,
    keys: SchemaCache,
    values: SchemaCache,
}

/// The values of PREFIX.regex and PREFIX.replacement.
fn pair(prefix: &str, pattern: &str, replacement: &str) -> Result<(Pattern, Replacement)> {
    let pattern = Pattern::new(&format!("{prefix}.regex"), pattern)?;
    let replacement = Replacement::new(&pattern, replacement)
        .map_err(|e| e.context("key", format!("{prefix}.replacement")))?;
    Ok((pattern, replacement))
}

/// The name with its match replaced, if it matches as a whole.
fn replaced((pattern, replacement): &(Pattern, Replacement), name: &str) -> Option<String> {
    pattern.matches(name).then(|| pattern.replace_first(name, replacement)).flatten()
}

impl ByLogicalTableRouter {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = ByLogicalTableRouterConfig::parse(props)?;
        let given = config.key_field_regex.as_deref().filter(|regex| !regex.trim().is_empty());
        let replacement = config.key_field_replacement.as_deref().unwrap_or_default();
        let content = match given {
            None => None,
            Some(_) if replacement.trim().is_empty() => {
                let reason = "it must not be empty where key.field.regex is set";
                return Err(invalid_value("key.field.replacement", replacement, reason));
            }
            Some(given) => Some(pair("key.field", given, replacement)?),
        };
        let name = config.key_field_name.into();
        Ok(Box::new(Self {
            topic: pair("topic", &config.topic_regex, &config.topic_replacement)?,
            key_field: config.key_enforce_uniqueness.then_some(KeyField { name, content }),
            names: Adjustment::parse(&config.schema_names).unwrap_or(Adjustment::None),
            routes: VecDeque::new(),
            max_routes: usize::try_from(config.cache_size).unwrap_or(0).clamp(1, 10_000),
        }))
    }

    fn route(&mut self, topic: &Arc<str>) -> Option<&mut Route> {
        let known = self.routes.iter().position(|(known, _)| known == topic);
        let place = known.unwrap_or_else(|| {
            let route = self.new_route(topic);
            self.routes.truncate(self.max_routes - 1);
            self.routes.push_front((Arc::clone(topic), route));
            0
        });
        self.routes[place].1.as_mut()
    }

    fn new_route(&self, topic: &Arc<str>) -> Option<Route> {
        let new = replaced(&self.topic, topic)?;
        if new.is_empty() {
            // Nothing could be sent there.
            return None;
        }
        let identifier = self.key_field.as_ref().map(|field| {
            let content = field.content.as_ref().and_then(|content| replaced(content, topic));
            let content = content.map_or_else(|| Arc::clone(topic), Arc::from);
            (Arc::clone(&field.name), content)
        });
        Some(Route {
            topic: new.into(),
            identifier,
            names: self.names,
            keys: SchemaCache::default(),
            values: SchemaCache::default(),
        })
    }
}

/// Everything of a schema but its name and its fields.
fn without_name(builder: SchemaBuilder, schema: &Schema, name: String) -> SchemaRef {
    with_basics(builder, schema).with_optional(schema.is_optional()).name(name).build()
}

fn all_fields(schema: &Schema) -> Result<Fields> {
    field_names(schema)?;
    let mut fields = Fields::default();
    for field in schema.fields() {
        fields.push(Arc::clone(&field.name), Arc::clone(&field.schema))?;
    }
    Ok(fields)
}

/// Whether it is a row of a change event.
fn is_row(name: &str) -> bool {
    name == "before" || name == "after"
}

impl Route {
    fn key_schema(&mut self, schema: &SchemaRef) -> Result<SchemaRef> {
        let Self { topic, identifier, names, keys, .. } = self;
        keys.get(schema, || {
            let mut fields = all_fields(schema)?;
            if let Some((name, _)) = identifier {
                fields.push(Arc::clone(name), Schema::string(false))?;
            }
            let name = names.schema_name(&format!("{topic}.Key"));
            Ok(without_name(fields.into_struct(), schema, name))
        })
    }

    fn envelope_schema(&mut self, schema: &SchemaRef) -> Result<SchemaRef> {
        let Self { topic, names, values, .. } = self;
        values.get(schema, || {
            let (_, row) = schema
                .field("before")
                .ok_or_else(|| null_pointer("the change event has no before".to_owned()))?;
            let name = names.schema_name(&format!("{topic}.Value"));
            let row = without_name(all_fields(&row.schema)?.into_struct(), &row.schema, name);
            let mut fields = Fields::default();
            for Field { name, schema } in schema.fields() {
                let schema = if is_row(name) { &row } else { schema };
                fields.push(Arc::clone(name), Arc::clone(schema))?;
            }
            let name = names.schema_name(&format!("{topic}.Envelope"));
            Ok(without_name(fields.into_struct(), schema, name))
        })
    }

    /// A key that is not null: the definition.
    fn key(&mut self, key: &Value) -> Result<(SchemaRef, Value)> {
        let key = required_struct(key, PURPOSE)?;
        let schema = self.key_schema(key.schema())?;
        let mut values = copied(key)?;
        values.extend(self.identifier.iter().map(|(_, text)| Value::String(Arc::clone(text))));
        Ok((Arc::clone(&schema), Value::Struct(Struct::new(schema, values))))
    }

    /// A change event: the definition.
    fn envelope(&mut self, event: &Value) -> Result<(SchemaRef, Value)> {
        let event = required_struct(event, PURPOSE)?;
        let schema = self.envelope_schema(event.schema())?;
        let mut values = Vec::with_capacity(schema.fields().len());
        for (field, value) in schema.fields().iter().zip(event.values()) {
            let old = event.get(&field.name).unwrap_or(value);
            values.push(match is_row(&field.name) && !old.is_null() {
                true => row(&field.schema, required_struct(old, PURPOSE)?)?,
                false => NullDefaults(false).copied(field, old)?,
            });
        }
        Ok((Arc::clone(&schema), Value::Struct(Struct::new(schema, values))))
    }

    /// Keys that are not null.
    fn keys(&mut self, column: &Column, refused: &mut Refused) -> Result<Column> {
        let Column::Typed { schema, array } = column else {
            return rows(column, refused, |key| self.key(key));
        };
        if schema.kind() != Kind::Struct {
            return rows(column, refused, |key| self.key(key));
        }
        let made = match self.key_schema(schema) {
            Ok(made) => made,
            Err(error) => {
                refuse_all(column.len(), &error, refused);
                return Ok(column.clone());
            }
        };
        let structs = array.as_struct();
        let mut columns = structs.columns().to_vec();
        for (field, column) in schema.fields().iter().zip(&columns) {
            refused.push_nulls(field, column, None);
        }
        columns.extend(self.identifier.iter().map(|(_, text)| {
            let texts = std::iter::repeat_n(&**text, structs.len());
            Arc::new(StringViewArray::from_iter_values(texts)) as ArrayRef
        }));
        let array = struct_array(&made, columns, None, structs.len())?;
        Ok(Column::Typed { schema: made, array })
    }

    /// Change events, none of which is null.
    fn envelopes(&mut self, column: &Column, refused: &mut Refused) -> Result<Column> {
        let (schema, array) = match column {
            Column::Typed { schema, array } if is_regular(schema) => (schema, array),
            _ => return rows(column, refused, |event| self.envelope(event)),
        };
        let Ok(made) = self.envelope_schema(schema) else {
            return rows(column, refused, |event| self.envelope(event));
        };
        // What an array cannot hold, such as a default of too many digits, rows can.
        match envelope_array(&made, array.as_struct(), refused) {
            Ok(array) => Ok(Column::Typed { schema: made, array }),
            Err(_) => rows(column, refused, |event| self.envelope(event)),
        }
    }

    fn apply(
        &mut self,
        run: Records,
        first: usize,
        failed: &mut Vec<RowError>,
    ) -> Result<Option<Records>> {
        let mut refused = Refused::default();
        let key = match run.key.is_null(0) {
            true => Column::nulls(run.len()),
            false => self.keys(&run.key, &mut refused)?,
        };
        let value = match run.value.is_null(0) || !is_envelope(run.value.schema()) {
            true => run.value.clone(),
            false => self.envelopes(&run.value, &mut refused)?,
        };
        let topic = Arc::clone(&self.topic);
        Ok(refused.leave_out(Records { topic, key, value, ..run }, first, failed))
    }
}

/// Change events of the schema `made`, none of which is null.
fn envelope_array(
    made: &SchemaRef,
    structs: &StructArray,
    refused: &mut Refused,
) -> Result<ArrayRef> {
    let mut columns = Vec::with_capacity(structs.num_columns());
    for (field, column) in made.fields().iter().zip(structs.columns()) {
        let column = NullDefaults(true).column(&field.schema, column)?;
        if is_row(&field.name) {
            let rows = column.as_struct();
            for (field, column) in field.schema.fields().iter().zip(rows.columns()) {
                refused.push_nulls(field, column, rows.nulls());
            }
        }
        refused.push_nulls(field, &column, None);
        columns.push(column);
    }
    struct_array(made, columns, None, structs.len())
}

/// Whether both rows of events are of the same fields, and null is what it is: so they usually are.
fn is_regular(schema: &Schema) -> bool {
    let of = |name: &str| schema.field(name).map(|(_, field)| &field.schema);
    let is_plain = |row: &&SchemaRef| row.kind() == Kind::Struct && row.default().is_none();
    match (of("before").filter(is_plain), of("after")) {
        (Some(before), Some(after)) => is_plain(&after) && before.fields() == after.fields(),
        _ => false,
    }
}

/// The fields of a struct, as they are.
fn copied(of: &Struct) -> Result<Vec<Value>> {
    let fields = of.schema().fields().iter().zip(of.values());
    fields.map(|(field, value)| NullDefaults(false).copied(field, value)).collect()
}

/// A row of a change event in the schema of another, which must have its fields.
fn row(schema: &SchemaRef, old: &Struct) -> Result<Value> {
    let mut values = vec![Value::Null; schema.fields().len()];
    for (Field { name, .. }, value) in old.schema().fields().iter().zip(old.values()) {
        let (place, field) = schema.field(name).ok_or_else(|| no_field(name))?;
        values[place] = NullDefaults(false).copied(field, value)?;
    }
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

/// Changes values one by one. All that do not fail get one schema.
fn rows(
    column: &Column,
    refused: &mut Refused,
    mut change: impl FnMut(&Value) -> Result<(SchemaRef, Value)>,
) -> Result<Column> {
    let mut schema = column.schema().cloned();
    let mut values = Vec::with_capacity(column.len());
    for (row, value) in column.rows()?.iter().enumerate() {
        values.push(match change(value) {
            Ok((changed, value)) => {
                schema = Some(changed);
                value
            }
            Err(error) => {
                refused.push(row, error);
                Value::Null
            }
        });
    }
    Ok(Column::from_values(schema, values))
}

impl Transformation for ByLogicalTableRouter {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let Some(route) = self.route(&records.topic) else { return Ok(vec![records]) };
        // What is null loses its schema, or keeps it: it is a run of its own.
        let nulls = |row| (records.key.is_null(row), records.value.is_null(row));
        let mut runs = Vec::new();
        let mut start = 0;
        for row in 1..=records.len() {
            if row == records.len() || nulls(row) != nulls(start) {
                let run = records.slice(start, row - start);
                runs.extend(route.apply(run, start, failed)?);
                start = row;
            }
        }
        Ok(runs)
    }
}
