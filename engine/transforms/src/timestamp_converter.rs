//! `TimestampConverter`: turns timestamps, in a field or as the whole key or value, into another of
//! the forms that they are written in.

mod moment;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use millrace_api::config::{Config, ConfigEnum};
use millrace_api::data::json::{JsonMember, JsonObjects};
use millrace_api::data::{Column, Kind, SchemaRef, Struct, Value, json};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls, Written};
use crate::json_object::{self, Change};
use crate::null_defaults::NullDefaults;
use crate::picked::not_of_its_schema;
use crate::refused::{Refused, check_null};
use crate::schemas::{Fields, with_basics, with_default};
use crate::side::Side;
use crate::simple_date_format::SimpleDateFormat;
use crate::struct_array::struct_array;

use moment::{Form, Moments};

#[derive(Config, Debug)]
pub(crate) struct TimestampConverterConfig {
    /// The field containing the timestamp, or empty if the entire value is a timestamp
    #[config(key = "field", importance = High, default = "")]
    field: String,
    /// The desired timestamp representation: string, unix, Date, Time, or Timestamp
    #[config(key = "target.type", importance = High)]
    target: Form,
    /// A SimpleDateFormat-compatible format for the timestamp. Used to generate the output when
    /// type=string or used to parse the input if the input is a string.
    #[config(key = "format", default = "")]
    format: String,
    /// The desired Unix precision for the timestamp: seconds, milliseconds, microseconds, or
    /// nanoseconds. Used to generate the output when type=unix or used to parse the input if the
    /// input is a Long.Note: This SMT will cause precision loss during conversions from, and to,
    /// values with sub-millisecond components.
    #[config(key = "unix.precision", importance = Low, default = Precision::Milliseconds)]
    precision: Precision,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
}

/// What a Unix timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
enum Precision {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
}

pub(crate) struct TimestampConverter {
    /// None when the whole is a timestamp.
    field: Option<Arc<str>>,
    moments: Moments,
    defaults: NullDefaults,
}

impl TimestampConverter {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = TimestampConverterConfig::parse(props)?;
        let pattern = config.format;
        let is_blank = pattern.trim_matches(|c| c <= ' ').is_empty();
        if is_blank && config.target == Form::Text {
            return Err(Error::config(
                "TimestampConverter requires format option to be specified when using string \
                 timestamps",
            ));
        }
        let format = match SimpleDateFormat::new(&pattern) {
            _ if is_blank => None,
            Ok(format) => Some((format, pattern)),
            // Java gives the reason for the value, and the words for the key.
            Err(error) => {
                return Err(Error::config(format!(
                    "Invalid value {}: {} for configuration TimestampConverter requires a \
                     SimpleDateFormat-compatible pattern for string timestamps: {pattern}",
                    error.java_class(),
                    error.message()
                )));
            }
        };
        let of = Self {
            field: Some(config.field).filter(|field| !field.is_empty()).map(Arc::from),
            moments: Moments { target: config.target, format, precision: config.precision },
            defaults: NullDefaults(config.replace_null_with_default),
        };
        Ok(Box::new(Each::new(side, of)))
    }

    /// The schema of a struct with the field changed.
    fn changed(&self, schema: &SchemaRef) -> Result<(SchemaRef, Plan)> {
        if schema.kind() != Kind::Struct {
            return Err(Error::data("Cannot list fields on non-struct type"));
        }
        let mut fields = Fields::default();
        let mut changed = None;
        for (place, field) in schema.fields().iter().enumerate() {
            let mut schema = Arc::clone(&field.schema);
            if Some(&field.name) == self.field.as_ref() {
                changed = Some((place, Arc::clone(&schema)));
                schema = self.moments.schema(schema.is_optional());
            }
            fields.push(Arc::clone(&field.name), schema)?;
        }
        let mut made = with_basics(fields.into_struct(), schema);
        made = made.with_optional(schema.is_optional());
        let plan = Plan::Field(changed);
        if let Some(default) = schema.default() {
            let default = self.value(&plan, &made.clone().build(), default)?;
            made = with_default(made, default)?;
        }
        Ok((made.build(), plan))
    }

    /// The values of a field, or of the whole, in the target's form; none when Arrow cannot hold
    /// them.
    fn converted(
        &self,
        from: &SchemaRef,
        form: Form,
        column: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        if let Some(converted) = self.moments.array(form, column, refused) {
            return Ok(Some(converted));
        }
        let column = Column::Typed { schema: Arc::clone(from), array: Arc::clone(column) };
        let mut values = Vec::with_capacity(column.len());
        for (row, value) in column.rows()?.iter().enumerate() {
            values.push(self.moments.convert(Some(form), value).unwrap_or_else(|error| {
                refused.push(row, error);
                Value::Null
            }));
        }
        let made = self.moments.schema(from.is_optional());
        Ok(Column::Rows { schema: Some(made), values }.to_array().unwrap_or(None))
    }

    /// Whether JSON text has a type for what is made.
    fn makes_text(&self) -> bool {
        matches!(self.moments.target, Form::Text | Form::Unix)
    }

    /// What a JSON value becomes; none when that cannot be written, or is refused.
    fn converted_text(&self, text: &str) -> Option<String> {
        let converted = self.moments.convert(None, &json::parse(text).ok()?);
        json_object::written(&converted.ok()?)
    }
}

