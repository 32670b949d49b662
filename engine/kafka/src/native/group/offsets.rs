//! Decides how a group's offsets are committed and read: as a member of this generation, or from
//! outside while the group has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use tokio::time::{Instant, sleep};

use super::coordinator::Coordinator;
use super::text;
use crate::native::backoff::Backoff;
use crate::native::brokers::Lane;
use crate::native::client::{CallError, check};

/// Who speaks for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Empty for who is no member.
    pub(crate) member_id: Arc<str>,
    /// `group.instance.id`
    pub(crate) instance: Option<Arc<str>>,
    /// The generation, or with KIP-848 the member's epoch; -1 for who is no member.
    pub(crate) generation: i32,
    /// Whether it has a membership, which has not begun or was lost. What it would commit from
    /// outside, into a group that is empty now, others may have done already.
    is_absent: bool,
}

impl Identity {
    /// Who has no membership.
    pub(crate) fn outsider(instance: Option<Arc<str>>) -> Self {
        Self { member_id: "".into(), instance, generation: -1, is_absent: false }
    }

    /// Who is to be a member and is none at the moment.
    pub(crate) fn absent(instance: Option<Arc<str>>) -> Self {
        Self { is_absent: true, ..Self::outsider(instance) }
    }

    pub(crate) fn member(member_id: Arc<str>, instance: Option<Arc<str>>, generation: i32) -> Self {
        Self { member_id, instance, generation, is_absent: generation < 0 }
    }

    fn is_member(&self) -> bool {
        self.generation >= 0
    }
}

/// A group's progress in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    /// The next offset to read.
    pub(crate) offset: i64,
    /// The leader epoch of the last record read; -1 where it is not known.
    pub(crate) leader_epoch: i32,
}

/// Commits offsets, within `default.api.timeout.ms`. While the group is being rebalanced it waits:
/// a member that keeps partitions over a rebalance may commit for them in the new generation only.
///
/// `who` is asked before each try. A member that has lost its partitions is absent until its caller
/// knows, so that no try is made in a membership that began after the loss. Cancel-safe in that the
/// offsets may be committed or not.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] when the group does not take `who` for a member of its generation, or
/// `who` is absent.
pub(crate) async fn commit(
    coordinator: &Coordinator,
    who: impl Fn() -> Identity,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<()> {
    const WHAT: &str = "offsets cannot be committed";
    const ABSENT: &str = "the consumer is no member of its group at the moment";
    if offsets.is_empty() {
        return Ok(());
    }
    let mut tries = Tries::new(coordinator, WHAT);
    loop {
        let identity = who();
        if identity.is_absent {
            return Err(Error::new(ErrorKind::Conflict, format!("{WHAT}: {ABSENT}"))
                .context("group", coordinator.group()));
        }
        let build = |version| commit_request(coordinator.group(), &identity, offsets, version);
        let longest = coordinator.client().request_timeout();
        let answer = coordinator.call(Lane::Coordinator, longest, build).await;
        match answer.and_then(|answer| first_refusal(&answer)) {
            Ok(()) => return Ok(()),
            Err(error) => tries.after(error, who()).await?,
        }
    }
}

/// What the group has committed for these partitions; those without are absent. Waits for offsets
/// that open transactions are about to commit (KIP-447).
pub(crate) async fn committed(
    coordinator: &Coordinator,
    who: impl Fn() -> Identity,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
    const WHAT: &str = "the offsets of the group cannot be read";
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut tries = Tries::new(coordinator, WHAT);
    loop {
        let identity = who();
        let build = |version| {
            fetch_request(coordinator.group(), &identity, Some(partitions), true, version)
        };
        let longest = coordinator.client().request_timeout();
        let answer = coordinator.call(Lane::Coordinator, longest, build).await;
        match answer.and_then(read_offsets) {
            Ok(offsets) => return Ok(offsets),
            Err(error) => tries.after(error, who()).await?,
        }
    }
}

/// The tries of one call.
struct Tries<'a> {
    coordinator: &'a Coordinator,
    what: &'a str,
    deadline: Instant,
    backoff: Backoff,
}

impl<'a> Tries<'a> {
    fn new(coordinator: &'a Coordinator, what: &'a str) -> Self {
        let (deadline, backoff) =
            (coordinator.client().api_deadline(), coordinator.client().backoff());
        Self { coordinator, what, deadline, backoff }
    }

    /// Waits for the next try, or gives up. `now` is who it would be made as.
    async fn after(&mut self, error: CallError, now: Identity) -> Result<()> {
        self.coordinator.heed(&error);
        let may_pass = match error.code() {
            // The next generation, or the loss of the membership, is on its way to us.
            Some(
                ResponseError::RebalanceInProgress
                | ResponseError::IllegalGeneration
                | ResponseError::StaleMemberEpoch,
            ) => now.is_member(),
            _ => error.is_passing(),
        };
        let wait = self.backoff.next();
        if !may_pass || Instant::now() + wait >= self.deadline {
            return Err(error.doing(self.what).context("group", self.coordinator.group()));
        }
        sleep(wait).await;
        Ok(())
    }
}

