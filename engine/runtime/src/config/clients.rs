//! The Kafka client settings of tasks: defaults, then the worker's prefixed keys, then the
//! connector's overrides.

use std::collections::BTreeSet;

use millrace_api::{Error, Props, Result};
use millrace_kafka::Properties;

use super::client_keys::Client;
use super::worker::WorkerConfig;
use crate::task::TaskId;

const MAX_LONG: &str = "9223372036854775807";
const MAX_INT: &str = "2147483647";

/// What is handed to reporters of metrics, in every client alike.
const METRICS_CONTEXT: &str = "metrics.context.";

/// A source task's producer. Order is kept over retries since one request is in flight a broker;
/// records are retried for ever.
pub(crate) fn producer(
    worker: &WorkerConfig,
    connector: &Props,
    id: &TaskId,
) -> Result<Properties> {
    producer_named(worker, connector, format!("connector-producer-{id}"))
}

/// The producer of a task's dead letters.
pub(crate) fn dead_letter_producer(
    worker: &WorkerConfig,
    connector: &Props,
    id: &TaskId,
) -> Result<Properties> {
    producer_named(worker, connector, format!("connector-dlq-producer-{id}"))
}

fn producer_named(
    worker: &WorkerConfig,
    connector: &Props,
    client_id: String,
) -> Result<Properties> {
    let mut properties = base(worker, client_id);
    for (key, value) in [
        ("max.block.ms", MAX_LONG),
        ("enable.idempotence", "false"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "1"),
        ("delivery.timeout.ms", MAX_INT),
    ] {
        properties.insert(key.into(), value.into());
    }
    properties.extend(below(&worker.props, "producer."));
    properties.extend(metrics_context(worker));
    properties.extend(overrides(worker, connector, "producer.override.")?);
    Ok(properties)
}

/// A sink task's consumer, in the group `connect-NAME`.
pub(crate) fn consumer(
    worker: &WorkerConfig,
    connector: &Props,
    id: &TaskId,
) -> Result<Properties> {
    let mut properties = base(worker, format!("connector-consumer-{id}"));
    properties.insert("group.id".into(), format!("connect-{}", id.connector));
    properties.insert("enable.auto.commit".into(), "false".into());
    properties.insert("auto.offset.reset".into(), "earliest".into());
    properties.extend(below(&worker.props, "consumer."));
    properties.extend(metrics_context(worker));
    properties.extend(overrides(worker, connector, "consumer.override.")?);
    Ok(properties)
}

/// A connector's admin client: unlike the others, it has all of the worker's own settings. The
/// worker opens a cluster of its own with them where [`has_own_admin`] says so.
pub(crate) fn admin(
    worker: &WorkerConfig,
    connector: &Props,
    client_id: String,
) -> Result<Properties> {
    let mut properties = base(worker, client_id);
    properties.extend(self::worker(worker));
    properties.extend(below(&worker.props, "admin."));
    properties.extend(overrides(worker, connector, "admin.override.")?);
    properties.extend(metrics_context(worker));
    Ok(properties)
}

/// Whether a connector's admin client has other settings than the worker's own client, so that it
/// cannot be used in its place. A log inside this process is opened once, whatever is set.
pub(crate) fn has_own_admin(worker: &WorkerConfig, connector: &Props) -> bool {
    let own = self::worker(worker);
    let mut other = own.clone();
    other.extend(below(&worker.props, "admin."));
    other.extend(below(connector, "admin.override."));
    let same = |key: &str| own.get(key) == other.get(key);
    let is_embedded = other.get("bootstrap.servers").is_some_and(|s| s.starts_with("embedded:"));
    if is_embedded && same("bootstrap.servers") {
        return false;
    }
    // A name makes no difference to what may be done.
    !other.keys().all(|key| key == "client.id" || same(key))
}

