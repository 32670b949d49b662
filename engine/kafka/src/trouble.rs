//! Decides how often the log is told of trouble that lasts: when it begins, then now and then, and
//! once when it is over.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// For so long nothing more is said of it.
const QUIET: Duration = Duration::from_secs(10);

/// One kind of trouble.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// It was told since it was last over.
    is_open: bool,
}

impl Trouble {
    /// There is trouble: whether to tell of it now. Then it counts as told.
    pub(crate) fn is_news(&self) -> bool {
        let mut told = lock(&self.0);
        let is_news = told.last.is_none_or(|last| last.elapsed() >= QUIET);
        if is_news {
            *told = Told { last: Some(Instant::now()), is_open: true };
        }
        is_news
    }

    /// There is none: whether to tell that it is over, as it was told before.
    pub(crate) fn is_over(&self) -> bool {
        std::mem::take(&mut lock(&self.0).is_open)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_once_in_a_while() {
        let trouble = Trouble::default();
        assert!(!trouble.is_over());
        assert!(trouble.is_news());
        advance(QUIET - Duration::from_millis(1)).await;
        assert!(!trouble.is_news());
        advance(Duration::from_millis(1)).await;
        assert!(trouble.is_news() && trouble.is_over() && !trouble.is_over());
        // What comes and goes many times a second does not fill the log.
        assert!(!trouble.is_news() && !trouble.is_over());
        advance(QUIET).await;
        assert!(trouble.is_news());
    }
}
