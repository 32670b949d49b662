//! What a row costs: `cargo test --release -p millrace-jdbc --lib -- --ignored --nocapture speed`.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use millrace_api::data::{Kind, Schema, SchemaRef, Value};

use super::{Sink, array, of, with};
use crate::calendar::Calendar;
use crate::dialect::postgres::target::{arguments, sources, sql};
use crate::dialect::target::{Action, TargetField, TargetTable, Write};
use crate::table::Quoting;

const TABLE: &str = "CREATE TABLE t (id bigint PRIMARY KEY, name text, note text, n int, f float8,
    yes boolean, at timestamptz, city text)";

fn fields() -> Vec<TargetField> {
    let timestamp = Schema::timestamp_builder().optional().build();
    let field = |(name, schema): (&str, SchemaRef)| TargetField {
        column: name.into(),
        schema,
        is_key: name == "id",
    };
    [
        ("id", of(Kind::Int64)),
        ("name", of(Kind::String)),
        ("note", of(Kind::String)),
        ("n", of(Kind::Int32)),
        ("f", of(Kind::Float64)),
        ("yes", of(Kind::Boolean)),
        ("at", timestamp),
        ("city", of(Kind::String)),
    ]
    .map(field)
    .into()
}

/// Rows from this number on.
fn arrays(fields: &[TargetField], start: i64, count: i64) -> Vec<ArrayRef> {
    let value = |column: usize, i: i64| match column {
        0 => Value::Int64(i),
        1 => format!("customer {i}").as_str().into(),
        2 if i % 3 == 0 => Value::Null,
        2 => format!("note {}", i % 100).as_str().into(),
        3 => Value::Int32(i32::try_from(i % 1000).unwrap()),
        4 => Value::Float64(0.25 * f64::from(i32::try_from(i % 1_000_000).unwrap())),
        5 => Value::Boolean(i % 2 == 0),
        6 => Value::Timestamp(1_767_225_600_000 + i * 1000),
        _ => "Berlin".into(),
    };
    let column = |(at, field): (usize, &TargetField)| {
        let values: Vec<_> = (start..start + count).map(|i| value(at, i)).collect();
        array(&field.schema, &values)
    };
    fields.iter().enumerate().map(column).collect()
}

fn write<'a>(
    action: Action,
    table: &'a TargetTable,
    fields: &'a [TargetField],
    arrays: &'a [ArrayRef],
) -> Write<'a> {
    static JAVA: LazyLock<Calendar> =
        LazyLock::new(|| Calendar { julian: true, ..Calendar::default() });
    Write {
        action,
        table,
        fields,
        arrays,
        quoting: Quoting::Always('"'),
        calendar: &JAVA,
        dates: &JAVA,
    }
}

#[test]
#[ignore = "measures; run it alone and in release"]
fn speed_of_encoding() {
    with(TABLE, async |mut sink| {
        let table = sink.describe("t").await;
        let fields = fields();
        let arrays = arrays(&fields, 0, 3000);
        let write = write(Action::Insert, &table, &fields, &arrays);
        let plan = sql::Plan::of(Action::Insert, &table, &fields).unwrap();
        let mut best = Duration::MAX;
        let mut bytes = 0;
        for _ in 0..200 {
            let start = Instant::now();
            let sources = sources(&write).unwrap();
            bytes = arguments(&write, &plan, &sources, (0, 3000)).unwrap().unwrap().1;
            best = best.min(start.elapsed());
        }
        println!("encoding: {} ns a row, {} bytes a row", best.as_nanos() / 3000, bytes / 3000);
    });
}

/// Processor time of a process so far.
fn cpu(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10_000_000
}

async fn measure(sink: &mut Sink, action: Action, batch: i64, total: i64) -> (Duration, u64, u64) {
    let pid = sink.rows("SELECT pg_backend_pid()::text").await.remove(0);
    let table = sink.describe("t").await;
    let fields = fields();
    let batches: Vec<_> = (0..total / batch).map(|at| arrays(&fields, at * batch, batch)).collect();
    let start = Instant::now();
    let (us, server) = (cpu("self"), cpu(&pid));
    for arrays in &batches {
        sink.target.execute("BEGIN").await.unwrap();
        sink.target.write(&write(action, &table, &fields, arrays)).await.unwrap();
        sink.target.execute("COMMIT").await.unwrap();
    }
    (start.elapsed(), cpu("self") - us, cpu(&pid) - server)
}

#[test]
#[ignore = "measures; run it alone and in release"]
fn speed_of_writing() {
    with(TABLE, async |mut sink| {
        for batch in [1, 100, 3000, 10_000] {
            let total = (batch * 40).clamp(1000, 120_000);
            for action in [Action::Insert, Action::Upsert, Action::Update, Action::Delete] {
                let (taken, us, server) = measure(&mut sink, action, batch, total).await;
                let rows = u64::try_from(total).unwrap();
                println!(
                    "{action:?} by {batch}: {} rows/s, {} ns of processor a row here, {} there",
                    u128::from(rows) * 1_000_000_000 / taken.as_nanos(),
                    us / rows,
                    server / rows
                );
            }
            sink.database.execute("TRUNCATE t").await;
        }
    });
}
