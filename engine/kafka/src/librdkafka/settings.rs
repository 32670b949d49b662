//! Decides what a property of Kafka's Java clients means to librdkafka: names, defaults, ranges.
//!
//! Users write Java's names and expect Java's defaults and Java's complaints. What librdkafka has
//! no equal of is either done by us (`max.poll.records`) or ignored with a warning that names it.

use std::time::Duration;

use millrace_api::{Error, Result};

use super::security;
use crate::Properties;
use crate::properties::producing::{self, Durability};
use crate::properties::{Backend, Reader, Role, invalid, millis, missing, servers};
use crate::record_batch::Compression;

#[cfg(test)]
mod tests;

/// One setting in librdkafka's words, and the Java key to name when it is refused.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) java_key: &'static str,
    /// Whether the value must never be printed.
    pub(super) secret: bool,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, if self.secret { "[hidden]" } else { &self.value })
    }
}

/// Where a partition without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OffsetReset {
    Earliest,
    Latest,
    None,
}

/// What a producer sends of one partition at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// `batch.size`
    pub(super) batch_bytes: usize,
    pub(super) batch_records: usize,
    /// `max.in.flight.requests.per.connection`, as far as librdkafka makes use of it.
    pub(super) requests_in_flight: usize,
}

/// A client's properties, translated.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) role: Role,
    /// To be handed to librdkafka in this order.
    pub(super) librdkafka: Vec<Setting>,
    pub(super) bootstrap_servers: String,
    /// `max.block.ms`: how long a send waits for room.
    pub(super) max_block: Duration,
    /// How much a producer hands over at once.
    pub(super) pace: Pace,
    /// `default.api.timeout.ms`: how long a call that asks the cluster something takes at most.
    pub(super) api_timeout: Duration,
    pub(super) group_id: Option<String>,
    pub(super) offset_reset: OffsetReset,
    pub(super) read_committed: bool,
    pub(super) max_poll_records: usize,
    /// `metadata.max.age.ms`: how often the topics of a pattern are looked up.
    pub(super) metadata_max_age: Duration,
    pub(super) exclude_internal_topics: bool,
}

/// Translates a Java client's properties.
///
/// # Errors
///
/// [`ErrorKind::Config`](millrace_api::ErrorKind), naming the key and, unless it is a secret, the
/// value.
pub(super) fn translate(role: Role, properties: &Properties) -> Result<Settings> {
    let mut reader = Reader::new(properties);
    let settings = read(role, &mut reader)?;
    reader.warn_of_unused(role, Backend::Librdkafka)?;
    Ok(settings)
}

fn read(role: Role, reader: &mut Reader<'_>) -> Result<Settings> {
    let mut settings = common(role, reader)?;
    match role {
        Role::Producer => producer(reader, &mut settings)?,
        Role::Consumer => consumer(reader, &mut settings)?,
        Role::Admin => {}
    }
    security::translate(reader, &mut settings.librdkafka)?;
    Ok(settings)
}

/// How often librdkafka says which brokers it knows: see `librdkafka::brokers`.
const LOST_BROKERS_LOOK_MS: i64 = 5_000;

