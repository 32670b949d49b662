//! `MaskField`: puts nothing, or a text or number of the user's, in the place of values.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use millrace_api::config::Config;
use millrace_api::config::validators::{non_empty_list, non_empty_string};
use millrace_api::data::json::{self, JsonMember, JsonObjects, Reader};
use millrace_api::data::{
    Column, Decimal, Field, SchemaRef, Struct, Value, in_hash_map_order, java_string_hash,
};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls, Written};
use crate::java_number::{big_decimal, double_value, long_value};
use crate::json_object::{self, Change};
use crate::null_defaults::NullDefaults;
use crate::picked::not_of_its_schema;
use crate::refused::{Refused, check_null};
use crate::side::Side;
use crate::struct_array::struct_array;

#[derive(Config, Debug)]
pub(crate) struct MaskFieldConfig {
    /// Names of fields to mask.
    #[config(key = "fields", importance = High, validate = non_empty_list)]
    fields: Vec<String>,
    /// Custom value replacement, that will be applied to all 'fields' values (numeric or non-empty
    /// string values only).
    #[config(key = "replacement", importance = Low, validate = non_empty_string)]
    replacement: Option<String>,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
}

/// What masked values become.
#[derive(Debug)]
enum Mask {
    /// What comes nearest to nothing in the type of the value.
    Nothing,
    /// A text, or the number that it says.
    Replacement(Arc<str>, Option<Decimal>),
}

impl Mask {
    /// What a value becomes.
    fn of(&self, value: &Value) -> Result<Value> {
        match self {
            _ if value.is_null() => Ok(Value::Null),
            Self::Nothing => nothing(value),
            Self::Replacement(text, number) => replaced(value, text, number.as_ref()),
        }
    }
}

fn nothing(value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Boolean(_) => Value::Boolean(false),
        Value::Int8(_) => Value::Int8(0),
        Value::Int16(_) => Value::Int16(0),
        Value::Int32(_) => Value::Int32(0),
        Value::Int64(_) => Value::Int64(0),
        Value::Float32(_) => Value::Float32(0.0),
        Value::Float64(_) => Value::Float64(0.0),
        // The scale is Java's, whatever the schema says.
        Value::Decimal(_) => Value::Decimal(Decimal { unscaled: 0.into(), scale: 0 }),
        Value::Date(_) => Value::Date(0),
        Value::Time(_) => Value::Time(0),
        Value::Timestamp(_) => Value::Timestamp(0),
        Value::String(_) => "".into(),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Map(_) => Value::Map(Vec::new()),
        Value::Null | Value::Bytes(_) | Value::Struct(_) => {
            let class = value.java_class();
            return Err(Error::data(format!("Cannot mask value of type: class {class}")));
        }
    })
}

fn replaced(value: &Value, text: &Arc<str>, number: Option<&Decimal>) -> Result<Value> {
    let to_number = |what: &str| {
        let message = format!("Unable to convert {text} (class java.lang.String) to {what}");
        number.ok_or_else(|| Error::data(message))
    };
    let long = || to_number("a number").map(long_value);
    let double = || to_number("a number").map(double_value);
    Ok(match value {
        Value::Int8(_) => Value::Int8(long()? as i8),
        Value::Int16(_) => Value::Int16(long()? as i16),
        Value::Int32(_) => Value::Int32(long()? as i32),
        Value::Int64(_) => Value::Int64(long()?),
        Value::Float32(_) => Value::Float32(double()? as f32),
        Value::Float64(_) => Value::Float64(double()?),
        Value::Decimal(_) => Value::Decimal(to_number("number")?.clone()),
        Value::String(_) => Value::String(Arc::clone(text)),
        other => {
            let class = other.java_class();
            return Err(Error::data(format!(
                "Cannot mask value of type class {class} with custom replacement."
            )));
        }
    })
}

/// What JSON values become by their type; none when that cannot be written, or is refused.
struct MaskTexts {
    boolean: Option<String>,
    string: Option<String>,
    integer: Option<String>,
    floating: Option<String>,
    array: Option<String>,
    object: Option<String>,
}

impl MaskTexts {
    fn of_mask(mask: &Mask) -> Self {
        let text = |value: Value| json_object::written(&mask.of(&value).ok()?);
        Self {
            boolean: text(Value::Boolean(true)),
            string: text("".into()),
            integer: text(Value::Int64(0)),
            floating: text(Value::Float64(0.0)),
            array: text(Value::Array(Vec::new())),
            object: text(Value::Map(Vec::new())),
        }
    }

    /// What a JSON value becomes.
    fn of(&self, text: &str) -> Option<&str> {
        match text.as_bytes().first()? {
            b'n' => return Some("null"),
            b't' | b'f' => &self.boolean,
            b'"' => &self.string,
            b'[' => &self.array,
            b'{' => &self.object,
            _ if Reader::new(text).take_number().ok()?.is_integer() => &self.integer,
            _ => &self.floating,
        }
        .as_deref()
    }
}

