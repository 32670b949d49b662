//! Plugins that panic, block their thread, compute without end, wait for ever or allocate without
//! end, in each of their callbacks, beside one that works: it goes on, the worker answers, and they
//! can be deleted.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, Props};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{Acknowledge, Outgoing};
use millrace_runtime::{Herder, Hung, State, TargetState};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::fixture::{Fixture, props, until, until_within};
use crate::plugins::{Event, Fault, lock, shared};

const SOON: Duration = Duration::from_secs(1);

/// What computes is in the idle class until it lets go: beside others it gets little to do so.
const IDLE: Duration = Duration::from_secs(120);

/// Tests that use up a processor, or watch the memory of the process, run one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// So many calls fail: all there are.
pub(crate) const MANY: usize = 1_000_000;

/// What is called, of what, and what a report calls it.
pub(crate) const CALLBACKS: [Callback; 20] = [
    ("source", "connector", "start()"),
    ("source", "task_configs", "taskConfigs()"),
    ("source", "connector-stop", "stop()"),
    ("source", "validate", "validate() of test.CountingSourceConnector"),
    ("source", "verify", "verify() of test.CountingSourceConnector"),
    ("source", "start", "start()"),
    ("source", "poll", "poll()"),
    ("source", "commit", "commit()"),
    ("source", "stop", "stop()"),
    ("source", "apply", "apply() of test.Faulty"),
    ("source", "test", "test() of test.FaultyPredicate"),
    ("source", "convert", "fromConnectData() of test.Asking"),
    ("source", "prepare", "prepareFrom() of test.Asking"),
    ("sink", "start", "start()"),
    ("sink", "open", "open()"),
    ("sink", "put", "put()"),
    ("sink", "pre_commit", "preCommit()"),
    ("sink", "close", "close()"),
    ("sink", "stop", "stop()"),
    ("sink", "convert", "toConnectData() of test.Asking"),
];

pub(crate) fn bad(kind: &str, name: &str) -> Props {
    let mut config = props(&[
        ("name", name),
        ("transforms", "faulty"),
        ("transforms.faulty.type", "test.Faulty"),
        ("transforms.faulty.of", name),
        ("transforms.faulty.predicate", "all"),
        ("predicates", "all"),
        ("predicates.all.type", "test.FaultyPredicate"),
        ("predicates.all.of", name),
        ("value.converter", "test.Asking"),
        ("value.converter.of", name),
    ]);
    config.extend(match kind {
        "source" => {
            props(&[("connector.class", "CountingSource"), ("topic", name), ("count", "1000000")])
        }
        _ => props(&[("connector.class", "RecordingSink"), ("topics", "food")]),
    });
    config
}

/// The worker answers whatever does not concern what hangs; within a second, unless the machine is
/// busy just then.
async fn answers(fixture: &Fixture) {
    let worker = fixture.worker();
    let ask = async || {
        worker.connectors().await?;
        worker.health().await?;
        worker.status("good").await?;
        worker.connector_info("good").await?;
        worker.offsets("good").await?;
        worker.hung().await?;
        let config = worker.connector_info("good").await?.config;
        worker.validate(&config, &[]).await?;
        Ok::<_, Error>(())
    };
    for _ in 0..3 {
        if let Ok(answered) = timeout(SOON, ask()).await {
            return answered.unwrap();
        }
    }
    panic!("answers come within a second");
}

async fn goes_on(fixture: &Fixture) {
    let before = fixture.end_offset("good").await;
    until("records of the good one", async || fixture.end_offset("good").await > before + 100)
        .await;
}

/// Waits until a sink has something to close.
async fn assigned(kind: &str, name: &str) {
    let state = shared(name);
    let has_opened = || lock(&state).events.iter().any(|event| matches!(event, Event::Open(_)));
    until(&format!("{name} to be assigned"), async || kind == "source" || has_opened()).await;
}

