//! `query.masked`: what a database says of a query that is not to be shown. Skipped, with a
//! message, where no server is installed.

use millrace_testkit::plugin_host::run;

use crate::host::{props, read, read_to_error, rows, task};
use crate::mariadb_server;
use crate::server::server;
use crate::sqlite::File;

/// The error that a query ends with, under this key.
async fn error(url: &str, key: &str, query: &str) -> String {
    let props = props(url, &[("mode", "bulk"), (key, query), ("query.retry.attempts", "0")]);
    let (_, error) = read_to_error(&mut *task(&props).await.unwrap()).await;
    error.trace()
}

/// A query that is shown unless it is masked.
async fn check(url: &str, query: &str, state: &str) {
    for (key, shown) in [("query", true), ("query.masked", false)] {
        let text = error(url, key, query).await;
        assert!(text.contains(state), "{text}");
        assert_eq!(text.contains("s3cret"), shown, "{text}");
    }
}

#[test]
fn no_error_of_postgresql_shows_the_query() {
    run(async {
        let Some(server) = server() else { return };
        let database = server.database("CREATE TABLE t AS SELECT 'x' AS v").await;
        let url = database.url();
        check(&url, "SELECT s3cret FROM t", "42703").await;
        check(&url, "SELECT ('s3cret' || v)::int AS n FROM t", "22P02").await;
        // Nor one that may pass, which is told when it has come often enough.
        database.execute("CREATE TABLE s3cret AS SELECT 1 AS id").await;
        let mut other = database.connect().await;
        sqlx::raw_sql("BEGIN; DELETE FROM s3cret").execute(&mut other).await.unwrap();
        let locked = "SELECT id FROM (SELECT * FROM s3cret FOR UPDATE NOWAIT) AS l";
        check(&url, locked, "55P03").await;
        // Who is not let in has yet to ask.
        let refused = format!("{}?user=nobody&password=wrong", database.bare_url());
        let text = error(&refused, "query.masked", "SELECT 1").await;
        assert!(text.contains("check connection.user"), "{text}");
    });
}

#[test]
fn no_error_of_mariadb_or_sqlite_shows_the_query() {
    run(async {
        let file = File::new("CREATE TABLE t (id int)").await;
        check(&file.url(), "SELECT s3cret FROM t", "SQLState: 1").await;
        let Some(server) = mariadb_server::server() else { return };
        let database = server.database("CREATE TABLE t (id int)").await;
        check(&database.url(), "SELECT s3cret FROM t", "42S22").await;
    });
}

#[test]
fn no_error_names_a_column_by_its_expression() {
    run(async {
        let file = File::new("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (NULL)").await;
        let query = "SELECT coalesce(n, 's3cret is long') FROM t ORDER BY n DESC";
        check(&file.url(), query, "column").await;
    });
}

#[test]
fn notices_are_not_logged() {
    run(async {
        let Some(server) = server() else { return };
        let database = server.database("").await;
        let sql = "SELECT current_setting('client_min_messages') AS level";
        let props = props(&database.url(), &[("mode", "bulk"), ("query.masked", sql)]);
        let runs = read(&mut *task(&props).await.unwrap(), 1).await;
        assert_eq!(rows(&runs), [["error".into()]]);
    });
}
