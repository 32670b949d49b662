//! Source offsets in a local file, for standalone mode: Java's format, replaced as a whole by a
//! durable rename. Commits that come while one is being written wait for it, and are then written
//! together: all tasks of a worker commit at the same times.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use millrace_api::{Error, Result};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::java_map;
use super::offsets::{OffsetStore, canonical, parse_key};

/// `offset.storage.file.filename`. Unlike Java's, a commit either happens or does not: the new file
/// is complete on disk before it takes the old one's name.
pub struct OffsetFile {
    path: Arc<Path>,
    /// By canonical key: the key as it was written, and the value.
    entries: Arc<Mutex<Entries>>,
    /// In the order they came. A task has one at most.
    waiting: StdMutex<Vec<Commit>>,
}

type Entries = BTreeMap<Vec<u8>, (Bytes, Bytes)>;
type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What is to be stored, and who waits for it.
struct Commit {
    changes: Changes,
    written: oneshot::Sender<Result<()>>,
}

impl OffsetFile {
    /// Reads the file; one that does not exist, or is empty, holds no offsets. Checks that it can
    /// be written, so that a worker fails at start rather than at its first commit.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path: PathBuf = path.into();
        let failed = |what: &'static str| {
            let path = path.display().to_string();
            move |e: io::Error| {
                Error::config(what)
                    .context("offset.storage.file.filename", path)
                    .context("remedy", "use a file in a directory this user may write to")
                    .with_source(e)
            }
        };
        let bytes: Bytes = match fs::read(&path) {
            Ok(bytes) => bytes.into(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Bytes::new(),
            Err(e) => return Err(failed("cannot read the offset file")(e)),
        };
        let read = java_map::read(&bytes).map_err(|damage| {
            Error::config("the offset file is damaged")
                .context("offset.storage.file.filename", path.display())
                .context("damage", damage)
                .context(
                    "remedy",
                    "restore a copy, or move it away to read all sources from their beginning",
                )
        })?;
        let temporary = temporary(&path);
        File::create(&temporary).map_err(failed("cannot write beside the offset file"))?;
        fs::remove_file(&temporary).map_err(failed("cannot write beside the offset file"))?;
        let alive = read.into_iter().filter_map(|(k, v)| Some((k, v?)));
        let entries = alive.map(|(k, v)| (canonical(&k), (k, v))).collect();
        let entries = Arc::new(Mutex::new(entries));
        Ok(Self { path: path.into(), entries, waiting: StdMutex::default() })
    }

    /// Adds a commit to those that wait, and leaves out those that nobody waits for any more.
    fn wait(&self, changes: Changes) -> oneshot::Receiver<Result<()>> {
        let (written, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|commit| !commit.written.is_closed());
        waiting.push(Commit { changes, written });
        answer
    }

    /// Writes all commits that wait. Whoever waits for this may give up. The write then ends by
    /// itself, with the entries locked: the next one neither meets it in the file nor misses what it
    /// has written.
    fn write_waiting(&self, mut entries: OwnedMutexGuard<Entries>) {
        let mut commits = take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        commits.retain(|commit| !commit.written.is_closed());
        let path = Arc::clone(&self.path);
        tokio::task::spawn_blocking(move || {
            let changes = commits.iter_mut().flat_map(|commit| take(&mut commit.changes));
            let changed = with(&entries, changes);
            let pairs = changed.values().map(|(k, v)| (&**k, &**v));
            let replaced = replace(&path, &java_map::write(pairs));
            if replaced.is_ok() {
                *entries = changed;
            }
            // They are told before the next one may write.
            for commit in commits {
                let written = replaced.as_ref().map_err(|e| cannot_write(&path, e));
                let _ = commit.written.send(written.copied());
            }
        });
    }
}

