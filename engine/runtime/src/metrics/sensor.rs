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

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java's `Avg`, `Max`, `Rate`, `CumulativeSum` and `Frequencies` of odd and even values
    /// gave for the same values at the same times, with two samples of 30 s. (Java begins an old
    /// sample anew when it is asked, we when something is recorded: times are then not those of
    /// whoever asked.)
    #[test]
    fn numbers_are_those_of_java() {
        const RECORDED: [(i64, f64); 9] = [
            (0, 10.0),
            (5_000, 30.0),
            (20_000, 1.0),
            (29_999, 1.0),
            (30_000, 0.0),
            (60_000, 5.0),
            (95_000, 7.0),
            (125_000, 8.0),
            (250_500, 4.0),
        ];
        const JAVA: [(i64, [f64; 6]); 7] = [
            (-1, [f64::NAN, f64::NAN, 0.0, 0.0, 0.0, 0.0]),
            (1_000, [10.0, 10.0, 0.322_580_645_161_290_3, 10.0, 0.0, 1.0]),
            (31_000, [8.4, 30.0, 1.354_838_709_677_419_3, 42.0, 0.4, 0.6]),
            (61_000, [7.833_333_333_333_333, 30.0, 0.770_491_803_278_688_5, 47.0, 0.5, 0.5]),
            (91_000, [5.0, 5.0, 0.161_290_322_580_645_16, 47.0, 1.0, 0.0]),
            (126_000, [7.5, 8.0, 0.483_870_967_741_935_5, 62.0, 0.5, 0.5]),
            (250_000, [f64::NAN, f64::NAN, 0.0, 62.0, 0.0, 0.0]),
        ];
        let windows = Windows { millis: 30_000, samples: 2 };
        let (mut values, mut odd) = (Sensor::new(windows), Sensor::new(windows));
        let mut recorded = RECORDED.iter().peekable();
        for (now, expected) in JAVA {
            while let Some((at, value)) = recorded.next_if(|(at, _)| *at <= now) {
                values.record(*value, *at);
                odd.record(value % 2.0, *at);
            }
            let (avg, max, rate) = (values.avg(now), values.max(now), values.rate(now));
            let shares = (odd.share(now), odd.share_of_zeros(now));
            let got = [avg, max, rate, values.total(), shares.0, shares.1];
            let pairs = got.into_iter().zip(expected);
            let is_same = |(a, b): (f64, f64)| a.is_nan() && b.is_nan() || (a - b).abs() < 1e-12;
            assert!(pairs.clone().all(is_same), "{now}: {:?}", pairs.collect::<Vec<_>>());
        }
    }
}
