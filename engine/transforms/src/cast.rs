//! `Cast`: turns fields, or the whole key or value, into another primitive type.

mod array;
mod value;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use millrace_api::config::{Config, Validator, invalid_value};
use millrace_api::data::json::{JsonMember, JsonObjects};
use millrace_api::data::{
    Column, Field, Kind, Schema, SchemaBuilder, SchemaRef, Struct, Value, in_hash_map_order,
    java_string_hash, json,
};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls, Written};
use crate::json_object::{self, Change};
use crate::null_defaults::NullDefaults;
use crate::picked::not_of_its_schema;
use crate::refused::{Refused, check_null};
use crate::schemas::{Fields, with_basics, with_default};
use crate::side::Side;
use crate::struct_array::struct_array;

#[derive(Config, Debug)]
pub(crate) struct CastConfig {
    /// List of fields and the type to cast them to of the form field1:type,field2:type to cast
    /// fields of Maps or Structs. A single type to cast the entire value. Valid types are int8,
    /// int16, int32, int64, float32, float64, boolean, and string. Note that binary fields can only
    /// be cast to string.
    #[config(key = "spec", importance = High, validate = spec)]
    spec: Vec<String>,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
}

fn spec() -> Validator {
    let valid = "list of colon-delimited pairs, e.g. <code>foo:bar,abc:xyz</code>";
    Validator::with_message(valid, |_, value| match value.as_list() {
        None | Some([]) => Err(Error::config("Must specify at least one field to cast.")),
        Some(items) => Targets::parse(items).map(|_| ()),
    })
}

/// What is cast to which type.
#[derive(Clone, Debug, PartialEq)]
enum Targets {
    Whole(Kind),
    /// In the order in which Java goes through them.
    Fields(Vec<(Arc<str>, Kind)>),
}

impl Targets {
    fn parse(items: &[String]) -> Result<Self> {
        let mut fields: Vec<(Arc<str>, Kind)> = Vec::new();
        let mut whole = None;
        for item in items {
            // As Java splits, colons at the end are ignored.
            let Some((name, target)) = item.trim_end_matches(':').split_once(':') else {
                whole = Some(kind(item.trim_end_matches(':'))?);
                continue;
            };
            if target.contains(':') {
                let list = format!("[{}]", items.join(", "));
                let reason = format!("Invalid rename mapping: {item}");
                return Err(invalid_value("renames", list, reason));
            }
            let (name, target) = (java_trim(name), kind(target)?);
            match fields.iter_mut().find(|(known, _)| **known == *name) {
                Some(field) => field.1 = target,
                None => fields.push((name.into(), target)),
            }
        }
        match whole {
            Some(_) if items.len() > 1 => Err(Error::config(
                "Cast transformations that specify a type to cast the entire value to may only \
                 specify a single cast in their spec",
            )),
            Some(target) => Ok(Self::Whole(target)),
            None => {
                let ordered = in_hash_map_order(&fields, |(name, _)| Some(java_string_hash(name)));
                Ok(Self::Fields(ordered.into_iter().cloned().collect()))
            }
        }
    }

    fn of(&self, name: &str) -> Option<Kind> {
        match self {
            Self::Whole(_) => None,
            Self::Fields(fields) => fields.iter().find(|f| *f.0 == *name).map(|f| f.1),
        }
    }
}

fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// A type that things can be cast to.
fn kind(name: &str) -> Result<Kind> {
    let name = java_trim(name);
    let upper = name.to_uppercase();
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == upper);
    match kind {
        Some(kind) if value::TARGETS.contains(&kind) => Ok(kind),
        Some(kind) => Err(Error::config(format!(
            "Cast transformation does not support casting to {}; supported types are {}",
            kind.name(),
            value::names(&value::TARGETS)
        ))),
        // Java gives the reason for the value, and the words for the key; the name is in upper case
        // there, which nobody would know for a secret that was put in by mistake.
        None => Err(Error::config(format!(
            "Invalid value java.lang.IllegalArgumentException: No enum constant \
             org.apache.kafka.connect.data.Schema.Type.{name} for configuration \
             Invalid type found in casting spec: {name}"
        ))),
    }
}

pub(crate) struct Cast {
    targets: Targets,
    defaults: NullDefaults,
}

