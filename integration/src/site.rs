//! Decides what a test of a flow has to itself: a directory, and a log.

use crate::backend::Backend;
use crate::client::Client;
use crate::connect::{Connect, Program, Properties, Setup};
use crate::wait_until;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that is gone after the test, unless that failed, and the log its workers use.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    pub backend: Backend,
}

impl Site {
    /// On the broker that all tests share which use this client: topics and connectors need names of
    /// their own.
    pub fn kafka(client: Client) -> Self {
        Self::on(Backend::shared_kafka(client))
    }

    /// On a log in a directory of its own.
    pub fn embedded() -> Self {
        let mut site = Self::on(Backend::Embedded(PathBuf::new()));
        site.backend = Backend::Embedded(site.path("log"));
        site
    }

    /// On this log.
    pub fn on(backend: Backend) -> Self {
        let directory = tempfile::Builder::new().prefix("millrace-test-").tempdir();
        Self { directory: directory.expect("the temporary directory is writable"), backend }
    }

    /// A path inside the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the test's directory is writable");
    }

    /// Appends to a file, as the program does whose file is followed.
    pub fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        let file = File::options().create(true).append(true).open(self.path(name));
        let mut file = file.expect("the test's directory is writable");
        file.write_all(content.as_ref()).expect("the test's directory is writable");
    }

    /// What a file holds; nothing when there is none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Starts Millrace, with strings for converters and commits twice a second, unless told
    /// otherwise.
    #[track_caller]
    pub fn start(&self, worker: &[(&str, &str)], connectors: &[Properties]) -> Connect {
        self.start_as(self.millrace(), worker, connectors)
    }

    /// The same with this program.
    #[track_caller]
    pub fn start_as(
        &self,
        program: Program,
        worker: &[(&str, &str)],
        connectors: &[Properties],
    ) -> Connect {
        let bootstrap = self.backend.bootstrap();
        Connect::standalone(program, &self.setup(&bootstrap, worker, connectors))
    }

    /// Millrace, as it reaches this site's log.
    pub fn millrace(&self) -> Program {
        Program::Millrace(self.backend.client())
    }

    /// Starts Millrace and waits for nothing.
    pub fn begin(&self, worker: &[(&str, &str)], connectors: &[Properties]) -> Connect {
        let bootstrap = self.backend.bootstrap();
        Connect::begin(self.millrace(), &self.setup(&bootstrap, worker, connectors))
    }

    /// Starts a worker that is expected to end by itself, and gives its exit code and log.
    #[track_caller]
    pub fn refused(
        &self,
        worker: &[(&str, &str)],
        connectors: &[Properties],
    ) -> (Option<i32>, String) {
        let mut connect = self.begin(worker, connectors);
        let status: ExitStatus = connect.process().wait(2 * PATIENCE);
        (status.code(), connect.process().log())
    }

    fn setup<'a>(
        &'a self,
        bootstrap: &'a str,
        worker: &[(&str, &str)],
        connectors: &[Properties],
    ) -> Setup<'a> {
        let strings = "org.apache.kafka.connect.storage.StringConverter";
        let mut properties = properties(&[
            ("key.converter", strings),
            ("value.converter", strings),
            ("offset.flush.interval.ms", "500"),
        ]);
        properties.extend(self::properties(worker));
        Setup {
            directory: self.directory.path(),
            bootstrap,
            worker: properties,
            connectors: connectors.to_vec(),
        }
    }

    /// Waits until a file has so many lines.
    #[track_caller]
    pub fn wait_for_lines(&self, name: &str, count: usize) {
        let what = format!("{count} lines in {name} ({})", self.backend.name());
        wait_until(&what, PATIENCE, || (lines_in(&self.path(name)) >= count).then_some(()));
    }

    /// Waits until the stored position of a followed file is this.
    #[track_caller]
    pub fn wait_for_position(&self, position: u64) {
        let what = format!("position {position} in the offset file");
        wait_until(&what, PATIENCE, || (self.stored_position() == Some(position)).then_some(()));
    }

    /// The position that the offset file holds, when it holds that of one file. The file is Java's
    /// serialised map, in which keys and values are plain JSON.
    pub fn stored_position(&self) -> Option<u64> {
        let content = self.read("connect.offsets");
        let (_, rest) = content.split_once("{\"position\":")?;
        rest.split_once('}')?.0.trim().parse().ok()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("the files of this test are kept in {}", self.path("").display());
        }
    }
}

/// Waits until the connector's first task has this state, and gives its trace.
#[track_caller]
pub fn wait_for_task(connect: &Connect, connector: &str, state: &str) -> String {
    wait_until(&format!("{connector} to be {state}"), PATIENCE, || {
        let path = format!("/connectors/{connector}/status");
        let status = connect.rest("GET", &path, None).body;
        let task = status.pointer("/tasks/0")?;
        let trace = task["trace"].as_str().unwrap_or_default();
        (task["state"] == state).then(|| trace.to_owned())
    })
}

/// Complete lines in a file; none when there is no file.
pub fn lines_in(file: &Path) -> usize {
    fs::read(file).map_or(0, |content| content.iter().filter(|byte| **byte == b'\n').count())
}

/// Properties from pairs.
pub fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A connector that follows a file.
pub fn file_source(name: &str, file: &str, topic: &str) -> Properties {
    properties(&[
        ("name", name),
        ("connector.class", "FileStreamSource"),
        ("tasks.max", "1"),
        ("file", file),
        ("topic", topic),
    ])
}

/// A connector that writes a topic to a file.
pub fn file_sink(name: &str, file: &str, topic: &str) -> Properties {
    properties(&[
        ("name", name),
        ("connector.class", "FileStreamSink"),
        ("tasks.max", "1"),
        ("file", file),
        ("topics", topic),
        // A topic that is made later is seen within a second, not within five minutes.
        ("consumer.override.metadata.max.age.ms", "1000"),
    ])
}

/// The same connector with other keys.
pub fn with(mut connector: Properties, pairs: &[(&str, &str)]) -> Properties {
    connector.extend(properties(pairs));
    connector
}
