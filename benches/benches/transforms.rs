//! What a record costs in transformations: chains of one, three and six, and each alone.
//!
//! The chains are those of `benches/transforms/chains.json`; `benches/transforms/run` gives the
//! same to Java, with the same records.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::data::{Column, Records};
use millrace_api::{Converter, Open, Props, Serialized, Transformation};
use millrace_benches::clock::{Clock, criterion};
use millrace_benches::data::{TOPIC, order_columns, sink_runs};
use millrace_benches::tasks::{converter, named};
use serde_json::Value as Json;

/// What a worker polls at once unless it is told otherwise.
const ROWS: usize = 500;
const JSON: &str = "json.JsonConverter";
const BARE: [(&str, &str); 1] = [("schemas.enable", "false")];
const CHAINS: &str = include_str!("../transforms/chains.json");
/// Names a file for the orders, which Java reads.
const ORDERS: &str = "MILLRACE_BENCH_ORDERS";

fn step(written: &Json) -> Box<dyn Transformation> {
    let keys = written.as_object().expect("a step is an object").iter();
    let text = |value: &Json| value.as_str().expect("keys are texts").to_owned();
    let mut props: Props = keys.map(|(key, value)| (key.clone(), text(value))).collect();
    let class = props.remove("type").expect("a step has a type");
    let class = format!("org.apache.kafka.connect.transforms.{class}");
    let plugin = named(millrace_transforms::plugins(), &class);
    let Open::Transformation(open) = plugin.open() else { panic!("{class} is a transformation") };
    open(&props).expect("the configuration is good")
}

fn through(chain: &mut [Box<dyn Transformation>], records: Records) -> Vec<Records> {
    let mut failed = Vec::new();
    let mut runs = vec![records];
    for step in chain {
        let mut made = Vec::with_capacity(runs.len());
        for run in runs {
            made.extend(step.apply(run, &mut failed).expect("the run is good"));
        }
        runs = made;
    }
    assert!(failed.is_empty(), "every row is good");
    runs
}

/// The orders as Kafka holds them, with their schema or without.
fn texts(schemas: &str) -> Serialized {
    let keys = [("schemas.enable", schemas)];
    let mut failed = Vec::new();
    let mut write = converter(JSON, &keys);
    let texts = write.from_connect_data(TOPIC, &order_columns(ROWS), &mut failed);
    assert!(failed.is_empty(), "every order is good");
    texts.expect("orders can be written")
}

/// Gives the orders to Java, if it is asked.
fn hand_over() {
    if let Ok(file) = std::env::var(ORDERS) {
        let texts = texts("true");
        let lines: Vec<u8> = texts.iter().flatten().flat_map(|row| [row, b"\n"].concat()).collect();
        std::fs::write(file, lines).expect("the file can be written");
    }
}

fn read(converter: &mut dyn Converter, texts: &Serialized) -> Column {
    let mut failed = Vec::new();
    let columns = converter.to_connect_data(TOPIC, texts, &[], &mut failed);
    assert!(failed.is_empty(), "every order is good");
    columns.expect("orders can be read").remove(0)
}

/// From bytes to bytes: what a transformation saves its converters counts too.
fn measure_with_converters(c: &mut Criterion<Clock>) {
    let texts = texts("false");
    let plain = sink_runs(&order_columns(ROWS), ROWS).remove(0).records;
    let (mut reader, mut writer) = (converter(JSON, &BARE), converter(JSON, &BARE));
    let mut group = c.benchmark_group("bytes");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, steps) in chains() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let mut chain: Vec<Box<dyn Transformation>> = steps.iter().map(step).collect();
            let mut failed = Vec::new();
            b.iter(|| {
                let value = read(reader.as_mut(), black_box(&texts));
                for run in through(&mut chain, Records { value, ..plain.clone() }) {
                    let bytes = writer.from_connect_data(TOPIC, &run.value, &mut failed);
                    black_box(bytes.expect("what comes out can be written"));
                }
            });
            assert!(failed.is_empty(), "every row is good");
        });
    }
}

/// The chains of the file, each with its name.
fn chains() -> Vec<(String, Vec<Json>)> {
    let chains: Vec<Json> = serde_json::from_str(CHAINS).expect("the chains are JSON");
    let name = |chain: &Json| chain["name"].as_str().expect("a chain has a name").to_owned();
    let steps = |chain: &Json| chain["steps"].as_array().expect("a chain has steps").clone();
    chains.iter().map(|chain| (name(chain), steps(chain))).collect()
}

fn measure(c: &mut Criterion<Clock>, form: &str, values: &Column) {
    let records = sink_runs(values, ROWS).remove(0).records;
    let mut group = c.benchmark_group(form);
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, steps) in chains() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let mut chain: Vec<Box<dyn Transformation>> = steps.iter().map(step).collect();
            b.iter(|| through(&mut chain, black_box(records.clone())));
        });
    }
}

fn transforms(c: &mut Criterion<Clock>) {
    hand_over();
    measure(c, "struct", &order_columns(ROWS));
    measure(c, "json", &read(converter(JSON, &BARE).as_mut(), &texts("false")));
    measure_with_converters(c);
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = transforms
}
criterion_main!(benches);
