//! What `millrace jdbc discover` and `millrace preview` are told.

use millrace_api::Discovery;
use millrace_api::data::{Kind, Value};
use millrace_testkit::plugin_host::run;

use crate::host::{plugin, props};
use crate::mariadb_server;
use crate::server::server;
use crate::sink_host::{int_keys, records, schema, sink_plugin, sink_props, structs};
use crate::sink_sqlite::query;
use crate::sqlite::File;

fn lines(discovery: &Discovery) -> Vec<String> {
    discovery.found.iter().map(|row| row.join("|")).collect()
}

#[test]
fn a_postgresql_database_is_described() {
    run(async {
        let Some(server) = server() else { return };
        let sql = "CREATE SCHEMA \"o t\";
            CREATE TABLE serial (id serial PRIMARY KEY, made timestamptz NOT NULL);
            CREATE TABLE changing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                updated_at timestamptz NOT NULL);
            CREATE TABLE stamped (code text PRIMARY KEY, last_change timestamp NOT NULL);
            CREATE INDEX ON stamped (last_change);
            CREATE TABLE pair (a int, b int, PRIMARY KEY (b, a));
            CREATE TABLE numbered (\"No\" int PRIMARY KEY);
            CREATE TABLE \"o t\".other (id serial);
            CREATE VIEW v AS SELECT 1;
            INSERT INTO serial SELECT g, now() FROM generate_series(1, 50) g; ANALYZE serial";
        let database = server.database(sql).await;
        let found = plugin().discover(props(&database.url(), &[])).await.unwrap();
        assert_eq!(
            lines(&found),
            [
                "o t.other|?||incrementing|id",
                "public.changing|?|id|timestamp+incrementing|updated_at, id",
                "public.numbered|?|No|incrementing|No",
                "public.pair|?|b, a|bulk|",
                "public.serial|~50|id|incrementing|id",
                "public.stamped|?|code|timestamp|last_change",
            ]
        );
        let index = "CREATE INDEX \"changing_updated_at\" ON \"public\".\"changing\" \
                     (\"updated_at\", \"id\")";
        assert!(found.notes.iter().any(|note| note.contains(index)), "{:?}", found.notes);
        assert!(!found.notes.iter().any(|note| note.contains("\"stamped\"")));
        for config in &found.suggested {
            let mut config = config.clone();
            assert!(!format!("{config:?}").contains("hunter2"));
            config.insert("connection.password".into(), crate::server::PASSWORD.into());
            assert_eq!(plugin().validate(&config).len(), 0, "{config:?}");
            assert_eq!(plugin().verify(config).await.unwrap().errors.len(), 0);
        }
        let chosen = props(&database.url(), &[("table.include.list", "public[.]s.*")]);
        let found = plugin().discover(chosen).await.unwrap();
        assert_eq!(found.found.len(), 2);
    });
}

#[test]
fn a_mariadb_database_is_described() {
    run(async {
        let Some(server) = mariadb_server::server() else { return };
        let sql = "CREATE TABLE changing (id BIGINT AUTO_INCREMENT PRIMARY KEY,
                updated_at TIMESTAMP NOT NULL, KEY (updated_at, id));
            CREATE TABLE pair (a INT, b INT, PRIMARY KEY (b, a));
            CREATE VIEW v AS SELECT 1";
        let database = server.database(sql).await;
        let found = plugin().discover(props(&database.url(), &[])).await.unwrap();
        let (name, lines) = (database.name(), lines(&found));
        let way = "id|timestamp+incrementing|updated_at, id";
        assert!(lines[0].starts_with(&format!("{name}.changing|")), "{lines:?}");
        assert!(lines[0].ends_with(way), "{lines:?}");
        assert!(lines[1].ends_with("|b, a|bulk|") && lines.len() == 2, "{lines:?}");
        assert!(!found.notes.iter().any(|note| note.contains("CREATE INDEX")), "{:?}", found.notes);
        let mut config = found.suggested[1].clone();
        assert!(!format!("{config:?}").contains("hunter2"));
        config.insert("connection.password".into(), mariadb_server::PASSWORD.into());
        assert_eq!(plugin().verify(config).await.unwrap().errors.len(), 0);
    });
}

#[test]
fn a_sqlite_file_is_described() {
    run(async {
        let file = File::new(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, updated TIMESTAMP NOT NULL);
             CREATE INDEX i ON a (updated);
             CREATE TABLE b (code TEXT PRIMARY KEY) WITHOUT ROWID;
             INSERT INTO a VALUES (7, 0)",
        )
        .await;
        let found = plugin().discover(props(&file.url(), &[])).await.unwrap();
        let expected = ["a|~7|id|timestamp+incrementing|updated, id", "b|?|code|bulk|"];
        assert_eq!(lines(&found), expected);
        assert!(!found.notes.iter().any(|note| note.contains("CREATE INDEX")), "{:?}", found.notes);
    });
}

#[test]
fn a_sink_shows_its_statements_and_runs_none() {
    run(async {
        let file = File::new("CREATE TABLE kept (id INTEGER PRIMARY KEY)").await;
        let fields = schema(&[("id", Kind::Int32, false), ("name", Kind::String, true)]);
        let row = |id| Some(vec![Value::Int32(id), "x".into()]);
        let values = structs(&fields, vec![row(1), row(2), None]);
        let more = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "id"),
            ("delete.enabled", "true"),
            ("fields.whitelist", "name"),
        ];
        let shown = async |extra: &[(&str, &str)]| {
            let props = sink_props(&file.url(), &[&more[..], extra].concat());
            let some = [records(0, int_keys(&[1, 2, 3]), values.clone())];
            sink_plugin().preview(props, some.to_vec()).await.unwrap().join("\n")
        };
        let ddl = ("auto.create", "true");
        let made = shown(&[ddl]).await;
        for part in ["CREATE TABLE `orders`", "-- 2 row(s)", "-- 1 row(s)", "DELETE FROM `orders`"]
        {
            assert!(made.contains(part), "{part}: {made}");
        }
        let altered = shown(&[("auto.evolve", "true"), ("table.name.format", "kept")]).await;
        assert!(altered.contains("ALTER TABLE `kept` ADD"), "{altered}");
        assert!(altered.contains("INSERT INTO `kept`"), "{altered}");
        let missing = shown(&[]).await;
        assert!(missing.contains("fail: the table is missing, and auto.create=false"), "{missing}");
        let tables = "SELECT group_concat(sql) FROM sqlite_master";
        let expected = "CREATE TABLE kept (id INTEGER PRIMARY KEY)";
        assert_eq!(query(&file, tables).await, expected);
    });
}
