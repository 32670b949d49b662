//! A value on its own: what a cell holds when columns do not pay, and the definition of right for
//! the columnar forms.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use num_bigint::BigInt;

use crate::data::{Kind, Schema, SchemaRef, logical};
use crate::{Error, Result};

/// A Connect value. Logical types have variants of their own, as Java holds them in classes of
/// their own (`java.util.Date`, `BigDecimal`).
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// `byte`
    Int8(i8),
    /// `short`
    Int16(i16),
    /// `int`
    Int32(i32),
    /// `long`
    Int64(i64),
    /// `float`
    Float32(f32),
    /// `double`
    Float64(f64),
    /// `boolean`
    Boolean(bool),
    /// `String`
    String(Arc<str>),
    /// `byte[]` or `ByteBuffer`
    Bytes(Bytes),
    /// `List`
    Array(Vec<Value>),
    /// `Map`, in its own order; keys are of any type.
    Map(Vec<(Value, Value)>),
    /// `Struct`
    Struct(Struct),
    /// `BigDecimal`
    Decimal(Decimal),
    /// Days since the epoch (`Date`).
    Date(i32),
    /// Milliseconds since midnight (`Time`).
    Time(i32),
    /// Milliseconds since the epoch (`Timestamp`).
    Timestamp(i64),
}

/// An exact decimal number: `unscaled · 10^-scale` (`BigDecimal`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// All digits as one integer.
    pub unscaled: BigInt,
    /// How many of them stand after the point; negative for trailing zeros before it.
    pub scale: i32,
}

/// Named fields with their schema (`Struct`); values stand in the order of the schema's fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    schema: SchemaRef,
    values: Vec<Value>,
}

impl Struct {
    /// A struct of these values, one a field. Nothing is checked beyond their number; see
    /// [`Value::validate`].
    pub fn new(schema: SchemaRef, values: Vec<Value>) -> Self {
        assert_eq!(schema.fields().len(), values.len(), "one value a field");
        Self { schema, values }
    }

    /// Its schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The values in the order of the fields, nulls not replaced (`getWithoutDefault`).
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// A field's value, its default for null (`get`). None when there is no such field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let (i, field) = self.schema.field(name)?;
        match &self.values[i] {
            Value::Null => Some(field.schema.default().unwrap_or(&Value::Null)),
            value => Some(value),
        }
    }

    /// The values alone.
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }
}

/// Numbers are equal when their bits are, as Java's `equals` has it: NaN equals itself.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Int8(a), Self::Int8(b)) => a == b,
            (Self::Int16(a), Self::Int16(b)) => a == b,
            (Self::Int32(a), Self::Int32(b)) => a == b,
            (Self::Int64(a), Self::Int64(b)) => a == b,
            (Self::Float32(a), Self::Float32(b)) => a.to_bits() == b.to_bits(),
            (Self::Float64(a), Self::Float64(b)) => a.to_bits() == b.to_bits(),
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Struct(a), Self::Struct(b)) => a == b,
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Date(a), Self::Date(b)) | (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// Of a struct the values count, and not its schema.
impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Int8(n) => n.hash(state),
            Self::Int16(n) => n.hash(state),
            Self::Int32(n) | Self::Date(n) | Self::Time(n) => n.hash(state),
            Self::Int64(n) | Self::Timestamp(n) => n.hash(state),
            Self::Float32(n) => n.to_bits().hash(state),
            Self::Float64(n) => n.to_bits().hash(state),
            Self::Boolean(value) => value.hash(state),
            Self::String(text) => text.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
            Self::Array(items) => items.hash(state),
            Self::Map(entries) => entries.hash(state),
            Self::Struct(s) => s.values.hash(state),
            Self::Decimal(decimal) => decimal.hash(state),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int64(number)
    }
}

