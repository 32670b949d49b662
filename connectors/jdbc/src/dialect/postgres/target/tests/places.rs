//! What tables and columns may be like.

use millrace_api::data::{Kind, Value};

use super::{Columns, Sink, of, types, with};
use crate::dialect::postgres::grammar::PostgresGrammar;
use crate::dialect::target::{Action, Grammar, TargetField};
use crate::table::{Quoting, TableId};

fn row(id: i32, value: &str) -> Columns {
    vec![
        ("!id", of(Kind::Int32), vec![Value::Int32(id)]),
        ("v", of(Kind::String), vec![value.into()]),
    ]
}

/// What is described of a table: a column each, with `?` nullable, `=` default, `*` key.
async fn shown(sink: &mut Sink, schema: Option<&str>, table: &str) -> Option<String> {
    let id = TableId::new(schema, table);
    let table = sink.target.describe(&id, &types()).await.unwrap()?;
    let mark = |is: bool, mark| if is { mark } else { "" };
    let columns = table.columns.iter().map(|c| {
        let marks = [mark(c.nullable, "?"), mark(c.has_default, "="), mark(c.in_primary_key, "*")];
        format!("{}{}", c.name, marks.concat())
    });
    let view = mark(table.is_view, " view");
    Some(format!("{}{view}: {}", table.id, columns.collect::<Vec<_>>().join(" ")))
}

#[test]
fn tables_are_described() {
    let sql = "CREATE DOMAIN filled AS int NOT NULL; CREATE DOMAIN made AS filled DEFAULT 7;
        CREATE TABLE t (b int, a serial, i int GENERATED ALWAYS AS IDENTITY, d filled, m made,
            g int GENERATED ALWAYS AS (b + 1) STORED, n text NOT NULL, gone int,
            PRIMARY KEY (a, b));
        ALTER TABLE t DROP gone;
        CREATE VIEW v AS SELECT a, n FROM t;
        CREATE TABLE p (id int, v text) PARTITION BY RANGE (id);
        CREATE SCHEMA other; CREATE TABLE other.t (x int); CREATE TABLE other.only (x int);
        CREATE TABLE \"T\" (\"X\" int)";
    with(sql, async |mut sink| {
        let t = "public.t: b* a=* i= d m= g?= n";
        assert_eq!(shown(&mut sink, None, "t").await.unwrap(), t);
        assert_eq!(shown(&mut sink, Some("public"), "t").await.unwrap(), t);
        assert_eq!(shown(&mut sink, Some("other"), "t").await.unwrap(), "other.t: x?");
        assert_eq!(shown(&mut sink, None, "v").await.unwrap(), "public.v view: a? n?");
        assert_eq!(shown(&mut sink, None, "p").await.unwrap(), "public.p: id? v?");
        assert_eq!(shown(&mut sink, None, "T").await.unwrap(), "public.T: X?");
        // Not in the search path, which currentSchema sets.
        assert_eq!(shown(&mut sink, None, "only").await, None);
        sink.target.execute("SET search_path TO other").await.unwrap();
        assert_eq!(shown(&mut sink, None, "t").await.unwrap(), "other.t: x?");
        let only_tables = ["TABLE".to_owned()];
        for name in ["v", "p"] {
            let id = TableId::new(Some("public"), name);
            assert_eq!(sink.target.describe(&id, &only_tables).await.unwrap(), None);
        }
    });
}

