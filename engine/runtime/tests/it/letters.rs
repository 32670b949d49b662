//! Dead letters where the queue is late, full or gone: no offset moves past a record before its
//! letter has arrived, whatever happens to the task meanwhile, and no wait for it keeps one from
//! being stopped.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arrow::array::Array;
use millrace_api::TopicPartition;
use millrace_runtime::{Herder, State, TargetState};

use crate::clusters::{Gate, Queue};
use crate::errors::{letters, read};
use crate::fixture::{Fixture, GRACE, until};
use crate::plugins::{Event, Fault, lock, shared};
use crate::poison::{Poison, Topic, fill};
use crate::sink::second_member;

/// A sink over ten records, of which the sixth is poison.
struct SinkDrill {
    fixture: Fixture,
    gate: Gate,
    poison: Poison,
    name: String,
    /// Where the records are, of this topic.
    partition: TopicPartition,
}

/// How many letters are in the queue.
async fn count(fixture: &Fixture) -> usize {
    read(fixture, "letters").await.iter().map(|run| run.values.len()).sum()
}

const COUNT: i64 = 10;
const BAD: i64 = 5;

impl SinkDrill {
    async fn begin(what: &str, poison: Poison, queue: Queue, worker: &[(&str, &str)]) -> Self {
        Self::begin_on(TopicPartition::new("poisoned", 0), what, poison, queue, worker).await
    }

    async fn begin_on(
        partition: TopicPartition,
        what: &str,
        poison: Poison,
        queue: Queue,
        worker: &[(&str, &str)],
    ) -> Self {
        let (gate, cluster) = Gate::cluster(queue);
        let soon = [("offset.flush.timeout.ms", "100")];
        let fixture = Fixture::start_on(cluster, &[&soon, worker].concat()).await;
        fixture.create_topic("poisoned", partition.partition + 1).await;
        let topic = Topic { name: "poisoned", poison, count: 10, every: 10 };
        fill(&fixture, topic, partition.partition, 0).await;
        let drill = Self { fixture, gate, poison, name: format!("{what}-{poison:?}"), partition };
        drill.sink().await;
        drill
    }

    async fn sink(&self) {
        let config = [self.poison.config(""), letters(&[])].concat();
        self.fixture.sink(&self.name, "poisoned", &config).await;
    }

    /// Waits until the letter is in the log, where nobody says so.
    async fn is_held(&self) {
        until("a letter", async || self.gate.held() == 1).await;
    }

    async fn committed(&self) -> i64 {
        let partitions = std::slice::from_ref(&self.partition);
        let group = format!("connect-{}", self.name);
        let committed = self.fixture.cluster.committed(&group, partitions).await.unwrap();
        committed.get(&self.partition).copied().unwrap_or(0)
    }

    /// Waits until the task was ready to commit a few times more, and holds what became of it
    /// against the letter.
    async fn commits_nothing(&self) {
        let shared = shared(&self.name);
        let attempt = |event: &&Event| matches!(event, Event::PreCommit(_));
        let attempts = || lock(&shared).events.iter().filter(attempt).count();
        let before = attempts();
        until("commits", async || attempts() >= before + 3).await;
        self.is_not_ahead().await;
    }

    async fn is_not_ahead(&self) {
        let committed = self.committed().await;
        assert!(committed <= BAD, "{}: {committed} is committed", self.name);
    }

    /// With a queue that works, each record gets where it belongs.
    async fn ends(&self, count: i64) {
        until("the last commit", async || self.committed().await == count).await;
        let put: BTreeSet<_> = lock(&shared(&self.name)).put_values().into_iter().collect();
        assert_eq!(put.len() as i64, COUNT - 1, "{}", self.name);
        assert!(self.letters().await > 0, "{}", self.name);
    }

    async fn letters(&self) -> usize {
        count(&self.fixture).await
    }

    async fn restart_task(&self) {
        self.fixture.wait_for_task(&self.name, 0, State::Failed).await;
        self.is_not_ahead().await;
        self.gate.set(Queue::Open);
        self.fixture.worker().restart_task(&self.name, 0).await.unwrap();
    }

    async fn want(&self, target: TargetState, state: State) {
        self.fixture.worker().set_target_state(&self.name, target).await.unwrap();
        self.fixture.wait_for_task(&self.name, 0, state).await;
    }
}

