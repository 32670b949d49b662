//! Decides where tests get a MariaDB: a fresh one of the machine's own binaries, gone afterwards.

use crate::leash::Leash;
use crate::process::Process;
use crate::{free_port, wait_until};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Duration;

const DAEMON: &str = "/usr/sbin/mariadbd";
const START: Duration = Duration::from_secs(60);

/// A running server with one database, `millrace`, and a user of that name who may do all.
/// It is stopped and its files are removed on drop.
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    // The server goes before its files do.
    process: Process,
    _files: Leash,
}

/// Starts a server on a free port of 127.0.0.1, durability off.
pub fn mariadb() -> MariaDb {
    let directory = tempfile::Builder::new().prefix("millrace-mariadb-").tempdir();
    let directory = directory.expect("the temporary directory is writable").keep();
    let files = Leash::new(&format!("rm -rf {}", directory.display()));
    let data = directory.join("data");
    // It refuses to be root unless it is told to.
    let is_root = fs::metadata(&directory).is_ok_and(|directory| directory.uid() == 0);
    let common = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        command.args(is_root.then_some("--user=root"));
        command
    };
    let mut install = common("mariadb-install-db");
    install.args(["--skip-test-db", "--auth-root-authentication-method=normal"]);
    let installed = install.output().expect("no MariaDB: run `integration/setup.sh servers`");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let init = directory.join("init.sql");
    let statements = "create database millrace character set utf8mb4;\n\
                      create user millrace@'%' identified by 'millrace';\n\
                      grant all on *.* to millrace@'%';\n";
    fs::write(&init, statements).expect("the directory was just made");
    let port = free_port();
    let mut server = common(DAEMON);
    server
        .args([&format!("--port={port}"), "--bind-address=127.0.0.1", "--skip-log-bin"])
        .args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"])
        .arg(format!("--socket={}", directory.join("socket").display()))
        .arg(format!("--pid-file={}", directory.join("pid").display()))
        .arg(format!("--init-file={}", init.display()));
    let process = Process::start(&mut server, &directory.join("log"));
    let mut server = MariaDb { port, process, _files: files };
    wait_until("MariaDB to start", START, || {
        let ended = server.process.exited();
        assert!(ended.is_none(), "it ended:\n{}", server.process.log());
        server.client().args(["-e", "select 1"]).output().ok().filter(|o| o.status.success())
    });
    server
}

impl MariaDb {
    /// The address as JDBC connectors write it.
    pub fn jdbc_url(&self) -> String {
        format!("jdbc:mariadb://127.0.0.1:{}/millrace?user=millrace&password=millrace", self.port)
    }

    /// Runs SQL and gives back its rows: a line a row, tabs between columns.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        let output = self.client().args(["-e", statements]).output().expect("mariadb starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {complaint}");
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "-N", "-B", "--raw", "--default-character-set=utf8mb4"])
            .args(["-h", "127.0.0.1", &format!("--port={}", self.port), "-u", "millrace"])
            .args(["-pmillrace", "millrace"]);
        command
    }
}
