//! What a record costs in the record-batch codec, written and read, by compression.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_benches::clock::{Clock, criterion};
use millrace_benches::data::{EPOCH_MS, texts};
use millrace_kafka::record_batch::{Compression, Limits, Reader, Record, Writer};

const RECORDS: usize = 1_000;
const VALUE_BYTES: usize = 100;

fn write_batch(writer: &mut Writer, values: &[String]) -> Bytes {
    for (timestamp, value) in (EPOCH_MS..).zip(values) {
        let record = Record::new(timestamp, None, Some(value.as_bytes()));
        writer.push(&record).expect("a thousand small records fit a batch");
    }
    writer.finish().expect("memory takes every write").freeze()
}

fn write(c: &mut Criterion<Clock>) {
    let values = texts(RECORDS, VALUE_BYTES);
    let mut group = c.benchmark_group("record_batch/write");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for compression in Compression::ALL {
        let mut writer = Writer::new(compression);
        group.bench_function(BenchmarkId::from_parameter(compression.name()), |b| {
            b.iter(|| write_batch(&mut writer, black_box(&values)));
        });
    }
    group.finish();
}

fn read(c: &mut Criterion<Clock>) {
    let values = texts(RECORDS, VALUE_BYTES);
    let mut group = c.benchmark_group("record_batch/read");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for compression in Compression::ALL {
        let batch = write_batch(&mut Writer::new(compression), &values);
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

criterion_group!(name = benches; config = criterion(); targets = write, read);
criterion_main!(benches);
