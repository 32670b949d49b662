//! Decides what a producer's properties ask of each other, whichever client sends.

use std::time::Duration;

use millrace_api::{Error, Result};

use super::{Reader, invalid, millis};
use crate::record_batch::Compression;

/// `acks`, `retries`, requests in flight, and what `enable.idempotence` makes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durability {
    /// -1 (all), 0 or 1.
    pub(crate) acks: i16,
    pub(crate) retries: i64,
    /// `max.in.flight.requests.per.connection`
    pub(crate) in_flight: i64,
    /// Whether the other properties let the producer be idempotent.
    pub(crate) can_be_idempotent: bool,
    /// `enable.idempotence`, if it is set.
    pub(crate) wants_idempotence: Option<bool>,
}

impl Durability {
    /// # Errors
    ///
    /// Idempotence is wanted in so many words, and another property rules it out.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let acks = match reader.choice("acks", &["all", "-1", "0", "1"])? {
            Some("0") => 0,
            Some("1") => 1,
            _ => -1,
        };
        let retries = reader.number("retries", 0)?.unwrap_or(i64::from(i32::MAX));
        let in_flight = reader.number("max.in.flight.requests.per.connection", 1)?.unwrap_or(5);
        let wants_idempotence = reader.boolean("enable.idempotence")?;
        let conflict = if acks != -1 {
            Some(
                "Must set acks to all in order to use the idempotent producer. \
                 Otherwise we cannot guarantee idempotence.",
            )
        } else if retries == 0 {
            Some("Must set retries to non-zero when using the idempotent producer.")
        } else if in_flight > 5 {
            Some(
                "Must set max.in.flight.requests.per.connection to at most 5 \
                 to use the idempotent producer.",
            )
        } else {
            None
        };
        if let (Some(true), Some(conflict)) = (wants_idempotence, conflict) {
            return Err(Error::config(conflict));
        }
        let can_be_idempotent = conflict.is_none();
        Ok(Self { acks, retries, in_flight, can_be_idempotent, wants_idempotence })
    }

    /// Whether the producer is idempotent, as Java's would be.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.can_be_idempotent && self.wants_idempotence.unwrap_or(true)
    }
}

/// `compression.type`, and the level of that codec where one is set.
pub(crate) fn compression(reader: &mut Reader<'_>) -> Result<(Compression, Option<i32>)> {
    let names = Compression::ALL.map(Compression::name);
    let name = reader.choice("compression.type", &names)?.unwrap_or("none");
    let mut chosen = None;
    for (codec, key, lowest, highest) in [
        ("gzip", "compression.gzip.level", -1, 9),
        ("lz4", "compression.lz4.level", 1, 17),
        ("zstd", "compression.zstd.level", -131_072, 22),
    ] {
        let Some(level) = reader.number(key, lowest)? else {
            continue;
        };
        if level > highest || (codec == "gzip" && level == 0) {
            let why = format!("Value must be no more than {highest}");
            return Err(invalid(key, &level.to_string(), &why));
        }
        if codec == name {
            chosen = i32::try_from(level).ok();
        }
    }
    let compression = Compression::from_name(name).expect("the choice was among their names");
    Ok((compression, chosen))
}

/// `delivery.timeout.ms`, which leaves room for `least`: `linger.ms` and `request.timeout.ms`.
pub(crate) fn delivery_timeout(reader: &mut Reader<'_>, least: Duration) -> Result<Duration> {
    const KEY: &str = "delivery.timeout.ms";
    match reader.number(KEY, 0)?.map(millis) {
        Some(timeout) if timeout < least => Err(Error::config(format!(
            "{KEY} should be equal to or larger than linger.ms + request.timeout.ms"
        ))
        .context(KEY, timeout.as_millis())
        .context("linger.ms + request.timeout.ms", least.as_millis())),
        Some(timeout) => Ok(timeout),
        None => Ok(least.max(Duration::from_secs(120))),
    }
}

/// Says that runs are placed by our own partitioner, which sees whole runs.
pub(crate) fn warn_of_partitioner(reader: &mut Reader<'_>) {
    match reader.text("partitioner.class") {
        None | Some("" | "org.apache.kafka.clients.producer.internals.DefaultPartitioner") => {}
        Some(class) => {
            tracing::warn!("partitioner.class={class} is ignored: Kafka's default is used");
        }
    }
}
