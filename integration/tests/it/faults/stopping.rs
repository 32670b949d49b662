//! Stopping: in time, with offsets committed, also when a task hangs.

use super::lines;
use millrace_integration::site::{Site, file_sink, file_source};
use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

on_all_backends! { a_clean_stop_commits_so_that_nothing_is_repeated }

fn a_clean_stop_commits_so_that_nothing_is_repeated(site: &Site) {
    let connectors = [
        file_source("clean-source", "in.txt", "clean"),
        file_sink("clean-sink", "out.txt", "clean"),
    ];
    // Commits by the clock would come too late, and so would the end of tasks that are given up.
    let worker =
        [("offset.flush.interval.ms", "3600000"), ("task.shutdown.graceful.timeout.ms", "60000")];
    for round in 0..3 {
        site.append("in.txt", lines(round * 1000..(round + 1) * 1000));
        let connect = site.start(&worker, &connectors);
        site.wait_for_lines("out.txt", (round + 1) * 1000);
        assert!(connect.stop().success());
    }
    assert_eq!(site.read("out.txt"), lines(0..3000));
    assert_eq!(super::values(site, "clean").len(), 3000);
}

/// A sink that writes to a pipe which nobody empties hangs in the system, beyond our reach.
#[test]
fn a_task_that_hangs_does_not_keep_the_worker() {
    let site = Site::embedded();
    let pipe = site.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = File::options().read(true).write(true).open(&pipe).unwrap();
    site.write("in.txt", lines(0..100_000));
    let source = file_source("hang-source", "in.txt", "hang");
    let hanging = file_sink("hang-sink", pipe.to_str().unwrap(), "hang");
    let sink = file_sink("hang-neighbour", "out.txt", "hang");
    let worker = [("task.shutdown.graceful.timeout.ms", "1500")];
    let mut connect = site.start(&worker, &[source, hanging, sink]);
    // Its neighbours go on.
    site.wait_for_lines("out.txt", 100_000);
    let start = Instant::now();
    let status = connect.process().terminate(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    let log = connect.process().log();
    assert!(log.contains("task.shutdown.graceful.timeout.ms"), "{log}");
    drop(reader);
}
