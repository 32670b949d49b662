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
            unpacked(packed).map(|bytes| Value::Bytes(bytes.into()))
        }
        other => {
            let class = other.java_class();
            Err(Error::data(format!("GzipDecompress unpacks bytes, found: {class}")))
        }
    }
}

impl Transformation for GzipDecompress {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let column = self.side.column(&records);
        let schema = column.schema().cloned();
        let is_bytes = schema.as_ref().is_none_or(|schema| schema.kind() == Kind::Bytes);
        let is_typed = matches!(column, Column::Typed { .. });
        let rows = column.rows()?;
        let (mut runs, mut start) = (Vec::new(), 0);
        while start < rows.len() {
            let mut refused = Refused::default();
            let (mut values, mut size) = (Vec::new(), 0);
            for (row, packed) in rows[start..].iter().enumerate() {
                values.push(value(packed, is_bytes).unwrap_or_else(|error| {
                    refused.push(row, error);
                    Value::Null
                }));
                if let Some(Value::Bytes(bytes)) = values.last() {
                    size += bytes.len();
                }
                if size >= RUN {
                    break;
                }
            }
            let run = records.slice(start, values.len());
            let made = match is_typed && refused.len() == 0 {
                true => Column::from_values(schema.clone(), values),
                false => Column::Rows { schema: schema.clone(), values },
            };
            let rows = run.len();
            runs.extend(refused.leave_out(self.side.replace(run, made), start, failed));
            start += rows;
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
