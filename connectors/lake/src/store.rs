//! Decides how a file becomes visible: written under a temporary name, made durable, renamed whole.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use millrace_api::{Error, Result};
use opendal::services::Fs;
use opendal::{Operator, Writer};

/// Where unfinished files are. Readers of lakes skip names that begin with a dot.
const TEMPORARY: &str = ".millrace-tmp";

/// A file system directory that files are published in.
pub(crate) struct Store {
    operator: Operator,
    root: PathBuf,
    identity: Identity,
    temporary: PathBuf,
    /// Directories whose own entry, and those above it, are known to be on disk.
    durable: HashSet<PathBuf>,
    #[cfg(test)]
    pub(crate) faults: faults::Faults,
}

/// A file that nobody sees yet.
pub(crate) struct Upload {
    key: String,
    writer: Writer,
    bytes: u64,
    /// Whether there is something on disk, or may be.
    begun: bool,
}

impl Store {
    /// Opens the directory, made if it is not there; temporary files are kept below `topics_dir`.
    pub(crate) async fn open(root: &Path, topics_dir: &str) -> Result<Self> {
        let temporary = root.join(topics_dir).join(TEMPORARY);
        let (root, temporary) = blocking({
            let (root, temporary) = (root.to_owned(), temporary.clone());
            move || {
                std::fs::create_dir_all(&temporary)?;
                Ok((root.canonicalize()?, temporary.canonicalize()?))
            }
        })
        .await
        .map_err(|e| trouble("cannot open the store", root, e))?;
        let identity = Identity::of(&root).map_err(|e| trouble("cannot read", &root, e))?;
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| {
                Error::config("store.url is not UTF-8").context("store", path.display())
            })
        };
        let service = Fs::default().root(&text(&root)?).atomic_write_dir(&text(&temporary)?);
        let operator = Operator::new(service)
            .map_err(|e| opendal_trouble("cannot open the store", &root, e))?;
        Ok(Self {
            operator,
            root,
            identity,
            temporary,
            durable: HashSet::new(),
            #[cfg(test)]
            faults: faults::Faults::default(),
        })
    }

    /// Starts a file. Nothing is on disk before the first byte.
    pub(crate) async fn create(&self, key: String) -> Result<Upload> {
        self.check_root()?;
        let writer = self
            .operator
            .writer(&key)
            .await
            .map_err(|e| opendal_trouble("cannot create a file", &self.path(&key), e))?;
        Ok(Upload { key, writer, bytes: 0, begun: false })
    }

    /// Appends to a file.
    pub(crate) async fn write(&self, upload: &mut Upload, bytes: Bytes) -> Result<()> {
        upload.begun = true;
        #[cfg(test)]
        self.faults.strike("write", &self.path(&upload.key))?;
        let length = bytes.len() as u64;
        let written = upload.writer.write(bytes).await;
        written.map_err(|e| {
            opendal_trouble("cannot write", &self.path(&upload.key), e)
                .context("bytes", upload.bytes + length)
        })?;
        upload.bytes += length;
        Ok(())
    }

    /// Makes a file visible: whole, and so that it outlives a power cut. On an error it is gone.
    pub(crate) async fn publish(&mut self, mut upload: Upload) -> Result<()> {
        let path = self.path(&upload.key);
        if let Err(error) = self.close(&mut upload, &path).await {
            self.discard(upload).await;
            return Err(error);
        }
        self.make_durable(&path).await
    }

    async fn close(&self, upload: &mut Upload, path: &Path) -> Result<()> {
        self.check_root()?;
        #[cfg(test)]
        self.faults.strike("close", path)?;
        upload.writer.close().await.map_err(|e| {
            opendal_trouble("cannot publish", path, e).context("bytes", upload.bytes)
        })?;
        #[cfg(test)]
        self.faults.strike("closed", path)?;
        Ok(())
    }

    /// Removes what was written of a file. What cannot be removed now is removed when the
    /// partition is opened the next time.
    pub(crate) async fn discard(&self, mut upload: Upload) {
        if !upload.begun {
            return;
        }
        if let Err(error) = upload.writer.abort().await {
            tracing::debug!(key = upload.key, %error, "temporary file stays for now");
        }
    }

    /// The names in a directory; none when it is not there.
    pub(crate) async fn names(&self, directory: &str) -> Result<Vec<String>> {
        // A delimiter other than `/` makes the last part of the directory a prefix of the names.
        let (folder, prefix) = match directory.rfind('/') {
            Some(slash) => directory.split_at(slash + 1),
            None => ("/", directory),
        };
        let failed = |e| opendal_trouble("cannot list", &self.path(folder), e);
        let mut lister = self.operator.lister(folder).await.map_err(failed)?;
        let mut names = Vec::new();
        while let Some(entry) = lister.try_next().await.map_err(failed)? {
            names.extend(entry.name().strip_prefix(prefix).map(str::to_owned));
        }
        Ok(names)
    }

    /// Removes temporary files that a crash has left, by the beginning of their names.
    pub(crate) async fn clean(&self, prefixes: Vec<String>) -> Result<()> {
        let directory = self.temporary.clone();
        blocking(move || remove_by_prefix(&directory, &prefixes))
            .await
            .map_err(|e| trouble("cannot remove temporary files", &self.temporary, e))
    }

    /// Where a key is.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key.trim_start_matches('/'))
    }

    /// Fails when the directory is not the one it was at the start. Without this check a file
    /// system that was unmounted would be written beside, into its mount point.
    fn check_root(&self) -> Result<()> {
        match Identity::of(&self.root) {
            Ok(identity) if identity == self.identity => Ok(()),
            Ok(_) => Err(Error::fatal(
                "the store was replaced by another directory while the task ran; check its mount, \
                 then restart the task",
            )
            .context("path", self.root.display())),
            Err(e) => Err(trouble("the store is gone", &self.root, e)),
        }
    }

    /// A rename is on disk when the directory is, and a new directory when the one above it is.
    async fn make_durable(&mut self, file: &Path) -> Result<()> {
        let directories: Vec<PathBuf> = file
            .ancestors()
            .skip(1)
            .take_while(|d| d.starts_with(&self.root))
            .chain(self.root.parent())
            .map(Path::to_owned)
            .enumerate()
            .filter(|(i, d)| *i == 0 || !self.durable.contains(d))
            .map(|(_, d)| d)
            .collect();
        blocking({
            let directories = directories.clone();
            move || directories.iter().try_for_each(|d| sync_directory(d))
        })
        .await
        .map_err(|e| trouble("cannot make durable", file, e))?;
        self.durable.extend(directories);
        Ok(())
    }
}

