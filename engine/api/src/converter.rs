//! Turns Connect data into bytes and back, a run at a time.

use arrow::array::BinaryViewArray;
use bytes::Bytes;

use crate::Result;
use crate::data::{Column, RowError, SchemaRef, Value};

/// Keys or values as Kafka holds them: rows are slices of shared buffers, null is a tombstone.
pub type Serialized = BinaryViewArray;

/// What a converter is used for (`converter.type` in Java).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConverterRole {
    /// Record keys.
    Key,
    /// Record values.
    Value,
    /// Header values.
    Header,
}

/// Turns columns into bytes and back (`org.apache.kafka.connect.storage.Converter`).
///
/// Synchronous and without I/O. A row that cannot be converted is one row's problem: it is pushed
/// to `failed`, its place in the result is null, and the others go on. An error as the result
/// means that the converter itself cannot work (the task fails).
#[allow(clippy::wrong_self_convention, reason = "Java's names, which users of Connect know")]
pub trait Converter: Send {
    /// Serializes a column: as many rows come out, in the same order.
    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized>;

    /// Deserializes rows into columns, one a run of rows with the same schema: together the
    /// columns have as many rows as came in, in the same order. Rows that fail are null in
    /// whatever column they fall into.
    fn to_connect_data(
        &mut self,
        topic: &str,
        rows: &Serialized,
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>>;
}

/// Turns header values into bytes and back, one at a time
/// (`org.apache.kafka.connect.storage.HeaderConverter`).
#[allow(clippy::wrong_self_convention, reason = "Java's names, which users of Connect know")]
pub trait HeaderConverter: Send {
    /// Serializes one header value; none is a header without value.
    fn from_connect_header(
        &mut self,
        topic: &str,
        key: &str,
        schema: Option<&SchemaRef>,
        value: &Value,
    ) -> Result<Option<Bytes>>;

    /// Deserializes one header value.
    fn to_connect_header(
        &mut self,
        topic: &str,
        key: &str,
        bytes: Option<&Bytes>,
    ) -> Result<(Option<SchemaRef>, Value)>;
}
