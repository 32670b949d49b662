//! Decides how long a task waits for what its converters ask others, and how often they ask again.

use std::pin::pin;
use std::time::Duration;

use millrace_api::{Error, Result};
use tokio::time::{Instant, timeout};

/// For how long, unless `errors.retry.timeout` says so. Java fails at once.
const DEFAULT_LIMIT: Duration = Duration::from_secs(600);
/// Java's first wait between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// Without any, an error that comes at once would keep a processor busy.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// Longer waits would only make the time longer after everything is well again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A question that is on its way has so long, however short the limit is.
const LEAST_ANSWER_TIME: Duration = Duration::from_secs(60);
/// How often to look for how long there is no answer.
const LOOK: Duration = Duration::from_secs(1);
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
    /// What they said last.
    why: Option<String>,
}

impl Patience {
    /// `retry_timeout` is `errors.retry.timeout` where the connector has it, below zero for ever;
    /// `longest_pause` is `errors.retry.delay.max.ms`.
    pub(crate) fn new(retry_timeout: Option<i64>, longest_pause: i64) -> Self {
        let millis = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
        Self {
            limit: retry_timeout.map_or(Some(DEFAULT_LIMIT), millis),
            longest_pause: millis(longest_pause)
                .unwrap_or_default()
                .clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
            since: None,
            pause: FIRST_PAUSE,
            told: None,
            why: None,
        }
    }

    /// The answer to what converters ask, if there is one in time.
    ///
    /// # Errors
    ///
    /// Fatal when the patience is at its end.
    pub(crate) async fn answer<T>(&mut self, asking: impl Future<Output = T>) -> Result<T> {
        let mut asking = pin!(asking);
        loop {
            match timeout(LOOK, &mut asking).await {
                Ok(answer) => return Ok(answer),
                Err(_) => self.no_answer_yet()?,
            }
        }
    }

    /// There is no answer yet: to be said about once a second, also between two attempts.
    ///
    /// # Errors
    ///
    /// Fatal when the patience is at its end.
    pub(crate) fn no_answer_yet(&mut self) -> Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.limit.is_some_and(|limit| since.elapsed() >= limit.max(LEAST_ANSWER_TIME)) {
            let why = self.why.take().unwrap_or_else(|| SILENCE.to_owned());
            return Err(in_vain(since, Error::retriable(why)));
        }
        // Most answers come soon, and say more.
        if self.why.is_some() || since.elapsed() >= TELL {
            self.tell();
        }
        Ok(())
    }

    /// The converters could not ask: how long to wait until they ask again.
    ///
    /// # Errors
    ///
    /// Fatal, with this error as the cause, when the patience is at its end.
    pub(crate) fn again_after(&mut self, error: Error) -> Result<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = self.limit.map(|limit| limit.saturating_sub(since.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(in_vain(since, error));
        }
        self.why = Some(error.copied().to_string());
        self.tell();
        // The last attempt comes when the time is up, not after it.
        let pause = self.pause.min(self.longest_pause).min(left.unwrap_or(Duration::MAX));
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
        self.why = None;
    }

    fn tell(&mut self) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            let why = self.why.as_deref().unwrap_or(SILENCE);
            let waited = self.since.map_or(0, |since| since.elapsed().as_secs());
            let time =
                if waited == 0 { String::new() } else { format!("have waited {waited} s and ") };
            tracing::warn!("records {time}wait until the converters have what they need: {why}");
        }
    }
}

const SILENCE: &str = "what they asked for is not answered yet";

fn in_vain(since: Instant, error: Error) -> Error {
    Error::fatal("the converters waited in vain for what they need")
        .context("seconds", since.elapsed().as_secs())
        .context(
            "remedy",
            "mend what the cause names, then restart the task; errors.retry.timeout is how many \
             milliseconds to wait, -1 for ever",
        )
        .with_source(error)
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
        assert_eq!(seconds(Patience::new(None, 60_000)).await, 600);
        assert_eq!(seconds(Patience::new(Some(12_000), 60_000)).await, 12);
        assert_eq!(seconds(Patience::new(Some(0), 60_000)).await, 0);
        let half_a_minute = seconds(Patience::new(Some(30_000), 500)).await;
        assert_eq!(half_a_minute, 30);
        assert_eq!(seconds(Patience::new(Some(-1), 60_000)).await, u64::MAX);
    }

    /// A question may take longer than the limit, but not for ever.
    #[tokio::test(start_paused = true)]
    async fn silence_has_a_limit_too() {
        for (limit, expected) in [(None, 600), (Some(0), 60), (Some(90_000), 90)] {
            let mut patience = Patience::new(limit, 60_000);
            let begun = Instant::now();
            let error = patience.answer(std::future::pending::<()>()).await.unwrap_err();
            assert!(begun.elapsed().as_secs().abs_diff(expected) <= 1, "{limit:?}");
            assert!(error.trace().contains("errors.retry.timeout") && !error.is_retriable());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_always_a_pause() {
        for configured in [-1, 0, 1] {
            let mut patience = Patience::new(None, configured);
            let pause = patience.again_after(Error::retriable("away")).unwrap();
            assert_eq!(pause, SHORTEST_PAUSE);
        }
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
