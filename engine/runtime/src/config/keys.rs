//! The worker's own keys: their types, defaults and rules (`WorkerConfig` and `StandaloneConfig` in
//! Java), and what is known of others.

use millrace_api::config::validators::{
    at_least, non_empty_list, one_of, one_of_ignore_case, unique_list,
};
use millrace_api::config::{ClassName, ConfigKey, Password, Setting, Type, nearest};
use millrace_api::{Config, ConfigDef, Props};

use super::client_keys::{self, Client};
use super::connector::{self, ERROR_KEYS};
use super::meant::meant;
use super::rest::RestKeys;
use super::restart::RestartKeys;
use super::variables::ProviderKeys;

#[derive(Clone, Debug, Config)]
#[allow(dead_code, reason = "some keys are checked as in Java and have no meaning here")]
pub(crate) struct Keys {
    /// A list of host/port pairs used to establish the initial connection to the Kafka cluster.
    /// `embedded:DIR` runs on a log in that directory instead, inside this process.
    #[config(key = "bootstrap.servers", importance = High, validate = non_empty_list)]
    pub(crate) bootstrap_servers: Vec<String>,
    /// How host names of brokers are looked up.
    #[config(key = "client.dns.lookup", default = "use_all_dns_ips")]
    #[config(validate = one_of(["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]))]
    client_dns_lookup: String,
    /// The class that writes and reads keys, unless a connector names another.
    #[config(key = "key.converter", importance = High)]
    pub(crate) key_converter: ClassName,
    /// The version of the key converter.
    #[config(key = "key.converter.plugin.version", importance = Low)]
    key_converter_version: Option<String>,
    /// The class that writes and reads values, unless a connector names another.
    #[config(key = "value.converter", importance = High)]
    pub(crate) value_converter: ClassName,
    /// The version of the value converter.
    #[config(key = "value.converter.plugin.version", importance = Low)]
    value_converter_version: Option<String>,
    /// How long all tasks together may take to stop, in milliseconds.
    #[config(key = "task.shutdown.graceful.timeout.ms", importance = Low, default = 5000)]
    pub(crate) task_shutdown_graceful_timeout_ms: i64,
    /// How many bytes of records all tasks together may hold; each has an equal share. 0: half of the control group's limit, or of the machine's memory.
    #[config(key = "memory.budget.bytes", importance = Low, default = 0, validate = at_least(0i64))]
    pub(crate) memory_budget_bytes: i64,
    /// For how long a connector or task may not return from a call before the log, its status and `GET /ext/v1/hung` say so, in milliseconds.
    #[config(key = "plugin.hang.report.ms", importance = Low, default = 30000, validate = at_least(100i64))]
    pub(crate) plugin_hang_report_ms: i64,
    /// How many bytes the process may have before the connector or task that takes most is given up. 0: four fifths of the control group's limit, or of the machine's memory; -1: nobody is.
    #[config(key = "plugin.memory.limit.bytes", importance = Low, default = 0, validate = at_least(-1i64))]
    pub(crate) plugin_memory_limit_bytes: i64,
    /// How often the offsets of tasks are committed, in milliseconds.
    #[config(key = "offset.flush.interval.ms", importance = Low, default = 60000)]
    pub(crate) offset_flush_interval_ms: i64,
    /// How long a commit may take before it is given up and tried again with the next, in milliseconds.
    #[config(key = "offset.flush.timeout.ms", importance = Low, default = 5000)]
    pub(crate) offset_flush_timeout_ms: i64,
    /// Where Java looks for plugins. Here they are built in.
    #[config(key = "plugin.path", importance = Low, validate = non_empty_list().or_null())]
    plugin_path: Option<Vec<String>>,
    /// How Java looks for plugins. Here they are built in.
    #[config(key = "plugin.discovery", importance = Low, default = "hybrid_warn")]
    #[config(validate = one_of_ignore_case(["only_scan", "hybrid_warn", "hybrid_fail", "service_load"]))]
    plugin_discovery: String,
    /// The time over which Java computes a sample of a metric, in milliseconds.
    #[config(key = "metrics.sample.window.ms", importance = Low, default = 30000, validate = at_least(0i64))]
    pub(super) metrics_sample_window_ms: i64,
    /// How many samples Java keeps of a metric.
    #[config(key = "metrics.num.samples", importance = Low, default = 2, validate = at_least(1))]
    pub(super) metrics_num_samples: i32,
    /// Which metrics Java records.
    #[config(key = "metrics.recording.level", importance = Low, default = "INFO")]
    #[config(validate = one_of(["INFO", "DEBUG"]))]
    metrics_recording_level: String,
    /// The classes to which Java hands its metrics.
    #[config(key = "metric.reporters", importance = Low, validate = unique_list)]
    #[config(default = "org.apache.kafka.common.metrics.JmxReporter")]
    metric_reporters: Vec<String>,
    /// The class that writes and reads headers, unless a connector names another.
    #[config(key = "header.converter", importance = Low)]
    #[config(default = "org.apache.kafka.connect.storage.SimpleHeaderConverter")]
    pub(crate) header_converter: ClassName,
    /// The version of the header converter.
    #[config(key = "header.converter.plugin.version", importance = Low)]
    header_converter_version: Option<String>,
    #[config(nested)]
    config_providers: ProviderKeys,
    /// Which client settings connectors may override: All, None, Principal or Allowlist.
    #[config(key = "connector.client.config.override.policy", default = "All")]
    pub(crate) override_policy: String,
    /// Whether the topics of a source connector may be created before it writes to them, if its configuration has keys that begin with topic.creation.
    #[config(key = "topic.creation.enable", importance = Low, default = true)]
    pub(crate) topic_creation_enable: bool,
    #[config(nested)]
    ssl: SslKeys,
    /// Whether to remember which topics each connector has used.
    #[config(key = "topic.tracking.enable", importance = Low, default = true)]
    pub(crate) topic_tracking_enable: bool,
    /// Whether users may have the topics that a connector has used forgotten.
    #[config(key = "topic.tracking.allow.reset", importance = Low, default = true)]
    pub(crate) topic_tracking_allow_reset: bool,
    /// Of connectors that do not say it themselves.
    #[config(nested)]
    restarts: RestartKeys,
    #[config(nested)]
    pub(crate) rest: RestKeys,
}

