//! `bin/connect-standalone.sh` starts a worker as Kafka's script of that name does.

use millrace_integration::connect::{millrace, write_properties};
use millrace_integration::leash::Leash;
use millrace_integration::site::{PATIENCE, Site, properties};
use millrace_integration::{free_port, rest, wait_until};
use std::path::Path;
use std::process::{Command, Output};

/// Runs the script in the site's directory, as someone does whose environment was made for Java.
fn script(site: &Site, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/connect-standalone.sh");
    let mut command = Command::new(path);
    command.args(arguments).current_dir(site.path("")).env("MILLRACE", millrace().get_program());
    command.env("KAFKA_HEAP_OPTS", "-Xmx2G").envs(environment.iter().copied());
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_daemon_logs_where_it_is_told() {
    let site = Site::embedded();
    let address = format!("127.0.0.1:{}", free_port());
    let strings = "org.apache.kafka.connect.storage.StringConverter";
    let worker = [
        ("bootstrap.servers", "embedded:"),
        ("key.converter", strings),
        ("value.converter", strings),
        ("offset.storage.file.filename", "connect.offsets"),
        ("listeners", &format!("http://{address}")),
    ];
    write_properties(&site.path("worker.properties"), &properties(&worker));
    let logs = site.path("logs");
    let environment = [("LOG_DIR", logs.to_str().unwrap()), ("EXTRA_ARGS", "-loggc -name orders")];
    let started = script(&site, &["-daemon", "worker.properties"], &environment);
    let said = String::from_utf8_lossy(&started.stdout).into_owned();
    let process = said.split_once("(process ").and_then(|(_, rest)| rest.split_once(')'));
    let process = process.unwrap_or_else(|| panic!("no process in: {said}{}", stderr(&started))).0;
    let _leash = Leash::new(&format!("kill {process}"));
    assert!(stderr(&started).contains("ignoring KAFKA_HEAP_OPTS"), "{}", stderr(&started));
    wait_until("the daemon's REST interface", PATIENCE, || {
        let url = format!("http://{address}/connectors");
        rest::request("GET", &url, None).is_ok_and(|answer| answer.status == 200).then_some(())
    });
    assert!(site.read("logs/orders.out").contains("Kafka Connect started"));
}

#[test]
fn without_arguments_it_says_how_to_use_it() {
    let site = Site::embedded();
    for arguments in [&[][..], &["-daemon"], &["-name"], &["-name", "x"]] {
        let output = script(&site, arguments, &[]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains("USAGE: "), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn exit_codes_come_through() {
    let site = Site::embedded();
    let output = script(&site, &["missing.properties"], &[("EXTRA_ARGS", "")]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let logs = site.path("logs");
    for runs in [1, 2] {
        let environment = [("LOG_DIR", logs.to_str().unwrap())];
        let output = script(&site, &["-daemon", "missing.properties"], &environment);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("missing.properties"), "{}", stderr(&output));
        let log = site.read("logs/connectStandalone.out");
        assert_eq!(log.matches("the worker cannot start").count(), runs, "the log is kept: {log}");
    }
}
