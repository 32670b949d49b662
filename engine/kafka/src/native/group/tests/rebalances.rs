//! What a member does when its coordinator, which the test plays, makes it lose or give up
//! partitions at a bad moment. Only waits move the clock.

use kafka_protocol::ResponseError as Code;

use super::played::{Played, Said, settings};
use super::*;
use crate::native::group::classic::MembershipEvent;
use crate::native::group::consumer_protocol;

const PROTOCOLS: [(&str, &str); 2] =
    [("group.protocol", "classic"), ("group.protocol", "consumer")];
const MODERN: (&str, &str) = PROTOCOLS[1];
const COOPERATIVE: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");

fn partitions(numbers: &[i32]) -> BTreeSet<TopicPartition> {
    numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
}

/// A member that owns partitions 0 and 1 and is done with hearing of it.
async fn owner(cluster: &Played, more: &[(&str, &str)]) -> Reader {
    let mut member = cluster.member(more);
    until(&mut [&mut member], |readers| readers[0].owned == partitions(&[0, 1])).await;
    polling(&mut member, Duration::from_secs(1)).await;
    member
}

/// Polls for so long.
async fn polling(member: &mut Reader, time: Duration) {
    let began = Instant::now();
    until(&mut [member], |_| began.elapsed() >= time).await;
}

async fn commit(member: &Reader) -> Result<()> {
    let committed = CommittedOffset { offset: 3, leader_epoch: 0 };
    member.group.commit(&BTreeMap::from([(TopicPartition::new("t", 0), committed)])).await
}

async fn is_conflict(member: &Reader) -> bool {
    commit(member).await.is_err_and(|error| error.kind() == ErrorKind::Conflict)
}

