//! What others lose beside a plugin that panics, blocks, loops or leaks, for each callback. It
//! takes minutes, and wants a machine for itself:
//!
//! `cargo test --release -p millrace-runtime --test it -- --ignored --nocapture --exact
//! losses::others_lose_little_beside_any_callback_that_fails`

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_runtime::{Herder, State, TargetState};

use crate::containment::{CALLBACKS, Callback, MANY, bad, resident};
use crate::fixture::{Fixture, props, until};
use crate::plugins::{Fault, lock, shared};
use crate::poison::median;
use crate::soak::number;

const WAYS: [Fault; 4] = [Fault::Panic, Fault::Block, Fault::Loop, Fault::Leak];

/// So many times is measured with the bad one and without, in turns, whatever comes out.
const PAIRS: usize = 15;

/// What others may lose while a callback fails like this.
const MOST: f64 = 0.05;

/// What they may lose to a leak from its first byte until its thread stands, in seconds of their
/// work.
const MOST_ONCE: f64 = 0.5;

/// Where the policy is `always`, what leaks and ends is restarted after so many seconds, which is the
/// default pause less a tenth (`errors.restart.backoff.ms`); what stands is not. Only a request that
/// leaks may come sooner.
const LEAST_PAUSE: f64 = 9.0;

/// How fast the others are.
#[derive(Clone, Copy)]
struct Pace {
    /// Records in a second.
    wall: f64,
    /// Records in a second of their threads' processor time.
    processor: f64,
    /// So many seconds were looked at.
    seconds: f64,
}

/// Sources and sinks of the others: as many pairs as there are processors, which leave none idle.
struct Others {
    fixture: Fixture,
    pairs: usize,
    phase: Duration,
}

impl Others {
    async fn start(cluster: EmbeddedCluster, keys: &[(&str, &str)]) -> Self {
        let fixture = Fixture::start_on(Arc::new(cluster), keys).await;
        let pairs = std::thread::available_parallelism().unwrap().get();
        let heavy = [("run", "10000"), ("producer.override.compression.type", "zstd")];
        for pair in 0..pairs {
            let (good, eater) = (format!("good{pair}"), format!("eater{pair}"));
            fixture.source(&good, &good, i64::MAX / 2, &heavy).await;
            fixture.wait_for_task(&good, 0, State::Running).await;
            let eats = [("connector.class", "CountingSink")];
            fixture.sink(&eater, &good, &eats).await;
            until("it to eat", async || lock(&shared(&eater)).commits > 0).await;
        }
        fixture.source("cook", "food", i64::MAX / 2, &[("poll.ms", "20")]).await;
        fixture.wait_for_task("cook", 0, State::Running).await;
        let phase = Duration::from_millis(number("LOSSES_PHASE_MS", 200));
        tokio::time::sleep(5 * phase).await;
        Self { fixture, pairs, phase }
    }

    /// Records that were sent, and those that were put.
    async fn records(&self) -> f64 {
        let mut records = 0;
        for pair in 0..self.pairs {
            records += self.fixture.end_offset(&format!("good{pair}")).await;
            records += i64::try_from(lock(&shared(&format!("eater{pair}"))).commits).unwrap();
        }
        records as f64
    }

    /// How fast they are while this lasts.
    async fn during(&self, what: impl Future<Output = ()>) -> Pace {
        let (begun, records, used) = (Instant::now(), self.records().await, processor_seconds());
        what.await;
        let (seconds, records) = (begun.elapsed().as_secs_f64(), self.records().await - records);
        let processor = records / (processor_seconds() - used);
        Pace { wall: records / seconds, processor, seconds }
    }

    async fn pace(&self) -> Pace {
        self.during(tokio::time::sleep(self.phase)).await
    }
}

/// Processor time of the others' threads.
fn processor_seconds() -> f64 {
    let mut nanoseconds = 0.0;
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |name| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let name = read("comm");
        if name.starts_with("good") || name.starts_with("eater") {
            let used = read("schedstat").split(' ').next().and_then(|used| used.parse().ok());
            nanoseconds += used.unwrap_or(0.0);
        }
    }
    nanoseconds / 1e9
}

/// A plugin that misbehaves in one callback.
struct Bad<'a> {
    others: &'a Others,
    /// Its own: what stands of earlier ones is seen under theirs.
    name: String,
    how: Fault,
    callback: Callback,
}

