//! Decides how tests wait: for a condition, up to a deadline, never for a guessed time.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` again and again until it gives a value, and gives that back.
///
/// # Panics
/// When `deadline` passes first, naming `what` was waited for.
#[track_caller]
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        #[allow(
            clippy::disallowed_methods,
            reason = "the one place where tests pause between looks"
        )]
        std::thread::sleep(PAUSE);
    }
}
