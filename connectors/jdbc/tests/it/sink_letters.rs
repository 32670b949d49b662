//! Rows at fault whose letters are late or lost, or that are found while the database fails.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::data::{Column, SinkRecords};
use millrace_api::{ErrantRecordReporter, Error, ErrorKind, Result, SinkContext};
use millrace_testkit::plugin_host::run;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::Mutex;

use crate::sink_host::{Reports, Sink, partition, records, sink_props};
use crate::sink_sqlite::{orders, query};
use crate::sqlite::File;

const TABLE: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY CHECK (id % 4 <> 1), name TEXT)";
const COUNT: &str = "SELECT count(*) FROM orders";
const OFFSETS: &str = "SELECT count(*), max(next_offset) FROM millrace_offsets";
const ONCE: (&str, &str) = ("exactly.once", "transactional");
/// Two retries would be too many.
const IMPATIENT: [(&str, &str); 2] = [("max.retries", "1"), ("retry.backoff.ms", "1")];

/// Ten, of which the table refuses three.
fn ten() -> [SinkRecords; 1] {
    let rows: Vec<_> = (0..10).map(|id| (id, "x")).collect();
    [records(0, Column::nulls(10), orders(&rows))]
}

async fn sink(file: &File, more: &[(&str, &str)], queue: Arc<dyn ErrantRecordReporter>) -> Sink {
    let url = format!("{}?busy_timeout=1", file.url());
    let context = SinkContext::new("sink", Some(queue));
    Sink::with(&sink_props(&url, more), context, Arc::default()).await
}

/// Takes letters, of which nobody hears that they have arrived until it works.
struct Queue {
    reports: Reports,
    trouble: Mutex<Option<ErrorKind>>,
}

impl Queue {
    fn with(trouble: ErrorKind) -> Arc<Self> {
        let trouble = Mutex::new(Some(trouble));
        Arc::new(Self { reports: Reports::default(), trouble })
    }
}

#[async_trait]
impl ErrantRecordReporter for Queue {
    async fn report(&self, records: &SinkRecords, row: usize, error: Error) -> Result<()> {
        self.reports.report(records, row, error).await
    }

    async fn settle(&self) -> Result<()> {
        match *self.trouble.lock().await {
            Some(kind) if !self.reports.offsets().is_empty() => {
                Err(Error::new(kind, "no news of the letters"))
            }
            _ => Ok(()),
        }
    }
}

/// SQLite leaves its log only to whoever is alone.
async fn is_connected(file: &File) -> bool {
    let options = SqliteConnectOptions::new().filename(file.path()).busy_timeout(Duration::ZERO);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("PRAGMA journal_mode=DELETE").execute(&mut connection).await.is_err()
}

#[test]
fn rows_and_offsets_wait_for_letters_that_are_late() {
    run(async {
        let file = File::new(TABLE).await;
        let queue = Queue::with(ErrorKind::Retriable);
        let more = [&IMPATIENT[..], &[ONCE]].concat();
        let mut sink = sink(&file, &more, Arc::clone(&queue) as _).await;
        for _ in 0..5 {
            let error = sink.task.put(&ten()).await.unwrap_err();
            assert!(error.is_retriable(), "{}", error.trace());
            for part in ["dead letter queue", "no news of the letters", "nothing is wrong with"] {
                assert!(error.trace().contains(part), "{}", error.trace());
            }
            assert!(sink.context.wishes().timeout.take().is_some());
            let committed = sink.task.pre_commit(&[(partition(0), 10)].into()).await.unwrap();
            assert!(committed.values().all(|next| *next == 0), "{committed:?}");
            assert_eq!(query(&file, COUNT).await, "0");
            assert_eq!(query(&file, OFFSETS).await, "0|NULL");
            assert_eq!(queue.reports.offsets(), [1, 5, 9]);
            assert!(is_connected(&file).await);
        }
        *queue.trouble.lock().await = None;
        sink.write(&ten()).await;
        assert_eq!(query(&file, COUNT).await, "7");
        assert_eq!(query(&file, OFFSETS).await, "1|10");
        assert_eq!(queue.reports.offsets(), [1, 5, 9]);
    });
}

#[test]
fn neither_rows_nor_offsets_pass_over_letters_that_are_lost() {
    run(async {
        let file = File::new(TABLE).await;
        let queue = Queue::with(ErrorKind::Fatal);
        let mut first = sink(&file, &[ONCE], Arc::clone(&queue) as _).await;
        let text = first.fail(&ten()).await;
        assert!(text.contains("no news of the letters"), "{text}");
        assert!(first.task.put(&[]).await.is_err());
        first.commit().await.unwrap();
        first.task.stop().await.unwrap();
        assert_eq!(query(&file, COUNT).await, "0");
        assert_eq!(query(&file, OFFSETS).await, "0|NULL");
        assert_eq!(queue.reports.offsets(), [1, 5, 9]);
        // A restart, with a queue that works.
        *queue.trouble.lock().await = None;
        sink(&file, &[ONCE], Arc::clone(&queue) as _).await.write(&ten()).await;
        assert_eq!(query(&file, COUNT).await, "7");
        assert_eq!(query(&file, OFFSETS).await, "1|10");
        assert_eq!(queue.reports.offsets(), [1, 5, 9, 1, 5, 9]);
    });
}

/// Keeps others from writing to the database from the first letter on.
struct Locks {
    reports: Reports,
    options: SqliteConnectOptions,
    lock: Mutex<Option<SqliteConnection>>,
}

#[async_trait]
impl ErrantRecordReporter for Locks {
    async fn report(&self, records: &SinkRecords, row: usize, error: Error) -> Result<()> {
        let mut lock = self.lock.lock().await;
        if lock.is_none() {
            let connection = lock.insert(self.options.connect().await.unwrap());
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(connection).await.unwrap();
        }
        self.reports.report(records, row, error).await
    }
}

#[test]
fn a_row_is_reported_once_however_often_the_others_are_tried() {
    run(async {
        for more in [&[][..], &[ONCE]] {
            let file = File::new(TABLE).await;
            let options = SqliteConnectOptions::new().filename(file.path());
            let (reports, lock) = (Reports::default(), Mutex::default());
            let locks = Arc::new(Locks { reports, options, lock });
            let mut sink = sink(&file, more, Arc::clone(&locks) as _).await;
            for _ in 0..3 {
                let error = sink.task.put(&ten()).await.unwrap_err();
                assert!(error.is_retriable(), "{}", error.trace());
                assert!(error.to_string().contains("another program writes"), "{error}");
                assert_eq!(locks.reports.offsets(), [1, 5, 9]);
                let wait = sink.context.wishes().timeout.take().unwrap();
                tokio::time::sleep(2 * wait).await;
            }
            drop(locks.lock.lock().await.take());
            sink.write(&ten()).await;
            assert_eq!(query(&file, COUNT).await, "7");
            assert_eq!(locks.reports.offsets(), [1, 5, 9]);
        }
    });
}
