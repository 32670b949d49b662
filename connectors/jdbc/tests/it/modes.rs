//! Tables of one connector that are read in different modes (`mode.mapping`).

use std::collections::BTreeSet;

use millrace_api::SourceTask;
use millrace_api::data::SourceRecords;
use millrace_testkit::plugin_host::{MemoryOffsets, run};

use crate::host::{plugin, task_from};
use crate::sqlite::File;

const TABLES: &str = "
    CREATE TABLE codes (code TEXT); INSERT INTO codes VALUES ('a'), ('b');
    CREATE TABLE orders (id INTEGER PRIMARY KEY, n INT); INSERT INTO orders VALUES (1, 1), (2, 2);
    CREATE TABLE users (id INTEGER PRIMARY KEY, at TIMESTAMP NOT NULL);
    INSERT INTO users VALUES (1, 1000), (2, 2000);";

const MIXED: [(&str, &str); 4] = [
    ("tables", "`codes`,`orders`,`users`"),
    ("mode", "bulk"),
    ("mode.mapping", ".*orders:incrementing,.*users:timestamp+incrementing"),
    ("timestamp.column.name", "at"),
];

/// Polls until each table was read so often; what came of each, and whether offsets say how far.
async fn read(task: &mut dyn SourceTask, polls: usize) -> BTreeSet<(String, usize, bool)> {
    let mut found = BTreeSet::new();
    for _ in 0..polls {
        for SourceRecords { records, source_offset, .. } in task.poll().await.unwrap() {
            found.insert((records.topic.to_string(), records.len(), source_offset.is_some()));
        }
    }
    found
}

fn told(found: &[(&str, usize, bool)]) -> BTreeSet<(String, usize, bool)> {
    found.iter().map(|(topic, rows, has)| ((*topic).to_owned(), *rows, *has)).collect()
}

#[test]
fn each_table_has_its_mode() {
    run(async {
        let file = File::new(TABLES).await;
        let offsets = MemoryOffsets::new();
        let mut task = task_from(&file.props(&MIXED), &offsets).await.unwrap();
        let first = [("db-codes", 2, false), ("db-orders", 2, true), ("db-users", 2, true)];
        assert_eq!(read(&mut *task, 3).await, told(&first));
        file.execute("INSERT INTO orders VALUES (3, 3)").await;
        // What is read again is the table in bulk mode, whole.
        let again = [("db-codes", 2, false), ("db-orders", 1, true)];
        assert_eq!(read(&mut *task, 6).await, told(&again));
    });
}

#[test]
fn entries_that_are_wrong_are_told() {
    let check = |mapping: &str, more: (&str, &str), key: &str, part: &str| {
        let mut props = crate::host::props("jdbc:sqlite:x", &[("mode", "bulk"), more]);
        props.insert("mode.mapping".into(), mapping.into());
        let found = plugin().validate(&props);
        let is_told = found.iter().any(|p| p.key == key && p.message.contains(part));
        assert!(is_told, "{mapping}: {found:?}");
    };
    check("t:often", ("topic.prefix", "x"), "mode.mapping", "a mode is bulk");
    check("t:[bulk|incrementing]", ("topic.prefix", "x"), "mode.mapping", "one mode");
    check("t", ("topic.prefix", "x"), "mode.mapping", "REGEX:NAME");
    check("(:bulk", ("topic.prefix", "x"), "mode.mapping", "Unclosed group");
    check("t:timestamp", ("topic.prefix", "x"), "timestamp.column.name", "needs the columns");
    check("t:bulk", ("query", "SELECT 1"), "mode.mapping", "a query names its tables itself");
}