#[test]
fn views_partitions_identities_and_triggers_take_rows() {
    let sql = "CREATE TABLE base (id int PRIMARY KEY, v text);
        CREATE VIEW easy AS SELECT id, v FROM base;
        CREATE VIEW hard AS SELECT DISTINCT id, v FROM base;
        CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO base VALUES (NEW.id + 100, NEW.v); RETURN NEW; END';
        CREATE TRIGGER put INSTEAD OF INSERT ON hard FOR EACH ROW EXECUTE FUNCTION put();
        CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20);
        CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
        CREATE TABLE children (id int PRIMARY KEY, v text) INHERITS (base);
        CREATE UNLOGGED TABLE light (id int PRIMARY KEY, v text)";
    with(sql, async |mut sink| {
        for table in ["easy", "parts", "always", "light", "children"] {
            sink.insert(table, row(1, "a")).await.unwrap();
            let many: Columns = vec![
                ("!id", of(Kind::Int32), vec![Value::Int32(1), Value::Int32(12)]),
                ("v", of(Kind::String), vec!["b".into(), "c".into()]),
            ];
            sink.write(Action::Upsert, table, many).await.unwrap();
            sink.write(Action::Update, table, row(12, "d")).await.unwrap();
            let sql = format!("SELECT * FROM {table} ORDER BY id");
            assert_eq!(sink.rows(&sql).await, ["1|b", "12|d"], "{table}");
            let key = row(1, "").remove(0);
            sink.write(Action::Delete, table, vec![key]).await.unwrap();
            assert_eq!(sink.rows(&sql).await, ["12|d"], "{table}");
            sink.target.execute(&format!("DELETE FROM {table}")).await.unwrap();
        }
        sink.insert("hard", row(1, "t")).await.unwrap();
        assert_eq!(sink.rows("SELECT * FROM base").await, ["101|t"]);
        let error = sink.insert("parts", row(99, "nowhere")).await.unwrap_err();
        assert!(error.kind() == millrace_api::ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("23514"), "{error}");
    });
}

#[test]
fn names_are_what_they_are() {
    let long = "ü".repeat(40);
    let cut = PostgresGrammar.kept(&long);
    assert_eq!(cut, "ü".repeat(31));
    let names = ["a\"b", "a.b", "a b", "select", "Ü", "x'); DROP TABLE canary; --", "$1", cut];
    with("CREATE TABLE canary (id int)", async |mut sink| {
        let quote = |name| Quoting::Always('"').sql(name);
        for name in names {
            let quoted = quote(name);
            let made = if name == cut { quote(&long) } else { quoted.clone() };
            let sql = format!("CREATE TABLE {made} ({made} int PRIMARY KEY, v text)");
            sink.target.execute(&sql).await.unwrap();
            let column: &'static str = Box::leak(format!("!{name}").into_boxed_str());
            for action in [Action::Insert, Action::Upsert, Action::Update] {
                let mut columns = row(1, "x");
                columns[0].0 = column;
                let table = if name == cut { &long } else { name };
                sink.write(action, table, columns).await.unwrap();
            }
            assert_eq!(sink.rows(&format!("SELECT * FROM {quoted}")).await, ["1|x"], "{name}");
        }
        assert_eq!(sink.rows("SELECT count(*)::text FROM canary").await, ["0"]);
    });
}

#[test]
fn people_can_read_what_is_run() {
    with("CREATE TABLE t (id int PRIMARY KEY, a inet)", async |mut sink| {
        let table = sink.describe("t").await;
        let field = |name: &str, is_key| TargetField {
            column: name.into(),
            schema: of(if is_key { Kind::Int32 } else { Kind::String }),
            is_key,
        };
        let fields = [field("id", true), field("a", false)];
        let check = |action, expected: &str| {
            let quoting = Quoting::Always('"');
            let statements = PostgresGrammar.statements(action, &table, &fields, quoting);
            assert_eq!(statements, [expected]);
        };
        let rows = "(SELECT unnest($1::integer[]) AS c0, unnest($2::text[]) AS c1) AS s";
        let insert = "INSERT INTO \"public\".\"t\" (\"id\", \"a\") SELECT s.c0, s.c1::inet";
        check(Action::Insert, &format!("{insert} FROM {rows}"));
        let conflict = "ON CONFLICT (\"id\") DO UPDATE SET \"a\" = EXCLUDED.\"a\"";
        check(Action::Upsert, &format!("{insert} FROM {rows} {conflict}"));
        let update = "UPDATE \"public\".\"t\" AS t SET \"a\" = s.c1::inet";
        check(Action::Update, &format!("{update} FROM {rows} WHERE t.\"id\" = s.c0"));
    });
}
