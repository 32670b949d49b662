//! Decides how a test holds a child process: its log in a file, signals by name, memory and CPU
//! from `/proc`.

use crate::leash::Leash;
use crate::wait_until;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Kernel ticks a second in `/proc/PID/stat`; 100 on every Linux we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child that is killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    leash: Option<Leash>,
}

impl Process {
    /// Starts `command` with an empty stdin; both outputs are appended to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log);
        let out = out.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let err = out.try_clone().expect("a file handle can be doubled");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("cannot start {}: {error}", command.get_program().display())
        });
        let leash = Leash::new(&format!("kill -9 {}", child.id()));
        Self { child, log: log.to_owned(), leash: Some(leash) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("our own child can be asked");
        if let (Some(_), Some(leash)) = (status, self.leash.take_if(|_| status.is_some())) {
            // From here on the id may belong to another process.
            leash.let_go();
        }
        status
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        wait_until("the end of a process", deadline, || self.exited())
    }

    /// Asks it to end (SIGTERM) and waits.
    #[track_caller]
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(deadline)
    }

    /// Ends it without a chance to tidy up (SIGKILL).
    pub fn kill(&mut self) -> ExitStatus {
        let _ = self.child.kill();
        self.wait(Duration::from_secs(10))
    }

    /// Sends a signal by its name, for example `STOP`, `CONT`, `INT`.
    pub fn signal(&mut self, name: &str) {
        if self.exited().is_none() {
            let sent =
                Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
            assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {} failed", self.id());
        }
    }

    /// Memory it holds now, and the most it ever held, in bytes.
    pub fn memory(&self) -> (u64, u64) {
        let status = self.proc("status");
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or_else(|| panic!("/proc/{}/status has no {key}", self.id())) * 1024
        };
        (bytes("VmRSS:"), bytes("VmHWM:"))
    }

    /// CPU seconds used since its start, user and system.
    pub fn cpu_seconds(&self) -> f64 {
        cpu(&self.proc("stat")).1
    }

    /// The same of each thread that is there, by its id, with its name.
    pub fn cpu_seconds_of_threads(&self) -> BTreeMap<u32, (String, f64)> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).into_iter().flatten();
        let thread = |entry: fs::DirEntry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((entry.file_name().to_string_lossy().parse().ok()?, cpu(&stat)))
        };
        threads.flatten().filter_map(thread).collect()
    }

    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.id());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
    }
}

/// The name, and the CPU seconds, that a `stat` file tells.
fn cpu(stat: &str) -> (String, f64) {
    // The name may hold spaces; the numbers begin behind its closing bracket, with field 3.
    let (name, fields) = stat.rsplit_once(')').expect("stat gives the name in brackets");
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("utime and stime are numbers"))
        .sum();
    let name = name.split_once('(').map_or(name, |(_, name)| name);
    (name.to_owned(), ticks as f64 / TICKS_PER_SECOND)
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            self.kill();
        }
    }
}