#[tokio::test]
async fn a_sink_that_runs_on_or_is_paused_commits_nothing_past_a_letter_under_way() {
    for poison in Poison::OF_EACH_STAGE {
        let drill = SinkDrill::begin("late", poison, Queue::Silent, &[]).await;
        drill.is_held().await;
        drill.commits_nothing().await;
        drill.want(TargetState::Paused, State::Paused).await;
        drill.commits_nothing().await;
        drill.want(TargetState::Started, State::Running).await;
        drill.commits_nothing().await;
        drill.gate.set(Queue::Open);
        drill.ends(COUNT).await;
        assert_eq!(drill.letters().await, 1, "{poison:?}");
    }
}

#[tokio::test]
async fn a_sink_that_is_stopped_or_dies_commits_nothing_past_a_letter_under_way() {
    for (poison, is_crash) in
        Poison::OF_EACH_STAGE.into_iter().flat_map(|poison| [(poison, false), (poison, true)])
    {
        let what = if is_crash { "dies" } else { "ends" };
        let mut drill = SinkDrill::begin(what, poison, Queue::Silent, &[]).await;
        drill.is_held().await;
        match is_crash {
            true => drill.fixture.crash_worker().await,
            false => drill.fixture.stop_worker().await,
        }
        drill.is_not_ahead().await;
        // What comes late is heard by nobody.
        drill.gate.set(Queue::Open);
        drill.is_not_ahead().await;
        drill.fixture.start_worker().await;
        drill.sink().await;
        drill.ends(COUNT).await;
    }
}

#[tokio::test]
async fn a_sink_task_that_fails_commits_nothing_past_a_letter_under_way() {
    for (poison, fault) in Poison::OF_EACH_STAGE
        .into_iter()
        .flat_map(|poison| [(poison, Fault::Fatal), (poison, Fault::Panic)])
    {
        let what = format!("fails-{fault:?}");
        let drill = SinkDrill::begin(&what, poison, Queue::Silent, &[]).await;
        drill.is_held().await;
        drill.commits_nothing().await;
        lock(&shared(&drill.name)).faults.insert("put", (1, fault));
        let more = Topic { name: "poisoned", poison, count: 1, every: 0 };
        fill(&drill.fixture, more, 0, 0).await;
        drill.restart_task().await;
        drill.ends(COUNT + 1).await;
    }
}

#[tokio::test]
async fn a_partition_with_a_letter_under_way_goes_to_somebody_else_as_it_was() {
    for poison in Poison::OF_EACH_STAGE {
        let lent = TopicPartition::new("poisoned", 1);
        let silent = Queue::Silent;
        let drill = SinkDrill::begin_on(lent.clone(), "lends", poison, silent, &[]).await;
        drill.is_held().await;
        let group = format!("connect-{}", drill.name);
        let mut other = second_member(&drill.fixture, &group, lent).await;
        drill.is_not_ahead().await;
        drill.gate.set(Queue::Open);
        other.close().await.unwrap();
        drill.ends(COUNT).await;
    }
}

/// Whether it is not written at all, or reported as lost afterwards.
#[tokio::test]
async fn a_sink_task_whose_letter_is_lost_fails_and_commits_nothing_past_it() {
    for (poison, queue) in Poison::OF_EACH_STAGE
        .into_iter()
        .flat_map(|poison| [(poison, Queue::Broken), (poison, Queue::Silent)])
    {
        let drill = SinkDrill::begin(&format!("loses-{queue:?}"), poison, queue, &[]).await;
        if queue == Queue::Silent {
            drill.is_held().await;
            drill.gate.set(Queue::Broken);
        }
        drill.restart_task().await;
        drill.ends(COUNT).await;
    }
}

