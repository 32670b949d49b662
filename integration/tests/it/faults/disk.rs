//! Full disks: a file system of one MiB for what is written, and more room later.

use super::{restart, tells, wait_for_log};
use millrace_integration::leash::Leash;
use millrace_integration::site::{PATIENCE, Site, file_sink, file_source, wait_for_task};
use millrace_integration::wait_until;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

on_all_backends! {
    a_sink_file_without_room
    an_offset_file_without_room
}

/// A file system in memory, gone when dropped.
struct SmallDisk {
    path: PathBuf,
    _leash: Leash,
}

impl SmallDisk {
    /// None where this user may mount nothing.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=1m", "none"], &path);
        if !mounted {
            println!("skipped: this needs the right to mount a file system (root)");
            return None;
        }
        let leash = Leash::new(&format!("umount -l {}", path.display()));
        Some(Self { path, _leash: leash })
    }

    fn grow(&self) {
        assert!(mount(&["-o", "remount,size=64m"], &self.path), "a mounted tmpfs can grow");
    }

    fn name(&self, file: &str) -> String {
        self.path.join(file).display().to_string()
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// Four MiB of numbered lines.
fn many_lines() -> String {
    (0..65_536).map(|number| format!("{number:063}\n")).collect()
}

fn a_sink_file_without_room(site: &Site) {
    let Some(disk) = SmallDisk::mount(site.path("small")) else {
        return;
    };
    site.write("in.txt", many_lines());
    let out = disk.name("out.txt");
    let source = file_source("full-sink-source", "in.txt", "full-sink");
    let connect = site.start(&[], &[source, file_sink("full-sink", &out, "full-sink")]);
    let trace = wait_for_task(&connect, "full-sink", "FAILED");
    tells(&trace, &[&out, "No space left", "free some space"]);
    // The source does not mind, and lines in the file are whole.
    site.wait_for_position(4 << 20);
    assert_eq!(fs::metadata(&out).unwrap().len() % 64, 0, "a torn line");
    disk.grow();
    restart(&connect, "full-sink");
    wait_until("all lines in the sink's file", PATIENCE, || {
        fs::read(&out).unwrap().ends_with(b"65535\n").then_some(())
    });
    assert!(connect.stop().success());
    let mut lines: Vec<String> =
        fs::read_to_string(&out).unwrap().lines().map(str::to_owned).collect();
    lines.dedup();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.join("\n") + "\n", many_lines(), "nothing acknowledged is lost");
}

fn an_offset_file_without_room(site: &Site) {
    let Some(disk) = SmallDisk::mount(site.path("small")) else {
        return;
    };
    let source = file_source("full-offsets-source", "in.txt", "full-offsets");
    let sink = file_sink("full-offsets-sink", "out.txt", "full-offsets");
    let offsets = disk.name("connect.offsets");
    let worker = [("offset.storage.file.filename", offsets.as_str())];
    site.write("in.txt", "one\n");
    let mut connect = site.start(&worker, &[source, sink]);
    let stored = |position: u64| {
        let wanted = format!("{{\"position\":{position}}}");
        let content = fs::read(&offsets).unwrap_or_default();
        String::from_utf8_lossy(&content).contains(&wanted)
    };
    wait_until("the first commit", PATIENCE, || stored(4).then_some(()));
    fill(&disk.path);
    site.append("in.txt", "two\n");
    site.wait_for_lines("out.txt", 2);
    wait_for_log(&mut connect, "cannot write the offset file");
    tells(&connect.process().log(), &[&offsets, "No space left", "will try again"]);
    assert!(stored(4), "the last commit is whole");
    wait_for_task(&connect, "full-offsets-source", "RUNNING");
    disk.grow();
    wait_until("the commit that failed", PATIENCE, || stored(8).then_some(()));
    assert!(connect.stop().success());
    assert_eq!(site.read("out.txt"), "one\ntwo\n");
}

/// Takes all room there is.
fn fill(directory: &Path) {
    let full = (0..).find(|part| {
        let file = directory.join(format!("filler-{part}"));
        fs::write(file, vec![0; 4096]).is_err()
    });
    assert!(full.is_some());
}

#[test]
fn a_log_without_room() {
    let mut site = Site::embedded();
    let Some(disk) = SmallDisk::mount(site.path("small")) else {
        return;
    };
    site.backend = millrace_integration::backend::Backend::Embedded(disk.path.join("log"));
    site.write("in.txt", many_lines());
    let source = file_source("full-log-source", "in.txt", "full-log");
    let connect = site.start(&[], &[source, file_sink("full-log-sink", "out.txt", "full-log")]);
    let trace = wait_for_task(&connect, "full-log-source", "FAILED");
    tells(&trace, &["No space left", "full-log-0"]);
    let log = disk.path.join("log").display().to_string();
    tells(&trace, &[&log]);
    disk.grow();
    restart(&connect, "full-log-source");
    wait_until("all lines in the sink's file", PATIENCE, || {
        site.read("out.txt").ends_with("65535\n").then_some(())
    });
    assert!(connect.stop().success());
    let mut lines: Vec<String> = site.read("out.txt").lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.join("\n") + "\n", many_lines(), "nothing acknowledged is lost");
}
