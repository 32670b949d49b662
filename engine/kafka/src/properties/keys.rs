//! Decides what becomes of each key of Kafka's producer, consumer and admin client (4.3): none is
//! forgotten, and none is ignored in silence that somebody could miss.
//!
//! `docs/client-properties.md` is this table for people; a test writes it and compares it with
//! Java's own list (`java/keys.tsv`).

use super::Role;
use Fate::{Ours, Silent, Translated, Warned};
use Kind::{Boolean, Double, Int, Long, Short, Text};
use Role::{Admin, Consumer, Producer};

/// How Java reads a value, as far as it can complain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Double,
    Int,
    Long,
    Short,
    Text,
}

impl Kind {
    /// Java's complaint about a value that is not of this kind, if it is not.
    pub(crate) fn complaint(self, value: &str) -> Option<String> {
        let is_good = match self {
            Text => true,
            Boolean => ["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(value)),
            Short => value.parse::<i16>().is_ok(),
            Int => value.parse::<i32>().is_ok(),
            Long => value.parse::<i64>().is_ok(),
            Double => value.parse::<f64>().is_ok(),
        };
        match self {
            _ if is_good => None,
            Boolean => Some("Expected value to be either true or false".to_owned()),
            _ => Some(format!("Not a number of type {}", format!("{self:?}").to_uppercase())),
        }
    }
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "the words are for people: a test writes them"))]
pub(crate) enum Fate {
    /// librdkafka does it, under these names.
    Translated(&'static str),
    /// We do it, or refuse it.
    Ours(&'static str),
    /// Nothing is lost without it.
    Silent(&'static str),
    /// It is ignored, and whoever sets it is told why.
    Warned(&'static str),
}

/// A key of a Java client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) roles: &'static [Role],
    pub(crate) kind: Kind,
    pub(crate) fate: Fate,
}

const fn key(name: &'static str, roles: &'static [Role], kind: Kind, fate: Fate) -> Key {
    Key { name, roles, kind, fate }
}

/// The key of this name, if Java has it.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.binary_search_by(|key| key.name.cmp(name)).ok().map(|found| &KEYS[found])
}

const ALL: &[Role] = &[Producer, Consumer, Admin];

/// All keys, by name.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("acks", &[Producer], Text, Translated("acks")),
    key("allow.auto.create.topics", &[Consumer], Boolean, Translated("allow.auto.create.topics")),
    key("auto.commit.interval.ms", &[Consumer], Int, Silent("offsets are committed after delivery")),
    key("auto.offset.reset", &[Consumer], Text, Translated("auto.offset.reset; by_duration is refused")),
    key("batch.size", &[Producer], Int, Translated("batch.size (its own default unless set: it sends one batch a partition and request)")),
    key("bootstrap.controllers", &[Admin], Text, Warned("brokers are asked, controllers are not")),
    key("bootstrap.servers", ALL, Text, Translated("bootstrap.servers")),
    key("buffer.memory", &[Producer], Long, Translated("queue.buffering.max.kbytes, queue.buffering.max.messages")),
    key("check.crcs", &[Consumer], Boolean, Translated("check.crcs")),
    key("client.dns.lookup", ALL, Text, Translated("client.dns.lookup")),
    key("client.id", ALL, Text, Translated("client.id")),
    key("client.rack", &[Consumer], Text, Translated("client.rack")),
    key("compression.gzip.level", &[Producer], Int, Translated("compression.level")),
    key("compression.lz4.level", &[Producer], Int, Translated("compression.level")),
    key("compression.type", &[Producer], Text, Translated("compression.type")),
    key("compression.zstd.level", &[Producer], Int, Translated("compression.level")),
    key("config.providers", ALL, Text, Silent("the worker has replaced the placeholders")),
    key("connections.max.idle.ms", ALL, Long, Translated("connections.max.idle.ms")),
    key("default.api.timeout.ms", &[Consumer, Admin], Int, Ours("how long a call that asks the cluster something takes at most")),
    key("delivery.timeout.ms", &[Producer], Int, Translated("delivery.timeout.ms")),
    key("enable.auto.commit", &[Consumer], Boolean, Ours("always false: offsets are committed after delivery")),
    key("enable.idempotence", &[Producer], Boolean, Translated("enable.idempotence (also on with one request in flight, which keeps the order)")),
    key("enable.metrics.push", ALL, Boolean, Translated("enable.metrics.push")),
    key("exclude.internal.topics", &[Consumer], Boolean, Ours("patterns leave out internal topics")),
    key("fetch.max.bytes", &[Consumer], Int, Translated("fetch.max.bytes")),
    key("fetch.max.wait.ms", &[Consumer], Int, Translated("fetch.wait.max.ms")),
    key("fetch.min.bytes", &[Consumer], Int, Translated("fetch.min.bytes")),
    key("group.id", &[Consumer], Text, Translated("group.id")),
    key("group.instance.id", &[Consumer], Text, Translated("group.instance.id")),
    key("group.protocol", &[Consumer], Text, Translated("group.protocol")),
    key("group.remote.assignor", &[Consumer], Text, Translated("group.remote.assignor")),
    key("heartbeat.interval.ms", &[Consumer], Int, Translated("heartbeat.interval.ms")),
    key("interceptor.classes", &[Producer, Consumer], Text, Warned("Java code cannot be loaded")),
    key("internal.throw.on.fetch.stable.offset.unsupported", &[Consumer], Boolean, Silent("internal to Java")),
    key("isolation.level", &[Consumer], Text, Translated("isolation.level")),
    key("key.deserializer", &[Consumer], Text, Silent("converters make bytes")),
    key("key.serializer", &[Producer], Text, Silent("converters make bytes")),
    key("linger.ms", &[Producer], Long, Translated("linger.ms")),
    key("max.block.ms", &[Producer], Long, Ours("how long a send waits for room")),
    key("max.in.flight.requests.per.connection", &[Producer], Int, Translated("max.in.flight.requests.per.connection")),
    key("max.partition.fetch.bytes", &[Consumer], Int, Translated("fetch.message.max.bytes")),
    key("max.poll.interval.ms", &[Consumer], Int, Translated("max.poll.interval.ms")),
    key("max.poll.records", &[Consumer], Int, Ours("the most records of a poll")),
    key("max.request.size", &[Producer], Int, Translated("message.max.bytes")),
    key("metadata.max.age.ms", ALL, Long, Translated("topic.metadata.refresh.interval.ms, metadata.max.age.ms")),
    key("metadata.max.idle.ms", &[Producer], Long, Warned("librdkafka forgets topics by metadata.max.age.ms")),
    key("metadata.recovery.rebootstrap.trigger.ms", ALL, Long, Warned("when all brokers are lost, bootstrap.servers are asked again within seconds")),
    key("metadata.recovery.strategy", ALL, Text, Warned("when all brokers are lost, bootstrap.servers are asked again")),
    key("metric.reporters", ALL, Text, Warned("Java code cannot be loaded")),
    key("metrics.num.samples", ALL, Int, Silent("no JMX")),
    key("metrics.recording.level", ALL, Text, Silent("no JMX")),
    key("metrics.sample.window.ms", ALL, Long, Silent("no JMX")),
    key("partition.assignment.strategy", &[Consumer], Text, Translated("partition.assignment.strategy")),
    key("partitioner.adaptive.partitioning.enable", &[Producer], Boolean, Warned("runs without keys go to the partitions in turn")),
    key("partitioner.availability.timeout.ms", &[Producer], Long, Warned("runs without keys go to the partitions in turn")),
    key("partitioner.class", &[Producer], Text, Ours("always Kafka's default: murmur2 of the key, runs without keys in turn")),
    key("partitioner.ignore.keys", &[Producer], Boolean, Warned("records with a key go where its hash says")),
    key("receive.buffer.bytes", ALL, Int, Translated("socket.receive.buffer.bytes")),
    key("reconnect.backoff.max.ms", ALL, Long, Translated("reconnect.backoff.max.ms")),
    key("reconnect.backoff.ms", ALL, Long, Translated("reconnect.backoff.ms")),
    key("request.timeout.ms", ALL, Int, Translated("socket.timeout.ms, request.timeout.ms")),
    key("retries", &[Producer, Admin], Int, Translated("retries")),
    key("retry.backoff.max.ms", ALL, Long, Translated("retry.backoff.max.ms")),
    key("retry.backoff.ms", ALL, Long, Translated("retry.backoff.ms")),
    key("sasl.client.callback.handler.class", ALL, Text, Ours("refused: Java code")),
    key("sasl.jaas.config", ALL, Text, Translated("sasl.username, sasl.password")),
    key("sasl.kerberos.kinit.cmd", ALL, Text, Warned("Kerberos is not built in")),
    key("sasl.kerberos.min.time.before.relogin", ALL, Long, Warned("Kerberos is not built in")),
    key("sasl.kerberos.service.name", ALL, Text, Warned("Kerberos is not built in")),
    key("sasl.kerberos.ticket.renew.jitter", ALL, Double, Warned("Kerberos is not built in")),
    key("sasl.kerberos.ticket.renew.window.factor", ALL, Double, Warned("Kerberos is not built in")),
    key("sasl.login.callback.handler.class", ALL, Text, Ours("refused: Java code")),
    key("sasl.login.class", ALL, Text, Ours("refused: Java code")),
    key("sasl.login.connect.timeout.ms", ALL, Int, Warned("OAUTHBEARER is not built in")),
    key("sasl.login.read.timeout.ms", ALL, Int, Warned("OAUTHBEARER is not built in")),
    key("sasl.login.refresh.buffer.seconds", ALL, Short, Warned("OAUTHBEARER is not built in")),
    key("sasl.login.refresh.min.period.seconds", ALL, Short, Warned("OAUTHBEARER is not built in")),
    key("sasl.login.refresh.window.factor", ALL, Double, Warned("OAUTHBEARER is not built in")),
    key("sasl.login.refresh.window.jitter", ALL, Double, Warned("OAUTHBEARER is not built in")),
    key("sasl.login.retry.backoff.max.ms", ALL, Long, Warned("OAUTHBEARER is not built in")),
    key("sasl.login.retry.backoff.ms", ALL, Long, Warned("OAUTHBEARER is not built in")),
    key("sasl.mechanism", ALL, Text, Translated("sasl.mechanisms")),
    key("sasl.oauthbearer.assertion.algorithm", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.claim.aud", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.claim.exp.seconds", ALL, Int, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.claim.iss", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.claim.jti.include", ALL, Boolean, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.claim.nbf.seconds", ALL, Int, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.claim.sub", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.file", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.private.key.file", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.private.key.passphrase", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.assertion.template.file", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.client.credentials.client.id", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.client.credentials.client.secret", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.clock.skew.seconds", ALL, Int, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.expected.audience", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.expected.issuer", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.header.urlencode", ALL, Boolean, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", ALL, Long, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", ALL, Long, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", ALL, Long, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.jwks.endpoint.url", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.jwt.retriever.class", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.jwt.validator.class", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.scope", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.scope.claim.name", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.sub.claim.name", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("sasl.oauthbearer.token.endpoint.url", ALL, Text, Warned("OAUTHBEARER is not built in")),
    key("security.protocol", ALL, Text, Translated("security.protocol")),
    key("security.providers", ALL, Text, Warned("there are no Java security providers")),
    key("send.buffer.bytes", ALL, Int, Translated("socket.send.buffer.bytes")),
    key("session.timeout.ms", &[Consumer], Int, Translated("session.timeout.ms")),
    key("share.acknowledgement.mode", &[Consumer], Text, Silent("Connect has no share groups")),
    key("share.acquire.mode", &[Consumer], Text, Silent("Connect has no share groups")),
    key("socket.connection.setup.timeout.max.ms", ALL, Long, Warned("socket.connection.setup.timeout.ms holds for each attempt")),
    key("socket.connection.setup.timeout.ms", ALL, Long, Translated("socket.connection.setup.timeout.ms")),
    key("ssl.cipher.suites", ALL, Text, Translated("ssl.cipher.suites")),
    key("ssl.enabled.protocols", ALL, Text, Ours("TLSv1.3 alone is enforced, TLSv1.2 alone is not (a warning says so)")),
    key("ssl.endpoint.identification.algorithm", ALL, Text, Translated("ssl.endpoint.identification.algorithm")),
    key("ssl.engine.factory.class", ALL, Text, Ours("refused unless it is Java's default")),
    key("ssl.key.password", ALL, Text, Ours("opens the key")),
    key("ssl.keymanager.algorithm", ALL, Text, Ours("no meaning: the key that is first by name is used")),
    key("ssl.keystore.certificate.chain", ALL, Text, Translated("ssl.certificate.pem")),
    key("ssl.keystore.key", ALL, Text, Translated("ssl.key.pem")),
    key("ssl.keystore.location", ALL, Text, Translated("ssl.certificate.pem, ssl.key.pem")),
    key("ssl.keystore.password", ALL, Text, Ours("opens the store")),
    key("ssl.keystore.type", ALL, Text, Ours("JKS, PKCS12 or PEM")),
    key("ssl.protocol", ALL, Text, Ours("checked; ssl.enabled.protocols decides")),
    key("ssl.provider", ALL, Text, Ours("ignored with a warning")),
    key("ssl.secure.random.implementation", ALL, Text, Ours("no meaning")),
    key("ssl.trustmanager.algorithm", ALL, Text, Ours("refused unless it is one of the JDK's own")),
    key("ssl.truststore.certificates", ALL, Text, Translated("ssl.ca.pem")),
    key("ssl.truststore.location", ALL, Text, Translated("ssl.ca.pem")),
    key("ssl.truststore.password", ALL, Text, Ours("opens the store")),
    key("ssl.truststore.type", ALL, Text, Ours("JKS, PKCS12 or PEM")),
    key("transaction.timeout.ms", &[Producer], Int, Translated("transaction.timeout.ms")),
    key("transaction.two.phase.commit.enable", &[Producer], Boolean, Warned("librdkafka has no two-phase commit")),
    key("transactional.id", &[Producer], Text, Translated("transactional.id")),
    key("value.deserializer", &[Consumer], Text, Silent("converters make bytes")),
    key("value.serializer", &[Producer], Text, Silent("converters make bytes")),
];

#[cfg(test)]
pub(crate) mod tests;
