//! `exactly.once=transactional`: offsets are kept with the rows.

use millrace_api::Props;
use millrace_api::data::{Column, Kind, Schema, Value};
use millrace_testkit::plugin_host::run;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::server::server;
use crate::sink_host::{Sink, partition, records, schema, sink_props, structs};
use crate::sink_sqlite::{orders, query};
use crate::sqlite::File;

const TABLE: &str = "CREATE TABLE orders (id INTEGER, name TEXT)";
const IDS: &str = "SELECT group_concat(id, ',') FROM (SELECT id FROM orders ORDER BY rowid)";
const OFFSETS: &str = "SELECT * FROM millrace_offsets";

fn props(file: &File) -> Props {
    sink_props(&file.url(), &[("exactly.once", "transactional")])
}

/// Records whose ids are their offsets.
fn numbered(offsets: std::ops::Range<i32>) -> [millrace_api::data::SinkRecords; 1] {
    let rows: Vec<_> = offsets.clone().map(|id| (id, "x")).collect();
    [records(offsets.start.into(), Column::nulls(rows.len()), orders(&rows))]
}

/// What a task wants to have read again.
fn rewinds(sink: &Sink) -> Vec<i64> {
    std::mem::take(&mut sink.context.wishes().rewinds).into_values().collect()
}

#[test]
fn records_that_come_again_are_not_written_again() {
    run(async {
        let file = File::new(TABLE).await;
        let mut sink = Sink::strict(&props(&file)).await;
        assert_eq!(rewinds(&sink), [0; 0]);
        sink.write(&numbered(3..8)).await;
        assert_eq!(query(&file, OFFSETS).await, "a'sink|orders|0|8");
        // To the same task, in part new.
        sink.write(&numbered(5..10)).await;
        drop(sink);
        // To the next one, which asks for what it wants, whatever the group has committed.
        let mut next = Sink::strict(&props(&file)).await;
        assert_eq!(rewinds(&next), [10]);
        next.write(&numbered(0..12)).await;
        next.write(&numbered(12..13)).await;
        assert_eq!(query(&file, IDS).await, "3,4,5,6,7,8,9,10,11,12");
        assert_eq!(query(&file, OFFSETS).await, "a'sink|orders|0|13");
    });
}

#[test]
fn rows_and_offsets_are_written_together_or_not_at_all() {
    run(async {
        let file = File::new("CREATE TABLE orders (id INTEGER CHECK (id <> 5), name TEXT)").await;
        let mut sink = Sink::strict(&props(&file)).await;
        sink.write(&numbered(0..3)).await;
        sink.fail(&numbered(3..8)).await;
        assert_eq!(query(&file, IDS).await, "0,1,2");
        assert_eq!(query(&file, OFFSETS).await, "a'sink|orders|0|3");
        let mut lenient = Sink::reporting(&props(&file)).await;
        assert_eq!(rewinds(&lenient), [3]);
        lenient.write(&numbered(3..8)).await;
        assert_eq!(lenient.reports.offsets(), [5]);
        assert_eq!(query(&file, IDS).await, "0,1,2,3,4,6,7");
        assert_eq!(query(&file, OFFSETS).await, "a'sink|orders|0|8");
    });
}

/// Two tasks believe that the partition is theirs, before anything of it was written and after.
async fn overtake(props: &Props) {
    for start in [0, 10] {
        let mut old = Sink::strict(props).await;
        let mut new = Sink::strict(props).await;
        new.write(&numbered(start..start + 5)).await;
        let text = old.fail(&numbered(start..start + 3)).await;
        for part in ["another task has written", "orders-0", "millrace_offsets"] {
            assert!(text.contains(part), "{text}");
        }
        new.write(&numbered(start + 5..start + 10)).await;
    }
    // Both at once.
    for start in [20, 23] {
        let mut one = Sink::strict(props).await;
        let mut two = Sink::strict(props).await;
        let records = numbered(start..start + 3);
        let (first, second) = tokio::join!(one.put(&records), two.put(&records));
        assert!(first.is_ok() != second.is_ok(), "{first:?} and {second:?}");
    }
}

/// The worker asks a task that has failed what may be committed.
async fn refuse(file: &File, more: &[(&str, &str)]) -> Sink {
    let keyed = [("pk.mode", "record_key"), ("pk.fields", "id"), ("insert.mode", "upsert")];
    let mut sink = Sink::strict(&sink_props(&file.url(), &[&keyed, more].concat())).await;
    let schema = schema(&[("name", Kind::String, true)]);
    let batch = |offset: i64, keys: &[Option<&str>]| {
        let values = keys.iter().map(|_| Some(vec!["x".into()])).collect();
        let keys = keys.iter().map(|key| key.map_or(Value::Null, Value::from)).collect();
        let keys = Column::from_values(Some(Schema::string(true)), keys);
        [records(offset, keys, structs(&schema, values))]
    };
    sink.put(&batch(0, &[Some("0"), Some("1")])).await.unwrap();
    sink.fail(&batch(2, &[Some("2"), None, Some("4")])).await;
    sink
}

