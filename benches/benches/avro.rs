//! What a record costs in Avro, beside arrow-avro and apache-avro: orders of eight fields, and
//! records of sixty in three levels, in structs of ten.

use std::hint::black_box;
use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use arrow::array::BinaryViewArray;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{
    AvroSchema, Fingerprint, FingerprintAlgorithm, FingerprintStrategy, SchemaStore,
};
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroSoeFormat;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::data::{Column, Kind, Schema, SchemaRef, Struct, Value};
use millrace_benches::clock::{Clock, criterion};
use millrace_benches::data::{EPOCH_MS, Numbers, order_columns, text};
use millrace_converters::{Language, Payloads};

/// A run of a source.
const ROWS: usize = 2000;
/// The id that goes before each payload.
const ID: u32 = 7;
const PREFIX: [u8; 5] = [0, 0, 0, 0, 7];

type Group<'a> = BenchmarkGroup<'a, Clock>;

/// So many structs of ten fields each, in each other.
fn nested_schema(structs: usize, name: &str) -> SchemaRef {
    let of = |kind| Schema::builder(kind).build();
    let optional = |kind| Schema::builder(kind).optional().build();
    let mut builder = Schema::struct_builder()
        .name(format!("shop.{name}"))
        .field("id", of(Kind::Int64))
        .field("name", of(Kind::String))
        .field("note", optional(Kind::String))
        .field("quantity", of(Kind::Int32))
        .field("price", of(Kind::Float64))
        .field("paid", of(Kind::Boolean))
        .field("created", Schema::timestamp_builder().build())
        .field("weight", optional(Kind::Float32))
        .field("sku", of(Kind::String))
        .field("tag", optional(Kind::Int32));
    let left = (structs - 1).div_ceil(2);
    for (side, structs) in [("Left", left), ("Right", structs - 1 - left)] {
        if structs > 0 {
            builder = builder.field(side, nested_schema(structs, &format!("{name}{side}")));
        }
    }
    builder.build()
}

fn nested(schema: &SchemaRef, numbers: &mut Numbers) -> Value {
    let value = |field: &millrace_api::data::Field, numbers: &mut Numbers| {
        let schema = &field.schema;
        if schema.is_optional() && numbers.below(2) == 0 {
            return Value::Null;
        }
        match (schema.kind(), schema.name()) {
            (Kind::Int64, Some(_)) => Value::Timestamp(EPOCH_MS + numbers.below(1 << 30) as i64),
            (Kind::Int64, None) => Value::Int64(numbers.below(1 << 40) as i64),
            (Kind::Int32, _) => Value::Int32(numbers.below(1000) as i32),
            (Kind::Float64, _) => Value::Float64(numbers.below(100_000) as f64 / 100.0),
            (Kind::Float32, _) => Value::Float32(numbers.below(1000) as f32),
            (Kind::Boolean, _) => Value::Boolean(numbers.below(2) == 0),
            (Kind::String, _) => {
                let length = 4 + numbers.below(20) as usize;
                Value::from(&*text(numbers, length))
            }
            _ => nested(schema, numbers),
        }
    };
    let values = schema.fields().iter().map(|field| value(field, numbers)).collect();
    Value::Struct(Struct::new(Arc::clone(schema), values))
}

fn nested_columns(rows: usize) -> Column {
    let schema = nested_schema(6, "Nested");
    let mut numbers = Numbers::new(3);
    let values = (0..rows).map(|_| nested(&schema, &mut numbers)).collect();
    Column::from_values(Some(schema), values)
}

fn ours(group: &mut Group<'_>, column: &Column) -> (String, BinaryViewArray) {
    let schema = column.schema().expect("data have one");
    let mut avro = Payloads::of_data(Language::Avro, schema).expect("Avro describes them");
    let mut failed = Vec::new();
    let rows = avro.write(column, &PREFIX, &mut failed).expect("they can be written");
    let payloads: Vec<Option<&[u8]>> = rows.iter().map(|row| row.map(|r| &r[5..])).collect();
    group.bench_function("write/ours", |b| {
        b.iter(|| avro.write(black_box(column), &PREFIX, &mut failed));
    });
    group.bench_function("read/ours", |b| {
        b.iter(|| avro.read(black_box(&payloads), &mut failed));
    });
    assert!(failed.is_empty(), "every row is good");
    let cut = |(i, payload): (usize, &Option<&'static [u8]>)| match payload {
        Some(bytes) if i % 100 == 50 => Some(&bytes[..bytes.len() / 2]),
        payload => *payload,
    };
    let kept: Vec<Option<&'static [u8]>> =
        payloads.iter().map(|p| p.map(|p| &*p.to_vec().leak())).collect();
    let poisoned: Vec<Option<&[u8]>> = kept.iter().enumerate().map(cut).collect();
    group.bench_function("read/ours, one in a hundred is cut", |b| {
        b.iter(|| {
            let mut failed = Vec::new();
            let columns = avro.read(black_box(&poisoned), &mut failed);
            assert_eq!(failed.len(), ROWS / 100);
            columns
        });
    });
    (avro.schema().to_owned(), rows)
}

fn arrow_avro(group: &mut Group<'_>, schema: &str, rows: &BinaryViewArray) {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let schema = AvroSchema::new(schema.to_owned());
    store.set(Fingerprint::Id(ID), schema).expect("the schema is read");
    let builder = ReaderBuilder::new().with_writer_schema_store(store).with_batch_size(ROWS);
    let mut decoder = builder.build_decoder().expect("a decoder can be built");
    let mut read = || {
        for row in rows.iter().flatten() {
            decoder.decode(black_box(row)).expect("every row is good");
        }
        decoder.flush().expect("every row is good").expect("there are rows")
    };
    let batch = read();
    group.bench_function("read/arrow-avro", |b| b.iter(&mut read));
    group.bench_function("write/arrow-avro", |b| {
        b.iter(|| {
            let mut encoder = WriterBuilder::new(batch.schema().as_ref().clone())
                .with_fingerprint_strategy(FingerprintStrategy::Id(ID))
                .build_encoder::<AvroSoeFormat>()
                .expect("an encoder can be built");
            encoder.encode(black_box(&batch)).expect("rows can be written");
            encoder.flush().len()
        });
    });
}

fn apache_avro(group: &mut Group<'_>, schema: &str, rows: &BinaryViewArray) {
    let schema = apache_avro::Schema::parse_str(schema).expect("the schema is read");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader can be built");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer can be built");
    let read = || {
        let value = |row: &[u8]| reader.read_value(&mut &row[5..]).expect("every row is good");
        rows.iter().flatten().map(value).collect::<Vec<_>>()
    };
    group.bench_function("read/apache-avro", |b| b.iter(read));
    let values = read();
    group.bench_function("write/apache-avro", |b| {
        b.iter(|| {
            for value in &values {
                let written = writer.write_value_to_vec(black_box(value.clone()));
                black_box(written.expect("rows can be written"));
            }
        });
    });
}

fn records(c: &mut Criterion<Clock>, name: &str, column: &Column) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(ROWS as u64));
    let (schema, rows) = ours(&mut group, column);
    eprintln!("{name}: a record is {} bytes", rows.value(0).len());
    arrow_avro(&mut group, &schema, &rows);
    apache_avro(&mut group, &schema, &rows);
    group.finish();
}

fn orders(c: &mut Criterion<Clock>) {
    records(c, "avro_order", &order_columns(ROWS));
}

fn sixty_fields(c: &mut Criterion<Clock>) {
    records(c, "avro_nested", &nested_columns(ROWS));
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = orders, sixty_fields
}
criterion_main!(benches);
