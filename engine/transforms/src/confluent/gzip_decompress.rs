//! `GzipDecompress`: unpacks keys or values that are gzip.

use std::io::Read;

use flate2::bufread::GzDecoder;
use millrace_api::config::Config;
use millrace_api::data::{Column, Kind, Records, RowError, Value};
use millrace_api::{Error, Props, Result, Transformation};

use crate::refused::Refused;
use crate::side::Side;

/// A record that unpacks to more is refused: a few bytes can unpack to gigabytes.
const MAX_UNPACKED: usize = 64 << 20;
/// What the records of a run may unpack to together. The largest of them are refused: who fills a
/// run with what unpacks to much takes nothing from the others.
const MAX_TOGETHER: usize = 256 << 20;
/// A run ends when its records have unpacked to so much: whoever copies it next copies no more.
const RUN: usize = 16 << 20;
/// Each part of gzip begins so.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

#[derive(Config, Debug)]
pub(crate) struct GzipDecompressConfig {}

pub(crate) struct GzipDecompress {
    side: Side,
}

impl GzipDecompress {
    pub(crate) fn open(side: Side, _: &Props) -> Result<Box<dyn Transformation>> {
        Ok(Box::new(Self { side }))
    }
}

/// What became of one value.
fn value(of: &Value, is_bytes: bool) -> Result<Value> {
    match of {
        Value::Null => Ok(Value::Null),
        Value::Bytes(packed) if is_bytes => {
            unpacked(packed).map(|bytes| Value::Bytes(bytes.into_boxed_slice().into()))
        }
        other => {
            let class = other.java_class();
            Err(Error::data(format!("GzipDecompress unpacks bytes, found: {class}")))
        }
    }
}

/// What became of the values of a run: together not too much.
fn values(of: &[Value], is_bytes: bool) -> Vec<Result<Value>> {
    let (mut values, mut together) = (Vec::with_capacity(of.len()), 0);
    for packed in of {
        let value = value(packed, is_bytes);
        together += size(&value);
        values.push(value);
        while together > MAX_TOGETHER
            && let Some(largest) = values.iter_mut().max_by_key(|value| size(value))
        {
            together -= size(largest);
            *largest = Err(too_much_together());
        }
    }
    values
}

fn size(value: &Result<Value>) -> usize {
    match value {
        Ok(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    }
}

fn too_much_together() -> Error {
    let limit = MAX_TOGETHER >> 20;
    Error::data(format!("the bytes unpack to more than {limit} MiB with those beside them"))
        .context("remedy", "let fewer records come at once: max.poll.records of a sink's consumer")
}

/// How many of these values make a run.
fn run_length(values: &[Result<Value>]) -> usize {
    let mut bytes = 0;
    let is_full = |value: &Result<Value>| {
        bytes += size(value);
        bytes >= RUN
    };
    values.iter().position(is_full).map_or(values.len(), |last| last + 1)
}

impl Transformation for GzipDecompress {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let column = self.side.column(&records);
        let schema = column.schema().cloned();
        let is_bytes = schema.as_ref().is_none_or(|schema| schema.kind() == Kind::Bytes);
        let is_typed = matches!(column, Column::Typed { .. });
        let mut unpacked = values(&column.rows()?, is_bytes);
        let (mut runs, mut start) = (Vec::new(), 0);
        while !unpacked.is_empty() {
            let rest = unpacked.split_off(run_length(&unpacked));
            let run = records.slice(start, unpacked.len());
            start += unpacked.len();
            let mut refused = Refused::default();
            let values = unpacked.into_iter().enumerate().map(|(row, value)| {
                value.unwrap_or_else(|error| {
                    refused.push(row, error);
                    Value::Null
                })
            });
            let values: Vec<Value> = values.collect();
            let made = match is_typed && refused.len() == 0 {
                true => Column::from_values(schema.clone(), values),
                false => Column::Rows { schema: schema.clone(), values },
            };
            let first = start - run.len();
            runs.extend(refused.leave_out(self.side.replace(run, made), first, failed));
            unpacked = rest;
        }
        Ok(runs)
    }
}

/// All parts one after another, as `GZIPInputStream` reads them: what follows the last is ignored.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut rest = packed;
    loop {
        let mut part = GzDecoder::new(rest);
        let room = (MAX_UNPACKED + 1 - unpacked.len()) as u64;
        let wrong = |e: std::io::Error| Error::data("the bytes are not gzip").with_source(e);
        part.by_ref().take(room).read_to_end(&mut unpacked).map_err(wrong)?;
        if unpacked.len() > MAX_UNPACKED {
            return Err(Error::data(format!(
                "the bytes unpack to more than {} MiB",
                MAX_UNPACKED >> 20
            )));
        }
        rest = part.into_inner();
        if !rest.starts_with(&MAGIC) {
            return Ok(unpacked);
        }
    }
}