#[test]
fn a_record_that_ends_the_task_is_not_passed_over() {
    run(async {
        for linger in ["0", "60000"] {
            let file = File::new("CREATE TABLE orders (id TEXT PRIMARY KEY, name TEXT)").await;
            let once = [("exactly.once", "transactional"), ("batch.linger.ms", linger)];
            let mut sink = refuse(&file, &once).await;
            sink.commit().await.unwrap();
            sink.task.stop().await.unwrap();
            let next = Sink::strict(&sink_props(&file.url(), &once)).await;
            assert!(rewinds(&next).iter().all(|next| *next <= 3), "linger {linger}");
            let ids = query(&file, "SELECT count(*) FROM orders WHERE id = '4'").await;
            assert_eq!(ids, "0", "linger {linger}");
        }
    });
}

#[test]
fn a_record_that_ends_the_task_is_not_passed_over_without_a_ledger() {
    run(async {
        for (linger, committed) in [("0", 2), ("60000", 0)] {
            let file = File::new("CREATE TABLE orders (id TEXT PRIMARY KEY, name TEXT)").await;
            let mut sink = refuse(&file, &[("batch.linger.ms", linger)]).await;
            let offsets = sink.commit().await.unwrap();
            assert_eq!(offsets.into_values().collect::<Vec<_>>(), [committed]);
            let ids = query(&file, "SELECT count(*) FROM orders").await;
            assert_eq!(ids, committed.to_string());
        }
    });
}

const COUNT: &str = "SELECT count(*) || '|' || count(DISTINCT id) FROM orders";

#[test]
fn a_task_that_others_have_overtaken_stops() {
    run(async {
        let file = File::new(TABLE).await;
        overtake(&props(&file)).await;
        assert_eq!(query(&file, COUNT).await, "26|26");
    });
}

#[test]
fn a_task_that_others_have_overtaken_stops_on_postgres() {
    let Some(server) = server() else { return };
    run(async {
        let database = server.database(TABLE).await;
        overtake(&sink_props(&database.url(), &[("exactly.once", "transactional")])).await;
        let mut connection = database.connect().await;
        let count: String = sqlx::query_scalar(COUNT).fetch_one(&mut connection).await.unwrap();
        assert_eq!(count, "26|26");
    });
}

#[test]
fn partitions_are_opened_once_the_database_is_there() {
    run(async {
        let file = File::new(TABLE).await;
        let mut first = Sink::strict(&props(&file)).await;
        first.write(&numbered(0..4)).await;
        let url = format!("{}?busy_timeout=1", file.url());
        let more = [("exactly.once", "transactional"), ("exactly.once.table", "mine")];
        let options = SqliteConnectOptions::new().filename(file.path());
        let mut lock = options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
        // Its table of offsets cannot be made for now.
        let mut sink = Sink::strict(&sink_props(&url, &more)).await;
        assert!(sink.task.put(&numbered(4..6)).await.unwrap_err().is_retriable());
        let nothing = sink.task.pre_commit(&[(partition(0), 6)].into()).await.unwrap();
        assert!(nothing.is_empty(), "{nothing:?}");
        lock.close().await.unwrap();
        sink.write(&numbered(4..6)).await;
        assert_eq!(query(&file, "SELECT next_offset FROM mine").await, "6");
        assert_eq!(query(&file, IDS).await, "0,1,2,3,4,5");
    });
}

#[test]
fn a_batch_that_may_be_written_takes_no_more_rows() {
    run(async {
        let file = File::new(TABLE).await;
        let url = format!("{}?busy_timeout=1", file.url());
        let more = [("exactly.once", "transactional"), ("batch.linger.ms", "60000")];
        let mut sink = Sink::strict(&sink_props(&url, &more)).await;
        sink.put(&numbered(0..2)).await.unwrap();
        let options = SqliteConnectOptions::new().filename(file.path());
        let mut lock = options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
        assert!(sink.commit().await.unwrap().is_empty());
        lock.close().await.unwrap();
        // A rebalance once the time after the error is over: nothing is wrong any more.
        let wait = sink.context.wishes().timeout.take().unwrap();
        tokio::time::sleep(wait * 2).await;
        sink.task.open(&[partition(1)]).await.unwrap();
        sink.put(&numbered(2..4)).await.unwrap();
        assert_eq!(query(&file, IDS).await, "0,1");
        sink.commit().await.unwrap();
        assert_eq!(query(&file, IDS).await, "0,1,2,3");
    });
}
