//! The lake sink through its plugin: the suite that every sink must pass, and a disk that is full.
#![allow(clippy::unwrap_used, reason = "what a test did not expect ends it")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{Array, AsArray};
use async_trait::async_trait;
use millrace_api::data::{Column, Records, Schema, SinkRecords, Value};
use millrace_api::{Offsets, Plugin, Props, SinkContext, TopicPartition};
use millrace_lake::plugins;
use millrace_testkit::plugin_host::{run, sink_task};
use millrace_testkit::sink_suite;
use millrace_testkit::sink_suite::{SinkFixture, Tombstones};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

struct Lake {
    directory: TempDir,
    format: &'static str,
    null_values: &'static str,
}

impl Lake {
    fn new(format: &'static str, null_values: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, format, null_values }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("lake")
    }

    fn away(&self) -> PathBuf {
        self.directory.path().join("away")
    }
}

fn plugin() -> Plugin {
    plugins().pop().expect("there is one")
}

fn props(root: &Path, more: &[(&str, &str)]) -> Props {
    let url = format!("file://{}", root.display());
    let own = [("store.url", url.as_str()), ("flush.size", "10")];
    let all = own.iter().chain(more);
    all.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The files that others see, in order.
fn visible(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    let inside = |path: PathBuf| {
        if path.is_dir() { visible(&path) } else { vec![path] }
    };
    paths.into_iter().flat_map(inside).collect()
}

fn texts(file: &Path) -> Vec<String> {
    if file.extension().is_some_and(|e| e == "json") {
        let lines = std::fs::read_to_string(file).unwrap();
        return lines.lines().map(|line| line.trim_matches('"').to_owned()).collect();
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let mut texts = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column_by_name("value").unwrap().as_string::<i32>();
        assert_eq!(column.null_count(), 0);
        texts.extend(column.iter().flatten().map(str::to_owned));
    }
    texts
}

#[async_trait]
impl SinkFixture for Lake {
    fn plugin(&self) -> Plugin {
        plugin()
    }

    fn props(&self) -> Props {
        let more = [("format.class", self.format), ("behavior.on.null.values", self.null_values)];
        props(&self.root(), &more)
    }

    async fn stored(&self) -> Vec<usize> {
        let texts = visible(&self.root()).into_iter().flat_map(|file| texts(&file));
        texts.map(|text| text.strip_prefix("record ").unwrap().parse().unwrap()).collect()
    }

    fn tombstones(&self) -> Tombstones {
        match self.null_values {
            "ignore" => Tombstones::Taken,
            _ => Tombstones::Refused,
        }
    }

    fn stores_once(&self) -> bool {
        true
    }

    async fn break_target(&self) -> bool {
        std::fs::rename(self.root(), self.away()).unwrap();
        true
    }

    async fn mend_target(&self) {
        std::fs::rename(self.away(), self.root()).unwrap();
    }
}

sink_suite!(parquet_files, Lake::new("parquet", "fail"));
sink_suite!(json_lines, Lake::new("json", "ignore"));

fn context() -> SinkContext {
    SinkContext::new("lake", None)
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// Records that do not compress, of so many hex digits each.
fn records(first: i64, count: i64, length: usize) -> SinkRecords {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = || {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(&format!("{state:016x}"));
        }
        Value::from(&*text)
    };
    let values = (0..count).map(|_| text()).collect();
    let mut records =
        Records::new("orders", Column::from_values(Some(Schema::string(false)), values));
    records.partition = Some(0);
    records.offsets = Some((first..first + count).collect());
    SinkRecords::new(records, orders())
}

/// A file system of 4 MiB; none where this user may not mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "none"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the test disk is unmounted");
    }
}

/// The same is tested without a disk, by errors injected at each step, beside the task.
#[test]
fn a_full_disk_is_named_and_nothing_lies_about() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: mounting a small disk takes more rights than this user has");
        return;
    };
    run(async {
        let more = [("flush.size", "1000"), ("parquet.codec", "none")];
        let props = props(disk.0.path(), &more);
        let mut task = sink_task(&plugin(), props.clone(), context()).await.unwrap();
        task.open(&[orders()]).await.unwrap();
        // 2 MB fit, twice that do not.
        task.put(&[records(0, 1000, 2000)]).await.unwrap();
        let error = task.put(&[records(1000, 1000, 3000)]).await.unwrap_err();
        let text = error.trace();
        assert!(text.contains("no space is left: free some"), "{text}");
        assert!(text.contains("orders+0+0000001000.parquet"), "{text}");
        assert!(text.contains("bytes: "), "{text}");
        assert_eq!(unfinished(disk.0.path()), 0);
        let consumed = Offsets::from([(orders(), 1000)]);
        assert_eq!(task.pre_commit(&consumed).await.unwrap(), consumed);
        drop(task);
        // Space was made: a task that starts again goes on from there.
        let mut task = sink_task(&plugin(), props, context()).await.unwrap();
        task.open(&[orders()]).await.unwrap();
        task.put(&[records(1000, 1000, 1000)]).await.unwrap();
        let rows: usize = visible(disk.0.path()).iter().map(|file| texts(file).len()).sum();
        assert_eq!(rows, 2000);
    });
}

fn unfinished(root: &Path) -> usize {
    std::fs::read_dir(root.join("topics/.millrace-tmp")).unwrap().count()
}
