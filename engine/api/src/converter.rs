//! Turns Connect data into bytes and back, a run at a time.

use std::sync::Arc;

use arrow::array::BinaryViewArray;
use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;
use crate::data::{Column, RowError, SchemaRef, Value};

/// Keys or values as Kafka holds them: rows are slices of shared buffers, null is a tombstone.
pub type Serialized = BinaryViewArray;

/// The headers of one record as Kafka holds them, in order.
pub type RawHeaders = Vec<(Arc<str>, Option<Bytes>)>;

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
/// Converting is synchronous and without I/O. What has to be asked of others first, such as schemas
/// of a registry, is asked by the `prepare` methods, which the worker calls with the same data
/// before. A row that cannot be converted is one row's problem: it is pushed to `failed`, its place
/// in the result is null, and the others go on. An error as the result means that the converter
/// itself cannot work (the task fails).
#[allow(clippy::wrong_self_convention, reason = "Java's names, which users of Connect know")]
#[async_trait]
pub trait Converter: Send {
    /// Fetches what [`from_connect_data`](Self::from_connect_data) needs and has not got. What is
    /// one row's fault is kept for that row.
    ///
    /// Cancel-safe, and cancelled: a call that takes long is dropped and made again, to look whether
    /// there is an answer. Questions have to go on meanwhile, such as in a task of their own.
    ///
    /// # Errors
    ///
    /// Retriable when somebody cannot be reached: the worker waits and calls it again, and reads
    /// or polls no more of the same partition meanwhile. Others fail the task.
    async fn prepare_from(&mut self, _topic: &str, _column: &Column) -> Result<()> {
        Ok(())
    }

    /// Serializes a column: as many rows come out, in the same order.
    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized>;

    /// A header for the records of the column that was serialized last: it names their schema.
    /// Records that have the same already do not get it again.
    fn schema_header(&self) -> Option<(Arc<str>, Bytes)> {
        None
    }

    /// Fetches what [`to_connect_data`](Self::to_connect_data) needs and has not got, as
    /// [`prepare_from`](Self::prepare_from) does.
    async fn prepare_to(
        &mut self,
        _topic: &str,
        _rows: &Serialized,
        _headers: &[RawHeaders],
    ) -> Result<()> {
        Ok(())
    }

    /// Deserializes rows into columns, one a run of rows with the same schema: together the
    /// columns have as many rows as came in, in the same order. Rows that fail are null in
    /// whatever column they fall into. `headers` are those of the records, one for each, or empty
    /// when no record has any.
    fn to_connect_data(
        &mut self,
        topic: &str,
        rows: &Serialized,
        headers: &[RawHeaders],
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
