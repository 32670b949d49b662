//! What this process has used so far, for the tests that measure, and what they measure against.

use std::fs;
use std::time::Duration;

use super::NativeCluster;
use crate::Properties;

/// The broker that `MILLRACE_TEST_BOOTSTRAP` names, and the client's settings in
/// `MILLRACE_COST_SETTINGS`: `name=value` with blanks between.
pub(super) fn measured() -> (NativeCluster, Properties) {
    let servers = std::env::var("MILLRACE_TEST_BOOTSTRAP").unwrap();
    let settings = std::env::var("MILLRACE_COST_SETTINGS").unwrap_or_default();
    let pair = |pair: &str| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    let servers = [("bootstrap.servers".to_owned(), servers)];
    let cluster = NativeCluster::new(&servers.into()).unwrap();
    (cluster, settings.split_whitespace().filter_map(pair).collect())
}

/// User and system time of this process, to 10 ms.
pub(super) fn cpu() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |i: usize| Duration::from_millis(10 * fields[i].parse::<u64>().unwrap());
    (ticks(11), ticks(12))
}

/// Resident and most resident memory in KiB.
pub(super) fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (field("VmRSS:"), field("VmHWM:"))
}