fn common(role: Role, reader: &mut Reader<'_>) -> Result<Settings> {
    let bootstrap_servers = match reader.text("bootstrap.servers") {
        Some(servers) => servers::addresses(servers)?,
        None => return Err(missing("bootstrap.servers")),
    };
    let bootstrap_servers: Vec<_> = bootstrap_servers.iter().map(ToString::to_string).collect();
    let bootstrap_servers = bootstrap_servers.join(",");
    let mut out = Vec::new();
    keep(&mut out, "bootstrap.servers", &bootstrap_servers);
    // Java's client makes a name of its own; a fixed one keeps quotas and broker logs readable.
    let client_id = reader.text("client.id").filter(|id| !id.is_empty()).unwrap_or("millrace");
    keep(&mut out, "client.id", client_id);
    let lookups = ["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"];
    if let Some(lookup) = reader.choice("client.dns.lookup", &lookups)? {
        keep(&mut out, "client.dns.lookup", lookup);
    }
    if let Some(push_metrics) = reader.boolean("enable.metrics.push")? {
        keep(&mut out, "enable.metrics.push", push_metrics);
    }
    numbers(reader, COMMON, &mut out)?;
    back_offs(reader, &mut out)?;
    let max_age = reader.number("metadata.max.age.ms", 0)?.unwrap_or(300_000);
    let refresh = max_age.clamp(100, 3_600_000);
    push(&mut out, "metadata.max.age.ms", "topic.metadata.refresh.interval.ms", refresh);
    keep(&mut out, "metadata.max.age.ms", refresh * 3);
    keep(&mut out, "log.connection.close", false);
    if role == Role::Admin {
        request_timeout(reader, &mut out, 0)?;
        // librdkafka repeats requests until they time out, as Java does unless told.
        reader.number("retries", 0)?;
        // Else a look at a topic that was just deleted brings it back.
        keep(&mut out, "allow.auto.create.topics", false);
    } else {
        // They tell when the client has lost all its brokers.
        keep(&mut out, "statistics.interval.ms", LOST_BROKERS_LOOK_MS);
    }
    let api_timeout = match role {
        // Java's producer has no such key.
        Role::Producer => 60_000,
        _ => reader.number("default.api.timeout.ms", 0)?.unwrap_or(60_000),
    };
    Ok(Settings {
        role,
        librdkafka: out,
        bootstrap_servers,
        max_block: Duration::from_secs(60),
        pace: Pace { batch_bytes: 1_000_000, batch_records: 10_000, requests_in_flight: 1 },
        api_timeout: millis(api_timeout),
        group_id: None,
        offset_reset: OffsetReset::Latest,
        read_committed: false,
        max_poll_records: 500,
        metadata_max_age: millis(max_age),
        exclude_internal_topics: true,
    })
}

/// Java lets the first back-off be longer than the longest one; librdkafka refuses that.
///
/// While no broker answers, librdkafka connects again after half of the first back-off, which then
/// never grows: 40 times a second with Java's 50 ms. So the first one is half of the longest.
fn back_offs(reader: &mut Reader<'_>, out: &mut Vec<Setting>) -> Result<()> {
    for (first_key, first, longest_key, longest, range) in [
        ("reconnect.backoff.ms", 50, "reconnect.backoff.max.ms", 1_000, (0, 3_600_000)),
        ("retry.backoff.ms", 100, "retry.backoff.max.ms", 1_000, (1, 300_000)),
    ] {
        let first = reader.number(first_key, 0)?.unwrap_or(first).clamp(range.0, range.1);
        let longest = reader.number(longest_key, 0)?.unwrap_or(longest).clamp(range.0, range.1);
        let steady = if first_key == "reconnect.backoff.ms" { (longest / 2).min(500) } else { 0 };
        let first = first.max(steady);
        keep(out, first_key, first);
        keep(out, longest_key, longest.max(first));
    }
    Ok(())
}

/// Returns `request.timeout.ms`, which must leave room for requests that wait `longest_wait`.
fn request_timeout(
    reader: &mut Reader<'_>,
    out: &mut Vec<Setting>,
    longest_wait: i64,
) -> Result<i64> {
    let timeout = reader.number("request.timeout.ms", 0)?.unwrap_or(30_000);
    let socket = timeout.clamp(10, 300_000).max(longest_wait + 1_000).min(300_000);
    push(out, "request.timeout.ms", "socket.timeout.ms", socket);
    Ok(timeout)
}

