//! The sink: what lines look like, and files that are torn, missing or full.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use millrace_api::data::{Column, Records, Schema, SinkRecords, Struct, Value};
use millrace_api::{
    Error, ErrorKind, Offsets, Plugin, Props, SinkContext, SinkTask, TopicPartition,
};
use millrace_testkit::plugin_host::{MemoryOffsets, connector, props, run, sink_task};
use millrace_testkit::sink_suite;
use millrace_testkit::sink_suite::{SinkFixture, Tombstones};
use tempfile::TempDir;

struct Lines {
    folder: TempDir,
    file: PathBuf,
}

impl Lines {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("out.txt");
        Self { folder, file }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }
}

#[async_trait]
impl SinkFixture for Lines {
    fn plugin(&self) -> Plugin {
        super::plugin("FileStreamSink")
    }

    fn props(&self) -> Props {
        props([("file", self.file.to_str().unwrap())])
    }

    async fn stored(&self) -> Vec<usize> {
        let text = self.text();
        let numbers = text.lines().filter_map(|line| line.strip_prefix("record "));
        numbers.map(|number| number.parse().unwrap()).collect()
    }

    fn tombstones(&self) -> Tombstones {
        Tombstones::Taken
    }
}

sink_suite!(file_stream_sink, Lines::new());

fn run_of(value: Column, first_offset: i64) -> SinkRecords {
    let mut records = Records::new("lines", value);
    let rows = records.len() as i64;
    records.offsets = Some((first_offset..first_offset + rows).collect());
    SinkRecords::new(records, TopicPartition::new("lines", 0))
}

fn strings(numbers: Range<usize>) -> Column {
    let text = |n| Value::from(&*format!("a line of some length, number {n}"));
    Column::from_values(Some(Schema::string(false)), numbers.map(text).collect())
}

async fn start(file: &Path) -> Result<Box<dyn SinkTask>, Error> {
    let props = props([("file", file.to_str().unwrap())]);
    sink_task(&super::plugin("FileStreamSink"), props, SinkContext::new("test", None)).await
}

#[test]
fn lines_are_what_java_prints() {
    run(async {
        let lines = Lines::new();
        let schema = Schema::struct_builder()
            .field("a", Schema::string(true))
            .field("b", Schema::string(true))
            .build();
        let row = |a: &str| Struct::new(schema.clone(), vec![Value::from(a), Value::Null]);
        let many: Vec<_> = (0..20).map(|n| Value::Struct(row(&format!("x{n}")))).collect();
        let json = [Some("{\"k\": [1, 2.5]}"), None, Some("null"), Some("\"text\"")];
        let batches = [
            run_of(Column::from_values(Some(schema.clone()), many), 0),
            run_of(Column::Json(json.into_iter().collect()), 20),
            run_of(Column::from_values(None, vec![Value::Int64(7), Value::Float64(1e21)]), 24),
            run_of(strings(0..1), 26),
        ];
        let mut task = start(&lines.file).await.unwrap();
        task.put(&batches).await.unwrap();
        let text = lines.text();
        let (structs, others): (Vec<_>, Vec<_>) =
            text.lines().partition(|line| line.starts_with("Struct"));
        assert_eq!(structs.len(), 20);
        assert_eq!(structs[19], "Struct{a=x19}");
        let expected = [
            "{k=[1, 2.5]}",
            "null",
            "null",
            "text",
            "7",
            "1.0E21",
            "a line of some length, number 0",
        ];
        assert_eq!(others, expected);
    });
}

#[test]
fn big_puts_are_written_in_order() {
    run(async {
        let lines = Lines::new();
        let mut task = start(&lines.file).await.unwrap();
        task.put(&[run_of(strings(0..60_000), 0), run_of(strings(60_000..60_005), 60_000)])
            .await
            .unwrap();
        let consumed = Offsets::from([(TopicPartition::new("lines", 0), 60_005)]);
        assert_eq!(task.pre_commit(&consumed).await.unwrap(), consumed);
        let text = lines.text();
        assert_eq!(text.lines().count(), 60_005);
        for (i, line) in text.lines().enumerate() {
            assert!(line.ends_with(&format!("number {i}")), "{line}");
        }
    });
}

#[test]
fn a_file_is_appended_to_and_a_torn_line_is_ended() {
    run(async {
        let lines = Lines::new();
        for (before, after) in [("", ""), ("whole\n", "whole\n"), ("torn li", "torn li\n")] {
            fs::write(&lines.file, before).unwrap();
            let mut task = start(&lines.file).await.unwrap();
            task.put(&[run_of(strings(0..1), 0)]).await.unwrap();
            assert_eq!(lines.text(), format!("{after}a line of some length, number 0\n"));
        }
    });
}

#[test]
fn a_file_that_cannot_be_made_is_named_with_the_remedy() {
    run(async {
        let lines = Lines::new();
        fs::write(&lines.file, "").unwrap();
        let cases = [
            (lines.folder.path().join("missing/out.txt"), "create the directory"),
            (lines.folder.path().to_owned(), "name a file, not a directory"),
            (lines.file.join("out.txt"), "a part of it is no directory"),
        ];
        for (file, remedy) in cases {
            let error = start(&file).await.map(|_| ()).unwrap_err();
            let message = error.to_string();
            let java =
                format!("Couldn't find or create file '{}' for FileStreamSinkTask", file.display());
            assert!(message.starts_with(&java), "{message}");
            assert!(message.contains(remedy), "{message}");
            assert_eq!(error.kind(), ErrorKind::Fatal);
        }
    });
}

#[test]
fn a_full_disk_fails_the_task_with_the_remedy() {
    run(async {
        let mut task = start(Path::new("/dev/full")).await.unwrap();
        let error = task.put(&[run_of(strings(0..3), 0)]).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains("free some space, then restart the task"), "{message}");
        assert!(message.ends_with("(file: /dev/full)"), "{message}");
        assert_eq!(error.kind(), ErrorKind::Fatal);
        task.stop().await.unwrap();
    });
}

#[test]
fn two_tasks_may_write_to_one_file() {
    run(async {
        let lines = Lines::new();
        let mut connector =
            connector(&lines.plugin(), lines.props(), &MemoryOffsets::new()).await.unwrap();
        assert_eq!(connector.task_configs(3).await.unwrap(), vec![lines.props(); 3]);
        let (mut a, mut b) = (start(&lines.file).await.unwrap(), start(&lines.file).await.unwrap());
        let (of_a, of_b) = ([run_of(strings(0..30_000), 0)], [run_of(strings(0..30_000), 0)]);
        let (put_a, put_b) = tokio::join!(a.put(&of_a), b.put(&of_b));
        put_a.and(put_b).unwrap();
        let text = lines.text();
        let whole = text.lines().filter(|line| line.starts_with("a line of some length, number "));
        assert_eq!((text.lines().count(), whole.count()), (60_000, 60_000));
    });
}
