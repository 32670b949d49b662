//! `BooleanConverter` and the converters of numbers: one value of a primitive type, big-endian, in
//! as many bytes as it has.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, make_view,
};
use arrow::buffer::ScalarBuffer;
use bytes::Bytes;
use millrace_api::config::{Config, Props};
use millrace_api::data::{Column, Kind, RowError, Schema, SchemaRef, Value};
use millrace_api::{
    Converter, ConverterRole, Error, HeaderConverter, Plugin, RawHeaders, Result, Serialized,
};

use crate::role::{RoleConfig, with_role};

/// The plugins of this module: each type as converter and as header converter.
pub(crate) fn plugins() -> Vec<Plugin> {
    fn both<P: Primitive>() -> [Plugin; 2] {
        [
            Plugin::converter(P::CLASS, RoleConfig::config_def, converter::<P>),
            Plugin::header_converter(P::CLASS, RoleConfig::config_def, header_converter::<P>),
        ]
    }
    let all =
        [both::<bool>(), both::<f64>(), both::<f32>(), both::<i32>(), both::<i64>(), both::<i16>()];
    all.into_iter().flatten().collect()
}

fn converter<P: Primitive>(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    RoleConfig::parse(&with_role(props, role))?;
    Ok(Box::new(PrimitiveConverter::<P>::new()))
}

fn header_converter<P: Primitive>(props: &Props) -> Result<Box<dyn HeaderConverter>> {
    RoleConfig::parse(&with_role(props, ConverterRole::Header))?;
    Ok(Box::new(PrimitiveConverter::<P>::new()))
}

/// A type of which each value takes the same few bytes, so that they fit into a view.
trait Primitive: Copy + Send + 'static {
    const CLASS: &'static str;
    const KIND: Kind;
    /// The column of [`Primitive::KIND`] without a logical name.
    type Array: Array + FromIterator<Option<Self>> + 'static;

    fn cells(array: &Self::Array) -> impl Iterator<Item = Option<Self>>;
    /// The value, when it is of this very type: Java widens nothing here.
    fn of(value: &Value) -> Option<Self>;
    fn into_value(self) -> Value;
    /// The value as a view of its bytes.
    fn view(self) -> u128;
    /// The value, or the words of Java's deserializer.
    fn read(bytes: &[u8]) -> Result<Self, String>;
    /// Whether values of this schema are taken at all.
    fn check(_schema: Option<&SchemaRef>) -> Result<()> {
        Ok(())
    }
    fn misfit(value: &Value) -> Error;
    fn unreadable() -> &'static str;
}

macro_rules! number {
    (
        $type:ty, $class:literal, $name:literal, $deserializer:literal, $kind:ident, $array:ty,
        $bytes:expr
    ) => {
        impl Primitive for $type {
            const CLASS: &'static str =
                concat!("org.apache.kafka.connect.converters.", $class, "Converter");
            const KIND: Kind = Kind::$kind;
            type Array = $array;

            fn cells(array: &Self::Array) -> impl Iterator<Item = Option<Self>> {
                array.iter()
            }

            fn of(value: &Value) -> Option<Self> {
                match value {
                    Value::$kind(number) => Some(*number),
                    _ => None,
                }
            }

            fn into_value(self) -> Value {
                Value::$kind(self)
            }

            fn view(self) -> u128 {
                make_view(&$bytes(self), 0, 0)
            }

            fn read(bytes: &[u8]) -> Result<Self, String> {
                let size = size_of::<Self>();
                bytes.try_into().map(Self::from_be_bytes).map_err(|_| {
                    format!("Size of data received by {} is not {size}", $deserializer)
                })
            }

            fn misfit(value: &Value) -> Error {
                let class = value.java_class();
                Error::data(format!(
                    concat!("Failed to serialize to ", $name, " (was class {}): "),
                    class
                ))
            }

            fn unreadable() -> &'static str {
                concat!("Failed to deserialize ", $name, ": ")
            }
        }
    };
}

number!(i16, "Short", "short", "ShortDeserializer", Int16, Int16Array, i16::to_be_bytes);
number!(i32, "Integer", "integer", "IntegerDeserializer", Int32, Int32Array, i32::to_be_bytes);
number!(i64, "Long", "long", "LongDeserializer", Int64, Int64Array, i64::to_be_bytes);
// Java's deserializers of these two do not know their names.
number!(f32, "Float", "float", "Deserializer", Float32, Float32Array, f32::to_be_bytes);
number!(f64, "Double", "double", "Deserializer", Float64, Float64Array, double_to_bytes);

/// Java writes one NaN for all doubles that are none, and floats as they are.
fn double_to_bytes(number: f64) -> [u8; 8] {
    let bits = if number.is_nan() { 0x7ff8_0000_0000_0000 } else { number.to_bits() };
    bits.to_be_bytes()
}

impl Primitive for bool {
    const CLASS: &'static str = "org.apache.kafka.connect.converters.BooleanConverter";
    const KIND: Kind = Kind::Boolean;
    type Array = BooleanArray;

