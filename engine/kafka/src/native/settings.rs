//! Decides what the properties of Kafka's Java clients mean to the native client: names, defaults,
//! ranges and complaints are Java's.

use std::time::Duration;

use millrace_api::{Error, Result};

use super::backoff::BackoffSettings;
use super::brokers::BrokersSettings;
use super::net::{Address, ConnectionSettings, Security, SocketSettings};
use crate::Properties;
use crate::properties::producing::{self, Durability};
use crate::properties::{Backend, Reader, Role, assignors, invalid, millis, servers};
use crate::record_batch::Compression;

/// What all clients have in common.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) client_id: String,
    pub(crate) bootstrap: Vec<Address>,
    pub(crate) socket: SocketSettings,
    /// `security.protocol`, `ssl.*` and `sasl.*`
    pub(crate) security: Security,
    /// `request.timeout.ms`
    pub(crate) request_timeout: Duration,
    /// `default.api.timeout.ms`: how long a call that asks the cluster something takes at most.
    pub(crate) api_timeout: Duration,
    /// `connections.max.idle.ms`; none: never.
    pub(crate) max_idle: Option<Duration>,
    /// `reconnect.backoff.ms` and `reconnect.backoff.max.ms`
    pub(crate) reconnect_backoff: BackoffSettings,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`
    pub(crate) retry_backoff: BackoffSettings,
    /// `metadata.max.age.ms`
    pub(crate) metadata_max_age: Duration,
    /// Whether asking for a topic may make the broker create it.
    pub(crate) allow_auto_create: bool,
}

impl ClientSettings {
    pub(super) fn brokers(&self) -> BrokersSettings {
        BrokersSettings {
            bootstrap: self.bootstrap.clone(),
            connection: ConnectionSettings {
                client_id: self.client_id.clone(),
                request_timeout: self.request_timeout,
                max_idle: self.max_idle,
                sasl: self.security.sasl.clone(),
            },
            setup_timeout: self.socket.setup_timeout,
            reconnect_backoff: self.reconnect_backoff,
        }
    }

    /// An admin client's properties.
    pub(crate) fn admin(properties: &Properties) -> Result<Self> {
        read(Role::Admin, properties, Self::read_admin)
    }

    fn read_admin(reader: &mut Reader<'_>) -> Result<Self> {
        reader.number("retries", 0)?;
        let settings = Self::read(Role::Admin, reader)?;
        // Else a look at a topic that was just deleted brings it back.
        Ok(Self { allow_auto_create: false, ..settings })
    }

    fn read(role: Role, reader: &mut Reader<'_>) -> Result<Self> {
        let bootstrap = match reader.text("bootstrap.servers") {
            Some(text) => servers::addresses(text)?,
            None => return Err(crate::properties::missing("bootstrap.servers")),
        };
        let lookups = ["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"];
        if reader.choice("client.dns.lookup", &lookups)? == Some(lookups[1]) {
            tracing::warn!(
                "client.dns.lookup={} has no effect: only Kerberos needs canonical names",
                lookups[1]
            );
        }
        let client_id = reader.text("client.id").filter(|id| !id.is_empty());
        let (default_api, default_idle) = match role {
            // Java's producer has no such key.
            Role::Producer => (60_000, 540_000),
            Role::Consumer => (60_000, 540_000),
            Role::Admin => (60_000, 300_000),
        };
        let api_timeout = match role {
            Role::Producer => default_api,
            _ => reader.number("default.api.timeout.ms", 0)?.unwrap_or(default_api),
        };
        let idle = reader.number("connections.max.idle.ms", i64::MIN)?.unwrap_or(default_idle);
        let setup = reader.number("socket.connection.setup.timeout.ms", i64::MIN)?;
        Ok(Self {
            client_id: client_id.unwrap_or("millrace").to_owned(),
            bootstrap,
            socket: SocketSettings {
                send_buffer: buffer(reader, "send.buffer.bytes")?,
                receive_buffer: buffer(reader, "receive.buffer.bytes")?,
                setup_timeout: millis(setup.unwrap_or(10_000).max(1)),
            },
            security: Security::read(reader)?,
            request_timeout: millis(reader.number("request.timeout.ms", 0)?.unwrap_or(30_000)),
            api_timeout: millis(api_timeout),
            max_idle: (idle >= 0).then(|| millis(idle)),
            reconnect_backoff: backoff(reader, "reconnect.backoff.ms", 50)?,
            retry_backoff: backoff(reader, "retry.backoff.ms", 100)?,
            metadata_max_age: millis(reader.number("metadata.max.age.ms", 0)?.unwrap_or(300_000)),
            allow_auto_create: true,
        })
    }
}

/// What a producer does.
#[derive(Clone, Debug)]
pub(crate) struct ProducerSettings {
    pub(crate) client: ClientSettings,
    /// `acks`: -1 (all), 0 or 1.
    pub(crate) acks: i16,
    pub(crate) idempotent: bool,
    pub(crate) retries: u32,
    /// `max.in.flight.requests.per.connection`
    pub(crate) in_flight: usize,
    pub(crate) linger: Duration,
    /// `batch.size` in bytes.
    pub(crate) batch_bytes: usize,
    pub(crate) compression: Compression,
    /// `compression.*.level` of the chosen codec; none: the codec's default.
    pub(crate) compression_level: Option<i32>,
    /// `max.request.size`
    pub(crate) max_request_bytes: usize,
    /// `buffer.memory`
    pub(crate) buffer_bytes: usize,
    /// `metadata.max.idle.ms`: how long a topic is known that nothing is sent to.
    pub(crate) metadata_max_idle: Duration,
    /// `max.block.ms`: how long a send waits for room and metadata.
    pub(crate) max_block: Duration,
    pub(crate) delivery_timeout: Duration,
    pub(crate) transactional_id: Option<String>,
    pub(crate) transaction_timeout: Duration,
}

impl ProducerSettings {
    /// A producer's properties.
    pub(crate) fn new(properties: &Properties) -> Result<Self> {
        read(Role::Producer, properties, Self::read)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let client = ClientSettings::read(Role::Producer, reader)?;
        let linger = millis(reader.number("linger.ms", 0)?.unwrap_or(5));
        let durability = Durability::read(reader)?;
        let idempotent = durability.is_idempotent();
        let max_request = reader.number("max.request.size", 0)?.unwrap_or(1_048_576);
        let max_request = bytes(max_request).max(1);
        let buffer = bytes(reader.number("buffer.memory", 0)?.unwrap_or(33_554_432));
        let (compression, compression_level) = producing::compression(reader)?;
        let timeout = reader.number("transaction.timeout.ms", i64::MIN)?.unwrap_or(60_000);
        let transactional_id = reader.text("transactional.id").map(str::to_owned);
        if transactional_id.is_some() && !idempotent {
            return Err(Error::config(
                "Cannot set a transactional.id without also enabling idempotence.",
            ));
        }
        producing::warn_of_partitioner(reader);
        Ok(Self {
            delivery_timeout: producing::delivery_timeout(reader, linger + client.request_timeout)?,
            acks: durability.acks,
            idempotent,
            retries: u32::try_from(durability.retries).unwrap_or(u32::MAX),
            in_flight: usize::try_from(durability.in_flight).unwrap_or(1),
            linger,
            batch_bytes: bytes(reader.number("batch.size", 0)?.unwrap_or(DEFAULT_BATCH)),
            compression,
            compression_level,
            max_request_bytes: max_request,
            // A record that fits into a request must fit into the buffer, or it would never leave.
            buffer_bytes: buffer.max(max_request),
            metadata_max_idle: millis(
                reader.number("metadata.max.idle.ms", 5_000)?.unwrap_or(300_000),
            ),
            max_block: millis(reader.number("max.block.ms", 0)?.unwrap_or(60_000)),
            transactional_id,
            transaction_timeout: millis(timeout.max(1)),
            client,
        })
    }
}

/// Java's 16 KiB would cost a request for each 160 records of 100 bytes and buy nothing: what
/// arrives later than `linger.ms` never waits for a batch to fill.
const DEFAULT_BATCH: i64 = 1_000_000;

/// Where a partition without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetReset {
    Earliest,
    Latest,
    None,
    /// At the records of so long ago (KIP-1106).
    ByDuration(Duration),
}

/// What a consumer does.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerSettings {
    pub(crate) client: ClientSettings,
    pub(crate) group: Option<GroupSettings>,
    /// `fetch.min.bytes`
    pub(crate) fetch_min_bytes: i32,
    /// `fetch.max.bytes`
    pub(crate) fetch_max_bytes: i32,
    /// `max.partition.fetch.bytes`
    pub(crate) partition_max_bytes: i32,
    /// `fetch.max.wait.ms`
    pub(crate) fetch_max_wait: Duration,
    pub(crate) max_poll_records: usize,
    pub(crate) check_crcs: bool,
    pub(crate) offset_reset: OffsetReset,
    pub(crate) read_committed: bool,
    pub(crate) exclude_internal_topics: bool,
    /// `client.rack`
    pub(crate) rack: Option<String>,
}

/// What a member of a group does.
#[derive(Clone, Debug)]
pub(crate) struct GroupSettings {
    pub(crate) id: String,
    /// `group.instance.id`
    pub(crate) instance: Option<String>,
    pub(crate) protocol: GroupProtocol,
    /// `max.poll.interval.ms`
    pub(crate) max_poll_interval: Duration,
}

/// `group.protocol`
#[derive(Clone, Debug)]
pub(crate) enum GroupProtocol {
    Classic {
        /// `session.timeout.ms`
        session_timeout: Duration,
        /// `heartbeat.interval.ms`
        heartbeat_interval: Duration,
        /// The names of `partition.assignment.strategy`, as the group protocol has them.
        assignors: Vec<&'static str>,
    },
    /// KIP-848.
    Consumer {
        /// `group.remote.assignor`
        remote_assignor: Option<String>,
    },
}

impl ConsumerSettings {
    /// A consumer's properties.
    pub(crate) fn new(properties: &Properties) -> Result<Self> {
        read(Role::Consumer, properties, Self::read)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let client = ClientSettings::read(Role::Consumer, reader)?;
        let allow_auto_create = reader.boolean("allow.auto.create.topics")?.unwrap_or(true);
        if reader.boolean("enable.auto.commit")? == Some(true) {
            tracing::warn!(
                "enable.auto.commit=true is ignored: offsets are committed after delivery"
            );
        }
        let isolation = ["read_uncommitted", "read_committed"];
        let mut number = |key, default| {
            let number = reader.number(key, 0)?.unwrap_or(default);
            Ok::<_, Error>(i32::try_from(number).unwrap_or(i32::MAX))
        };
        let (fetch_min_bytes, fetch_max_bytes, partition_max_bytes) = (
            number("fetch.min.bytes", 1)?,
            number("fetch.max.bytes", 52_428_800)?,
            number("max.partition.fetch.bytes", 1_048_576)?,
        );
        let records = reader.number("max.poll.records", 1)?.unwrap_or(500).min(1_000_000);
        Ok(Self {
            client: ClientSettings { allow_auto_create, ..client },
            group: group(reader)?,
            fetch_min_bytes,
            fetch_max_bytes,
            partition_max_bytes,
            fetch_max_wait: millis(reader.number("fetch.max.wait.ms", 0)?.unwrap_or(500)),
            max_poll_records: bytes(records),
            check_crcs: reader.boolean("check.crcs")?.unwrap_or(true),
            offset_reset: offset_reset(reader)?,
            read_committed: reader.choice("isolation.level", &isolation)? == Some("read_committed"),
            exclude_internal_topics: reader.boolean("exclude.internal.topics")?.unwrap_or(true),
            rack: reader.text("client.rack").filter(|rack| !rack.is_empty()).map(str::to_owned),
        })
    }
}

fn offset_reset(reader: &mut Reader<'_>) -> Result<OffsetReset> {
    const KEY: &str = "auto.offset.reset";
    if let Some(text) = reader.text(KEY)
        && let Some(duration) = text.strip_prefix("by_duration:")
    {
        let duration = iso_duration(duration).ok_or_else(|| {
            let why = "by_duration needs a positive ISO 8601 duration, such as P1DT12H";
            invalid(KEY, text, why)
        })?;
        return Ok(OffsetReset::ByDuration(duration));
    }
    Ok(match reader.choice(KEY, &["latest", "earliest", "none"])? {
        Some("earliest") => OffsetReset::Earliest,
        Some("none") => OffsetReset::None,
        _ => OffsetReset::Latest,
    })
}

/// A duration as `java.time.Duration` reads it: days, hours, minutes, seconds with a fraction.
fn iso_duration(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text.strip_prefix('P')?, ""),
    };
    let mut seconds = 0.0;
    let mut parts = 0;
    let mut read = |text: &str, units: &[(char, f64)]| -> Option<()> {
        let (mut rest, mut units) = (text, units.iter());
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let unit = rest[end..].chars().next()?;
            let (_, factor) = units.find(|(name, _)| *name == unit)?;
            let number = &rest[..end];
            if unit != 'S' && number.contains('.') {
                return None;
            }
            seconds += number.parse::<f64>().ok()? * factor;
            parts += 1;
            rest = &rest[end + 1..];
        }
        Some(())
    };
    read(days, &[('D', 86_400.0)])?;
    read(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?;
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (parts > 0 && !duration.is_zero()).then_some(duration)
}

fn group(reader: &mut Reader<'_>) -> Result<Option<GroupSettings>> {
    let protocol = reader.choice("group.protocol", &["classic", "consumer"])?;
    let interval = millis(reader.number("max.poll.interval.ms", 1)?.unwrap_or(300_000));
    let session = reader.number("session.timeout.ms", i64::MIN)?.unwrap_or(45_000).max(1);
    let heartbeat = reader.number("heartbeat.interval.ms", i64::MIN)?.unwrap_or(3_000).max(1);
    let assignors = assignors(reader.text("partition.assignment.strategy"))?;
    let remote_assignor = reader.text("group.remote.assignor").map(str::to_owned);
    let instance = reader.text("group.instance.id").map(str::to_owned);
    let Some(id) = reader.text("group.id").filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let protocol = match protocol {
        Some("consumer") => GroupProtocol::Consumer { remote_assignor },
        _ if heartbeat >= session => {
            let why = "Heartbeat must be set lower than the session timeout";
            return Err(Error::config(why)
                .context("heartbeat.interval.ms", heartbeat)
                .context("session.timeout.ms", session));
        }
        _ => GroupProtocol::Classic {
            session_timeout: millis(session),
            heartbeat_interval: millis(heartbeat),
            assignors,
        },
    };
    Ok(Some(GroupSettings { id: id.to_owned(), instance, protocol, max_poll_interval: interval }))
}

/// Reads one client's properties and says which have no effect.
fn read<T>(
    role: Role,
    properties: &Properties,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
) -> Result<T> {
    let mut reader = Reader::new(properties);
    let settings = read(&mut reader)?;
    reader.warn_of_unused(role, Backend::Native)?;
    Ok(settings)
}

fn backoff(reader: &mut Reader<'_>, key: &'static str, default: i64) -> Result<BackoffSettings> {
    let longest_key = match key {
        "reconnect.backoff.ms" => "reconnect.backoff.max.ms",
        _ => "retry.backoff.max.ms",
    };
    let first = millis(reader.number(key, 0)?.unwrap_or(default));
    let longest = millis(reader.number(longest_key, 0)?.unwrap_or(1_000));
    // Java lets the first wait be longer than the longest one.
    Ok(BackoffSettings { first, longest: longest.max(first) })
}

/// -1 leaves a socket's buffer to the system.
fn buffer(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<u32>> {
    let bytes = reader.number(key, -1)?.unwrap_or(-1);
    Ok(u32::try_from(bytes).ok().filter(|bytes| *bytes > 0))
}

fn bytes(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has a meaning is asked for, and what has none is not. Keys of SASL are asked for when it
    /// is used: `net::security` has their test.
    #[test]
    fn fates_are_what_happens() {
        let properties = Properties::from([
            ("bootstrap.servers".to_owned(), "h:9092".to_owned()),
            ("group.id".to_owned(), "g".to_owned()),
        ]);
        for role in [Role::Producer, Role::Consumer, Role::Admin] {
            let mut reader = Reader::new(&properties);
            match role {
                Role::Producer => drop(ProducerSettings::read(&mut reader).unwrap()),
                Role::Consumer => drop(ConsumerSettings::read(&mut reader).unwrap()),
                Role::Admin => drop(ClientSettings::read_admin(&mut reader).unwrap()),
            }
            for (name, has_meaning) in crate::properties::keys::meanings(role, Backend::Native) {
                if name.starts_with("sasl.") && name != "sasl.mechanism" {
                    continue;
                }
                assert_eq!(reader.has_read(name), has_meaning, "{name} of the {role:?}");
            }
        }
    }

    #[test]
    fn heartbeats_come_before_the_session_ends() {
        let consumer = |heartbeat: &str| {
            let pairs = [
                ("bootstrap.servers", "h:9092"),
                ("group.id", "g"),
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", heartbeat),
            ];
            ConsumerSettings::new(&pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
        };
        assert!(consumer("5999").is_ok());
        let error = consumer("6000").unwrap_err().to_string();
        for word in ["Heartbeat must be set lower", "heartbeat.interval.ms: 6000"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn durations_are_javas() {
        for (text, seconds) in [
            ("P1D", Some(86_400.0)),
            ("PT1H30M", Some(5_400.0)),
            ("p1dt12h", Some(129_600.0)),
            ("PT0.5S", Some(0.5)),
            ("PT0S", None),
            ("P", None),
            ("P1DT", None),
            ("PT1.5H", None),
            ("PT1M1H", None),
            ("-PT1H", None),
            ("1h", None),
        ] {
            let expected = seconds.map(Duration::from_secs_f64);
            assert_eq!(iso_duration(text), expected, "{text}");
        }
    }
}
