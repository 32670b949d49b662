//! What a record costs in the converters, and from how many rows on columns pay.

use std::hint::black_box;
use std::time::Duration;

use arrow::array::Array;
use criterion::measurement::Measurement;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use millrace_api::Serialized;
use millrace_api::data::Column;
use millrace_benches::clock::{Clock, criterion};
use millrace_benches::data::{TOPIC, bytes, order_columns, order_schema, orders, strings};
use millrace_benches::tasks::converter;

/// What a worker polls at once unless it is told otherwise.
const ROWS: usize = 500;
const TEXT_BYTES: usize = 100;
const STRING: &str = "storage.StringConverter";
const JSON: &str = "json.JsonConverter";
const BARE: (&str, &str) = ("schemas.enable", "false");
const ENVELOPED: (&str, &str) = ("schemas.enable", "true");

type Keys<'a> = &'a [(&'a str, &'a str)];

/// Connect data to bytes.
fn write<M: Measurement>(
    group: &mut BenchmarkGroup<'_, M>,
    id: BenchmarkId,
    (name, keys): (&str, Keys<'_>),
    column: &Column,
) {
    let mut converter = converter(name, keys);
    let mut failed = Vec::new();
    group.throughput(Throughput::Elements(column.len() as u64));
    group.bench_function(id, |b| {
        b.iter(|| converter.from_connect_data(TOPIC, black_box(column), &mut failed));
    });
    assert!(failed.is_empty(), "every row is good");
}

/// Bytes to Connect data.
fn read<M: Measurement>(
    group: &mut BenchmarkGroup<'_, M>,
    id: BenchmarkId,
    (name, keys): (&str, Keys<'_>),
    rows: &Serialized,
) {
    let mut converter = converter(name, keys);
    let mut failed = Vec::new();
    group.throughput(Throughput::Elements(rows.len() as u64));
    group.bench_function(id, |b| {
        b.iter(|| converter.to_connect_data(TOPIC, black_box(rows), &[], &mut failed));
    });
    assert!(failed.is_empty(), "every row is good");
}

fn named(parameter: &str) -> BenchmarkId {
    BenchmarkId::from_parameter(parameter)
}

/// Orders as JSON.
fn as_json(column: &Column, keys: Keys<'_>) -> Serialized {
    let written = converter(JSON, keys).from_connect_data(TOPIC, column, &mut Vec::new());
    written.expect("orders can be written")
}

fn string(c: &mut Criterion<Clock>) {
    let mut group = c.benchmark_group("string");
    let texts = strings(ROWS, TEXT_BYTES);
    write(&mut group, named("write"), (STRING, &[]), &texts);
    read(&mut group, named("read"), (STRING, &[]), &bytes(ROWS, TEXT_BYTES));
    group.finish();
}

fn json(c: &mut Criterion<Clock>) {
    let mut group = c.benchmark_group("json");
    let orders = order_columns(ROWS);
    for (name, keys) in [("bare", &[BARE]), ("enveloped", &[ENVELOPED])] {
        let rows = as_json(&orders, keys);
        eprintln!("json: an order is {} bytes {name}", rows.value(0).len());
        write(&mut group, BenchmarkId::new("write", name), (JSON, keys), &orders);
        read(&mut group, BenchmarkId::new("read", name), (JSON, keys), &rows);
        beside(&mut group, name, &rows);
    }
    group.finish();
}

/// The same texts to trees of values, which is only half of the way to columns.
fn beside(group: &mut BenchmarkGroup<'_, Clock>, name: &str, rows: &Serialized) {
    group.bench_function(BenchmarkId::new("read_by_serde_json", name), |b| {
        b.iter(|| {
            for row in black_box(rows).iter().flatten() {
                let value: serde_json::Value = serde_json::from_slice(row).expect("it is JSON");
                black_box(value);
            }
        });
    });
    let mut copy = Vec::new();
    group.bench_function(BenchmarkId::new("read_by_simd_json", name), |b| {
        b.iter(|| {
            for row in black_box(rows).iter().flatten() {
                // It writes into what it parses, and records are shared.
                copy.clear();
                copy.extend_from_slice(row);
                let value = simd_json::to_borrowed_value(&mut copy).expect("it is JSON");
                black_box(value);
            }
        });
    });
}

/// The same rows on three ways to JSON text: as columns, as values, and as values that are made
/// columns first. The last two meet where columns begin to pay for data that come row by row.
fn run_lengths(c: &mut Criterion<Clock>) {
    let mut group = c.benchmark_group("run_length");
    let (all_columns, all_values) = (order_columns(ROWS), orders(ROWS));
    let schema = order_schema();
    for rows in [1, 4, 16, 64, 500] {
        let columns = all_columns.slice(0, rows);
        let values =
            Column::Rows { schema: Some(schema.clone()), values: all_values[..rows].to_vec() };
        let json = (JSON, &[BARE][..]);
        write(&mut group, BenchmarkId::new("columns", rows), json, &columns);
        write(&mut group, BenchmarkId::new("values", rows), json, &values);
        let mut converter = converter(JSON, &[BARE]);
        group.bench_function(BenchmarkId::new("values_to_columns", rows), |b| {
            b.iter(|| {
                let array = black_box(&values).to_array().expect("values fit their schema");
                let array = array.expect("they have one");
                let column = Column::Typed { schema: schema.clone(), array };
                converter.from_connect_data(TOPIC, &column, &mut Vec::new())
            });
        });
        let text = as_json(&columns, &[ENVELOPED]);
        read(&mut group, BenchmarkId::new("read", rows), (JSON, &[ENVELOPED]), &text);
    }
    group.finish();
}

/// There are many of them, and none takes long.
fn quick() -> Criterion<Clock> {
    criterion().measurement_time(Duration::from_millis(200))
}

criterion_group!(name = benches; config = quick(); targets = string, json, run_lengths);
criterion_main!(benches);