    fn cells(array: &Self::Array) -> impl Iterator<Item = Option<Self>> {
        array.iter()
    }

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::Boolean(self)
    }

    fn view(self) -> u128 {
        make_view(&[u8::from(self)], 0, 0)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => {
                let byte = byte.cast_signed();
                Err(format!("Unexpected byte received by BooleanDeserializer: {byte}"))
            }
            _ => Err("Size of data received by BooleanDeserializer is not 1".to_owned()),
        }
    }

    fn check(schema: Option<&SchemaRef>) -> Result<()> {
        match schema.map(|schema| schema.kind()) {
            None | Some(Kind::Boolean) => Ok(()),
            Some(kind) => Err(Error::data(format!(
                "Invalid schema type for BooleanConverter: {}",
                kind.name()
            ))),
        }
    }

    fn misfit(value: &Value) -> Error {
        let class = value.java_class();
        Error::data(format!(
            "BooleanConverter is not compatible with objects of type class {class}"
        ))
    }

    fn unreadable() -> &'static str {
        "Failed to deserialize boolean: "
    }
}

struct PrimitiveConverter<P> {
    /// `OPTIONAL_INT16_SCHEMA` and so on.
    schema: SchemaRef,
    primitive: PhantomData<P>,
}

impl<P: Primitive> PrimitiveConverter<P> {
    fn new() -> Self {
        Self { schema: Schema::builder(P::KIND).optional().build(), primitive: PhantomData }
    }
}

fn write<P: Primitive>(schema: Option<&SchemaRef>, value: &Value) -> Result<Option<P>> {
    P::check(schema)?;
    if value.is_null() {
        return Ok(None);
    }
    P::of(value).map(Some).ok_or_else(|| P::misfit(value))
}

fn read<P: Primitive>(bytes: &[u8]) -> Result<P> {
    P::read(bytes).map_err(|words| {
        let cause = format!("org.apache.kafka.common.errors.SerializationException: {words}");
        Error::data(P::unreadable()).with_source(cause)
    })
}

/// Keeps the rows that are good; the others are null, and failed.
fn collect<T, C: FromIterator<Option<T>>>(
    topic: &str,
    failed: &mut Vec<RowError>,
    rows: impl Iterator<Item = Result<Option<T>>>,
) -> C {
    let keep = |(row, cell): (usize, Result<Option<T>>)| {
        cell.unwrap_or_else(|error| {
            failed.push(RowError { row, error: error.context("topic", topic) });
            None
        })
    };
    rows.enumerate().map(keep).collect()
}

/// Each row is within its view.
fn serialized(views: Vec<Option<u128>>) -> Serialized {
    let nulls = views.iter().map(Option::is_some).collect();
    let views: ScalarBuffer<u128> = views.into_iter().map(Option::unwrap_or_default).collect();
    Serialized::try_new(views, Vec::new(), Some(nulls)).expect("a view and a bit for each row")
}

impl<P: Primitive> Converter for PrimitiveConverter<P> {
    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        if let Column::Typed { array, .. } = column
            && let Some(array) = array.as_any().downcast_ref::<P::Array>()
        {
            let views = P::cells(array).map(|cell| cell.map(P::view));
            return Ok(serialized(views.collect()));
        }
        let (rows, schema) = (column.rows()?, column.schema());
        let views = rows.iter().map(|value| Ok(write(schema, value)?.map(P::view)));
        Ok(serialized(collect(topic, failed, views)))
    }

    fn to_connect_data(
        &mut self,
        topic: &str,
        rows: &Serialized,
        _headers: &[RawHeaders],
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        let cells = rows.iter().map(|bytes| bytes.map(read).transpose());
        let array: P::Array = collect(topic, failed, cells);
        Ok(vec![Column::Typed { schema: Arc::clone(&self.schema), array: Arc::new(array) }])
    }
}

impl<P: Primitive> HeaderConverter for PrimitiveConverter<P> {
    fn from_connect_header(
        &mut self,
        topic: &str,
        key: &str,
        schema: Option<&SchemaRef>,
        value: &Value,
    ) -> Result<Option<Bytes>> {
        let value = write::<P>(schema, value);
        let value = value.map_err(|e| e.context("topic", topic).context("header", key))?;
        Ok(value.map(|value| {
            let rows = serialized(vec![Some(value.view())]);
            Bytes::copy_from_slice(rows.value(0))
        }))
    }

