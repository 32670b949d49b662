//! Decides how metrics look on the wire: Prometheus' text format, version 0.0.4, under the names
//! that existing dashboards ask for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Which of two families of dashboards is served. Both take Java's metrics from JMX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricNames {
    /// The names that the example rules of jmx_exporter and Strimzi give:
    /// `kafka_connect_source_task_source_record_poll_rate`.
    #[default]
    Rules,
    /// Domain, type and attribute as they are, as Strimzi's Metrics Reporter has them:
    /// `kafka_connect_source_task_metrics_source_record_poll_rate`.
    Reporter,
}

impl MetricNames {
    /// The name that a query gives them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "rules" => Some(Self::Rules),
            "reporter" => Some(Self::Reporter),
            _ => None,
        }
    }
}

/// The group of what a client or worker is.
pub(super) const APP_INFO: &str = "app-info";

/// Where a metric comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An MBean of Java's: `kafka.connect:type=source-task-metrics`.
    Java { domain: &'static str, group: &'static str },
    /// Named as it is.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// Its value is a word, which is a label beside the number 1.
    Word,
    Histogram,
}

/// What is known of a metric before it has a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub(super) place: Place,
    /// The attribute, in Java's spelling; for our own the whole name.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

impl Metric {
    /// An attribute of one of Java's MBeans.
    pub(super) const fn java(
        domain: &'static str,
        group: &'static str,
        name: &'static str,
        kind: Kind,
        help: &'static str,
    ) -> Self {
        Self { place: Place::Java { domain, group }, name, kind, help }
    }

    /// One that Java does not have.
    pub(super) const fn own(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { place: Place::Own, name, kind, help }
    }

    pub(super) fn exposed_as(&self, names: MetricNames) -> String {
        let name = match (self.place, names) {
            (Place::Own, _) => self.name.to_owned(),
            // In seconds, as Prometheus counts.
            (Place::Java { domain, group: APP_INFO }, MetricNames::Rules) => {
                let info = if self.kind == Kind::Word { "_info" } else { "" };
                let name = self.name.replace("time-ms", "time-seconds");
                format!("{domain}_{name}{info}")
            }
            (Place::Java { domain, group }, MetricNames::Rules) => {
                let group = group.strip_suffix("-metrics").unwrap_or(group);
                match domain {
                    "kafka.connect" => {
                        let group = group.strip_prefix("connect-").unwrap_or(group);
                        format!("kafka_connect_{group}_{}", self.name)
                    }
                    _ => format!("kafka_{group}_{}", self.name),
                }
            }
            (Place::Java { domain, group }, MetricNames::Reporter) => {
                let name = self.name.strip_suffix("-total").unwrap_or(self.name);
                let info = if self.kind == Kind::Word { "_info" } else { "" };
                format!("{domain}_{group}_{name}{info}")
            }
        };
        name.replace(['-', '.'], "_")
    }

    fn exposed_kind(&self, names: MetricNames) -> &'static str {
        match (self.kind, self.place, names) {
            (Kind::Histogram, ..) => "histogram",
            // Without `_total` at its end it would not be taken for one.
            (Kind::Counter, Place::Java { .. }, MetricNames::Reporter) => "gauge",
            (Kind::Counter, ..) => "counter",
            (Kind::Gauge | Kind::Word, ..) => "gauge",
        }
    }
}

/// Labels and their values. Java's tags are written in its spelling: `client-id`.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A text in the making: its series stand together by metric.
pub(super) struct Exposition {
    names: MetricNames,
    /// The series of each metric, below its head.
    families: BTreeMap<String, String>,
}

impl Exposition {
    pub(super) fn new(names: MetricNames) -> Self {
        Self { names, families: BTreeMap::new() }
    }

    pub(super) fn finish(self) -> String {
        self.families.into_values().collect()
    }

    /// A value of a metric.
    pub(super) fn add(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.series(metric, "", labels, value);
    }

    /// Since when a client or worker is there.
    pub(super) fn add_start(&mut self, metric: &Metric, labels: Labels<'_>, start: SystemTime) {
        let since = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let value = match self.names {
            MetricNames::Rules => since.as_secs_f64(),
            MetricNames::Reporter => since.as_millis() as f64,
        };
        self.add(metric, labels, value);
    }

    /// A word: a label of its attribute's name, and the value 1.
    pub(super) fn add_word(&mut self, metric: &Metric, labels: Labels<'_>, word: &str) {
        let labels: Vec<_> = labels.iter().copied().chain([(metric.name, word)]).collect();
        self.series(metric, "", &labels, 1.0);
    }