fn producer(reader: &mut Reader<'_>, settings: &mut Settings) -> Result<()> {
    let out = &mut settings.librdkafka;
    let request = request_timeout(reader, out, 0)?;
    keep(out, "request.timeout.ms", request.clamp(1, 900_000));
    numbers(reader, PRODUCER, out)?;
    let linger = reader.number("linger.ms", 0)?.unwrap_or(5);
    keep(out, "linger.ms", linger.min(900_000));
    let transaction = reader.number("transaction.timeout.ms", i64::MIN)?.unwrap_or(60_000);
    let transaction = transaction.clamp(1_000, INT_MAX);
    let id = reader.text("transactional.id");
    // librdkafka wants each record's end before that of its transaction.
    let longest = if id.is_some() { transaction } else { INT_MAX };
    let delivery = producing::delivery_timeout(reader, millis(linger) + millis(request))?;
    let delivery = i64::try_from(delivery.as_millis()).unwrap_or(INT_MAX);
    // 0 means for ever to librdkafka, and the wait must be longer than linger.ms.
    keep(out, "delivery.timeout.ms", delivery.clamp(10, longest));
    settings.pace.requests_in_flight = durability(reader, out)?;
    if let Some(batch) = reader.number("batch.size", 0)? {
        settings.pace.batch_bytes = usize::try_from(batch).unwrap_or(0).max(1);
    }
    compression(reader, out)?;

    let max_request = reader.number("max.request.size", 0)?.unwrap_or(1_048_576);
    let max_request = max_request.clamp(1_000, 1_000_000_000);
    push(out, "max.request.size", "message.max.bytes", max_request);
    // A record that fits into a request must fit into the buffer, or it would wait for ever.
    let buffer = reader.number("buffer.memory", 0)?.unwrap_or(33_554_432).max(max_request);
    push(
        out,
        "buffer.memory",
        "queue.buffering.max.kbytes",
        (buffer / 1_024 + 1).min(2_147_483_647),
    );
    // Small records cost librdkafka more in bookkeeping than in bytes.
    let records = (buffer / 256).clamp(1_000, 10_000_000);
    push(out, "buffer.memory", "queue.buffering.max.messages", records);

    let max_block = reader.number("max.block.ms", 0)?.unwrap_or(60_000);
    settings.max_block = millis(max_block);
    // Java waits in send() for a topic that does not exist; librdkafka in its queue. It counts in
    // microseconds in 32 bits: past 2,147,483 ms it would not wait at all.
    let unknown_topic = max_block.min(2_000_000);
    push(out, "max.block.ms", "topic.metadata.propagation.max.ms", unknown_topic);
    if let Some(id) = id {
        keep(out, "transactional.id", id);
        keep(out, "transaction.timeout.ms", transaction);
    }
    push(out, "partitioner.class", "sticky.partitioning.linger.ms", 0);
    producing::warn_of_partitioner(reader);
    Ok(())
}

/// `acks`, idempotence and what they ask of each other. Returns how many requests of a partition
/// may be in flight.
fn durability(reader: &mut Reader<'_>, out: &mut Vec<Setting>) -> Result<usize> {
    let wanted = Durability::read(reader)?;
    let in_flight = wanted.in_flight;
    // Java keeps the order of a producer that has one request in flight, which is how Connect sets
    // it up. librdkafka prepares the next request while it waits, and sends it before the
    // repetition of one that failed; only idempotence makes it keep the order.
    let idempotent = wanted.is_idempotent() || (wanted.can_be_idempotent && in_flight == 1);
    keep(out, "acks", if wanted.acks == -1 { "all".to_owned() } else { wanted.acks.to_string() });
    keep(out, "retries", wanted.retries);
    let key = "max.in.flight.requests.per.connection";
    keep(out, key, in_flight.min(1_000_000));
    keep(out, "enable.idempotence", idempotent);
    // Idempotent, librdkafka counts records where it means requests: one request it is.
    Ok(if idempotent { 1 } else { usize::try_from(in_flight).unwrap_or(1) })
}

fn compression(reader: &mut Reader<'_>, out: &mut Vec<Setting>) -> Result<()> {
    let (codec, level) = producing::compression(reader)?;
    keep(out, "compression.type", codec.name());
    let key = match codec {
        Compression::Gzip => "compression.gzip.level",
        Compression::Lz4 => "compression.lz4.level",
        _ => "compression.zstd.level",
    };
    if let Some(level) = level {
        push(out, key, "compression.level", level.clamp(-1, 12));
    }
    Ok(())
}

