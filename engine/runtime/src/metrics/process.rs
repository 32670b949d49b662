//! What the process itself uses, as Linux tells; elsewhere little of it is known, and left out.
//!
//! Dashboards for Java's worker ask for the memory, threads and collections of its virtual machine.
//! There is none here: under those names stand the process's own memory and threads, and the pauses
//! that no collector makes.

use std::fs;

use super::exposition::{Exposition, Kind, Metric};

const CPU: Metric =
    Metric::own("process_cpu_seconds_total", Kind::Counter, "Processor time, user and system.");
const RESIDENT: Metric =
    Metric::own("process_resident_memory_bytes", Kind::Gauge, "Memory that is resident.");
const VIRTUAL: Metric =
    Metric::own("process_virtual_memory_bytes", Kind::Gauge, "Memory that is mapped.");
const START: Metric = Metric::own(
    "process_start_time_seconds",
    Kind::Gauge,
    "When the process began, in seconds since 1970.",
);
const FILES: Metric = Metric::own("process_open_fds", Kind::Gauge, "Open files and sockets.");
const MOST_FILES: Metric =
    Metric::own("process_max_fds", Kind::Gauge, "How many of them there may be.");
const JVM_MEMORY: Metric = Metric::own(
    "jvm_memory_used_bytes",
    Kind::Gauge,
    "Resident memory of this process, which is no Java machine.",
);
const JVM_THREADS: Metric = Metric::own(
    "jvm_threads_current",
    Kind::Gauge,
    "Threads of this process, which is no Java machine.",
);
const JVM_PAUSES: Metric = Metric::own(
    "jvm_gc_collection_seconds_sum",
    Kind::Counter,
    "0: nothing is collected, so nothing stands still for it.",
);
const JVM_COLLECTIONS: Metric = Metric::own(
    "jvm_gc_collection_seconds_count",
    Kind::Counter,
    "0: nothing is collected, so nothing stands still for it.",
);

/// Linux counts processor time in hundredths of a second wherever it is asked from a program.
const TICKS_A_SECOND: f64 = 100.0;

/// Reads what /proc knows of this process.
pub(super) fn add(text: &mut Exposition) {
    text.add(&JVM_PAUSES, &[("gc", "none")], 0.0);
    text.add(&JVM_COLLECTIONS, &[("gc", "none")], 0.0);
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let (stat, status, limits) = (read("stat"), read("status"), read("limits"));
    // The second field is the program's name, which may have blanks and brackets.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
        text.add(&CPU, &[], (user + system) / TICKS_A_SECOND);
    }
    if let (Some(began), Some(boot)) = (ticks(19), boot_time()) {
        text.add(&START, &[], boot + began / TICKS_A_SECOND);
    }
    if let Some(kib) = field(&status, "VmRSS:") {
        text.add(&RESIDENT, &[], kib * 1024.0);
        text.add(&JVM_MEMORY, &[("area", "process")], kib * 1024.0);
    }
    if let Some(kib) = field(&status, "VmSize:") {
        text.add(&VIRTUAL, &[], kib * 1024.0);
    }
    if let Some(threads) = field(&status, "Threads:") {
        text.add(&JVM_THREADS, &[], threads);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        text.add(&FILES, &[], files.count() as f64);
    }
    if let Some(most) = field(&limits, "Max open files") {
        text.add(&MOST_FILES, &[], most);
    }
}

/// The first number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn boot_time() -> Option<f64> {
    field(&fs::read_to_string("/proc/stat").ok()?, "btime")
}

/// All of them, for people.
#[cfg(test)]
pub(super) fn all() -> Vec<Metric> {
    let process = [CPU, RESIDENT, VIRTUAL, START, FILES, MOST_FILES];
    process.into_iter().chain([JVM_MEMORY, JVM_THREADS, JVM_PAUSES, JVM_COLLECTIONS]).collect()
}
