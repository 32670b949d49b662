//! Decides how Parquet is written: codec, row groups, and which columns get a dictionary.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use millrace_api::config::ConfigEnum;
use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::columns::Columns;

/// A row group ends at so many encoded bytes: it is held in memory until then.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// A row group ends at so many rows.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Dictionaries are decided by so many first rows of a file.
const SAMPLE_ROWS: usize = 1024;
/// Fewer rows than this say nothing about a column.
const LEAST_ROWS: usize = 256;
/// Layouts of so many schemas are remembered.
const KNOWN_SCHEMAS: usize = 16;

/// How pages are compressed (`parquet.codec`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum Codec {
    None,
    Snappy,
    Gzip,
    Lz4,
    #[config(name = "lz4_raw")]
    Lz4Raw,
    Zstd,
}

impl Codec {
    fn compression(self) -> Compression {
        match self {
            Self::None => Compression::UNCOMPRESSED,
            Self::Snappy => Compression::SNAPPY,
            Self::Gzip => Compression::GZIP(GzipLevel::default()),
            Self::Lz4 => Compression::LZ4,
            Self::Lz4Raw => Compression::LZ4_RAW,
            Self::Zstd => Compression::ZSTD(ZstdLevel::default()),
        }
    }

    /// The names are those of Java's `CompressionCodecName`.
    fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Snappy => ".snappy",
            Self::Gzip => ".gz",
            Self::Lz4 => ".lz4hadoop",
            Self::Lz4Raw => ".lz4raw",
            Self::Zstd => ".zstd",
        }
    }
}

/// Parquet files.
pub(crate) struct Parquet {
    codec: Codec,
    precision: u8,
    known: Vec<Arc<Columns>>,
}

/// Rows in the columns of a file.
pub(crate) struct Rows {
    columns: Arc<Columns>,
    batch: RecordBatch,
}

impl Parquet {
    pub(crate) fn new(codec: Codec, precision: u8) -> Self {
        Self { codec, precision, known: Vec::new() }
    }

    pub(crate) fn extension(&self) -> String {
        format!("{}.parquet", self.codec.extension())
    }

    pub(super) fn prepare(&mut self, values: &Column) -> Result<Rows, Vec<RowError>> {
        let columns = match self.columns(values.schema()) {
            Ok(columns) => columns,
            Err(_) => return Err(self.every_row(values)),
        };
        let whole =
            values.to_array().map(|array| array.expect("a column with a schema has an array"));
        if let Ok(array) = &whole
            && let Ok(batch) = columns.batch(array)
        {
            return Ok(Rows { columns, batch });
        }
        let failed = |row: usize| {
            let one = values.slice(row, 1).to_array().and_then(|array| {
                columns.batch(&array.expect("a column with a schema has an array"))
            });
            one.err().map(|error| RowError { row, error })
        };
        Err((0..values.len()).filter_map(failed).collect())
    }

    /// The same error for every row: their schema, or its absence, is what is wrong.
    fn every_row(&mut self, values: &Column) -> Vec<RowError> {
        let failed = |row| {
            let error = self.columns(values.schema()).err()?;
            Some(RowError { row, error })
        };
        (0..values.len()).filter_map(failed).collect()
    }

    fn columns(&mut self, schema: Option<&SchemaRef>) -> Result<Arc<Columns>> {
        let schema = schema.ok_or_else(|| {
            Error::data(
                "Parquet requires a schema and the value has none: use a converter that gives \
                 schemas (such as JsonConverter with schemas.enable=true), or format.class=json",
            )
        })?;
        if let Some(known) = self.known.iter().find(|c| c.are_of(schema)) {
            return Ok(Arc::clone(known));
        }
        let columns = Arc::new(Columns::new(schema, self.precision)?);
        if self.known.len() == KNOWN_SCHEMAS {
            self.known.remove(0);
        }
        self.known.push(Arc::clone(&columns));
        Ok(columns)
    }

    pub(super) fn encoder(&self, first: &Rows) -> Encoder {
        Encoder {
            codec: self.codec,
            columns: Arc::clone(&first.columns),
            sample: Vec::new(),
            sampled: 0,
            writer: None,
        }
    }
}

