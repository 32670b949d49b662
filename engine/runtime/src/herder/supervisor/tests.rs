//! Failures at chosen times, and what becomes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millrace_api::Props;

use super::*;
use crate::config::restart::check;

fn supervisor(pairs: &[(&str, &str)]) -> Supervisor {
    let props = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut supervisor = Supervisor::new("orders", |_| false);
    supervisor.configure(RestartPolicy::of(&props, &Props::new()).unwrap());
    supervisor
}

fn away() -> Failure {
    Failure::of(&Error::retriable("the database is away"))
}

fn poison(offset: i64) -> Failure {
    let cause = Error::data("no JSON")
        .context("topic", "t")
        .context("partition", 0)
        .context("offset", offset);
    Failure::of(&Error::fatal("Exiting").with_source(cause))
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_a_limit_and_an_hour_has_a_budget() {
    let mut supervisor = supervisor(&[
        ("errors.restart.backoff.ms", "10000"),
        ("errors.restart.backoff.max.ms", "60000"),
        ("errors.restart.max.per.hour", "5"),
    ]);
    let begun = Instant::now();
    let mut waits = Vec::new();
    for number in 0..6 {
        assert!(supervisor.failed(Some(0), away(), Instant::now()));
        let told = supervisor.remark(Some(0), Instant::now()).unwrap();
        let what_to_do = "then POST /connectors/orders/tasks/0/restart restarts it at once";
        assert_eq!(told.ends_with(what_to_do), number == 5, "{told}");
        let due = supervisor.next().unwrap();
        waits.push(due.duration_since(Instant::now()).as_secs_f64());
        tokio::time::sleep_until(due).await;
        assert_eq!(supervisor.take_due(Instant::now()), [Some(0)]);
        assert_eq!(supervisor.next(), None);
    }
    for (wait, most) in waits.iter().zip([10.0, 20.0, 40.0, 60.0, 60.0]) {
        assert!((most * 0.9..=most).contains(wait), "{waits:?}");
    }
    assert!(begun.elapsed() >= HOUR, "the sixth waits until the first is an hour old");
    let restarts = supervisor.restarts(Instant::now());
    assert_eq!((restarts.policy, restarts.parts[0].failures.len()), ("transient", 6));
    assert!(restarts.parts[0].failures.iter().all(|f| f.by_itself && f.class == "transient"));
    // After a long time that went well it begins anew.
    tokio::time::sleep(HOUR).await;
    supervisor.failed(Some(0), away(), Instant::now());
    let wait = supervisor.next().unwrap().duration_since(Instant::now());
    assert!(wait <= Duration::from_secs(10), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_decides_what_restarts() {
    for (policy, restarts) in
        [("off", [false, false]), ("transient", [true, false]), ("always", [true, true])]
    {
        let mut supervisor = supervisor(&[("errors.restart.policy", policy)]);
        let now = Instant::now();
        assert_eq!(supervisor.failed(None, away(), now), restarts[0], "{policy}");
        assert_eq!(supervisor.failed(Some(1), poison(5), now), restarts[1], "{policy}");
        let due = restarts.iter().filter(|restarts| **restarts).count();
        let mut taken = supervisor.take_due(now + HOUR);
        taken.extend(supervisor.take_due(now + HOUR));
        assert_eq!(taken.len(), due);
    }
    let wrong = Props::from([("errors.restart.policy".to_owned(), "sometimes".to_owned())]);
    assert_eq!(check(&wrong)[0].key, "errors.restart.policy");
    assert!(check(&Props::new()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_trace_says_what_comes_next() {
    let mut supervisor = supervisor(&[]);
    let now = Instant::now();
    supervisor.failed(Some(0), away(), now);
    let said = supervisor.remark(Some(0), now).unwrap();
    assert!(said.starts_with("Millrace restarts it by itself in "), "{said}");
    assert!(said.contains("(attempt 1 of 10 within an hour; errors.restart.policy=transient)"));
    supervisor.rest(true);
    assert_eq!(supervisor.next(), None);
    assert!(supervisor.remark(Some(0), now).unwrap().contains("once it is resumed"));
    supervisor.rest(false);
    supervisor.restarted_by_hand(Some(0));
    assert_eq!((supervisor.next(), supervisor.remark(Some(0), now)), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_stands_in_the_way_is_named() {
    let mut supervisor = supervisor(&[]);
    let now = Instant::now();
    supervisor.failed(Some(2), poison(5), now);
    assert_eq!(supervisor.remark(Some(2), now), None, "once may be chance");
    supervisor.restarted_by_hand(Some(2));
    let place = RecordPlace::Topic { topic: "t".into(), partition: 0, offset: 5 };
    assert_eq!(supervisor.obstacle(2, &place).unwrap_err().kind(), ErrorKind::Conflict);
    supervisor.failed(Some(2), poison(5), now);
    assert_eq!(
        supervisor.remark(Some(2), now).unwrap(),
        "It has failed 2 times at topic t, partition 0, offset 5: POST \
         /ext/v1/connectors/orders/tasks/2/skip with \
         {\"topic\":\"t\",\"partition\":0,\"offset\":5} skips it"
    );
    assert!(supervisor.obstacle(2, &place).unwrap().starts_with("Exiting"));
    supervisor.failed(Some(2), poison(9), now);
    assert_eq!(supervisor.remark(Some(2), now), None, "it got further");
    let elsewhere = supervisor.obstacle(2, &place).unwrap_err();
    assert!(elsewhere.to_string().contains("offset 9"), "{elsewhere}");
}

/// Neither by an old failure, nor twice.
#[test]
fn a_task_that_was_replaced_is_not_restarted() {
    let mut supervisor = supervisor(&[("errors.restart.policy", "always")]);
    let now = Instant::now();
    for part in [None, Some(0), Some(1)] {
        supervisor.failed(part, poison(5), now);
    }
    assert_eq!(supervisor.take_due(now + HOUR), [None], "it may replace its tasks");
    supervisor.replaced(&[0], 2);
    let place = RecordPlace::Topic { topic: "t".into(), partition: 0, offset: 5 };
    assert!(supervisor.obstacle(0, &place).is_err());
    assert!(supervisor.obstacle(1, &place).is_ok());
    assert_eq!(supervisor.take_due(now + HOUR), [Some(1)]);
    assert_eq!(supervisor.take_due(now + HOUR), []);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut supervisor = supervisor(&[]);
    for n in 0..100 {
        supervisor.failed(Some(0), poison(n), Instant::now());
    }
    assert_eq!(supervisor.restarts(Instant::now()).parts[0].failures.len(), HISTORY);
    supervisor.replaced(&[0], 0);
    assert!(supervisor.restarts(Instant::now()).parts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_keeps_its_memory_is_not_restarted() {
    let keeps = Arc::new(AtomicBool::new(true));
    let its = Arc::clone(&keeps);
    let mut supervisor =
        Supervisor::new("orders", move |part| part == Some(1) && its.load(Ordering::Relaxed));
    assert!(supervisor.failed(Some(1), away(), Instant::now()));
    let said = |supervisor: &Supervisor| supervisor.remark(Some(1), Instant::now());
    let why = "does not restart it by itself before that thread has ended";
    assert!(said(&supervisor).unwrap().contains(why));
    for _ in 0..3 {
        tokio::time::sleep_until(supervisor.next().unwrap()).await;
        assert_eq!(supervisor.take_due(Instant::now()), []);
    }
    assert!(said(&supervisor).unwrap().contains(why));
    let part = |supervisor: &Supervisor| supervisor.restarts(Instant::now()).parts[0].clone();
    assert_eq!(
        (part(&supervisor).keeps_memory, part(&supervisor).restarts_in_last_hour),
        (true, 0)
    );
    keeps.store(false, Ordering::Relaxed);
    assert!(said(&supervisor).unwrap().starts_with("Millrace restarts it by itself in 1 s"));
    assert!(!part(&supervisor).keeps_memory);
    tokio::time::sleep_until(supervisor.next().unwrap()).await;
    assert_eq!(supervisor.take_due(Instant::now()), [Some(1)]);
    assert_eq!(said(&supervisor), None);
}

/// Nobody restarts it, which is not promised either; what to do is said all the same.
#[test]
fn what_keeps_its_memory_says_so_whatever_the_policy() {
    let mut supervisor = Supervisor::new("orders", |_| true);
    assert!(!supervisor.failed(None, Failure::of(&Error::fatal("it leaks")), Instant::now()));
    let said = supervisor.remark(None, Instant::now()).unwrap();
    assert!(said.ends_with("POST /connectors/orders/restart restarts it beside that thread"));
    assert!(!said.contains("by itself"), "{said}");
}
