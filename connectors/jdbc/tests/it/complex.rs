//! PostgreSQL's types that Confluent's connector leaves out: arrays, `hstore`, and all that has no
//! Connect type. Skipped, with a message, where no server is installed.

use millrace_api::data::{Decimal, Value};
use millrace_testkit::plugin_host::run;

use crate::host::{props, read, read_to_error, rows, schema, task};
use crate::server::{Database, server};

fn with(sql: &str, test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(sql).await).await });
    }
}

const COMPLEX: &[(&str, &str)] = &[("mode", "bulk"), ("sql.complex.types.enable", "true")];

/// Each type with a value and what becomes of it.
const TEXTS: &[(&str, &str, &str)] = &[
    ("interval", "'1 year 2 days 03:04:05.678901'", "1 year 2 days 03:04:05.678901"),
    ("inet", "'192.168.0.1'", "192.168.0.1"),
    ("inet", "'192.168.0.1/24'", "192.168.0.1/24"),
    ("inet", "'2001:db8::1'", "2001:db8::1"),
    ("cidr", "'10.0.0.0/8'", "10.0.0.0/8"),
    ("cidr", "'10.1.2.3/32'", "10.1.2.3/32"),
    ("macaddr", "'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05"),
    ("point", "'(1,2.5)'", "(1,2.5)"),
    ("line", "'{1,2,3}'", "{1,2,3}"),
    ("lseg", "'[(1,2),(3,4)]'", "[(1,2),(3,4)]"),
    ("box", "'(3,4),(1,2)'", "(3,4),(1,2)"),
    ("path", "'((1,2),(3,4))'", "((1,2),(3,4))"),
    ("polygon", "'((1,2),(3,4),(5,6))'", "((1,2),(3,4),(5,6))"),
    ("circle", "'<(1,2),3>'", "<(1,2),3>"),
    ("bit(3)", "B'101'", "101"),
    ("varbit", "B'1'", "1"),
    ("int4range", "'[1,5)'", "[1,5)"),
    ("numrange", "'(1.5,)'", "(1.5,)"),
    ("tstzrange", "'[2026-11-22 10:00:00+00,)'", "[\"2026-11-22 10:00:00+00\",)"),
    ("int8multirange", "'{[1,3),[5,7)}'", "{[1,3),[5,7)}"),
    ("tsvector", "'a fat cat'", "'a' 'cat' 'fat'"),
    ("tsquery", "'fat & rat'", "'fat' & 'rat'"),
    ("jsonpath", "'$.a'", "$.\"a\""),
    ("pair", "ROW(1, 'a b')", "(1,\"a b\")"),
    ("pg_lsn", "'16/B374D848'", "16/B374D848"),
    ("txid_snapshot", "'10:20:10,14'", "10:20:10,14"),
    ("xid", "'7'", "7"),
    ("regclass", "'pg_class'", "pg_class"),
    ("ltree", "'a.b'", "a.b"),
];

#[test]
fn what_has_no_connect_type_is_text() {
    let columns: Vec<_> = TEXTS.iter().enumerate().map(|(i, t)| format!("c{i} {}", t.0)).collect();
    let values: Vec<_> = TEXTS.iter().map(|t| t.1).collect();
    let sql = format!(
        "CREATE EXTENSION ltree; CREATE TYPE pair AS (n int, t text);
         CREATE TABLE t (id int, {}); INSERT INTO t VALUES (1, {}); INSERT INTO t VALUES (2)",
        columns.join(", "),
        values.join(", ")
    );
    with(&sql, async |database| {
        let runs = read(&mut *task(&props(&database.url(), COMPLEX)).await.unwrap(), 2).await;
        let rows = rows(&runs);
        let texts: Vec<Value> = TEXTS.iter().map(|t| t.2.into()).collect();
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(rows[0][i + 1], *text, "{}", TEXTS[i].0);
        }
        assert!(rows[1][1..].iter().all(Value::is_null));
        let fields = schema(&runs[0]).lines().filter(|l| l.ends_with("? STRING")).count();
        assert_eq!(fields, TEXTS.len());
        // As in Confluent's connector they are left out where nobody asks for them.
        let bulk = props(&database.url(), &[("mode", "bulk")]);
        let runs = read(&mut *task(&bulk).await.unwrap(), 2).await;
        assert_eq!(schema(&runs[0]), "t\nid? INT32\n");
    });
}

fn decimal(unscaled: i64, scale: i32) -> Value {
    Value::Decimal(Decimal { unscaled: unscaled.into(), scale })
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| (*text).into()).collect()
}