/// Partitions by topic, as all these requests want them.
fn by_topic<'a, T>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, T)>,
) -> impl Iterator<Item = (TopicName, Vec<(i32, T)>)> {
    let mut topics: BTreeMap<&str, Vec<(i32, T)>> = BTreeMap::new();
    for (tp, what) in partitions {
        topics.entry(&tp.topic).or_default().push((tp.partition, what));
    }
    topics.into_iter().map(|(topic, partitions)| (TopicName(text(topic)), partitions))
}

/// A request that commits as this member, or as nobody into a group that is empty.
pub(crate) fn commit_request(
    group: &str,
    who: &Identity,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    version: i16,
) -> OffsetCommitRequest {
    let partition = |(number, committed): (i32, &CommittedOffset)| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(number)
            .with_committed_offset(committed.offset)
            .with_committed_metadata(Some(StrBytes::new()));
        match version {
            6.. => partition.with_committed_leader_epoch(committed.leader_epoch),
            _ => partition,
        }
    };
    let topics = by_topic(offsets).map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(partition).collect();
        OffsetCommitRequestTopic::default().with_name(name).with_partitions(partitions)
    });
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(who.generation)
        .with_member_id(text(&who.member_id))
        .with_topics(topics.collect());
    match version {
        7.. => request.with_group_instance_id(who.instance.as_deref().map(text)),
        _ => request,
    }
}

fn first_refusal(answer: &OffsetCommitResponse) -> Result<(), CallError> {
    let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.try_for_each(|partition| check(partition.error_code, None))
}

/// A request for what was committed for these partitions, or for all when they are none. One that
/// waits is answered once no open transaction is about to commit other offsets.
pub(crate) fn fetch_request(
    group: &str,
    who: &Identity,
    partitions: Option<&[TopicPartition]>,
    waits: bool,
    version: i16,
) -> OffsetFetchRequest {
    let group = GroupId(text(group));
    let numbers = |partitions: Vec<(i32, ())>| partitions.into_iter().map(|(n, ())| n).collect();
    let topics = partitions.map(|all| by_topic(all.iter().map(|tp| (tp, ()))));
    let topics = topics.map(|all| all.map(|(name, partitions)| (name, numbers(partitions))));
    if version < 8 {
        let topic = |(name, numbers)| {
            OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(numbers)
        };
        let topics = topics.map(|all| all.map(topic).collect());
        let request = OffsetFetchRequest::default().with_group_id(group).with_topics(topics);
        return if version == 7 { request.with_require_stable(waits) } else { request };
    }
    let topic = |(name, numbers)| {
        OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(numbers)
    };
    let topics = topics.map(|all| all.map(topic).collect());
    let mut asked = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(topics);
    // The classic protocol has no epochs, and its coordinator checks no member here.
    if version >= 9 && who.is_member() {
        asked = asked.with_member_id(Some(text(&who.member_id))).with_member_epoch(who.generation);
    }
    OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(waits)
}

type Read = Result<BTreeMap<TopicPartition, CommittedOffset>, CallError>;

fn read_offsets(answer: OffsetFetchResponse) -> Read {
    check(answer.error_code, None)?;
    let mut offsets = BTreeMap::new();
    let mut read = |topic: &TopicName, number, code, offset, leader_epoch| {
        check(code, None)?;
        if offset >= 0 {
            let tp = TopicPartition::new(topic.0.as_str(), number);
            offsets.insert(tp, CommittedOffset { offset, leader_epoch });
        }
        Ok::<_, CallError>(())
    };
    for topic in &answer.topics {
        for p in &topic.partitions {
            let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
            read(&topic.name, p.partition_index, p.error_code, offset, epoch)?;
        }
    }
    for group in &answer.groups {
        check(group.error_code, None)?;
        for topic in &group.topics {
            for p in &topic.partitions {
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                read(&topic.name, p.partition_index, p.error_code, offset, epoch)?;
            }
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::golden::{bytes, java};

    #[test]
    fn every_version_is_written_as_java_writes_it() {
        let me = Identity::member("m".into(), Some("i".into()), 3);
        let tp = TopicPartition::new("t", 1);
        let committed = CommittedOffset { offset: 7, leader_epoch: 5 };
        let offsets = BTreeMap::from([(tp.clone(), committed)]);
        for version in 2..=9 {
            let request = commit_request("g", &me, &offsets, version);
            assert_eq!(bytes(&request, version), java(&format!("commit-{version}")));
        }
        for version in 1..=9 {
            let partitions = Some(std::slice::from_ref(&tp));
            let request = fetch_request("g", &me, partitions, true, version);
            assert_eq!(bytes(&request, version), java(&format!("fetch-{version}")));
        }
    }
}
