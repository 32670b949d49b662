//! PostgreSQL → log → Parquet: every row arrives, with every value as it was.

mod faults;
mod million;
mod tables;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMillisecondType,
};
use millrace_integration::connect::{Connect, Properties};
use millrace_integration::postgres::{Postgres, postgres};
use millrace_integration::site::{Site, properties};
use millrace_integration::wait_until;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

on_all_backends! { all_types_arrive_as_they_were }

/// Tables of a million rows may take a while.
const LONG: Duration = Duration::from_secs(300);

pub(crate) const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// A table with a column of each type that the source supports, half of them with NULLs. Values are
/// made from the row's number, and the first rows are the ends of ranges.
const TABLE: &str = "
    create table everything (
        id bigint primary key, small smallint not null, int integer, big bigint, real real,
        double double precision, flag boolean, price numeric(12,2), huge numeric(30,10),
        text text not null, varchar varchar(40), fixed char(8), bytes bytea, uuid uuid,
        json json, jsonb jsonb, day date, clock time, local timestamp, instant timestamptz)";

const ROWS: &str = "
    insert into everything select
        i, (i % 65536 - 32768)::smallint, nullif(i % 7, 3) * 300000000, (i - 25000) * 184467440737,
        (i % 1000) / 8.0, nullif(i % 5, 1) * i / 1024.0, nullif(i % 3, 2) = 0,
        (i - 25000) * 12.34, i * 9876543210.0123456789,
        'text ' || i || ' äöü 🦀 \"quoted\" \\ back', nullif('v' || i % 11, 'v4'), 'c' || i % 100,
        decode(lpad(to_hex(i), 8, '0'), 'hex'), md5(i::text)::uuid,
        ('{\"i\": ' || i || '}')::json, nullif(('[' || i % 13 || ', null]'), '[5, null]')::jsonb,
        date '1969-12-01' + i % 20000, time '00:00' + i % 86400 * interval '1 second',
        timestamp '1965-01-01' + i * interval '37 minutes 1.234 seconds',
        timestamptz '1999-12-31 23:00+01' + i * interval '61.007 seconds'
    from generate_series(1, {rows}) i;
    insert into everything (id, small, text) values ({rows} + 1, -32768, '');
    insert into everything values ({rows} + 2, 32767, 2147483647, 9223372036854775807,
        3.4028235e38, 1.7976931348623157e308, true, 9999999999.99, 99999999999999999999.9999999999,
        repeat('long ', 4000) || 'end', '', 'x', '', '00000000-0000-0000-0000-000000000000',
        'null', '{}',
        '9999-12-31', '23:59:59.999', '9999-12-31 23:59:59.999', '9999-12-31 23:59:59.999+00');";

/// How each column is written as text, so that both sides write the same.
const COLUMNS: [(&str, &str); 20] = [
    ("id", "id::text"),
    ("small", "small::text"),
    ("int", "int::text"),
    ("big", "big::text"),
    ("real", "encode(float4send(real), 'hex')"),
    ("double", "encode(float8send(double), 'hex')"),
    ("flag", "flag::text"),
    ("price", "price::text"),
    ("huge", "huge::text"),
    ("text", "text"),
    ("varchar", "varchar"),
    ("fixed", "rpad(fixed, 8)"),
    ("bytes", "encode(bytes, 'hex')"),
    ("uuid", "uuid::text"),
    ("json", "json::text"),
    ("jsonb", "jsonb::text"),
    ("day", "(day - date '1970-01-01')::text"),
    ("clock", "(extract(epoch from clock) * 1000)::bigint::text"),
    ("local", "floor(extract(epoch from local) * 1000)::bigint::text"),
    ("instant", "floor(extract(epoch from instant) * 1000)::bigint::text"),
];