/// Returns once a callback was met, and reported where it does not return.
async fn noticed(fixture: &Fixture, name: &str, how: Fault, (call, shown): (&str, &str)) {
    let state = shared(name);
    until(&format!("{name} to be hit"), async || lock(&state).faults[call].0 < MANY).await;
    // What waits at its end is dropped when its time is up.
    let is_dropped = how == Fault::Hang && ["stop", "close"].contains(&call);
    if how == Fault::Panic || is_dropped {
        return;
    }
    until(&format!("a report of {name}"), async || {
        let hung = fixture.worker().hung().await.unwrap();
        let of_it = |hung: &Hung| hung.connector == name && hung.callback.as_deref() == Some(shown);
        hung.iter().any(of_it)
    })
    .await;
}

pub(crate) type Callback = (&'static str, &'static str, &'static str);

/// These callbacks at once, each in a connector of its own.
async fn all(how: Fault, callbacks: &[Callback]) {
    let patience = [
        ("task.shutdown.graceful.timeout.ms", "300"),
        ("plugin.hang.report.ms", "1000"),
        ("offset.flush.interval.ms", "50"),
    ];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &patience).await;
    let worker = fixture.worker();
    fixture.source("good", "good", 100_000_000, &[("poll.ms", "1")]).await;
    fixture.source("cook", "food", 100_000_000, &[("poll.ms", "1")]).await;
    fixture.wait_for_task("good", 0, State::Running).await;
    let name = |kind: &str, call: &str| format!("{how:?}-{kind}-{call}");
    let one = async |(kind, call, shown): Callback| {
        let name = name(kind, call);
        lock(&shared(&name)).faults.insert(call, (MANY, how));
        let bad = bad(kind, &name);
        let life = async {
            let created = worker.put_connector(&name, bad, None, false).await;
            // What is called at the end, and what a source commits once it has sent something.
            if call.ends_with("stop") || call == "close" {
                until("it to work", async || {
                    let status = worker.task_status(&name, 0).await;
                    status.is_ok_and(|s| s.status.state == State::Running)
                })
                .await;
                assigned(kind, &name).await;
                worker.set_target_state(&name, TargetState::Stopped).await.unwrap();
            }
            drop(created);
            std::future::pending::<()>().await;
        };
        let seen = noticed(&fixture, &name, how, (call, shown));
        tokio::select! {
            () = life => {}
            () = seen => {}
        }
    };
    let mut hit = Vec::new();
    for &callback in callbacks {
        // A call that only computes cannot wait.
        let waits = !["validate", "apply", "test", "convert"].contains(&callback.1);
        if how != Fault::Hang || waits {
            hit.push(one(callback));
        }
    }
    futures_util::future::join_all(hit).await;
    answers(&fixture).await;
    goes_on(&fixture).await;
    let names = worker.connectors().await.unwrap();
    let bad = names.iter().filter(|name| name.starts_with(&format!("{how:?}")));
    let deleted = futures_util::future::join_all(bad.map(|name| worker.delete_connector(name)));
    // Twenty connectors that do not stop would take five seconds each, one after the other.
    let deleted = timeout(30 * SOON, deleted).await.expect("all can be deleted at once");
    deleted.into_iter().for_each(|deleted| deleted.unwrap());
    answers(&fixture).await;
    goes_on(&fixture).await;
    for (kind, call, _) in callbacks {
        lock(&shared(&name(kind, call))).is_released = true;
    }
    let ended = async || worker.hung().await.unwrap().is_empty();
    until_within(IDLE, "their threads to end", ended).await;
}

#[tokio::test]
async fn a_panic_in_any_callback_harms_nobody_else() {
    all(Fault::Panic, &CALLBACKS).await;
}

#[tokio::test]
async fn a_thread_blocked_in_any_callback_harms_nobody_else() {
    all(Fault::Block, &CALLBACKS).await;
}

#[tokio::test]
async fn a_loop_in_any_callback_harms_nobody_else() {
    let _alone = ALONE.lock().await;
    // More than there are processors would be a test of the machine: until they are made idle, each
    // takes as much as any other test.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    for some in CALLBACKS.chunks(processors) {
        all(Fault::Loop, some).await;
    }
}