fn consumer(reader: &mut Reader<'_>, settings: &mut Settings) -> Result<()> {
    let out = &mut settings.librdkafka;
    let wait = reader.number("fetch.max.wait.ms", 0)?.unwrap_or(500).min(290_000);
    push(out, "fetch.max.wait.ms", "fetch.wait.max.ms", wait);
    request_timeout(reader, out, wait)?;
    numbers(reader, CONSUMER, out)?;
    let fetch = reader.number("fetch.max.bytes", 0)?.unwrap_or(52_428_800);
    let fetch = fetch.clamp(1_000, 2_147_483_135);
    keep(out, "fetch.max.bytes", fetch);
    // librdkafka wants no record larger than a fetch; a consumer has no other use for this.
    push(out, "fetch.max.bytes", "message.max.bytes", fetch.min(1_000_000));
    // What is fetched ahead: 64 MB by default, of which a task sees nothing but the memory. Two
    // fetches of a partition keep it busy.
    let ahead = reader.number("max.partition.fetch.bytes", 0)?.unwrap_or(1_048_576) * 2 / 1_024;
    push(
        out,
        "max.partition.fetch.bytes",
        "queued.max.messages.kbytes",
        ahead.clamp(8_192, 65_536),
    );
    // And 100,000 records of each partition, which take half a kilobyte each, however small.
    let polled = reader.number("max.poll.records", 1)?.unwrap_or(500);
    push(
        out,
        "max.poll.records",
        "queued.min.messages",
        polled.saturating_mul(2).clamp(5_000, 100_000),
    );
    // By default a full queue pauses fetching for a second, which a fast task drains in less.
    keep(out, "fetch.queue.backoff.ms", 20);
    keep(out, "check.crcs", reader.boolean("check.crcs")?.unwrap_or(true));
    let create = reader.boolean("allow.auto.create.topics")?.unwrap_or(true);
    keep(out, "allow.auto.create.topics", create);

    if let Some(rack) = reader.text("client.rack") {
        keep(out, "client.rack", rack);
    }
    let isolation = ["read_uncommitted", "read_committed"];
    let isolation = reader.choice("isolation.level", &isolation)?.unwrap_or("read_uncommitted");
    keep(out, "isolation.level", isolation);
    settings.read_committed = isolation == "read_committed";
    if let Some(duration) = reader.text("auto.offset.reset")
        && duration.starts_with("by_duration:")
    {
        let why = "by_duration is not supported; use earliest, latest or none";
        return Err(invalid("auto.offset.reset", duration, why));
    }
    let reset = reader.choice("auto.offset.reset", &["latest", "earliest", "none"])?;
    let (reset, name) = match reset {
        Some("earliest") => (OffsetReset::Earliest, "earliest"),
        Some("none") => (OffsetReset::None, "error"),
        _ => (OffsetReset::Latest, "latest"),
    };
    keep(out, "auto.offset.reset", name);
    settings.offset_reset = reset;

    if reader.boolean("enable.auto.commit")? == Some(true) {
        tracing::warn!("enable.auto.commit=true is ignored: offsets are committed after delivery");
    }
    keep(out, "enable.auto.commit", false);
    push(out, "enable.auto.commit", "enable.auto.offset.store", false);
    let records = reader.number("max.poll.records", 1)?.unwrap_or(500).min(1_000_000);
    settings.max_poll_records = usize::try_from(records).expect("lies in 1..=1,000,000");
    settings.exclude_internal_topics = reader.boolean("exclude.internal.topics")?.unwrap_or(true);
    group(reader, settings)
}

fn group(reader: &mut Reader<'_>, settings: &mut Settings) -> Result<()> {
    let out = &mut settings.librdkafka;
    settings.group_id = reader.text("group.id").filter(|id| !id.is_empty()).map(str::to_owned);
    // librdkafka's consumer is always a member of some group; one that never joins is harmless.
    let id = settings.group_id.clone().unwrap_or_else(|| "millrace-no-group".to_owned());
    keep(out, "group.id", id);
    if let Some(id) = reader.text("group.instance.id") {
        keep(out, "group.instance.id", id);
    }
    let protocol = reader.choice("group.protocol", &["classic", "consumer"])?.unwrap_or("classic");
    keep(out, "group.protocol", protocol);
    let interval = reader.number("max.poll.interval.ms", 1)?.unwrap_or(300_000);
    let session =
        reader.number("session.timeout.ms", i64::MIN)?.unwrap_or(45_000).clamp(1, 3_600_000);
    let heartbeat =
        reader.number("heartbeat.interval.ms", i64::MIN)?.unwrap_or(3_000).clamp(1, 3_600_000);
    let strategy = reader.text("partition.assignment.strategy");
    let assignor = reader.text("group.remote.assignor");
    if protocol == "consumer" {
        // The broker decides these for the new protocol.
        keep(out, "max.poll.interval.ms", interval.min(86_400_000));
        if let Some(assignor) = assignor {
            keep(out, "group.remote.assignor", assignor);
        }
        return Ok(());
    }
    let interval = interval.min(86_400_000).max(session);
    keep(out, "max.poll.interval.ms", interval);
    keep(out, "session.timeout.ms", session);
    keep(out, "heartbeat.interval.ms", heartbeat);
    let names = assignors(strategy)?;
    keep(out, "partition.assignment.strategy", names);
    Ok(())
}