impl Bad<'_> {
    /// Has the callback called for as long as anybody waits for this.
    async fn misbehave(&self) {
        let (worker, (kind, call, _)) = (self.others.fixture.worker(), self.callback);
        {
            let state = shared(&self.name);
            let mut state = lock(&state);
            (state.is_released, state.rests) = (false, false);
            state.faults.insert(call, (MANY, self.how));
        }
        let mut config = bad(kind, &self.name);
        config.extend(props(&[
            ("poll.ms", "20"),
            ("errors.restart.policy", "always"),
            ("errors.restart.backoff.ms", "100"),
            ("errors.restart.backoff.max.ms", "100"),
            ("errors.restart.max.per.hour", "100000"),
        ]));
        loop {
            // What is wrong with it is why it is here.
            let _ = worker.put_connector(&self.name, config.clone(), None, true).await;
            match call {
                "validate" | "verify" => {}
                "stop" | "close" | "connector-stop" => {
                    until("it to run", async || {
                        self.others.fixture.state(&self.name).await == Some(State::Running)
                    })
                    .await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let _ = worker.set_target_state(&self.name, TargetState::Stopped).await;
                    let _ = worker.set_target_state(&self.name, TargetState::Started).await;
                }
                // Whatever panics is restarted by itself.
                _ => std::future::pending().await,
            }
            if matches!(self.how, Fault::Loop | Fault::Leak) {
                // It does not end: others beside it would be another measurement.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn is_hit(&self) {
        let (state, call) = (shared(&self.name), self.callback.1);
        let is_hit = async || lock(&state).faults.get(call).is_some_and(|left| left.0 < MANY);
        until(&format!("{} to be hit", self.name), is_hit).await;
    }

    /// Its thread is reported as one that does this.
    async fn is_seen(&self, thread: &str) {
        until(&format!("{} to be seen", self.name), async || {
            let hung = self.others.fixture.worker().hung().await.unwrap();
            hung.iter().any(|h| h.connector == self.name && h.thread == thread)
        })
        .await;
    }

    /// It is gone, but for threads that stand.
    async fn end(&self) {
        let worker = self.others.fixture.worker();
        {
            let state = shared(&self.name);
            let mut state = lock(&state);
            state.is_released = true;
            state.faults.clear();
            state.kept.clear();
        }
        let _ = worker.delete_connector(&self.name).await;
        until(&format!("{} to end", self.name), async || {
            let hung = worker.hung().await.unwrap();
            hung.iter().all(|h| h.connector != self.name || h.thread == "stands")
        })
        .await;
    }

    /// While it misbehaves: from when the callback has failed or does not return, or stands with
    /// what it has taken. With what it takes until it stands.
    async fn beside(&self) -> (Option<Pace>, Pace) {
        let seen = async {
            let taking = match self.how {
                Fault::Leak => Some(self.others.during(self.is_seen("stands")).await),
                _ => {
                    self.is_hit().await;
                    None
                }
            };
            (taking, self.others.pace().await)
        };
        tokio::select! {
            () = self.misbehave() => unreachable!("it does so for ever"),
            paces = seen => paces,
        }
    }
}

/// What others lose, of both their paces.
struct Loss {
    /// With what they lose to a leak until its thread stands, were it to begin anew after the least
    /// pause.
    wall: f64,
    /// By how much `wall` may be wrong: twice its standard error, from the median deviation.
    noise: f64,
    processor: f64,
    /// What they lose to a leak until its thread stands, in seconds of their work.
    once: f64,
}

impl Loss {
    /// The median of what each bad phase has lost of the two good ones around it.
    fn of(alone: &[Pace], beside: &[Pace], taking: &[Pace]) -> Self {
        let lost = |pace: fn(&Pace) -> f64| {
            let around = alone.windows(2).map(|two| (pace(&two[0]) + pace(&two[1])) / 2.0);
            let lost = around.zip(beside).map(|(around, beside)| 1.0 - pace(beside) / around);
            lost.collect::<Vec<f64>>()
        };
        let walls = lost(|pace| pace.wall);
        let wall = median(walls.clone());
        let deviation = median(walls.iter().map(|lost| (lost - wall).abs()).collect());
        let noise = 2.0 * 1.4826 * 1.2533 * deviation / (walls.len() as f64).sqrt();
        let once =
            |(alone, taking): (&Pace, &Pace)| (1.0 - taking.wall / alone.wall) * taking.seconds;
        let once = match taking.is_empty() {
            true => 0.0,
            false => median(alone.iter().zip(taking).map(once).collect()),
        };
        let wall = wall + once / LEAST_PAUSE;
        Self { wall, noise, processor: median(lost(|pace| pace.processor)), once }
    }
}

/// Phases with and without a plugin that fails like this, in turns.
async fn loss(others: &Others, how: Fault, callback: Callback) -> Loss {
    let (mut alone, mut beside) = (vec![others.pace().await], Vec::new());
    let mut taking = Vec::new();
    let bad = |n: usize| {
        let name = format!("{how:?}-{}-{}-{n}", callback.0, callback.1);
        Bad { others, name, how, callback }
    };
    if how == Fault::Loop {
        // One for all: it has its share of the processors until it has been seen to loop.
        let bad = bad(0);
        let turns = async {
            bad.is_seen("computes").await;
            while beside.len() < PAIRS {
                beside.push(others.pace().await);
                lock(&shared(&bad.name)).rests = true;
                alone.push(others.pace().await);
                lock(&shared(&bad.name)).rests = false;
            }
        };
        tokio::select! {
            () = bad.misbehave() => unreachable!("it does so for ever"),
            () = turns => {}
        }
        bad.end().await;
    }
    while beside.len() < PAIRS {
        let bad = bad(beside.len());
        let (taken, pace) = bad.beside().await;
        taking.extend(taken);
        beside.push(pace);
        bad.end().await;
        alone.push(others.pace().await);
    }
    Loss::of(&alone, &beside, &taking)
}

/// What all of them panic with is no news.
fn hush() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_meant = panic.payload_as_str().is_some_and(|words| words.ends_with(" panics"));
        if !is_meant {
            usual(panic);
        }
    }));
}