/// The worker would wait as long as a task may take, the queue for ever.
async fn stops_soon(fixture: &mut Fixture, what: &str) {
    let begun = Instant::now();
    fixture.stop_worker().await;
    assert!(begun.elapsed() < GRACE, "{what}: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_sink_that_waits_for_room_for_its_letters_can_be_stopped() {
    for poison in Poison::OF_EACH_STAGE {
        let mut drill = SinkDrill::begin("no-room", poison, Queue::Full, &[]).await;
        until("a letter", async || drill.gate.waits() == 1).await;
        stops_soon(&mut drill.fixture, &drill.name).await;
        drill.is_not_ahead().await;
        drill.gate.set(Queue::Open);
        drill.fixture.start_worker().await;
        drill.sink().await;
        drill.ends(COUNT).await;
        assert_eq!(drill.letters().await, 1, "{poison:?}");
    }
}

/// The task itself waits for its letters, which it may do for two minutes.
#[tokio::test]
async fn a_sink_task_that_waits_for_its_letters_can_be_stopped() {
    let settles = Poison::Settled;
    let mut drill = SinkDrill::begin("settles", settles, Queue::Silent, &[]).await;
    drill.is_held().await;
    stops_soon(&mut drill.fixture, &drill.name).await;
    drill.is_not_ahead().await;
}

/// A commit waits for letters as long as `offset.flush.timeout.ms` says.
#[tokio::test]
async fn a_commit_that_waits_for_letters_hears_what_is_wanted() {
    let worker = [("offset.flush.timeout.ms", "30000")];
    let drill = SinkDrill::begin("hears", Poison::Refused, Queue::Silent, &worker).await;
    drill.is_held().await;
    for (target, state) in
        [(TargetState::Paused, State::Paused), (TargetState::Started, State::Running)]
    {
        let begun = Instant::now();
        drill.want(target, state).await;
        assert!(begun.elapsed() < GRACE, "{state:?}: {:?}", begun.elapsed());
    }
    drill.is_not_ahead().await;
    drill.gate.set(Queue::Open);
    drill.ends(COUNT).await;
}

/// The end of a task waits for letters as long as a commit does, and not for each of both.
#[tokio::test]
async fn the_end_of_a_task_waits_for_letters_once() {
    let once = Duration::from_secs(5);
    let worker = [("offset.flush.timeout.ms", "5000")];
    let mut drill = SinkDrill::begin("once", Poison::Refused, Queue::Silent, &worker).await;
    drill.is_held().await;
    let begun = Instant::now();
    drill.fixture.stop_worker().await;
    assert!(begun.elapsed() < 2 * once, "{:?}", begun.elapsed());
    drill.is_not_ahead().await;
}

/// Where a source's records become letters.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// The sixth of twenty is refused by a transformation.
    Transformation,
    /// The topic takes none of them.
    Produce,
}

struct SourceDrill {
    fixture: Fixture,
    gate: Gate,
    stage: Stage,
    name: String,
}

const POLLED: i64 = 20;
const STAGES: [Stage; 2] = [Stage::Transformation, Stage::Produce];

impl SourceDrill {
    async fn begin(what: &str, stage: Stage, queue: Queue, worker: &[(&str, &str)]) -> Self {
        let (gate, cluster) = Gate::cluster(queue);
        let soon = [("offset.flush.timeout.ms", "100")];
        let fixture = Fixture::start_on(cluster, &[&soon, worker].concat()).await;
        fixture.create_compacted_topic("keys-only").await;
        let drill = Self { fixture, gate, stage, name: format!("{what}-{stage:?}") };
        drill.source().await;
        drill
    }

    async fn source(&self) {
        let (topic, more) = match self.stage {
            Stage::Produce => ("keys-only", vec![]),
            Stage::Transformation => {
                let transformation = [
                    ("transforms", "d"),
                    ("transforms.d.type", "test.DropEndingIn"),
                    ("transforms.d.marker", "none"),
                    ("transforms.d.poison", "-5"),
                ];
                ("alive", transformation.to_vec())
            }
        };
        self.fixture.source(&self.name, topic, POLLED, &letters(&more)).await;
    }

    /// How many letters there are.
    fn bad(&self) -> usize {
        if self.stage == Stage::Produce { 20 } else { 1 }
    }

    async fn is_held(&self) {
        until("letters", async || self.gate.held() == self.bad()).await;
    }

    async fn next(&self) -> Option<i64> {
        let offsets = self.fixture.worker().offsets(&self.name).await.unwrap();
        Some(offsets.first()?.offset.as_ref()?["next"].as_i64().unwrap())
    }

    fn commits(&self) -> usize {
        lock(&shared(&self.name)).commits
    }

    /// Waits for a few commits more.
    async fn commits_nothing(&self) {
        let before = self.commits();
        until("commits", async || self.commits() >= before + 3).await;
        assert_eq!(self.next().await, None, "{}", self.name);
    }

    fn stores_nothing(&self) {
        let stored = std::fs::read(self.fixture.offset_file()).unwrap_or_default();
        let stored = String::from_utf8_lossy(&stored).into_owned();
        assert!(!stored.contains(&format!("[\"{}\"", self.name)), "{}: {stored}", self.name);
    }

    async fn ends(&self) {
        until("the last commit", async || self.next().await == Some(POLLED)).await;
        let letters = count(&self.fixture).await;
        assert!(letters >= self.bad(), "{}: {letters}", self.name);
    }

