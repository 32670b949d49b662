//! Decides how many records a directory of Parquet files holds: it reads their footers.

use std::fs::File;
use std::io;
use std::path::Path;

use millrace_api::{Error, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};

/// Counts the rows of all Parquet files in a directory and below it. Hidden files and directories,
/// such as the sink's unfinished files, are left out; a directory that is not there has no rows.
///
/// Reads footers only. Blocks: call it where that holds nobody up.
pub fn count_parquet_rows(directory: &Path) -> Result<u64> {
    let mut rows = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|e| unreadable(&directory, e))?,
        };
        for entry in entries {
            let path = entry.map_err(|e| unreadable(&directory, e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".parquet") {
                rows += rows_in(&path)?;
            }
        }
    }
    Ok(rows)
}

fn rows_in(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(|e| unreadable(path, e))?;
    let reader = SerializedFileReader::new(file).map_err(|e| unreadable(path, e))?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::fatal("cannot read Parquet").context("path", path.display()).with_source(error)
}
