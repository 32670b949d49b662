//! The sink on PostgreSQL: every mode, exactly once, rows that are refused, connections that break
//! off, and rows of the source that come back as they were. Skipped, with a message, where no
//! server is installed.

use async_trait::async_trait;
use millrace_api::data::{Column, Kind, Schema, SchemaRef, SinkRecords, Value};
use millrace_api::{Plugin, Props, TopicPartition};
use millrace_testkit::plugin_host::run;
use millrace_testkit::sink_suite::{self, SinkFixture, Tombstones};
use sqlx::{AssertSqlSafe, Row};

use crate::host::{props, read, task};
use crate::server::{Database, server};
use crate::sink_host::{
    Sink, int_keys, records, records_of, schema, sink_plugin, sink_props, structs,
};

/// Runs a test with a database that holds this, where there is a server.
fn with(sql: &str, test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(sql).await).await });
    }
}

/// All rows of a query, as text: `1|a;2|NULL`.
async fn query(database: &Database, sql: &str) -> String {
    let mut connection = database.connect().await;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await;
    let text = |row: &sqlx::postgres::PgRow| {
        let cell = |i| row.try_get_unchecked::<Option<String>, _>(i).unwrap();
        let cells = (0..row.len()).map(|i| cell(i).unwrap_or("NULL".to_owned()));
        cells.collect::<Vec<_>>().join("|")
    };
    rows.unwrap().iter().map(text).collect::<Vec<_>>().join(";")
}

fn order() -> SchemaRef {
    schema(&[("id", Kind::Int32, false), ("name", Kind::String, true)])
}

/// Orders by id and name.
fn orders(rows: &[(i32, &str)]) -> Column {
    let row = |(id, name): &(i32, &str)| Some(vec![Value::Int32(*id), (*name).into()]);
    structs(&order(), rows.iter().map(row).collect())
}

const TABLE: &str = "CREATE TABLE orders (id int PRIMARY KEY, name varchar(5), more text)";
const ALL: &str = "SELECT * FROM orders ORDER BY 1";
const BY_KEY: [(&str, &str); 4] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_key"),
    ("pk.fields", "id"),
    ("delete.enabled", "true"),
];

#[test]
fn rows_are_upserted_and_deleted_and_keep_what_is_not_written() {
    with(TABLE, async |database| {
        database.execute("INSERT INTO orders VALUES (1, 'x', 'y'), (2, 'x', 'y')").await;
        let mut sink = Sink::strict(&sink_props(&database.url(), &BY_KEY)).await;
        let only = schema(&[("name", Kind::String, true)]);
        let row = |name: &str| Some(vec![name.into()]);
        let values = structs(&only, vec![row("a"), None, row("c"), None, row("d"), row("e")]);
        sink.write(&[records(0, int_keys(&[5, 1, 4, 5, 1, 2]), values)]).await;
        assert_eq!(query(&database, ALL).await, "1|d|NULL;2|e|y;4|c|NULL");
    });
}

#[test]
fn tables_are_created_and_altered() {
    with("", async |database| {
        let more = [("auto.create", "true"), ("auto.evolve", "true"), ("pk.mode", "kafka")];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        sink.write(&[records(7, Column::nulls(1), orders(&[(1, "a")]))]).await;
        let long = format!("price {}", "é".repeat(40));
        let price = Schema::builder(Kind::Float64).default_value(Value::Float64(0.5)).unwrap();
        let wider = Schema::struct_builder()
            .field("id", Schema::builder(Kind::Int32).build())
            .field(long.as_str(), price.build())
            .build();
        for offset in [8, 9] {
            let rows = vec![Some(vec![Value::Int32(3), Value::Float64(1.5)])];
            sink.write(&[records(offset, Column::nulls(1), structs(&wider, rows))]).await;
        }
        let expected = "orders|0|7|1|a|0.5;orders|0|8|3|NULL|1.5;orders|0|9|3|NULL|1.5";
        assert_eq!(query(&database, "SELECT * FROM orders ORDER BY 3").await, expected);
    });
}