/// Each type of arrays with a value and what becomes of it. A null stands in every one.
fn arrays() -> Vec<(&'static str, &'static str, Vec<Value>)> {
    let day = 86_400_000;
    vec![
        ("bool[]", "{t,f}", vec![Value::Boolean(true), Value::Boolean(false)]),
        ("int2[]", "{-1}", vec![Value::Int16(-1)]),
        ("int4[]", "{7}", vec![Value::Int32(7)]),
        ("int8[]", "{8}", vec![Value::Int64(8)]),
        ("oid[]", "{9}", vec![Value::Int64(9)]),
        ("float4[]", "{1.5}", vec![Value::Float32(1.5)]),
        ("float8[]", "{NaN}", vec![Value::Float64(f64::NAN)]),
        ("money[]", "{1.25}", vec![Value::Float64(1.25)]),
        ("numeric(10,2)[]", "{1.5}", vec![decimal(150, 2)]),
        ("cents[]", "{0.25}", vec![decimal(25, 2)]),
        ("text[]", "{a,\"\"}", texts(&["a", ""])),
        ("varchar(9)[]", "{b}", texts(&["b"])),
        ("char(3)[]", "{c}", texts(&["c  "])),
        ("citext[]", "{D}", texts(&["D"])),
        ("mood[]", "{good}", texts(&["good"])),
        ("json[]", "{\"{\\\"a\\\": 1}\"}", texts(&["{\"a\": 1}"])),
        ("jsonb[]", "{\"{\\\"a\\\":1}\"}", texts(&["{\"a\": 1}"])),
        ("xml[]", "{<a/>}", texts(&["<a/>"])),
        (
            "uuid[]",
            "{00112233-4455-6677-8899-aabbccddeeff}",
            texts(&["00112233-4455-6677-8899-aabbccddeeff"]),
        ),
        ("bytea[]", "{\"\\\\x00ff\"}", vec![Value::Bytes(vec![0, 255].into())]),
        ("date[]", "{1970-01-02}", vec![Value::Date(1)]),
        ("time[]", "{00:00:01}", vec![Value::Time(1000)]),
        ("timetz[]", "{02:00:01+02}", vec![Value::Time(1000)]),
        ("timestamp[]", "{1970-01-02 00:00}", vec![Value::Timestamp(day)]),
        ("timestamptz[]", "{1970-01-02 02:00+02}", vec![Value::Timestamp(day)]),
        ("bit(1)[]", "{1}", vec![Value::Boolean(true)]),
        ("varbit[]", "{101}", texts(&["101"])),
        ("inet[]", "{10.0.0.1}", texts(&["10.0.0.1"])),
        ("interval[]", "{1 day}", texts(&["1 day"])),
        ("point[]", "{\"(1,2)\"}", texts(&["(1,2)"])),
        ("int4range[]", "{\"[1,3)\"}", texts(&["[1,3)"])),
        ("pair[]", "{\"(1,x)\"}", texts(&["(1,x)"])),
        ("whole_list", "{3}", vec![Value::Int32(3)]),
    ]
}

#[test]
fn arrays_are_lists_of_all_types() {
    let arrays = arrays();
    let columns: Vec<_> = arrays.iter().enumerate().map(|(i, t)| format!("c{i} {}", t.0)).collect();
    let with_null = |array: &str| format!("'{},NULL}}'", &array[..array.len() - 1]);
    let values: Vec<_> = arrays.iter().map(|t| with_null(t.1)).collect();
    let sql = format!(
        "CREATE EXTENSION citext; CREATE TYPE pair AS (n int, t text);
         CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN cents AS numeric(12,2);
         CREATE DOMAIN whole_list AS int4[] CHECK (array_length(VALUE, 1) < 9);
         CREATE TABLE t (id int, {}); INSERT INTO t VALUES (1, {}); INSERT INTO t VALUES (2)",
        columns.join(", "),
        values.join(", ")
    );
    with(&sql, async |database| {
        let runs = read(&mut *task(&props(&database.url(), COMPLEX)).await.unwrap(), 2).await;
        let rows = rows(&runs);
        assert_eq!(rows[0].len(), arrays.len() + 1);
        for (i, (name, _, items)) in arrays.iter().enumerate() {
            let expected = Value::Array([&items[..], &[Value::Null]].concat());
            assert_eq!(rows[0][i + 1], expected, "{name}");
        }
        assert!(rows[1][1..].iter().all(Value::is_null));
    });
}

const SHAPES: &str = "
    CREATE TABLE t (id int, one int[], two int[][] NOT NULL, bare numeric[]);
    INSERT INTO t VALUES (1, '{}', '{{1,2},{3,NULL}}',
            '{1.5,123456789012345678901234567890.000000000000000000001}'),
        (2, '{4}', '{}', NULL), (3, NULL, '{{5}}', '{}')";

