//! Decides what time is: the processor time of this process, since the machine may be shared.

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Names the clock: `wall` for the one on the wall.
const VARIABLE: &str = "MILLRACE_BENCH_CLOCK";

/// The time that a bench reads.
///
/// By default it is what all threads of the process have spent on processors: neighbours disturb
/// it little, and a task that hands its work to other threads does not look cheaper for that.
#[derive(Clone, Copy, Debug)]
pub struct Clock(ClockId);

impl Clock {
    /// As the environment says.
    fn chosen() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("cpu") => Self(ClockId::ProcessCPUTime),
            Ok("wall") => Self(ClockId::Monotonic),
            Ok(other) => panic!("{VARIABLE} is cpu or wall, not {other}"),
        }
    }

    fn now(self) -> Duration {
        let now = clock_gettime(self.0);
        Duration::try_from(now).expect("neither clock runs backwards from its start")
    }
}

impl Measurement for Clock {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        self.now()
    }

    fn end(&self, start: Duration) -> Duration {
        self.now() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        static WALL: WallTime = WallTime;
        WALL.formatter()
    }
}

/// Criterion with our clock, and so little time a bench that a file of them takes seconds.
pub fn criterion() -> Criterion<Clock> {
    Criterion::default()
        .with_measurement(Clock::chosen())
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20)
        .nresamples(10_000)
}

/// The same for passes that take a good part of a second each.
pub fn criterion_of_long_passes() -> Criterion<Clock> {
    criterion().sample_size(10)
}

/// Adds to the total what a pass takes. What lies between passes, such as opening the next task,
/// is not counted.
pub async fn timed<T>(total: &mut Duration, pass: impl Future<Output = T>) -> T {
    let clock = Clock::chosen();
    let start = clock.start();
    let outcome = pass.await;
    *total += clock.end(start);
    outcome
}