pub(crate) struct MaskField {
    /// In the order in which Java goes through them.
    fields: Vec<Arc<str>>,
    names: HashSet<Arc<str>>,
    mask: Mask,
    texts: MaskTexts,
    defaults: NullDefaults,
}

impl MaskField {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = MaskFieldConfig::parse(props)?;
        let fields: Vec<Arc<str>> = config.fields.into_iter().map(Arc::from).collect();
        let mask = match config.replacement {
            Some(text) => Mask::Replacement(text.as_str().into(), big_decimal(&text)),
            None => Mask::Nothing,
        };
        let ordered = in_hash_map_order(&fields, |name| Some(java_string_hash(name)));
        let of = Self {
            fields: ordered.into_iter().cloned().collect(),
            names: fields.iter().cloned().collect(),
            texts: MaskTexts::of_mask(&mask),
            mask,
            defaults: NullDefaults(config.replace_null_with_default),
        };
        Ok(Box::new(Each::new(side, of)))
    }

    /// The masked values of a field; none when Arrow cannot hold them.
    fn masked(
        &self,
        field: &Field,
        column: ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        let Some(row) = (0..column.len()).find(|row| column.is_valid(*row)) else {
            return Ok(Some(column));
        };
        let schema = Arc::clone(&field.schema);
        let sample = Column::Typed { schema: Arc::clone(&schema), array: column.slice(row, 1) };
        match self.mask.of(&sample.value(0)?) {
            Ok(mask) => {
                let mask = Column::Rows { schema: Some(schema), values: vec![mask] };
                let Ok(Some(mask)) = mask.to_array() else { return Ok(None) };
                let places = vec![0; column.len()].into();
                let places = UInt32Array::new(places, column.logical_nulls());
                let masked = take(&mask, &places, None)
                    .map_err(|e| Error::fatal("a mask cannot be repeated").with_source(e))?;
                Ok(Some(masked))
            }
            Err(error) => {
                for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
                    refused.push(row, error.copied());
                }
                Ok(Some(column))
            }
        }
    }
}

impl EachValue for MaskField {
    /// Which fields are masked.
    type Plan = Vec<bool>;

    fn nulls(&self) -> Nulls {
        Nulls::Fail
    }

    fn purpose(&self) -> Option<&'static str> {
        Some("mask fields")
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Vec<bool>)> {
        let masked = schema.fields().iter().map(|field| self.names.contains(&field.name));
        Ok((Arc::clone(schema), masked.collect()))
    }

    fn value(&self, masked: &Vec<bool>, made: &SchemaRef, value: &Value) -> Result<Value> {
        let Value::Struct(old) = value else { return Err(not_of_its_schema()) };
        let mut values = Vec::with_capacity(masked.len());
        for ((field, is_masked), value) in made.fields().iter().zip(masked).zip(old.values()) {
            let value = self.defaults.value(&field.schema, value);
            let value = if *is_masked { self.mask.of(value)? } else { value.clone() };
            check_null(field, &value)?;
            values.push(value);
        }
        Ok(Value::Struct(Struct::new(Arc::clone(made), values)))
    }

    fn array(
        &self,
        masked: &Vec<bool>,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        let structs = array.as_struct();
        let mut columns = Vec::with_capacity(masked.len());
        for ((field, is_masked), column) in made.fields().iter().zip(masked).zip(structs.columns())
        {
            let mut column = self.defaults.column(&field.schema, column)?;
            if *is_masked {
                let Some(mask) = self.masked(field, column, refused)? else { return Ok(None) };
                column = mask;
            }
            refused.push_nulls(field, &column, array.nulls());
            columns.push(column);
        }
        struct_array(made, columns, array.nulls(), array.len()).map(Some)
    }

    fn schemaless(&self, value: Value) -> Result<Value> {
        let Value::Map(mut entries) = value else { return Ok(value) };
        for name in &self.fields {
            let is_name = |key: &Value| matches!(key, Value::String(key) if key == name);
            match entries.iter_mut().find(|(key, _)| is_name(key)) {
                Some(entry) => entry.1 = self.mask.of(&entry.1)?,
                None => entries.push((Value::String(Arc::clone(name)), Value::Null)),
            }
        }
        Ok(Value::Map(entries))
    }

    fn members(&self, objects: &JsonObjects, odd: &mut Vec<usize>) -> Result<Option<Column>> {
        let mask = |text: &str| match self.texts.of(text) {
            Some(mask) => Change::To(mask.into()),
            None => Change::Never,
        };
        let masked = |member: &JsonMember| json_object::changed(objects, member, odd, mask);
        let changed = json_object::change_members(objects, self.fields.iter(), masked);
        Ok(changed.map(Column::Objects))
    }

    fn object(&self, text: &str, out: &mut String) -> Result<Written> {
        let names = self.fields.iter();
        if json_object::change(text, names, out, |_, text| self.texts.of(text).map(str::to_owned))?
        {
            return Ok(Written::Text);
        }
        self.schemaless(json::parse(text)?).map(|_| Written::Not)
    }
}