fn all_types_arrive_as_they_were(site: &Site) {
    let server = postgres();
    server.sql("set time zone 'Asia/Tokyo'");
    server.sql(TABLE);
    server.sql(&ROWS.replace("{rows}", "49998"));
    let connect = start(site, &server, "everything", &[]);
    wait_for_rows(site, &connect, "everything", 50_000);
    assert!(connect.stop().success());
    let files = parquet_files(site, "everything");
    for (column, text) in COLUMNS {
        // What a NULL is, is no value of any column.
        let sql = format!("select coalesce({text}, '<NULL>') from everything order by id");
        let expected = server.sql(&sql);
        let expected: Vec<&str> = expected.split('\n').collect();
        let found: Vec<String> = files.iter().flat_map(|file| read_column(file, column)).collect();
        assert_eq!(found.len(), expected.len(), "rows of {column}");
        let differs = found.iter().zip(&expected).position(|(ours, theirs)| ours != theirs);
        if let Some(row) = differs {
            panic!("{column}, row {}: {:?}, not {:?}", row + 1, found[row], expected[row]);
        }
        assert_eq!(checksum(found.iter()), checksum(expected.iter()), "checksum of {column}");
    }
}

fn checksum(values: impl Iterator<Item = impl AsRef<str>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.for_each(|value| value.as_ref().hash(&mut hasher));
    hasher.finish()
}

/// Starts a source of one table, in the order of its `id`, and a lake sink of its topic.
fn start(site: &Site, server: &Postgres, table: &str, more: &[(&str, &str)]) -> Connect {
    let converters = [("key.converter", JSON), ("value.converter", JSON)];
    site.start(&converters, &connectors(site, server, table, more))
}

fn connectors(
    site: &Site,
    server: &Postgres,
    table: &str,
    more: &[(&str, &str)],
) -> [Properties; 2] {
    let mut source = properties(&[
        ("name", &format!("{table}-source")),
        ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector"),
        ("connection.url", &server.jdbc_url()),
        ("table.whitelist", table),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("topic.prefix", "pg-"),
        ("poll.interval.ms", "200"),
        ("batch.max.rows", "2000"),
    ]);
    source.extend(properties(more));
    let sink = properties(&[
        ("name", &format!("{table}-lake")),
        ("connector.class", "io.millrace.connect.lake.LakeSinkConnector"),
        ("topics", &format!("pg-{table}")),
        ("store.url", &format!("file://{}", site.path("lake").display())),
        ("flush.size", "100000"),
        ("rotate.interval.ms", "1000"),
        ("consumer.override.metadata.max.age.ms", "1000"),
    ]);
    [source, sink]
}

/// The published files of a table, in the order of their first offset.
fn parquet_files(site: &Site, table: &str) -> Vec<PathBuf> {
    let directory = site.path(&format!("lake/topics/pg-{table}/partition=0"));
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "parquet"));
    files.sort();
    files
}

fn rows_in(file: &PathBuf) -> usize {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    reader.metadata().file_metadata().num_rows() as usize
}

#[track_caller]
fn wait_for_rows(site: &Site, connect: &Connect, table: &str, rows: usize) {
    wait_until(&format!("{rows} rows in the lake"), LONG, || {
        for connector in ["source", "lake"] {
            let path = format!("/connectors/{table}-{connector}/status");
            let status = connect.rest("GET", &path, None).body;
            let trace = status.pointer("/tasks/0/trace");
            assert!(trace.is_none(), "{table}-{connector}: {}", trace.unwrap());
        }
        let found: usize = parquet_files(site, table).iter().map(rows_in).sum();
        assert!(found <= rows, "{found} rows, more than there are");
        (found == rows).then_some(())
    });
}

/// The values of a column as text.
fn read_column(file: &PathBuf, name: &str) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let column = reader.schema().index_of(name).unwrap_or_else(|e| panic!("{e}"));
    let mask = parquet::arrow::ProjectionMask::roots(reader.parquet_schema(), [column]);
    let batches = reader.with_projection(mask).build().unwrap();
    let texts = batches.flat_map(|batch| {
        let array = batch.unwrap().column(0).clone();
        let text = |row| if array.is_null(row) { "<NULL>".to_owned() } else { text(&array, row) };
        (0..array.len()).map(text).collect::<Vec<_>>()
    });
    texts.collect()
}

fn text(array: &ArrayRef, row: usize) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match array.data_type() {
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => hex(&array.as_primitive::<Float32Type>().value(row).to_be_bytes()),
        DataType::Float64 => hex(&array.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Time32(TimeUnit::Millisecond) => {
            array.as_primitive::<Time32MillisecondType>().value(row).to_string()
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().value(row).to_string()
        }
        other => panic!("no column of the table becomes {other}"),
    }
}