    async fn restart_task(&self) {
        self.fixture.wait_for_task(&self.name, 0, State::Failed).await;
        assert_eq!(self.next().await, None, "{}", self.name);
        self.gate.set(Queue::Open);
        self.fixture.worker().restart_task(&self.name, 0).await.unwrap();
    }

    async fn want(&self, target: TargetState, state: State) {
        self.fixture.worker().set_target_state(&self.name, target).await.unwrap();
        self.fixture.wait_for_task(&self.name, 0, state).await;
    }
}

#[tokio::test]
async fn a_source_that_runs_on_or_is_paused_commits_nothing_before_its_letters_have_arrived() {
    for stage in STAGES {
        let drill = SourceDrill::begin("late", stage, Queue::Silent, &[]).await;
        drill.is_held().await;
        drill.commits_nothing().await;
        drill.want(TargetState::Paused, State::Paused).await;
        drill.commits_nothing().await;
        drill.want(TargetState::Started, State::Running).await;
        drill.commits_nothing().await;
        drill.gate.set(Queue::Open);
        drill.ends().await;
        assert_eq!(drill.fixture.end_offset("letters").await as usize, drill.bad());
    }
}

#[tokio::test]
async fn a_source_that_is_stopped_or_dies_commits_nothing_before_its_letters_have_arrived() {
    for (stage, is_crash) in STAGES.into_iter().flat_map(|stage| [(stage, false), (stage, true)]) {
        let what = if is_crash { "dies" } else { "ends" };
        let mut drill = SourceDrill::begin(what, stage, Queue::Silent, &[]).await;
        drill.is_held().await;
        match is_crash {
            true => drill.fixture.crash_worker().await,
            false => drill.fixture.stop_worker().await,
        }
        drill.stores_nothing();
        drill.gate.set(Queue::Open);
        drill.stores_nothing();
        drill.fixture.start_worker().await;
        drill.source().await;
        drill.ends().await;
    }
}

#[tokio::test]
async fn a_source_task_that_fails_commits_nothing_before_its_letters_have_arrived() {
    let faults = [("poll", Fault::Fatal), ("poll", Fault::Panic), ("commit", Fault::Panic)];
    for (stage, (call, fault)) in
        STAGES.into_iter().flat_map(|stage| faults.map(|fault| (stage, fault)))
    {
        let what = format!("fails-{call}-{fault:?}");
        let drill = SourceDrill::begin(&what, stage, Queue::Silent, &[]).await;
        drill.is_held().await;
        lock(&shared(&drill.name)).faults.insert(call, (1, fault));
        drill.restart_task().await;
        drill.ends().await;
    }
}

#[tokio::test]
async fn a_source_task_whose_letter_is_lost_fails_and_commits_nothing() {
    for (stage, queue) in
        STAGES.into_iter().flat_map(|stage| [(stage, Queue::Broken), (stage, Queue::Silent)])
    {
        let drill = SourceDrill::begin(&format!("loses-{queue:?}"), stage, queue, &[]).await;
        if queue == Queue::Silent {
            drill.is_held().await;
            drill.gate.set(Queue::Broken);
        }
        drill.restart_task().await;
        drill.ends().await;
    }
}

#[tokio::test]
async fn a_source_that_waits_for_room_for_its_letters_can_be_stopped() {
    for stage in STAGES {
        let mut drill = SourceDrill::begin("no-room", stage, Queue::Full, &[]).await;
        until("a letter", async || drill.gate.waits() == 1).await;
        stops_soon(&mut drill.fixture, &drill.name).await;
        drill.stores_nothing();
        drill.gate.set(Queue::Open);
        drill.fixture.start_worker().await;
        drill.source().await;
        drill.ends().await;
        assert_eq!(drill.fixture.end_offset("letters").await as usize, drill.bad());
    }
}

/// Letters of what the producer has given up are nothing that a source's poll has to wait for, and
/// go their way while it is paused.
#[tokio::test]
async fn a_source_that_waits_for_room_for_its_letters_can_be_paused() {
    let drill = SourceDrill::begin("pauses", Stage::Produce, Queue::Full, &[]).await;
    until("a letter", async || drill.gate.waits() == 1).await;
    drill.want(TargetState::Paused, State::Paused).await;
    drill.commits_nothing().await;
    drill.gate.set(Queue::Open);
    until("a commit", async || drill.next().await.is_some()).await;
    drill.fixture.wait_for_task(&drill.name, 0, State::Paused).await;
    drill.want(TargetState::Started, State::Running).await;
    drill.ends().await;
    assert_eq!(drill.fixture.end_offset("letters").await as usize, drill.bad());
}
