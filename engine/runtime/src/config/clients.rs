//! The Kafka client settings of tasks: defaults, then the worker's prefixed keys, then the
//! connector's overrides.

use millrace_api::Props;
use millrace_kafka::Properties;

use crate::task::TaskId;

const MAX_LONG: &str = "9223372036854775807";
const MAX_INT: &str = "2147483647";

/// A source task's producer. Order is kept over retries since one request is in flight a broker;
/// records are retried for ever.
pub(crate) fn producer(worker: &Props, connector: &Props, id: &TaskId) -> Properties {
    let client_id = format!("connector-producer-{id}");
    producer_named(worker, connector, client_id)
}

/// A sink task's producer of dead letters.
pub(crate) fn dead_letter_producer(worker: &Props, connector: &Props, id: &TaskId) -> Properties {
    producer_named(worker, connector, format!("connector-dlq-producer-{id}"))
}

fn producer_named(worker: &Props, connector: &Props, client_id: String) -> Properties {
    let mut properties = base(worker);
    for (key, value) in [
        ("max.block.ms", MAX_LONG),
        ("enable.idempotence", "false"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "1"),
        ("delivery.timeout.ms", MAX_INT),
    ] {
        properties.insert(key.into(), value.into());
    }
    properties.insert("client.id".into(), client_id);
    properties.extend(below(worker, "producer."));
    properties.extend(below(connector, "producer.override."));
    properties
}

/// A sink task's consumer, in the group `connect-NAME`.
pub(crate) fn consumer(worker: &Props, connector: &Props, id: &TaskId) -> Properties {
    let mut properties = base(worker);
    properties.insert("group.id".into(), format!("connect-{}", id.connector));
    properties.insert("client.id".into(), format!("connector-consumer-{id}"));
    properties.insert("enable.auto.commit".into(), "false".into());
    properties.insert("auto.offset.reset".into(), "earliest".into());
    properties.extend(below(worker, "consumer."));
    properties.extend(below(connector, "consumer.override."));
    properties
}

/// The worker's own client: the raw worker properties, without those of other clients.
pub(crate) fn worker(worker: &Props) -> Properties {
    let foreign = ["producer.", "consumer.", "admin."];
    let ours = |(key, _): &(&String, &String)| !foreign.iter().any(|p| key.starts_with(p));
    worker.iter().filter(ours).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn base(worker: &Props) -> Properties {
    let servers = worker.get("bootstrap.servers").cloned().unwrap_or_default();
    Properties::from([("bootstrap.servers".to_owned(), servers)])
}

/// The keys below a prefix, without it.
pub(crate) fn below<'a>(
    props: &'a Props,
    prefix: &'a str,
) -> impl Iterator<Item = (String, String)> + 'a {
    let strip = move |(key, value): (&'a String, &'a String)| {
        Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))
    };
    props.iter().filter_map(strip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_win_over_prefixes_and_prefixes_over_defaults() {
        let props = |pairs: &[(&str, &str)]| -> Props {
            pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
        };
        let worker = props(&[
            ("bootstrap.servers", "b:9092"),
            ("consumer.auto.offset.reset", "latest"),
            ("consumer.fetch.min.bytes", "2"),
            ("sasl.jaas.config", "secret"),
        ]);
        let connector = props(&[("consumer.override.fetch.min.bytes", "3")]);
        let id = TaskId { connector: "c".into(), task: 1 };
        let consumer = consumer(&worker, &connector, &id);
        assert_eq!(consumer["auto.offset.reset"], "latest");
        assert_eq!(consumer["fetch.min.bytes"], "3");
        assert_eq!(consumer["group.id"], "connect-c");
        assert_eq!(consumer["client.id"], "connector-consumer-c-1");
        assert!(!consumer.contains_key("sasl.jaas.config"), "as in Java, it needs the prefix");
        assert_eq!(producer(&worker, &connector, &id)["acks"], "all");
    }
}
