//! Decides how much is fetched ahead of the caller: two responses a broker at most, one that is
//! being handed out and one that is there or on its way, each of its broker's share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::Footprint;
use crate::native::settings::ConsumerSettings;

/// What all brokers' responses may have together, however many partitions there are and however
/// high `fetch.max.bytes` is.
const CEILING: usize = 16 << 20;

/// What one response may have. More gains nothing: a million records of 100 bytes cost as much
/// processor time in responses of 1, 2, 4 or 8 MiB, and the memory grows with each.
const LARGEST: usize = 2 << 20;

/// A response is not cut into smaller pieces than this by the number of brokers.
const SMALLEST_SHARE: usize = 64 << 10;

/// Which part of what a consumer may hold goes to responses: the rest is for what becomes of them.
const SHARE_OF_RESPONSES: usize = 2;

/// The most bytes of records one response may have: `fetch.max.bytes`,
/// `max.partition.fetch.bytes` for each of the broker's partitions, the broker's half share of the
/// ceiling or of what the consumer is allowed, or the largest that gains something, whichever is
/// least. A broker sends a batch that is larger than that all the same when it comes first, so that
/// every record gets through.
pub(super) fn response_bytes(
    settings: &ConsumerSettings,
    partitions: usize,
    brokers: usize,
    allowed: usize,
) -> usize {
    let bytes = |limit: i32| usize::try_from(limit).unwrap_or(0);
    let of_partitions = bytes(settings.partition_max_bytes).saturating_mul(partitions.max(1));
    let share = (CEILING / 2 / brokers.max(1)).max(SMALLEST_SHARE);
    let allowed = (allowed / SHARE_OF_RESPONSES / 2 / brokers.max(1)).max(1);
    bytes(settings.fetch_max_bytes).min(of_partitions).min(share).min(LARGEST).min(allowed)
}

/// How much a poll may bring of what is not compressed, give or take a batch.
pub(super) fn poll_bytes(allowed: usize) -> usize {
    CEILING.min(allowed / 4).max(1)
}

/// What is held of one broker's responses.
#[derive(Debug)]
pub(super) struct Ration {
    responses: AtomicUsize,
    bytes: AtomicUsize,
    /// Rung when something was given back.
    freed: Arc<Notify>,
    footprint: Arc<Footprint>,
}

impl Ration {
    pub(super) fn new(freed: Arc<Notify>, footprint: Arc<Footprint>) -> Arc<Self> {
        let (responses, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { responses, bytes, freed, footprint })
    }

    /// Whether the next response may be asked for: at most one is held, and it was none with an
    /// oversized batch.
    pub(super) fn has_room(&self, response_bytes: usize) -> bool {
        let (responses, bytes) =
            (self.responses.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire));
        responses == 0 || (responses == 1 && bytes <= response_bytes)
    }

    /// Counts a response until it is dropped.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Arc<Held> {
        self.responses.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.footprint.hold(bytes);
        Arc::new(Held { ration: self.clone(), bytes })
    }
}

/// A response of which something has not been handed out yet.
#[derive(Debug)]
pub(super) struct Held {
    ration: Arc<Ration>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ration.footprint.release(self.bytes);
        self.ration.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.ration.responses.fetch_sub(1, Ordering::AcqRel);
        self.ration.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Properties;

    fn settings(pairs: &[(&str, &str)]) -> ConsumerSettings {
        let pairs = [&[("bootstrap.servers", "b:1")], pairs].concat();
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        ConsumerSettings::new(&pairs.iter().map(own).collect::<Properties>()).unwrap()
    }

    #[test]
    fn the_least_limit_counts() {
        let defaults = settings(&[]);
        for (partitions, brokers, expected) in [
            (1, 1, 1 << 20),
            (2, 1, 2 << 20),
            (100, 1, 2 << 20),
            (100, 4, 2 << 20),
            (100, 8, 1 << 20),
            (100, 1_000, 64 << 10),
            (0, 0, 1 << 20),
        ] {
            assert_eq!(response_bytes(&defaults, partitions, brokers, usize::MAX), expected);
        }
        assert_eq!(response_bytes(&defaults, 100, 2, 8 << 20), 1 << 20);
        assert_eq!(response_bytes(&defaults, 100, 2, 0), 1, "records pass one at a time");
        let small = settings(&[("fetch.max.bytes", "1000")]);
        assert_eq!(response_bytes(&small, 100, 1, usize::MAX), 1_000);
        let small = settings(&[("max.partition.fetch.bytes", "1000")]);
        assert_eq!(response_bytes(&small, 3, 1, usize::MAX), 3_000);
    }

    #[tokio::test]
    async fn two_responses_are_held_and_one_that_is_too_large_alone() {
        let freed = Arc::new(Notify::new());
        let footprint = Arc::<Footprint>::default();
        let ration = Ration::new(freed.clone(), footprint.clone());
        assert!(ration.has_room(100));
        let first = ration.hold(100);
        assert!(ration.has_room(100));
        let second = ration.hold(1);
        assert!(!ration.has_room(100));
        drop(first);
        freed.notified().await;
        assert!(ration.has_room(100));
        drop(second);
        assert_eq!(footprint.held(), 0);
        let large = ration.hold(101);
        assert_eq!(footprint.held(), 101);
        assert!(!ration.has_room(100));
        let shared = large.clone();
        drop(large);
        assert!(!ration.has_room(100));
        drop(shared);
        assert!(ration.has_room(100));
    }
}