/// Each pair of phases takes twice `LOSSES_PHASE_MS`, and longer where threads have to be held.
/// `LOSSES_WAY=Leak` is one way alone.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes, and the machine for itself"]
async fn others_lose_little_beside_any_callback_that_fails() {
    hush();
    let begun = Instant::now();
    let mut too_much = Vec::new();
    let mut table = vec![[0.0; WAYS.len()]; CALLBACKS.len()];
    let only = std::env::var("LOSSES_WAY").unwrap_or_default();
    let wanted = |(_, how): &(usize, Fault)| format!("{how:?}").contains(&only);
    assert!(WAYS.into_iter().enumerate().any(|way| wanted(&way)), "{only} is none of {WAYS:?}");
    for (way, how) in WAYS.into_iter().enumerate().filter(wanted) {
        // All grow by less, and a leak passes it within half a second.
        let limit = (resident() + (400 << 20)).to_string();
        let limit = if how == Fault::Leak { limit.as_str() } else { "-1" };
        let keys = [
            ("task.shutdown.graceful.timeout.ms", "100"),
            ("plugin.hang.report.ms", "900"),
            ("plugin.memory.limit.bytes", limit),
        ];
        let directory = tempfile::tempdir().unwrap();
        let cluster = EmbeddedCluster::open(directory.path(), Settings::default()).unwrap();
        let mut others = Others::start(cluster, &keys).await;
        println!("{how:?}: others lose, lose of each second of their processor time, and once");
        for (row, callback) in CALLBACKS.into_iter().enumerate() {
            let Loss { wall, noise, processor, once } = loss(&others, how, callback).await;
            let (kind, call, _) = callback;
            let told = format!(
                "{how:?} in {kind} {call}: {:.1} % (+- {:.1}), {:.1} %, {once:.3} s",
                100.0 * wall,
                100.0 * noise,
                100.0 * processor,
            );
            println!("{:4} s {told}", begun.elapsed().as_secs());
            // What nobody can tell is too much as well.
            if wall - noise > MOST || (wall > MOST && noise > MOST) || once > MOST_ONCE {
                too_much.push(told);
            }
            table[row][way] = wall;
        }
        others.fixture.stop_worker().await;
    }
    println!("what others lose, in percent ({:?})", begun.elapsed());
    // 0.0 where it was not measured.
    println!("{:22} {:>8} {:>8} {:>8} {:>8}", "callback", "panic", "block", "loop", "leak");
    for ((kind, call, _), row) in CALLBACKS.into_iter().zip(&table) {
        let row = row.map(|loss| format!("{:8.1}", 100.0 * loss)).join(" ");
        println!("{kind:6} {call:15} {row}");
    }
    assert!(too_much.is_empty(), "others lose too much: {too_much:#?}");
    for (way, how) in WAYS.into_iter().enumerate().filter(wanted) {
        let loss = median(table.iter().map(|row| row[way]).collect());
        println!("{how:?}: {:.1} % (median)", 100.0 * loss);
        assert!(loss <= MOST, "others lose too much");
    }
}
