//! What every consumer of a Kafka cluster must do, beyond what the embedded one has to: a function
//! for each promise, for `conformance!` to run against each client.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_api::ErrorKind;
use millrace_kafka::{Cluster, Consumer, Polled, Subscription};
use tokio::time::{Instant, sleep};

use crate::fixture::*;

/// Polls until this returns something; records are passed over.
async fn until<T>(
    members: &mut [&mut Tracked],
    mut done: impl FnMut(&[&mut Tracked]) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = done(members) {
            return done;
        }
        assert!(Instant::now() < deadline, "the group does not get there");
        for member in members.iter_mut() {
            member.poll().await;
        }
    }
}

/// Between `Assigned` and the next poll the caller may move and stop partitions.
pub(crate) async fn seek_and_pause_before_fetching_begins(cluster: &dyn Cluster) {
    let topic = topic(cluster, "assigned", 2).await;
    produce(cluster, &[], &[numbers(&topic, Some(0), 0, 50), numbers(&topic, Some(1), 0, 50)])
        .await;
    let mut consumer = member(cluster, &unique("group"), &[]).await;
    consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !matches!(consumer.poll(POLL).await.unwrap(), Polled::Assigned(_)) {
        assert!(Instant::now() < deadline);
    }
    let (zero, one) = (tp(&topic, 0), tp(&topic, 1));
    let position = consumer.position(&[zero.clone(), one.clone()]).await.unwrap();
    assert_eq!(position, BTreeMap::from([(zero.clone(), 0), (one.clone(), 0)]));
    consumer.seek(&BTreeMap::from([(zero.clone(), 40)])).await.unwrap();
    consumer.pause(std::slice::from_ref(&one)).unwrap();
    let rows = read(&mut *consumer, 10).await;
    assert!(rows[&zero].iter().map(number).eq(40..50));
    assert!(matches!(consumer.poll(POLL).await.unwrap(), Polled::Records(runs) if runs.is_empty()));
    consumer.seek(&BTreeMap::from([(one.clone(), 45)])).await.unwrap();
    consumer.resume(std::slice::from_ref(&one)).unwrap();
    let rows = read(&mut *consumer, 5).await;
    assert!(rows[&one].iter().map(number).eq(45..50));
}

/// Records that were fetched ahead do not come after a pause, and come after the resume.
pub(crate) async fn a_pause_in_the_middle_holds_back_what_was_fetched_ahead(cluster: &dyn Cluster) {
    let topic = topic(cluster, "ahead", 1).await;
    produce(cluster, &[], &[numbers(&topic, None, 0, 4_000)]).await;
    let mut consumer = reader(cluster, &topic, 1).await;
    let mut all = Vec::new();
    while all.len() < 4_000 {
        let rows = read_some(&mut *consumer).await;
        all.extend(rows);
        consumer.pause(&[tp(&topic, 0)]).unwrap();
        for _ in 0..2 {
            let polled = consumer.poll(Duration::from_millis(2)).await.unwrap();
            assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
        }
        consumer.resume(&[tp(&topic, 0)]).unwrap();
    }
    assert!(all.into_iter().eq(0..4_000));
}

async fn read_some(consumer: &mut dyn Consumer) -> Vec<usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no records come");
        let Polled::Records(runs) = consumer.poll(POLL).await.unwrap() else {
            continue;
        };
        let read: Vec<_> = runs.iter().flat_map(rows).map(|row| number(&row)).collect();
        if !read.is_empty() {
            return read;
        }
    }
}

/// The cooperative protocol moves only the partitions that change hands, and a commit for them
/// is still taken after `Revoked`.
pub(crate) async fn cooperative_members_keep_what_they_have(cluster: &dyn Cluster) {
    let topic = topic(cluster, "cooperative", 4).await;
    let group = unique("group");
    let runs: Vec<_> = (0..4).map(|p| numbers(&topic, Some(p), 0, 100)).collect();
    produce(cluster, &[], &runs).await;
    let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let strategy = [("partition.assignment.strategy", class)];
    let subscription = Subscription::Topics(vec![topic.clone()]);
    let mut first = Tracked::new(member(cluster, &group, &strategy).await);
    first.consumer.subscribe(&subscription).await.unwrap();
    until(&mut [&mut first], |m| (m[0].read.len() == 400).then_some(())).await;
    let before = first.assigned.clone();
    let mut second = Tracked::new(member(cluster, &group, &strategy).await);
    second.consumer.subscribe(&subscription).await.unwrap();
    let shared =
        |m: &[&mut Tracked]| (m[0].assigned.len() == 2 && m[1].assigned.len() == 2).then_some(());
    until(&mut [&mut first, &mut second], shared).await;
    assert!(first.assigned.is_subset(&before));
    // `Tracked` has committed what was revoked, so the second member has nothing left to read.
    let moved: Vec<_> = second.assigned.iter().cloned().collect();
    let committed = cluster.committed(&group, &moved).await.unwrap();
    assert!(committed.len() == 2 && committed.values().all(|offset| *offset == 100));
    assert!(second.read.is_empty());
    // Without a close, dropping the second member gives its partitions back.
    drop(second);
    until(&mut [&mut first], |m| (m[0].assigned.len() == 4).then_some(())).await;
}

/// Who does not poll for `max.poll.interval.ms` loses the partitions, is told so, and cannot
/// commit for them; polling on brings them back.
pub(crate) async fn a_member_that_does_not_poll_loses_its_partitions(cluster: &dyn Cluster) {
    let topic = topic(cluster, "lost", 1).await;
    produce(cluster, &[], &[numbers(&topic, None, 0, 10)]).await;
    let short = [("session.timeout.ms", "6000"), ("max.poll.interval.ms", "6000")];
    let mut consumer = member(cluster, &unique("group"), &short).await;
    consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    read(&mut *consumer, 10).await;
    sleep(Duration::from_secs(8)).await;
    let error = consumer.commit(&BTreeMap::from([(tp(&topic, 0), 5)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while seen != ["lost", "assigned"] {
        assert!(Instant::now() < deadline, "{seen:?}");
        match consumer.poll(POLL).await.unwrap() {
            Polled::Lost(partitions) => {
                assert_eq!(partitions, [tp(&topic, 0)]);
                seen.push("lost");
            }
            Polled::Assigned(_) => seen.push("assigned"),
            Polled::Revoked(partitions) => panic!("{partitions:?} are lost, not revoked"),
            Polled::Records(_) => {}
        }
    }
    assert_eq!(read_one(&mut *consumer, 10).await.len(), 10, "nothing was committed");
}

/// The new group protocol goes through the same events.
pub(crate) async fn the_consumer_group_protocol(cluster: &dyn Cluster) {
    let topic = topic(cluster, "kip848", 2).await;
    produce(cluster, &[], &[numbers(&topic, Some(0), 0, 10), numbers(&topic, Some(1), 0, 10)])
        .await;
    let group = unique("group");
    let mut consumer =
        Tracked::new(member(cluster, &group, &[("group.protocol", "consumer")]).await);
    consumer.consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    until(&mut [&mut consumer], |m| (m[0].read.len() == 20).then_some(())).await;
    let at = BTreeMap::from([(tp(&topic, 0), 10), (tp(&topic, 1), 10)]);
    consumer.consumer.commit(&at).await.unwrap();
    let both: Vec<_> = at.keys().cloned().collect();
    assert_eq!(cluster.committed(&group, &both).await.unwrap(), at);
    consumer.consumer.close().await.unwrap();
}
