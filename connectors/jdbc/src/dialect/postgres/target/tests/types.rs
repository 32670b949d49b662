//! Each type of the table that Connect's types are written by, and each sensible type of a column.

use std::sync::Arc;

use millrace_api::data::{Decimal, Kind, Schema, SchemaRef, Value};
use num_bigint::BigInt;

use super::{Columns, Sink, of, with};
use crate::dialect::postgres::grammar::PostgresGrammar;
use crate::dialect::target::{Action, Grammar, micros};

fn decimal(text: &str) -> (SchemaRef, Value) {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = i32::try_from(fraction.len()).unwrap();
    let unscaled: BigInt = format!("{whole}{fraction}").parse().unwrap();
    let schema = Schema::decimal_builder(scale).optional().build();
    (schema, Value::Decimal(Decimal { unscaled, scale }))
}

fn named(kind: Kind, name: &str) -> SchemaRef {
    Schema::builder(kind).name(name).optional().build()
}

fn list(element: SchemaRef) -> SchemaRef {
    Schema::array_builder(element).optional().build()
}

fn text(value: &str) -> Value {
    Value::from(value)
}

/// A value, the type that is made for it, and what the server then shows.
fn connect_types() -> Vec<(SchemaRef, Value, &'static str, &'static str)> {
    let (price, nineteen) = decimal("19.99");
    let date = Schema::date_builder().optional().build();
    let time = Schema::time_builder().optional().build();
    let timestamp = Schema::timestamp_builder().optional().build();
    let bytes = Value::Bytes(vec![0, 255].into());
    let (mt, md) = ("io.debezium.time.MicroTimestamp", "io.debezium.time.MicroDuration");
    vec![
        (of(Kind::Int8), Value::Int8(-8), "SMALLINT", "-8"),
        (of(Kind::Int16), Value::Int16(i16::MIN), "SMALLINT", "-32768"),
        (of(Kind::Int32), Value::Int32(i32::MAX), "INT", "2147483647"),
        (of(Kind::Int64), Value::Int64(i64::MIN), "BIGINT", "-9223372036854775808"),
        (of(Kind::Float32), Value::Float32(1.5), "REAL", "1.5"),
        (of(Kind::Float64), Value::Float64(0.1), "DOUBLE PRECISION", "0.1"),
        (of(Kind::Boolean), Value::Boolean(true), "BOOLEAN", "t"),
        (of(Kind::String), text("Zoé 🎈 'x' \\ \"y\""), "TEXT", "Zoé 🎈 'x' \\ \"y\""),
        (of(Kind::Bytes), bytes, "BYTEA", "\\x00ff"),
        (price, nineteen, "DECIMAL", "19.99"),
        (date, Value::Date(-1), "DATE", "1969-12-31"),
        (time, Value::Time(86_399_999), "TIME", "23:59:59.999"),
        (timestamp, Value::Timestamp(-1), "TIMESTAMP", "1969-12-31 23:59:59.999"),
        (micros(true), Value::Timestamp(7), "TIMESTAMP", "1970-01-01 00:00:00.000007"),
        (
            list(of(Kind::Int32)),
            Value::Array(vec![Value::Int32(1), Value::Null, Value::Int32(3)]),
            "INT[]",
            "{1,NULL,3}",
        ),
        (
            list(of(Kind::String)),
            Value::Array(vec![text("a,b"), text("\"")]),
            "TEXT[]",
            "{\"a,b\",\"\\\"\"}",
        ),
        (list(of(Kind::Boolean)), Value::Array(vec![]), "BOOLEAN[]", "{}"),
        (named(Kind::Int64, mt), Value::Int64(-1), "TIMESTAMP", "1969-12-31 23:59:59.999999"),
        (named(Kind::Int64, md), Value::Int64(3_600_000_000), "INTERVAL", "01:00:00"),
        (
            named(Kind::String, "io.debezium.time.ZonedTimestamp"),
            text("2026-11-22T10:00:00.5+02:00"),
            "TIMESTAMPTZ",
            "2026-11-22 08:00:00.5+00",
        ),
        (
            named(Kind::String, "io.debezium.data.Uuid"),
            text("00112233-4455-6677-8899-AABBCCDDEEFF"),
            "UUID",
            "00112233-4455-6677-8899-aabbccddeeff",
        ),
        (named(Kind::String, "io.debezium.data.Json"), text("{\"a\": 1}"), "JSON", "{\"a\": 1}"),
    ]
}

