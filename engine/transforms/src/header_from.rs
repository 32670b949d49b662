//! `HeaderFrom`: copies or moves fields into headers.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use millrace_api::config::validators::one_of;
use millrace_api::config::{Config, Validator};
use millrace_api::data::json::{JsonMember, JsonObjects};
use millrace_api::data::{
    Column, Header, Headers, Kind, Records, RowError, Schema, SchemaRef, Value, json,
};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::refuse_all;
use crate::json_object;
use crate::null_defaults::NullDefaults;
use crate::picked::{Picked, not_of_its_schema};
use crate::refused::{Refused, no_map, no_struct};
use crate::schema_cache::SchemaCache;
use crate::schemas::{Fields, with_basics};
use crate::side::Side;

#[derive(Config, Debug)]
pub(crate) struct HeaderFromConfig {
    /// Field names in the record whose values are to be copied or moved to headers.
    #[config(key = "fields", importance = High, validate = non_empty)]
    fields: Vec<String>,
    /// Header names, in the same order as the field names listed in the fields configuration
    /// property.
    #[config(key = "headers", importance = High, validate = non_empty)]
    headers: Vec<String>,
    /// Either <code>move</code> if the fields are to be moved to the headers (removed from the
    /// key/value), or <code>copy</code> if the fields are to be copied to the headers (retained in
    /// the key/value).
    #[config(key = "operation", importance = High, validate = operations)]
    operation: String,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
}

/// Names may come again here.
fn non_empty() -> Validator {
    Validator::new("non-empty list", |value| match value.as_list() {
        None | Some([]) => Err("Empty list".to_owned()),
        Some(_) => Ok(()),
    })
}

fn operations() -> Validator {
    one_of(["move", "copy"])
}

/// Where the fields of a schema go.
struct Plan {
    /// The fields that become headers: places, and schemas. None when one is missing.
    fields: Option<Vec<(usize, SchemaRef)>>,
    /// What is left of the schema when fields are moved.
    left: Option<(SchemaRef, Picked)>,
}

pub(crate) struct HeaderFrom {
    side: Side,
    fields: Vec<String>,
    headers: Vec<Arc<str>>,
    moves: bool,
    purpose: &'static str,
    defaults: NullDefaults,
    plans: SchemaCache<Arc<Plan>>,
}

