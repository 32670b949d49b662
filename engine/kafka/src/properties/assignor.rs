//! Decides which assignors stand for the Java classes of `partition.assignment.strategy`.

use millrace_api::{Error, Result};

const KEY: &str = "partition.assignment.strategy";
const PACKAGE: &str = "org.apache.kafka.clients.consumer.";

/// The names that the group protocol has for Java's list of classes, in its order.
pub(crate) fn protocols(strategy: Option<&str>) -> Result<Vec<&'static str>> {
    let classes = strategy.unwrap_or_default().split(',').map(str::trim);
    let mut names = Vec::new();
    for class in classes.filter(|class| !class.is_empty()) {
        names.push(match class.strip_prefix(PACKAGE).unwrap_or(class) {
            "RangeAssignor" | "range" => "range",
            "RoundRobinAssignor" | "roundrobin" => "roundrobin",
            "StickyAssignor" | "sticky" => "sticky",
            "CooperativeStickyAssignor" | "cooperative-sticky" => "cooperative-sticky",
            _ => {
                return Err(Error::config(format!(
                    "Invalid value {class} for configuration {KEY}: use RangeAssignor, \
                     RoundRobinAssignor, StickyAssignor or CooperativeStickyAssignor of {PACKAGE}"
                )));
            }
        });
    }
    match names.is_empty() {
        true => Ok(vec!["range", "cooperative-sticky"]),
        false => Ok(names),
    }
}
