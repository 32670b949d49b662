//! The converter suite on the smallest converter there is: bytes are bytes, and `bad` is bad.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryViewArray};
use millrace_api::config::{ConfigDef, Props};
use millrace_api::data::{Column, RowError, Schema, Value};
use millrace_api::{Converter, Error, Plugin, RawHeaders, Result, Serialized};
use millrace_testkit::arbitrary::Shape;
use millrace_testkit::converter_suite;
use millrace_testkit::converter_suite::{Cell, ConverterFixture};
use proptest::prelude::*;

const BAD: &[u8] = b"bad";

struct Bytes;

impl Converter for Bytes {
    fn from_connect_data(
        &mut self,
        _topic: &str,
        column: &Column,
        _failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        if let Column::Typed { array, .. } = column {
            return Ok(array.as_binary_view().clone());
        }
        let rows = column.rows()?;
        let bytes = rows.iter().map(|value| match value {
            Value::Bytes(bytes) => Some(&bytes[..]),
            _ => None,
        });
        Ok(bytes.collect())
    }

    fn to_connect_data(
        &mut self,
        _topic: &str,
        rows: &Serialized,
        _headers: &[RawHeaders],
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        let mut sound = Vec::with_capacity(rows.len());
        for (row, bytes) in rows.iter().enumerate() {
            if bytes == Some(BAD) {
                failed.push(RowError { row, error: Error::data("these bytes are bad") });
            }
            sound.push(bytes.filter(|bytes| *bytes != BAD));
        }
        let array: BinaryViewArray = sound.into_iter().collect();
        Ok(vec![Column::Typed { schema: Schema::bytes(true), array: Arc::new(array) }])
    }
}

struct Fixture;

impl ConverterFixture for Fixture {
    fn plugin(&self) -> Plugin {
        Plugin::converter("test.BytesConverter", ConfigDef::default, |_, _| Ok(Box::new(Bytes)))
    }

    fn props(&self) -> Props {
        Props::new()
    }

    fn columns(&self) -> BoxedStrategy<Column> {
        let shape = Shape::default();
        prop_oneof![
            shape.columns_of(&Schema::bytes(true)),
            shape.columns_of(&Schema::bytes(false)),
        ]
        .boxed()
    }

    fn read_back(&self, (_, value): Cell) -> Cell {
        (Some(Schema::bytes(true)), value)
    }

    fn bad_row(&self) -> Option<&'static [u8]> {
        Some(BAD)
    }
}

converter_suite!(bytes, Fixture);