/// TLS of the worker's own client and, without `listeners.https.*`, of the REST API. Who opens a
/// connection reads them again; here they are checked.
#[derive(Clone, Debug, Config)]
#[allow(dead_code, reason = "read by name where connections are opened")]
struct SslKeys {
    /// The newest version of TLS.
    #[config(key = "ssl.protocol", default = "TLSv1.3")]
    protocol: String,
    /// Java's security provider.
    #[config(key = "ssl.provider")]
    provider: Option<String>,
    /// The cipher suites that may be used; all that are safe when empty.
    #[config(key = "ssl.cipher.suites", importance = Low, default = "", validate = unique_list)]
    cipher_suites: Vec<String>,
    /// The versions of TLS that may be used.
    #[config(key = "ssl.enabled.protocols", default = "TLSv1.2,TLSv1.3", validate = unique_list)]
    enabled_protocols: Vec<String>,
    /// JKS, PKCS12 or PEM.
    #[config(key = "ssl.keystore.type", default = "JKS")]
    keystore_type: String,
    /// The file with this side's key and certificates.
    #[config(key = "ssl.keystore.location", importance = High)]
    keystore_location: Option<String>,
    /// The password of that file.
    #[config(key = "ssl.keystore.password", importance = High)]
    keystore_password: Option<Password>,
    /// The password of the key.
    #[config(key = "ssl.key.password", importance = High)]
    key_password: Option<Password>,
    /// The key itself, in PEM.
    #[config(key = "ssl.keystore.key", importance = High)]
    keystore_key: Option<Password>,
    /// The certificates of the key, in PEM.
    #[config(key = "ssl.keystore.certificate.chain", importance = High)]
    keystore_certificate_chain: Option<Password>,
    /// The trusted certificates, in PEM.
    #[config(key = "ssl.truststore.certificates", importance = High)]
    truststore_certificates: Option<Password>,
    /// JKS, PKCS12 or PEM.
    #[config(key = "ssl.truststore.type", default = "JKS")]
    truststore_type: String,
    /// The file with the trusted certificates.
    #[config(key = "ssl.truststore.location", importance = High)]
    truststore_location: Option<String>,
    /// The password of that file.
    #[config(key = "ssl.truststore.password", importance = High)]
    truststore_password: Option<Password>,
    /// Java's key manager.
    #[config(key = "ssl.keymanager.algorithm", importance = Low, default = "SunX509")]
    keymanager_algorithm: String,
    /// Java's trust manager.
    #[config(key = "ssl.trustmanager.algorithm", importance = Low, default = "PKIX")]
    trustmanager_algorithm: String,
    /// How the name of a server is held against its certificate; not at all when empty.
    #[config(key = "ssl.endpoint.identification.algorithm", importance = Low, default = "https")]
    endpoint_identification_algorithm: String,
    /// Java's source of random numbers.
    #[config(key = "ssl.secure.random.implementation", importance = Low)]
    secure_random_implementation: Option<String>,
    /// The class that makes Java's TLS engine.
    #[config(key = "ssl.engine.factory.class", importance = Low)]
    engine_factory_class: Option<ClassName>,
}

