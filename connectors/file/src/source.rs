//! The source `FileStreamSource`: the lines of a file, or of the standard input, become records.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::Array;
use async_trait::async_trait;
use millrace_api::config::Config;
use millrace_api::config::validators::non_empty_string;
use millrace_api::data::{Column, Records, Schema, SourceOffset, SourcePartition, SourceRecords};
use millrace_api::{
    AlteredOffset, Connector, ConnectorContext, Error, OffsetControl, Props, Result, Source,
    SourceContext, SourceTask,
};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout_at};

use crate::lines::{Lines, Run};
use crate::standard_input::Chunks;
use crate::tail::Tail;

/// How long a poll waits for something to read.
const POLL_WAIT: Duration = Duration::from_secs(1);

/// A line without end that is longer than this fails the task before it takes the memory. Java
/// doubles its buffer until the process dies.
const LINE_LIMIT_BYTES: usize = 64 << 20;

/// `org.apache.kafka.connect.file.FileStreamSourceConnector`
pub(crate) struct FileStreamSource;

#[derive(Config, Debug)]
pub(crate) struct FileStreamSourceConfig {
    /// Source filename. If not specified, the standard input will be used
    #[config(key = "file", importance = High)]
    file: Option<String>,
    /// The topic to publish data to
    #[config(key = "topic", importance = High, validate = non_empty_string)]
    topic: String,
    /// The maximum number of records the source task can read from the file each time it is polled
    #[config(key = "batch.size", importance = Low, default = 2000)]
    batch_size: i32,
}

#[async_trait]
impl Source for FileStreamSource {
    const CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSourceConnector";
    type Config = FileStreamSourceConfig;

    async fn connector(
        _config: FileStreamSourceConfig,
        props: Props,
        _context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Ok(Box::new(FileStreamSourceConnector { props }))
    }

    async fn task(props: Props, context: SourceContext) -> Result<Box<dyn SourceTask>> {
        let config = FileStreamSourceConfig::parse(&props)?;
        FileStreamSourceTask::start(config, &context)
            .await
            .map(|task| Box::new(task) as Box<dyn SourceTask>)
    }

    async fn alter_offsets(
        config: FileStreamSourceConfig,
        offsets: &[AlteredOffset],
    ) -> Result<OffsetControl> {
        if config.file.as_deref().unwrap_or_default().is_empty() {
            return Err(Error::fatal(
                "Offsets cannot be modified if the 'file' configuration is unspecified. This is \
                 because stdin is used for input and offsets are not tracked.",
            ));
        }
        offsets.iter().try_for_each(check_altered)?;
        Ok(OffsetControl::Complete)
    }
}

struct FileStreamSourceConnector {
    props: Props,
}

#[async_trait]
impl Connector for FileStreamSourceConnector {
    /// A file has one reader, whatever `tasks.max` says.
    async fn task_configs(&mut self, _tasks_max: usize) -> Result<Vec<Props>> {
        Ok(vec![self.props.clone()])
    }
}

enum Input {
    File(Tail),
    StandardInput(Chunks),
}

pub(crate) struct FileStreamSourceTask {
    topic: Arc<str>,
    batch_size: usize,
    line_limit_bytes: usize,
    partition: Arc<SourcePartition>,
    input: Input,
    lines: Lines,
}

impl FileStreamSourceTask {
    async fn start(config: FileStreamSourceConfig, context: &SourceContext) -> Result<Self> {
        let partition = entry("filename", json!(config.file));
        let (input, position) = match config.file.as_deref() {
            None | Some("") => (Input::StandardInput(Chunks::standard_input()), 0),
            Some(file) => {
                let stored = context.offsets().offsets(std::slice::from_ref(&partition)).await?;
                let position = position(stored.first().and_then(Option::as_ref))
                    .map_err(|e| e.context("file", file))?;
                (Input::File(Tail::new(file)), position)
            }
        };
        Ok(Self {
            topic: config.topic.into(),
            // Java emits a line before it looks at the limit, so that 0 means 1.
            batch_size: usize::try_from(config.batch_size).unwrap_or(1).max(1),
            line_limit_bytes: LINE_LIMIT_BYTES,
            partition: Arc::new(partition),
            input,
            lines: Lines::at(position),
        })
    }

    /// Reads on. False when there was nothing to read up to the deadline.
    async fn read_more(&mut self, deadline: Instant) -> Result<bool> {
        match &mut self.input {
            Input::File(tail) => tail.read_more(&mut self.lines, deadline).await,
            Input::StandardInput(chunks) => {
                let chunk = match timeout_at(deadline, chunks.next()).await {
                    Ok(Ok(Some(chunk))) => chunk,
                    Ok(Ok(None)) => {
                        tokio::time::sleep_until(deadline).await;
                        return Ok(false);
                    }
                    Ok(Err(e)) => {
                        return Err(Error::fatal("cannot read the standard input").with_source(e));
                    }
                    Err(_) => return Ok(false),
                };
                let rest = self.lines.rest();
                let chunk = match &rest[..] {
                    [] => chunk,
                    rest => [rest, &chunk].concat().into(),
                };
                self.lines.refill(chunk);
                Ok(true)
            }
        }
    }

    /// No whole line is at hand: is what is at hand too long for one?
    fn check_length(&self) -> Result<()> {
        if self.lines.rest().len() < self.line_limit_bytes {
            return Ok(());
        }
        let file = self.partition["filename"].as_str().unwrap_or("standard input");
        Err(Error::fatal(
            "a line is longer than a record may be; is this a text file? Break the line up, or set \
             the connector's offset to a position behind it",
        )
        .context("file", file)
        .context("position", self.lines.position())
        .context("limit in bytes", self.line_limit_bytes))
    }

