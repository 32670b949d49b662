//! Decides how a Connect worker runs in a test: Millrace as a process, Java's in the test image,
//! one handle for both.

use crate::client::Client;
use crate::leash::Leash;
use crate::process::Process;
use crate::rest::{self, Answer};
use crate::{broker, free_port, test_run, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Keys and values of a `.properties` file.
pub type Properties = BTreeMap<String, String>;

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// Whose worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The binary `millrace` beside the test's own executable, which reaches a broker through this
    /// client.
    Millrace(Client),
    /// Kafka's `ConnectStandalone`: the oracle.
    Java,
}

/// What a standalone worker is started with.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The working directory: relative paths in configs start here, and logs, offsets and property
    /// files lie here.
    pub directory: &'a Path,
    pub bootstrap: &'a str,
    /// Worker keys beside or instead of those Kafka ships in `connect-standalone.properties`.
    pub worker: Properties,
    /// One connector each.
    pub connectors: Vec<Properties>,
}

/// A running worker; ended on drop.
#[derive(Debug)]
pub struct Connect {
    process: Process,
    address: String,
    /// Ends what the process does not take with it: Java's container.
    _leash: Option<Leash>,
}

impl Connect {
    /// Starts a standalone worker and waits until its REST interface answers.
    ///
    /// # Panics
    /// With the log's end, when the worker ends instead.
    #[track_caller]
    pub fn standalone(program: Program, setup: &Setup<'_>) -> Self {
        let mut connect = Self::begin(program, setup);
        connect.wait_for_rest();
        connect
    }

    /// Starts a standalone worker and waits for nothing.
    pub fn begin(program: Program, setup: &Setup<'_>) -> Self {
        Self::begin_with(program, setup, &Properties::new())
    }

    /// The same, with environment variables beside the test's own.
    pub fn begin_with(program: Program, setup: &Setup<'_>, environment: &Properties) -> Self {
        Self::launch(program, setup, environment, &[])
    }

    /// The same, with arguments for Millrace before its command.
    pub fn launch(
        program: Program,
        setup: &Setup<'_>,
        environment: &Properties,
        arguments: &[&str],
    ) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let worker = setup.directory.join("worker.properties");
        write_properties(&worker, &worker_properties(program, setup, &address));
        let mut files = vec![worker];
        for (index, connector) in setup.connectors.iter().enumerate() {
            let file = setup.directory.join(format!("connector-{index}.properties"));
            write_properties(&file, connector);
            files.push(file);
        }
        let log = setup.directory.join("worker.log");
        let (mut command, leash) = match program {
            Program::Millrace(_) => {
                let mut command = millrace();
                command.envs(environment);
                (command, None)
            }
            Program::Java => java(setup.directory, environment),
        };
        match program {
            Program::Millrace(_) => command.args(arguments).arg("standalone"),
            Program::Java => command.arg("org.apache.kafka.connect.cli.ConnectStandalone"),
        };
        let command = command.args(files).current_dir(setup.directory);
        Self { process: Process::start(command, &log), address, _leash: leash }
    }

    /// Waits until the REST interface answers.
    #[track_caller]
    pub fn wait_for_rest(&mut self) {
        let url = format!("http://{}/connectors", self.address);
        wait_until("the worker's REST interface", START, || {
            if let Some(status) = self.process.exited() {
                panic!("the worker ended at once ({status}):\n{}", tail(&self.process.log(), 30));
            }
            // 401: it answers those who can log in.
            let answers = |answer: Answer| matches!(answer.status, 200 | 401);
            rest::request("GET", &url, None).is_ok_and(answers).then_some(())
        });
    }

    /// `host:port` of the REST interface.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks the REST interface; `path` begins with a slash.
    #[track_caller]
    pub fn rest(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.send(method, &format!("http://{}{path}", self.address), &headers, body)
    }

    /// Asks one of the worker's listeners, with these headers.
    #[track_caller]
    pub fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        rest::send(method, url, headers, body).unwrap_or_else(|error| {
            panic!("{method} {url}: {error}\n{}", tail(&self.process.log(), 30))
        })
    }

    /// The process: Millrace itself, or the client that stands for Java's container.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends the worker as an operator does (SIGTERM).
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.process.terminate(STOP)
    }
}

/// What Kafka ships, and what a test needs so that two workers do not meet.
fn worker_properties(program: Program, setup: &Setup<'_>, address: &str) -> Properties {
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let mut properties = Properties::from(
        [
            ("bootstrap.servers", setup.bootstrap),
            ("key.converter", json),
            ("value.converter", json),
            ("key.converter.schemas.enable", "true"),
            ("value.converter.schemas.enable", "true"),
            ("offset.storage.file.filename", "connect.offsets"),
            ("offset.flush.interval.ms", "10000"),
            ("listeners", &format!("http://{address}")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    match program {
        Program::Java => {
            properties.insert("plugin.path".to_owned(), "/opt/kafka/plugins".to_owned());
            // A scan of the whole class path costs ten seconds and finds the same.
            properties.insert("plugin.discovery".to_owned(), "service_load".to_owned());
        }
        Program::Millrace(_) if setup.bootstrap.starts_with("embedded:") => {}
        Program::Millrace(client) => {
            properties.insert("kafka.client".to_owned(), client.name().to_owned());
        }
    }
    properties.extend(setup.worker.clone());
    properties
}

/// Writes a `.properties` file that means the same to Java and to us.
pub fn write_properties(file: &Path, properties: &Properties) {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('\n', "\\n");
    let lines = properties.iter().map(|(key, value)| format!("{key}={}\n", escape(value)));
    let text: String = lines.collect();
    fs::write(file, text)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}

/// A command that runs our binary.
///
/// # Panics
/// When it is not built: building it is `make integration`'s part.
pub fn millrace() -> Command {
    let chosen = std::env::var_os("MILLRACE_BINARY").map(PathBuf::from);
    let binary = chosen.unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a running test has an executable");
        // target/PROFILE/deps/it-HASH -> target/PROFILE/millrace
        let profile = test.parent().and_then(Path::parent).expect("cargo runs tests in deps/");
        profile.join("millrace")
    });
    assert!(
        binary.exists(),
        "{} is missing: run `cargo build -p millrace` (`make integration` does), or set MILLRACE_BINARY",
        binary.display()
    );
    let mut command = Command::new(binary);
    // A file sink prints dates in the zone it runs in; Java's container gets the same one.
    command.env("TZ", "UTC");
    command
}

/// A command that runs a Java class in the test image, with `directory` under the same path there.
fn java(directory: &Path, environment: &Properties) -> (Command, Option<Leash>) {
    let (image, tag) = broker::image();
    let name = format!("millrace-java-{}-{}", std::process::id(), free_port());
    let metadata = fs::metadata(directory).expect("the test made its directory");
    let path = directory.display();
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--network", "host", "--env", "TZ=UTC", "--name", &name]);
    command.args(["--label", &format!("millrace.test={}", test_run())]);
    command.args(["--user", &format!("{}:{}", metadata.uid(), metadata.gid())]);
    command.args(["--volume", &format!("{path}:{path}"), "--workdir", &path.to_string()]);
    command.args(environment.iter().map(|(name, value)| format!("--env={name}={value}")));
    command.args([&format!("{image}:{tag}"), "kafka-java"]);
    (command, Some(Leash::new(&format!("docker rm -f {name}"))))
}

/// The last `count` lines.
fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
