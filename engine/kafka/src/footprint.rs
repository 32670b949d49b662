//! What one client does and holds, for whoever looks after it; and how much it may hold.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use millrace_api::TopicPartition;

use crate::lock::lock;

/// Shared between a client and its owner. A backend tells what it knows: a log in this process has
/// no connections.
#[derive(Debug)]
pub struct Footprint {
    /// Streams to brokers.
    opened: AtomicU64,
    closed: AtomicU64,
    /// Bytes on them, before encryption.
    sent: AtomicU64,
    received: AtomicU64,
    /// Bytes of records that wait in the client: fetched and not polled, or not acknowledged yet.
    held: AtomicUsize,
    /// How many it may hold beside its own limits.
    allowed: AtomicUsize,
    /// Where partitions end that a consumer reads.
    ends: Mutex<BTreeMap<TopicPartition, i64>>,
}

impl Default for Footprint {
    fn default() -> Self {
        Self {
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            allowed: AtomicUsize::new(usize::MAX),
            ends: Mutex::default(),
        }
    }
}

impl Footprint {
    /// How many streams were opened, and how many of them are closed.
    pub fn connections(&self) -> (u64, u64) {
        let closed = self.closed.load(Ordering::Relaxed);
        (self.opened.load(Ordering::Relaxed).max(closed), closed)
    }

    /// Bytes sent, and received.
    pub fn traffic(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// Bytes of records that wait in the client.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many bytes it may hold beside its own limits.
    pub fn allowed(&self) -> usize {
        self.allowed.load(Ordering::Relaxed)
    }

    /// From now on it may hold so many bytes. A single record that is larger passes by itself.
    pub fn allow(&self, bytes: usize) {
        self.allowed.store(bytes, Ordering::Relaxed);
    }

    /// The offset after the last record of partitions that a consumer reads, as far as it may read
    /// it, when it last heard of it.
    pub fn ends(&self) -> BTreeMap<TopicPartition, i64> {
        lock(&self.ends).clone()
    }

    pub(crate) fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// It holds so many bytes, all told.
    pub(crate) fn holds(&self, bytes: usize) {
        self.held.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn ends_at(&self, partition: &TopicPartition, end: i64) {
        let mut ends = lock(&self.ends);
        match ends.get_mut(partition) {
            Some(known) => *known = end,
            None => drop(ends.insert(partition.clone(), end)),
        }
    }

    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