    fn records(&self, run: Run) -> SourceRecords {
        let rows = run.lines.len();
        let value = Column::Typed { schema: Schema::string(false), array: Arc::new(run.lines) };
        let mut records = Records::new(Arc::clone(&self.topic), value);
        records.timestamps = Some(vec![now_millis(); rows].into());
        let position = match self.input {
            Input::File(_) => json!(run.next),
            Input::StandardInput(_) => Json::Null,
        };
        SourceRecords {
            records,
            source_partition: Arc::clone(&self.partition),
            source_offset: Some(entry("position", position)),
        }
    }
}

#[async_trait]
impl SourceTask for FileStreamSourceTask {
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        let deadline = Instant::now() + POLL_WAIT;
        loop {
            if let Some(run) = self.lines.take(self.batch_size) {
                return Ok(vec![self.records(run)]);
            }
            self.check_length()?;
            if !self.read_more(deadline).await? {
                return Ok(Vec::new());
            }
        }
    }
}

fn entry(name: &str, value: Json) -> SourceOffset {
    std::iter::once((name.to_owned(), value)).collect()
}

/// Where to go on, from what was stored.
fn position(stored: Option<&SourceOffset>) -> Result<u64> {
    match stored.and_then(|offset| offset.get("position")) {
        None | Some(Json::Null) => Ok(0),
        Some(position) => position.as_u64().ok_or_else(|| {
            Error::fatal(
                "Offset position is the incorrect type: it must be a number of bytes, 0 or more; \
                 give the connector another name to read from the start",
            )
            .context("position", position)
        }),
    }
}

/// Whether an offset may be set: with Java's words, in Java's order. Anything may be deleted.
fn check_altered((partition, offset): &AlteredOffset) -> Result<()> {
    let Some(offset) = offset else { return Ok(()) };
    let message = match (offset.get("position"), partition) {
        (None, _) => "Offset objects should either be null or contain the key 'position'",
        (Some(position), _) if !position.is_i64() => {
            "The value for the 'position' key in the offset is expected to be a Long value"
        }
        (Some(position), _) if position.as_i64().is_some_and(|bytes| bytes < 0) => {
            "The value for the 'position' key in the offset should be a non-negative value"
        }
        (_, None) => "Partition objects cannot be null",
        (_, Some(partition)) if !partition.contains_key("filename") => {
            "Partition objects should contain the key 'filename'"
        }
        _ => return Ok(()),
    };
    Err(Error::fatal(message))
}

fn now_millis() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use millrace_testkit::plugin_host::run;

    use super::*;

    /// Recorded from Java: what it says about each partition and offset.
    #[test]
    fn offsets_are_refused_in_javas_words() {
        let position = |position: Json| json!({ "position": position });
        let file = || json!({ "filename": "f" });
        for (partition, offset, said) in [
            (json!({}), json!({}), "either be null or contain the key 'position'"),
            (file(), position(json!("3")), "is expected to be a Long value"),
            (file(), position(json!(1.5)), "is expected to be a Long value"),
            (file(), position(Json::Null), "is expected to be a Long value"),
            (file(), position(json!(-3)), "should be a non-negative value"),
            (Json::Null, position(json!(3)), "Partition objects cannot be null"),
            (json!({"x": 1}), position(json!(3)), "should contain the key 'filename'"),
        ] {
            let altered = (partition.as_object().cloned(), offset.as_object().cloned());
            let error = check_altered(&altered).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            check_altered(&(altered.0, None)).expect("anything may be deleted");
        }
        let extra = json!({"position": 3, "x": true}).as_object().cloned();
        check_altered(&(file().as_object().cloned(), extra)).unwrap();
    }

    #[tokio::test]
    async fn the_standard_input_has_no_offsets() {
        let config = |file: &str| {
            let props = [("topic", "t"), ("file", file)].map(|(k, v)| (k.into(), v.into()));
            FileStreamSourceConfig::parse(&Props::from_iter(props)).unwrap()
        };
        let refused = FileStreamSource::alter_offsets(config(""), &[]).await.unwrap_err();
        assert!(refused.to_string().contains("'file' configuration is unspecified"), "{refused}");
        let altered = FileStreamSource::alter_offsets(config("f"), &[]).await.unwrap();
        assert_eq!(altered, OffsetControl::Complete);
    }

    fn task(input: Input) -> FileStreamSourceTask {
        FileStreamSourceTask {
            topic: "lines".into(),
            batch_size: 100,
            line_limit_bytes: 1000,
            partition: Arc::new(entry("filename", Json::Null)),
            input,
            lines: Lines::at(0),
        }
    }

    #[test]
    fn standard_input_has_neither_name_nor_position() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        run(async {
            let mut task = task(Input::StandardInput(Chunks::of(reader)));
            assert_eq!(task.poll().await.unwrap().len(), 0, "nothing was typed");
            for (text, lines) in [("one\ntwo\nth", 2), ("ree\n", 1)] {
                writer.write_all(text.as_bytes()).unwrap();
                let runs = task.poll().await.unwrap();
                assert_eq!(runs[0].records.len(), lines);
                assert_eq!(*runs[0].source_partition, entry("filename", Json::Null));
                assert_eq!(runs[0].source_offset, Some(entry("position", Json::Null)));
            }
            drop(writer);
            assert_eq!(task.poll().await.unwrap().len(), 0, "the input has ended");
        });
    }

    #[test]
    fn a_line_past_the_limit_is_an_error() {
        let input = vec![b'x'; 1001];
        run(async {
            let mut task = task(Input::StandardInput(Chunks::of(std::io::Cursor::new(input))));
            let error = task.poll().await.unwrap_err().to_string();
            let place = "(file: standard input, position: 0, limit in bytes: 1000)";
            assert!(error.ends_with(place), "{error}");
        });
    }
}
