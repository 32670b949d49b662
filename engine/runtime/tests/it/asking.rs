//! What a task does while its converters wait for somebody who is away, such as a registry.

use millrace_runtime::{Herder, State, TargetState};

use crate::fixture::{Fixture, GRACE, until};
use crate::plugins::{Event, Fault, lock, shared};

const FOREVER: usize = 1_000_000;

/// A connector whose values have to be asked for.
fn asking(name: &str) -> [(&str, &str); 2] {
    [("value.converter", "test.Asking"), ("value.converter.of", name)]
}

fn values(source: &str, count: i64) -> Vec<String> {
    (0..count).map(|n| format!("{source}-0-{n}")).collect()
}

fn puts(name: &str) -> usize {
    let shared = shared(name);
    let shared = lock(&shared);
    shared.events.iter().filter(|event| matches!(event, Event::Put(..))).count()
}

fn faults(name: &str, count: usize, fault: Fault) {
    lock(&shared(name)).faults.insert("prepare", (count, fault));
}

#[tokio::test]
async fn a_sink_keeps_what_it_cannot_convert_yet() {
    let fixture = Fixture::start().await;
    fixture.source("src-kept", "kept", 60, &[]).await;
    until("all records", async || fixture.end_offset("kept").await == 60).await;
    faults("kept", FOREVER, Fault::Retriable);
    fixture.sink("kept", "kept", &asking("kept")).await;
    // It goes on polling, and putting nothing.
    until("a second put", async || puts("kept") >= 2).await;
    assert!(lock(&shared("kept")).put_values().is_empty());
    assert_eq!(fixture.committed("connect-kept", "kept").await, None);
    fixture.source("src-more", "kept", 5, &[]).await;
    lock(&shared("kept")).faults.remove("prepare");
    until("all records", async || lock(&shared("kept")).put_values().len() >= 65).await;
    let expected = [values("src-kept", 60), values("src-more", 5)].concat();
    assert_eq!(lock(&shared("kept")).put_values(), expected);
    until("a commit", async || fixture.committed("connect-kept", "kept").await == Some(65)).await;
}

/// Nobody answers, not even with an error: the loop does not stand still.
#[tokio::test]
async fn a_sink_polls_while_its_converters_hang() {
    let mut fixture = Fixture::start().await;
    fixture.source("src-hangs", "hangs", 10, &[]).await;
    until("all records", async || fixture.end_offset("hangs").await == 10).await;
    faults("hangs", FOREVER, Fault::Hang);
    fixture.sink("hangs", "hangs", &asking("hangs")).await;
    until("a put beside it", async || puts("hangs") >= 2).await;
    assert!(lock(&shared("hangs")).put_values().is_empty());
    fixture.stop_worker().await;
    assert!(matches!(lock(&shared("hangs")).events.last(), Some(Event::Stop)));
    // Another worker has more luck.
    lock(&shared("hangs")).faults.remove("prepare");
    fixture.start_worker().await;
    fixture.sink("hangs", "hangs", &asking("hangs")).await;
    until("all records", async || lock(&shared("hangs")).put_values().len() == 10).await;
}

/// Neither while its questions fail, nor while nobody answers them.
#[tokio::test]
async fn a_partition_that_waits_holds_up_no_other() {
    let fixture = Fixture::start().await;
    for (name, fault) in [("stuck-refused", Fault::Retriable), ("stuck-unheard", Fault::Hang)] {
        let flows = format!("flows-beside-{name}");
        fixture.source(&format!("src-{name}"), name, 30, &[]).await;
        fixture.source(&format!("src-{flows}"), &flows, 30, &[]).await;
        lock(&shared(name)).faults.insert(name, (FOREVER, fault));
        let topics = format!("{name},{flows}");
        fixture.sink(name, &topics, &asking(name)).await;
        until("the other's", async || lock(&shared(name)).put_values().len() == 30).await;
        fixture.source(&format!("src-more-{name}"), &flows, 20, &[]).await;
        until("more of it", async || lock(&shared(name)).put_values().len() == 50).await;
        let group = format!("connect-{name}");
        let other = async || fixture.committed(&group, &flows).await == Some(50);
        until("a commit of the other", other).await;
        assert_eq!(fixture.committed(&group, name).await, None);
        lock(&shared(name)).faults.remove(name);
        until("all records", async || lock(&shared(name)).put_values().len() == 80).await;
        let all = lock(&shared(name)).put_values();
        assert_eq!(all[50..], values(&format!("src-{name}"), 30));
        until("its commit", async || fixture.committed(&group, name).await == Some(30)).await;
    }
}

