//! Decides how properties under the names of Kafka's Java clients are read, whichever client they
//! are for: which keys there are, what a legal value is, and what Java says about others.

use std::time::Duration;

mod assignor;
pub(crate) mod jaas;
pub(crate) mod keys;
pub(crate) mod producing;
mod reader;
pub(crate) mod servers;

pub(crate) use assignor::protocols as assignors;
pub(crate) use reader::{Reader, invalid, missing};

/// Which client the properties are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Consumer,
    Admin,
}

/// Which client speaks to the brokers (`kafka.client`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Native,
    #[cfg_attr(
        not(any(test, feature = "rdkafka")),
        expect(dead_code, reason = "its keys are in the table, built in or not")
    )]
    Librdkafka,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Admin => "admin",
        }
    }
}

/// Longer waits are as good as for ever, and sums with them do not overflow a clock.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(crate) fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(FOR_EVER)
}
