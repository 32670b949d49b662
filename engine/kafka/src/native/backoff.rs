//! Decides how long to wait before the next try: twice as long each time, within limits, and never
//! exactly as long as others do (KIP-580).

use std::time::Duration;

/// The first and the longest wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackoffSettings {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl BackoffSettings {
    /// The wait after so many earlier tries, up to a fifth shorter or longer than its share.
    pub(crate) fn after(&self, tries: u32) -> Duration {
        const DOUBLINGS: u32 = 20;
        let wait = self.first.saturating_mul(1 << tries.min(DOUBLINGS)).min(self.longest);
        wait.mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

/// Counts tries.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    settings: BackoffSettings,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(settings: BackoffSettings) -> Self {
        Self { settings, tries: 0 }
    }

    /// The wait before the next try, up to a fifth shorter or longer than its share.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.settings.after(self.tries);
        self.tries = self.tries.saturating_add(1);
        wait
    }

    /// Begins anew after a success.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let millis = Duration::from_millis;
        let mut backoff =
            Backoff::new(BackoffSettings { first: millis(100), longest: millis(1_000) });
        for expected in [100, 200, 400, 800, 1_000, 1_000] {
            let wait = backoff.next().as_millis() as f64 / f64::from(expected);
            assert!((0.79..=1.21).contains(&wait), "{wait} of {expected}");
        }
        backoff.reset();
        assert!(backoff.next() <= millis(120));
    }
}
