//! Decides how often, and after which pauses, a step is repeated that failed for a passing reason:
//! `errors.retry.timeout` and `errors.retry.delay.max.ms` (`RetryWithToleranceOperator` in Java).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use millrace_api::Result;
use tokio::time::Instant;

/// Java's first pause; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// The keys of a connector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    /// None: for ever.
    timeout: Option<Duration>,
    longest_pause: Duration,
}

/// The attempts at one step.
#[derive(Debug)]
pub(crate) struct Attempts {
    retries: Retries,
    began: Instant,
    failed: u32,
}

impl Retries {
    /// `timeout` is `errors.retry.timeout`, below zero for ever.
    pub(crate) fn new(timeout: i64, longest_pause: i64) -> Self {
        let millis = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
        Self { timeout: millis(timeout), longest_pause: millis(longest_pause).unwrap_or_default() }
    }

    /// The first attempt begins.
    pub(crate) fn begin(self) -> Attempts {
        Attempts { retries: self, began: Instant::now(), failed: 0 }
    }
}

impl Attempts {
    /// How long to wait before the step is repeated that came to this; none when it is not, because
    /// nothing of it may pass by itself, or the time is up.
    pub(crate) fn pause_after<T>(
        &mut self,
        result: &Result<T>,
        errors: impl Fn(&T) -> bool,
    ) -> Option<Duration> {
        let is_passing = match result {
            Ok(done) => errors(done),
            Err(error) => error.is_retriable(),
        };
        is_passing.then(|| self.failed()).flatten()
    }

    /// One has failed: how long to wait before the next; none when the time is up.
    pub(crate) fn failed(&mut self) -> Option<Duration> {
        let left = match self.retries.timeout {
            None => Duration::MAX,
            Some(timeout) => timeout.saturating_sub(self.began.elapsed()),
        };
        if left.is_zero() {
            return None;
        }
        let mut pause =
            FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failed).unwrap_or(u32::MAX));
        self.failed = (self.failed + 1).min(31);
        if pause > self.retries.longest_pause {
            pause = random_below(self.retries.longest_pause);
        }
        Some(pause.min(left))
    }
}

/// A time below this one; no time at all when that is what it is.
fn random_below(limit: Duration) -> Duration {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(random.checked_rem(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use millrace_api::Error;

    use super::*;

    /// The pauses between attempts that all fail, with attempts that take no time.
    async fn pauses(timeout: i64, longest: i64, most: usize) -> Vec<u128> {
        let mut attempts = Retries::new(timeout, longest).begin();
        let mut pauses = Vec::new();
        while pauses.len() < most
            && let Some(pause) = attempts.failed()
        {
            pauses.push(pause.as_millis());
            tokio::time::sleep(pause).await;
        }
        pauses
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_until_the_time_is_up() {
        assert!(pauses(0, 60_000, 9).await.is_empty());
        assert_eq!(pauses(2_500, 60_000, 9).await, [300, 600, 1_200, 400]);
        assert_eq!(
            pauses(-1, 60_000, 8).await[..],
            [300, 600, 1200, 2400, 4800, 9600, 19200, 38400]
        );
        assert_eq!(pauses(-1, i64::MAX, 100).await.len(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_longest_they_are_random() {
        let pauses = pauses(-1, 1_000, 60).await;
        assert_eq!(pauses[..2], [300, 600]);
        assert!(pauses[2..].iter().all(|pause| *pause < 1_000), "{pauses:?}");
        assert!(pauses[2..].iter().any(|pause| *pause != pauses[2]), "{pauses:?}");
        assert_eq!(self::pauses(-1, 0, 3).await, [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_repeated() {
        let mut attempts = Retries::new(10_000, 60_000).begin();
        let mut pause = |result: Result<bool>| attempts.pause_after(&result, |passing| *passing);
        assert_eq!(pause(Ok(false)), None);
        assert_eq!(pause(Err(Error::data("no"))), None);
        assert_eq!(pause(Ok(true)), Some(FIRST_PAUSE));
        assert_eq!(pause(Err(Error::retriable("not yet"))), Some(FIRST_PAUSE * 2));
    }
}