impl HeaderFrom {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = HeaderFromConfig::parse(props)?;
        if config.headers.len() != config.fields.len() {
            let message = "'fields' config must have the same number of elements as 'headers' \
                           config.";
            return Err(Error::config(message));
        }
        let moves = config.operation == "move";
        Ok(Box::new(Self {
            side,
            fields: config.fields,
            headers: config.headers.into_iter().map(Arc::from).collect(),
            moves,
            purpose: if moves { "header move" } else { "header copy" },
            defaults: NullDefaults(config.replace_null_with_default),
            plans: SchemaCache::default(),
        }))
    }

    fn is_moved(&self, name: &str) -> bool {
        self.moves && self.fields.iter().any(|field| field == name)
    }

    fn plan(&self, schema: &SchemaRef) -> Result<Plan> {
        let place = |name: &String| {
            schema.field(name).map(|(place, field)| (place, Arc::clone(&field.schema)))
        };
        let fields = self.fields.iter().map(place).collect();
        if !self.moves {
            return Ok(Plan { fields, left: None });
        }
        let (mut left, mut places) = (Fields::default(), Vec::new());
        for (place, field) in schema.fields().iter().enumerate() {
            if !self.is_moved(&field.name) {
                left.push(Arc::clone(&field.name), Arc::clone(&field.schema))?;
                places.push(place);
            }
        }
        let picked = Picked { places, defaults: self.defaults };
        let left = (with_basics(left.into_struct(), schema).build(), picked);
        Ok(Plan { fields, left: Some(left) })
    }

    /// What is left of the column, and the values of the new headers.
    fn with_schema(
        &mut self,
        column: &Column,
        schema: &SchemaRef,
        refused: &mut Refused,
    ) -> Result<(Column, Vec<Taken>)> {
        for row in 0..column.len() {
            if schema.kind() != Kind::Struct || column.is_null(row) {
                refused.push(row, no_struct(self.purpose, &column.value(row)?));
            }
        }
        if refused.len() == column.len() {
            return Ok((column.clone(), Vec::new()));
        }
        let mut plans = std::mem::take(&mut self.plans);
        let plan = plans.get(schema, || self.plan(schema).map(Arc::new));
        self.plans = plans;
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => {
                refuse_all(column.len(), &error, refused);
                return Ok((column.clone(), Vec::new()));
            }
        };
        let left = match &plan.left {
            Some((made, picked)) => left_of(column, made, picked, refused)?,
            None => column.clone(),
        };
        let Some(fields) = &plan.fields else {
            refuse_all(column.len(), &no_field(), refused);
            return Ok((left, Vec::new()));
        };
        let mut taken = Vec::with_capacity(fields.len());
        for (place, schema) in fields {
            let values = self.field(column, *place, schema, refused)?;
            taken.push(Taken { schema: Some(Arc::clone(schema)), values });
        }
        Ok((left, taken))
    }

    /// One field of all records.
    fn field(
        &self,
        column: &Column,
        place: usize,
        schema: &SchemaRef,
        refused: &mut Refused,
    ) -> Result<Vec<Value>> {
        let mut values = match column {
            Column::Typed { array, .. } => {
                let array = Arc::clone(array.as_struct().column(place));
                Column::Typed { schema: Arc::clone(schema), array }.rows()?.into_owned()
            }
            column => {
                let rows = column.rows()?;
                let field = |value: &Value| match value {
                    Value::Struct(fields) => fields.values()[place].clone(),
                    _ => Value::Null,
                };
                rows.iter().map(field).collect()
            }
        };
        for (row, value) in values.iter_mut().enumerate() {
            if value.is_null() {
                *value = self.defaults.taken(schema, value);
            }
            if value.is_null() && !schema.is_optional() {
                refused.push(row, null_header(schema));
            }
        }
        Ok(values)
    }

    fn schemaless(&self, column: &Column, refused: &mut Refused) -> Result<(Column, Vec<Taken>)> {
        if let Column::Objects(objects) = column {
            return Ok(self.objects(objects, refused));
        }
        let taken = || Taken { schema: None, values: vec![Value::Null; column.len()] };
        let mut taken: Vec<Taken> = self.fields.iter().map(|_| taken()).collect();
        let mut left: Vec<Option<String>> = Vec::new();
        let mut rows: Vec<Value> = Vec::new();
        for row in 0..column.len() {
            let text = match column {
                Column::Json(texts) => (!texts.is_null(row)).then(|| texts.value(row)),
                _ => None,
            };
            match text.filter(|text| json_object::is_object(text)) {
                Some(text) => match self.take_members(text, row, &mut taken) {
                    Ok(text) => left.push(Some(text)),
                    Err(error) => {
                        refused.push(row, error);
                        left.push(None);
                    }
                },
                None => {
                    let value = self.take_entries(column.value(row)?, row, &mut taken);
                    rows.push(value.unwrap_or_else(|error| {
                        refused.push(row, error);
                        Value::Null
                    }));
                    left.push(None);
                }
            }
        }
        Ok(match column {
            column if !self.moves => (column.clone(), taken),
            // Texts that are no objects were refused.
            Column::Json(_) => (Column::Json(left.into_iter().collect()), taken),
            _ => (Column::Rows { schema: None, values: rows }, taken),
        })
    }

    /// Takes the members of all objects.
    fn objects(&self, objects: &JsonObjects, refused: &mut Refused) -> (Column, Vec<Taken>) {
        for row in (0..objects.len()).filter(|row| objects.is_null(*row)) {
            refused.push(row, no_map(self.purpose, &Value::Null));
        }
        let mut value = |member: &JsonMember, row: usize| {
            let parsed = objects.text(member, row).map(json::parse).transpose();
            parsed.map(Option::unwrap_or_default).unwrap_or_else(|error| {
                refused.push(row, Error::data("value is not JSON").with_source(error));
                Value::Null
            })
        };
        let mut values = |name: &String| match objects.member(name) {
            Some(member) => (0..objects.len()).map(|row| value(member, row)).collect(),
            None => vec![Value::Null; objects.len()],
        };
        let taken = self.fields.iter().map(|name| Taken { schema: None, values: values(name) });
        let taken = taken.collect();
        let left = objects.members().iter().filter(|member| !self.is_moved(member.name()));
        let left = match self.moves {
            true => objects.with_members(left.cloned().collect()),
            false => objects.clone(),
        };
        (Column::Objects(left), taken)
    }

    /// Takes the fields of a map: the definition.
    fn take_entries(&self, value: Value, row: usize, taken: &mut [Taken]) -> Result<Value> {
        let Value::Map(mut entries) = value else {
            return Err(no_map(self.purpose, &value));
        };
        let is = |key: &Value, name: &str| matches!(key, Value::String(key) if **key == *name);
        for (name, taken) in self.fields.iter().zip(taken) {
            if let Some((_, value)) = entries.iter().find(|(key, _)| is(key, name)) {
                taken.values[row] = value.clone();
            }
        }
        entries.retain(|(key, _)| !matches!(key, Value::String(name) if self.is_moved(name)));
        Ok(Value::Map(entries))
    }

    /// Takes the members of an object's text; the text that is left.
    fn take_members(&self, text: &str, row: usize, taken: &mut [Taken]) -> Result<String> {
        let mut left = String::with_capacity(text.len());
        let mut first = true;
        let mut wrong = None;
        left.push('{');
        json_object::members(text, |member| {
            let mut is_header = false;
            for (name, taken) in self.fields.iter().zip(taken.iter_mut()) {
                if *name == *member.name {
                    is_header = true;
                    match json::parse(member.value) {
                        Ok(value) => taken.values[row] = value,
                        Err(error) => wrong = Some(error),
                    }
                }
            }
            if !is_header && self.moves {
                json_object::separate(&mut first, &mut left);
                left.push_str(member.text);
            }
        })?;
        left.push('}');
        match wrong {
            Some(error) => Err(Error::data("value is not JSON").with_source(error)),
            None => Ok(left),
        }
    }
}

