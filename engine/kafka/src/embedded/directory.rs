//! Decides which files a cluster's directory has beside its logs: the lock, and the list of topics.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_api::{Error, Result, TopicPartition};
use serde::{Deserialize, Serialize};

use super::topic_id::TopicId;

const LOCK_FILE: &str = ".lock";
const CLUSTER_FILE: &str = "cluster.json";
/// The only version of `cluster.json` so far.
const VERSION: u32 = 1;

/// A directory that only this process uses, as long as a clone of it lives.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    path: Arc<Path>,
    _lock: Arc<File>,
}

/// What the cluster is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ClusterFile {
    version: u32,
    pub(super) cluster_id: String,
    pub(super) topics: BTreeMap<String, TopicEntry>,
    /// Producers have had ids up to here, this one not included.
    #[serde(default)]
    pub(super) next_producer_id: i64,
}

/// A topic, as `cluster.json` lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TopicEntry {
    pub(super) partitions: i32,
    #[serde(default)]
    pub(super) configs: BTreeMap<String, String>,
    /// As Kafka's tools show it; lists of earlier versions have none.
    #[serde(default)]
    pub(super) id: Option<TopicId>,
}

impl ClusterFile {
    pub(super) fn new(cluster_id: String) -> Self {
        Self { version: VERSION, cluster_id, topics: BTreeMap::new(), next_producer_id: 0 }
    }
}

impl Directory {
    /// Creates the directory if need be and locks it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |what: &'static str| {
            move |e: io::Error| {
                Error::fatal(what)
                    .context("key", "bootstrap.servers")
                    .context("directory", path.display())
                    .with_source(e)
            }
        };
        fs::create_dir_all(path)
            .map_err(failed("cannot create the embedded cluster's directory"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(failed("cannot open the lock file of the embedded cluster's directory"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(Error::fatal(
                "the embedded cluster's directory is in use, and only one process may open it, \
                 once: stop the other one, give this one another directory, or have `millrace \
                 broker --dir DIRECTORY` serve it to both, whose bootstrap.servers is then the \
                 address that it prints",
            )
            .context("directory", path.display())),
            Err(TryLockError::Error(e)) => {
                Err(failed("cannot lock the embedded cluster's directory")(e))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a partition's segments lie.
    pub(super) fn partition(&self, topic_partition: &TopicPartition) -> PathBuf {
        self.path.join(topic_partition.to_string())
    }

    /// Reads `cluster.json`; none in a new directory.
    pub(super) fn load(&self) -> Result<Option<ClusterFile>> {
        let path = self.path.join(CLUSTER_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.refuse_orphans(),
            Err(e) => return Err(failed("cannot read the list of topics", &path, e)),
        };
        let file: ClusterFile = serde_json::from_slice(&text).map_err(|e| {
            let what = "the embedded cluster's list of topics is damaged: restore it from a \
                        backup, or move its directory away to begin with an empty cluster";
            Error::fatal(what).context("file", path.display()).with_source(e)
        })?;
        if file.version != VERSION {
            return Err(Error::fatal(
                "the embedded cluster was written by a newer version of this program: use that \
                 one, or another directory",
            )
            .context("file", path.display())
            .context("version", file.version));
        }
        Ok(Some(file))
    }

    /// Replaces `cluster.json`: after a crash the old or the new one is there, whole.
    pub(super) fn save(&self, file: &ClusterFile) -> Result<()> {
        let path = self.path.join(CLUSTER_FILE);
        let text = serde_json::to_vec_pretty(file).expect("strings and numbers are always JSON");
        replace(&path, &text).map_err(|e| failed("cannot write the list of topics", &path, e))
    }

    /// Logs without a list of topics are data that an empty cluster would hide.
    fn refuse_orphans(&self) -> Result<Option<ClusterFile>> {
        let entries = fs::read_dir(&self.path)
            .map_err(|e| failed("cannot list the embedded cluster's directory", &self.path, e))?;
        for entry in entries.flatten() {
            if entry.path().is_dir() && segment_files(&entry.path()).is_ok_and(|s| !s.is_empty()) {
                return Err(Error::fatal(
                    "the directory has logs, but the list of topics is missing: restore \
                     cluster.json, or choose another directory",
                )
                .context("directory", self.path.display())
                .context("log", entry.path().display()));
            }
        }
        Ok(None)
    }
}

/// The segment files of a partition by their first offset, ascending.
pub(super) fn segment_files(directory: &Path) -> io::Result<BTreeMap<i64, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let offset = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".log"))
            .and_then(|stem| stem.parse().ok());
        if let Some(offset) = offset {
            files.insert(offset, path);
        }
    }
    Ok(files)
}

/// Makes renames and new files in a directory last.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Replaces a small file: after a crash the old or the new one is there, whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync(path.parent().unwrap_or(path))
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::fatal(what).context("file", path.display()).with_source(source)
}
