//! What a validation hears from the database, and under which key it stands.

use std::time::{Duration, Instant};

use millrace_api::Verdict;
use millrace_testkit::plugin_host::run;

use crate::host::{plugin, props};
use crate::mariadb_server;
use crate::server::server;
use crate::sqlite::File;

async fn verdict(url: &str, more: &[(&str, &str)]) -> Verdict {
    let props = props(url, more);
    let plugin = plugin();
    assert!(plugin.validate(&props).is_empty(), "{more:?}");
    plugin.verify(props).await.unwrap()
}

/// The only problem, `key: message`; nothing when all is well.
async fn problem(url: &str, more: &[(&str, &str)]) -> String {
    let errors = verdict(url, more).await.errors;
    assert!(errors.len() <= 1, "{errors:?}");
    errors.into_iter().map(|e| format!("{}: {}", e.key, e.message)).collect()
}

const BULK: (&str, &str) = ("mode", "bulk");

#[test]
fn a_database_that_lets_nobody_in_is_the_urls_problem() {
    run(async {
        let Some(server) = server() else { return };
        let database = server.database("CREATE TABLE a (id int)").await;
        let (bare, url) = (database.bare_url(), database.url());
        assert_eq!(problem(&url, &[BULK]).await, "");
        let refused = [BULK, ("connection.user", "millrace"), ("connection.password", "no-such")];
        let (nowhere, gone) =
            (bare.replace(&database.name, "nowhere"), "jdbc:postgresql://[::1]:1/a");
        for (url, more, words) in [
            (&*bare, &refused[..], "connection.password"),
            (&*nowhere, &refused, "connection.password"),
            (gone, &refused, "::1:1"),
            ("jdbc:postgresql://no-such-host.invalid/a", &refused, "no-such-host.invalid"),
        ] {
            let found = problem(url, more).await;
            assert!(
                found.starts_with("connection.url: Could not connect to database. "),
                "{found}"
            );
            assert!(found.contains(words), "{found}");
            assert!(!found.contains("no-such\""), "{found}");
        }
    });
}

#[test]
fn a_database_that_does_not_answer_is_not_waited_for_long() {
    run(async {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("jdbc:postgresql://{}/a?connectTimeout=1", silent.local_addr().unwrap());
        let start = Instant::now();
        let found = problem(&url, &[BULK]).await;
        assert!(found.contains("did not answer"), "{found}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    });
}

#[test]
fn a_query_is_prepared_and_not_run() {
    run(async {
        let Some(server) = server() else { return };
        let sql = "CREATE TABLE a (id int, at timestamp); CREATE SEQUENCE s";
        let database = server.database(sql).await;
        let check = async |more: &[(&str, &str)], expected: &str| {
            let found = problem(&database.url(), more).await;
            assert!(
                found.starts_with(expected) && found.is_empty() == expected.is_empty(),
                "{found}"
            );
            found
        };
        check(&[BULK, ("query", "SELECT id FROM a WHERE id > 1;")], "").await;
        check(&[BULK, ("query", "SELECT nextval('s') FROM a")], "").await;
        let found = check(&[BULK, ("query", "SELECT idd FROM a")], "query: ").await;
        assert!(found.contains("idd") && found.contains("42703"), "{found}");
        check(&[BULK, ("query", "SELECT FROM WHERE")], "query: ").await;
        let times = |query| {
            [
                ("mode", "timestamp+incrementing"),
                ("incrementing.column.name", "id"),
                ("timestamp.column.name", "at"),
                ("query", query),
            ]
        };
        check(&times("SELECT id, at FROM a"), "").await;
        check(&times("SELECT id FROM a"), "query: ").await;
        let masked = [BULK, ("query.masked", "SELECT hunter2 FROM a")];
        let found = check(&masked, "query.masked: the database refuses the query").await;
        assert!(found.contains("42703") && !found.contains("hunter2"), "{found}");
        let mut connection = database.connect().await;
        let called: (bool,) =
            sqlx::query_as("SELECT is_called FROM s").fetch_one(&mut connection).await.unwrap();
        assert!(!called.0, "no row was read");
    });
}

#[test]
fn tables_are_recommended_and_must_not_share_a_topic() {
    run(async {
        let Some(server) = server() else { return };
        let sql = "CREATE SCHEMA other; CREATE TABLE a (id int); CREATE TABLE other.b (id int)";
        let database = server.database(sql).await;
        let found = verdict(&database.url(), &[BULK]).await;
        assert_eq!(found.recommended["table.whitelist"], ["other.b", "public.a"]);
        database.execute("CREATE TABLE other.a (id int)").await;
        let found = problem(&database.url(), &[BULK]).await;
        assert!(found.starts_with("table.whitelist: two tables have the same name"), "{found}");
        let patterns = [BULK, ("table.include.list", ".*a")];
        let found = problem(&database.url(), &patterns).await;
        assert!(found.starts_with("table.include.list: two tables"), "{found}");
    });
}

#[test]
fn files_and_queries_of_sqlite() {
    run(async {
        let file = File::new("CREATE TABLE a (id INTEGER PRIMARY KEY)").await;
        assert_eq!(problem(&file.url(), &[BULK]).await, "");
        let found = problem("jdbc:sqlite:/no/such.db", &[BULK]).await;
        assert!(found.starts_with("connection.url: Could not connect to database. "), "{found}");
        let wrong = [BULK, ("query", "SELECT x FROM a")];
        let found = problem(&file.url(), &wrong).await;
        assert!(found.starts_with("query: "), "{found}");
    });
}

#[test]
fn mariadb_is_asked_as_well() {
    run(async {
        let Some(server) = mariadb_server::server() else { return };
        let database = server.database("CREATE TABLE a (id int)").await;
        assert_eq!(problem(&database.url(), &[BULK]).await, "");
        let wrong = [BULK, ("connection.user", "millrace"), ("connection.password", "no-such")];
        let found = problem(&database.bare_url(), &wrong).await;
        assert!(found.starts_with("connection.url: Could not connect to database. "), "{found}");
        let found = problem(&database.url(), &[BULK, ("query", "SELECT idd FROM a")]).await;
        assert!(found.starts_with("query: ") && found.contains("idd"), "{found}");
        let found = problem(&database.url(), &[BULK, ("query.masked", "SELECT x1 FROM a")]).await;
        assert!(found.starts_with("query.masked: ") && !found.contains("x1"), "{found}");
    });
}