#[test]
fn topics_share_no_table_because_its_name_is_cut() {
    let kept = "p".repeat(63);
    let [one, two] = ["orders", "customers"].map(|tail| format!("{kept}-{tail}"));
    let more = [&BY_KEY[..], &[("auto.create", "true")]].concat();
    let of = |topic: &str, offset: i64, name| {
        [records_of(topic, offset, int_keys(&[1]), orders(&[(1, name)]))]
    };
    with("", async |database| {
        // Neither has a table, and none is made for them.
        let mut sink = Sink::reporting(&sink_props(&database.url(), &more)).await;
        sink.write(&of(&one, 0, "a")).await;
        sink.write(&of(&two, 1, "b")).await;
        assert_eq!(sink.reports.offsets(), [0, 1]);
        assert!(sink.reports.text().contains("table.name.map"), "{}", sink.reports.text());
        assert_eq!(
            query(&database, "SELECT relname::text FROM pg_class WHERE relname ~ '^pp'").await,
            ""
        );
        // One that was made by somebody who cuts names takes the rows of one of them.
        database.execute(&format!("CREATE TABLE {kept} (id int PRIMARY KEY, name text)")).await;
        let mut sink = Sink::reporting(&sink_props(&database.url(), &more)).await;
        sink.write(&of(&one, 0, "a")).await;
        sink.write(&of(&two, 1, "b")).await;
        sink.write(&of(&kept, 2, "c")).await;
        sink.write(&of(&one, 3, "d")).await;
        assert_eq!(sink.reports.offsets(), [1, 2]);
        assert!(sink.reports.text().contains(&format!("other: {one}")), "{}", sink.reports.text());
        assert_eq!(query(&database, &format!("SELECT id::text, name FROM {kept}")).await, "1|d");
        // And of the other under a name of its own.
        let map = format!("{kept}-(.*):${{1}}");
        let mapped = [&more[..], &[("table.name.map", map.as_str())]].concat();
        let mut sink = Sink::strict(&sink_props(&database.url(), &mapped)).await;
        sink.write(&of(&two, 0, "b")).await;
        assert_eq!(query(&database, "SELECT id::text, name FROM customers").await, "1|b");
    });
}

#[test]
fn names_without_quotes_are_folded() {
    with("", async |database| {
        let more = [
            ("auto.create", "true"),
            ("auto.evolve", "true"),
            ("quote.sql.identifiers", "never"),
            ("table.name.format", "Big_${topic}"),
            ("insert.mode", "upsert"),
            ("pk.mode", "record_value"),
            ("pk.fields", "Id"),
        ];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        for (offset, name) in [(0, "A"), (1, "B")] {
            let fields = schema(&[("Id", Kind::Int32, false), (name, Kind::String, true)]);
            let values = structs(&fields, vec![Some(vec![Value::Int32(1), "x".into()])]);
            sink.write(&[records(offset, Column::nulls(1), values)]).await;
        }
        assert_eq!(query(&database, "SELECT id::text, a, b FROM big_orders").await, "1|x|x");
    });
}

