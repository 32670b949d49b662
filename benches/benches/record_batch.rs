//! What a record costs in the record-batch codec, written and read, by compression.

use std::hint::black_box;

use arrow::array::BinaryViewArray;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_benches::clock::{Clock, criterion};
use millrace_benches::data::{EPOCH_MS, TOPIC, bytes, texts};
use millrace_kafka::Outgoing;
use millrace_kafka::record_batch::{Compression, Limits, Reader, Record, Room, Writer};

const RECORDS: usize = 1_000;
const VALUE_BYTES: usize = 100;

/// As the embedded log's compaction writes: a record at a time.
fn push_batch(writer: &mut Writer, values: &[String]) -> Bytes {
    for (timestamp, value) in (EPOCH_MS..).zip(values) {
        let record = Record::new(timestamp, None, Some(value.as_bytes()));
        writer.push(&record).expect("a thousand small records fit a batch");
    }
    writer.finish().expect("memory takes every write").freeze()
}

/// As a producer writes: rows of columns.
fn write_batch(writer: &mut Writer, run: &Outgoing) -> Bytes {
    let room = Room { batch_bytes: 1 << 20, record_bytes: 1 << 20 };
    let appended = writer.append_rows(run, 0..RECORDS, EPOCH_MS, room);
    assert_eq!(appended.rows, RECORDS);
    writer.finish().expect("memory takes every write").freeze()
}

fn run(value_bytes: usize) -> Outgoing {
    Outgoing {
        topic: TOPIC.into(),
        partition: None,
        keys: BinaryViewArray::new_null(RECORDS),
        values: bytes(RECORDS, value_bytes),
        timestamps: None,
        headers: Vec::new(),
    }
}

fn push(c: &mut Criterion<Clock>) {
    let values = texts(RECORDS, VALUE_BYTES);
    let mut group = c.benchmark_group("record_batch/push");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let mut writer = Writer::new(Compression::None);
    group.bench_function("none", |b| b.iter(|| push_batch(&mut writer, black_box(&values))));
    group.finish();
}

fn write(c: &mut Criterion<Clock>) {
    let run = run(VALUE_BYTES);
    let mut group = c.benchmark_group("record_batch/write");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for compression in Compression::ALL {
        let mut writer = Writer::new(compression);
        group.bench_function(BenchmarkId::from_parameter(compression.name()), |b| {
            b.iter(|| write_batch(&mut writer, black_box(&run)));
        });
    }
    group.finish();
}

fn read(c: &mut Criterion<Clock>) {
    let run = run(VALUE_BYTES);
    let mut group = c.benchmark_group("record_batch/read");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for compression in Compression::ALL {
        let batch = write_batch(&mut Writer::new(compression), &run);
        let name = compression.name();
        eprintln!("record_batch: {name} makes {} bytes of {RECORDS} records", batch.len());
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let mut reader = Reader::new(Limits::default());
                reader.read(black_box(&batch), 0).expect("the batch is whole");
                let columns = reader.finish();
                assert_eq!(columns.offsets.len(), RECORDS);
                columns
            });
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = criterion(); targets = push, write, read);
criterion_main!(benches);
