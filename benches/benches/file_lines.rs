//! What a line costs in the file connectors, read and written.

use std::fmt::Write as _;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_benches::clock::{Clock, criterion, timed};
use millrace_benches::data::{TOPIC, partition, sink_runs, strings, texts};
use millrace_benches::tasks::{drain, named, runtime, sink, source};

/// With its end a line has 100 bytes.
const LINE_BYTES: usize = 99;
const LINES: usize = 50_000;

fn throughput() -> Throughput {
    Throughput::ElementsAndBytes {
        elements: LINES as u64,
        bytes: (LINES * (LINE_BYTES + 1)) as u64,
    }
}

/// `FileStreamSource`: polls until the file is read.
fn poll(c: &mut Criterion<Clock>) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("lines.txt");
    let lines = texts(LINES, LINE_BYTES).iter().fold(String::new(), |mut all, line| {
        writeln!(all, "{line}").expect("memory takes every write");
        all
    });
    std::fs::write(&file, lines).expect("there is room for a file");
    let keys = [("file", file.to_str().expect("it is UTF-8")), ("topic", TOPIC)];
    let plugin = named(millrace_file::plugins(), "FileStreamSource");
    let runtime = runtime();
    let mut group = c.benchmark_group("file_lines");
    group.throughput(throughput());
    group.bench_function("poll", |b| {
        b.iter_custom(|passes| {
            let mut total = Duration::ZERO;
            runtime.block_on(async {
                for _ in 0..passes {
                    let mut task = source(&plugin, &keys).await;
                    timed(&mut total, drain(&mut *task, LINES)).await;
                    task.stop().await.expect("nothing is left to fail");
                }
            });
            total
        });
    });
    group.finish();
}

/// `FileStreamSink`: puts so many lines at a time.
fn put(c: &mut Criterion<Clock>) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("lines.txt");
    let keys = [("file", file.to_str().expect("it is UTF-8"))];
    let plugin = named(millrace_file::plugins(), "FileStreamSink");
    let values = strings(LINES, LINE_BYTES);
    let runtime = runtime();
    let mut group = c.benchmark_group("file_lines/put");
    group.throughput(throughput());
    for lines_a_run in [500, 5_000] {
        let runs = sink_runs(&values, lines_a_run);
        group.bench_function(BenchmarkId::from_parameter(lines_a_run), |b| {
            b.iter_custom(|passes| {
                let mut total = Duration::ZERO;
                runtime.block_on(async {
                    for _ in 0..passes {
                        let mut task = sink(&plugin, &keys).await;
                        task.open(&[partition()]).await.expect("a file needs no opening");
                        timed(&mut total, async {
                            for run in runs.chunks(1) {
                                task.put(run).await.expect("there is room for the lines");
                            }
                        })
                        .await;
                        task.stop().await.expect("nothing is left to fail");
                        std::fs::remove_file(&file).expect("the sink has made it");
                    }
                });
                total
            });
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = criterion().sample_size(10); targets = poll, put);
criterion_main!(benches);
