//! The keys of the sink: names, defaults, and what does not go together.

use millrace_api::{Plugin, Props};

use crate::sink_host::{sink_plugin, sink_props};

const URL: &str = "jdbc:sqlite:/nowhere/shop.db";

/// All problems, `key: message`, with those of single keys.
fn problems(plugin: &Plugin, props: &Props) -> Vec<String> {
    let mut found: Vec<String> =
        plugin.validate(props).into_iter().map(|p| format!("{}: {}", p.key, p.message)).collect();
    if let Err(error) = plugin.config_def().parse(props) {
        found.push(error.to_string());
    }
    found
}

#[test]
fn keys_and_defaults_are_javas() {
    let definition = sink_plugin().config_def();
    let expected = [
        ("connection.user", "null"),
        ("connection.password", "null"),
        ("dialect.name", ""),
        ("connection.attempts", "3"),
        ("connection.backoff.ms", "10000"),
        ("insert.mode", "insert"),
        ("batch.size", "3000"),
        ("delete.enabled", "false"),
        ("table.types", "[TABLE]"),
        ("replace.null.with.default", "true"),
        ("table.name.format", "${topic}"),
        ("pk.mode", "none"),
        ("pk.fields", "[]"),
        ("fields.whitelist", "[]"),
        ("db.timezone", "UTC"),
        ("date.timezone", "DB_TIMEZONE"),
        ("timestamp.fields.list", "[]"),
        ("timestamp.precision.mode", "microseconds"),
        ("date.calendar.system", "LEGACY"),
        ("string.output.value.column.name", "record_value"),
        ("auto.create", "false"),
        ("auto.evolve", "false"),
        ("quote.sql.identifiers", "ALWAYS"),
        ("mssql.use.merge.holdlock", "true"),
        ("max.retries", "10"),
        ("retry.backoff.ms", "3000"),
        ("trim.sensitive.log", "false"),
    ];
    for (name, default) in expected {
        let key = definition.keys().iter().find(|key| key.name == name).expect(name);
        let shown = key.default.as_ref().map_or("null".to_owned(), ToString::to_string);
        assert_eq!(shown, default, "{name}");
    }
    assert!(definition.parse(&Props::new()).unwrap_err().to_string().contains("connection.url"));
}

#[test]
fn configurations_that_are_fine() {
    for more in [
        &[][..],
        &[("insert.mode", "UPSERT"), ("pk.mode", "RECORD_KEY"), ("delete.enabled", "true")],
        &[("insert.mode", "multi"), ("sql.quote.identifiers", "false")],
        &[("pk.mode", "kafka"), ("pk.fields", "t,p,o"), ("batch.size", "0")],
        &[("table.types", "TABLE,PARTITIONED TABLE,VIEW"), ("date.timezone", "utc")],
        &[("table.name.normalize", "true"), ("topics.to.tables.mapping", "a:b,c:d.e")],
        &[("exactly.once", "transactional"), ("db.timezone", "+02:00")],
    ] {
        let props = sink_props(URL, more);
        assert_eq!(problems(&sink_plugin(), &props), [""; 0], "{more:?}");
    }
}

#[test]
fn problems_name_key_and_remedy() {
    let check = |more: &[(&str, &str)], expected: &str| {
        let problems = problems(&sink_plugin(), &sink_props(URL, more));
        assert!(problems.iter().any(|p| p.contains(expected)), "{expected}: {problems:?}");
    };
    check(&[("insert.mode", "merge")], "insert.mode");
    check(&[("insert.mode", "upsert")], "pk.mode: insert.mode=upsert needs to know the key");
    check(&[("insert.mode", "update")], "pk.mode: insert.mode=update without a key");
    check(&[("delete.enabled", "true")], "delete.enabled: Deletes are only supported");
    check(&[("pk.mode", "kafka"), ("pk.fields", "a,b")], "pk.fields: pk.mode=kafka needs three");
    check(&[("table.name.map", "(:x")], "table.name.map: not a regular expression");
    check(&[("topics.to.tables.mapping", "x")], "an entry must be TOPIC:TABLE");
    check(&[("table.name.format", "")], "table.name.format");
    check(&[("db.timezone", "Mars/Olympus")], "db.timezone: ");
    check(&[("exactly.once", "maybe")], "exactly.once");
    check(&[("max.retries", "-1")], "max.retries");
    check(&[("connection.url", "jdbc:oracle:thin:@x")], "connection.url: ");
}

#[test]
fn both_names_answer() {
    let answers = |name: &str| {
        millrace_jdbc::plugins().iter().filter(|plugin| plugin.answers_to(name)).count()
    };
    for name in [
        "io.confluent.connect.jdbc.JdbcSinkConnector",
        "io.aiven.connect.jdbc.JdbcSinkConnector",
        "JdbcSinkConnector",
        "JdbcSink",
    ] {
        assert_eq!(answers(name), 1, "{name}");
    }
}