#[tokio::test(start_paused = true)]
async fn nobody_commits_what_it_lost_before_it_has_heard_of_that() {
    for protocol in PROTOCOLS {
        let cluster = Played::new(&[0, 1]);
        let mut member = owner(&cluster, &[protocol]).await;
        cluster.world().refuses_heartbeats = Some(Code::UnknownMemberId);
        // Records are put meanwhile, and then there is a commit before the next poll.
        sleep(Duration::from_secs(60)).await;
        assert!(is_conflict(&member).await, "{protocol:?}");
        // It has heard of the loss and may still be closing what it lost.
        member.poll().await;
        assert!(matches!(member.events.last(), Some(GroupEvent::Lost(_))), "{:?}", member.events);
        sleep(Duration::from_secs(60)).await;
        assert!(is_conflict(&member).await, "{protocol:?}");
        assert_eq!(cluster.world().commits(), 0, "{protocol:?}");
        // With the next poll it is a member again.
        until(&mut [&mut member], |readers| readers[0].owned == partitions(&[0, 1])).await;
        commit(&member).await.unwrap();
        assert_eq!(cluster.world().said.last(), Some(&Said::Commit(2)), "{protocol:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_does_not_outlive_the_membership_it_began_in() {
    for (protocol, refusal) in
        PROTOCOLS.into_iter().zip([Code::RebalanceInProgress, Code::StaleMemberEpoch])
    {
        let cluster = Played::new(&[0, 1]);
        let member = owner(&cluster, &[protocol]).await;
        cluster.world().refuses_commits = Some(refusal);
        cluster.world().refuses_heartbeats = Some(Code::UnknownMemberId);
        assert!(is_conflict(&member).await, "{protocol:?}");
        let said = cluster.world().said.clone();
        assert!(said.contains(&Said::Commit(1)) && !said.contains(&Said::Commit(2)), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_is_joined_once_also_if_it_was_called_for_meanwhile() {
    let cluster = Played::new(&[0, 1]);
    let mut member = owner(&cluster, &[COOPERATIVE]).await;
    cluster.world().given = vec![0];
    cluster.world().refuses_heartbeats = Some(Code::RebalanceInProgress);
    until(&mut [&mut member], |readers| readers[0].has_given_up()).await;
    assert_eq!(cluster.world().joins().len(), 2);
    // It is still giving up when another joins first.
    cluster.world().refuses_heartbeats = Some(Code::RebalanceInProgress);
    sleep(Duration::from_secs(5)).await;
    polling(&mut member, Duration::from_secs(60)).await;
    let joins = cluster.world().joins();
    assert_eq!(joins.len(), 3);
    let offered = consumer_protocol::Subscription::decode(joins[2].clone()).unwrap();
    assert_eq!(offered.owned, [TopicPartition::new("t", 0)]);
}

#[tokio::test(start_paused = true)]
async fn who_joins_while_joining_is_asked_again_for_what_it_offers() {
    let cluster = Played::new(&[0]);
    let client = cluster.client(&settings(&[]));
    let membership = MembershipSettings {
        group: "g".to_owned(),
        protocol_type: "connect".to_owned(),
        instance: None,
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        heartbeat_interval: Duration::from_millis(200),
    };
    let mut member = Membership::new(Arc::new(Coordinator::new(client, "g")), membership);
    let offer =
        |words: &'static str| vec![("p".into(), bytes::Bytes::from_static(words.as_bytes()))];
    member.join(offer("nothing"), "begins").await;
    member.join(offer("still nothing"), "its address has changed").await;
    let event = member.next_event().await.unwrap();
    assert!(matches!(event, MembershipEvent::Assigned { generation: 1, .. }), "{event:?}");
    assert_eq!(member.next_event().await.unwrap(), MembershipEvent::Prepare);
    member.join(offer("what it was assigned"), "called").await;
    let event = member.next_event().await.unwrap();
    assert!(matches!(event, MembershipEvent::Assigned { generation: 2, .. }), "{event:?}");
    assert_eq!(cluster.world().joins(), ["nothing", "what it was assigned"]);
}

#[tokio::test(start_paused = true)]
async fn who_was_silent_when_it_was_to_give_up_hears_of_a_loss() {
    for protocol in PROTOCOLS {
        let cluster = Played::new(&[0, 1]);
        let mut member = owner(&cluster, &[protocol, ("max.poll.interval.ms", "2000")]).await;
        match protocol {
            MODERN => cluster.world().given = vec![0],
            _ => cluster.world().refuses_heartbeats = Some(Code::RebalanceInProgress),
        }
        sleep(Duration::from_secs(10)).await;
        while !member.owned.is_empty() {
            assert!(is_conflict(&member).await, "{protocol:?}");
            member.poll().await;
            let told = member.events.last();
            assert!(matches!(told, Some(GroupEvent::Lost(_))), "{protocol:?}: {told:?}");
        }
        assert!(is_conflict(&member).await, "{protocol:?}");
        assert_eq!(cluster.world().commits(), 0, "{protocol:?}");
        let given = partitions(&cluster.world().given.clone());
        until(&mut [&mut member], |readers| readers[0].owned == given).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_being_given_up_is_not_lost_as_well() {
    for protocol in [MODERN, COOPERATIVE] {
        let cluster = Played::new(&[0, 1]);
        let mut member = owner(&cluster, &[protocol]).await;
        cluster.world().given = vec![0];
        if protocol != MODERN {
            cluster.world().refuses_heartbeats = Some(Code::RebalanceInProgress);
        }
        until(&mut [&mut member], |readers| readers[0].has_given_up()).await;
        cluster.world().refuses_heartbeats = Some(Code::UnknownMemberId);
        sleep(Duration::from_secs(5)).await;
        assert!(is_conflict(&member).await, "{protocol:?}");
        let heard = member.events.len();
        until(&mut [&mut member], |readers| readers[0].events.len() == heard + 2).await;
        let lost = GroupEvent::Lost(vec![TopicPartition::new("t", 0)]);
        assert_eq!(member.events[heard], lost, "{protocol:?}");
        assert_eq!(member.owned, partitions(&[0]), "{protocol:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_closed_while_it_joins_leaves() {
    let cluster = Played::new(&[0, 1]);
    let member = cluster.member(&[MODERN]);
    until_joined(&cluster).await;
    member.group.leave().await;
    assert_eq!(cluster.world().said, [Said::Join(bytes::Bytes::new()), Said::Leave(-1)]);
}

#[tokio::test(start_paused = true)]
async fn who_fails_leaves() {
    let cluster = Played::new(&[0, 1]);
    let mut member = owner(&cluster, &[MODERN]).await;
    cluster.world().refuses_heartbeats = Some(Code::GroupAuthorizationFailed);
    assert!(matches!(member.group.next_event().await, Ok(GroupEvent::Lost(_))));
    let error = member.group.next_event().await.unwrap_err();
    assert!(error.to_string().contains("cannot be a member"), "{error}");
    member.group.leave().await;
    assert_eq!(cluster.world().said.last(), Some(&Said::Leave(-1)));
}

/// Waits until the coordinator has a member, which does not know it yet.
async fn until_joined(cluster: &Played) {
    cluster.world().delay = Duration::from_secs(2);
    while cluster.world().joins().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_know_the_topic_takes_nothing_away() {
    let cluster = Played::new(&[0, 1]);
    let mut member = owner(&cluster, &[MODERN]).await;
    cluster.world().has_topic = false;
    polling(&mut member, Duration::from_secs(60)).await;
    assert!(!member.has_given_up(), "{:?}", member.events);
}
