//! How sessions with PostgreSQL begin and end: TLS, proofs of identity, servers that go away. On a
//! server of its own; skipped, with a message, where PostgreSQL or openssl is not installed.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use millrace_testkit::plugin_host::run;

use crate::host::{ids, props, read, task};
use crate::mariadb_server::make_certificates;
use crate::server::{PASSWORD, Server, binaries};

struct Secured {
    server: Server,
    root: PathBuf,
}

/// Users are named after the proof that the server wants of them.
const RULES: &str = "hostssl all only_tls all scram-sha-256
hostnossl all only_tls all reject
host all clear all password
host all digest all md5
host all all all scram-sha-256
";

const USERS: &str = "SET password_encryption = 'md5';
    CREATE ROLE digest LOGIN PASSWORD 'hunter2&%';
    SET password_encryption = 'scram-sha-256';
    CREATE ROLE clear LOGIN PASSWORD 'hunter2&%';
    CREATE ROLE only_tls LOGIN PASSWORD 'hunter2&%';
    CREATE ROLE umlaut LOGIN PASSWORD U&'pa\\00DF\\2168';
    CREATE TABLE t (id serial PRIMARY KEY, x text);
    INSERT INTO t (x) SELECT repeat('x', 100) FROM generate_series(1, 20000);
    GRANT SELECT ON t TO public";

/// A server with TLS, whose certificate is for 127.0.0.1. It is restarted by one of the tests, so
/// each has it for itself.
fn secured() -> Option<(&'static Secured, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    static SECURED: OnceLock<Option<Secured>> = OnceLock::new();
    let start = || {
        Command::new("openssl").arg("version").output().ok()?;
        let folder = tempfile::tempdir().unwrap().keep();
        make_certificates(&folder);
        let server = Server::start_with(&binaries()?, |data| {
            for (from, to) in [("own.key", "server.key"), ("own.pem", "server.crt")] {
                std::fs::copy(folder.join(from), data.join(to)).unwrap();
            }
            std::fs::write(data.join("pg_hba.conf"), RULES).unwrap();
            std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
        });
        run(async {
            let mut admin = server.connect("postgres").await;
            sqlx::raw_sql(USERS).execute(&mut admin).await.unwrap();
        });
        Some(Secured { server, root: folder.join("ca.pem") })
    };
    let secured = SECURED.get_or_init(start);
    if secured.is_none() {
        eprintln!("SKIPPED: no PostgreSQL server, or no openssl");
    }
    secured.as_ref().map(|secured| (secured, alone))
}

impl Secured {
    /// What becomes of a task: how many rows it reads of a table, or why it reads none.
    async fn outcome(&self, host: &str, settings: &str) -> Result<usize, String> {
        let url = format!("jdbc:postgresql://{host}:{}/postgres?{settings}", self.server.port());
        let more =
            [("mode", "incrementing"), ("connection.attempts", "1"), ("table.whitelist", "t")];
        let mut task = task(&props(&url, &more)).await.map_err(|e| e.trace())?;
        let polled = task.poll().await.map_err(|e| e.trace())?;
        Ok(polled.iter().map(|run| run.records.len()).sum())
    }

    async fn check(&self, host: &str, settings: &str, refused: Option<&str>) {
        let outcome = self.outcome(host, settings).await;
        match (outcome, refused) {
            (Ok(rows), None) => assert!(rows > 0, "{settings}"),
            (Err(text), Some(part)) => {
                assert!(text.contains(part), "{settings}: {text}");
                assert!(!text.contains(PASSWORD), "{text}");
            }
            (outcome, _) => panic!("{host} {settings}: {outcome:?}"),
        }
    }
}

#[test]
fn modes_of_tls() {
    let Some((secured, _alone)) = secured() else { return };
    let root = secured.root.display();
    run(async {
        let user = "user=only_tls&password=hunter2%26%25";
        let with_root = |mode: &str| format!("{user}&sslmode={mode}&sslrootcert={root}");
        let cases = [
            ("127.0.0.1", user.to_owned(), None),
            ("127.0.0.1", format!("{user}&sslmode=disable"), Some("28000")),
            ("127.0.0.1", format!("{user}&sslmode=require"), None),
            ("127.0.0.1", format!("{user}&sslmode=verify-ca"), Some("sslrootcert")),
            ("127.0.0.1", format!("{user}&ssl=true"), Some("sslrootcert")),
            ("127.0.0.1", with_root("verify-ca"), None),
            ("127.0.0.1", with_root("verify-full"), None),
            ("localhost", with_root("verify-ca"), None),
            ("localhost", with_root("verify-full"), Some("sslrootcert")),
            ("127.0.0.1", format!("{user}&sslrootcert=/none&ssl"), Some("the file of sslrootcert")),
            ("127.0.0.1", format!("{user}&sslcert=/none&sslmode=require"), Some("sslkey")),
        ];
        for (host, settings, refused) in cases {
            secured.check(host, &settings, refused).await;
        }
    });
}