/// A partition that goes takes along what is held of it.
#[tokio::test]
async fn what_is_held_of_a_lost_partition_is_dropped() {
    let fixture = Fixture::start().await;
    fixture.create_topic("keeps", 1).await;
    fixture.create_topic("loses", 1).await;
    fixture.source("src-loses", "loses", 5, &[]).await;
    until("the records", async || fixture.end_offset("loses").await == 5).await;
    faults("holds-lost", FOREVER, Fault::Retriable);
    fixture.sink("holds-lost", "keeps,loses", &asking("holds-lost")).await;
    until("a put without records", async || puts("holds-lost") >= 1).await;
    fixture.cluster.delete_topic("loses").await.unwrap();
    let closed = |e: &Event| matches!(e, Event::Close(_));
    until("the loss", async || lock(&shared("holds-lost")).events.iter().any(closed)).await;
    lock(&shared("holds-lost")).faults.remove("prepare");
    // What is left flows again.
    fixture.source("src-keeps", "keeps", 5, &[]).await;
    until("the other's", async || lock(&shared("holds-lost")).put_values().len() == 5).await;
    assert_eq!(lock(&shared("holds-lost")).put_values(), values("src-keeps", 5));
}

#[tokio::test]
async fn a_paused_sink_puts_nothing_of_what_it_holds() {
    let fixture = Fixture::start().await;
    fixture.source("src-rests", "rests-holding", 10, &[]).await;
    until("all records", async || fixture.end_offset("rests-holding").await == 10).await;
    faults("rests-holding", FOREVER, Fault::Retriable);
    fixture.sink("rests-holding", "rests-holding", &asking("rests-holding")).await;
    until("a put without records", async || puts("rests-holding") >= 1).await;
    fixture.worker().set_target_state("rests-holding", TargetState::Paused).await.unwrap();
    fixture.wait_for_task("rests-holding", 0, State::Paused).await;
    lock(&shared("rests-holding")).faults.remove("prepare");
    let before = puts("rests-holding");
    until("more puts", async || puts("rests-holding") >= before + 2).await;
    assert!(lock(&shared("rests-holding")).put_values().is_empty());
    fixture.worker().set_target_state("rests-holding", TargetState::Started).await.unwrap();
    until("all records", async || lock(&shared("rests-holding")).put_values().len() == 10).await;
}

#[tokio::test]
async fn patience_ends_as_configured() {
    let fixture = Fixture::start().await;
    fixture.source("src-ends", "ends", 10, &[]).await;
    for (name, fault) in [("ends", Fault::Retriable), ("ends-at-once", Fault::Fatal)] {
        faults(name, FOREVER, fault);
        let limit = [("errors.retry.timeout", "500"), ("errors.tolerance", "all")];
        fixture.sink(name, "ends", &[&asking(name)[..], &limit].concat()).await;
        fixture.wait_for_task(name, 0, State::Failed).await;
        let status = fixture.status(name).await;
        let trace = status.tasks[0].status.trace.clone().unwrap();
        assert!(trace.contains("prepare "), "{trace}");
        assert_eq!(trace.contains("errors.retry.timeout"), fault == Fault::Retriable, "{trace}");
    }
}

#[tokio::test]
async fn a_source_asks_again_and_loses_nothing() {
    let mut fixture = Fixture::start().await;
    faults("asks", 2, Fault::Retriable);
    fixture.source("asks", "asks", 25, &asking("asks")).await;
    until("all records", async || fixture.end_offset("asks").await == 25).await;
    fixture.stop_worker().await;
    assert_eq!(fixture.end_offset("asks").await, 25);
}

#[tokio::test]
async fn a_source_that_waits_pauses_and_stops_when_told() {
    let mut fixture = Fixture::start().await;
    for (name, fault) in [("waits-asking", Fault::Retriable), ("hangs-asking", Fault::Hang)] {
        faults(name, FOREVER, fault);
        fixture.source(name, name, 25, &asking(name)).await;
        let left = async || lock(&shared(name)).faults["prepare"].0 < FOREVER;
        until("the first question", left).await;
        fixture.worker().set_target_state(name, TargetState::Paused).await.unwrap();
        fixture.wait_for_task(name, 0, State::Paused).await;
        fixture.worker().set_target_state(name, TargetState::Started).await.unwrap();
        fixture.wait_for_task(name, 0, State::Running).await;
    }
    // The task that hangs asks again after the pause.
    lock(&shared("hangs-asking")).faults.remove("prepare");
    fixture.worker().set_target_state("hangs-asking", TargetState::Paused).await.unwrap();
    fixture.wait_for_task("hangs-asking", 0, State::Paused).await;
    fixture.worker().set_target_state("hangs-asking", TargetState::Started).await.unwrap();
    until("all records", async || fixture.end_offset("hangs-asking").await == 25).await;

    let begun = std::time::Instant::now();
    fixture.stop_worker().await;
    assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
    assert_eq!(fixture.end_offset("waits-asking").await, 0);
    fixture.start_worker().await;
    lock(&shared("waits-asking")).faults.remove("prepare");
    fixture.source("waits-asking", "waits-asking", 25, &asking("waits-asking")).await;
    until("all records", async || fixture.end_offset("waits-asking").await == 25).await;
}