impl Cast {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = CastConfig::parse(props)?;
        let of = Self {
            targets: Targets::parse(&config.spec)?,
            defaults: NullDefaults(config.replace_null_with_default),
        };
        Ok(Box::new(Each::new(side, of)))
    }
}

impl Cast {
    /// What is cast, where JSON text can say all that comes out: it has one type of integers and
    /// one of other numbers.
    fn fields_of_text(&self) -> Option<&[(Arc<str>, Kind)]> {
        const WRITABLE: [Kind; 4] = [Kind::Int64, Kind::Float64, Kind::Boolean, Kind::String];
        match &self.targets {
            Targets::Fields(fields) if fields.iter().all(|f| WRITABLE.contains(&f.1)) => {
                Some(fields)
            }
            _ => None,
        }
    }
}

/// What a JSON value becomes; none when that cannot be written, or is refused.
fn cast_text(text: &str, target: Kind) -> Option<String> {
    json_object::written(&value::cast(None, &json::parse(text).ok()?, target).ok()?)
}

/// Whether a JSON value is of a type beyond doubt, so that a cast to it changes nothing.
fn is_of_kind(text: &str, kind: Kind) -> bool {
    /// Fewer digits than the largest number has.
    const SAFE_DIGITS: usize = 18;
    match kind {
        Kind::Int64 => text.len() <= SAFE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()),
        Kind::String => text.starts_with('"'),
        _ => false,
    }
}

/// What becomes of each field, or of the whole.
#[derive(Debug)]
pub(crate) enum Plan {
    Whole {
        from: SchemaRef,
        target: Kind,
    },
    /// The old field, and what it is cast to.
    Fields(Vec<(Field, Option<Kind>)>),
}

/// Whether null is allowed and the default, cast.
fn with_rest(mut builder: SchemaBuilder, schema: &Schema, target: Kind) -> Result<SchemaBuilder> {
    if schema.is_optional() {
        builder = builder.optional();
    }
    match schema.default() {
        Some(default) => with_default(builder, value::cast(Some(schema), default, target)?),
        None => Ok(builder),
    }
}

impl EachValue for Cast {
    type Plan = Plan;

    fn nulls(&self) -> Nulls {
        Nulls::Pass
    }

