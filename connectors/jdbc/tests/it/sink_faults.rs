//! When rows are written, and what happens while they cannot be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millrace_api::data::{Column, SinkRecords};
use millrace_api::{ErrantRecordReporter, Error, ErrorKind, Result, SinkContext};
use millrace_testkit::plugin_host::run;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::sink_host::{Reports, Sink, partition, records, sink_props};
use crate::sink_sqlite::{orders, query};
use crate::sqlite::File;

const TABLE: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)";
const COUNT: &str = "SELECT count(*) FROM orders";

/// A connection that keeps all others from writing.
async fn lock(file: &File) -> SqliteConnection {
    let mut connection = SqliteConnectOptions::new().filename(file.path()).connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

fn row(id: i32) -> [SinkRecords; 1] {
    [records(id.into(), Column::nulls(1), orders(&[(id, "x")]))]
}

#[test]
fn a_locked_database_is_waited_for() {
    run(async {
        let file = File::new(TABLE).await;
        let url = format!("{}?busy_timeout=1", file.url());
        let mut sink = Sink::strict(&sink_props(&url, &[("max.retries", "1000")])).await;
        sink.write(&row(0)).await;
        let lock = lock(&file).await;
        let error = sink.task.put(&row(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retriable, "{error:?}");
        assert!(error.to_string().contains("another program writes"), "{error}");
        let wait = sink.context.wishes().timeout.take();
        assert!(wait.is_some_and(|wait| wait <= Duration::from_millis(20)), "{wait:?}");
        // Only what is written may be committed, and the rows are not lost by asking.
        let consumed = [(partition(0), 2)].into();
        let committed = sink.task.pre_commit(&consumed).await.unwrap();
        assert_eq!(committed, [(partition(0), 1)].into());
        lock.close().await.unwrap();
        sink.write(&row(1)).await;
        sink.write(&row(2)).await;
        assert_eq!(query(&file, COUNT).await, "3");
    });
}

#[test]
fn retries_come_to_an_end() {
    run(async {
        let file = File::new(TABLE).await;
        let url = format!("{}?busy_timeout=1", file.url());
        let props = sink_props(&url, &[("max.retries", "2"), ("retry.backoff.ms", "1")]);
        let mut sink = Sink::strict(&props).await;
        let lock = lock(&file).await;
        let text = sink.fail(&row(0)).await;
        for part in ["max.retries: 2", "another program writes", "ConnectException"] {
            assert!(text.contains(part), "{text}");
        }
        lock.close().await.unwrap();
        // What is broken stays so: the rows come again to the next task.
        assert!(sink.task.put(&[]).await.is_err());
        assert_eq!(query(&file, COUNT).await, "0");
    });
}

#[test]
fn a_database_that_is_away_is_tried_again() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("jdbc:sqlite:{}/later/shop.db", folder.path().display());
        let more = [("max.retries", "1"), ("connection.attempts", "2"), ("auto.create", "true")];
        let mut sink = Sink::strict(&sink_props(&url, &more)).await;
        let text = sink.fail(&row(0)).await;
        assert!(text.contains("existing file"), "{text}");
    });
}

#[test]
fn records_wait_for_others() {
    run(async {
        let file = File::new(TABLE).await;
        let props = sink_props(&file.url(), &[("batch.linger.ms", "60000"), ("batch.size", "4")]);
        let mut sink = Sink::strict(&props).await;
        for id in 0..3 {
            sink.put(&row(id)).await.unwrap();
        }
        assert_eq!(query(&file, COUNT).await, "0");
        let wait = sink.context.wishes().timeout.take().unwrap();
        assert!(wait > Duration::from_secs(50), "{wait:?}");
        // The fourth makes a batch full, the fifth begins the next.
        let more = [records(3, Column::nulls(2), orders(&[(3, "x"), (4, "x")]))];
        sink.put(&more).await.unwrap();
        assert_eq!(query(&file, COUNT).await, "4");
        sink.commit().await.unwrap();
        assert_eq!(query(&file, COUNT).await, "5");
    });
}

#[test]
fn records_wait_no_longer_than_they_may() {
    run(async {
        let file = File::new(TABLE).await;
        let mut sink = Sink::strict(&sink_props(&file.url(), &[("batch.linger.ms", "100")])).await;
        let start = Instant::now();
        sink.put(&row(0)).await.unwrap();
        while query(&file, COUNT).await == "0" {
            let wait = sink.context.wishes().timeout.take().unwrap();
            assert!(wait <= Duration::from_millis(100), "{wait:?}");
            tokio::time::sleep(wait).await;
            sink.put(&[]).await.unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(100));
    });
}

