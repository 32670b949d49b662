//! `millrace quickstart`: what a newcomer sees first, and what it leaves behind.

use millrace_integration::broker::kafka;
use millrace_integration::client::Client;
use millrace_integration::connect::millrace;
use millrace_integration::process::Process;
use millrace_integration::site::Site;
use millrace_integration::{free_port, rest, wait_until};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// Starts it in the site's directory; what it makes for itself goes there too.
fn quickstart(site: &Site, arguments: &[&str]) -> Process {
    let scratch = site.path("tmp");
    fs::create_dir_all(&scratch).unwrap();
    let mut command = millrace();
    command.arg("quickstart").args(arguments).current_dir(site.path("")).env("TMPDIR", scratch);
    let _ = fs::remove_file(site.path("log.txt"));
    Process::start(&mut command, &site.path("log.txt"))
}

#[track_caller]
fn succeeds(site: &Site, arguments: &[&str]) -> String {
    let mut process = quickstart(site, arguments);
    let status = process.wait(LONG);
    assert_eq!(status.code(), Some(0), "{}", process.log());
    process.log()
}

/// Tables with rows in the database, in the topic, and read back; all three are equal.
#[track_caller]
fn counts(log: &str) -> Vec<(String, u64)> {
    let tables = log.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [table, rows, topic, lake] = words[..] else {
            return None;
        };
        let rows: u64 = rows.parse().ok()?;
        assert_eq!((topic.parse(), lake.parse()), (Ok(rows), Ok(rows)), "{line}");
        Some((table.to_owned(), rows))
    });
    let tables: Vec<_> = tables.collect();
    assert_eq!(tables.len(), 3, "{log}");
    tables
}

/// All files of the lake.
fn parquet_files(site: &Site) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![site.path("quickstart-lake")]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => directories.push(path),
                path if path.extension().is_some_and(|e| e == "parquet") => found.push(path),
                _ => {}
            }
        }
    }
    found
}

#[track_caller]
fn scratch_is_empty(site: &Site) {
    let left: Vec<_> = fs::read_dir(site.path("tmp")).unwrap().flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn database_topics_and_lake_agree_and_a_second_run_starts_afresh() {
    let site = Site::embedded();
    let first = succeeds(&site, &["--rows", "20000"]);
    let total: u64 = counts(&first).iter().map(|(_, rows)| rows).sum();
    assert_eq!(total, 20_000, "{first}");
    for word in ["peak memory", "rows/s", "What to try next", "--keep"] {
        assert!(first.contains(word), "{word} is missing in:\n{first}");
    }
    assert!(!parquet_files(&site).is_empty());
    scratch_is_empty(&site);

    let second = succeeds(&site, &["--rows", "300"]);
    assert_eq!(counts(&second).iter().map(|(_, rows)| rows).sum::<u64>(), 300, "{second}");
    scratch_is_empty(&site);
}

#[test]
fn the_same_on_a_broker_which_is_left_as_it_was() {
    let site = Site::embedded();
    let log = succeeds(&site, &["--rows", "5000", "--bootstrap-servers", kafka(Client::any())]);
    assert_eq!(counts(&log).iter().map(|(_, rows)| rows).sum::<u64>(), 5000, "{log}");
    wait_until("its topics to be deleted", LONG, || {
        let topics = millrace_integration::topic::names(kafka(Client::any()));
        topics.iter().all(|name| !name.starts_with("quickstart")).then_some(())
    });
}

#[test]
fn a_broker_that_does_not_answer() {
    let site = Site::embedded();
    let nobody = format!("127.0.0.1:{}", free_port());
    let mut process = quickstart(&site, &["--bootstrap-servers", &nobody]);
    let status = process.wait(LONG);
    assert_eq!(status.code(), Some(1), "{}", process.log());
    assert!(process.log().contains(&nobody), "{}", process.log());
    scratch_is_empty(&site);
}

#[test]
fn control_c_leaves_nothing_behind() {
    let site = Site::embedded();
    // Rows enough to be in the middle.
    let mut process = quickstart(&site, &["--rows", "2000000"]);
    wait_until("the worker", LONG, || process.log().contains("REST on").then_some(()));
    process.signal("INT");
    let status = process.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(130), "{}", process.log());
    assert!(!site.path("quickstart-lake").exists());
    scratch_is_empty(&site);
}

#[test]
fn kept_running_until_control_c() {
    let site = Site::embedded();
    let mut process = quickstart(&site, &["--rows", "300", "--keep"]);
    wait_until("the end of the copy", LONG, || {
        assert!(process.exited().is_none(), "{}", process.log());
        process.log().contains("Running until").then_some(())
    });
    let log = process.log();
    let address = log.rsplit_once("http://").unwrap().1;
    let address = address.split('/').next().unwrap();
    let answer = rest::request("GET", &format!("http://{address}/connectors"), None).unwrap();
    assert_eq!(answer.body.as_array().map(Vec::len), Some(2), "{answer:?}");
    let port = log.rsplit_once("kcat -b ").unwrap().1.split_whitespace().next().unwrap();
    let topics = millrace_integration::topic::names(port);
    assert!(topics.iter().any(|name| name.ends_with("orders")), "{topics:?}");
    process.signal("INT");
    let status = process.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", process.log());
    assert!(!parquet_files(&site).is_empty(), "the lake is what the user wanted");
    scratch_is_empty(&site);
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let site = Site::embedded();
    fs::create_dir(site.path("quickstart-lake")).unwrap();
    site.write("quickstart-lake/thesis.txt", "precious");
    let mut process = quickstart(&site, &[]);
    let status = process.wait(LONG);
    assert_eq!(status.code(), Some(1), "{}", process.log());
    let log = process.log();
    assert!(log.contains("quickstart-lake") && log.contains("--lake"), "{log}");
    assert_eq!(site.read("quickstart-lake/thesis.txt"), "precious");
}
