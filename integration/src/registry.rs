//! Decides where tests get a schema registry: Apicurio's, which speaks Confluent's API, in a
//! process of its own, gone afterwards.

use crate::process::Process;
use crate::{free_port, wait_until};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What `setup.sh servers` unpacks.
const FOLDER: &str = "apicurio-3.3.3";
/// It is there in six seconds when nothing else runs.
const START: Duration = Duration::from_secs(120);

/// A running registry. What it knows lies in a file, so that it survives [`Registry::restart`].
#[derive(Debug)]
pub struct Registry {
    port: u16,
    management: u16,
    directory: tempfile::TempDir,
    process: Option<Process>,
}

impl Registry {
    /// Starts a registry on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("millrace-registry-").tempdir();
        let directory = directory.expect("the temporary directory is writable");
        let mut registry =
            Self { port: free_port(), management: free_port(), directory, process: None };
        registry.restart();
        registry
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Ends it without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again on the same port with what it knew, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        let home = cache().join(FOLDER);
        let database = self.directory.path().join("registry");
        let mut command = Command::new(java());
        command
            .current_dir(&home)
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={}", self.port))
            .arg("-Dquarkus.management.host=127.0.0.1")
            .arg(format!("-Dquarkus.management.port={}", self.management))
            .args(["-Dapicurio.storage.kind=sql", "-Dapicurio.storage.sql.kind=h2"])
            // Without the delay, what was answered survives a kill: else ids are given out twice.
            .arg(format!(
                "-Dapicurio.datasource.url=jdbc:h2:file:{};WRITE_DELAY=0",
                database.display()
            ))
            .args(["-jar", "quarkus-run.jar"]);
        let mut process = Process::start(&mut command, &self.directory.path().join("log"));
        wait_until("the registry to be ready", START, || {
            assert!(process.exited().is_none(), "the registry ended:\n{}", process.log());
            let url = format!("http://127.0.0.1:{}/health/ready", self.management);
            // A request to a port where nobody listens yet is slower to fail than a connection.
            TcpStream::connect(("127.0.0.1", self.management)).ok()?;
            ureq::get(&url).call().ok().filter(|answer| answer.status() == 200).map(|_| ())
        });
        self.process = Some(process);
    }
}

/// Where `setup.sh` keeps what it makes.
fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let folder = cache.unwrap_or_else(home).join("millrace");
    let there = folder.join(FOLDER).join("quarkus-run.jar").exists();
    assert!(there, "there is no schema registry: run `integration/setup.sh servers`");
    folder
}

/// A Java that can run it, which `setup.sh` has linked to.
fn java() -> PathBuf {
    cache().join("registry-java").join("bin").join("java")
}