#[test]
fn a_server_without_tls_is_refused_where_it_must_have_it() {
    let Some(server) = crate::server::server() else { return };
    run(async {
        let database = server.database("CREATE TABLE t (id int)").await;
        let url = format!("{}&sslmode=require", database.url());
        let more = [("mode", "bulk"), ("connection.attempts", "1")];
        let refused = task(&props(&url, &more)).await;
        let text = match refused {
            Err(error) => error.trace(),
            Ok(mut task) => task.poll().await.unwrap_err().trace(),
        };
        assert!(text.contains("does not support TLS") && text.contains("sslmode"), "{text}");
    });
}

#[test]
fn proofs_of_identity() {
    let Some((secured, _alone)) = secured() else { return };
    run(async {
        for user in ["clear", "digest", "only_tls"] {
            let settings = |password: &str| format!("user={user}&password={password}");
            secured.check("127.0.0.1", &settings("hunter2%26%25"), None).await;
            let refused = Some("check connection.user and connection.password");
            secured.check("127.0.0.1", &settings("wrong"), refused).await;
            secured.check("127.0.0.1", &format!("user={user}"), refused).await;
        }
        // The server prepares passwords, and so do we: U+2168 is a Roman nine.
        secured.check("127.0.0.1", "user=umlaut&password=pa%C3%9FIX", None).await;
    });
}

#[test]
fn rows_go_on_after_a_restart_of_the_server() {
    let Some((secured, _alone)) = secured() else { return };
    run(async {
        let url = format!("jdbc:postgresql://127.0.0.1:{}/postgres", secured.server.port());
        let more = [
            ("mode", "incrementing"),
            ("connection.user", "clear"),
            ("connection.password", PASSWORD),
            ("table.whitelist", "t"),
            ("connection.attempts", "100"),
        ];
        let mut task = task(&props(&url, &more)).await.unwrap();
        let mut runs = read(&mut *task, 3000).await;
        secured.server.restart();
        while ids(&runs).last() != Some(&20_000) {
            match task.poll().await {
                Ok(polled) => runs.extend(polled),
                Err(error) => assert!(error.is_retriable(), "{error:?}"),
            }
        }
        assert_eq!(ids(&runs), (1..=20_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_task_that_is_stopped_half_way_leaves_no_session_behind() {
    let Some(server) = crate::server::server() else { return };
    run(async {
        let fill = "CREATE TABLE t (id serial PRIMARY KEY, x text);
            INSERT INTO t (x) SELECT repeat('x', 1000) FROM generate_series(1, 50000)";
        let database = server.database(fill).await;
        let mut task = task(&props(&database.url(), &[("mode", "bulk")])).await.unwrap();
        read(&mut *task, 500).await;
        drop(task);
        let mut admin = database.connect().await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        loop {
            let left: i64 = sqlx::query_scalar(sql).fetch_one(&mut admin).await.unwrap();
            if left == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn rows_longer_than_what_is_read_at_once() {
    let Some(server) = crate::server::server() else { return };
    run(async {
        let fill = "CREATE TABLE t (id int PRIMARY KEY, x text);
            INSERT INTO t SELECT i, repeat(i::text, 1 << (i % 24)) FROM generate_series(1, 60) i";
        let database = server.database(fill).await;
        let more = [("mode", "incrementing"), ("incrementing.column.name", "id")];
        let mut task = task(&props(&database.url(), &more)).await.unwrap();
        let runs = read(&mut *task, 60).await;
        for (row, id) in crate::host::rows(&runs).into_iter().zip(1usize..) {
            let expected = id.to_string().repeat(1 << (id % 24));
            assert!(row[1] == millrace_api::data::Value::from(expected.as_str()), "row {id}");
        }
    });
}
