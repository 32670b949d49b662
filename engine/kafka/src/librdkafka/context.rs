//! Decides what librdkafka's callbacks leave for a client's callers: rebalances, the trouble it had
//! last, and the refusal that ended it.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millrace_api::Result;
use rdkafka::types::RDKafkaRespErr as Code;

use super::error;
use super::rebalance::Rebalance;
use crate::lock::lock;

/// What librdkafka's callbacks leave for us.
#[derive(Debug, Default)]
pub(super) struct Context {
    bootstrap_servers: CString,
    rebalances: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
    fatal: Mutex<Option<(i32, String)>>,
    last_trouble: Mutex<String>,
    /// By kind: when a line told of it, and how many did not since.
    told: Mutex<BTreeMap<String, (Instant, u64)>>,
}

/// A kind of trouble is told of once in this time: librdkafka connects again many times a second,
/// and leaves out only what repeats the line before.
const TELL: Duration = Duration::from_secs(10);

/// There are fewer kinds.
const MAX_KINDS: usize = 64;

impl Context {
    pub(super) fn new(bootstrap_servers: CString) -> Self {
        Self { bootstrap_servers, ..Self::default() }
    }

    pub(super) fn push_rebalance(&self, rebalance: Rebalance) {
        // Bounded by librdkafka: it waits for each rebalance to be completed before the next.
        lock(&self.rebalances).push_back(rebalance);
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// What `bootstrap.servers` names.
    pub(super) fn bootstrap_servers(&self) -> &CStr {
        &self.bootstrap_servers
    }

    /// From now on rebalances are completed in the callback.
    pub(super) fn set_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Keeps an error for the next caller when it is one that does not go away by itself.
    pub(super) fn note(&self, code: i32, reason: String) {
        const LASTING: &[Code] = &[
            Code::RD_KAFKA_RESP_ERR__FATAL,
            Code::RD_KAFKA_RESP_ERR__FENCED,
            Code::RD_KAFKA_RESP_ERR__AUTHENTICATION,
            Code::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
        ];
        if LASTING.iter().any(|lasting| *lasting as i32 == code) {
            self.refuse(code, reason);
        } else {
            self.remember(reason);
        }
    }

    /// Keeps passing trouble, for the error of a call that times out because of it.
    pub(super) fn remember(&self, trouble: String) {
        *lock(&self.last_trouble) = trouble;
    }

    /// Logs trouble, unless there was a line of its kind lately.
    pub(super) fn warn(&self, kind: &str, line: &str) {
        match self.is_news(kind, Instant::now()) {
            None => tracing::debug!(target: "millrace_kafka::librdkafka", "{line}"),
            Some(0) => tracing::warn!(target: "millrace_kafka::librdkafka", "{line}"),
            Some(more) => tracing::warn!(
                target: "millrace_kafka::librdkafka",
                "{line} ({more} more of this kind since the last line)"
            ),
        }
    }

    /// Whether to tell of trouble now; if so, how many times it was passed over.
    fn is_news(&self, kind: &str, now: Instant) -> Option<u64> {
        let mut told = lock(&self.told);
        if let Some((last, more)) = told.get_mut(kind) {
            if now.saturating_duration_since(*last) < TELL {
                *more += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(more));
        }
        if told.len() >= MAX_KINDS {
            told.clear();
        }
        told.insert(kind.to_owned(), (now, 0));
        Some(0)
    }

    /// Keeps what ends this client. The first one is the cause of those that follow.
    pub(super) fn refuse(&self, code: i32, reason: String) {
        lock(&self.fatal).get_or_insert((code, reason));
    }

    /// The error that makes this client useless, if there is one.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        match &*lock(&self.fatal) {
            Some((code, reason)) => Err(error::error(*code, what, reason)),
            None => Ok(()),
        }
    }

    pub(super) fn last_trouble(&self) -> String {
        lock(&self.last_trouble).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_trouble_is_told_of_once_in_a_while() {
        let context = Context::default();
        let begin = Instant::now();
        assert_eq!(context.is_news("FAIL", begin), Some(0));
        for i in 1..=100 {
            assert_eq!(context.is_news("FAIL", begin + TELL * i / 101), None);
        }
        assert_eq!(context.is_news("ERROR", begin), Some(0), "another kind");
        assert_eq!(context.is_news("FAIL", begin + TELL), Some(100));
        assert_eq!(context.is_news("FAIL", begin + TELL), None);
        for i in 0..1_000 {
            context.is_news(&i.to_string(), begin);
        }
        assert!(lock(&context.told).len() <= MAX_KINDS);
    }
}
