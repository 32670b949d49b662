//! Decides which assignors stand for the Java classes of `partition.assignment.strategy`.

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
