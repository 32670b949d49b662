//! Follows a file that grows, and decides what it means when the file shrinks, goes away or is
//! replaced.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_api::{Error, Result};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::fault;
use crate::lines::Lines;

/// What one read asks for; a line that is longer doubles it.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// How often a file is looked at that has nothing new.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the old file must have been silent before a new one of its name is taken up: its writer
/// may still hold it.
const SILENCE: Duration = Duration::from_secs(1);

/// How often a missing file is mentioned.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// A file that is read as it grows.
#[derive(Debug)]
pub(crate) struct Tail {
    path: Arc<Path>,
    file: Option<Arc<File>>,
    /// Since when there is another file of this name, and nothing new in ours.
    replaced: Option<Instant>,
    warned: Option<Instant>,
}

/// What a look at the file found.
#[derive(Debug)]
enum Found {
    /// The rest of the last chunk, and what follows it.
    Chunk(Bytes),
    /// Nothing new in a file of this length.
    Nothing { length: u64, replaced: bool },
}

impl Tail {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: Path::new(path).into(), file: None, replaced: None, warned: None }
    }

    /// Reads on. False when there was nothing to read up to the deadline.
    ///
    /// Cancel-safe: reads name their position, and `lines` changes only after the last wait.
    pub(crate) async fn read_more(&mut self, lines: &mut Lines, deadline: Instant) -> Result<bool> {
        loop {
            let file = match &self.file {
                Some(file) => Arc::clone(file),
                None => match self.open(lines.position()).await? {
                    Some(file) => file,
                    None => {
                        sleep_until(deadline).await;
                        return Ok(false);
                    }
                },
            };
            match self.look(file, lines).await? {
                Found::Chunk(chunk) => {
                    lines.refill(chunk);
                    self.replaced = None;
                    return Ok(true);
                }
                Found::Nothing { length, replaced } => self.settle(lines, length, replaced),
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(false);
            }
            sleep_until(deadline.min(now + LOOK_EVERY)).await;
        }
    }

    /// Opens the file; none while it does not exist.
    async fn open(&mut self, position: u64) -> Result<Option<Arc<File>>> {
        let path = Arc::clone(&self.path);
        let opened = spawn_blocking(move || {
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            io::Result::Ok((file, metadata))
        })
        .await
        .map_err(|e| fault::interrupted(&self.path, e))?;
        let (file, metadata) = match opened {
            Ok(opened) => opened,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.warn_missing();
                return Ok(None);
            }
            Err(e) => return Err(fault::io("cannot read the source file", &self.path, e)),
        };
        self.check(&metadata, position)?;
        let file = Arc::new(file);
        self.file = Some(Arc::clone(&file));
        Ok(Some(file))
    }

    fn check(&self, metadata: &Metadata, position: u64) -> Result<()> {
        if !metadata.is_file() {
            return Err(Error::fatal(
                "the source file is no regular file; to read a pipe, leave `file` out and redirect \
                 the worker's standard input",
            )
            .context("file", self.path.display()));
        }
        if metadata.len() < position {
            return Err(Error::fatal(
                "the file ends before the position that was read up to: it was truncated or \
                 replaced while the task was not running; restore it, or give the connector \
                 another name to read from the start",
            )
            .context("file", self.path.display())
            .context("position", position)
            .context("length", metadata.len()));
        }
        Ok(())
    }

    async fn look(&self, file: Arc<File>, lines: &Lines) -> Result<Found> {
        let (path, rest, position) = (Arc::clone(&self.path), lines.rest(), lines.position());
        spawn_blocking(move || look(&file, &path, &rest, position))
            .await
            .map_err(|e| fault::interrupted(&self.path, e))?
            .map_err(|e| {
                fault::io("cannot read the source file", &self.path, e)
                    .context("position", lines.position())
            })
    }

    /// Nothing new was found: is this still the file that was read so far?
    fn settle(&mut self, lines: &mut Lines, length: u64, replaced: bool) {
        let (position, pending) = (lines.position(), lines.rest().len());
        let file = self.path.display();
        if length < position {
            tracing::warn!(%file, position, length,
                "the file was truncated; reading it from its start");
            *lines = Lines::at(0);
            return;
        }
        if length < position + pending as u64 {
            // The beginning of a line was taken back.
            *lines = Lines::at(position);
            return;
        }
        if !replaced {
            self.replaced = None;
            return;
        }
        let since = *self.replaced.get_or_insert_with(Instant::now);
        if since.elapsed() >= SILENCE {
            if pending > 0 {
                tracing::warn!(%file, position, bytes = pending,
                    "the file was replaced; its last line has no end and is left out");
            }
            tracing::info!(%file, position, "the file was replaced; reading the new one");
            *lines = Lines::at(0);
            self.file = None;
            self.replaced = None;
        }
    }

    fn warn_missing(&mut self) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            let file = self.path.display();
            tracing::warn!(%file, "couldn't find the source file; waiting for it to be created");
        }
    }
}

/// Reads what follows `rest`, which starts at `position`.
fn look(file: &File, path: &Path, rest: &[u8], position: u64) -> io::Result<Found> {
    let metadata = file.metadata()?;
    let end = position + rest.len() as u64;
    let new = metadata.len().saturating_sub(end);
    if new > 0 {
        let ask = CHUNK_BYTES.max(rest.len());
        let ask = usize::try_from(new).unwrap_or(ask).min(ask);
        let mut chunk = vec![0; rest.len() + ask];
        chunk[..rest.len()].copy_from_slice(rest);
        let read = file.read_at(&mut chunk[rest.len()..], end)?;
        if read > 0 {
            chunk.truncate(rest.len() + read);
            return Ok(Found::Chunk(chunk.into()));
        }
    }
    let identity = |m: &Metadata| (m.dev(), m.ino());
    let replaced = match std::fs::metadata(path) {
        Ok(now) => identity(&now) != identity(&metadata),
        // Moved away, and nothing in its place so far.
        Err(_) => false,
    };
    Ok(Found::Nothing { length: file.metadata()?.len(), replaced })
}
