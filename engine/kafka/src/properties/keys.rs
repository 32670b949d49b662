//! Decides what becomes of each key of Kafka's producer, consumer and admin client (4.3): none is
//! forgotten, and none is ignored in silence that somebody could miss.
//!
//! `docs/client-properties.md` is this table for people; a test writes it and compares it with
//! Java's own list (`java/keys.tsv`).

use super::{Backend, Role};
use Fate::{AsInJava, Ours, Silent, Translated, Warned};
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
    /// We do it as Java does.
    AsInJava,
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
    /// What the native client makes of it.
    native: Fate,
    /// What becomes of it with librdkafka.
    librdkafka: Fate,
}

impl Key {
    /// What becomes of it.
    pub(crate) fn fate(&self, backend: Backend) -> Fate {
        match backend {
            Backend::Native => self.native,
            Backend::Librdkafka => self.librdkafka,
        }
    }
}

const fn key(
    name: &'static str,
    roles: &'static [Role],
    kind: Kind,
    native: Fate,
    librdkafka: Fate,
) -> Key {
    Key { name, roles, kind, native, librdkafka }
}

/// The key of this name, if Java has it.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.binary_search_by(|key| key.name.cmp(name)).ok().map(|found| &KEYS[found])
}

/// All keys of a client, and whether each has a meaning.
#[cfg(test)]
pub(crate) fn meanings(role: Role, backend: Backend) -> impl Iterator<Item = (&'static str, bool)> {
    let keys = KEYS.iter().filter(move |key| key.roles.contains(&role));
    keys.map(move |key| (key.name, matches!(key.fate(backend), AsInJava | Translated(_) | Ours(_))))
}

const ALL: &[Role] = &[Producer, Consumer, Admin];

