//! The sink `FileStreamSink`: the text of each value becomes a line of a file, or of the standard
//! output.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use millrace_api::config::Config;
use millrace_api::data::{Printer, SinkRecords};
use millrace_api::{
    Connector, ConnectorContext, Error, OffsetControl, Offsets, Props, Result, Sink, SinkContext,
    SinkTask, TopicPartition,
};
use tokio::task::spawn_blocking;

use crate::fault;

/// Text is handed to the system once there is so much of it, and at the end of each `put`.
const BUFFER_BYTES: usize = 1 << 20;

/// `org.apache.kafka.connect.file.FileStreamSinkConnector`
pub(crate) struct FileStreamSink;

#[derive(Config, Debug)]
pub(crate) struct FileStreamSinkConfig {
    /// Destination filename. If not specified, the standard output will be used
    #[config(key = "file", importance = High)]
    file: Option<String>,
}

#[async_trait]
impl Sink for FileStreamSink {
    const CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSinkConnector";
    type Config = FileStreamSinkConfig;

    async fn connector(
        _config: FileStreamSinkConfig,
        props: Props,
        _context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Ok(Box::new(FileStreamSinkConnector { props }))
    }

    async fn task(props: Props, _context: SinkContext) -> Result<Box<dyn SinkTask>> {
        let config = FileStreamSinkConfig::parse(&props)?;
        let output = Output::open(config.file.as_deref()).await?;
        Ok(Box::new(FileStreamSinkTask { output, buffer: Vec::new() }))
    }

    async fn alter_offsets(
        _config: FileStreamSinkConfig,
        _offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<OffsetControl> {
        Ok(OffsetControl::Complete)
    }
}

struct FileStreamSinkConnector {
    props: Props,
}

#[async_trait]
impl Connector for FileStreamSinkConnector {
    /// Every task appends to the same file.
    async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>> {
        Ok(vec![self.props.clone(); tasks_max])
    }
}

struct FileStreamSinkTask {
    output: Output,
    /// Lines that were not handed to the system; empty between calls.
    buffer: Vec<u8>,
}

impl FileStreamSinkTask {
    async fn append(&mut self, records: &[SinkRecords]) -> Result<()> {
        for run in records {
            let place = |e: Error| e.context("topic partition", &run.topic_partition);
            let values = run.records.value.printer().map_err(place)?;
            let (mut row, rows) = (0, run.records.value.len());
            while row < rows {
                row = print(&values, row, rows, &mut self.buffer).map_err(place)?;
                if self.buffer.len() >= BUFFER_BYTES {
                    self.output.write(&mut self.buffer).await?;
                }
            }
        }
        self.output.write(&mut self.buffer).await
    }
}

#[async_trait]
impl SinkTask for FileStreamSinkTask {
    async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        // What an earlier call left behind comes again.
        self.buffer.clear();
        self.append(records).await
    }

    /// The system has all that was put. Like Java, this does not wait for the disk.
    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        Ok(consumed.clone())
    }
}

/// Prints values from `row` on, a line each, until there is a buffer full. Gives the row to go on
/// with.
fn print(values: &Printer<'_>, row: usize, rows: usize, buffer: &mut Vec<u8>) -> Result<usize> {
    let mut row = row;
    while row < rows && buffer.len() < BUFFER_BYTES {
        values.append(row, buffer)?;
        buffer.push(b'\n');
        row += 1;
    }
    Ok(row)
}

enum Output {
    File { path: Arc<Path>, file: Arc<File> },
    StandardOutput,
}

impl Output {
    async fn open(file: Option<&str>) -> Result<Self> {
        let Some(name) = file.filter(|name| !name.is_empty()) else {
            return Ok(Self::StandardOutput);
        };
        let path: Arc<Path> = Path::new(name).into();
        let opened = {
            let path = Arc::clone(&path);
            spawn_blocking(move || open(&path)).await
        };
        let file = opened.map_err(|e| fault::interrupted(&path, e))?.map_err(|e| {
            let what = format!("Couldn't find or create file '{name}' for FileStreamSinkTask");
            fault::io(&what, &path, e)
        })?;
        Ok(Self::File { path, file: Arc::new(file) })
    }

    /// Hands the buffer to the system and empties it.
    async fn write(&self, buffer: &mut Vec<u8>) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(buffer);
        let written = match self {
            Self::File { path, file } => {
                let file = Arc::clone(file);
                spawn_blocking(move || append(&file, &bytes).map(|()| bytes))
                    .await
                    .map_err(|e| fault::interrupted(path, e))?
                    .map_err(|e| fault::io("cannot write to the file", path, e))
            }
            Self::StandardOutput => spawn_blocking(move || {
                let mut output = io::stdout().lock();
                output.write_all(&bytes).and_then(|()| output.flush()).map(|()| bytes)
            })
            .await
            .map_err(|e| fault::interrupted(Path::new("standard output"), e))?
            .map_err(|e| Error::fatal("cannot write to the standard output").with_source(e)),
        };
        bytes = written?;
        bytes.clear();
        // One huge record must not keep its memory for ever.
        bytes.shrink_to(2 * BUFFER_BYTES);
        *buffer = bytes;
        Ok(())
    }
}

/// Opens the file for appending. If the last writer was killed in the middle of a line, the line is
/// given an end, so that the next one is not glued to it.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    end_last_line(&file, path)?;
    Ok(file)
}

fn end_last_line(mut file: &File, path: &Path) -> io::Result<()> {
    let _lock = Lock::of(file);
    if file.metadata()?.is_file() && ends_within_a_line(path) {
        tracing::warn!(file = %path.display(), "the last line of the file has no end; adding one");
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// False where that cannot be told, such as in a file that may be written but not read.
fn ends_within_a_line(path: &Path) -> bool {
    let last_byte = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        io::Result::Ok(last)
    };
    last_byte().is_ok_and(|last| last != *b"\n")
}

/// Appends all of the bytes or, when the disk is full, none: a torn line is cut off again.
fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let _lock = Lock::of(file);
    let before = file.metadata()?;
    let mut written = 0;
    while written < bytes.len() {
        let error = match file.write(&bytes[written..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(n) => {
                written += n;
                continue;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => e,
        };
        let whole = before.len() + written as u64;
        // Only if nobody else, who does not know our lock, has written behind us.
        if before.is_file() && file.metadata().is_ok_and(|now| now.len() == whole) {
            file.set_len(before.len())?;
        }
        return Err(error);
    }
    Ok(())
}

/// Keeps the tasks that write to one file apart, until dropped.
struct Lock<'a>(&'a File);

impl<'a> Lock<'a> {
    /// Where a file system knows no locks, appends of the system are whole all the same.
    fn of(file: &'a File) -> Option<Self> {
        file.lock().ok().map(|()| Self(file))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "cannot unlock the file");
        }
    }
}