/// The worker's own client: the raw worker properties, without those of other clients.
pub(crate) fn worker(worker: &WorkerConfig) -> Properties {
    let foreign = ["producer.", "consumer.", "admin.", "config.providers"];
    let ours = |(key, _): &(&String, &String)| !foreign.iter().any(|p| key.starts_with(p));
    worker.props.iter().filter(ours).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn base(worker: &WorkerConfig, client_id: String) -> Properties {
    let servers = worker.bootstrap_servers().join(",");
    [("bootstrap.servers", servers), ("client.id", client_id)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn metrics_context(worker: &WorkerConfig) -> impl Iterator<Item = (String, String)> + '_ {
    let is_context = |(key, _): &(&String, &String)| key.starts_with(METRICS_CONTEXT);
    worker.props.iter().filter(is_context).map(|(key, value)| (key.clone(), value.clone()))
}

/// What a connector sets for one of its clients. Validation has told the user already what the
/// worker's policy forbids; this is the gate.
fn overrides(
    worker: &WorkerConfig,
    connector: &Props,
    prefix: &str,
) -> Result<Vec<(String, String)>> {
    let overrides: Vec<_> = below(connector, prefix).collect();
    let complaints = overrides.iter().filter_map(|(key, _)| worker.policy.check(key));
    let complaints: Vec<String> = complaints.collect();
    if complaints.is_empty() {
        return Ok(overrides);
    }
    let message = format!("Client Config Overrides not allowed: {}", complaints.join(" "));
    Err(Error::fatal(message).context("keys below", prefix))
}

/// An error of a client, with the places where the settings that it names were set: the client
/// itself knows them without their prefixes.
pub(crate) fn traced_back(
    mut error: Error,
    worker: &WorkerConfig,
    connector: &Props,
    client: Client,
) -> Error {
    let text = error.to_string();
    let (of_worker, of_connector) = (client.worker_prefix(), client.override_prefix());
    let keys = below(&worker.props, of_worker).chain(below(connector, of_connector));
    let named: BTreeSet<String> =
        keys.map(|(key, _)| key).filter(|key| names(&text, key)).collect();
    for key in named {
        let overriding = format!("{of_connector}{key}");
        let place = match connector.contains_key(&overriding) {
            true => format!("{overriding} of the connector"),
            false => format!("{of_worker}{key} of the worker"),
        };
        error = error.context("set by", place);
    }
    error
}

/// Whether a text names this key, and not one that only contains it.
pub(crate) fn names(text: &str, key: &str) -> bool {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(key).any(|(at, _)| {
        let mut before = text[..at].chars().rev();
        let mut after = text[at + key.len()..].chars();
        // A dot is of a key, unless it ends a sentence.
        let begins = before.next().is_none_or(|c| !is_of_key(c) && c != '.');
        let ends = match after.next() {
            Some('.') => after.next().is_none_or(|c| !is_of_key(c)),
            Some(c) => !is_of_key(c),
            None => true,
        };
        begins && ends
    })
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

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    fn worker_of(extra: &[(&str, &str)]) -> WorkerConfig {
        let string = "org.apache.kafka.connect.storage.StringConverter";
        let mut all = props(&[
            ("bootstrap.servers", "b:9092,b:9092"),
            ("key.converter", string),
            ("value.converter", string),
            ("offset.storage.file.filename", "x"),
            ("sasl.jaas.config", "secret"),
        ]);
        all.extend(props(extra));
        WorkerConfig::parse(all).unwrap()
    }

    fn id() -> TaskId {
        TaskId { connector: "c".into(), task: 1 }
    }

    #[test]
    fn overrides_win_over_prefixes_and_prefixes_over_defaults() {
        let worker = worker_of(&[
            ("consumer.auto.offset.reset", "latest"),
            ("consumer.fetch.min.bytes", "2"),
            ("metrics.context.site", "here"),
        ]);
        let connector = props(&[("consumer.override.fetch.min.bytes", "3")]);
        let consumer = consumer(&worker, &connector, &id()).unwrap();
        assert_eq!(consumer["bootstrap.servers"], "b:9092");
        assert_eq!(consumer["auto.offset.reset"], "latest");
        assert_eq!(consumer["fetch.min.bytes"], "3");
        assert_eq!(consumer["group.id"], "connect-c");
        assert_eq!(consumer["client.id"], "connector-consumer-c-1");
        assert_eq!(consumer["metrics.context.site"], "here");
        assert!(!consumer.contains_key("sasl.jaas.config"), "as in Java, it needs the prefix");
        assert_eq!(producer(&worker, &connector, &id()).unwrap()["acks"], "all");
    }

    #[test]
    fn an_admin_client_has_the_workers_settings_and_its_own() {
        let worker = worker_of(&[
            ("admin.retries", "2"),
            ("producer.acks", "1"),
            ("metrics.context.site", "here"),
        ]);
        let connector = props(&[
            ("admin.override.retries", "3"),
            ("admin.override.metrics.context.site", "there"),
        ]);
        let admin = admin(&worker, &connector, "connector-adminclient-c".into()).unwrap();
        assert_eq!(admin["sasl.jaas.config"], "secret");
        assert_eq!(admin["retries"], "3");
        assert_eq!(admin["client.id"], "connector-adminclient-c");
        assert_eq!(admin["metrics.context.site"], "here");
        assert!(admin.keys().all(|key| !key.starts_with("producer.")));
    }

    #[test]
    fn the_workers_cluster_serves_unless_settings_differ() {
        let plain = worker_of(&[]);
        let none = Props::new();
        assert!(!has_own_admin(&plain, &none));
        assert!(!has_own_admin(&plain, &props(&[("admin.override.client.id", "me")])));
        assert!(!has_own_admin(&plain, &props(&[("admin.override.sasl.jaas.config", "secret")])));
        assert!(has_own_admin(&plain, &props(&[("admin.override.sasl.jaas.config", "other")])));
        assert!(has_own_admin(&worker_of(&[("admin.security.protocol", "SSL")]), &none));
        let embedded = worker_of(&[("bootstrap.servers", "embedded:"), ("admin.retries", "1")]);
        assert!(!has_own_admin(&embedded, &none));
    }

    #[test]
    fn errors_of_clients_say_where_a_setting_comes_from() {
        let worker = worker_of(&[
            ("producer.acks", "9"),
            ("producer.linger.ms", "x"),
            ("producer.retries", "1"),
            ("consumer.linger.ms", "x"),
        ]);
        let connector = props(&[("producer.override.acks", "7")]);
        let told = |message: &'static str| {
            let error = Error::config(message);
            traced_back(error, &worker, &connector, Client::Producer).to_string()
        };
        let acks = "Invalid value 7 for configuration acks: String must be one of: all, -1";
        let set_by = "(set by: producer.override.acks of the connector)";
        assert_eq!(told(acks), format!("{acks} {set_by}"));
        let both = "linger.ms and acks. Not my.retries, retries.max or max-retries";
        let set_by = "producer.override.acks of the connector, set by: producer.linger.ms of the \
                      worker";
        assert_eq!(told(both), format!("{both} (set by: {set_by})"));
        assert_eq!(told("buffer.memory is a default"), "buffer.memory is a default");
    }

    #[test]
    fn the_policy_is_a_gate() {
        let worker = worker_of(&[("connector.client.config.override.policy", "None")]);
        let connector = props(&[("producer.override.acks", "1")]);
        let error = producer(&worker, &connector, &id()).unwrap_err().to_string();
        assert!(error.contains("The 'None' policy does not allow 'acks'"), "{error}");
        assert!(consumer(&worker, &connector, &id()).is_ok());
    }
}