/// The inside of an open Parquet file.
pub(crate) struct Encoder {
    codec: Codec,
    columns: Arc<Columns>,
    /// The first rows, until there are enough to choose encodings by.
    sample: Vec<RecordBatch>,
    sampled: usize,
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl Encoder {
    pub(super) fn append(&mut self, rows: &Rows, offset: usize, len: usize) -> Result<()> {
        let batch = rows.batch.slice(offset, len);
        match &mut self.writer {
            Some(writer) => writer.write(&batch).map_err(unwritten),
            None => {
                self.sampled += batch.num_rows();
                self.sample.push(batch);
                if self.sampled >= SAMPLE_ROWS {
                    self.begin()?;
                }
                Ok(())
            }
        }
    }

    /// Chooses the encodings, and writes the rows they were chosen by.
    fn begin(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>> {
        let head = concat_batches(&self.columns.arrow, &self.sample).map_err(unwritten)?;
        let properties = properties(self.codec, &self.columns, &head);
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            // Parquet's own types say all that these columns need; older readers stumble over
            // Arrow's view types.
            .with_skip_arrow_metadata(true);
        let schema = Arc::clone(&self.columns.arrow);
        let mut writer =
            ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(unwritten)?;
        writer.write(&head).map_err(unwritten)?;
        self.sample = Vec::new();
        Ok(self.writer.insert(writer))
    }

    pub(super) fn take(&mut self, at_least: usize) -> Result<Option<Bytes>> {
        let Some(writer) = &mut self.writer else {
            return Ok(None);
        };
        if writer.inner().len() < at_least {
            return Ok(None);
        }
        writer.sync().map_err(unwritten)?;
        Ok(Some(std::mem::take(writer.inner_mut()).into()))
    }

    pub(super) fn memory(&self) -> usize {
        let sample = self.sample.iter().map(RecordBatch::get_array_memory_size);
        let writer = self.writer.as_ref().map_or(0, ArrowWriter::memory_size);
        sample.sum::<usize>() + writer
    }

    pub(super) fn spill(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush().map_err(unwritten),
            None => self.begin().map(|_| ()),
        }
    }

    pub(super) fn finish(mut self) -> Result<Bytes> {
        if self.writer.is_none() {
            self.begin()?;
        }
        let writer = self.writer.take().expect("begin() has made it");
        writer.into_inner().map(Bytes::from).map_err(unwritten)
    }
}

fn unwritten(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::fatal("cannot write Parquet").with_source(error)
}

fn properties(codec: Codec, columns: &Columns, sample: &RecordBatch) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(codec.compression())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    if sample.num_rows() >= LEAST_ROWS {
        let unique = columns.unique.get_or_init(|| unique_columns(sample));
        for name in unique {
            let path = ColumnPath::new(vec![name.clone()]);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    properties.build()
}

/// The columns of whose first values more than half are distinct. A dictionary of unique values
/// costs its building and makes the file longer. Parts of nested columns keep theirs.
fn unique_columns(sample: &RecordBatch) -> Vec<String> {
    let schema = sample.schema();
    let columns = schema.fields().iter().zip(sample.columns());
    columns
        .filter(|(field, column)| !field.data_type().is_nested() && !repeats(column))
        .map(|(field, _)| field.name().clone())
        .collect()
}

fn repeats(column: &ArrayRef) -> bool {
    let column = column.slice(0, column.len().min(SAMPLE_ROWS));
    let rows = RowConverter::new(vec![SortField::new(column.data_type().clone())])
        .and_then(|converter| converter.convert_columns(std::slice::from_ref(&column)));
    rows.map_or(true, |rows| {
        let distinct: HashSet<&[u8]> = rows.iter().map(|row| row.data()).collect();
        distinct.len() * 2 <= column.len()
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn columns_of_unique_values_get_no_dictionary() {
        let rows = 2000;
        let id = Int64Array::from_iter_values(0..rows);
        let status = |i| ["new", "paid"][usize::from(i % 2 == 0)];
        let status = StringViewArray::from_iter_values((0..rows).map(status));
        let paid = BooleanArray::from_iter((0..rows).map(|i| Some(i % 2 == 0)));
        let sample = RecordBatch::try_from_iter([
            ("id", Arc::new(id) as ArrayRef),
            ("status", Arc::new(status)),
            ("paid", Arc::new(paid)),
        ]);
        assert_eq!(unique_columns(&sample.unwrap()), ["id"]);
    }
}