/// All keys, by name.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("acks", &[Producer], Text, AsInJava, Translated("acks")),
    key("allow.auto.create.topics", &[Consumer], Boolean, AsInJava, Translated("allow.auto.create.topics")),
    key("auto.commit.interval.ms", &[Consumer], Int, Silent("offsets are committed after delivery"), Silent("offsets are committed after delivery")),
    key("auto.offset.reset", &[Consumer], Text, AsInJava, Translated("auto.offset.reset; by_duration is refused")),
    key("batch.size", &[Producer], Int, Ours("1,000,000 unless set: what waits for linger.ms goes in one batch"), Translated("batch.size (its own default unless set: it sends one batch a partition and request)")),
    key("bootstrap.controllers", &[Admin], Text, Warned("brokers are asked, controllers are not"), Warned("brokers are asked, controllers are not")),
    key("bootstrap.servers", ALL, Text, AsInJava, Translated("bootstrap.servers")),
    key("buffer.memory", &[Producer], Long, AsInJava, Translated("queue.buffering.max.kbytes, queue.buffering.max.messages")),
    key("check.crcs", &[Consumer], Boolean, AsInJava, Translated("check.crcs")),
    key("client.dns.lookup", ALL, Text, AsInJava, Translated("client.dns.lookup")),
    key("client.id", ALL, Text, AsInJava, Translated("client.id")),
    key("client.rack", &[Consumer], Text, AsInJava, Translated("client.rack")),
    key("compression.gzip.level", &[Producer], Int, AsInJava, Translated("compression.level")),
    key("compression.lz4.level", &[Producer], Int, AsInJava, Translated("compression.level")),
    key("compression.type", &[Producer], Text, AsInJava, Translated("compression.type")),
    key("compression.zstd.level", &[Producer], Int, AsInJava, Translated("compression.level")),
    key("config.providers", ALL, Text, Silent("the worker has replaced the placeholders"), Silent("the worker has replaced the placeholders")),
    key("connections.max.idle.ms", ALL, Long, AsInJava, Translated("connections.max.idle.ms")),
    key("default.api.timeout.ms", &[Consumer, Admin], Int, AsInJava, Ours("how long a call that asks the cluster something takes at most")),
    key("delivery.timeout.ms", &[Producer], Int, AsInJava, Translated("delivery.timeout.ms")),
    key("enable.auto.commit", &[Consumer], Boolean, Ours("always false: offsets are committed after delivery"), Ours("always false: offsets are committed after delivery")),
    key("enable.idempotence", &[Producer], Boolean, AsInJava, Translated("enable.idempotence (also on with one request in flight, which keeps the order)")),
    key("enable.metrics.push", ALL, Boolean, Silent("metrics are not pushed to brokers"), Translated("enable.metrics.push")),
    key("exclude.internal.topics", &[Consumer], Boolean, AsInJava, Ours("patterns leave out internal topics")),
    key("fetch.max.bytes", &[Consumer], Int, AsInJava, Translated("fetch.max.bytes")),
    key("fetch.max.wait.ms", &[Consumer], Int, AsInJava, Translated("fetch.wait.max.ms")),
    key("fetch.min.bytes", &[Consumer], Int, AsInJava, Translated("fetch.min.bytes")),
    key("group.id", &[Consumer], Text, AsInJava, Translated("group.id")),
    key("group.instance.id", &[Consumer], Text, AsInJava, Translated("group.instance.id")),
    key("group.protocol", &[Consumer], Text, AsInJava, Translated("group.protocol")),
    key("group.remote.assignor", &[Consumer], Text, AsInJava, Translated("group.remote.assignor")),
    key("heartbeat.interval.ms", &[Consumer], Int, AsInJava, Translated("heartbeat.interval.ms")),
    key("interceptor.classes", &[Producer, Consumer], Text, Warned("Java code cannot be loaded"), Warned("Java code cannot be loaded")),
    key("internal.throw.on.fetch.stable.offset.unsupported", &[Consumer], Boolean, Silent("internal to Java"), Silent("internal to Java")),
    key("isolation.level", &[Consumer], Text, AsInJava, Translated("isolation.level")),
    key("key.deserializer", &[Consumer], Text, Silent("converters make bytes"), Silent("converters make bytes")),
    key("key.serializer", &[Producer], Text, Silent("converters make bytes"), Silent("converters make bytes")),
    key("linger.ms", &[Producer], Long, AsInJava, Translated("linger.ms")),
    key("max.block.ms", &[Producer], Long, AsInJava, Ours("how long a send waits for room")),
    key("max.in.flight.requests.per.connection", &[Producer], Int, AsInJava, Translated("max.in.flight.requests.per.connection")),
    key("max.partition.fetch.bytes", &[Consumer], Int, AsInJava, Translated("fetch.message.max.bytes")),
    key("max.poll.interval.ms", &[Consumer], Int, AsInJava, Translated("max.poll.interval.ms")),
    key("max.poll.records", &[Consumer], Int, AsInJava, Ours("the most records of a poll")),
    key("max.request.size", &[Producer], Int, AsInJava, Translated("message.max.bytes")),
    key("metadata.max.age.ms", ALL, Long, AsInJava, Translated("topic.metadata.refresh.interval.ms, metadata.max.age.ms")),
    key("metadata.max.idle.ms", &[Producer], Long, AsInJava, Warned("librdkafka forgets topics by metadata.max.age.ms")),
    key("metadata.recovery.rebootstrap.trigger.ms", ALL, Long, Warned("bootstrap.servers are asked again as soon as no other broker answers"), Warned("when all brokers are lost, bootstrap.servers are asked again within seconds")),
    key("metadata.recovery.strategy", ALL, Text, Warned("bootstrap.servers are asked again as soon as no other broker answers"), Warned("when all brokers are lost, bootstrap.servers are asked again")),
    key("metric.reporters", ALL, Text, Warned("Java code cannot be loaded"), Warned("Java code cannot be loaded")),
    key("metrics.num.samples", ALL, Int, Silent("no JMX"), Silent("no JMX")),
    key("metrics.recording.level", ALL, Text, Silent("no JMX"), Silent("no JMX")),
    key("metrics.sample.window.ms", ALL, Long, Silent("no JMX"), Silent("no JMX")),
    key("partition.assignment.strategy", &[Consumer], Text, AsInJava, Translated("partition.assignment.strategy")),
    key("partitioner.adaptive.partitioning.enable", &[Producer], Boolean, Warned("runs without keys go to the partitions in turn"), Warned("runs without keys go to the partitions in turn")),
    key("partitioner.availability.timeout.ms", &[Producer], Long, Warned("runs without keys go to the partitions in turn"), Warned("runs without keys go to the partitions in turn")),
    key("partitioner.class", &[Producer], Text, Ours("always Kafka's default: murmur2 of the key, runs without keys in turn"), Ours("always Kafka's default: murmur2 of the key, runs without keys in turn")),
    key("partitioner.ignore.keys", &[Producer], Boolean, Warned("records with a key go where its hash says"), Warned("records with a key go where its hash says")),
    key("receive.buffer.bytes", ALL, Int, AsInJava, Translated("socket.receive.buffer.bytes")),
    key("reconnect.backoff.max.ms", ALL, Long, AsInJava, Translated("reconnect.backoff.max.ms")),
    key("reconnect.backoff.ms", ALL, Long, AsInJava, Translated("reconnect.backoff.ms")),
    key("request.timeout.ms", ALL, Int, AsInJava, Translated("socket.timeout.ms, request.timeout.ms")),
    key("retries", &[Producer, Admin], Int, AsInJava, Translated("retries")),
    key("retry.backoff.max.ms", ALL, Long, AsInJava, Translated("retry.backoff.max.ms")),
    key("retry.backoff.ms", ALL, Long, AsInJava, Translated("retry.backoff.ms")),
    key("sasl.client.callback.handler.class", ALL, Text, Ours("refused: Java code"), Ours("refused: Java code")),
    key("sasl.jaas.config", ALL, Text, Ours("PlainLoginModule, ScramLoginModule (tokenauth too), OAuthBearerLoginModule; others are refused"), Translated("sasl.username, sasl.password")),
    key("sasl.kerberos.kinit.cmd", ALL, Text, Warned("Kerberos is not supported"), Warned("Kerberos is not supported")),
    key("sasl.kerberos.min.time.before.relogin", ALL, Long, Warned("Kerberos is not supported"), Warned("Kerberos is not supported")),
    key("sasl.kerberos.service.name", ALL, Text, Warned("Kerberos is not supported"), Warned("Kerberos is not supported")),
    key("sasl.kerberos.ticket.renew.jitter", ALL, Double, Warned("Kerberos is not supported"), Warned("Kerberos is not supported")),
    key("sasl.kerberos.ticket.renew.window.factor", ALL, Double, Warned("Kerberos is not supported"), Warned("Kerberos is not supported")),
    key("sasl.login.callback.handler.class", ALL, Text, Ours("Kafka's own for OAUTHBEARER; others are refused: Java code"), Ours("refused: Java code")),
    key("sasl.login.class", ALL, Text, Ours("refused: Java code"), Ours("refused: Java code")),
    key("sasl.login.connect.timeout.ms", ALL, Int, Ours("of a token endpoint; 10,000 unless set, where Java waits without end"), Warned("tokens need kafka.client=native")),
    key("sasl.login.read.timeout.ms", ALL, Int, Ours("of its whole answer; 30,000 unless set, where Java waits without end"), Warned("tokens need kafka.client=native")),
    key("sasl.login.refresh.buffer.seconds", ALL, Short, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.login.refresh.min.period.seconds", ALL, Short, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.login.refresh.window.factor", ALL, Double, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.login.refresh.window.jitter", ALL, Double, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.login.retry.backoff.max.ms", ALL, Long, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.login.retry.backoff.ms", ALL, Long, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.mechanism", ALL, Text, Ours("PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; GSSAPI is refused"), Translated("sasl.mechanisms")),
    key("sasl.oauthbearer.assertion.algorithm", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.claim.aud", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.claim.exp.seconds", ALL, Int, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.claim.iss", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.claim.jti.include", ALL, Boolean, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.claim.nbf.seconds", ALL, Int, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.claim.sub", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.file", ALL, Text, Ours("as in Java, if it is allowed: MILLRACE_OAUTHBEARER_ALLOWED_FILES, or the system property in KAFKA_OPTS"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.private.key.file", ALL, Text, Ours("as in Java, if it is allowed: MILLRACE_OAUTHBEARER_ALLOWED_FILES, or the system property in KAFKA_OPTS"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.private.key.passphrase", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.assertion.template.file", ALL, Text, Ours("as in Java, if it is allowed: MILLRACE_OAUTHBEARER_ALLOWED_FILES, or the system property in KAFKA_OPTS"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.client.credentials.client.id", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.client.credentials.client.secret", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.clock.skew.seconds", ALL, Int, Silent("brokers check signatures, clients do not"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.expected.audience", ALL, Text, Silent("brokers check signatures, clients do not"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.expected.issuer", ALL, Text, Silent("brokers check signatures, clients do not"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.header.urlencode", ALL, Boolean, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", ALL, Long, Silent("brokers check signatures, clients do not"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", ALL, Long, Silent("brokers check signatures, clients do not"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", ALL, Long, Silent("brokers check signatures, clients do not"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.jwks.endpoint.url", ALL, Text, Silent("brokers check signatures, clients do not"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.jwt.retriever.class", ALL, Text, Ours("Kafka's own; others are refused: Java code"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.jwt.validator.class", ALL, Text, Ours("Kafka's own for clients; others are refused: Java code"), Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.scope", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.scope.claim.name", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.sub.claim.name", ALL, Text, AsInJava, Warned("tokens need kafka.client=native")),
    key("sasl.oauthbearer.token.endpoint.url", ALL, Text, Ours("as in Java, if it is allowed: MILLRACE_OAUTHBEARER_ALLOWED_URLS, or the system property in KAFKA_OPTS"), Warned("tokens need kafka.client=native")),
    key("security.protocol", ALL, Text, AsInJava, Translated("security.protocol")),
    key("security.providers", ALL, Text, Warned("there are no Java security providers"), Warned("there are no Java security providers")),
    key("send.buffer.bytes", ALL, Int, AsInJava, Translated("socket.send.buffer.bytes")),
    key("session.timeout.ms", &[Consumer], Int, AsInJava, Translated("session.timeout.ms")),
    key("share.acknowledgement.mode", &[Consumer], Text, Silent("Connect has no share groups"), Silent("Connect has no share groups")),
    key("share.acquire.mode", &[Consumer], Text, Silent("Connect has no share groups"), Silent("Connect has no share groups")),
    key("socket.connection.setup.timeout.max.ms", ALL, Long, Warned("socket.connection.setup.timeout.ms holds for each attempt"), Warned("socket.connection.setup.timeout.ms holds for each attempt")),
    key("socket.connection.setup.timeout.ms", ALL, Long, AsInJava, Translated("socket.connection.setup.timeout.ms")),
    key("ssl.cipher.suites", ALL, Text, Ours("those that are safe, by their IANA names"), Translated("ssl.cipher.suites")),
    key("ssl.enabled.protocols", ALL, Text, Ours("TLSv1.2 and TLSv1.3; older ones are refused"), Ours("TLSv1.3 alone is enforced, TLSv1.2 alone is not (a warning says so)")),
    key("ssl.endpoint.identification.algorithm", ALL, Text, AsInJava, Translated("ssl.endpoint.identification.algorithm")),
    key("ssl.engine.factory.class", ALL, Text, Ours("refused unless it is Java's default"), Ours("refused unless it is Java's default")),
    key("ssl.key.password", ALL, Text, AsInJava, Ours("opens the key")),
    key("ssl.keymanager.algorithm", ALL, Text, Ours("no meaning: the key that is first by name is used"), Ours("no meaning: the key that is first by name is used")),
    key("ssl.keystore.certificate.chain", ALL, Text, AsInJava, Translated("ssl.certificate.pem")),
    key("ssl.keystore.key", ALL, Text, AsInJava, Translated("ssl.key.pem")),
    key("ssl.keystore.location", ALL, Text, Ours("as in Java, and read again when the file changes"), Translated("ssl.certificate.pem, ssl.key.pem")),
    key("ssl.keystore.password", ALL, Text, AsInJava, Ours("opens the store")),
    key("ssl.keystore.type", ALL, Text, AsInJava, Ours("JKS, PKCS12 or PEM")),
    key("ssl.protocol", ALL, Text, Ours("checked; ssl.enabled.protocols decides"), Ours("checked; ssl.enabled.protocols decides")),
    key("ssl.provider", ALL, Text, Ours("ignored with a warning"), Ours("ignored with a warning")),
    key("ssl.secure.random.implementation", ALL, Text, Ours("no meaning"), Ours("no meaning")),
    key("ssl.trustmanager.algorithm", ALL, Text, Ours("refused unless it is one of the JDK's own"), Ours("refused unless it is one of the JDK's own")),
    key("ssl.truststore.certificates", ALL, Text, AsInJava, Translated("ssl.ca.pem")),
    key("ssl.truststore.location", ALL, Text, Ours("as in Java, and read again when the file changes"), Translated("ssl.ca.pem")),
    key("ssl.truststore.password", ALL, Text, AsInJava, Ours("opens the store")),
    key("ssl.truststore.type", ALL, Text, AsInJava, Ours("JKS, PKCS12 or PEM")),
    key("transaction.timeout.ms", &[Producer], Int, AsInJava, Translated("transaction.timeout.ms")),
    key("transaction.two.phase.commit.enable", &[Producer], Boolean, Warned("there is no two-phase commit"), Warned("librdkafka has no two-phase commit")),
    key("transactional.id", &[Producer], Text, AsInJava, Translated("transactional.id")),
    key("value.deserializer", &[Consumer], Text, Silent("converters make bytes"), Silent("converters make bytes")),
    key("value.serializer", &[Producer], Text, Silent("converters make bytes"), Silent("converters make bytes")),
];

#[cfg(test)]
pub(crate) mod tests;
