//! A MariaDB server that lives as long as the test process, on a free port of this machine.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, MySqlConnection};

pub(crate) const USER: &str = "millrace";
pub(crate) const PASSWORD: &str = "hunter2&%";

/// A running server. Its shell ends it once the pipe to this process is closed.
pub(crate) struct Server {
    port: u16,
    _shell: Child,
}

/// The server that all tests share; none where MariaDB is not installed.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| is_installed().then(|| Server::start(|_| String::new())));
    if server.is_none() {
        assert!(std::env::var_os("CI").is_none(), "MariaDB is to be tested against, too");
        eprintln!("SKIPPED: no MariaDB server; install mariadb-server-core and its client");
    }
    server.as_ref()
}

/// A server with TLS, and the certificate of who signed its own; none without MariaDB or openssl.
pub(crate) fn secure_server() -> Option<(Server, PathBuf)> {
    let has_openssl = Command::new("openssl").arg("version").output().is_ok();
    if !is_installed() || !has_openssl {
        eprintln!("SKIPPED: no MariaDB server, or no openssl");
        return None;
    }
    let mut authority = PathBuf::new();
    let server = Server::start(|folder| {
        make_certificates(folder);
        authority = folder.join("ca.pem");
        let folder = folder.display();
        format!("--ssl-cert={folder}/own.pem --ssl-key={folder}/own.key")
    });
    Some((server, authority))
}

/// Makes `own.pem` and `own.key` for 127.0.0.1, signed by `ca.pem`, in a folder.
pub(crate) fn make_certificates(folder: &Path) {
    let make = "openssl req -x509 -newkey rsa:2048 -nodes -days 9 -keyout ca.key -out ca.pem \
            -subj '/CN=authority' &&
        openssl req -newkey rsa:2048 -nodes -keyout own.key -out own.csr -subj '/CN=server' &&
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >extensions &&
        openssl x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 \
            -extfile extensions -out own.pem";
    let made = Command::new("sh").args(["-c", make]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

const DAEMON: &str = "/usr/sbin/mariadbd";
const INSTALL: &str = "/usr/bin/mariadb-install-db";

fn is_installed() -> bool {
    [DAEMON, INSTALL].iter().all(|path| Path::new(path).exists())
}

impl Server {
    /// `more` makes further arguments of the server from its folder.
    fn start(more: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&folder, open).unwrap();
        // The server refuses to run as root unless it is told to.
        let is_root = std::fs::metadata(&folder).unwrap().uid() == 0;
        let run_as = if is_root { "--user=root" } else { "" };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        std::fs::write(
            folder.join("init.sql"),
            format!(
                "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
                 GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;"
            ),
        )
        .unwrap();
        // `read` returns when this process is gone, however it went.
        let script = format!(
            "cd {dir} || exit 1
             {INSTALL} --no-defaults {run_as} --datadir={dir}/data --skip-test-db \
                 --auth-root-authentication-method=normal >{dir}/install.log 2>&1 || exit 1
             {DAEMON} --no-defaults {run_as} --datadir={dir}/data --port={port} \
                 --tmpdir={dir}/data \
                 --bind-address=127.0.0.1 --socket={dir}/socket --pid-file={dir}/pid \
                 --init-file={dir}/init.sql --innodb-flush-log-at-trx-commit=0 \
                 --innodb-buffer-pool-size=64M --innodb-log-file-size=64M --skip-log-bin \
                 {more} --max-connections=300 --default-time-zone=+03:00 --local-infile=0 \
                 </dev/null >{dir}/log 2>&1 &
             server=$!
             read -r _
             kill -9 $server
             wait $server
             rm -rf {dir}",
            dir = folder.display(),
            more = more(&folder),
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, _shell: shell };
        server.wait(&folder);
        server
    }

    /// Waits until the server takes connections.
    fn wait(&self, folder: &Path) {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if start.elapsed() > Duration::from_secs(60) {
                let log = |name| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
                panic!("the server does not start: {}{}", log("install.log"), log("log"));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// A new database, with this in it.
    pub(crate) async fn database(&self, sql: &str) -> Database {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(self.port, "mysql").await;
        let create = AssertSqlSafe(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
        let database = Database { port: self.port, name };
        database.execute(sql).await;
        database
    }
}

/// Connects to a database, once the server is ready.
async fn connect(port: u16, database: &str) -> MySqlConnection {
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username(USER)
        .password(PASSWORD)
        // Its own one, which is not UTC.
        .timezone(None)
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

/// A database of one test.
pub(crate) struct Database {
    port: u16,
    name: String,
}

impl Database {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its URL with user and password, encoded. Tables are looked for in it alone: other tests
    /// have theirs beside it.
    pub(crate) fn url(&self) -> String {
        format!("{}&user={USER}&password=hunter2%26%25", self.bare_url())
    }

    /// Its URL alone.
    pub(crate) fn bare_url(&self) -> String {
        let (port, name) = (self.port, &self.name);
        format!("jdbc:mysql://127.0.0.1:{port}/{name}?nullDatabaseMeansCurrent=true")
    }

    /// Runs SQL on a connection of its own.
    pub(crate) async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap();
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> MySqlConnection {
        connect(self.port, &self.name).await
    }

    pub(crate) async fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        if sql.trim().is_empty() {
            return Ok(());
        }
        let mut connection = self.connect().await;
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.map(|_| ())
    }
}
