//! Whether memory grows and records get lost under load, with poison among them and tasks that
//! crash. Half an hour of it:
//!
//! `cargo test --release -p millrace-runtime --test it -- --ignored --nocapture --exact
//! soak::half_an_hour_at_sixty_percent`

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_runtime::{Herder, TargetState};
use rustix::time::{ClockId, clock_gettime};

use crate::fixture::{Fixture, props, until, until_within};
use crate::plugins::{Fault, lock, shared};

/// A number of the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().strip_suffix(" kB").unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Processor time that this process has used, in seconds.
fn processor_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap().as_secs_f64()
}

/// What a soak is to be.
struct Plan {
    /// Distinguishes its connectors from another's.
    name: &'static str,
    time: Duration,
    /// How often a task crashes.
    crash: Duration,
    /// So many processors are loaded, by a source and a sink each.
    cores: usize,
    /// Which part of them is to be used.
    load: f64,
}

/// What was seen, once a second.
struct Sample {
    minute: f64,
    resident_mb: f64,
    /// Since the last.
    load: f64,
}

/// The most and the fewest records that a poll brings.
const RUN: (i64, i64) = (1, 20_000);

/// Sources and sinks, a pair for each processor, and the pace that is kept.
struct Soak {
    plan: Plan,
    fixture: Fixture,
    run: f64,
    crashes: usize,
}

#[allow(clippy::print_stdout, reason = "it tells whoever measures how it goes")]
impl Soak {
    async fn start(plan: Plan, cluster: EmbeddedCluster) -> Self {
        let fixture = Fixture::start_on(Arc::new(cluster), &[]).await;
        let soak = Self { plan, fixture, run: 10.0, crashes: 0 };
        let always = [
            ("poll.ms", "5"),
            ("producer.override.compression.type", "gzip"),
            ("errors.restart.policy", "always"),
            ("errors.restart.backoff.ms", "100"),
            ("errors.restart.backoff.max.ms", "100"),
            ("errors.restart.max.per.hour", "100000"),
        ];
        for pair in 0..soak.plan.cores {
            let source = soak.source(pair);
            lock(&shared(&source)).run = Some(10);
            soak.fixture.source(&source, &source, i64::MAX / 2, &always).await;
            let (sink, letters) = (soak.sink(pair), soak.letters(pair));
            let eating = props(&[
                ("name", sink.as_str()),
                ("connector.class", "CountingSink"),
                ("topics", source.as_str()),
                ("consumer.override.metadata.max.age.ms", "1000"),
                ("errors.tolerance", "all"),
                ("errors.deadletterqueue.topic.name", letters.as_str()),
                ("errors.deadletterqueue.topic.replication.factor", "1"),
                ("errors.deadletterqueue.context.headers.enable", "true"),
                ("transforms", "poison"),
                ("transforms.poison.type", "test.DropEndingIn"),
                ("transforms.poison.marker", "nothing"),
                ("transforms.poison.poison", "777"),
            ]);
            soak.fixture.worker().put_connector(&sink, eating, None, false).await.unwrap();
        }
        soak
    }

    fn source(&self, pair: usize) -> String {
        format!("{}-source-{pair}", self.plan.name)
    }

    fn sink(&self, pair: usize) -> String {
        format!("{}-sink-{pair}", self.plan.name)
    }

    fn letters(&self, pair: usize) -> String {
        format!("{}-letters-{pair}", self.plan.name)
    }

    /// The next source fails at its next poll.
    fn crash(&mut self) {
        let kinds = [Fault::Fatal, Fault::Panic];
        let source = self.source(self.crashes % self.plan.cores);
        let kind = kinds[self.crashes / self.plan.cores % kinds.len()];
        lock(&shared(&source)).faults.insert("poll", (1, kind));
        self.crashes += 1;
    }

    /// Brings the load half the way to what it should be.
    fn pace(&mut self, load: f64) {
        let ratio = (self.plan.load / load.max(0.01)).clamp(0.5, 2.0);
        let (least, most) = (RUN.0 as f64, RUN.1 as f64);
        self.run = (self.run * (1.0 + 0.5 * (ratio - 1.0))).clamp(least, most);
        for pair in 0..self.plan.cores {
            lock(&shared(&self.source(pair))).run = Some(self.run.round() as i64);
        }
    }

    async fn sent(&self) -> i64 {
        let mut sent = 0;
        for pair in 0..self.plan.cores {
            sent += self.fixture.end_offset(&self.source(pair)).await;
        }
        sent
    }

    /// Waits until there was poison for each sink, however slow the pace was.
    async fn has_letters(&self) {
        for pair in 0..self.plan.cores {
            let letters = self.letters(pair);
            let has_some = async || self.fixture.end_offset(&letters).await > 0;
            until_within(Duration::from_secs(120), &format!("some in {letters}"), has_some).await;
        }
    }

    async fn letters_sent(&self) -> i64 {
        let mut letters = 0;
        for pair in 0..self.plan.cores {
            letters += self.fixture.end_offset(&self.letters(pair)).await;
        }
        letters
    }

