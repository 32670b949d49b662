//! `ByteArrayConverter`: bytes as they are, and nothing else.

use std::sync::Arc;

use arrow::array::AsArray;
use bytes::Bytes;
use millrace_api::config::{Config, ConfigDef, Props};
use millrace_api::data::{Column, Kind, RowError, Schema, SchemaRef, Value};
use millrace_api::{
    Converter, ConverterRole, Error, HeaderConverter, RawHeaders, Result, Serialized,
};

use crate::role::{RoleConfig, with_role};
use crate::row_buffer::RowBuffer;

pub(crate) const CLASS: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";

pub(crate) fn config_def() -> ConfigDef {
    RoleConfig::config_def()
}

pub(crate) fn converter(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    RoleConfig::parse(&with_role(props, role))?;
    Ok(Box::new(ByteArrayConverter))
}

pub(crate) fn header_converter(props: &Props) -> Result<Box<dyn HeaderConverter>> {
    RoleConfig::parse(&with_role(props, ConverterRole::Header))?;
    Ok(Box::new(ByteArrayConverter))
}

struct ByteArrayConverter;

fn check(schema: Option<&SchemaRef>, topic: &str) -> Result<()> {
    match schema.map(|s| s.kind()) {
        None | Some(Kind::Bytes) => Ok(()),
        Some(kind) => {
            Err(Error::data(format!("Invalid schema type for ByteArrayConverter: {}", kind.name()))
                .context("topic", topic))
        }
    }
}

fn bytes_of<'a>(value: &'a Value, topic: &str) -> Result<Option<&'a Bytes>> {
    match value {
        Value::Null => Ok(None),
        Value::Bytes(bytes) => Ok(Some(bytes)),
        value => Err(Error::data(format!(
            "ByteArrayConverter is not compatible with objects of type class {}",
            value.java_class()
        ))
        .context("topic", topic)),
    }
}

impl Converter for ByteArrayConverter {
    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        if let Column::Typed { array, .. } = column
            && let Some(rows) = array.as_binary_view_opt()
        {
            return Ok(rows.clone());
        }
        let mut rows = RowBuffer::new(column.len(), 32);
        for (row, value) in column.rows()?.iter().enumerate() {
            let bytes = check(column.schema(), topic).and_then(|()| bytes_of(value, topic));
            match bytes {
                Ok(Some(bytes)) => {
                    rows.bytes().extend_from_slice(bytes);
                    rows.end_row();
                }
                Ok(None) => rows.null_row(),
                Err(error) => {
                    failed.push(RowError { row, error });
                    rows.null_row();
                }
            }
        }
        Ok(rows.finish())
    }

    fn to_connect_data(
        &mut self,
        _topic: &str,
        rows: &Serialized,
        _headers: &[RawHeaders],
        _failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        Ok(vec![Column::Typed { schema: Schema::bytes(true), array: Arc::new(rows.clone()) }])
    }
}

impl HeaderConverter for ByteArrayConverter {
    fn from_connect_header(
        &mut self,
        topic: &str,
        key: &str,
        schema: Option<&SchemaRef>,
        value: &Value,
    ) -> Result<Option<Bytes>> {
        check(schema, topic)
            .and_then(|()| bytes_of(value, topic))
            .map(Option::<&Bytes>::cloned)
            .map_err(|e| e.context("header", key))
    }

    fn to_connect_header(
        &mut self,
        _topic: &str,
        _key: &str,
        bytes: Option<&Bytes>,
    ) -> Result<(Option<SchemaRef>, Value)> {
        let value = bytes.cloned().map_or(Value::Null, Value::Bytes);
        Ok((Some(Schema::bytes(true)), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_through() {
        let rows = Serialized::from_iter([Some(&b"more than twelve bytes"[..]), None]);
        let mut failed = Vec::new();
        let columns = ByteArrayConverter.to_connect_data("t", &rows, &[], &mut failed).unwrap();
        let back = ByteArrayConverter.from_connect_data("t", &columns[0], &mut failed).unwrap();
        assert_eq!(back.value(0).as_ptr(), rows.value(0).as_ptr());
        assert_eq!(back, rows);
        let values = columns[0].rows().unwrap().into_owned();
        let rowwise = Column::Rows { schema: Some(Schema::bytes(true)), values };
        let back = ByteArrayConverter.from_connect_data("t", &rowwise, &mut failed).unwrap();
        assert_eq!(back, rows);
        assert!(failed.is_empty());
    }

    #[test]
    fn other_values_fail_one_by_one() {
        let check = |schema, value, message: Option<&str>| {
            let mut failed = Vec::new();
            let column = Column::Rows { schema, values: vec![value] };
            ByteArrayConverter.from_connect_data("t", &column, &mut failed).unwrap();
            assert_eq!(failed.first().map(|f| f.error.to_string()).as_deref(), message);
        };
        check(None, Value::Null, None);
        check(None, Value::Bytes(Bytes::from_static(b"x")), None);
        check(
            Some(Schema::string(true)),
            Value::Null,
            Some("Invalid schema type for ByteArrayConverter: STRING (topic: t)"),
        );
        check(
            None,
            Value::from("x"),
            Some(
                "ByteArrayConverter is not compatible with objects of type class \
                 java.lang.String (topic: t)",
            ),
        );
    }
}
