//! The source: positions, ends of lines, and files that change under it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::Array;
use async_trait::async_trait;
use millrace_api::data::{Column, Records, Schema, SourceRecords};
use millrace_api::{Error, ErrorKind, Plugin, Props, SourceTask};
use millrace_testkit::plugin_host::{MemoryOffsets, props, run, source_task};
use millrace_testkit::source_suite;
use millrace_testkit::source_suite::SourceFixture;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

struct Lines {
    folder: TempDir,
    file: PathBuf,
    batch_size: &'static str,
}

impl Lines {
    /// A file that does not exist yet.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("lines.txt");
        Self { folder, file, batch_size: "7" }
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.file).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    async fn start(&self, offsets: &Arc<MemoryOffsets>) -> Box<dyn SourceTask> {
        source_task(&self.plugin(), self.props(), offsets).await.unwrap()
    }

    fn stored(&self, position: Json) -> Arc<MemoryOffsets> {
        let offsets = MemoryOffsets::new();
        let object = |json: Json| json.as_object().unwrap().clone();
        offsets
            .store(object(json!({"filename": self.file})), object(json!({"position": position})));
        offsets
    }
}

#[async_trait]
impl SourceFixture for Lines {
    fn plugin(&self) -> Plugin {
        super::plugin("FileStreamSource")
    }

    fn props(&self) -> Props {
        props([
            ("file", self.file.to_str().unwrap()),
            ("topic", "lines"),
            ("batch.size", self.batch_size),
        ])
    }

    async fn add(&self, numbers: Range<usize>) {
        let ends = ["\n", "\r\n", "\n", "\r"];
        let mut text = String::new();
        for number in numbers.clone() {
            // A lone `\r` at the end of the file would wait for what follows.
            let end = if number + 1 == numbers.end { "\n" } else { ends[number % 4] };
            text += &format!("line number {number}{end}");
        }
        self.append(text);
    }

    fn number(&self, records: &Records, row: usize) -> usize {
        let line = records.value.value(row).unwrap().to_string();
        line.strip_prefix("line number ").unwrap().parse().unwrap()
    }
}

source_suite!(file_stream_source, Lines::new());

fn texts(runs: &[SourceRecords]) -> Vec<String> {
    let rows = |run: &SourceRecords| run.records.value.rows().unwrap().into_owned();
    runs.iter().flat_map(rows).map(|value| value.to_string()).collect()
}

fn position(runs: &[SourceRecords]) -> Json {
    let offset = runs.last().expect("something was read").source_offset.as_ref();
    offset.expect("a file has offsets")["position"].clone()
}

/// Polls until something comes; gives up after some seconds.
async fn next(task: &mut dyn SourceTask) -> Vec<SourceRecords> {
    for _ in 0..8 {
        let runs = task.poll().await.unwrap();
        if !runs.is_empty() {
            return runs;
        }
    }
    panic!("nothing comes");
}

async fn failure(task: &mut dyn SourceTask) -> Error {
    for _ in 0..4 {
        if let Err(error) = task.poll().await {
            assert_eq!(error.kind(), ErrorKind::Fatal);
            return error;
        }
    }
    panic!("the task goes on");
}

#[test]
fn records_are_javas() {
    run(async {
        let lines = Lines::new();
        lines.append("foo\nb\u{e4}r\r\nno end");
        let mut task = lines.start(&MemoryOffsets::new()).await;
        let runs = task.poll().await.unwrap();
        let [run] = &runs[..] else { panic!("one run") };
        assert_eq!(texts(&runs), ["foo", "b\u{e4}r"]);
        let records = &run.records;
        assert_eq!(&*records.topic, "lines");
        assert_eq!(records.partition, None);
        assert!(matches!(&records.key, Column::Json(keys) if keys.len() == keys.null_count()));
        assert_eq!(records.value.schema(), Some(&Schema::string(false)));
        assert!(records.timestamp(1).unwrap() > 1_700_000_000_000);
        let partition = Json::Object((*run.source_partition).clone());
        assert_eq!(partition, json!({"filename": lines.file}));
        assert_eq!(position(&runs), json!(10), "bytes, the end of the line included");
    });
}

#[test]
fn a_line_without_end_waits_for_it() {
    run(async {
        let lines = Lines::new();
        lines.append("one\ntw");
        let mut task = lines.start(&MemoryOffsets::new()).await;
        assert_eq!(texts(&next(&mut *task).await), ["one"]);
        assert_eq!(task.poll().await.unwrap().len(), 0);
        lines.append("o\r");
        assert_eq!(task.poll().await.unwrap().len(), 0);
        lines.append("\nthree\n");
        let runs = next(&mut *task).await;
        assert_eq!(texts(&runs), ["two", "three"]);
        assert_eq!(position(&runs), json!(15));
    });
}

#[test]
fn a_batch_size_below_one_is_one() {
    run(async {
        let mut lines = Lines::new();
        lines.append("one\ntwo\n");
        for batch_size in ["0", "-5"] {
            lines.batch_size = batch_size;
            let mut task = lines.start(&MemoryOffsets::new()).await;
            assert_eq!(texts(&task.poll().await.unwrap()), ["one"]);
            assert_eq!(texts(&task.poll().await.unwrap()), ["two"]);
        }
    });
}