#[test]
fn one_bad_row_is_reported_and_the_others_are_written() {
    with(TABLE, async |database| {
        let mut sink = Sink::reporting(&sink_props(&database.url(), &[])).await;
        let name = |i| match i {
            7 => "too long",
            40 => "a\0b",
            _ => "y",
        };
        let mut rows: Vec<_> = (0..100).map(|i| (i, name(i))).collect();
        rows[73].0 = 1;
        sink.write(&[records(0, Column::nulls(100), orders(&rows))]).await;
        assert_eq!(sink.reports.offsets(), [7, 40, 73]);
        assert_eq!(query(&database, "SELECT count(*)::text FROM orders").await, "97");
        let text = sink.reports.text();
        for part in ["22001", "22021", "23505", "orders_pkey", "Key (id)=(1)", "public.orders"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    });
}

#[test]
fn a_connection_that_breaks_off_loses_nothing() {
    with(TABLE, async |database| {
        let more = [&BY_KEY[..], &[("exactly.once", "transactional")]].concat();
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let end = "SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity \
                   WHERE pid <> pg_backend_pid() AND datname = current_database()";
        for i in 0..5 {
            let records = [records(i64::from(i), int_keys(&[i]), orders(&[(i, "x")]))];
            sink.write(&records).await;
            database.execute(end).await;
        }
        assert_eq!(query(&database, "SELECT count(*)::text FROM orders").await, "5");
    });
}

#[test]
fn a_table_that_is_altered_while_the_task_runs_goes_on_taking_rows() {
    with(TABLE, async |database| {
        let mut sink = Sink::strict(&sink_props(&database.url(), &[("auto.evolve", "true")])).await;
        let alterations = [
            "ALTER TABLE orders ALTER id TYPE float8",
            "ALTER TABLE orders ALTER id TYPE text, ALTER name TYPE text",
            "ALTER TABLE orders RENAME name TO gone",
            "ALTER TABLE orders ADD again int NOT NULL DEFAULT 7, DROP more",
        ];
        for (i, alteration) in (0..).zip(alterations) {
            let offset = i64::from(i);
            sink.write(&[records(offset, Column::nulls(1), orders(&[(i, "x")]))]).await;
            database.execute(alteration).await;
        }
        sink.write(&[records(9, Column::nulls(1), orders(&[(9, "x")]))]).await;
        let all = "SELECT id, gone, name, again::text FROM orders ORDER BY 1";
        assert_eq!(
            query(&database, all).await,
            "0|x|NULL|7;1|x|NULL|7;2|x|NULL|7;3|NULL|x|7;9|NULL|x|7"
        );
    });
}

/// Rows of every type that comes as text, number or time, some of them NULL.
const KINDS: &str = "
    CREATE TYPE mood AS ENUM ('good', 'ba\"d');
    CREATE DOMAIN cents AS numeric(12,2);
    CREATE EXTENSION citext; CREATE EXTENSION ltree;
    CREATE TABLE kinds (
        id bigint PRIMARY KEY, s smallint, i int, r real, d double precision, yes boolean, t text,
        v varchar(99), c char(4), ci citext, u uuid, j json, jb jsonb, x xml, raw bytea, day date,
        clock time(3), clockz timetz(3), moment timestamp(3), momentz timestamptz(3),
        price numeric(10,2), whole numeric(5,0), any_number numeric(50,20), cost cents, cash money,
        m mood, flag bit(1), flags bit(9), bits varbit, o oid, span interval, place point, net inet,
        nets cidr, mac macaddr, r4 int4range, rn numrange, path ltree, ints int[], texts text[],
        days date[], moods mood[], prices numeric(8,3)[], grid int[][]);
    SELECT setseed(0.5);
    INSERT INTO kinds SELECT n, n, n * 1000, random(), random() * 10 ^ (random() * 600 - 300),
        random() < 0.5, repeat(chr(n + 40), n % 7), 'é' || n || E'\\\\\"''', 'c', 'Ci' || n,
        gen_random_uuid(), '{\"a\" : 1}', jsonb_build_object('n', n, 'x', null), '<a>é</a>',
        decode(md5(n::text), 'hex'), date '0001-01-01' + (random() * 3000000)::int,
        time '00:00' + random() * interval '86399 s',
        timetz '00:00+00' + random() * interval '86399 s',
        timestamp '1500-01-01' + random() * interval '3000000 days',
        timestamptz '1500-01-01+00' + random() * interval '3000000 days',
        random() * 1000000, random() * 10000, random() * 10 ^ (random() * 29), random() * 1000,
        (random() * 1000)::numeric, (ARRAY['good', 'ba\"d'])[1 + n % 2]::mood, n::bit(1), n::bit(9),
        n::bit(20)::varbit, n * 8000000, n * interval '1 day 3.5 s', point(n, random()),
        ('10.0.' || n % 256 || '.1/24')::inet, ('10.0.' || n % 256 || '.0/24')::cidr,
        '08:00:2b:01:02:03', int4range(n, n + 5), numrange(n, NULL), ('a.b' || n)::ltree,
        ARRAY[n, NULL, -n], ARRAY['a,b', '\"', '', NULL, 'é{}'], ARRAY[date '2026-11-22', NULL],
        ARRAY['good', 'ba\"d']::mood[], ARRAY[1.5, n], ARRAY[[n, 1], [2, NULL]]
        FROM generate_series(0, 250) n;
    INSERT INTO kinds (id) VALUES (1000);
    INSERT INTO kinds (id, r, d, t, moment, momentz, ints) VALUES
        (1001, 'NaN', '-Infinity', '', 'infinity', '-infinity', '{}');
    CREATE SCHEMA target; CREATE TABLE target.kinds (LIKE kinds INCLUDING ALL)";

/// What was read, as the sink gets it.
async fn of_source(database: &Database, more: &[(&str, &str)], count: usize) -> Vec<SinkRecords> {
    let bulk = [("mode", "bulk"), ("sql.complex.types.enable", "true")];
    let source =
        props(&database.url(), &[&bulk[..], &[("table.whitelist", "public.kinds")], more].concat());
    let runs = read(&mut *task(&source).await.unwrap(), count).await;
    let mut offset = 0;
    let sunk = runs.into_iter().map(|run| {
        let mut records = run.records;
        let rows = i64::try_from(records.len()).unwrap();
        records.topic = "kinds".into();
        records.partition = Some(0);
        records.offsets = Some((offset..offset + rows).collect());
        offset += rows;
        SinkRecords::new(records, TopicPartition::new("orders", 0))
    });
    sunk.collect()
}

#[test]
fn what_the_source_reads_comes_back_as_it_was() {
    with("", async |database| {
        for statement in KINDS.split_inclusive(';') {
            database.execute(statement).await;
        }
        let sets: [&[(&str, &str)]; 3] =
            [&[], &[("db.timezone", "+05:30")], &[("date.calendar.system", "PROLEPTIC_GREGORIAN")]];
        for more in sets {
            for mode in ["insert", "upsert"] {
                database.execute("TRUNCATE target.kinds").await;
                let records = of_source(&database, more, 253).await;
                let keys = [
                    ("insert.mode", mode),
                    ("pk.mode", "record_value"),
                    ("pk.fields", "id"),
                    ("table.name.format", "target.${topic}"),
                ];
                let sink = sink_props(&database.url(), &[&keys[..], more].concat());
                let mut sink = Sink::strict(&sink).await;
                sink.write(&records).await;
                sink.task.stop().await.unwrap();
                let lost = "SELECT a::text, b::text FROM kinds a FULL JOIN target.kinds b
                    ON a.id = b.id WHERE a::text IS DISTINCT FROM b::text ORDER BY a.id LIMIT 3";
                assert_eq!(query(&database, lost).await, "", "{mode} {more:?}");
            }
        }
    });
}

#[test]
fn no_error_repeats_values_that_are_sensitive() {
    let sql = "CREATE TABLE orders (id int,
            name text CHECK (name <> 's3cret-1') UNIQUE DEFERRABLE INITIALLY DEFERRED);
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.id >= 7 THEN RAISE 'not %', NEW.name USING ERRCODE = 'AB' || NEW.id; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse()";
    with(sql, async |database| {
        // Refused by the last COMMIT, by a row, and by a trigger.
        for (rows, state) in [
            (&[(1, "s3cret"), (2, "s3cret")][..], "23505"),
            (&[(1, "s3cret-1")], "23514"),
            (&[(777, "s3cret")], "AB777"),
        ] {
            for hidden in [true, false] {
                let more = [("trim.sensitive.log", if hidden { "true" } else { "false" })];
                let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
                let values = orders(rows);
                let text = sink.fail(&[records(0, Column::nulls(rows.len()), values)]).await;
                assert!(text.contains(state), "{text}");
                assert_eq!(text.contains("s3cret"), !hidden, "{text}");
            }
        }
    });
}

