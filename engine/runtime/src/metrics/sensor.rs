//! Decides what becomes of recorded values: totals, and averages, maxima and rates over a moving
//! window, by the rules of Kafka's `Metrics`: `metrics.num.samples` samples of
//! `metrics.sample.window.ms` each.

/// `metrics.sample.window.ms` and `metrics.num.samples`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) millis: i64,
    pub(crate) samples: usize,
}

/// What was recorded during one window.
#[derive(Debug)]
struct Sample {
    start: i64,
    last: i64,
    events: u64,
    sum: f64,
    max: f64,
}

impl Sample {
    fn new(now: i64) -> Self {
        Self { start: now, last: now, events: 0, sum: 0.0, max: f64::NEG_INFINITY }
    }
}

/// One thing that is measured. Times are milliseconds of one clock.
#[derive(Debug)]
pub(crate) struct Sensor {
    windows: Windows,
    /// One more than `metrics.num.samples`: one may lie half within the window.
    samples: Vec<Sample>,
    current: usize,
    events: u64,
    total: f64,
    last: f64,
}

impl Sensor {
    pub(crate) fn new(windows: Windows) -> Self {
        Self { windows, samples: Vec::new(), current: 0, events: 0, total: 0.0, last: 0.0 }
    }

    pub(crate) fn record(&mut self, value: f64, now: i64) {
        self.events += 1;
        self.total += value;
        self.last = value;
        if self.samples.is_empty() {
            self.samples.push(Sample::new(now));
        } else if now - self.samples[self.current].start >= self.windows.millis {
            self.current = (self.current + 1) % (self.windows.samples + 1);
            match self.samples.get_mut(self.current) {
                Some(oldest) => *oldest = Sample::new(now),
                None => self.samples.push(Sample::new(now)),
            }
        }
        let sample = &mut self.samples[self.current];
        sample.events += 1;
        sample.sum += value;
        sample.max = sample.max.max(value);
        sample.last = now;
    }

    /// All that was ever recorded.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// How many values were ever recorded.
    pub(crate) fn events(&self) -> f64 {
        self.events as f64
    }

    /// What was recorded last; 0 before.
    pub(crate) fn value(&self) -> f64 {
        self.last
    }

    /// The samples that lie within the window at least in part.
    fn within(&self, now: i64) -> impl Iterator<Item = &Sample> {
        let samples = i64::try_from(self.windows.samples).unwrap_or(i64::MAX);
        let age = samples.saturating_mul(self.windows.millis);
        self.samples.iter().filter(move |sample| now - sample.last < age)
    }

    fn sum_and_events(&self, now: i64) -> (f64, f64) {
        self.within(now).fold((0.0, 0.0), |(sum, events), sample| {
            (sum + sample.sum, events + sample.events as f64)
        })
    }

    /// The mean; NaN when nothing was recorded.
    pub(crate) fn avg(&self, now: i64) -> f64 {
        let (sum, events) = self.sum_and_events(now);
        if events == 0.0 { f64::NAN } else { sum / events }
    }

    /// The largest; NaN when nothing was recorded.
    pub(crate) fn max(&self, now: i64) -> f64 {
        let max = self.within(now).map(|sample| sample.max).fold(f64::NEG_INFINITY, f64::max);
        if max == f64::NEG_INFINITY { f64::NAN } else { max }
    }

    /// Per second. As in Kafka, windows that are missing count as empty ones, so that a first burst
    /// is no peak.
    pub(crate) fn rate(&self, now: i64) -> f64 {
        let oldest = self.within(now).map(|sample| sample.start).min().unwrap_or(now);
        let mut elapsed = now - oldest;
        let full = elapsed / self.windows.millis.max(1);
        let least = i64::try_from(self.windows.samples).unwrap_or(i64::MAX) - 1;
        if full < least {
            elapsed += (least - full).saturating_mul(self.windows.millis);
        }
        let (sum, _) = self.sum_and_events(now);
        sum * 1000.0 / elapsed.max(1) as f64
    }

    /// Which part of what was recorded as 0 or 1 was 1; 0 when nothing was, as in Kafka.
    pub(crate) fn share(&self, now: i64) -> f64 {
        let (sum, events) = self.sum_and_events(now);
        if events == 0.0 { 0.0 } else { sum / events }
    }

    /// Which part was 0; 0 when nothing was recorded, too.
    pub(crate) fn share_of_zeros(&self, now: i64) -> f64 {
        let (sum, events) = self.sum_and_events(now);
        if events == 0.0 { 0.0 } else { (events - sum) / events }
    }
}
