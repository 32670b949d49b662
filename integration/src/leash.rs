//! Decides what ends with the test process, however that ends: a shell waits on a pipe that only we
//! hold open.
//!
//! `Drop` alone would leave servers behind: statics are not dropped, and neither is anything after
//! a `kill -9`.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// Runs a shell command when dropped, or when this process is gone.
#[derive(Debug)]
pub struct Leash {
    shell: Child,
}

impl Leash {
    /// Will run `command`, a line of shell, once. Its output goes nowhere.
    pub fn new(command: &str) -> Self {
        // Any line on the pipe means "let go"; the pipe's end means "act".
        let script = format!("read -r _ || {{ {command} ; }}");
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in the terminal goes to the whole process group, and must not end the shell.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self { shell }
    }

    /// Gives the command up: what it would have ended is gone already.
    pub fn let_go(mut self) {
        use std::io::Write as _;
        if let Some(pipe) = &mut self.shell.stdin {
            // An error means that the shell is gone, and then there is nothing to give up.
            let _ = pipe.write_all(b"\n");
        }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
