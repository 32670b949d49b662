//! Decides where tests get a PostgreSQL: a fresh cluster of the machine's own binaries, gone
//! afterwards.

use crate::free_port;
use crate::leash::Leash;
use crate::process::Process;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running server with one superuser, `millrace`, and one database of that name.
/// It is stopped and its files are removed on drop.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    port: u16,
    _leash: Leash,
}

/// Starts a server on a free port of 127.0.0.1, logical decoding allowed, durability off.
pub fn postgres() -> Postgres {
    let binaries = binaries();
    let directory = tempfile::Builder::new()
        .prefix("millrace-postgres-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("the temporary directory is writable")
        .keep();
    let user = server_user(&directory);
    let port = free_port();
    let as_user = |program: &str| {
        let program = binaries.join(program);
        let mut command = match user {
            Some(user) => {
                Command::new("runuser").also(|c| c.args(["-u", user, "--"]).arg(&program))
            }
            None => Command::new(&program),
        };
        command.current_dir(&directory);
        command
    };
    let data = directory.join("data");
    run(as_user("initdb").arg("-D").arg(&data).args([
        "--username=millrace",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]));
    let stop = as_user("pg_ctl").also(|c| c.arg("-D").arg(&data).args(["-m", "immediate", "stop"]));
    let leash = Leash::new(&format!("{}; rm -rf {}", shell(&stop), directory.display()));
    let options = format!(
        "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} \
         -c fsync=off -c full_page_writes=off -c wal_level=logical",
        directory.display()
    );
    run(as_user("pg_ctl")
        .arg("-D")
        .arg(&data)
        .args(["-w", "-t", "60", "-o", &options, "-l"])
        .arg(directory.join("log"))
        .arg("start"));
    let server = Postgres { binaries, port, _leash: leash };
    server.psql("postgres", "create database millrace");
    server
}

impl Postgres {
    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address as JDBC connectors write it; any password is right.
    pub fn jdbc_url(&self) -> String {
        format!("jdbc:postgresql://{}/millrace?user=millrace&password=none", self.address())
    }

    /// Runs SQL and gives back what `psql` prints: a line a row, `|` between columns.
    pub fn sql(&self, statements: &str) -> String {
        self.psql("millrace", statements)
    }

    /// Runs the SQL of a file in a session of its own, and waits for nothing; errors go to `log`.
    pub fn run_script(&self, file: &Path, log: &Path) -> Process {
        let mut command = self.client("millrace");
        Process::start(command.args(["-o", "/dev/null", "-f"]).arg(file), log)
    }

    fn psql(&self, database: &str, statements: &str) -> String {
        run(self.client(database).args(["-c", statements]))
    }

    fn client(&self, database: &str) -> Command {
        let mut command = Command::new(self.binaries.join("psql"));
        command
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "millrace"])
            .args(["-p", &self.port.to_string(), "-d", database]);
        command
    }
}

/// The newest installed server's programs.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.max_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let found = newest.map(|entry| entry.path().join("bin"));
    found
        .filter(|path| path.join("initdb").exists())
        .expect("no PostgreSQL under /usr/lib/postgresql: run `integration/setup.sh servers`")
}

/// PostgreSQL refuses to run as root: then it is its package's user, who gets the directory.
fn server_user(directory: &Path) -> Option<&'static str> {
    let owner = fs::metadata(directory).expect("the directory was just made").uid();
    if owner != 0 {
        return None;
    }
    run(Command::new("chown").arg("postgres").arg(directory));
    Some("postgres")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("cannot start {}: {error}", command.get_program().display())
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The last line's end only: an empty value at the end is a line too.
    let text = text.strip_suffix('\n').map(str::to_owned).unwrap_or(text);
    assert!(
        output.status.success(),
        "{} failed: {text}\n{}",
        shell(command),
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The command as a line of shell. Our paths and arguments hold no quotes.
fn shell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("'{}'", word.display())).collect::<Vec<_>>().join(" ")
}

/// Lets a builder with `&mut` methods be built in one expression.
trait Also: Sized {
    fn also(mut self, change: impl FnOnce(&mut Self) -> &mut Self) -> Self {
        change(&mut self);
        self
    }
}

impl Also for Command {}
