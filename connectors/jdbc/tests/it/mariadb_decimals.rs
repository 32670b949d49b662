//! The decimals of expressions on MariaDB: how many digits they have is asked once, and again when
//! values do not fit any more. Skipped, with a message, where no server is installed.

use millrace_testkit::plugin_host::run;

use crate::host::{props, read, schema, task};
use crate::mariadb_server::server;

#[test]
fn digits_of_expressions_are_asked_for_once() {
    let Some(server) = server() else { return };
    run(async {
        let sql = "CREATE TABLE t (id int PRIMARY KEY, n decimal(6,2));
            INSERT INTO t VALUES (1, 1.25);
            SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1";
        let database = server.database(sql).await;
        let query = "SELECT id, n + n AS twice, 'digits' AS marked FROM t";
        let props = props(&database.url(), &[("mode", "bulk"), ("query", query)]);
        let mut task = task(&props).await.unwrap();
        let runs = read(&mut *task, 5).await;
        assert!(schema(&runs[0]).contains("scale=2"), "{}", schema(&runs[0]));
        let asked = "SELECT CAST(count(*) AS SIGNED) FROM mysql.general_log
            WHERE command_type = 'Execute'
                AND argument LIKE 'SELECT CAST(`twice` AS CHAR)%AS marked%'";
        let mut connection = database.connect().await;
        let count: i64 = sqlx::query_scalar(asked).fetch_one(&mut connection).await.unwrap();
        assert_eq!(count, 1);
        database.execute("ALTER TABLE t MODIFY n decimal(8,3); UPDATE t SET n = 1.111").await;
        let runs = read(&mut *task, 5).await;
        let last = schema(runs.last().unwrap());
        assert!(last.contains("scale=3"), "{last}");
    });
}