/// librdkafka's list for Java's list of classes.
///
/// Java's default is range with cooperative-sticky behind it, a list that members use eagerly until
/// someone takes range out. librdkafka wants one protocol only, so such lists keep their eager
/// assignors: that is what a Java member of the group would do.
fn assignors(strategy: Option<&str>) -> Result<String> {
    const KEY: &str = "partition.assignment.strategy";
    const PACKAGE: &str = "org.apache.kafka.clients.consumer.";
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

const INT_MAX: i64 = i32::MAX as i64;

/// A number that only changes its name. Without a default, librdkafka's holds.
struct Number {
    java_key: &'static str,
    name: &'static str,
    default: Option<i64>,
    /// Java refuses less.
    least: i64,
    /// librdkafka's range, into which legal values are cut.
    range: (i64, i64),
}

const fn number(
    java_key: &'static str,
    name: &'static str,
    default: Option<i64>,
    least: i64,
    range: (i64, i64),
) -> Number {
    Number { java_key, name, default, least, range }
}

const COMMON: &[Number] = &[
    number("connections.max.idle.ms", "connections.max.idle.ms", None, i64::MIN, (0, INT_MAX)),
    number("send.buffer.bytes", "socket.send.buffer.bytes", None, -1, (0, 100_000_000)),
    number("receive.buffer.bytes", "socket.receive.buffer.bytes", None, -1, (0, 100_000_000)),
    number(
        "socket.connection.setup.timeout.ms",
        "socket.connection.setup.timeout.ms",
        Some(10_000),
        i64::MIN,
        (1_000, INT_MAX),
    ),
];

/// `batch.size` is librdkafka's unless set: it sends one batch a partition and request, so Java's
/// 16 KiB would cost throughput and buy nothing.
const PRODUCER: &[Number] = &[number("batch.size", "batch.size", None, 0, (1, INT_MAX))];

const CONSUMER: &[Number] = &[
    number("fetch.min.bytes", "fetch.min.bytes", Some(1), 0, (1, 100_000_000)),
    number(
        "max.partition.fetch.bytes",
        "fetch.message.max.bytes",
        Some(1_048_576),
        0,
        (1, 1_000_000_000),
    ),
];

fn numbers(reader: &mut Reader<'_>, numbers: &[Number], out: &mut Vec<Setting>) -> Result<()> {
    for number in numbers {
        let value = reader.number(number.java_key, number.least)?.or(number.default);
        if let Some(value) = value {
            let value = value.clamp(number.range.0, number.range.1);
            push(out, number.java_key, number.name, value);
        }
    }
    Ok(())
}

/// A setting that has the same name on both sides.
fn keep(out: &mut Vec<Setting>, key: &'static str, value: impl std::fmt::Display) {
    push(out, key, key, value);
}

pub(super) fn push(
    out: &mut Vec<Setting>,
    java_key: &'static str,
    name: &'static str,
    value: impl std::fmt::Display,
) {
    out.push(Setting { name, value: value.to_string(), java_key, secret: false });
}

pub(super) fn push_secret(
    out: &mut Vec<Setting>,
    java_key: &'static str,
    name: &'static str,
    value: &str,
) {
    out.push(Setting { name, value: value.to_owned(), java_key, secret: true });
}