#[derive(Clone, Debug, Config)]
pub(crate) struct StandaloneKeys {
    #[config(nested)]
    pub(crate) worker: Keys,
    /// File to store source connector offsets
    #[config(key = "offset.storage.file.filename", importance = High)]
    pub(crate) offset_storage_file_filename: String,
}

/// Keys that Java knows elsewhere: those of distributed workers, of the worker's own client and of
/// other parts.
const ELSEWHERE: &[&str] = &[
    "connector.client.config.override.allowlist",
    "client.id",
    "config.storage.replication.factor",
    "config.storage.topic",
    "connect.protocol",
    "connections.max.idle.ms",
    "exactly.once.source.support",
    "group.id",
    "heartbeat.interval.ms",
    "inter.worker.key.generation.algorithm",
    "inter.worker.key.size",
    "inter.worker.key.ttl.ms",
    "inter.worker.signature.algorithm",
    "inter.worker.verification.algorithms",
    "kafka.client",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "offset.storage.partitions",
    "offset.storage.replication.factor",
    "offset.storage.topic",
    "rebalance.timeout.ms",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.client.callback.handler.class",
    "sasl.jaas.config",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.service.name",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.login.retry.backoff.max.ms",
    "sasl.login.retry.backoff.ms",
    "sasl.mechanism",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.template.file",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.clock.skew.seconds",
    "sasl.oauthbearer.expected.audience",
    "sasl.oauthbearer.expected.issuer",
    "sasl.oauthbearer.header.urlencode",
    "sasl.oauthbearer.jwks.endpoint.refresh.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
    "sasl.oauthbearer.jwks.endpoint.url",
    "sasl.oauthbearer.jwt.retriever.class",
    "sasl.oauthbearer.jwt.validator.class",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.scope.claim.name",
    "sasl.oauthbearer.sub.claim.name",
    "sasl.oauthbearer.token.endpoint.url",
    "scheduled.rebalance.max.delay.ms",
    "security.protocol",
    "send.buffer.bytes",
    "session.timeout.ms",
    "socket.connection.setup.timeout.max.ms",
    "socket.connection.setup.timeout.ms",
    "status.storage.partitions",
    "status.storage.replication.factor",
    "status.storage.topic",
    "worker.sync.timeout.ms",
    "worker.unsync.backoff.ms",
];

/// Prefixes below which every key is for somebody else.
const PREFIXES: &[&str] = &[
    "producer.",
    "consumer.",
    "admin.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "internal.key.converter",
    "internal.value.converter",
    "config.providers.",
    "config.storage.",
    "offset.storage.",
    "status.storage.",
    "metrics.context.",
    "listeners.https.",
    "admin.listeners.https.",
];

/// Says what of the worker's properties will have another effect than their author meant, or none.
pub(crate) fn warn(def: &ConfigDef, props: &Props) {
    for (key, meant) in unknown(def, props) {
        match meant {
            Some(meant) => {
                tracing::warn!("unknown worker configuration {key}; did you mean {meant}?");
            }
            None if key.starts_with(ERROR_KEYS) => tracing::warn!(
                "worker configuration {key} has no effect: set it in connectors; a worker has \
                 defaults for errors.restart.* alone"
            ),
            None => tracing::debug!("worker configuration {key} is passed on to plugins"),
        }
    }
    for (key, list) in duplicates(def, props) {
        let list = list.join(",");
        tracing::warn!("{key} names some elements twice; they count once: {list}");
    }
    warn_of_the_past(props);
}

fn warn_of_the_past(props: &Props) {
    const INTERNAL: [&str; 2] = ["internal.key.converter", "internal.value.converter"];
    let keys = props.keys().map(String::as_str);
    let internal: Vec<&str> =
        keys.filter(|key| INTERNAL.iter().any(|internal| key.starts_with(internal))).collect();
    if !internal.is_empty() {
        tracing::warn!(
            "without effect, and to be removed: {}; Kafka Connect has stored its own data as JSON \
             without schemas since version 3.0",
            internal.join(", ")
        );
    }
    if props.get("plugin.path").is_some_and(|path| path.contains("${")) {
        tracing::warn!("variables are not replaced in plugin.path");
    }
}

/// The keys that nobody knows, and what was probably meant.
fn unknown(def: &ConfigDef, props: &Props) -> Vec<(String, Option<String>)> {
    let defined = def.keys().iter().map(|key| key.name.as_str());
    let known: Vec<&str> = defined.chain(ELSEWHERE.iter().copied()).collect();
    let is_known =
        |key: &str| known.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let of_connectors = connector::error_keys();
    let with_meant = |key: &String| {
        if of_connectors.contains(key) {
            return (key.clone(), None);
        }
        let near = nearest(key, known.iter().copied()).map(str::to_owned);
        (key.clone(), near.or_else(|| nearest_prefix(key)))
    };
    let strange = props.keys().filter(|key| !is_known(key)).map(with_meant);
    strange.chain(misspelt_for_clients(props)).collect()
}