struct Plain(Database);

#[async_trait]
impl SinkFixture for Plain {
    fn plugin(&self) -> Plugin {
        sink_plugin()
    }

    fn props(&self) -> Props {
        sink_props(&self.0.url(), &[])
    }

    async fn stored(&self) -> Vec<usize> {
        let rows = query(&self.0, "SELECT record_value FROM topic ORDER BY n").await;
        let number = |row: &str| row.strip_prefix("record ").unwrap().parse().unwrap();
        rows.split(';').filter(|row| !row.is_empty()).map(number).collect()
    }

    fn tombstones(&self) -> Tombstones {
        Tombstones::Refused
    }

    async fn break_target(&self) -> bool {
        self.0.execute("ALTER TABLE topic RENAME TO elsewhere").await;
        true
    }

    async fn mend_target(&self) {
        self.0.execute("ALTER TABLE elsewhere RENAME TO topic").await;
    }
}

/// The checks of `sink_suite!`, each only where there is a server.
macro_rules! suite {
    ($($check:ident)+) => {$(
        #[test]
        fn $check() {
            let sql = "CREATE TABLE topic (n serial, record_value text)";
            if let Some(server) = server() {
                sink_suite::$check(&Plain(run(server.database(sql))));
            }
        }
    )+};
}

suite! {
    a_task_opens_closes_and_stops_without_records
    empty_puts_change_nothing
    what_is_committed_is_stored
    records_come_again_after_a_crash
    records_come_again_to_the_same_task
    a_partition_moves_away_and_back
    a_partition_is_lost
    tombstones_are_taken_or_refused
    keys_may_be_null_or_not
    a_broken_target_loses_nothing
}