    /// A histogram: how many values there were up to each bound, then all, and their sum.
    pub(super) fn add_histogram(
        &mut self,
        metric: &Metric,
        labels: Labels<'_>,
        buckets: &[(f64, u64)],
        sum: f64,
    ) {
        let mut all = 0;
        for (bound, count) in buckets {
            all += count;
            let bound = number(*bound);
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.series(metric, "_bucket", &labels, all as f64);
        }
        self.series(metric, "_sum", labels, sum);
        self.series(metric, "_count", labels, all as f64);
    }

    fn series(&mut self, metric: &Metric, suffix: &str, labels: Labels<'_>, value: f64) {
        let name = metric.exposed_as(self.names);
        let kind = metric.exposed_kind(self.names);
        let text = self.families.entry(name.clone()).or_insert_with(|| {
            let help = metric.help.replace('\\', "\\\\").replace('\n', "\\n");
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
        });
        text.push_str(&name);
        text.push_str(suffix);
        for (i, (label, value)) in labels.iter().enumerate() {
            text.push(if i == 0 { '{' } else { ',' });
            text.push_str(&self.names.label(label));
            let _ = write!(text, "=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{end} {}", number(value));
    }
}

impl MetricNames {
    /// jmx_exporter's rules run words together where Java has hyphens, in tags.
    fn label(self, tag: &str) -> String {
        match (self, tag) {
            (Self::Rules, "client-id") => "clientid".to_owned(),
            _ => tag.replace('-', "_"),
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Metric =
        Metric::java("kafka.connect", "source-task-metrics", "poll-rate", Kind::Gauge, "A\\b\nc");

    #[test]
    fn names_are_those_of_rules_and_reporters() {
        let java = |domain, group, name, kind| Metric::java(domain, group, name, kind, "");
        let counter = Kind::Counter;
        for (metric, rules, reporter) in [
            (
                java("kafka.connect", "source-task-metrics", "source-record-poll-total", counter),
                "kafka_connect_source_task_source_record_poll_total",
                "kafka_connect_source_task_metrics_source_record_poll",
            ),
            (
                java("kafka.connect", "connect-worker-metrics", "connector-count", Kind::Gauge),
                "kafka_connect_worker_connector_count",
                "kafka_connect_connect_worker_metrics_connector_count",
            ),
            (
                java("kafka.connect", "connector-metrics", "status", Kind::Word),
                "kafka_connect_connector_status",
                "kafka_connect_connector_metrics_status_info",
            ),
            (
                java("kafka.consumer", "consumer-metrics", "connection-count", Kind::Gauge),
                "kafka_consumer_connection_count",
                "kafka_consumer_consumer_metrics_connection_count",
            ),
            (
                java("kafka.admin.client", "admin-client-metrics", "connection-count", Kind::Gauge),
                "kafka_admin_client_connection_count",
                "kafka_admin_client_admin_client_metrics_connection_count",
            ),
            (
                java("kafka.connect", APP_INFO, "commit-id", Kind::Word),
                "kafka_connect_commit_id_info",
                "kafka_connect_app_info_commit_id_info",
            ),
            (
                java("kafka.admin.client", APP_INFO, "start-time-ms", Kind::Gauge),
                "kafka_admin_client_start_time_seconds",
                "kafka_admin_client_app_info_start_time_ms",
            ),
            (Metric::own("millrace_x_total", counter, ""), "millrace_x_total", "millrace_x_total"),
        ] {
            assert_eq!(metric.exposed_as(MetricNames::Rules), rules);
            assert_eq!(metric.exposed_as(MetricNames::Reporter), reporter);
        }
    }

    #[test]
    fn text_is_escaped_and_numbers_have_prometheus_names() {
        let mut text = Exposition::new(MetricNames::Rules);
        text.add(&RATE, &[("task", "a\"b\\c\nd"), ("client-id", "x")], f64::NAN);
        text.add(&RATE, &[], f64::INFINITY);
        let histogram = Metric::own("h", Kind::Histogram, "H");
        text.add_histogram(&histogram, &[], &[(0.5, 1), (f64::INFINITY, 2)], 3.25);
        assert_eq!(
            text.finish(),
            "# HELP h H\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 3\n\
             h_sum 3.25\nh_count 3\n\
             # HELP kafka_connect_source_task_poll_rate A\\\\b\\nc\n\
             # TYPE kafka_connect_source_task_poll_rate gauge\n\
             kafka_connect_source_task_poll_rate{task=\"a\\\"b\\\\c\\nd\",clientid=\"x\"} NaN\n\
             kafka_connect_source_task_poll_rate +Inf\n"
        );
    }
}
