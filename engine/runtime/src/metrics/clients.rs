//! What Java's Kafka clients tell of themselves, as far as dashboards for Connect ask for it.

use std::time::SystemTime;

use millrace_kafka::Footprint;

use super::connect::TaskView;
use super::exposition::{APP_INFO, Exposition, Kind, Metric};
use crate::memory::{ClientKind, TaskClient};
use crate::release::{COMMIT, KAFKA_VERSION};

/// What a kind of client is called: domain, and the group of what all of them tell.
struct Names {
    domain: &'static str,
    group: &'static str,
}

const CONSUMER: Names = Names { domain: "kafka.consumer", group: "consumer-metrics" };
const PRODUCER: Names = Names { domain: "kafka.producer", group: "producer-metrics" };
const ADMIN: Names = Names { domain: "kafka.admin.client", group: "admin-client-metrics" };

/// The worker itself, which Java registers among clients.
const WORKER: &str = "kafka.connect";

/// `app-info`: version, commit, and since when.
fn app_info(domain: &'static str) -> [Metric; 3] {
    let metric = |name, kind, help| Metric::java(domain, APP_INFO, name, kind, help);
    [
        metric("version", Kind::Word, "The release of Kafka it is like."),
        metric("commit-id", Kind::Word, "What it is built from: Millrace, and its version."),
        metric("start-time-ms", Kind::Gauge, "Since when it is there; here in seconds since 1970."),
    ]
}

fn add_app_info(text: &mut Exposition, domain: &'static str, id: &str, start: SystemTime) {
    let ([version, commit, since], labels) = (app_info(domain), [("client-id", id)]);
    text.add_word(&version, &labels, KAFKA_VERSION);
    text.add_word(&commit, &labels, COMMIT);
    text.add_start(&since, &labels, start);
}

type NetworkNumber = (&'static str, Kind, &'static str, fn(&Footprint) -> u64);

/// What all clients tell.
const NETWORK: [NetworkNumber; 5] = [
    ("connection-count", Kind::Gauge, "Open connections to brokers.", |f| {
        let (opened, closed) = f.connections();
        opened - closed
    }),
    ("connection-creation-total", Kind::Counter, "Connections that were opened.", |f| {
        f.connections().0
    }),
    ("connection-close-total", Kind::Counter, "Connections that were closed.", |f| {
        f.connections().1
    }),
    ("outgoing-byte-total", Kind::Counter, "Bytes sent to brokers.", |f| f.traffic().0),
    ("incoming-byte-total", Kind::Counter, "Bytes received from brokers.", |f| f.traffic().1),
];

type TaskNumber = (&'static str, &'static str, Kind, &'static str, fn(&TaskView<'_>) -> f64);

const FETCHING: &str = "consumer-fetch-manager-metrics";

/// What a sink's consumer tells beside that.
const OF_CONSUMERS: [TaskNumber; 5] = [
    (FETCHING, "records-consumed-total", Kind::Counter, "Records that were polled.", |t| {
        t.sensors.taken.total()
    }),
    (FETCHING, "records-consumed-rate", Kind::Gauge, "Records polled a second.", |t| {
        t.sensors.taken.rate(t.now)
    }),
    (FETCHING, "bytes-consumed-total", Kind::Counter, "Bytes of their keys and values.", |t| {
        t.sensors.bytes as f64
    }),
    (FETCHING, "records-lag-max", Kind::Gauge, "The most records behind a partition's end.", |t| {
        t.lags.values().map(|lag| *lag as f64).fold(f64::NAN, f64::max)
    }),
    ("consumer-coordinator-metrics", "assigned-partitions", Kind::Gauge, "Partitions it reads.", {
        |t| t.sensors.partitions as f64
    }),
];

const LAG: Metric = Metric::java(
    "kafka.consumer",
    FETCHING,
    "records-lag",
    Kind::Gauge,
    "Records behind the partition's end.",
);

/// What a source's producer tells beside that.
const OF_PRODUCERS: [TaskNumber; 2] = [
    ("producer-metrics", "record-send-total", Kind::Counter, "Records acknowledged.", |t| {
        t.sensors.given.total()
    }),
    ("producer-metrics", "record-send-rate", Kind::Gauge, "Records acknowledged a second.", |t| {
        t.sensors.given.rate(t.now)
    }),
];

const BUFFERED: Metric = Metric::own(
    "millrace_client_held_bytes",
    Kind::Gauge,
    "Records that wait in a client: fetched and not polled, or not acknowledged yet.",
);

/// A task's client.
pub(super) fn add_of_task(text: &mut Exposition, view: &TaskView<'_>, client: &TaskClient) {
    let (names, numbers): (_, &[TaskNumber]) = match client.kind {
        ClientKind::Consumer => (CONSUMER, &OF_CONSUMERS),
        // That of the dead letter queue is in a sink, whose records go elsewhere.
        ClientKind::Producer if !view.is_of_source() => (PRODUCER, &[]),
        ClientKind::Producer => (PRODUCER, &OF_PRODUCERS),
    };
    add_app_info(text, names.domain, &client.id, client.start);
    add_network(text, &names, &client.id, &client.footprint);
    let labels = [("client-id", client.id.as_str())];
    text.add(&BUFFERED, &labels, client.footprint.held() as f64);
    for (group, name, kind, help, read) in numbers {
        let metric = Metric::java(names.domain, group, name, *kind, help);
        text.add(&metric, &labels, read(view));
    }
    if client.kind == ClientKind::Consumer {
        for (partition, lag) in &view.lags {
            let number = partition.partition.to_string();
            let place = [("topic", &*partition.topic), ("partition", number.as_str())];
            text.add(&LAG, &[labels[0], place[0], place[1]], *lag as f64);
        }
    }
}

/// The worker, and its own client.
pub(super) fn add_worker(
    text: &mut Exposition,
    id: &str,
    footprint: &Footprint,
    start: SystemTime,
) {
    add_app_info(text, WORKER, id, start);
    add_app_info(text, ADMIN.domain, id, start);
    add_network(text, &ADMIN, id, footprint);
}

fn add_network(text: &mut Exposition, names: &Names, id: &str, footprint: &Footprint) {
    for (name, kind, help, read) in &NETWORK {
        let metric = Metric::java(names.domain, names.group, name, *kind, help);
        text.add(&metric, &[("client-id", id)], read(footprint) as f64);
    }
}

/// All of them, for people.
#[cfg(test)]
pub(super) fn all() -> Vec<Metric> {
    let mut all = Vec::from(app_info(WORKER));
    for names in [CONSUMER, PRODUCER, ADMIN] {
        all.extend(app_info(names.domain));
        let network = NETWORK.iter();
        all.extend(network.map(|(name, kind, help, _)| {
            Metric::java(names.domain, names.group, name, *kind, help)
        }));
    }
    for (domain, numbers) in
        [("kafka.consumer", &OF_CONSUMERS[..]), ("kafka.producer", &OF_PRODUCERS)]
    {
        let metric = |(group, name, kind, help, _): &TaskNumber| {
            Metric::java(domain, group, name, *kind, help)
        };
        all.extend(numbers.iter().map(metric));
    }
    all.extend([LAG, BUFFERED]);
    all
}