/// What tells one directory from another of the same name.
#[derive(PartialEq)]
struct Identity(u64, u64);

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path)?;
        Ok(Self(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|_| Self(0, 0))
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    match std::fs::File::open(directory).and_then(|d| d.sync_all()) {
        // The directory above the store may belong to somebody else; it was there before us then.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

fn remove_by_prefix(directory: &Path, prefixes: &[String]) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            match std::fs::remove_file(entry.path()) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => tracing::info!(%name, "removed a file that was left unfinished"),
            }
        }
    }
    Ok(())
}

/// Runs file system calls that may wait for a disk where they hold nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

fn opendal_trouble(what: &'static str, path: &Path, error: opendal::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut kind = None;
    while let Some(e) = cause {
        kind = kind.or(e.downcast_ref::<io::Error>().map(io::Error::kind));
        cause = e.source();
    }
    message(what, kind).context("path", path.display()).with_source(error)
}

fn trouble(what: &'static str, path: &Path, error: io::Error) -> Error {
    message(what, Some(error.kind())).context("path", path.display()).with_source(error)
}

/// What could not be done, and what to do about it.
fn message(what: &'static str, kind: Option<io::ErrorKind>) -> Error {
    use io::ErrorKind as K;
    let remedy = match kind {
        Some(K::StorageFull | K::QuotaExceeded) => {
            "no space is left: free some, or point store.url elsewhere, then restart the task"
        }
        Some(K::PermissionDenied) => {
            "permission denied: let the worker's user write there, then restart the task"
        }
        Some(K::ReadOnlyFilesystem) => {
            "the file system is read-only: mount it for writing, then restart the task"
        }
        Some(K::NotFound) => {
            "it is not there: was the directory removed or unmounted? restart the task when it is \
             back"
        }
        Some(K::NotADirectory) => {
            "a part of the path is a file: move it away or change store.url or topics.dir, then \
             restart the task"
        }
        Some(K::IsADirectory) => {
            "a directory has the file's name: move it away, then restart the task"
        }
        Some(K::InvalidFilename) => {
            "the file system refuses the name: use a shorter topic name or topics.dir"
        }
        _ => "see the cause; restart the task when it is repaired",
    };
    Error::fatal(format!("{what}: {remedy}"))
}

#[cfg(test)]
pub(crate) mod faults {
    //! Decides, in tests, which step at the store goes wrong.

    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use millrace_api::Result;

    /// Counts steps, and fails one of them.
    #[derive(Clone, Default)]
    pub(crate) struct Faults(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        steps: usize,
        fault: Option<(usize, std::io::ErrorKind)>,
    }

    impl Faults {
        /// Fails the step of this number, from 0.
        pub(crate) fn at(&self, step: usize, kind: std::io::ErrorKind) {
            let fault = Some((step, kind));
            *self.0.lock().unwrap() = State { steps: 0, fault };
        }

        /// How many steps there were.
        pub(crate) fn steps(&self) -> usize {
            self.0.lock().unwrap().steps
        }

        pub(super) fn strike(&self, step: &'static str, path: &Path) -> Result<()> {
            let mut state = self.0.lock().unwrap();
            state.steps += 1;
            match state.fault {
                Some((at, kind)) if at + 1 == state.steps => {
                    Err(super::trouble(step, path, std::io::Error::from(kind)))
                }
                _ => Ok(()),
            }
        }
    }
}
