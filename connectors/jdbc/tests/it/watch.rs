//! What the connector notices of tables that come and go, and what it does about it.

use std::sync::Arc;

use millrace_api::{Connector, Props};
use millrace_testkit::plugin_host::run;

use crate::host::{Requests, connector, props, until};
use crate::server::{Server, server};
use crate::sqlite::File;

const OFTEN: (&str, &str) = ("table.poll.interval.ms", "20");

/// The tables of each task, once the connector has asked so many times to be asked for them.
async fn dealt(
    connector: &mut dyn Connector,
    requests: &Arc<Requests>,
    times: usize,
    max: usize,
) -> Vec<String> {
    until(|| *requests.reconfigurations.lock().unwrap() >= times).await;
    let configs = connector.task_configs(max).await.unwrap();
    configs.iter().map(|c: &Props| c["tables"].replace(['`', '"'], "")).collect()
}

#[test]
fn a_table_that_comes_goes_or_is_renamed_changes_one_task() {
    run(async {
        let create = |name: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY);");
        let file = File::new(&"a b c d e".split(' ').map(create).collect::<String>()).await;
        let props = file.props(&[("mode", "bulk"), OFTEN]);
        let (mut connector, requests) = connector(&props).await.unwrap();
        assert_eq!(dealt(&mut *connector, &requests, 0, 3).await, ["a,b", "c,d", "e"]);
        for (times, sql, expected) in [
            (1, &*create("aa"), ["a,b", "c,d", "aa,e"]),
            (2, "DROP TABLE c", ["a,b", "d", "aa,e"]),
            (3, "ALTER TABLE b RENAME TO z", ["z,a", "d", "aa,e"]),
            (4, &create("bb"), ["z,a", "bb,d", "aa,e"]),
        ] {
            file.execute(sql).await;
            assert_eq!(dealt(&mut *connector, &requests, times, 3).await, expected, "{sql}");
        }
        connector.stop().await.unwrap();
        assert!(requests.errors.lock().unwrap().is_empty());
    });
}

#[test]
fn a_database_that_is_away_for_a_while_changes_nothing() {
    run(async {
        let Some(server) = server() else { return };
        let database = server.database("CREATE TABLE a (id int)").await;
        let props = props(&database.url(), &[("mode", "bulk"), OFTEN]);
        let (mut connector, requests) = connector(&props).await.unwrap();
        assert_eq!(dealt(&mut *connector, &requests, 0, 3).await, ["public.a"]);
        let mut inside = database.connect().await;
        away(server, &database.name, true).await;
        sqlx::raw_sql("CREATE TABLE b (id int)").execute(&mut inside).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(*requests.reconfigurations.lock().unwrap(), 0);
        away(server, &database.name, false).await;
        assert_eq!(dealt(&mut *connector, &requests, 1, 3).await, ["public.a", "public.b"]);
        connector.stop().await.unwrap();
        assert!(requests.errors.lock().unwrap().is_empty());
    });
}

/// Ends the connections of the connector and lets nobody in; or lets everybody in again.
async fn away(server: &Server, database: &str, is_away: bool) {
    let mut admin = server.connect("postgres").await;
    let sql = format!(
        "ALTER DATABASE {database} ALLOW_CONNECTIONS {};
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE {is_away} AND datname = '{database}' AND query LIKE '%pg_class%'",
        !is_away
    );
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    assert!(!is_away || done.rows_affected() > 0, "the connector was connected");
}
