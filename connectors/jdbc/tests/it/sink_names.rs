//! Names of topics and fields reach SQL as names, whatever they are.

use std::collections::BTreeSet;

use millrace_api::data::{Column, Kind, Schema, Value};
use millrace_testkit::plugin_host::run;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::sink_host::{Sink, records_of, sink_props, structs};
use crate::sink_sqlite::query;
use crate::sqlite::File;

const CANARY: &str = "CREATE TABLE canary (id INT); INSERT INTO canary VALUES (42)";

/// What somebody might put into a name: SQL, quotes, anything.
fn names(count: usize) -> Vec<String> {
    let part = prop_oneof![
        3 => "[\"'`\\]\\[;.$?%_ a-zA-Z0-9-]{1,12}",
        2 => ".{1,8}",
        1 => Just("`; DROP TABLE canary; --".to_owned()),
        1 => Just("\"); DELETE FROM canary; --".to_owned()),
        1 => Just("x`) VALUES (1); UPDATE canary SET id = 0; /*".to_owned()),
        1 => Just("\\'\\\"${topic}$1?:a".to_owned()),
    ];
    let name = proptest::collection::vec(part, 1..3).prop_map(|parts| parts.concat());
    let mut runner = TestRunner::deterministic();
    let mut names = BTreeSet::new();
    // SQLite does not tell names apart that differ in the case of ASCII letters only.
    let mut seen = BTreeSet::new();
    while names.len() < count {
        let name: String = name.new_tree(&mut runner).unwrap().current();
        if !name.contains('\0') && seen.insert(name.to_lowercase()) {
            names.insert(name);
        }
    }
    names.into_iter().collect()
}

#[test]
fn ten_thousand_names_and_a_canary() {
    const COLUMNS: usize = 99;
    run(async {
        let file = File::new(&format!("PRAGMA synchronous = OFF; {CANARY}")).await;
        let more =
            [("auto.create", "true"), ("auto.evolve", "true"), ("table.name.format", "t${topic}")];
        let mut sink = Sink::reporting(&sink_props(&file.url(), &more)).await;
        let mut written = 0;
        for (i, names) in names(10_000).chunks(COLUMNS + 1).enumerate() {
            let [table, columns @ ..] = names else { panic!("no names") };
            // A point would part a table from its schema.
            let table = table.replace('.', ",");
            let builder = columns.iter().fold(Schema::struct_builder(), |builder, name| {
                builder.field(name.as_str(), Schema::builder(Kind::Int32).optional().build())
            });
            let row = vec![Value::Int32(7); columns.len()];
            let values = structs(&builder.build(), vec![Some(row)]);
            let offset = i64::try_from(i).unwrap();
            sink.write(&[records_of(&table, offset, Column::nulls(1), values)]).await;
            written += 1;
        }
        assert_eq!(query(&file, "SELECT * FROM canary").await, "42");
        let tables =
            query(&file, "SELECT count(*) FROM sqlite_schema WHERE name <> 'canary'").await;
        assert_eq!(tables, written.to_string(), "{}", sink.reports.text());
    });
}

#[test]
fn names_that_need_quotes_are_refused_where_these_are_forbidden() {
    run(async {
        let file = File::new(CANARY).await;
        let more = [("auto.create", "true"), ("quote.sql.identifiers", "never")];
        let mut sink = Sink::reporting(&sink_props(&file.url(), &more)).await;
        let value = |name: &str| {
            let schema = Schema::struct_builder().field(name, Schema::builder(Kind::Int32).build());
            structs(&schema.build(), vec![Some(vec![Value::Int32(7)])])
        };
        let names = [
            ("t1", "a"),
            ("t3", "a\0b"),
            ("x; DROP TABLE canary", "a"),
            ("t2", "a) VALUES (1); DROP TABLE canary --"),
        ];
        for (offset, (topic, field)) in (0..).zip(names) {
            sink.write(&[records_of(topic, offset, Column::nulls(1), value(field))]).await;
        }
        assert_eq!(sink.reports.offsets(), [1, 2, 3]);
        assert!(sink.reports.text().contains("quote.sql.identifiers=never"));
        assert_eq!(query(&file, "SELECT id, t1.a FROM canary, t1").await, "42|7");
    });
}
