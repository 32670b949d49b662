//! What a record costs from columns to a published Parquet file, by compression: the lake sink.

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::Offsets;
use millrace_api::data::{Column, SinkRecords};
use millrace_benches::clock::{Clock, criterion_of_long_passes, timed};
use millrace_benches::data::{order_columns, partition, sink_runs};
use millrace_benches::tasks::{named, runtime, sink};

/// A file's worth.
const ROWS: usize = 100_000;
const ROWS_A_RUN: usize = 2_000;

/// Puts all runs, the last of which ends the file, into a new lake. Only that is timed.
async fn pass(root: &Path, codec: &str, runs: &[SinkRecords], total: &mut Duration) {
    let url = format!("file://{}", root.display());
    let flush_size = ROWS.to_string();
    let keys = [("store.url", url.as_str()), ("flush.size", &flush_size), ("parquet.codec", codec)];
    let plugin = named(millrace_lake::plugins(), "LakeSinkConnector");
    let mut task = sink(&plugin, &keys).await;
    task.open(&[partition()]).await.expect("the lake is new");
    timed(total, async {
        for run in runs.chunks(1) {
            task.put(run).await.expect("there is room for the file");
        }
    })
    .await;
    let consumed = Offsets::from([(partition(), ROWS as i64)]);
    let committable = task.pre_commit(&consumed).await.expect("the file is published");
    assert_eq!(committable, consumed, "all records are in a published file");
    task.stop().await.expect("nothing is left to fail");
}

/// How long the only file of a lake is.
fn file_bytes(root: &Path) -> u64 {
    let files = std::fs::read_dir(root.join("topics/orders/partition=0"));
    let mut files = files.expect("Confluent's names are used");
    let file = files.next().expect("there is a file").expect("the lake is ours");
    file.metadata().expect("the file is there").len()
}

fn put(c: &mut Criterion<Clock>) {
    let columns = order_columns(ROWS);
    let Column::Typed { array, .. } = &columns else {
        unreachable!("orders have a schema");
    };
    let bytes = array.get_array_memory_size() as u64;
    let runs = sink_runs(&columns, ROWS_A_RUN);
    let runtime = runtime();
    let mut group = c.benchmark_group("parquet/put");
    group.throughput(Throughput::ElementsAndBytes { elements: ROWS as u64, bytes });
    for codec in ["none", "snappy", "zstd"] {
        let mut size = 0;
        group.bench_function(BenchmarkId::from_parameter(codec), |b| {
            b.iter_custom(|passes| {
                let mut total = Duration::ZERO;
                for _ in 0..passes {
                    let folder = tempfile::tempdir().expect("there is room for a folder");
                    runtime.block_on(pass(folder.path(), codec, &runs, &mut total));
                    size = file_bytes(folder.path());
                }
                total
            });
        });
        eprintln!("parquet: {codec} makes {size} bytes of {ROWS} rows, {bytes} bytes in columns");
    }
    group.finish();
}

criterion_group!(name = benches; config = criterion_of_long_passes(); targets = put);
criterion_main!(benches);
