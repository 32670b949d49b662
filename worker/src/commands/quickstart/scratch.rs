//! Where quickstart keeps its things, and what is removed when it ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use millrace_api::{Error, Result};

/// Says that a directory is quickstart's own, so that the next run may replace it.
const MARKER: &str = ".millrace-quickstart";

/// The lake, and a temporary directory for database, log and offsets. Both are removed when this
/// is dropped; the lake only if it was not kept.
pub(super) struct Scratch {
    work: PathBuf,
    lake: PathBuf,
    lake_kept: bool,
}

impl Scratch {
    /// Makes both directories. A lake of an earlier run is replaced; anything else is refused.
    pub(super) fn make(lake: &Path) -> Result<Self> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |e: io::Error| {
                Error::config("cannot make a directory")
                    .context("path", path)
                    .context("remedy", "run where you may write, or choose another by --lake")
                    .with_source(e)
            }
        };
        let occupied = fs::read_dir(lake).is_ok_and(|mut entries| entries.next().is_some());
        if occupied && !lake.join(MARKER).exists() {
            return Err(Error::config("the directory for the lake holds something else")
                .context("path", lake.display())
                .context("remedy", "choose another by --lake, or move it away"));
        }
        if occupied {
            fs::remove_dir_all(lake).map_err(failed(lake))?;
        }
        fs::create_dir_all(lake).map_err(failed(lake))?;
        fs::write(lake.join(MARKER), b"").map_err(failed(lake))?;
        let lake = lake.canonicalize().map_err(failed(lake))?;
        let work = std::env::temp_dir().join(format!("millrace-quickstart-{}", std::process::id()));
        let scratch = Self { work, lake, lake_kept: false };
        fs::create_dir_all(&scratch.work).map_err(failed(&scratch.work))?;
        Ok(scratch)
    }

    pub(super) fn lake(&self) -> &Path {
        &self.lake
    }

    pub(super) fn database(&self) -> PathBuf {
        self.work.join("shop.sqlite")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.work.join("log")
    }

    pub(super) fn offsets(&self) -> PathBuf {
        self.work.join("connect.offsets")
    }

    /// The lake is finished and stays.
    pub(super) fn keep_lake(&mut self) {
        self.lake_kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
        if !self.lake_kept {
            let _ = fs::remove_dir_all(&self.lake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_lake_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let lake = dir.path().join("lake");
        let mut scratch = Scratch::make(&lake).unwrap();
        scratch.keep_lake();
        drop(scratch);
        fs::write(lake.join("file.parquet"), b"old").unwrap();
        drop(Scratch::make(&lake).unwrap());
        assert!(!lake.exists(), "not kept, so removed");
        fs::create_dir(&lake).unwrap();
        fs::write(lake.join("precious"), b"x").unwrap();
        let error = Scratch::make(&lake).err().unwrap().to_string();
        assert!(error.contains("--lake"), "{error}");
        assert!(lake.join("precious").exists());
    }
}
