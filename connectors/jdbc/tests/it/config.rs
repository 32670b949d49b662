//! What `PUT /connector-plugins/…/config/validate` and a start say of configurations.

use std::collections::BTreeSet;

use millrace_api::Props;

use crate::host::{plugin, props};

/// All problems, `key: message`, with those of single keys.
fn problems(props: &Props) -> Vec<String> {
    let plugin = plugin();
    let mut found: Vec<String> =
        plugin.validate(props).into_iter().map(|p| format!("{}: {}", p.key, p.message)).collect();
    if let Err(error) = plugin.config_def().parse(props) {
        found.push(error.to_string());
    }
    found
}

const URL: &str = "jdbc:postgresql://127.0.0.1/shop";

#[test]
fn configurations_that_are_fine() {
    for more in [
        &[("mode", "bulk")][..],
        &[("mode", "incrementing")],
        &[("mode", "incrementing"), ("table.whitelist", "a,public.b"), ("poll.linger.ms", "1")],
        &[("mode", "timestamp"), ("timestamp.column.name", "changed,made")],
        &[("mode", "timestamp+incrementing"), ("timestamp.column.name", "changed")],
        &[("mode", "bulk"), ("table.include.list", "a.*"), ("table.exclude.list", "ab")],
        &[
            ("mode", "timestamp+incrementing"),
            ("table.include.list", "a.*"),
            ("timestamp.columns.mapping", "a.*:[x|y]"),
            ("incrementing.column.mapping", "a.*:id"),
        ],
        &[("mode", "bulk"), ("query", " select 1")],
        &[("mode", "bulk"), ("query.masked", "SELECT 1")],
        &[("mode", "bulk"), ("numeric.mapping", "BEST_FIT"), ("db.timezone", "+02:00")],
        &[("mode", "bulk"), ("quote.sql.identifiers", "never"), ("table.types", "TABLE,VIEW")],
        &[("mode", "bulk"), ("dialect.name", "postgresqldatabasedialect")],
    ] {
        assert_eq!(problems(&props(URL, more)), [""; 0], "{more:?}");
    }
}

#[test]
fn problems_name_key_and_remedy() {
    let check = |more: &[(&str, &str)], expected: &[&str]| {
        let problems = problems(&props(URL, more));
        assert!(!problems.is_empty(), "{more:?}");
        for part in expected {
            assert!(problems.iter().any(|p| p.contains(part)), "{part}: {problems:?}");
        }
        assert!(problems.iter().all(|p| !p.contains("hunter2")), "{problems:?}");
    };
    check(&[], &["mode: Query mode must be specified"]);
    check(&[("mode", "timestamp")], &["timestamp.column.name: this mode needs the columns"]);
    let by_both = [("mode", "timestamp+incrementing"), ("query", "SELECT 1")];
    check(&by_both, &["timestamp.column.name: ", "incrementing.column.name: "]);
    check(&[("mode", "sometimes")], &["mode"]);
    let kinds = [("mode", "bulk"), ("table.whitelist", "a"), ("table.include.list", "b")];
    check(&kinds, &["table.whitelist: table.whitelist, ", "table.include.list: table.whitelist, "]);
    let alone = [("mode", "bulk"), ("table.exclude.list", "b")];
    check(&alone, &["table.exclude.list: this is for the tables of table.include.list"]);
    let wrong = [("mode", "bulk"), ("table.include.list", "a(")];
    check(&wrong, &["Unclosed group"]);
    let without = [("mode", "timestamp"), ("table.include.list", "a")];
    check(&without, &["timestamp.columns.mapping: this mode needs the columns"]);
    let useless =
        [("mode", "bulk"), ("table.include.list", "a"), ("incrementing.column.mapping", "a:id")];
    check(&useless, &["incrementing.column.mapping: the mode does not look"]);
    let query = [("mode", "bulk"), ("table.include.list", "a"), ("query", "SELECT 1")];
    check(&query, &["table.include.list: a query names its tables"]);
    let both = [("mode", "bulk"), ("table.whitelist", "a"), ("table.blacklist", "b")];
    check(&both, &["table.whitelist: ", "table.blacklist: "]);
    let both = [("mode", "bulk"), ("query", "SELECT 1"), ("query.masked", "SELECT 'hunter2'")];
    check(&both, &["query: ", "query.masked: "]);
    let both = [("mode", "bulk"), ("query", "SELECT 1"), ("table.whitelist", "b")];
    check(&both, &["table.whitelist: a query names its tables"]);
    check(&[("mode", "incrementing"), ("query", "SELECT 1")], &["incrementing.column.name: "]);
    check(&[("mode", "bulk"), ("query", "DELETE 'hunter2'")], &["begin with SELECT"]);
    check(&[("mode", "bulk"), ("query.masked", "DROP 'hunter2'")], &["begin with SELECT"]);
    check(&[("mode", "bulk"), ("topic.prefix", "a b")], &["topic.prefix"]);
    check(&[("mode", "bulk"), ("batch.max.rows", "0")], &["batch.max.rows"]);
    check(&[("mode", "bulk"), ("db.timezone", "Mars")], &["db.timezone: "]);
    check(&[("mode", "bulk"), ("table.types", "DESK")], &["table.types"]);
    check(&[("mode", "bulk"), ("dialect.name", "SqliteDatabaseDialect")], &["dialect.name"]);
    let isolation = ("transaction.isolation.mode", "SQL_SERVER_SNAPSHOT");
    check(&[("mode", "bulk"), isolation], &["transaction.isolation.mode: "]);
    let provider = ("jdbc.credentials.provider.class", "x.Y");
    check(&[("mode", "bulk"), provider], &["jdbc.credentials.provider.class: "]);
}

#[test]
fn urls_are_checked_and_not_shown() {
    for url in [
        "",
        "jdbc:oracle:thin:@db/x?password=hunter2",
        "jdbc:postgresql://u:hunter2@db/x",
        "jdbc:postgresql://db/x?password=hunter2&sslmode=maybe",
        "jdbc:sqlite:",
    ] {
        let problems = problems(&props(url, &[("mode", "bulk")]));
        assert!(problems[0].starts_with("connection.url: "), "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn all_names_and_their_aliases_are_answered_to() {
    let classes: BTreeSet<_> = millrace_jdbc::plugins().iter().map(|p| p.class()).collect();
    let expected = [
        "io.aiven.connect.jdbc.JdbcSinkConnector",
        "io.aiven.connect.jdbc.JdbcSourceConnector",
        "io.confluent.connect.jdbc.JdbcSinkConnector",
        "io.confluent.connect.jdbc.JdbcSourceConnector",
        "io.debezium.connector.jdbc.JdbcSinkConnector",
    ];
    assert_eq!(classes, BTreeSet::from(expected));
    assert!(plugin().answers_to("JdbcSource"));
    assert!(plugin().answers_to("JdbcSourceConnector"));
}