/// The values of one new header.
struct Taken {
    schema: Option<SchemaRef>,
    values: Vec<Value>,
}

/// What moved fields leave behind.
fn left_of(
    column: &Column,
    made: &SchemaRef,
    picked: &Picked,
    refused: &mut Refused,
) -> Result<Column> {
    // What an array cannot hold, such as a default of too many digits, rows can.
    if let Column::Typed { array, .. } = column
        && let Ok(array) = picked.array(made, array, refused)
    {
        return Ok(Column::Typed { schema: Arc::clone(made), array });
    }
    let mut values = Vec::with_capacity(column.len());
    for (row, value) in column.rows()?.iter().enumerate() {
        let left = match value {
            Value::Struct(_) => picked.value(made, value),
            // Refused before.
            _ => Err(not_of_its_schema()),
        };
        values.push(left.unwrap_or_else(|error| {
            refused.push(row, error);
            Value::Null
        }));
    }
    Ok(Column::Rows { schema: Some(Arc::clone(made)), values })
}

/// Java trips over it.
fn no_field() -> Error {
    let message = "Cannot invoke \"org.apache.kafka.connect.data.Field.schema()\" because the \
                   return value of \"org.apache.kafka.connect.data.Schema.field(String)\" is null";
    Error::data(message).as_java("java.lang.NullPointerException")
}

fn null_header(schema: &Schema) -> Error {
    Error::data(format!(
        "A null value requires an optional schema but was Schema{{{}}}",
        match schema.name() {
            Some(name) => format!("{name}:{}", schema.kind().name()),
            None => schema.kind().name().to_owned(),
        }
    ))
}

impl Transformation for HeaderFrom {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let mut refused = Refused::default();
        let column = self.side.column(&records);
        let (left, taken) = match column.schema().cloned() {
            Some(schema) => self.with_schema(column, &schema, &mut refused)?,
            None => self.schemaless(column, &mut refused)?,
        };
        let mut rows: Vec<Vec<Header>> =
            (0..records.len()).map(|row| records.headers.row(row).to_vec()).collect();
        for (key, Taken { schema, values }) in self.headers.iter().zip(taken) {
            for (headers, value) in rows.iter_mut().zip(values) {
                headers.push(Header { key: Arc::clone(key), schema: schema.clone(), value });
            }
        }
        let mut records = self.side.replace(records, left);
        records.headers = Headers::from_rows(rows);
        Ok(refused.leave_out(records, 0, failed).into_iter().collect())
    }
}
