//! What is wrong before anything runs: exit codes are Java's, and messages name the key.

use super::tells;
use millrace_integration::connect::millrace;
use millrace_integration::process::Process;
use millrace_integration::site::{Site, file_sink, file_source, wait_for_task, with};
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Starting with this connector ends with Java's exit code 3 and a message of these words.
#[track_caller]
fn refuses(pairs: &[(&str, &str)], words: &[&str]) {
    let site = Site::embedded();
    let connector = with(file_source("refused", "in.txt", "t"), pairs);
    let (code, log) = site.refused(&[], &[connector]);
    assert_eq!(code, Some(3), "{log}");
    tells(&log, words);
    tells(&log, &["connector-0.properties"]);
}

#[test]
fn an_unknown_class() {
    refuses(
        &[("connector.class", "com.example.NoSuchSource")],
        &["com.example.NoSuchSource", "FileStreamSource"],
    );
    refuses(
        &[("value.converter", "com.example.NoSuchConverter")],
        &["com.example.NoSuchConverter", "value.converter"],
    );
}

#[test]
fn a_missing_or_malformed_key() {
    refuses(&[("topic", "")], &["Invalid value  for configuration topic"]);
    refuses(
        &[("tasks.max", "many")],
        &["Invalid value many for configuration tasks.max: Not a number of type INT"],
    );
    refuses(
        &[("batch.size", "2k")],
        &["Invalid value 2k for configuration batch.size: Not a number of type INT"],
    );
    let site = Site::embedded();
    let mut connector = file_source("refused", "in.txt", "t");
    connector.remove("topic");
    let (code, log) = site.refused(&[], &[connector]);
    assert_eq!(code, Some(3), "{log}");
    tells(&log, &["Missing required configuration \"topic\" which has no default value."]);
    let (code, log) = site.refused(&[("offset.flush.interval.ms", "soon")], &[]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &["Invalid value soon for configuration offset.flush.interval.ms"]);
}

#[test]
fn a_converter_that_cannot_work() {
    const AVRO: (&str, &str) = ("value.converter", "io.confluent.connect.avro.AvroConverter");
    let site = Site::embedded();
    site.write("in.txt", "a\n");
    let strings = ("value.converter", "org.apache.kafka.connect.storage.StringConverter");
    let of_the_worker = file_source("worker-s", "in.txt", "t");
    let of_its_own = with(file_source("own", "in.txt", "u"), &[strings]);
    let mut connect = site.start(&[AVRO], &[of_the_worker, of_its_own]);
    wait_for_task(&connect, "worker-s", "FAILED");
    wait_for_task(&connect, "own", "RUNNING");
    let log = connect.process().log();
    tells(&log, &["ERROR", "value.converter.schema.registry.url", "millrace plugins"]);
    drop(connect);
    let url = ("value.converter.schema.registry.url", "https://localhost");
    let authority = ("value.converter.schema.registry.ssl.truststore.location", "/no/ca.pem");
    let misspelt = ("value.converter.auto.register.schema", "false");
    let mut connect = site.start(&[AVRO, url, authority, misspelt], &[]);
    let log = connect.process().log();
    tells(&log, &["ssl.truststore.location", "/no/ca.pem", "No such file"]);
    tells(&log, &["did you mean value.converter.auto.register.schemas?"]);
}

/// Runs the binary with these arguments in the site's directory.
fn run(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = millrace();
    command.arg("standalone").args(arguments).current_dir(site.path(""));
    let mut process = Process::start(&mut command, &site.path("log.txt"));
    let status = process.wait(Duration::from_secs(30));
    (status.code(), process.log())
}

#[test]
fn an_unreadable_properties_file() {
    let site = Site::embedded();
    let (code, log) = run(&site, &["none.properties"]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &["none.properties", "No such file"]);

    site.write("bad.properties", "key.converter=\\u12x4\n");
    let (code, log) = run(&site, &["bad.properties"]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &["bad.properties", "line: 1", "\\uxxxx"]);

    fs::create_dir(site.path("directory.properties")).unwrap();
    let (code, log) = run(&site, &["directory.properties"]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &["directory.properties"]);

    let (code, log) = run(&site, &[]);
    assert_eq!(code, Some(1), "{log}");
    tells(&log, &["Usage"]);
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::embedded();
    let (code, log) = site.refused(&[("listeners", &format!("http://{address}"))], &[]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &[&address, "listeners", "in use"]);
}

#[test]
fn a_directory_without_rights() {
    // Root may write anywhere but here.
    let site = Site::embedded();
    let (code, log) =
        site.refused(&[("offset.storage.file.filename", "/proc/nowhere/offsets")], &[]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &["/proc/nowhere/offsets", "offset.storage.file.filename", "remedy"]);

    let (code, log) = site.refused(&[("bootstrap.servers", "embedded:/proc/nowhere")], &[]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &["/proc/nowhere", "key: bootstrap.servers"]);

    site.write("in.txt", "one\n");
    let source = file_source("rights-source", "in.txt", "rights");
    let refused = file_sink("rights-refused", "/proc/nowhere/out.txt", "rights");
    let sink = file_sink("rights-sink", "out.txt", "rights");
    let connect = site.start(&[], &[source, refused, sink]);
    let trace = wait_for_task(&connect, "rights-refused", "FAILED");
    tells(&trace, &["/proc/nowhere/out.txt", "create the directory"]);
    // Its neighbour does not mind.
    site.wait_for_lines("out.txt", 1);
}

#[test]
fn a_broker_away_at_start() {
    let site = Site::embedded();
    let start = Instant::now();
    let nobody = format!("127.0.0.1:{}", millrace_integration::free_port());
    let patience = [("bootstrap.servers", nobody.as_str()), ("default.api.timeout.ms", "3000")];
    let (code, log) = site.refused(&patience, &[]);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &[&nobody, "bootstrap.servers"]);
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
}