#[test]
fn long_lines_are_read_whole_up_to_a_bound() {
    run(async {
        let lines = Lines::new();
        let long = "x".repeat(3 << 20);
        lines.append(format!("short\n{long}\nend\n"));
        let mut task = lines.start(&MemoryOffsets::new()).await;
        let mut found = texts(&next(&mut *task).await);
        while found.len() < 3 {
            found.extend(texts(&next(&mut *task).await));
        }
        assert!(found == ["short", &*long, "end"]);

        let size = fs::metadata(&lines.file).unwrap().len();
        let file = OpenOptions::new().write(true).open(&lines.file).unwrap();
        file.set_len(size + (65 << 20)).unwrap();
        let error = failure(&mut *task).await.to_string();
        let (name, limit) = (lines.file.display(), 64 << 20);
        let place = format!("(file: {name}, position: {size}, limit in bytes: {limit})");
        assert!(error.ends_with(&place), "{error}");
    });
}

#[test]
fn a_file_that_was_cut_while_nobody_looked_fails_the_task() {
    run(async {
        let lines = Lines::new();
        lines.append("one\n");
        let mut task = lines.start(&lines.stored(json!(400))).await;
        let error = failure(&mut *task).await.to_string();
        assert!(error.contains("give the connector another name"), "{error}");
        assert!(error.ends_with("position: 400, length: 4)"), "{error}");
    });
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_read_from_its_start() {
    run(async {
        let lines = Lines::new();
        lines.append("one of many\ntwo of many\nthr");
        let mut task = lines.start(&MemoryOffsets::new()).await;
        assert_eq!(texts(&next(&mut *task).await).len(), 2);
        File::options().write(true).truncate(true).open(&lines.file).unwrap();
        lines.append("new\n");
        let runs = next(&mut *task).await;
        assert_eq!((texts(&runs), position(&runs)), (vec!["new".to_owned()], json!(4)));
    });
}

#[test]
fn the_beginning_of_a_line_may_be_taken_back() {
    run(async {
        let lines = Lines::new();
        lines.append("one\ntwo, or");
        let mut task = lines.start(&MemoryOffsets::new()).await;
        assert_eq!(texts(&next(&mut *task).await), ["one"]);
        assert_eq!(task.poll().await.unwrap().len(), 0);
        OpenOptions::new().write(true).open(&lines.file).unwrap().set_len(4).unwrap();
        assert_eq!(task.poll().await.unwrap().len(), 0);
        lines.append("2\n");
        assert_eq!(texts(&next(&mut *task).await), ["2"]);
    });
}

#[test]
fn a_replaced_file_is_read_to_its_end_then_the_new_one_from_its_start() {
    run(async {
        let lines = Lines::new();
        lines.append("old 1\n");
        let mut task = lines.start(&MemoryOffsets::new()).await;
        assert_eq!(texts(&next(&mut *task).await), ["old 1"]);
        let mut old = OpenOptions::new().append(true).open(&lines.file).unwrap();
        fs::rename(&lines.file, lines.folder.path().join("lines.txt.1")).unwrap();
        lines.append("new 1\nnew 2\n");
        // Its writer has not noticed yet.
        old.write_all(b"old 2\n").unwrap();
        assert_eq!(texts(&next(&mut *task).await), ["old 2"]);
        let runs = next(&mut *task).await;
        assert_eq!(texts(&runs), ["new 1", "new 2"]);
        assert_eq!(position(&runs), json!(12));
    });
}

#[test]
fn a_missing_file_is_waited_for() {
    run(async {
        let lines = Lines::new();
        let mut task = lines.start(&MemoryOffsets::new()).await;
        assert_eq!(task.poll().await.unwrap().len(), 0);
        lines.append("here\n");
        assert_eq!(texts(&next(&mut *task).await), ["here"]);
    });
}

#[test]
fn what_cannot_be_read_fails_the_task() {
    run(async {
        let mut lines = Lines::new();
        lines.append("a file\n");
        let below = lines.file.join("below");
        let folder = lines.folder.path().to_owned();
        for (file, remedy) in [(below, "a part of it is no directory"), (folder, "pipe")] {
            lines.file = file;
            let mut task = lines.start(&MemoryOffsets::new()).await;
            let error = failure(&mut *task).await.to_string();
            assert!(error.contains(remedy), "{error}");
            assert!(error.contains(lines.file.to_str().unwrap()), "{error}");
        }
    });
}

#[test]
fn a_stored_position_must_be_a_number() {
    run(async {
        let lines = Lines::new();
        lines.append("one\ntwo\n");
        for position in [json!("4"), json!(-4), json!(1.5)] {
            let offsets = lines.stored(position);
            let task = source_task(&lines.plugin(), lines.props(), &offsets).await;
            let error = task.map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("Offset position is the incorrect type"), "{error}");
        }
        let mut task = lines.start(&lines.stored(Json::Null)).await;
        assert_eq!(texts(&next(&mut *task).await), ["one", "two"]);
        let mut task = lines.start(&lines.stored(json!(4))).await;
        assert_eq!(texts(&next(&mut *task).await), ["two"]);
    });
}

#[test]
fn missing_and_malformed_keys_are_named() {
    run(async {
        let lines = Lines::new();
        let cases = [
            ("topic", None, "Missing required configuration \"topic\" which has no default value."),
            ("topic", Some(""), "Invalid value  for configuration topic: String must be non-empty"),
            (
                "batch.size",
                Some("many"),
                "Invalid value many for configuration batch.size: Not a number of type INT",
            ),
        ];
        for (key, value, message) in cases {
            let mut props = lines.props();
            match value {
                Some(value) => props.insert(key.into(), value.into()),
                None => props.remove(key),
            };
            let task = source_task(&lines.plugin(), props, &MemoryOffsets::new()).await;
            let error = task.map(|_| ()).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Config, message));
        }
    });
}