#[test]
fn every_connect_type_has_a_column_and_comes_back() {
    with("", async |mut sink| {
        let cases = connect_types();
        let mut names = Vec::new();
        for (schema, value, expected, _) in &cases {
            let made = PostgresGrammar.column_type(schema, false).unwrap();
            assert_eq!(made, *expected, "{schema:?}");
            let default = PostgresGrammar.literal(schema, value);
            let default = default.map_or_else(String::new, |literal| format!(" DEFAULT {literal}"));
            names.push(format!("c{} {made}{default}", names.len()));
        }
        let create = format!("CREATE TABLE made (id INT, {})", names.join(", "));
        sink.target.execute(&create).await.unwrap();
        // Defaults are what values are; then the values themselves, then nulls.
        let id = |id| ("id", of(Kind::Int32), vec![Value::Int32(id)]);
        sink.insert("made", vec![id(1)]).await.unwrap();
        for (id_column, is_null) in [(id(2), false), (id(3), true)] {
            let mut columns = vec![id_column];
            for (i, (schema, value, ..)) in cases.iter().enumerate() {
                let name: &'static str = Box::leak(format!("c{i}").into_boxed_str());
                let value = if is_null { Value::Null } else { value.clone() };
                columns.push((name, Arc::clone(schema), vec![value]));
            }
            sink.insert("made", columns).await.unwrap();
        }
        for (i, (_, _, _, expected)) in cases.iter().enumerate() {
            let shown = sink.rows(&format!("SELECT c{i}::text FROM made ORDER BY id")).await;
            let expected = if *expected == "t" { "true" } else { expected };
            assert_eq!(shown[1..], [expected, "-"], "c{i}");
            let (schema, value, ..) = &cases[i];
            if PostgresGrammar.literal(schema, value).is_some() && !shown[0].contains('-') {
                assert_eq!(shown[0], expected, "default of c{i}");
            }
        }
    });
}

#[test]
fn arrays_arrive() {
    with("", async |mut sink| {
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec().into());
        let cases: Vec<(SchemaRef, &str, [Value; 2], &str)> = vec![
            (of(Kind::Int8), "smallint[]", [Value::Int8(1), Value::Int8(-2)], "{1,-2}"),
            (
                of(Kind::Int64),
                "int8[]",
                [Value::Int64(i64::MIN), Value::Null],
                "{-9223372036854775808,NULL}",
            ),
            (
                of(Kind::Float32),
                "real[]",
                [Value::Float32(0.1), Value::Float32(1e-30)],
                "{0.1,1e-30}",
            ),
            (
                of(Kind::Float64),
                "float8[]",
                [Value::Float64(f64::NAN), Value::Float64(-1e300)],
                "{NaN,-1e+300}",
            ),
            (
                of(Kind::Float64),
                "float8[]",
                [Value::Float64(f64::INFINITY), Value::Float64(f64::NEG_INFINITY)],
                "{Infinity,-Infinity}",
            ),
            (
                of(Kind::Boolean),
                "boolean[]",
                [Value::Boolean(true), Value::Boolean(false)],
                "{t,f}",
            ),
            (
                of(Kind::String),
                "text[]",
                [text("NULL"), text("{\"\\,é}")],
                "{\"NULL\",\"{\\\"\\\\,é}\"}",
            ),
            (of(Kind::String), "jsonb[]", [text("{\"a\":1}"), text("1")], "{\"{\\\"a\\\": 1}\",1}"),
            (
                of(Kind::Bytes),
                "bytea[]",
                [bytes(&[0, 92]), bytes(&[])],
                "{\"\\\\x005c\",\"\\\\x\"}",
            ),
        ];
        for (element, kind, values, shown) in cases {
            let many = Value::Array(values.into());
            arrives(&mut sink, kind, &list(element), &many, shown).await;
        }
        let row = |n| Value::Array(vec![Value::Int32(n), Value::Null]);
        let table = Value::Array(vec![row(1), row(2)]);
        let nested = list(list(of(Kind::Int32)));
        arrives(&mut sink, "int[]", &nested, &table, "{{1,NULL},{2,NULL}}").await;
        arrives(&mut sink, "text", &nested, &table, "{{\"1\",NULL},{\"2\",NULL}}").await;
    });
}

#[test]
fn arrays_of_decimals_and_times_arrive() {
    with("", async |mut sink| {
        let cases: Vec<(SchemaRef, &str, [Value; 2], &str)> = vec![
            (
                decimal("1.50").0,
                "numeric[]",
                [decimal("1.50").1, decimal("-0.01").1],
                "{1.50,-0.01}",
            ),
            (
                Schema::date_builder().build(),
                "date[]",
                [Value::Date(0), Value::Date(-719_163)],
                "{1970-01-01,\"0001-12-31 BC\"}",
            ),
            (
                Schema::time_builder().build(),
                "time[]",
                [Value::Time(1), Value::Time(0)],
                "{00:00:00.001,00:00:00}",
            ),
            (
                Schema::time_builder().build(),
                "timetz[]",
                [Value::Time(1), Value::Time(0)],
                "{00:00:00.001+00,00:00:00+00}",
            ),
            (
                Schema::timestamp_builder().build(),
                "timestamp[]",
                [Value::Timestamp(-1), Value::Timestamp(9_223_372_036_825_200_000)],
                "{\"1969-12-31 23:59:59.999\",infinity}",
            ),
            (
                Schema::timestamp_builder().build(),
                "timestamptz[]",
                [Value::Timestamp(-62_135_596_800_001), Value::Timestamp(0)],
                "{\"0001-12-31 23:59:59.999+00 BC\",\"1970-01-01 00:00:00+00\"}",
            ),
        ];
        for (element, kind, values, shown) in cases {
            let many = Value::Array(values.into());
            arrives(&mut sink, kind, &list(element), &many, shown).await;
        }
    });
}

