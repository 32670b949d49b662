//! A shop goes from PostgreSQL through Avro in Kafka into PostgreSQL and into MariaDB: what comes
//! out is what went in, table by table and value by value.

use crate::postgres::JSON;
use millrace_integration::client::Client;
use millrace_integration::connect::{Connect, Properties};
use millrace_integration::mariadb::mariadb;
use millrace_integration::postgres::{Postgres, postgres};
use millrace_integration::registry::Registry;
use millrace_integration::site::{Site, properties};
use millrace_integration::wait_until;
use std::time::Duration;

const SHOP: &str = include_str!("shop.sql");
/// Those of which other databases have the types come first.
const TABLES: [&str; 7] = ["store", "customer", "category", "product", "orders", "device", "shelf"];
const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
const LONG: Duration = Duration::from_secs(120);

/// The names of connectors and topics begin with the test's own word.
fn source(word: &str, server: &Postgres, tables: &[&str]) -> Properties {
    properties(&[
        ("name", &format!("{word}-source")),
        ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector"),
        ("connection.url", &server.jdbc_url()),
        ("tasks.max", "2"),
        ("schema.pattern", "public"),
        ("table.whitelist", &tables.join(",")),
        ("mode", "bulk"),
        ("poll.interval.ms", "3600000"),
        ("topic.prefix", &format!("{word}_")),
        ("sql.complex.types.enable", "true"),
    ])
}

fn sink(word: &str, url: &str, tables: &[&str], format: &str) -> Properties {
    let topics: Vec<String> = tables.iter().map(|table| format!("{word}_{table}")).collect();
    properties(&[
        ("name", &format!("{word}-sink")),
        ("connector.class", "io.confluent.connect.jdbc.JdbcSinkConnector"),
        ("connection.url", url),
        ("tasks.max", "2"),
        ("topics", &topics.join(",")),
        ("table.name.format", format),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
        ("consumer.override.metadata.max.age.ms", "1000"),
    ])
}

fn start(site: &Site, registry: &Registry, connectors: &[Properties]) -> Connect {
    let url = registry.url();
    let worker = [
        ("key.converter", JSON),
        ("value.converter", AVRO),
        ("value.converter.schema.registry.url", url.as_str()),
    ];
    site.start(&worker, connectors)
}

#[track_caller]
fn wait_for_rows(
    connect: &Connect,
    (word, table): (&str, &str),
    expected: &str,
    count: impl Fn() -> String,
) {
    wait_until(&format!("{expected} rows of {table}"), LONG, || {
        for connector in ["source", "sink"] {
            let path = format!("/connectors/{word}-{connector}/status");
            let status = connect.rest("GET", &path, None).body;
            for task in status["tasks"].as_array().into_iter().flatten() {
                assert!(task["trace"].is_null(), "{connector}: {}", task["trace"]);
            }
        }
        (count() == expected).then_some(())
    });
}

/// The first line in which two texts differ.
#[track_caller]
fn assert_same(table: &str, found: &str, expected: &str) {
    let differ = found.split('\n').zip(expected.split('\n')).find(|(ours, theirs)| ours != theirs);
    if let Some((ours, theirs)) = differ {
        panic!("{table}:\n{ours:.2000}\n  is not\n{theirs:.2000}");
    }
    assert!(found == expected, "{table}: one ends early");
}

#[test]
fn a_shop_comes_back_into_postgresql_as_it_was() {
    const WORD: &str = "shop";
    let (site, server, registry) = (Site::kafka(Client::any()), postgres(), Registry::start());
    server.sql(SHOP);
    server.sql("create schema copy");
    for table in TABLES {
        server.sql(&format!("create table copy.{WORD}_{table} (like {table} including all)"));
        site.backend.create_topic(&format!("{WORD}_{table}"), 1);
    }
    let sink = sink(WORD, &server.jdbc_url(), &TABLES, "copy.${topic}");
    let connect = start(&site, &registry, &[source(WORD, &server, &TABLES), sink]);
    for table in TABLES {
        let count = |name: &str| server.sql(&format!("select count(*) from {name}"));
        wait_for_rows(&connect, (WORD, table), &count(table), || {
            count(&format!("copy.{WORD}_{table}"))
        });
        if table == "product" {
            // A number without a scale has 127 digits after the point in Connect.
            for name in ["product", &format!("copy.{WORD}_product")] {
                server.sql(&format!("update {name} set exact = trim_scale(exact)"));
            }
        }
        let rows = |name: &str| {
            server.sql(&format!("set time zone 'UTC'; select r::text from {name} r order by id"))
        };
        assert_same(table, &rows(&format!("copy.{WORD}_{table}")), &rows(table));
    }
    assert!(connect.stop().success());
}