#[test]
fn arrays_of_arrays_and_empty_ones() {
    with(SHAPES, async |database| {
        let runs = read(&mut *task(&props(&database.url(), COMPLEX)).await.unwrap(), 3).await;
        let list =
            |numbers: &[i32]| Value::Array(numbers.iter().map(|n| Value::Int32(*n)).collect());
        let rows = rows(&runs);
        assert_eq!(rows[0][1], Value::Array(vec![]));
        let second = Value::Array(vec![Value::Int32(3), Value::Null]);
        assert_eq!(rows[0][2], Value::Array(vec![list(&[1, 2]), second]));
        let Value::Array(numbers) = &rows[0][3] else { panic!("a list") };
        let Value::Decimal(number) = &numbers[1] else { panic!("a decimal") };
        let text = number.to_plain_string();
        let text = text.trim_end_matches('0');
        assert_eq!(text, "123456789012345678901234567890.000000000000000000001");
        assert_eq!(rows[1][1..], [list(&[4]), Value::Array(vec![]), Value::Null]);
        let third = [Value::Null, Value::Array(vec![list(&[5])]), Value::Array(vec![])];
        assert_eq!(rows[2][1..], third);
        database.execute("INSERT INTO t VALUES (4, '{{1}}', '{}', NULL)").await;
        let (runs, error) =
            read_to_error(&mut *task(&props(&database.url(), COMPLEX)).await.unwrap()).await;
        assert_eq!(runs.iter().map(|r| r.records.len()).sum::<usize>(), 3);
        let text = error.to_string();
        for part in ["2 dimensions", "column: one", "row: number 4"] {
            assert!(text.contains(part), "{text}");
        }
    });
}

const HSTORE: &str = "
    CREATE SCHEMA elsewhere; CREATE EXTENSION hstore SCHEMA elsewhere;
    CREATE TABLE t (id int, h elsewhere.hstore, hs elsewhere.hstore[]);
    INSERT INTO t VALUES (1, 'a=>\"1 \\\"x\\\"\", bb=>NULL', ARRAY['c=>d'::elsewhere.hstore]),
        (2, '', NULL)";

#[test]
fn hstore_is_a_map_or_json() {
    with(HSTORE, async |database| {
        let read_as = async |mode| {
            let props =
                props(&database.url(), &[COMPLEX, &[("hstore.handling.mode", mode)]].concat());
            let runs = read(&mut *task(&props).await.unwrap(), 2).await;
            (schema(&runs[0]), rows(&runs))
        };
        assert_eq!(read_as("none").await.0, "t\nid? INT32\n");
        let (fields, rows) = read_as("json").await;
        assert_eq!(fields, "t\nid? INT32\nh? STRING\nhs? ARRAY\n");
        let json = "{\"a\":\"1 \\\"x\\\"\",\"bb\":null}";
        assert_eq!(rows[0][1..], [json.into(), Value::Array(texts(&["{\"c\":\"d\"}"]))]);
        assert_eq!(rows[1][1..], ["{}".into(), Value::Null]);
        let (fields, rows) = read_as("map").await;
        assert_eq!(fields, "t\nid? INT32\nh? MAP\nhs? ARRAY\n");
        let entries = vec![("a".into(), "1 \"x\"".into()), ("bb".into(), Value::Null)];
        assert_eq!(rows[0][1], Value::Map(entries));
        let one = Value::Map(vec![("c".into(), "d".into())]);
        assert_eq!(rows[0][2], Value::Array(vec![one]));
        assert_eq!(rows[1][1..], [Value::Map(vec![]), Value::Null]);
    });
}

#[test]
fn what_a_type_cannot_hold_is_said_with_the_way_out() {
    let check = |kind: &str, value: &str, parts: &[&str]| {
        let sql = format!("CREATE TABLE t (v {kind}); INSERT INTO t VALUES ('{value}')");
        with(&sql, async |database| {
            let mut task = task(&props(&database.url(), COMPLEX)).await.unwrap();
            let text = read_to_error(&mut *task).await.1.to_string();
            for part in ["column: v", "table: public.t"].iter().chain(parts) {
                assert!(text.contains(part), "{text}");
            }
        });
    };
    check("numeric", "NaN", &["NaN or infinity", "query"]);
    check("numeric(9,2)", "NaN", &["NaN or infinity"]);
    check("numeric[]", "{Infinity}", &["NaN or infinity"]);
    check("date", "infinity", &["infinite date", "query"]);
    check("time", "24:00", &["24:00"]);
}