/// The keys for clients of connectors that no client has, but that look like others.
fn misspelt_for_clients(props: &Props) -> Vec<(String, Option<String>)> {
    let known = client_keys::worker_keys().collect();
    let is_for_client = |key: &&String| {
        let clients = [Client::Producer, Client::Consumer, Client::Admin];
        // What begins alike and is the REST API's.
        !key.starts_with("admin.listeners")
            && clients.iter().any(|client| key.starts_with(client.worker_prefix()))
    };
    let misspelt = |key: &String| Some((key.clone(), Some(meant(&known, key)?)));
    props.keys().filter(is_for_client).filter_map(misspelt).collect()
}

/// The key with the prefix that was probably meant: `prodcer.acks` is `producer.acks`, and
/// `key.convertor.schemas.enable` is `key.converter.schemas.enable`.
fn nearest_prefix(key: &str) -> Option<String> {
    let dots = key.match_indices('.').enumerate();
    dots.map(|(before, (end, _))| (before + 1, key.split_at(end + 1))).find_map(
        |(words, (begin, rest))| {
            let like = PREFIXES.iter().filter(|prefix| prefix.matches('.').count() == words);
            nearest(begin, like.copied()).map(|prefix| format!("{prefix}{rest}"))
        },
    )
}

/// The lists in which elements repeat, without the repetitions.
fn duplicates<'a>(def: &'a ConfigDef, props: &Props) -> Vec<(&'a str, Vec<String>)> {
    let repeats = |key: &'a ConfigKey| {
        let text = props.get(&key.name).filter(|_| key.value_type == Type::List)?;
        let Ok(Setting::List(items)) = Type::List.parse(&key.name, text) else { return None };
        let mut once: Vec<String> = Vec::new();
        for item in &items {
            if !once.contains(item) {
                once.push(item.clone());
            }
        }
        (once.len() < items.len()).then_some((key.name.as_str(), once))
    };
    def.keys().iter().filter_map(repeats).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn strange_keys_come_with_what_was_meant() {
        let def = StandaloneKeys::config_def();
        let known = props(&[
            ("group.id", ""),
            ("config.storage.topic", ""),
            ("sasl.jaas.config", ""),
            ("kafka.client", ""),
            ("producer.acks", ""),
            ("consumer.max.poll.records", ""),
            ("consumer.for.an.interceptor", ""),
            ("admin.listeners", ""),
            ("admin.listeners.https.ssl.keystore.location", ""),
            ("key.converter.schemas.enable", ""),
            ("listeners.https.ssl.keystore.location", ""),
            ("metrics.context.x", ""),
            ("config.providers.file.class", ""),
            ("errors.restart.policy", "off"),
        ]);
        assert_eq!(unknown(&def, &known), []);
        for (key, meant) in [
            ("bootstrap.server", Some("bootstrap.servers")),
            ("ofset.flush.interval.ms", Some("offset.flush.interval.ms")),
            ("prodcer.acks", Some("producer.acks")),
            ("consumers.max.poll.records", Some("consumer.max.poll.records")),
            ("grup.id", Some("group.id")),
            ("producer.lingr.ms", Some("producer.linger.ms")),
            ("consumer.linger.ms", Some("producer.linger.ms")),
            ("admin.client.idd", Some("admin.client.id")),
            ("errors.restart.polcy", Some("errors.restart.policy")),
            // A connector's.
            ("errors.tolerance", None),
            ("errors.retry.timeout", None),
            ("errors.deadletterqueue.topic.name", None),
            ("key.convertor", Some("key.converter")),
            ("key.convertor.schemas.enable", Some("key.converter.schemas.enable")),
            ("valu.converter.schema.registry.url", Some("value.converter.schema.registry.url")),
            ("my.plugins.own", None),
            ("x", None),
        ] {
            let meant = meant.map(str::to_owned);
            assert_eq!(unknown(&def, &props(&[(key, "")])), [(key.to_owned(), meant)]);
        }
    }

    #[test]
    fn lists_with_repetitions_are_found() {
        let def = StandaloneKeys::config_def();
        let given = props(&[("bootstrap.servers", " a:1 ,b:2,a:1"), ("metric.reporters", "a,b")]);
        let once = vec!["a:1".to_owned(), "b:2".to_owned()];
        assert_eq!(duplicates(&def, &given), [("bootstrap.servers", once)]);
    }
}
