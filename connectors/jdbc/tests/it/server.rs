//! A PostgreSQL server that lives as long as the test process, on a free port of this machine.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

pub(crate) const USER: &str = "millrace";
pub(crate) const PASSWORD: &str = "hunter2&%";

/// A running server. Its shell ends it once the pipe to this process is closed.
pub(crate) struct Server {
    port: u16,
    folder: PathBuf,
    restart: String,
    _shell: Child,
}

/// The server that all tests share; none where PostgreSQL is not installed.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| binaries().map(|b| Server::start_with(&b, |_| {})));
    if server.is_none() {
        eprintln!("SKIPPED: no PostgreSQL server under /usr/lib/postgresql; install postgresql");
    }
    server.as_ref()
}

/// Where the programs of the newest server are.
pub(crate) fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|v| v.path()).max_by_key(|path| number(path))?;
    Some(newest.join("bin")).filter(|bin| bin.join("initdb").exists())
}

/// Runs a script.
fn sh(script: &str) {
    let status = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).status();
    assert!(status.unwrap().success(), "{script}");
}

impl Server {
    /// Starts one whose folder of data is completed by `prepare`.
    pub(crate) fn start_with(bin: &Path, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&folder, open).unwrap();
        std::fs::write(folder.join("password"), PASSWORD).unwrap();
        // The server refuses to run as root.
        let is_root = std::fs::metadata(&folder).unwrap().uid() == 0;
        let run_as = if is_root {
            let chown = Command::new("chown").arg("-R").arg("postgres").arg(&folder).status();
            assert!(chown.unwrap().success(), "there is a user postgres");
            "runuser -u postgres --"
        } else {
            ""
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let (dir, bin) = (folder.display(), bin.display());
        let initdb = format!(
            "cd {dir} || exit 1
             {run_as} {bin}/initdb -D {dir}/data -U {USER} --pwfile={dir}/password -N \
                 --auth=scram-sha-256 -E UTF8 --locale=C.UTF-8 >{dir}/initdb.log 2>&1 || exit 1"
        );
        sh(&initdb);
        prepare(&folder.join("data"));
        let own = if is_root { format!("chown -R postgres {dir}; ") } else { String::new() };
        sh(&format!("{own}chmod 600 {dir}/data/*.key 2>/dev/null; true"));
        // `read` returns when this process is gone, however it went.
        let script = format!(
            "cd {dir} || exit 1
             {run_as} {bin}/postgres -D {dir}/data -p {port} -c listen_addresses=127.0.0.1 \
                 -c unix_socket_directories={dir} -c fsync=off -c synchronous_commit=off \
                 </dev/null >{dir}/log 2>&1 &
             read -r _
             {run_as} {bin}/pg_ctl -D {dir}/data -m immediate stop >/dev/null 2>&1
             rm -rf {dir}"
        );
        let restart = format!(
            "cd {dir} && {run_as} {bin}/pg_ctl -D {dir}/data -m fast -w restart >/dev/null"
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, folder, restart, _shell: shell };
        server.wait();
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends all sessions, and starts anew.
    pub(crate) fn restart(&self) {
        sh(&self.restart);
        self.wait();
    }

    /// Waits until the server takes connections.
    fn wait(&self) {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if start.elapsed() > Duration::from_secs(60) {
                let log =
                    |name| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
                panic!("the server does not start: {}{}", log("initdb.log"), log("log"));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Connects to a database, once the server is ready.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(USER)
            .password(PASSWORD)
            .database(database);
        let start = Instant::now();
        loop {
            match options.connect().await {
                Ok(connection) => return connection,
                Err(error) if start.elapsed() > Duration::from_secs(30) => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// A new database, with this in it.
    pub(crate) async fn database(&'static self, sql: &str) -> Database {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = self.connect("postgres").await;
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
        let database = Database { server: self, name };
        database.execute(sql).await;
        database
    }
}

/// A database of one test.
pub(crate) struct Database {
    server: &'static Server,
    pub(crate) name: String,
}

impl Database {
    /// Its URL with user and password, encoded.
    pub(crate) fn url(&self) -> String {
        format!("{}?user={USER}&password=hunter2%26%25", self.bare_url())
    }

    /// Its URL alone.
    pub(crate) fn bare_url(&self) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// Runs SQL on a connection of its own.
    pub(crate) async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap();
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> PgConnection {
        self.server.connect(&self.name).await
    }

    pub(crate) async fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut connection = self.connect().await;
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.map(|_| ())
    }
}
