//! Decides how tests speak to the container engine: by its command line, as a user would.

use crate::leash::Leash;
use crate::{broker, free_port, test_run};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Runs `docker` with these arguments and gives what it printed.
///
/// # Panics
/// With what it complained of.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(
        output.status.success(),
        "docker {}: {}\nrun `integration/setup.sh servers` once",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs `docker` with these arguments, whatever comes of it.
pub fn output(arguments: &[&str]) -> Output {
    let output = Command::new("docker").args(arguments).output();
    output.unwrap_or_else(|error| panic!("docker does not start: {error}"))
}

/// A name for a container or a network that nobody else has.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (process, port) = (std::process::id(), free_port());
    format!("millrace-{what}-{process}-{port}-{}", COUNT.fetch_add(1, Relaxed))
}

/// The label by which CI finds what is its own.
pub fn label() -> String {
    format!("millrace.test={}", test_run())
}

/// The test image, as `docker run` wants it.
pub fn image() -> String {
    let (name, tag) = broker::image();
    format!("{name}:{tag}")
}

/// A network of our own that containers join under addresses we choose; removed on drop, after
/// the containers named in `with`.
#[derive(Debug)]
pub struct Network {
    name: String,
    /// The first three bytes of all its addresses, as text.
    prefix: String,
    leash: Option<Leash>,
}

impl Network {
    /// Makes a network. Containers named in `with` are removed before it.
    pub fn new(with: &[String]) -> Self {
        let name = unique("net");
        // After a failure Java's clients may still be in it, and then it could not be removed.
        let inside = "{{range $id, $container := .Containers}}{{$id}} {{end}}";
        let inside = format!("$(docker network inspect -f '{inside}' {name})");
        let leash = Leash::new(&format!(
            "docker rm -f -v {} {inside} ; docker network rm {name}",
            with.join(" ")
        ));
        // The engine knows a range that is free here, but gives fixed addresses only in ranges that
        // it was told: ask, and tell.
        for _ in 0..20 {
            docker(&["network", "create", &name]);
            let format = "{{(index .IPAM.Config 0).Subnet}}";
            let subnet = docker(&["network", "inspect", "--format", format, &name]);
            docker(&["network", "rm", &name]);
            let prefix = subnet.rsplitn(2, '.').last().expect("rsplitn gives a part").to_owned();
            let subnet = format!("{prefix}.0/24");
            let label = label();
            let made =
                output(&["network", "create", "--label", &label, "--subnet", &subnet, &name]);
            if made.status.success() {
                return Self { name, prefix, leash: Some(leash) };
            }
        }
        panic!(
            "the engine has no free range of addresses: remove networks, `docker network prune`"
        );
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address with this last byte.
    pub fn address(&self, last: u8) -> String {
        format!("{}.{last}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.leash.take());
    }
}
