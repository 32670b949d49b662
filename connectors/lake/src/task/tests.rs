//! The sink as the worker sees it: what is put, what is committed, and what lies in the directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use millrace_api::config::{Config, Props};
use millrace_api::data::{Column, Kind, Schema, SchemaRef, Struct, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::*;
use crate::config::LakeSinkConfig;

mod crashes;
mod values;

/// A directory, and how tasks that write to it are configured.
struct Lake {
    directory: TempDir,
    props: Props,
    now: Arc<AtomicI64>,
    reported: Arc<Reported>,
}

#[derive(Default)]
struct Reported {
    refuse: bool,
    rows: Mutex<Vec<(i64, String)>>,
    is_slow: AtomicBool,
}

#[async_trait]
impl ErrantRecordReporter for Reported {
    async fn report(&self, records: &SinkRecords, row: usize, error: Error) -> Result<()> {
        if self.refuse {
            return Err(error);
        }
        let entry = (records.offsets()[row], error.message().to_owned());
        self.rows.lock().unwrap().push(entry);
        Ok(())
    }

    async fn settle(&self) -> Result<()> {
        match self.is_slow.load(Ordering::Relaxed) {
            true => Err(Error::retriable("they are under way")),
            false => Ok(()),
        }
    }
}

impl Lake {
    fn new(more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}", directory.path().display());
        let mut props = Props::from([("store.url".into(), url), ("flush.size".into(), "4".into())]);
        props.extend(more.iter().map(|(k, v)| ((*k).into(), (*v).into())));
        Self {
            directory,
            props,
            now: Arc::new(AtomicI64::new(1_000_000)),
            reported: Arc::default(),
        }
    }

    async fn task_for(&self, partitions: &[TopicPartition], report: bool) -> LakeSinkTask {
        let settings = Settings::new(&LakeSinkConfig::parse(&self.props).unwrap()).unwrap();
        let reporter: Arc<dyn ErrantRecordReporter> = self.reported.clone();
        let context = SinkContext::new("lake", report.then_some(reporter));
        let now = Arc::clone(&self.now);
        let clock = Clock::new(move || now.load(Ordering::Relaxed));
        let mut task = LakeSinkTask::new(settings, &context, clock).await.unwrap();
        task.open(partitions).await.unwrap();
        task
    }

    /// A task that has partition 0 of `orders`.
    async fn task(&self) -> LakeSinkTask {
        self.task_for(&[orders()], false).await
    }

    fn later(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// All visible files by their key, with the column `id` or the lines of each.
    fn files(&self) -> BTreeMap<String, Vec<i64>> {
        let ids = |path: &Path| match path.extension().and_then(|e| e.to_str()) {
            Some("json") => {
                let text = std::fs::read_to_string(path).unwrap();
                assert!(text.is_empty() || text.ends_with('\n'));
                text.lines().map(|line| line.parse().unwrap()).collect()
            }
            _ => read(path)
                .column_by_name("id")
                .unwrap()
                .as_primitive::<Int64Type>()
                .values()
                .to_vec(),
        };
        let root = self.directory.path();
        let key = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let visible = walk(root).into_iter().filter(|p| !hidden(p));
        visible.map(|path| (key(&path), ids(&path))).collect()
    }

    /// How many files are unfinished.
    fn unfinished(&self) -> usize {
        walk(self.directory.path()).iter().filter(|p| hidden(p)).count()
    }
}

fn hidden(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == ".millrace-tmp")
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn key(start: i64) -> String {
    format!("topics/orders/partition=0/orders+0+{start:010}.snappy.parquet")
}

fn id_schema() -> SchemaRef {
    let id = Schema::builder(Kind::Int64).build();
    Schema::struct_builder().name("Order").field("id", id).build()
}

/// Records whose `id` is their offset.
fn run_of(source: &TopicPartition, schema: &SchemaRef, offsets: &[i64]) -> SinkRecords {
    let row = |o: &i64| Value::Struct(Struct::new(Arc::clone(schema), vec![Value::Int64(*o)]));
    let values = offsets.iter().map(row).collect();
    put_together(source, Column::from_values(Some(Arc::clone(schema)), values), offsets)
}

fn put_together(source: &TopicPartition, value: Column, offsets: &[i64]) -> SinkRecords {
    let mut records = Records::new(Arc::clone(&source.topic), value);
    records.partition = Some(source.partition);
    records.offsets = Some(ScalarBuffer::from(offsets.to_vec()));
    SinkRecords::new(records, source.clone())
}

fn run(offsets: std::ops::Range<i64>) -> SinkRecords {
    run_of(&orders(), &id_schema(), &offsets.collect::<Vec<_>>())
}

async fn committed(task: &mut LakeSinkTask, consumed: i64) -> Option<i64> {
    let consumed = Offsets::from([(orders(), consumed)]);
    task.pre_commit(&consumed).await.unwrap().remove(&orders())
}

fn expect_files(lake: &Lake, expected: &[(i64, std::ops::Range<i64>)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(start, ids)| (key(*start), ids.clone().collect::<Vec<_>>()))
        .collect();
    assert_eq!(lake.files(), expected);
}

#[tokio::test]
async fn a_full_file_is_visible_and_only_then_committed() {
    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    task.put(&[run(10..13)]).await.unwrap();
    expect_files(&lake, &[]);
    assert_eq!(committed(&mut task, 13).await, Some(10));
    task.put(&[run(13..19)]).await.unwrap();
    expect_files(&lake, &[(10, 10..14), (14, 14..18)]);
    assert_eq!(committed(&mut task, 19).await, Some(18));
    task.put(&[run(19..22)]).await.unwrap();
    assert_eq!(committed(&mut task, 22).await, Some(22), "nothing is open");
    task.close(&[orders()]).await.unwrap();
    task.stop().await.unwrap();
    assert_eq!(lake.unfinished(), 0);
}

#[tokio::test]
async fn closing_gives_open_files_up_and_they_are_read_again() {
    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    task.put(&[run(0..6)]).await.unwrap();
    let next = committed(&mut task, 6).await.unwrap();
    task.close(&[orders()]).await.unwrap();
    assert!(task.pre_commit(&Offsets::from([(orders(), 6)])).await.unwrap().is_empty());
    task.open(&[orders()]).await.unwrap();
    task.put(&[run(next..8)]).await.unwrap();
    expect_files(&lake, &[(0, 0..4), (4, 4..8)]);
}

#[tokio::test]
async fn when_the_worker_goes_back_nothing_is_written_twice() {
    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    task.put(&[run(0..6)]).await.unwrap();
    // To the start of the open file, to the middle of it, and to the start of a published one.
    for from in [4, 5, 0, 4] {
        task.put(&[run(from..7)]).await.unwrap();
        assert_eq!(committed(&mut task, 7).await, Some(4));
    }
    task.put(&[run(7..9)]).await.unwrap();
    expect_files(&lake, &[(0, 0..4), (4, 4..8)]);
    assert_eq!(committed(&mut task, 9).await, Some(8));
}

#[tokio::test]
async fn a_schema_and_a_topic_get_files_of_their_own() {
    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    let other = Schema::struct_builder()
        .name("Order")
        .version(2)
        .field("id", Schema::builder(Kind::Int64).build())
        .build();
    let mut renamed = run(4..5);
    renamed.records.topic = "sales".into();
    let runs = [run(0..1), run(1..2), run_of(&orders(), &other, &[2, 3]), renamed, run(5..9)];
    task.put(&runs).await.unwrap();
    let files: Vec<_> = lake.files().into_iter().collect();
    assert_eq!(
        files,
        vec![
            (key(0), vec![0, 1]),
            (key(2), vec![2, 3]),
            (key(5), vec![5, 6, 7, 8]),
            ("topics/sales/partition=0/orders+0+0000000004.snappy.parquet".into(), vec![4]),
        ]
    );
}

#[tokio::test]
async fn idle_files_are_published_by_the_clock_and_by_an_empty_put() {
    let lake = Lake::new(&[("rotate.interval.ms", "500"), ("flush.size", "100")]);
    let mut task = lake.task().await;
    task.put(&[run(0..3)]).await.unwrap();
    lake.later(499);
    task.put(&[]).await.unwrap();
    expect_files(&lake, &[]);
    lake.later(1);
    task.put(&[]).await.unwrap();
    expect_files(&lake, &[(0, 0..3)]);
    assert_eq!(committed(&mut task, 3).await, Some(3));
}

#[tokio::test]
async fn what_the_clock_cut_is_cut_again_in_the_same_places() {
    let lake = Lake::new(&[("rotate.interval.ms", "500"), ("flush.size", "100")]);
    let mut task = lake.task().await;
    for start in [0, 3, 6] {
        task.put(&[run(start..start + 3)]).await.unwrap();
        lake.later(500);
        task.put(&[]).await.unwrap();
    }
    expect_files(&lake, &[(0, 0..3), (3, 3..6), (6, 6..9)]);
    drop(task);
    // Nothing was committed: the worker starts again from 0, and all comes at once.
    let mut task = lake.task().await;
    task.put(&[run(0..12)]).await.unwrap();
    lake.later(500);
    task.put(&[]).await.unwrap();
    expect_files(&lake, &[(0, 0..3), (3, 3..6), (6, 6..12)]);
}

#[tokio::test]
async fn the_schedule_publishes_at_whole_intervals() {
    let lake = Lake::new(&[("rotate.schedule.interval.ms", "600"), ("timezone", "UTC")]);
    let mut task = lake.task().await;
    task.put(&[run(0..3)]).await.unwrap();
    lake.later(199);
    task.put(&[]).await.unwrap();
    expect_files(&lake, &[]);
    lake.later(1);
    task.put(&[]).await.unwrap();
    expect_files(&lake, &[(0, 0..3)]);
}

#[tokio::test]
async fn nulls_fail_are_reported_or_left_out() {
    let schema = id_schema().to_builder().optional().build();
    let mut with_null = run_of(&orders(), &schema, &[0, 1, 2, 3, 4]);
    let mut values = with_null.records.value.rows().unwrap().into_owned();
    values[1] = Value::Null;
    with_null.records.value = Column::from_values(Some(schema), values);

    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    let error = task.put(&[with_null.clone()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("behavior.on.null.values=ignore"), "{error}");
    assert!(error.to_string().contains("topic: orders, partition: 0, offset: 1"), "{error}");
    expect_files(&lake, &[]);

    let mut task = lake.task_for(&[orders()], true).await;
    task.put(&[with_null.clone()]).await.unwrap();
    assert_eq!(lake.reported.rows.lock().unwrap().len(), 1);
    assert_eq!(lake.files()[&key(0)], vec![0, 2, 3, 4]);

    let lake = Lake::new(&[("behavior.on.null.values", "ignore")]);
    let mut task = lake.task().await;
    task.put(&[with_null]).await.unwrap();
    assert_eq!(lake.files()[&key(0)], vec![0, 2, 3, 4]);
    let nulls = put_together(&orders(), Column::nulls(2), &[5, 6]);
    task.put(&[nulls]).await.unwrap();
    assert_eq!(committed(&mut task, 7).await, Some(7), "nothing waits for what is left out");
}

#[tokio::test]
async fn reports_that_are_slow_cost_no_records() {
    let schema = id_schema().to_builder().optional().build();
    let lake = Lake::new(&[]);
    let other = TopicPartition::new("orders", 1);
    let mut task = lake.task_for(&[orders(), other.clone()], true).await;
    task.put(&[run_of(&orders(), &schema, &[0, 1])]).await.unwrap();
    let mut with_null = run_of(&other, &schema, &[0, 1, 2]);
    let mut values = with_null.records.value.rows().unwrap().into_owned();
    values[1] = Value::Null;
    with_null.records.value = Column::from_values(Some(Arc::clone(&schema)), values);
    let batch =
        [run_of(&orders(), &schema, &[2, 3, 4]), with_null, run_of(&orders(), &schema, &[5, 6, 7])];
    lake.reported.is_slow.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert!(task.put(&batch).await.unwrap_err().is_retriable());
        assert_eq!(committed(&mut task, 2).await, Some(0), "nothing is published");
    }
    lake.reported.is_slow.store(false, Ordering::Relaxed);
    task.put(&batch).await.unwrap();
    assert_eq!(lake.reported.rows.lock().unwrap().len(), 1, "it is reported once");
    let files: Vec<_> = lake.files().into_values().collect();
    assert_eq!(files, [[0, 1, 2, 3], [4, 5, 6, 7]]);
    task.put(&[run_of(&other, &schema, &[3, 4])]).await.unwrap();
    let files: Vec<_> = lake.files().into_values().collect();
    assert_eq!(files[2..], [[0, 2, 3, 4]]);
}

#[tokio::test]
async fn what_has_no_schema_cannot_be_parquet() {
    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    let texts = Column::Json([Some("1"), Some("{}")].into_iter().collect());
    let error = task.put(&[put_together(&orders(), texts, &[7, 8])]).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Parquet requires a schema"), "{text}");
    assert!(text.contains("schemas.enable=true") && text.contains("format.class=json"), "{text}");
    assert!(text.contains("topic: orders, partition: 0, offset: 7"), "{text}");
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_reported_and_the_others_go_on() {
    let lake = Lake::new(&[("flush.size", "19")]);
    let mut task = lake.task_for(&[orders()], true).await;
    let schema = id_schema();
    for rows in [20, 5] {
        let cell = |row| {
            if row == 2 { Value::Null } else { Value::Int64(row) }
        };
        let row = |row| Value::Struct(Struct::new(Arc::clone(&schema), vec![cell(row)]));
        let values = (0..rows).map(row).collect();
        let column = Column::from_values(Some(Arc::clone(&schema)), values);
        let offsets: Vec<i64> = (0..rows).collect();
        task.put(&[put_together(&orders(), column, &offsets)]).await.unwrap();
        let (offset, message) = lake.reported.rows.lock().unwrap().pop().unwrap();
        assert_eq!((offset, &*message), (2, "null in a field that is required"));
    }
    let expected: Vec<i64> = (0..20).filter(|id| *id != 2).collect();
    assert_eq!(lake.files()[&key(0)], expected);
}

#[tokio::test]
async fn json_lines_take_what_has_no_schema() {
    let lake = Lake::new(&[("format.class", "json")]);
    let mut task = lake.task().await;
    let texts = |ids: std::ops::Range<i64>| {
        let texts: Vec<_> = ids.clone().map(|id| id.to_string()).collect();
        let column = Column::Json(texts.iter().map(|t| Some(t.as_str())).collect());
        put_together(&orders(), column, &ids.collect::<Vec<_>>())
    };
    task.put(&[texts(0..3), texts(3..6)]).await.unwrap();
    let name = "topics/orders/partition=0/orders+0+0000000000.json";
    assert_eq!(lake.files(), BTreeMap::from([(name.into(), vec![0, 1, 2, 3])]));
}

#[tokio::test]
async fn files_that_take_too_much_memory_get_more_row_groups_and_lose_nothing() {
    let lake = Lake::new(&[("flush.size", "5000")]);
    let sources = [orders(), TopicPartition::new("orders", 1)];
    let mut task = lake.task_for(&sources, false).await;
    task.memory = 20_000;
    let offsets: Vec<i64> = (0..5000).collect();
    for part in offsets.chunks(500) {
        let runs: Vec<_> = sources.iter().map(|s| run_of(s, &id_schema(), part)).collect();
        task.put(&runs).await.unwrap();
        let held: usize = task.partitions.values().map(Partition::memory).sum();
        assert!(held <= 20_000, "{held} bytes are held");
    }
    let files = lake.files();
    assert_eq!(files.len(), 2);
    assert!(files.values().all(|ids| *ids == offsets));
    let file = File::open(lake.directory.path().join(key(0))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert!(reader.metadata().num_row_groups() > 1);
}

#[tokio::test]
async fn partitions_do_not_mix() {
    let lake = Lake::new(&[]);
    let sources = [orders(), TopicPartition::new("orders", 11), TopicPartition::new("o", 1)];
    let mut task = lake.task_for(&sources, false).await;
    let runs: Vec<_> = sources.iter().map(|s| run_of(s, &id_schema(), &[0, 1, 2, 3, 4])).collect();
    task.put(&runs).await.unwrap();
    assert_eq!(lake.files().len(), 3);
    task.close(&sources[1..2]).await.unwrap();
    let consumed = sources.iter().map(|s| (s.clone(), 5)).collect();
    let safe = task.pre_commit(&consumed).await.unwrap();
    assert_eq!(safe.keys().collect::<Vec<_>>(), vec![&sources[2], &sources[0]]);
    let error = task.put(&runs[1..2]).await.unwrap_err();
    assert!(error.to_string().contains("not open (partition: orders-11)"), "{error}");
}

#[tokio::test]
async fn after_an_error_nothing_more_is_taken_or_committed() {
    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    task.put(&[run(0..2)]).await.unwrap();
    task.out.store.faults.at(0, Io::StorageFull);
    let error = task.put(&[run(2..5)]).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no space is left") && text.contains("restart the task"), "{text}");
    assert!(text.contains(lake.directory.path().to_str().unwrap()), "{text}");
    assert_eq!(committed(&mut task, 5).await, Some(0));
    let error = task.put(&[run(5..9)]).await.unwrap_err();
    assert!(error.to_string().contains("first offset lost: 0"), "{error}");
    expect_files(&lake, &[]);
    // But what was lost may come again.
    task.put(&[run(0..4)]).await.unwrap();
    expect_files(&lake, &[(0, 0..4)]);
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_removed_by_the_partitions_next_owner() {
    let lake = Lake::new(&[("flush.size", "1000000")]);
    let lines = |source: &TopicPartition| {
        let text = format!("\"{}\"", "x".repeat(3 << 20));
        put_together(source, Column::Json([Some(text.as_str())].into_iter().collect()), &[0])
    };
    let others = TopicPartition::new("orders", 12);
    let sources = [TopicPartition::new("orders", 1), others.clone()];
    let props = [("format.class".into(), "json".into())];
    let lake = Lake { props: lake.props.clone().into_iter().chain(props).collect(), ..lake };
    let mut task = lake.task_for(&sources, false).await;
    task.put(&[lines(&sources[0]), lines(&others)]).await.unwrap();
    assert_eq!(lake.unfinished(), 2);
    drop(task);
    lake.task_for(&sources[..1], false).await;
    assert_eq!(lake.unfinished(), 1, "the other partition may have an owner who writes");
    lake.task_for(&[others], false).await;
    assert_eq!(lake.unfinished(), 0);
}

#[tokio::test]
async fn a_directory_that_went_away_or_was_replaced_is_noticed() {
    let lake = Lake::new(&[]);
    let root = lake.directory.path().join("lake");
    let mut lake = lake;
    lake.props.insert("store.url".into(), root.display().to_string());
    let mut task = lake.task().await;
    task.put(&[run(0..4)]).await.unwrap();
    std::fs::rename(&root, root.with_extension("moved")).unwrap();
    let error = task.put(&[run(4..8)]).await.unwrap_err();
    assert!(error.to_string().contains("the store is gone: it is not there"), "{error}");
    std::fs::create_dir(&root).unwrap();
    let error = task.put(&[run(4..8)]).await.unwrap_err();
    assert!(error.to_string().contains("replaced by another directory"), "{error}");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_in_the_way_is_named() {
    let lake = Lake::new(&[]);
    let mut task = lake.task().await;
    std::fs::write(lake.directory.path().join("topics/orders"), "").unwrap();
    let error = task.put(&[run(0..4)]).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("topics/orders/partition=0/orders+0+0000000000"), "{text}");
    assert!(text.contains("a part of the path is a file"), "{text}");
    assert_eq!(lake.unfinished(), 0);
}

#[test]
fn keys_that_are_wrong_are_explained() {
    let check = |key: &str, value: &str| {
        let mut props = Lake::new(&[]).props;
        props.insert(key.into(), value.into());
        LakeSinkConfig::parse(&props)
            .and_then(|config| Settings::new(&config))
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    let expected = [
        ("store.url", "s3://bucket", "the scheme s3 is not supported so far"),
        ("flush.size", "0", "flush.size"),
        ("flush.size", "many", "Not a number of type INT"),
        ("format.class", "io.confluent.connect.s3.format.avro.AvroFormat", "other formats come"),
        ("parquet.codec", "lzo", "parquet.codec"),
        ("schema.compatibility", "BACKWARD", "only NONE is supported so far"),
        ("partitioner.class", "x.TimeBasedPartitioner", "DefaultPartitioner is supported so far"),
        ("topics.dir", "../up", "leave `..` out"),
        ("timezone", "Europe/Paris", "only UTC"),
        ("rotate.schedule.interval.ms", "1000", "timezone must be set"),
    ];
    for (key, value, part) in expected {
        let message = check(key, value);
        assert!(message.contains(part), "{key}={value}: {message}");
    }
    for (key, value) in [
        ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
        ("format.class", "parquet"),
        ("parquet.codec", "lz4_raw"),
        ("topics.dir", ""),
        ("timezone", "UTC"),
    ] {
        assert_eq!(check(key, value), "", "{key}={value}");
    }
    let missing = LakeSinkConfig::parse(&Props::new()).err().unwrap().to_string();
    assert!(missing.contains("\"store.url\" which has no default value"), "{missing}");
}
