//! Files of our own that were cut in half: never taken for whole.

use super::{lines, tells};
use millrace_integration::site::{Site, file_sink, file_source, wait_for_task};
use std::fs;
use std::path::{Path, PathBuf};

on_all_backends! { an_offset_file_cut_in_half }

fn an_offset_file_cut_in_half(site: &Site) {
    site.write("in.txt", "one\n");
    let connectors = [file_source("half-offsets", "in.txt", "half-offsets")];
    let connect = site.start(&[], &connectors);
    site.wait_for_position(4);
    assert!(connect.stop().success());
    let file = site.path("connect.offsets");
    let content = fs::read(&file).unwrap();
    fs::write(&file, &content[..content.len() / 2]).unwrap();
    let (code, log) = site.refused(&[], &connectors);
    assert_eq!(code, Some(2), "{log}");
    tells(&log, &["connect.offsets", "damaged", "remedy", "restore a copy"]);
}

/// The segment files of a topic's partition 0, oldest first.
fn segments(site: &Site, topic: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&site.path("log"), &format!("{topic}-0"), &mut found);
    found.sort();
    found
}

fn collect(directory: &Path, partition: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, partition, found);
        } else if path.extension().is_some_and(|e| e == "log")
            && path.parent().is_some_and(|p| p.ends_with(partition))
        {
            found.push(path);
        }
    }
}

fn halve(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    fs::File::options().write(true).open(file).unwrap().set_len(length / 2).unwrap();
}

#[test]
fn a_log_segment_cut_in_half() {
    let site = Site::embedded();
    site.write("in.txt", lines(0..20_000));
    let source = file_source("half-source", "in.txt", "half");
    let worker = [("log.segment.bytes", "65536")];
    let connect = site.start(&worker, &[source]);
    site.wait_for_position(fs::metadata(site.path("in.txt")).unwrap().len());
    assert!(connect.stop().success());
    let segments = segments(&site, "half");
    assert!(segments.len() > 2, "{segments:?}");
    let broken = &segments[1];
    halve(broken);
    // What lies before is read; then the task stops instead of leaving records out.
    let connect = site.start(&worker, &[file_sink("half-sink", "out.txt", "half")]);
    let trace = wait_for_task(&connect, "half-sink", "FAILED");
    let name = broken.file_name().unwrap().to_str().unwrap();
    tells(&trace, &[name, "position: ", "offset: ", "restore the file from a backup"]);
    let read = site.read("out.txt");
    assert!(lines(0..20_000).starts_with(&read) && !read.is_empty());
}