    fn purpose(&self) -> Option<&'static str> {
        matches!(self.targets, Targets::Fields(_)).then_some("cast types")
    }

    /// What is no struct has no fields, which is found when its schema is looked at.
    fn purpose_with_schema(&self) -> Option<&'static str> {
        None
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Plan)> {
        if let Targets::Whole(target) = self.targets {
            let made = with_basics(Schema::builder(target), schema);
            let made = with_rest(made, schema, target)?.build();
            return Ok((made, Plan::Whole { from: Arc::clone(schema), target }));
        }
        if schema.kind() != Kind::Struct {
            return Err(Error::data("Cannot list fields on non-struct type"));
        }
        let (mut fields, mut plan) = (Fields::default(), Vec::new());
        for field in schema.fields() {
            let target = self.targets.of(&field.name);
            let made = match target {
                Some(target) => with_rest(Schema::builder(target), &field.schema, target)?.build(),
                None => Arc::clone(&field.schema),
            };
            fields.push(Arc::clone(&field.name), made)?;
            plan.push((field.clone(), target));
        }
        let made = with_basics(fields.into_struct(), schema);
        Ok((with_rest(made, schema, Kind::Struct)?.build(), Plan::Fields(plan)))
    }

    fn value(&self, plan: &Plan, made: &SchemaRef, value: &Value) -> Result<Value> {
        let fields = match plan {
            Plan::Whole { from, target } => return value::cast(Some(from), value, *target),
            Plan::Fields(fields) => fields,
        };
        let Value::Struct(old) = value else { return Err(not_of_its_schema()) };
        let mut values = Vec::with_capacity(fields.len());
        for (((field, target), made), value) in fields.iter().zip(made.fields()).zip(old.values()) {
            let value = self.defaults.value(&field.schema, value);
            let value = match target {
                Some(target) => value::cast(Some(&field.schema), value, *target)?,
                None => value.clone(),
            };
            check_null(made, &value)?;
            values.push(value);
        }
        Ok(Value::Struct(Struct::new(Arc::clone(made), values)))
    }

    fn array(
        &self,
        plan: &Plan,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        let fields = match plan {
            Plan::Whole { from, target } => {
                return cast_column(from, made, *target, array, refused);
            }
            Plan::Fields(fields) => fields,
        };
        let structs = array.as_struct();
        let mut columns = Vec::with_capacity(fields.len());
        for (((field, target), made), column) in
            fields.iter().zip(made.fields()).zip(structs.columns())
        {
            let mut column = self.defaults.column(&field.schema, column)?;
            if let Some(target) = target {
                let cast = cast_column(&field.schema, &made.schema, *target, &column, refused)?;
                let Some(cast) = cast else { return Ok(None) };
                column = cast;
            }
            refused.push_nulls(made, &column, array.nulls());
            columns.push(column);
        }
        struct_array(made, columns, array.nulls(), array.len()).map(Some)
    }

    fn schemaless(&self, value: Value) -> Result<Value> {
        let fields = match &self.targets {
            Targets::Whole(target) => return value::cast(None, &value, *target),
            Targets::Fields(fields) => fields,
        };
        let Value::Map(mut entries) = value else { return Ok(value) };
        for (name, target) in fields {
            let is_name = |key: &Value| matches!(key, Value::String(key) if key == name);
            match entries.iter_mut().find(|(key, _)| is_name(key)) {
                Some(entry) => entry.1 = value::cast(None, &entry.1, *target)?,
                None => entries.push((Value::String(Arc::clone(name)), Value::Null)),
            }
        }
        Ok(Value::Map(entries))
    }

    fn members(&self, objects: &JsonObjects, odd: &mut Vec<usize>) -> Result<Option<Column>> {
        let Some(fields) = self.fields_of_text() else { return Ok(None) };
        let names = fields.iter().map(|(name, _)| name);
        let cast = |member: &JsonMember| {
            let target = self.targets.of(member.name())?;
            json_object::changed(objects, member, odd, |text| match is_of_kind(text, target) {
                true => Change::Not,
                false => Change::made(cast_text(text, target)),
            })
        };
        let changed = json_object::change_members(objects, names, cast);
        Ok(changed.map(Column::Objects))
    }

    fn object(&self, text: &str, out: &mut String) -> Result<Written> {
        let Some(fields) = self.fields_of_text() else { return Ok(Written::Not) };
        let names = fields.iter().map(|(name, _)| name);
        let cast = |name: &str, text: &str| cast_text(text, self.targets.of(name)?);
        let written = json_object::change(text, names, out, cast)?;
        if written {
            return Ok(Written::Text);
        }
        self.schemaless(json::parse(text)?).map(|_| Written::Not)
    }
}

/// The values of an array, cast; none when Arrow cannot hold them under the schema `made`.
fn cast_column(
    from: &SchemaRef,
    made: &SchemaRef,
    target: Kind,
    column: &ArrayRef,
    refused: &mut Refused,
) -> Result<Option<ArrayRef>> {
    if let Some(cast) = array::cast(column, target) {
        return Ok(Some(cast).filter(|cast| made.arrow_type().as_ref() == Some(cast.data_type())));
    }
    let column = Column::Typed { schema: Arc::clone(from), array: Arc::clone(column) };
    let mut values = Vec::with_capacity(column.len());
    for (row, value) in column.rows()?.iter().enumerate() {
        values.push(value::cast(Some(from), value, target).unwrap_or_else(|error| {
            refused.push(row, error);
            Value::Null
        }));
    }
    let cast = Column::Rows { schema: Some(Arc::clone(made)), values };
    Ok(cast.to_array().unwrap_or(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_read_as_java_reads_it() {
        let parse = |items: &[&str]| {
            let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
            Targets::parse(&items).map_err(|e| e.to_string())
        };
        assert_eq!(parse(&[" Int8 "]), Ok(Targets::Whole(Kind::Int8)));
        assert_eq!(parse(&["string:"]), Ok(Targets::Whole(Kind::String)));
        let fields = vec![("a".into(), Kind::Boolean), ("b".into(), Kind::Float32)];
        assert_eq!(parse(&["b:int8", " a : BOOLEAN", "b:float32:"]), Ok(Targets::Fields(fields)));
        let refused = parse(&["a:date"]).unwrap_err();
        assert!(refused.ends_with("Invalid type found in casting spec: date"), "{refused}");
        assert!(!refused.contains("DATE"), "secrets are known as they are written: {refused}");
    }
}
