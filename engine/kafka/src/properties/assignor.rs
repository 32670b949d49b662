//! Decides which of librdkafka's assignors stand for the Java classes of
//! `partition.assignment.strategy`.

use millrace_api::{Error, Result};

const KEY: &str = "partition.assignment.strategy";
const PACKAGE: &str = "org.apache.kafka.clients.consumer.";

/// librdkafka's list for Java's list of classes.
///
/// Java's default is range with cooperative-sticky behind it, a list that members use eagerly until
/// someone takes range out. librdkafka wants one protocol only, so such lists keep their eager
/// assignors: that is what a Java member of the group would do.
pub(super) fn names(strategy: Option<&str>) -> Result<String> {
    let mut names = Vec::new();
    let mut unsupported = None;
    for class in strategy.unwrap_or_default().split(',').map(str::trim) {
        match class.strip_prefix(PACKAGE).unwrap_or(class) {
            "" => {}
            "RangeAssignor" | "range" => names.push("range"),
            "RoundRobinAssignor" | "roundrobin" => names.push("roundrobin"),
            "CooperativeStickyAssignor" | "cooperative-sticky" => names.push("cooperative-sticky"),
            _ => unsupported = Some(class),
        }
    }
    match (&names[..], unsupported) {
        ([], None) => names.push("range"),
        ([], Some(class)) => {
            return Err(Error::config(format!(
                "Invalid value {class} for configuration {KEY}: use {PACKAGE}RangeAssignor, \
                 {PACKAGE}RoundRobinAssignor or {PACKAGE}CooperativeStickyAssignor"
            )));
        }
        (_, Some(class)) => tracing::warn!("{KEY}: {class} is left out, the others are used"),
        (_, None) => {}
    }
    if names.iter().any(|name| *name != "cooperative-sticky") {
        names.retain(|name| *name != "cooperative-sticky");
    }
    Ok(names.join(","))
}