/// The value as it arrives in a column of the type, by insert and by upsert.
async fn arrives(sink: &mut Sink, kind: &str, schema: &SchemaRef, value: &Value, expected: &str) {
    let place = format!("{kind} from {value:?}");
    let create = format!("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v {kind})");
    sink.database.execute(&create).await;
    let id = |id| ("!id", of(Kind::Int32), vec![Value::Int32(id)]);
    let columns = |at| -> Columns { vec![id(at), ("v", Arc::clone(schema), vec![value.clone()])] };
    sink.insert("t", columns(1)).await.unwrap_or_else(|e| panic!("{place}: {e}"));
    sink.write(Action::Upsert, "t", columns(2)).await.unwrap_or_else(|e| panic!("{place}: {e}"));
    sink.write(Action::Upsert, "t", columns(2)).await.unwrap();
    sink.write(Action::Update, "t", columns(1)).await.unwrap();
    let shown = sink.rows("SELECT v::text FROM t ORDER BY id").await;
    assert_eq!(shown, [expected, expected], "{place}");
}

#[test]
fn text_becomes_what_its_column_is() {
    let sql = "CREATE EXTENSION citext; CREATE EXTENSION hstore;
        CREATE TYPE mood AS ENUM ('good', 'ba d'); CREATE DOMAIN tag AS varchar(5) NOT NULL;
        CREATE SCHEMA \"o.t\"; CREATE TYPE \"o.t\".\"M\" AS ENUM ('x');
        CREATE TYPE pair AS (a int, b text)";
    with(sql, async |mut sink| {
        let cases = [
            ("varchar(3)", "abc", "abc"),
            ("char(5)", "ab", "ab"),
            ("name", "n", "n"),
            ("\"char\"", "c", "c"),
            ("citext", "Ab", "Ab"),
            ("tag", "t", "t"),
            ("mood", "ba d", "ba d"),
            ("\"o.t\".\"M\"", "x", "x"),
            ("json", "{\"b\" : 1}", "{\"b\" : 1}"),
            ("jsonb", "{\"b\" : 1}", "{\"b\": 1}"),
            ("xml", "<a/>", "<a/>"),
            ("uuid", "{00112233445566778899aabbccddeeff}", "00112233-4455-6677-8899-aabbccddeeff"),
            ("inet", "10.0.0.1/8", "10.0.0.1/8"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/8"),
            ("macaddr", "08002b:010203", "08:00:2b:01:02:03"),
            ("interval", "P1DT2H", "1 day 02:00:00"),
            ("hstore", "a=>1", "\"a\"=>\"1\""),
            ("int4range", "[1,3]", "[1,4)"),
            ("bit(3)", "101", "101"),
            ("varbit", "1010", "1010"),
            ("money", "$1,234.50", "$1,234.50"),
            ("point", "(1,2)", "(1,2)"),
            ("pair", "(1,x)", "(1,x)"),
            ("tsvector", "'a':1", "'a':1"),
            ("int", "42", "42"),
            ("numeric(5,2)", "1.239", "1.24"),
            ("boolean", "yes", "true"),
            ("date", "infinity", "infinity"),
            ("timestamptz", "2026-11-22 10:00:00+02", "2026-11-22 08:00:00+00"),
            ("bytea", "\\x00ff", "\\x00ff"),
            ("int[]", "{1,2}", "{1,2}"),
            ("int[][]", "{{1},{2}}", "{{1},{2}}"),
        ];
        for (kind, given, expected) in cases {
            arrives(&mut sink, kind, &of(Kind::String), &text(given), expected).await;
        }
        let many = Value::Array(vec![text("good"), Value::Null, text("ba d")]);
        let texts = list(of(Kind::String));
        arrives(&mut sink, "mood[]", &texts, &many, "{good,NULL,\"ba d\"}").await;
        let addresses = Value::Array(vec![text("10.0.0.1")]);
        arrives(&mut sink, "inet[]", &texts, &addresses, "{10.0.0.1}").await;
    });
}

#[test]
fn numbers_and_times_go_into_columns_of_other_types() {
    with("", async |mut sink| {
        let int = of(Kind::Int64);
        let seven = Value::Int64(7);
        for kind in ["smallint", "int", "bigint", "oid", "real", "float8", "numeric", "text"] {
            arrives(&mut sink, kind, &int, &seven, "7").await;
        }
        arrives(&mut sink, "numeric(6,2)", &int, &seven, "7.00").await;
        arrives(&mut sink, "money", &int, &seven, "$7.00").await;
        let double = of(Kind::Float64);
        arrives(&mut sink, "real", &double, &Value::Float64(1.5), "1.5").await;
        arrives(&mut sink, "numeric(4,1)", &double, &Value::Float64(2.25), "2.3").await;
        arrives(&mut sink, "int", &double, &Value::Float64(2.5), "2").await;
        arrives(&mut sink, "text", &double, &Value::Float64(1e20), "1e+20").await;
        arrives(&mut sink, "money", &double, &Value::Float64(1.5), "$1.50").await;
        for (number, shown) in
            [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")]
        {
            for kind in ["real", "float8", "numeric"] {
                arrives(&mut sink, kind, &double, &Value::Float64(number), shown).await;
            }
        }
        let single = Value::Float32(0.1);
        arrives(&mut sink, "real", &of(Kind::Float32), &single, "0.1").await;
        arrives(&mut sink, "float8", &of(Kind::Float32), &single, "0.10000000149011612").await;
        arrives(&mut sink, "bit(1)", &of(Kind::Boolean), &Value::Boolean(true), "1").await;
        arrives(&mut sink, "text", &of(Kind::Boolean), &Value::Boolean(true), "true").await;
        arrives(&mut sink, "text", &of(Kind::Bytes), &Value::Bytes(vec![1].into()), "\\x01").await;
        let timestamp = Schema::timestamp_builder().optional().build();
        let moment = Value::Timestamp(86_400_123);
        arrives(&mut sink, "timestamptz", &timestamp, &moment, "1970-01-02 00:00:00.123+00").await;
        arrives(&mut sink, "timestamp(0)", &timestamp, &moment, "1970-01-02 00:00:00").await;
        arrives(&mut sink, "date", &timestamp, &moment, "1970-01-02").await;
        arrives(&mut sink, "time", &timestamp, &moment, "00:00:00.123").await;
        arrives(&mut sink, "text", &timestamp, &moment, "1970-01-02 00:00:00.123+00").await;
        let date = Schema::date_builder().optional().build();
        arrives(&mut sink, "timestamp", &date, &Value::Date(1), "1970-01-02 00:00:00").await;
        arrives(&mut sink, "text", &date, &Value::Date(1), "1970-01-02").await;
        let time = Schema::time_builder().optional().build();
        arrives(&mut sink, "timetz", &time, &Value::Time(1), "00:00:00.001+00").await;
        let (schema, price) = decimal("-1.50");
        arrives(&mut sink, "float8", &schema, &price, "-1.5").await;
        arrives(&mut sink, "money", &schema, &price, "-$1.50").await;
        arrives(&mut sink, "text", &schema, &price, "-1.50").await;
        arrives(&mut sink, "bigint", &schema, &price, "-2").await;
    });
}

#[test]
fn dates_far_away_and_numbers_of_many_digits_arrive() {
    with("", async |mut sink| {
        let date = Schema::date_builder().optional().build();
        let timestamp = Schema::timestamp_builder().optional().build();
        for (day, shown) in [
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-141_428, "1582-10-14"),
            (2_932_897, "10000-01-01"),
        ] {
            arrives(&mut sink, "date", &date, &Value::Date(day), shown).await;
            let millis = Value::Timestamp(i64::from(day) * 86_400_000);
            let shown = match shown.strip_suffix(" BC") {
                Some(shown) => format!("{shown} 00:00:00 BC"),
                None => format!("{shown} 00:00:00"),
            };
            arrives(&mut sink, "timestamp", &timestamp, &millis, &shown).await;
        }
        let infinity = Value::Timestamp(9_223_372_036_825_200_000);
        arrives(&mut sink, "timestamp", &timestamp, &infinity, "infinity").await;
        let infinity = Value::Timestamp(-9_223_372_036_832_400_000);
        arrives(&mut sink, "timestamptz", &timestamp, &infinity, "-infinity").await;
        let mut digits = String::new();
        while digits.len() < 1000 {
            digits.push_str("9070000000123456780000");
            let fraction = format!("-{}.{}", &digits[..5], &digits[5..]);
            for number in [digits.as_str(), &fraction] {
                let (schema, value) = decimal(number);
                arrives(&mut sink, "numeric", &schema, &value, number).await;
            }
        }
        // As many as the server holds.
        let longest = format!("{}.{}", "9".repeat(131_072), "9".repeat(16_383));
        let (schema, value) = decimal(&longest);
        arrives(&mut sink, "numeric", &schema, &value, &longest).await;
    });
}