fn cannot_write(path: &Path, cause: &io::Error) -> Error {
    Error::retriable(format!("cannot write the offset file: {cause}"))
        .context("offset.storage.file.filename", path.display())
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[async_trait]
impl OffsetStore for OffsetFile {
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>> {
        let entries = self.entries.lock().await;
        Ok(keys.iter().map(|k| entries.get(&canonical(k)).map(|(_, v)| v.to_vec())).collect())
    }

    async fn of_connector(&self, connector: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = self.entries.lock().await;
        let is_its = |key: &[u8]| parse_key(key).is_some_and(|(name, _)| name == connector);
        let of_connector = entries.values().filter(|(key, _)| is_its(key));
        Ok(of_connector.map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }

    async fn set(&self, changes: Changes) -> Result<()> {
        let mut written = self.wait(changes);
        tokio::select! {
            biased;
            // Another one's write took it along.
            written = &mut written => return written.unwrap_or_else(|_| Err(given_up())),
            entries = Arc::clone(&self.entries).lock_owned() => self.write_waiting(entries),
        }
        written.await.unwrap_or_else(|_| Err(given_up()))
    }
}

/// The worker ends, and its threads with it.
fn given_up() -> Error {
    Error::retriable("writing the offset file was given up")
}

fn with(entries: &Entries, changes: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> Entries {
    let mut changed = entries.clone();
    for (key, value) in changes {
        let canonical = canonical(&key);
        match value {
            // The key keeps the bytes it was first written with: Java looks keys up by bytes.
            Some(value) => {
                let entry = changed.entry(canonical).or_insert_with(|| (key.into(), Bytes::new()));
                entry.1 = value.into();
            }
            None => drop(changed.remove(&canonical)),
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn entry(key: &str, value: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        (key.into(), Some(value.into()))
    }

    #[tokio::test]
    async fn offsets_survive_and_keys_are_found_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connect.offsets");
        let file = OffsetFile::open(&path).unwrap();
        file.set(vec![entry(r#"["c",{"b":1,"a":2}]"#, "1")]).await.unwrap();
        file.set(vec![entry(r#"["c",{"a":2,"b":1}]"#, "2")]).await.unwrap();
        let file = OffsetFile::open(&path).unwrap();
        let keys = vec![br#"["c",{"a":2,"b":1}]"#.to_vec(), b"none".to_vec()];
        assert_eq!(file.get(keys).await.unwrap(), [Some(b"2".to_vec()), None]);
        let raw = fs::read(&path).unwrap();
        assert!(raw.windows(19).any(|w| w == br#"["c",{"b":1,"a":2}]"#), "the first bytes stay");
        file.set(vec![(br#"["c",{"b":1,"a":2}]"#.to_vec(), None)]).await.unwrap();
        assert!(OffsetFile::open(&path).unwrap().entries.lock().await.is_empty());
    }

    /// Another connector's, and what is not Connect's, is left out; a name is not a prefix.
    #[tokio::test]
    async fn a_connectors_entries_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = OffsetFile::open(dir.path().join("connect.offsets")).unwrap();
        let (one, two) = (r#"["c",{"p":1}]"#, r#"["c",{"p":2}]"#);
        let others = [r#"["cc",{"p":1}]"#, r#"["c",null]"#, r#"["c"]"#, r#"["c",{},1]"#, "c"];
        let all = others.into_iter().chain([one, two]).map(|key| entry(key, "{}"));
        file.set(all.collect()).await.unwrap();
        let found = file.of_connector("c").await.unwrap();
        let keys: Vec<_> =
            found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect();
        assert_eq!(keys, [one, two]);
    }

    /// A commit that takes too long is given up, and a task with it: the file must stay whole, and
    /// the next commit must not undo what the late one has written.
    #[tokio::test]
    async fn a_write_that_nobody_waits_for_is_neither_met_nor_undone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connect.offsets");
        let file = OffsetFile::open(&path).unwrap();
        let given_up = file.set(vec![entry("a", "1")]);
        tokio::select! {
            biased;
            _ = given_up => panic!("a write takes longer than one poll"),
            () = std::future::ready(()) => {}
        }
        file.set(vec![entry("b", "2")]).await.unwrap();
        let file = OffsetFile::open(&path).unwrap();
        let found = file.get(vec![b"a".to_vec(), b"b".to_vec()]).await.unwrap();
        assert_eq!(found, [Some(b"1".to_vec()), Some(b"2".to_vec())]);
    }

    /// The file is replaced, never written to: whatever reads it, a worker after a crash included,
    /// sees the old entries or the new ones.
    #[tokio::test]
    async fn a_commit_leaves_the_old_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connect.offsets");
        let file = OffsetFile::open(&path).unwrap();
        file.set(vec![entry("a", "1")]).await.unwrap();
        let (bytes, mut reader) = (fs::read(&path).unwrap(), File::open(&path).unwrap());
        file.set(vec![entry("a", "a longer one")]).await.unwrap();
        let mut seen = Vec::new();
        io::Read::read_to_end(&mut reader, &mut seen).unwrap();
        assert_eq!(seen, bytes);
        assert_ne!(fs::read(&path).unwrap(), bytes);
    }

    /// The tasks of a worker commit at the same times. Were each to wait for the disk in its turn, a
    /// worker with many would not be done when it has to end.
    #[tokio::test]
    async fn commits_that_wait_are_written_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connect.offsets");
        let file = OffsetFile::open(&path).unwrap();
        let under_way = file.entries.lock().await;
        let commit = |key: &str, value: &str| {
            let mut commit = file.set(vec![entry(key, value)]);
            assert!((&mut commit).now_or_never().is_none(), "it has to wait");
            commit
        };
        let (first, given_up) = (commit("a", "1"), commit("a", "2"));
        let (other, last) = (commit("b", "3"), commit("b", "4"));
        drop((under_way, given_up));
        first.await.unwrap();
        let stored = OffsetFile::open(&path).unwrap();
        let found = stored.get(vec![b"a".to_vec(), b"b".to_vec()]).await.unwrap();
        assert_eq!(found, [Some(b"1".to_vec()), Some(b"4".to_vec())]);
        fs::remove_file(&path).unwrap();
        other.await.unwrap();
        last.await.unwrap();
        assert!(!path.exists(), "the others were done with the first");
    }

    #[tokio::test]
    async fn a_file_cut_in_half_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connect.offsets");
        let file = OffsetFile::open(&path).unwrap();
        file.set(vec![entry("k", "v")]).await.unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = OffsetFile::open(&path).err().unwrap().to_string();
        let place = format!("damage: the file ends too early at byte {}", bytes.len() / 2);
        for part in ["connect.offsets", &place, "remedy: restore a copy, or move it away"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_refused_at_start() {
        let error = OffsetFile::open("/proc/nowhere/offsets").err().unwrap().to_string();
        assert!(error.contains("/proc/nowhere/offsets"), "{error}");
    }
}