#[tokio::test]
async fn a_wait_without_end_in_any_callback_harms_nobody_else() {
    all(Fault::Hang, &CALLBACKS).await;
}

/// A task that was given up wakes up late: what it sends and commits then is refused, and the status
/// is not its own any more.
#[tokio::test]
async fn a_source_task_that_was_given_up_writes_nothing() {
    let patience = [("task.shutdown.graceful.timeout.ms", "100")];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &patience).await;
    let state = shared("late-source");
    fixture.source("late-source", "late", 1000, &[("poll.ms", "1")]).await;
    until("records", async || fixture.end_offset("late").await > 0).await;
    lock(&state).faults.insert("poll", (1, Fault::Block));
    until("it to block", async || lock(&state).faults["poll"].0 == 0).await;
    let worker = fixture.worker();
    worker.set_target_state("late-source", TargetState::Stopped).await.unwrap();
    let hung = worker.hung().await.unwrap();
    assert!(hung[0].given_up && hung[0].callback.as_deref() == Some("poll()"), "{hung:?}");
    let (sent, offsets) =
        (fixture.end_offset("late").await, worker.offsets("late-source").await.unwrap());
    lock(&state).is_released = true;
    until("its thread to end", async || worker.hung().await.unwrap().is_empty()).await;
    assert_eq!(fixture.end_offset("late").await, sent);
    assert_eq!(worker.offsets("late-source").await.unwrap(), offsets);
    assert!(fixture.status("late-source").await.tasks.is_empty());
}

/// Its group does not count on it while it is blocked, and takes no commit of it afterwards.
#[tokio::test]
async fn a_sink_task_that_was_given_up_has_left_its_group() {
    let patience = [("task.shutdown.graceful.timeout.ms", "100")];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &patience).await;
    fixture.source("early", "early", 10, &[]).await;
    until("records", async || fixture.end_offset("early").await == 10).await;
    let state = shared("late-sink");
    lock(&state).faults.insert("put", (1, Fault::Block));
    fixture.sink("late-sink", "early", &[]).await;
    until("it to block", async || lock(&state).faults["put"].0 == 0).await;
    let worker = fixture.worker();
    lock(&state).faults.insert("put", (1, Fault::Fatal));
    worker.restart_task("late-sink", 0).await.unwrap();
    // Its successor has the partition, long before its session ends.
    fixture.wait_for_task("late-sink", 0, State::Failed).await;
    lock(&state).is_released = true;
    until("its thread to end", async || worker.hung().await.unwrap().is_empty()).await;
    assert_eq!(lock(&state).put_values().len(), 10, "it has put its records");
    assert_ne!(fixture.committed("connect-late-sink", "early").await, Some(10));
    let failed = worker.task_status("late-sink", 0).await.unwrap().status;
    assert_eq!(failed.state, State::Failed);
}

async fn put_into(fixture: &Fixture, topic: &str, partition: i32, value: &str) {
    let mut producer = fixture.cluster.producer(&Props::new()).await.unwrap();
    let record = Outgoing {
        topic: topic.into(),
        partition: Some(partition),
        keys: [None::<&[u8]>].into_iter().collect(),
        values: [Some(value.as_bytes())].into_iter().collect(),
        timestamps: None,
        headers: Vec::new(),
    };
    producer.send(&record, Arc::new(Sent)).await.unwrap();
    producer.flush(10 * SOON).await.unwrap();
}

struct Sent;

impl Acknowledge for Sent {
    fn acknowledged(&self, _records: usize) {}

    fn failed(&self, _records: usize, error: &Error) {
        panic!("{error}");
    }
}