    fn to_connect_header(
        &mut self,
        topic: &str,
        key: &str,
        bytes: Option<&Bytes>,
    ) -> Result<(Option<SchemaRef>, Value)> {
        let value = bytes.map(|bytes| read::<P>(bytes)).transpose();
        let value = value.map_err(|e| e.context("topic", topic).context("header", key))?;
        Ok((Some(Arc::clone(&self.schema)), value.map_or(Value::Null, P::into_value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open<P: Primitive>() -> PrimitiveConverter<P> {
        PrimitiveConverter::new()
    }

    fn written<P: Primitive>(value: Value) -> Result<Option<Bytes>> {
        open::<P>().from_connect_header("t", "h", None, &value)
    }

    fn refused_to_read<P: Primitive>(bytes: &'static [u8]) -> String {
        let rows = Serialized::from_iter([Some(bytes), None]);
        let mut failed = Vec::new();
        let columns = open::<P>().to_connect_data("t", &rows, &[], &mut failed).unwrap();
        assert!(columns[0].is_null(0) && columns[0].is_null(1));
        assert_eq!((failed.len(), failed[0].row), (1, 0));
        failed[0].error.trace()
    }

    #[test]
    fn bytes_are_big_endian() {
        let bytes = |bytes: &'static [u8]| Some(Bytes::from_static(bytes));
        assert_eq!(written::<bool>(Value::Boolean(true)).unwrap(), bytes(b"\x01"));
        assert_eq!(written::<i16>(Value::Int16(-2)).unwrap(), bytes(b"\xff\xfe"));
        assert_eq!(written::<i32>(Value::Int32(258)).unwrap(), bytes(b"\0\0\x01\x02"));
        assert_eq!(written::<i64>(Value::Int64(1)).unwrap(), bytes(b"\0\0\0\0\0\0\0\x01"));
        assert_eq!(written::<f32>(Value::Float32(1.5)).unwrap(), bytes(b"\x3f\xc0\0\0"));
        assert_eq!(written::<f64>(Value::Float64(-0.0)).unwrap(), bytes(b"\x80\0\0\0\0\0\0\0"));
        assert_eq!(written::<f64>(Value::Null).unwrap(), None);
    }

    #[test]
    fn complaints_are_javas() {
        let trace = |what: &str, cause: &str| {
            format!(
                "org.apache.kafka.connect.errors.DataException: Failed to deserialize {what}:  \
                 (topic: t)\n\
                 Caused by: org.apache.kafka.common.errors.SerializationException: {cause}"
            )
        };
        let size = |name: &str, size| format!("Size of data received by {name} is not {size}");
        let (short, any) = (size("ShortDeserializer", 2), |n| size("Deserializer", n));
        assert_eq!(refused_to_read::<i16>(b"123"), trace("short", &short));
        assert_eq!(refused_to_read::<i32>(b""), trace("integer", &size("IntegerDeserializer", 4)));
        assert_eq!(refused_to_read::<i64>(b"1234567"), trace("long", &size("LongDeserializer", 8)));
        assert_eq!(refused_to_read::<f32>(b"more than twelve bytes"), trace("float", &any(4)));
        assert_eq!(refused_to_read::<f64>(b"1"), trace("double", &any(8)));
        let boolean = size("BooleanDeserializer", 1);
        assert_eq!(refused_to_read::<bool>(b"12"), trace("boolean", &boolean));
        let byte = "Unexpected byte received by BooleanDeserializer: -1";
        assert_eq!(refused_to_read::<bool>(b"\xff"), trace("boolean", byte));
        for (error, message) in [
            (
                written::<i32>(Value::Int64(5)),
                "Failed to serialize to integer (was class java.lang.Long): ",
            ),
            (
                written::<f64>(Value::Bytes(Bytes::new())),
                "Failed to serialize to double (was class [B): ",
            ),
            (
                written::<bool>("true".into()),
                "BooleanConverter is not compatible with objects of type class java.lang.String",
            ),
        ] {
            assert_eq!(error.unwrap_err().message(), message);
        }
    }

    /// `BooleanConverter` alone looks at the schema, and that before it looks at the value.
    #[test]
    fn schemas_hardly_count() {
        let mut failed = Vec::new();
        let column = |schema, value| Column::Rows { schema: Some(schema), values: vec![value] };
        let text = column(Schema::string(true), Value::Null);
        open::<bool>().from_connect_data("t", &text, &mut failed).unwrap();
        let message = "Invalid schema type for BooleanConverter: STRING";
        assert_eq!(failed.remove(0).error.message(), message);
        let odd = column(Schema::string(true), Value::Int16(1));
        for column in [&text, &odd] {
            open::<i16>().from_connect_data("t", column, &mut failed).unwrap();
            assert!(failed.is_empty());
        }
        let dates = column(Schema::date_builder().build(), Value::Date(1));
        let dates_in_arrow = Column::from_values(dates.schema().cloned(), vec![Value::Date(1); 20]);
        assert!(matches!(dates_in_arrow, Column::Typed { .. }));
        open::<i32>().from_connect_data("t", &dates, &mut failed).unwrap();
        open::<i32>().from_connect_data("t", &dates_in_arrow, &mut failed).unwrap();
        assert_eq!(failed.len(), 21);
        let message = "Failed to serialize to integer (was class java.util.Date): ";
        assert!(failed.iter().all(|f| f.error.message() == message));
    }
}
