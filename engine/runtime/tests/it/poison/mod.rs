//! Poison at every stage: each record that was sent is delivered or a dead letter, never both, and
//! never neither; and what that costs.
//!
//! Every test run has the short form, two thousand records of each kind. The long form has a
//! million of each (or `MILLRACE_POISON`; of one kind alone with `MILLRACE_POISON_KIND`), on a log
//! in a directory, prints what poison costs, and fails where that is too much. It wants a machine
//! with nothing else to do and four gigabytes of disk:
//!
//! ```sh
//! cargo test --release -p millrace-runtime --test it -- --ignored --exact --nocapture \
//!     poison::a_million_records_with_poison_of_each_kind
//! ```
//!
//! Beside the time it counts what the process takes of processors, which other processes disturb
//! less. What is compared with poison are as many records, and as many bytes, without: a text that
//! is too deep is ten kilobytes long, so that its topic is compared with one in which as many texts
//! have that length. Where all are, there are a tenth of the records.

mod drill;
mod kinds;
mod registry;

use std::time::Duration;

use drill::{Cost, Scene};
pub(crate) use drill::{Topic, fill};
pub(crate) use kinds::Poison;

#[tokio::test]
async fn each_record_is_delivered_or_a_letter() {
    for poison in Poison::ALL {
        let mut scene = Scene::in_memory().await;
        for (name, every) in [("some", 100), ("all", 1)] {
            let topic = Topic { name, poison, count: 2_000, every };
            scene.fill(topic, 0).await;
            scene.drill(topic, true).await;
        }
    }
}

#[tokio::test]
async fn fields_of_64_mib_are_delivered_or_letters() {
    let mut scene = Scene::in_memory().await;
    let bad = Topic { name: "bad", poison: Poison::HugeField, count: 4, every: 4 };
    let good = Topic { name: "good", every: 0, ..bad };
    scene.fill(good, 4).await;
    scene.drill(good, true).await;
    scene.clear("good").await;
    scene.fill(bad, 0).await;
    scene.drill(bad, true).await;
    scene.drill_without_room(bad).await;
}

/// What tolerance and a dead letter queue leave of it where nothing is wrong.
const LEAST_TOLERANT: f64 = 0.95;
/// How often it is measured.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and is to be looked at"]
async fn a_million_records_with_poison_of_each_kind() {
    let count = std::env::var("MILLRACE_POISON").map_or(1_000_000, |n| n.parse().unwrap());
    println!("{:<16}{:>10}{:>12}{:>8}{:>12}{:>8}", "", "letters", "records/s", "", "CPU ns", "");
    let mut too_little = Vec::new();
    let mut tell = |what: &str, letters: usize, pairs: &Pairs, least: f64| {
        let share = pairs.share(|cost| cost.time);
        let (rate, cpu) = (1e9 / pairs.nanos(|cost| cost.time), pairs.nanos(|cost| cost.cpu));
        let shares = [share, pairs.share(|cost| cost.cpu)].map(|share| share * 100.0);
        let [time_share, cpu_share] = shares.map(|share| format!("{share:.1} %"));
        println!("{what:<16}{letters:>10}{rate:>12.0}{time_share:>8}{cpu:>12.0}{cpu_share:>8}");
        if share < least {
            too_little.push(what.to_owned());
        }
    };
    let tolerance = of_tolerance(count).await;
    tell("no tolerance", 0, &tolerance.swapped(), 0.0);
    tell("tolerance=all", 0, &tolerance, LEAST_TOLERANT);
    let only = std::env::var("MILLRACE_POISON_KIND").unwrap_or_default();
    for poison in Poison::ALL.into_iter().filter(|kind| format!("{kind:?}").contains(&only)) {
        let mut scene = Scene::on_disk().await;
        for (every, rounds, least) in
            [(1_000, 1, 0.0), (100, ROUNDS, poison.least_share()), (1, 1, 0.0)]
        {
            let is_huge = (poison, every) == (Poison::DeepJson, 1);
            let count = if is_huge { count / 10 } else { count };
            let clean = Topic { name: "clean", poison, count, every: 0 };
            let bad = Topic { name: "bad", every, ..clean };
            scene.fill(clean, every).await;
            scene.fill(bad, 0).await;
            let pairs = Pairs::new(&mut scene, rounds, [(clean, true), (bad, true)]).await;
            let letters = bad.bad(count);
            tell(&format!("{poison:?}"), letters, &pairs, least);
            scene.clear("clean").await;
            scene.clear("bad").await;
        }
    }
    assert!(too_little.is_empty(), "too little is left: {too_little:?}");
}

/// Without tolerance, and with it and a queue, where nothing is wrong.
async fn of_tolerance(count: usize) -> Pairs {
    let mut scene = Scene::on_disk().await;
    let topic = Topic { name: "clean", poison: Poison::CutJson, count, every: 0 };
    scene.fill(topic, 0).await;
    // Whoever is first finds nothing warm.
    scene.drill(topic, true).await;
    Pairs::new(&mut scene, 2 * ROUNDS, [(topic, false), (topic, true)]).await
}

/// What two things took, in turn.
struct Pairs {
    count: usize,
    costs: Vec<[Cost; 2]>,
}

impl Pairs {
    /// `drills` are topics, and whether the sink tolerates errors.
    async fn new(scene: &mut Scene, rounds: usize, drills: [(Topic, bool); 2]) -> Self {
        let mut costs = Vec::new();
        for round in 0..rounds {
            let mut pair = Vec::new();
            // What the last one has left in the allocator is not always the same one's luck.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for (topic, is_tolerant) in order.map(|which| drills[which]) {
                pair.push(scene.drill(topic, is_tolerant).await);
            }
            costs.push(order.map(|which| pair[which]));
        }
        Self { count: drills[0].0.count, costs }
    }

    /// What the second costs a record.
    fn nanos(&self, of: impl Fn(&Cost) -> Duration) -> f64 {
        let nanos = self.costs.iter().map(|[_, second]| of(second).as_nanos() as f64);
        median(nanos.collect()) / self.count as f64
    }

    /// How many times as much the first takes.
    fn share(&self, of: impl Fn(&Cost) -> Duration) -> f64 {
        let share =
            |[first, second]: &[Cost; 2]| of(first).as_secs_f64() / of(second).as_secs_f64();
        median(self.costs.iter().map(share).collect())
    }

    fn swapped(&self) -> Self {
        let costs = self.costs.iter().map(|[first, second]| [*second, *first]).collect();
        Self { count: self.count, costs }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