/// What a task had that ended with a panic goes to the others at once.
#[tokio::test]
async fn a_sink_task_that_panicked_has_left_its_group() {
    let fixture = Fixture::start().await;
    fixture.create_topic("shared-out", 2).await;
    let state = shared("leaver");
    fixture.sink("leaver", "shared-out", &[("tasks.max", "2")]).await;
    put_into(&fixture, "shared-out", 0, "a").await;
    put_into(&fixture, "shared-out", 1, "b").await;
    let has_put = |value: &str| lock(&state).put_values().iter().any(|put| put == value);
    until("both to be put", async || has_put("a") && has_put("b")).await;
    lock(&state).faults.insert("put", (1, Fault::Panic));
    let states = async || {
        let status = fixture.status("leaver").await;
        status.tasks.iter().map(|task| task.status.state).collect::<Vec<_>>()
    };
    put_into(&fixture, "shared-out", 0, "c").await;
    until("one to fail", async || states().await.contains(&State::Failed)).await;
    put_into(&fixture, "shared-out", 1, "d").await;
    until("the other to have both", async || has_put("c") && has_put("d")).await;
    let states = states().await;
    assert!(states.contains(&State::Failed) && states.contains(&State::Running), "{states:?}");
}

/// What hangs is said in its status, for as long as it does.
#[tokio::test]
async fn a_hung_task_is_named_in_its_status() {
    let patience = [("plugin.hang.report.ms", "200")];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &patience).await;
    let state = shared("named");
    lock(&state).faults.insert("poll", (1, Fault::Loop));
    fixture.source("named", "named", 10, &[]).await;
    let trace =
        async || fixture.worker().task_status("named", 0).await.ok().and_then(|t| t.status.trace);
    until("a word on it", async || trace().await.is_some()).await;
    let told = trace().await.unwrap();
    assert!(told.starts_with("task named-0 has not returned from poll() for"), "{told}");
    assert!(told.ends_with("its thread computes, where no other wants to"), "{told}");
    fixture.wait_for_task("named", 0, State::Running).await;
    lock(&state).is_released = true;
    until_within(IDLE, "it to go on", async || trace().await.is_none()).await;
    until("its records", async || fixture.end_offset("named").await == 10).await;
}

/// Bytes that this process has.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = resident.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    resident * 1024
}

/// A worker that may have so many bytes more than this process has now.
async fn with_memory(more: u64) -> Fixture {
    let limit = (resident() + more).to_string();
    let keys = [
        ("plugin.memory.limit.bytes", limit.as_str()),
        ("task.shutdown.graceful.timeout.ms", "300"),
    ];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &keys).await;
    fixture.source("good", "good", 100_000_000, &[("poll.ms", "1")]).await;
    fixture.wait_for_task("good", 0, State::Running).await;
    fixture
}

/// Who leaks in this callback is given up with the reason, and its thread stands where it wants
/// more; what it has is let go at the end, for the next.
async fn leak((kind, call, shown): Callback) {
    let fixture = with_memory(150 << 20).await;
    let worker = fixture.worker();
    fixture.source("cook", "food", 100_000_000, &[("poll.ms", "1")]).await;
    let name = format!("leaking-{kind}-{call}");
    let state = shared(&name);
    lock(&state).faults.insert(call, (1, Fault::Leak));
    let told = async {
        let created = worker.put_connector(&name, bad(kind, &name), None, false).await;
        match call {
            // Nobody but who has asked can be told.
            "validate" | "verify" => return created.unwrap_err().trace(),
            "connector-stop" | "stop" | "close" => {
                fixture.wait_for_task(&name, 0, State::Running).await;
                assigned(kind, &name).await;
                worker.set_target_state(&name, TargetState::Stopped).await.unwrap();
                return String::new();
            }
            _ => {}
        }
        until(&format!("{name} to fail"), async || trace(&fixture, &name).await.is_some()).await;
        trace(&fixture, &name).await.unwrap()
    };
    let told = timeout(30 * SOON, told).await.expect("who waits for it is told");
    let is_at_its_end = told.is_empty();
    let says_so = told.contains("takes more and more memory") && told.contains(shown);
    assert!(is_at_its_end || says_so, "{name}: {told}");
    until(&format!("the thread of {name} to stand"), async || {
        let hung = worker.hung().await.unwrap();
        let stands = |h: &Hung| h.thread == "stands" && h.callback.as_deref() == Some(shown);
        hung.iter().any(|h| h.connector == name && stands(h))
    })
    .await;
    answers(&fixture).await;
    goes_on(&fixture).await;
    let deleted = timeout(7 * SOON, worker.delete_connector(&name)).await.unwrap();
    if !["validate", "verify"].contains(&call) {
        deleted.unwrap();
    }
    goes_on(&fixture).await;
    lock(&state).kept.clear();
}