/// What a value of a schema must be: kind and logical name decide.
fn variant_fits(value: &Value, kind: Kind, name: Option<&str>) -> bool {
    match (value, kind) {
        (Value::Decimal(_), Kind::Bytes) => name == Some(logical::DECIMAL),
        (Value::Date(_), Kind::Int32) => name == Some(logical::DATE),
        (Value::Time(_), Kind::Int32) => name == Some(logical::TIME),
        (Value::Timestamp(_), Kind::Int64) => name == Some(logical::TIMESTAMP),
        (Value::Bytes(_), Kind::Bytes) => name != Some(logical::DECIMAL),
        (Value::Int32(_), Kind::Int32) => !matches!(name, Some(logical::DATE | logical::TIME)),
        (Value::Int64(_), Kind::Int64) => name != Some(logical::TIMESTAMP),
        (Value::Int8(_), Kind::Int8)
        | (Value::Int16(_), Kind::Int16)
        | (Value::Float32(_), Kind::Float32)
        | (Value::Float64(_), Kind::Float64)
        | (Value::Boolean(_), Kind::Boolean)
        | (Value::String(_), Kind::String)
        | (Value::Array(_), Kind::Array)
        | (Value::Map(_), Kind::Map)
        | (Value::Struct(_), Kind::Struct) => true,
        _ => false,
    }
}

impl Value {
    /// Whether it is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The Java class that Connect would hold this value in, as messages name it.
    pub fn java_class(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int8(_) => "java.lang.Byte",
            Self::Int16(_) => "java.lang.Short",
            Self::Int32(_) => "java.lang.Integer",
            Self::Int64(_) => "java.lang.Long",
            Self::Float32(_) => "java.lang.Float",
            Self::Float64(_) => "java.lang.Double",
            Self::Boolean(_) => "java.lang.Boolean",
            Self::String(_) => "java.lang.String",
            Self::Bytes(_) => "[B",
            Self::Array(_) => "java.util.ArrayList",
            Self::Map(_) => "java.util.HashMap",
            Self::Struct(_) => "org.apache.kafka.connect.data.Struct",
            Self::Decimal(_) => "java.math.BigDecimal",
            Self::Date(_) | Self::Time(_) | Self::Timestamp(_) => "java.util.Date",
        }
    }

    /// Checks that this value fits a schema, deeply (`ConnectSchema.validateValue`). Null fits an
    /// optional schema only, or one with a default inside a struct.
    pub fn validate(&self, schema: &Schema) -> Result<()> {
        if self.is_null() {
            return if schema.is_optional() {
                Ok(())
            } else {
                Err(Error::data("Invalid value: null used for required field")
                    .context("schema type", schema.kind().name()))
            };
        }
        if !variant_fits(self, schema.kind(), schema.name()) {
            return Err(Error::data("Invalid Java object for schema")
                .context("schema type", schema.kind().name())
                .context("class", self.java_class()));
        }
        match self {
            Self::Decimal(d) if Some(d.scale) != schema.decimal_scale() => {
                Err(Error::data("Decimal value has mismatching scale for its schema")
                    .context("value scale", d.scale)
                    .context("schema scale", schema.parameter(logical::SCALE).unwrap_or("none")))
            }
            Self::Array(items) => match schema.value_schema() {
                Some(s) => items.iter().try_for_each(|item| item.validate(s)),
                None => Ok(()),
            },
            Self::Map(entries) => validate_map(entries, schema),
            Self::Struct(s) => validate_struct(s, schema),
            _ => Ok(()),
        }
    }
}

fn validate_map(entries: &[(Value, Value)], schema: &Schema) -> Result<()> {
    for (key, value) in entries {
        if let Some(s) = schema.key_schema() {
            key.validate(s)?;
        }
        if let Some(s) = schema.value_schema() {
            value.validate(s)?;
        }
    }
    Ok(())
}

fn validate_struct(value: &Struct, schema: &Schema) -> Result<()> {
    if **value.schema() != *schema {
        return Err(Error::data("Struct schemas do not match."));
    }
    for (field, value) in schema.fields().iter().zip(value.values()) {
        if value.is_null() && field.schema.default().is_some() {
            continue;
        }
        value.validate(&field.schema).map_err(|e| e.context("field", &field.name))?;
    }
    Ok(())
}