    /// Keeps the pace, crashes tasks, and says each minute how it goes.
    async fn run(&mut self) -> Vec<Sample> {
        let (begun, mut next_crash) = (Instant::now(), self.plan.crash);
        let mut samples = Vec::<Sample>::new();
        let (mut last, mut used) = (begun, processor_seconds());
        let (mut minute, mut sent) = (1, 0);
        while begun.elapsed() < self.plan.time {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (now, now_used) = (Instant::now(), processor_seconds());
            let cores = self.plan.cores as f64;
            let load = (now_used - used) / (now - last).as_secs_f64() / cores;
            (last, used) = (now, now_used);
            let elapsed = now - begun;
            if elapsed >= next_crash {
                next_crash += self.plan.crash;
                self.crash();
            }
            self.pace(load);
            let resident_mb = resident_mb();
            samples.push(Sample { minute: elapsed.as_secs_f64() / 60.0, resident_mb, load });
            if elapsed >= Duration::from_secs(60) * minute {
                let sent_before = std::mem::replace(&mut sent, self.sent().await);
                let this_minute = samples.iter().filter(|s| s.minute > f64::from(minute) - 1.0);
                println!(
                    "minute {minute}: load {:.0} %, {} records/s, {resident_mb:.1} MB, {} letters",
                    100.0 * mean(this_minute.map(|sample| sample.load)),
                    (sent - sent_before) / 60,
                    self.letters_sent().await,
                );
                minute += 1;
            }
        }
        samples
    }

    /// What was polled is what was sent, and what was sent is what was put or is a letter.
    async fn account(&self) {
        let worker = self.fixture.worker();
        for pair in 0..self.plan.cores {
            let (source, sink) = (self.source(pair), self.sink(pair));
            worker.set_target_state(&source, TargetState::Stopped).await.unwrap();
            let sent = self.fixture.end_offset(&source).await;
            let group = format!("connect-{sink}");
            until("the sink to have all", async || {
                self.fixture.committed(&group, &source).await == Some(sent)
            })
            .await;
            let offsets = worker.offsets(&source).await.unwrap();
            let polled = offsets[0].offset.as_ref().unwrap()["next"].as_i64();
            let letters = self.fixture.end_offset(&self.letters(pair)).await;
            let eaten = shared(&sink);
            let put = lock(&eaten).commits;
            let misplaced = lock(&eaten).misplaced;
            println!("{source}: {sent} sent, {put} put, {letters} in the dead letter queue");
            assert!(letters > 0, "there was no poison");
            assert_eq!(polled, Some(sent), "what was polled was sent");
            assert_eq!(i64::try_from(put).unwrap() + letters, sent, "none is lost or comes twice");
            assert_eq!(misplaced, 0, "each is where it belongs");
        }
    }

    /// How often tasks were restarted, as the supervisor counts within an hour.
    async fn restarts(&self) -> usize {
        let mut restarts = 0;
        for pair in 0..self.plan.cores {
            let history = self.fixture.worker().restarts(&self.source(pair)).await.unwrap();
            restarts += history.parts.iter().map(|p| p.restarts_in_last_hour).sum::<usize>();
        }
        restarts
    }
}

/// For `SOAK_SECONDS`, on `SOAK_CORES` of the machine's processors: records in and out at
/// `SOAK_LOAD` percent of them, one in a thousand poisoned, and a task that crashes every
/// `SOAK_CRASH_MS` and restarts by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes half an hour, and the machine for itself"]
async fn half_an_hour_at_sixty_percent() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let plan = Plan {
        name: "soak",
        time: Duration::from_secs(number("SOAK_SECONDS", 1800)),
        crash: Duration::from_millis(number("SOAK_CRASH_MS", 10_000)),
        cores: usize::try_from(number("SOAK_CORES", cores as u64)).unwrap(),
        load: number("SOAK_LOAD", 60) as f64 / 100.0,
    };
    let directory = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::open(directory.path(), Settings::default()).unwrap();
    let mut soak = Soak::start(plan, cluster).await;
    let samples = soak.run().await;
    let warm = &samples[samples.len() / 3..];
    let load = mean(warm.iter().map(|sample| sample.load));
    let slope = slope(warm);
    println!("load after a third of the time: {:.1} % of {} cores", 100.0 * load, soak.plan.cores);
    println!(
        "memory: {:.1} MB to {:.1} MB",
        warm[0].resident_mb,
        samples.last().unwrap().resident_mb
    );
    println!("slope after a third of the time: {slope:.3} MB/min");
    println!("{} crashes, {} restarts in the last hour", soak.crashes, soak.restarts().await);
    soak.account().await;
    let wanted = soak.plan.load;
    assert!((wanted - 0.05..=wanted + 0.05).contains(&load), "the load was {load:.3}");
    assert!(slope < 1.0, "memory grows by {slope:.3} MB a minute");
}

/// The same for a few seconds beside other tests, whose load and memory are theirs as well.
#[tokio::test(flavor = "multi_thread")]
async fn crashes_and_poison_lose_nothing() {
    let plan = Plan {
        name: "short-soak",
        time: Duration::from_secs(6),
        crash: Duration::from_millis(1500),
        cores: 2,
        load: 0.2,
    };
    let mut soak = Soak::start(plan, EmbeddedCluster::in_memory()).await;
    soak.run().await;
    assert!(soak.crashes >= 2 && soak.restarts().await >= soak.crashes - 1);
    soak.has_letters().await;
    soak.account().await;
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / count
}

/// Of memory over minutes, by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let of = |sample: &Sample| (sample.minute, sample.resident_mb);
    let (x, y) = (mean(samples.iter().map(|s| of(s).0)), mean(samples.iter().map(|s| of(s).1)));
    let above: f64 = samples.iter().map(of).map(|(sx, sy)| (sx - x) * (sy - y)).sum();
    let below: f64 = samples.iter().map(of).map(|(sx, _)| (sx - x) * (sx - x)).sum();
    above / below
}