/// Why a connector, or its first task, has failed.
async fn trace(fixture: &Fixture, name: &str) -> Option<String> {
    let status = fixture.worker().status(name).await.ok()?;
    let tasks = status.tasks.into_iter().map(|task| task.status);
    let all = [status.connector.status].into_iter().chain(tasks);
    all.filter(|status| status.state == State::Failed).find_map(|status| status.trace)
}

#[tokio::test]
async fn a_leak_in_any_callback_harms_nobody_else() {
    let _alone = ALONE.lock().await;
    for callback in CALLBACKS {
        leak(callback).await;
    }
}

/// One that takes ever more and lets go in between ends where it lets go.
#[tokio::test]
async fn a_task_that_keeps_ever_more_is_failed() {
    let _alone = ALONE.lock().await;
    let fixture = with_memory(150 << 20).await;
    let state = shared("keeping");
    lock(&state).faults.insert("poll", (MANY, Fault::Keep));
    fixture.source("keeping", "keeping", 100_000_000, &[("poll.ms", "1")]).await;
    fixture.wait_for_task("keeping", 0, State::Failed).await;
    lock(&state).kept.clear();
    until("its supervisor to know", async || {
        let parts = fixture.worker().restarts("keeping").await.unwrap().parts;
        parts.iter().any(|part| part.failures[0].error.contains("more and more memory"))
    })
    .await;
    until("its thread to end", async || {
        fixture.worker().hung().await.unwrap().iter().all(|hung| hung.connector != "keeping")
    })
    .await;
    goes_on(&fixture).await;
    lock(&state).faults.clear();
    fixture.worker().restart_task("keeping", 0).await.unwrap();
    fixture.wait_for_task("keeping", 0, State::Running).await;
}

/// Its successor would take as much again.
#[tokio::test]
async fn what_keeps_its_memory_is_restarted_by_hand_only() {
    let _alone = ALONE.lock().await;
    let fixture = with_memory(150 << 20).await;
    let state = shared("restarted");
    lock(&state).faults.insert("poll", (1, Fault::Leak));
    let often = [
        ("errors.restart.policy", "always"),
        ("errors.restart.backoff.ms", "100"),
        ("poll.ms", "1"),
    ];
    fixture.source("restarted", "restarted", 100_000_000, &often).await;
    fixture.wait_for_task("restarted", 0, State::Failed).await;
    until("a word on it", async || {
        let trace = trace(&fixture, "restarted").await;
        trace.is_some_and(|trace| trace.contains("does not restart it by itself before that"))
    })
    .await;
    until("its thread to stand", async || {
        fixture.worker().hung().await.unwrap().iter().any(|hung| hung.thread == "stands")
    })
    .await;
    fixture.wait_for_task("restarted", 0, State::Failed).await;
    lock(&state).kept.clear();
    fixture.worker().restart_task("restarted", 0).await.unwrap();
    fixture.wait_for_task("restarted", 0, State::Running).await;
    // Whoever did that has begun anew.
    lock(&state).faults.insert("poll", (1, Fault::Fatal));
    until("it to be restarted by itself", async || {
        let parts = fixture.worker().restarts("restarted").await.unwrap().parts;
        parts[0].restarts_in_last_hour == 1 && !parts[0].keeps_memory
    })
    .await;
    fixture.wait_for_task("restarted", 0, State::Running).await;
    goes_on(&fixture).await;
}
