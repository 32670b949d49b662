//! What a record costs in transformations: chains of one, three and six, and each alone.
//!
//! The chains are those of `benches/transforms/chains.json`; `benches/transforms/run` gives the
//! same to Java, with the same records.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::data::{Column, Records};
use millrace_api::{Open, Props, Transformation};
use millrace_benches::clock::{Clock, criterion};
use millrace_benches::data::{TOPIC, order_columns, sink_runs};
use millrace_benches::tasks::{converter, named};
use serde_json::Value as Json;

/// What a worker polls at once unless it is told otherwise.
const ROWS: usize = 500;
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

/// The orders as JSON text, with their schema or without.
fn texts(schemas: &str) -> Column {
    let keys = [("schemas.enable", schemas)];
    let mut failed = Vec::new();
    let orders = order_columns(ROWS);
    let text =
        converter("json.JsonConverter", &keys).from_connect_data(TOPIC, &orders, &mut failed);
    let text = text.expect("orders can be written");
    if let (Ok(file), "true") = (std::env::var(ORDERS), schemas) {
        let lines: Vec<u8> = text.iter().flatten().flat_map(|row| [row, b"\n"].concat()).collect();
        std::fs::write(file, lines).expect("the file can be written");
    }
    let mut read = converter("json.JsonConverter", &[("schemas.enable", "false")]);
    let columns = read.to_connect_data(TOPIC, &text, &[], &mut failed);
    let mut columns = columns.expect("orders can be read");
    assert!(failed.is_empty(), "every order is good");
    columns.remove(0)
}

fn measure(c: &mut Criterion<Clock>, form: &str, values: &Column) {
    let records = sink_runs(values, ROWS).remove(0).records;
    let chains: Json = serde_json::from_str(CHAINS).expect("the chains are JSON");
    let mut group = c.benchmark_group(form);
    group.throughput(Throughput::Elements(ROWS as u64));
    for written in chains.as_array().expect("a list of chains") {
        let name = written["name"].as_str().expect("a chain has a name");
        let steps = written["steps"].as_array().expect("a chain has steps");
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let mut chain: Vec<Box<dyn Transformation>> = steps.iter().map(step).collect();
            b.iter(|| through(&mut chain, black_box(records.clone())));
        });
    }
}

fn transforms(c: &mut Criterion<Clock>) {
    texts("true");
    measure(c, "struct", &order_columns(ROWS));
    measure(c, "json", &texts("false"));
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = transforms
}
criterion_main!(benches);
