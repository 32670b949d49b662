//! Decides how long a task waits for what its converters ask others, and how often they ask again.

use std::time::Duration;

use millrace_api::{Error, Result};
use tokio::time::Instant;

/// For how long, unless `errors.retry.timeout` says so. Java fails at once.
const DEFAULT_LIMIT: Duration = Duration::from_secs(600);
/// Java's first wait between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// Longer waits would only make the time longer after everything is well again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A log line at most so often.
const TELL: Duration = Duration::from_secs(10);

/// What a task's converters wait for belongs to nobody's record: the task waits with them.
#[derive(Debug)]
pub(crate) struct Patience {
    /// None: for ever.
    limit: Option<Duration>,
    longest_pause: Duration,
    /// When the waiting began; none while nothing is waited for.
    since: Option<Instant>,
    pause: Duration,
    told: Option<Instant>,
}

impl Patience {
    /// `retry_timeout` is `errors.retry.timeout` where the connector has it, below zero for ever;
    /// `longest_pause` is `errors.retry.delay.max.ms`.
    pub(crate) fn new(retry_timeout: Option<i64>, longest_pause: i64) -> Self {
        let millis = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
        Self {
            limit: retry_timeout.map_or(Some(DEFAULT_LIMIT), millis),
            longest_pause: millis(longest_pause).unwrap_or_default().min(LONGEST_PAUSE),
            since: None,
            pause: FIRST_PAUSE,
            told: None,
        }
    }

    /// There is no answer yet.
    pub(crate) fn no_answer_yet(&mut self) {
        self.since.get_or_insert_with(Instant::now);
        self.tell("their questions are not answered yet");
    }

    /// The converters could not ask: how long to wait until they ask again.
    ///
    /// # Errors
    ///
    /// Fatal, with this error as the cause, when the patience is at its end.
    pub(crate) fn again_after(&mut self, error: Error) -> Result<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.limit.is_some_and(|limit| since.elapsed() >= limit) {
            return Err(Error::fatal("the converters waited in vain for what they need")
                .context("seconds", since.elapsed().as_secs())
                .context("remedy", "restart the task when it can be reached; errors.retry.timeout sets how long to wait")
                .with_source(error));
        }
        self.tell(&error.copied().to_string());
        let pause = self.pause.min(self.longest_pause);
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        Ok(pause)
    }

    /// They have what they need.
    pub(crate) fn satisfied(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("the converters have what they waited for, records move again");
        }
        self.begin_anew();
    }

    /// What was waited until now does not count.
    pub(crate) fn begin_anew(&mut self) {
        self.since = None;
        self.pause = FIRST_PAUSE;
    }

    fn tell(&mut self, what: &str) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            tracing::warn!("no record moves until the converters have what they need: {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many seconds it is waited, with attempts that take no time.
    async fn seconds(mut patience: Patience) -> u64 {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(100_000) {
            match patience.again_after(Error::retriable("away")) {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(error) => {
                    assert!(error.trace().contains("Caused by") && !error.is_retriable());
                    return begun.elapsed().as_secs();
                }
            }
        }
        u64::MAX
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_when_configured() {
        let ten_minutes = seconds(Patience::new(None, 60_000)).await;
        assert!((600..610).contains(&ten_minutes), "{ten_minutes}");
        assert_eq!(seconds(Patience::new(Some(0), 60_000)).await, 0);
        let half_a_minute = seconds(Patience::new(Some(30_000), 500)).await;
        assert_eq!(half_a_minute, 30);
        assert_eq!(seconds(Patience::new(Some(-1), 60_000)).await, u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_satisfied_begins_anew() {
        let mut patience = Patience::new(Some(1000), 60_000);
        for _ in 0..5 {
            for expected in [300, 600] {
                let pause = patience.again_after(Error::retriable("away")).unwrap();
                assert_eq!(pause.as_millis(), expected);
                tokio::time::sleep(pause).await;
            }
            patience.satisfied();
        }
    }
}