/// A column, and how each database writes it so that both write the same.
struct Column(&'static str, &'static str, &'static str);

const fn plain(name: &'static str) -> Column {
    Column(name, "{}::text", "cast({} as char)")
}

const fn flag(name: &'static str) -> Column {
    Column(name, "{}::int::text", "cast({} as char)")
}

const fn moment(name: &'static str) -> Column {
    const MOMENT: &str = "to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')";
    Column(name, MOMENT, "date_format({}, '%Y-%m-%d %H:%i:%s.%f')")
}

const fn time(name: &'static str) -> Column {
    Column(name, "to_char({}::time, 'HH24:MI:SS.US')", "time_format({}, '%H:%i:%s.%f')")
}

/// Of what MariaDB has types for: all but numbers without a scale, of which its own hold fewer
/// digits.
const COLUMNS: [(&str, &[Column]); 5] = [
    (
        "store",
        &[
            plain("title"),
            plain("letter"),
            flag("open"),
            plain("since"),
            time("opens"),
            time("closes"),
            plain("area"),
            plain("turnover"),
            plain("tax"),
            plain("registry"),
        ],
    ),
    (
        "customer",
        &[
            plain("public_id"),
            plain("email"),
            plain("full_name"),
            Column("initials", "rpad({}, 3)", "cast({} as char)"),
            flag("vip"),
            plain("born"),
            moment("registered"),
            moment("seen"),
            plain("settings"),
            plain("notes"),
            Column("photo", "encode({}, 'hex')", "lower(hex({}))"),
            plain("level"),
        ],
    ),
    ("category", &[plain("parent"), plain("address"), plain("rank")]),
    (
        "product",
        &[
            Column("sku", "rpad({}, 12)", "cast({} as char)"),
            plain("title"),
            plain("price"),
            plain("weight"),
            plain("atoms"),
            plain("specs"),
            plain("leaflet"),
            plain("big"),
            moment("added"),
        ],
    ),
    (
        "orders",
        &[
            plain("customer"),
            moment("placed"),
            plain("lines"),
            plain("total"),
            flag("paid"),
            plain("channel"),
            plain("memo"),
        ],
    ),
];

#[test]
fn a_shop_comes_into_mariadb_as_it_was() {
    const WORD: &str = "market";
    let (site, server, registry) = (Site::kafka(Client::any()), postgres(), Registry::start());
    let target = mariadb();
    server.sql(SHOP);
    server.sql("alter table product drop column exact");
    // MariaDB's years begin at 1000.
    server.sql("update product set added = '1000-01-01' where added < '1000-01-01'");
    let tables = COLUMNS.map(|(table, _)| table);
    tables.iter().for_each(|table| site.backend.create_topic(&format!("{WORD}_{table}"), 1));
    let mut sink = sink(WORD, &target.jdbc_url(), &tables, "${topic}");
    sink.insert("auto.create".to_owned(), "true".to_owned());
    let connect = start(&site, &registry, &[source(WORD, &server, &tables), sink]);
    for (table, columns) in COLUMNS {
        let count = server.sql(&format!("select count(*) from {table}"));
        let there = format!(
            "select count(*) from information_schema.tables where table_schema = 'millrace' \
             and table_name = '{WORD}_{table}'"
        );
        wait_for_rows(&connect, (WORD, table), &count, || match target.sql(&there).as_str() {
            "1" => target.sql(&format!("select count(*) from {WORD}_{table}")),
            _ => String::new(),
        });
        let select = |of: &dyn Fn(&Column) -> String, from: &str| {
            let texts: Vec<String> =
                columns.iter().map(|c| format!("coalesce({}, '<null>')", of(c))).collect();
            format!("select concat_ws('|', id, {}) from {from} order by id", texts.join(", "))
        };
        let ours = |c: &Column| c.1.replace("{}", &format!("\"{}\"", c.0));
        let theirs = |c: &Column| c.2.replace("{}", &format!("`{}`", c.0));
        let expected = server.sql(&format!("set time zone 'UTC'; {}", select(&ours, table)));
        let found = target.sql(&select(&theirs, &format!("{WORD}_{table}")));
        assert_same(table, &found, &expected);
    }
    assert!(connect.stop().success());
}
