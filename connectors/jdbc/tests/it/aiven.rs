//! The keys that have another name or default under Aiven's class, and those that came with it.

use millrace_api::{Plugin, Props, SourceTask};
use millrace_testkit::plugin_host::{MemoryOffsets, run, source_task};

use crate::host::{ids, props, read};
use crate::server::server;
use crate::sqlite::File;

fn aiven() -> Plugin {
    let mut plugins = millrace_jdbc::plugins().into_iter();
    let class = "io.aiven.connect.jdbc.JdbcSourceConnector";
    plugins.find(|p| p.class() == class).expect("the plugin is there")
}

async fn task(props: Props) -> Box<dyn SourceTask> {
    let plugin = aiven();
    assert!(plugin.validate(&props).is_empty());
    let errors = plugin.verify(props.clone()).await.unwrap().errors;
    assert!(errors.is_empty(), "{errors:?}");
    source_task(&plugin, props, &MemoryOffsets::new()).await.unwrap()
}

#[test]
fn keys_and_defaults_are_aivens() {
    let def = aiven().config_def();
    for key in ["mode", "topic.prefix"] {
        assert!(def.get(key).unwrap().is_required(), "{key}");
    }
    for (key, default) in [
        ("batch.max.rows", "100"),
        ("sql.quote.identifiers", "true"),
        ("timestamp.initial.ms", "0"),
        ("incrementing.initial", "-1"),
        ("table.names.qualify", "true"),
    ] {
        let key = def.get(key).unwrap();
        assert_eq!(key.default.as_ref().unwrap().to_string(), default, "{}", key.name);
    }
    for key in ["quote.sql.identifiers", "timestamp.initial"] {
        assert!(def.get(key).is_none(), "{key}");
    }
    let empty = [("mode", ""), ("connection.url", "jdbc:sqlite:x"), ("topic.prefix", "x")];
    assert!(def.parse(&props("", &empty)).is_err());
}

#[test]
fn ids_and_times_begin_where_they_are_told_to() {
    run(async {
        let file = File::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, at TIMESTAMP NOT NULL);
             INSERT INTO t WITH RECURSIVE n(i) AS (SELECT -5 UNION ALL SELECT i + 1 FROM n
                 WHERE i < 200) SELECT i, 1000 * (i + 6) FROM n",
        )
        .await;
        let begin = async |more: &[(&str, &str)], count: usize| {
            let mut all = vec![("tables", "`t`"), ("sql.quote.identifiers", "false")];
            all.extend(more);
            read(&mut *task(file.props(&all)).await, count).await
        };
        let by_id = ("mode", "incrementing");
        let runs = begin(&[by_id], 201).await;
        assert_eq!(runs[0].records.len(), 100, "batch.max.rows");
        assert_eq!(ids(&runs)[0], 0);
        let runs = begin(&[by_id, ("incrementing.initial", "-4")], 204).await;
        assert_eq!(ids(&runs)[0], -3);
        let by_time = ("mode", "timestamp");
        let columns = ("timestamp.column.name", "at");
        let runs = begin(&[by_time, columns, ("timestamp.initial.ms", "200000")], 6).await;
        assert_eq!(ids(&runs), [195, 196, 197, 198, 199, 200]);
    });
}

#[test]
fn names_may_be_left_to_the_search_path() {
    run(async {
        let Some(server) = server() else { return };
        let database = server
            .database(
                "CREATE SCHEMA near; CREATE SCHEMA far;
                 CREATE TABLE near.t (id serial PRIMARY KEY);
                 CREATE TABLE far.t (id serial PRIMARY KEY);
                 INSERT INTO near.t VALUES (1); INSERT INTO far.t VALUES (2)",
            )
            .await;
        let read_from = async |qualify: &str| {
            let url = format!("{}&currentSchema=near", database.url());
            let more = [
                ("mode", "incrementing"),
                ("schema.pattern", "far"),
                ("tables", "\"far\".\"t\""),
                ("table.names.qualify", qualify),
            ];
            ids(&read(&mut *task(props(&url, &more)).await, 1).await)
        };
        assert_eq!(read_from("true").await, [2]);
        assert_eq!(read_from("false").await, [1]);
    });
}