/// What is converted.
#[derive(Debug)]
pub(crate) enum Plan {
    /// All of it, which has this schema and form.
    Whole(SchemaRef, Form),
    /// A field, by its place and schema, if the struct has it.
    Field(Option<(usize, SchemaRef)>),
}

impl EachValue for TimestampConverter {
    type Plan = Plan;

    fn nulls(&self) -> Nulls {
        Nulls::Change
    }

    fn purpose(&self) -> Option<&'static str> {
        self.field.is_some().then_some("converting timestamp formats")
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Plan)> {
        if self.field.is_some() {
            return self.changed(schema);
        }
        let plan = Plan::Whole(Arc::clone(schema), Form::of_schema(schema)?);
        Ok((self.moments.schema(schema.is_optional()), plan))
    }

    fn value(&self, plan: &Plan, made: &SchemaRef, value: &Value) -> Result<Value> {
        let changed = match plan {
            Plan::Whole(_, form) => return self.moments.convert(Some(*form), value),
            Plan::Field(changed) => changed.as_ref().map(|(place, _)| *place),
        };
        let Value::Struct(old) = value else { return Err(not_of_its_schema()) };
        let fields = old.schema().fields().iter().zip(made.fields()).zip(old.values());
        let mut values = Vec::with_capacity(old.values().len());
        for (place, ((field, made), value)) in fields.enumerate() {
            let mut value = self.defaults.value(&field.schema, value).clone();
            if Some(place) == changed {
                value = self.moments.convert(Some(Form::of_schema(&field.schema)?), &value)?;
            }
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
        let changed = match plan {
            Plan::Whole(schema, form) => return self.converted(schema, *form, array, refused),
            Plan::Field(changed) => changed.as_ref(),
        };
        let structs = array.as_struct();
        let mut columns = Vec::with_capacity(made.fields().len());
        for (place, (field, column)) in made.fields().iter().zip(structs.columns()).enumerate() {
            let old = changed.filter(|changed| changed.0 == place).map(|(_, schema)| schema);
            let mut column = self.defaults.column(old.unwrap_or(&field.schema), column)?;
            if let Some(old) = old {
                // A form that is not known refuses every struct, but not null.
                let Ok(form) = Form::of_schema(old) else { return Ok(None) };
                // What lies in a struct that is null is not looked at.
                column = crate::struct_array::within(&column, array.nulls())?;
                let converted = self.converted(old, form, &column, refused)?;
                let Some(converted) = converted else { return Ok(None) };
                column = converted;
            }
            refused.push_nulls(field, &column, array.nulls());
            columns.push(column);
        }
        struct_array(made, columns, array.nulls(), array.len()).map(Some)
    }

    fn schemaless(&self, value: Value) -> Result<Value> {
        let Some(name) = &self.field else { return self.moments.convert(None, &value) };
        let Value::Map(mut entries) = value else { return Ok(value) };
        let is_name = |key: &Value| matches!(key, Value::String(key) if key == name);
        match entries.iter_mut().find(|(key, _)| is_name(key)) {
            Some(entry) => entry.1 = self.moments.convert(None, &entry.1)?,
            None => entries.push((Value::String(Arc::clone(name)), Value::Null)),
        }
        Ok(Value::Map(entries))
    }

    fn members(&self, objects: &JsonObjects, odd: &mut Vec<usize>) -> Result<Option<Column>> {
        if !self.makes_text() {
            return Ok(None);
        }
        let convert = |text: &str| Change::made(self.converted_text(text));
        let converted = |member: &JsonMember| json_object::changed(objects, member, odd, convert);
        let changed = json_object::change_members(objects, self.field.iter(), converted);
        Ok(changed.map(Column::Objects))
    }

    fn object(&self, text: &str, out: &mut String) -> Result<Written> {
        if !self.makes_text() {
            return Ok(Written::Not);
        }
        let change = |_: &str, text: &str| self.converted_text(text);
        let written = json_object::change(text, self.field.iter(), out, change)?;
        if written {
            return Ok(Written::Text);
        }
        self.schemaless(json::parse(text)?).map(|_| Written::Not)
    }
}
