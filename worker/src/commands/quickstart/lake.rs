//! Reads back what the lake sink has published.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type};
use millrace_api::{Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::shop::{Shop, Table};

/// The directory the sink writes to.
pub(super) struct Lake {
    topics: PathBuf,
    prefix: String,
    /// Rows by file: published files never change.
    counted: RefCell<HashMap<PathBuf, u64>>,
}

impl Lake {
    /// `prefix` stands before the table's name in the topic's.
    pub(super) fn new(lake: PathBuf, prefix: String) -> Self {
        Self { topics: lake.join("topics"), prefix, counted: RefCell::default() }
    }

    fn files(&self, table: &str) -> Result<Vec<PathBuf>> {
        let topic = self.topics.join(format!("{}{table}", self.prefix)).join("partition=0");
        let failed = |e| unreadable(&topic, e);
        let entries = match fs::read_dir(&topic) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let paths = entries.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>();
        let mut paths = paths.map_err(failed)?;
        paths.retain(|path| path.extension().is_some_and(|e| e == "parquet"));
        Ok(paths)
    }

    /// How many rows of a table the published files say they have.
    pub(super) fn published_rows(&self, table: &str) -> Result<u64> {
        let mut counted = self.counted.borrow_mut();
        let mut rows = 0;
        for path in self.files(table)? {
            if !counted.contains_key(&path) {
                counted.insert(path.clone(), rows_in_footer(&path)?);
            }
            rows += counted[&path];
        }
        Ok(rows)
    }

    /// Reads every row of every table back; fails when the ids are not the database's.
    pub(super) fn verify(&self, shop: &Shop) -> Result<Vec<u64>> {
        shop.tables.iter().map(|table| self.verify_table(table)).collect()
    }

    fn verify_table(&self, table: &Table) -> Result<u64> {
        let (mut rows, mut id_sum) = (0, 0);
        for path in self.files(table.name)? {
            let failed = |e| unreadable(&path, e);
            let file = File::open(&path).map_err(failed)?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                .and_then(|builder| builder.build())
                .map_err(|e| unreadable(&path, e))?;
            for batch in reader {
                let batch = batch.map_err(|e| unreadable(&path, e))?;
                let ids = batch
                    .column_by_name("id")
                    .ok_or_else(|| Error::fatal("no column id").context("path", path.display()))?;
                let ids = compute::cast(ids, &DataType::Int64).map_err(|e| unreadable(&path, e))?;
                rows += batch.num_rows() as u64;
                id_sum += compute::sum(ids.as_primitive::<Int64Type>()).unwrap_or(0);
            }
        }
        if rows == table.rows && id_sum != table.id_sum {
            return Err(Error::fatal("the ids read back are not those of the database")
                .context("table", table.name));
        }
        Ok(rows)
    }
}

fn rows_in_footer(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(|e| unreadable(path, e))?;
    let reader = SerializedFileReader::new(file).map_err(|e| unreadable(path, e))?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::fatal("cannot read the lake").context("path", path.display()).with_source(error)
}