#[test]
fn rows_of_a_partition_that_is_gone_are_not_written() {
    run(async {
        let file = File::new(TABLE).await;
        let mut sink =
            Sink::strict(&sink_props(&file.url(), &[("batch.linger.ms", "60000")])).await;
        let mut other = row(7);
        other[0].topic_partition = partition(1);
        sink.put(&row(0)).await.unwrap();
        sink.put(&other).await.unwrap();
        sink.task.close(&[partition(0)]).await.unwrap();
        sink.commit().await.unwrap();
        assert_eq!(query(&file, "SELECT id FROM orders").await, "7");
    });
}

#[test]
fn a_table_without_the_key_is_named() {
    run(async {
        let file = File::new("CREATE TABLE orders (id INTEGER, name TEXT)").await;
        let more = [("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "id")];
        let text = Sink::reporting(&sink_props(&file.url(), &more)).await.fail(&row(0)).await;
        assert!(text.contains("primary key") && text.contains("table: orders"), "{text}");
    });
}

/// As with `errors.tolerance=none`.
struct Forbids;

#[async_trait]
impl ErrantRecordReporter for Forbids {
    async fn report(&self, _records: &SinkRecords, _row: usize, error: Error) -> Result<()> {
        Err(Error::fatal("Tolerance exceeded in error handler").with_source(error))
    }
}

#[test]
fn nothing_is_written_when_a_record_must_not_be_passed_over() {
    run(async {
        let file =
            File::new("CREATE TABLE orders (id INTEGER PRIMARY KEY CHECK (id <> 5), name TEXT)")
                .await;
        let context = SinkContext::new("sink", Some(Arc::new(Forbids)));
        let props = sink_props(&file.url(), &[]);
        let mut sink = Sink::with(&props, context, Arc::default()).await;
        let rows: Vec<_> = (0..10).map(|id| (id, "x")).collect();
        let text = sink.fail(&[records(0, Column::nulls(10), orders(&rows))]).await;
        assert!(text.contains("Tolerance exceeded") && text.contains("offset: 5"), "{text}");
        assert_eq!(query(&file, COUNT).await, "0");
    });
}

/// Takes reports for as long as it can write to the database itself, which takes one writer.
struct Writes(SqliteConnectOptions, Reports);

impl Writes {
    async fn write(&self) {
        let mut connection = self.0.connect().await.unwrap();
        let written = sqlx::raw_sql("UPDATE others SET n = n + 1").execute(&mut connection).await;
        written.expect("no transaction is open");
    }
}

#[async_trait]
impl ErrantRecordReporter for Writes {
    async fn report(&self, records: &SinkRecords, row: usize, error: Error) -> Result<()> {
        self.write().await;
        self.1.report(records, row, error).await
    }

    async fn settle(&self) -> Result<()> {
        self.write().await;
        Ok(())
    }
}

/// A queue that is full or away would hold the locks of the transaction, too.
#[test]
fn no_transaction_is_open_while_a_row_is_reported() {
    run(async {
        for more in [&[][..], &[("exactly.once", "transactional")]] {
            let file = File::new(
                "CREATE TABLE orders (id INTEGER PRIMARY KEY CHECK (id % 4 <> 1), name TEXT);
                 CREATE TABLE others (n INTEGER); INSERT INTO others VALUES (0)",
            )
            .await;
            let options = SqliteConnectOptions::new().filename(file.path());
            let writes = Arc::new(Writes(options.busy_timeout(Duration::ZERO), Reports::default()));
            let reporter = Arc::clone(&writes) as Arc<dyn ErrantRecordReporter>;
            let context = SinkContext::new("sink", Some(reporter));
            let mut sink =
                Sink::with(&sink_props(&file.url(), more), context, Arc::default()).await;
            let rows: Vec<_> = (0..10).map(|id| (id, "x")).collect();
            sink.put(&[records(0, Column::nulls(10), orders(&rows))]).await.unwrap();
            sink.commit().await.unwrap();
            assert_eq!(
                (writes.1.offsets(), query(&file, COUNT).await),
                (vec![1, 5, 9], "7".into())
            );
            assert_ne!(query(&file, "SELECT n FROM others").await, "0");
        }
    });
}

#[test]
fn rows_that_waited_for_others_are_reported_when_they_are_refused() {
    run(async {
        let table = "CREATE TABLE orders (id INTEGER PRIMARY KEY CHECK (id <> 2), name TEXT)";
        let file = File::new(table).await;
        let props = sink_props(&file.url(), &[("batch.linger.ms", "60000")]);
        let mut sink = Sink::reporting(&props).await;
        let rows = orders(&[(1, "a"), (2, "b"), (3, "c")]);
        sink.put(&[records(0, Column::nulls(3), rows)]).await.unwrap();
        assert_eq!((sink.reports.offsets(), query(&file, COUNT).await), (vec![], "0".to_owned()));
        sink.commit().await.unwrap();
        assert_eq!((sink.reports.offsets(), query(&file, COUNT).await), (vec![1], "2".to_owned()));
    });
}
