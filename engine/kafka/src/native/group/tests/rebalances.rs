//! What a member does when its coordinator, which the test plays, makes it lose or give up
//! partitions at a bad moment. Only waits move the clock.

use kafka_protocol::ResponseError as Code;

use super::played::{Played, Said};
use super::*;

const PROTOCOLS: [(&str, &str); 2] =
    [("group.protocol", "classic"), ("group.protocol", "consumer")];

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
