//! Decides where each partition is read next, from which broker, and which of those that hold
//! records is the next to hand them out.
//!
//! Nothing here waits: time is an input, what has to be asked is an output.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millrace_api::{Error, TopicPartition};
use tokio::time::Instant;
use uuid::Uuid;

use super::chunk::Chunk;
use super::partition::{
    Ask, Asked, Bells, Partition, Plan, Position, Question, Questions, Stage, Taken, place,
};
use super::session::Want;
use crate::native::backoff::{Backoff, BackoffSettings};
use crate::native::metadata::Metadata;
use crate::native::settings::OffsetReset;

/// What a consumer reads.
#[derive(Debug)]
pub(super) struct Partitions {
    all: BTreeMap<TopicPartition, Partition>,
    /// Those that hold chunks, in the order of their turns.
    ready: VecDeque<TopicPartition>,
    errors: VecDeque<(Arc<str>, Error)>,
    incarnations: u64,
    /// Whether one of them is held back.
    holds_back: bool,
    /// What was said of the cluster is not true any more.
    wants_metadata: bool,
    bells: Bells,
    reset: OffsetReset,
    backoff: BackoffSettings,
}

impl Partitions {
    pub(super) fn new(reset: OffsetReset, backoff: BackoffSettings) -> Self {
        Self {
            all: BTreeMap::new(),
            ready: VecDeque::new(),
            errors: VecDeque::new(),
            incarnations: 0,
            holds_back: false,
            wants_metadata: false,
            bells: Bells::default(),
            reset,
            backoff,
        }
    }

    /// Adds a partition; from where on, unless the group and the policy decide that.
    pub(super) fn add(&mut self, tp: TopicPartition, from: Option<Position>, is_held_back: bool) {
        self.incarnations += 1;
        let partition = Partition {
            incarnation: self.incarnations,
            stage: Stage::Committed,
            is_held_back,
            is_paused: false,
            is_asked: false,
            topic_id: Uuid::nil(),
            leader: None,
            preferred: None,
            retry_at: None,
            backoff: Backoff::new(self.backoff),
            position: None,
            fetch: 0,
            chunks: VecDeque::new(),
        };
        self.remove(&tp);
        self.holds_back |= is_held_back;
        self.all.insert(tp.clone(), partition);
        self.bells.upkeep = true;
        if let Some(position) = from {
            self.jump(&tp, position);
        }
    }

    pub(super) fn remove(&mut self, tp: &TopicPartition) {
        self.all.remove(tp);
        self.ready.retain(|ready| ready != tp);
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.ready.clear();
        self.errors.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn contains(&self, tp: &TopicPartition) -> bool {
        self.all.contains_key(tp)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &TopicPartition> {
        self.all.keys()
    }

    /// Where the caller has got to; none while that has to be asked.
    pub(super) fn position(&self, tp: &TopicPartition) -> Option<Position> {
        self.all.get(tp)?.position
    }

    /// From now on everything that was added may be asked about and read.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.holds_back) {
            self.all.values_mut().for_each(|partition| partition.is_held_back = false);
            (self.bells.upkeep, self.bells.fetchers) = (true, true);
        }
    }

    /// The same for one whose position has to be known.
    pub(super) fn release_one(&mut self, tp: &TopicPartition) {
        if let Some(partition) = self.all.get_mut(tp).filter(|partition| partition.is_held_back) {
            partition.is_held_back = false;
            (self.bells.upkeep, self.bells.fetchers) = (true, true);
        }
    }

    /// Who has to look again; asked once after each change.
    pub(super) fn bells(&mut self) -> Bells {
        std::mem::take(&mut self.bells)
    }

    /// What was said of the cluster is not true any more.
    pub(super) fn want_metadata(&mut self) {
        (self.wants_metadata, self.bells.upkeep) = (true, true);
    }

    /// Whether that was said since the last time.
    pub(super) fn wanted_metadata(&mut self) -> bool {
        std::mem::take(&mut self.wants_metadata)
    }

    /// Goes on reading elsewhere. What was fetched is dropped.
    pub(super) fn jump(&mut self, tp: &TopicPartition, to: Position) {
        let Some(partition) = self.restart(tp, Stage::Read) else {
            return;
        };
        (partition.position, partition.fetch) = (Some(to), to.offset);
        if partition.has_to_validate() {
            partition.stage = Stage::Validate;
            self.bells.upkeep = true;
        }
    }

    /// A paused partition holds nothing, and is fetched again from its position.
    pub(super) fn pause(&mut self, tp: &TopicPartition) {
        let Some(stage) = self.all.get(tp).filter(|p| !p.is_paused).map(|p| p.stage) else {
            return;
        };
        if let Some(partition) = self.restart(tp, stage) {
            partition.is_paused = true;
        }
    }

    pub(super) fn resume(&mut self, tp: &TopicPartition) {
        if let Some(partition) = self.all.get_mut(tp) {
            partition.is_paused = false;
            self.bells.fetchers = true;
        }
    }

    /// Drops what is held and begins again at the position, if there is one.
    fn restart(&mut self, tp: &TopicPartition, stage: Stage) -> Option<&mut Partition> {
        self.incarnations += 1;
        self.ready.retain(|ready| ready != tp);
        self.bells.upkeep |= stage != Stage::Read;
        (self.bells.caller, self.bells.fetchers) = (true, true);
        let partition = self.all.get_mut(tp)?;
        partition.incarnation = self.incarnations;
        partition.chunks.clear();
        partition.stage = stage;
        (partition.is_asked, partition.retry_at) = (false, None);
        if let Some(position) = partition.position {
            partition.fetch = position.offset;
        }
        Some(partition)
    }

    /// The partition, unless it has jumped since.
    fn current(&mut self, tp: &TopicPartition, incarnation: u64) -> Option<&mut Partition> {
        self.all.get_mut(tp).filter(|partition| partition.incarnation == incarnation)
    }

    /// Has to be read from where the policy says; `why` it has come to that.
    fn reset(&mut self, tp: &TopicPartition, why: Error) {
        if self.reset == OffsetReset::None {
            return self.push_error(&tp.topic, why);
        }
        tracing::warn!("{why}: resetting by auto.offset.reset");
        if let Some(partition) = self.restart(tp, Stage::Reset) {
            partition.position = None;
        }
    }
}

/// What the cluster says.
impl Partitions {
    /// Takes new metadata in.
    pub(super) fn update(&mut self, metadata: &Metadata) {
        let names: Vec<_> = self.all.keys().cloned().collect();
        for tp in &names {
            self.update_one(tp, metadata);
        }
    }

    fn update_one(&mut self, tp: &TopicPartition, metadata: &Metadata) {
        let topic = metadata.topics.get(&tp.topic).filter(|topic| topic.error.is_none());
        let (Some(topic), Some(partition)) = (topic, self.all.get_mut(tp)) else {
            self.wants_metadata = true;
            return;
        };
        let before = partition.leader;
        partition.leader = metadata.leader(tp);
        let has_changed = partition.leader != before;
        if has_changed {
            partition.retry_at = None;
            self.bells.fetchers = true;
        }
        self.wants_metadata |= partition.leader.is_none();
        if partition.preferred.is_some_and(|(replica, _)| !metadata.is_online(tp, replica)) {
            partition.preferred = None;
        }
        let is_another = !partition.topic_id.is_nil() && partition.topic_id != topic.id;
        partition.topic_id = topic.id;
        match partition.position {
            Some(position) if is_another => {
                let why = Error::fatal(
                    "the topic was deleted and made again: the position is of one that is gone",
                );
                self.reset(tp, place(why, tp, position.offset));
            }
            // What is held may be what the new leader does not have.
            _ if has_changed && partition.has_to_validate() => {
                self.restart(tp, Stage::Validate);
            }
            _ => {}
        }
    }

    /// What has to be asked now; it counts as asked.
    pub(super) fn questions(&mut self, now: Instant) -> Questions {
        let mut questions = Questions::default();
        for (tp, partition) in &mut self.all {
            if partition.stage == Stage::Read || partition.is_asked || partition.is_held_back {
                continue;
            }
            if partition.is_waiting(now, &mut questions.next) {
                continue;
            }
            let ask = match (partition.stage, partition.position) {
                (Stage::Committed, _) => {
                    partition.is_asked = true;
                    questions.committed.push((tp.clone(), partition.incarnation));
                    continue;
                }
                (Stage::Validate, Some(position)) => Ask::EndOfEpoch(position.epoch),
                _ => Ask::Reset,
            };
            let Some((leader, leader_epoch)) = partition.leader else {
                continue;
            };
            partition.is_asked = true;
            let (partition, incarnation) = (tp.clone(), partition.incarnation);
            let question = Question { partition, incarnation, ask, leader_epoch };
            questions.leaders.entry(leader).or_default().push(question);
        }
        questions
    }

    /// The answer to where the group was.
    pub(super) fn committed(&mut self, of: &Asked<'_>, found: Option<Position>) {
        if self.current(of.partition, of.incarnation).is_none() {
            return;
        }
        match found {
            Some(position) => self.jump(of.partition, position),
            None if self.reset == OffsetReset::None => {
                let why = Error::fatal(
                    "cannot tell where to read: the group has no committed offset, and \
                     auto.offset.reset is none; commit an offset or set it to earliest or latest",
                );
                let why = why.context("partition", of.partition);
                self.push_error(&of.partition.topic, why);
                self.postpone(of);
            }
            None => {
                self.restart(of.partition, Stage::Reset);
            }
        }
    }

    /// The answer to where the policy points to, or where the diverging log ends.
    pub(super) fn positioned(&mut self, of: &Asked<'_>, at: Position) {
        if self.current(of.partition, of.incarnation).is_none() {
            return;
        }
        if let Some(partition) = self.restart(of.partition, Stage::Read) {
            partition.backoff.reset();
            (partition.position, partition.fetch) = (Some(at), at.offset);
        }
    }

    /// The answer to where an epoch's log ended; none: the leader knows of no such epoch.
    pub(super) fn validated(&mut self, of: &Asked<'_>, end: Option<Position>) {
        let Some(position) = self.current(of.partition, of.incarnation).and_then(|p| p.position)
        else {
            return;
        };
        if end.is_some_and(|end| end.offset >= position.offset) {
            self.restart(of.partition, Stage::Read);
            return;
        }
        let error = Error::fatal(
            "the log was truncated: what was read up to the position is not what the leader has",
        );
        let error = place(error, of.partition, position.offset);
        match end {
            Some(end) if self.reset != OffsetReset::None => {
                let error = error.context("diverging from", end.offset);
                tracing::warn!("{error}: reading on from there");
                return self.positioned(of, end);
            }
            Some(end) => {
                let error = error.context("diverging from", end.offset);
                self.push_error(&of.partition.topic, error);
            }
            None => self.reset(of.partition, error),
        }
        self.postpone(of);
    }

    /// Nothing came of what was asked or fetched: it is tried again a little later.
    pub(super) fn postpone(&mut self, of: &Asked<'_>) {
        if let Some(partition) = self.current(of.partition, of.incarnation) {
            partition.is_asked = false;
            partition.retry_at = Some(of.now + partition.backoff.next());
        }
    }
}

/// What brokers are asked for, and what they answer.
impl Partitions {
    /// What a broker is to be asked for now.
    pub(super) fn plan(&mut self, node: i32, now: Instant) -> Plan {
        let mut plan = Plan::default();
        let mut brokers: Vec<i32> = Vec::new();
        for (tp, partition) in &mut self.all {
            if !partition.is_fetchable() {
                continue;
            }
            if partition.preferred.is_some_and(|(_, until)| until <= now) {
                partition.preferred = None;
                (self.bells.upkeep, self.bells.fetchers) = (true, true);
            }
            let preferred = partition.preferred.map(|(replica, _)| replica);
            let Some((leader, leader_epoch)) = partition.leader else {
                continue;
            };
            let source = preferred.unwrap_or(leader);
            if !brokers.contains(&source) {
                brokers.push(source);
            }
            if source != node || partition.is_waiting(now, &mut plan.next) {
                continue;
            }
            let (incarnation, topic_id) = (partition.incarnation, partition.topic_id);
            let want = Want { incarnation, topic_id, offset: partition.fetch, leader_epoch };
            plan.wanted.insert(tp.clone(), want);
        }
        plan.brokers = brokers.len();
        plan
    }

    /// Which brokers there are records to get from.
    pub(super) fn sources(&self) -> impl Iterator<Item = i32> {
        let of =
            |p: &Partition| p.preferred.map(|(replica, _)| replica).or_else(|| Some(p.leader?.0));
        self.all.values().filter_map(of)
    }

    /// Keeps what a broker has sent from an offset on; `next` is where the records after it begin.
    pub(super) fn keep(&mut self, of: &Asked<'_>, from: i64, chunk: Chunk, next: i64) {
        let Some(partition) = self.current(of.partition, of.incarnation) else {
            return;
        };
        if partition.fetch != from {
            return;
        }
        partition.fetch = next;
        partition.backoff.reset();
        partition.chunks.push_back(chunk);
        // It may be there without a chunk, while the caller has that.
        if !self.ready.contains(of.partition) {
            self.ready.push_back(of.partition.clone());
        }
        self.bells.caller = true;
    }

    /// What begins at an offset cannot be read. The caller hears of it once that is next.
    pub(super) fn unreadable(&mut self, of: &Asked<'_>, offset: i64, error: Error) {
        if self.is_next(of, offset) {
            self.push_error(&of.partition.topic, place(error, of.partition, offset));
        }
        self.postpone(of);
    }

    /// Whether everything before an offset was handed out.
    fn is_next(&mut self, of: &Asked<'_>, offset: i64) -> bool {
        self.current(of.partition, of.incarnation)
            .is_some_and(|p| p.position.is_some_and(|position| position.offset == offset))
    }

    /// The leader recommends a replica (KIP-392).
    pub(super) fn prefer(&mut self, tp: &TopicPartition, replica: i32, until: Instant) {
        if let Some(partition) = self.all.get_mut(tp) {
            partition.preferred = Some((replica, until));
            (self.bells.upkeep, self.bells.fetchers) = (true, true);
        }
    }

    /// Goes back to the leader. False: it was the leader.
    pub(super) fn leave_replica(&mut self, tp: &TopicPartition) -> bool {
        let had =
            self.all.get_mut(tp).is_some_and(|partition| partition.preferred.take().is_some());
        self.bells.upkeep |= had;
        self.bells.fetchers |= had;
        had
    }

    /// A fetch for an offset that the log does not have.
    pub(super) fn out_of_range(&mut self, of: &Asked<'_>, offset: i64) {
        if self.leave_replica(of.partition) {
            return;
        }
        // What is held comes first: it may be all that the caller wants.
        if self.is_next(of, offset) {
            let why = Error::fatal("the position is not in the log, or not any more");
            self.reset(of.partition, place(why, of.partition, offset));
        }
        self.postpone(of);
    }
}

/// What the caller gets.
impl Partitions {
    /// The chunk whose turn it is, out of the queue until [`Partitions::put_back`].
    pub(super) fn take(&mut self) -> Option<Taken> {
        while let Some(tp) = self.ready.front() {
            let state = self.all.get_mut(tp);
            let taken =
                state.and_then(|state| Some((state.incarnation, state.chunks.pop_front()?)));
            if let Some((incarnation, chunk)) = taken {
                return Some(Taken { partition: tp.clone(), incarnation, chunk });
            }
            self.ready.pop_front();
        }
        None
    }

    /// The chunk comes back, with something taken from it. False: the partition has jumped
    /// meanwhile, and what was taken must not be handed out.
    pub(super) fn put_back(&mut self, taken: Taken) -> bool {
        let Taken { partition: tp, incarnation, chunk } = taken;
        let Some(partition) = self.current(&tp, incarnation) else {
            return false;
        };
        if partition.position.is_some_and(|before| before.offset < chunk.position().offset) {
            partition.position = Some(chunk.position());
        }
        if !chunk.is_empty() {
            partition.chunks.push_front(chunk);
            return true;
        }
        let has_more = !partition.chunks.is_empty();
        self.ready.retain(|ready| *ready != tp);
        if has_more {
            self.ready.push_back(tp);
        }
        true
    }

    /// What was taken cannot be read: it is fetched anew a little later, as the wire may have
    /// damaged it.
    pub(super) fn give_up(&mut self, taken: Taken, now: Instant) {
        let Taken { partition: tp, incarnation, chunk } = taken;
        if self.current(&tp, incarnation).is_some() {
            drop(chunk);
            self.restart(&tp, Stage::Read);
            self.postpone(&Asked { partition: &tp, incarnation: self.incarnations, now });
        }
    }

    /// What the caller has to hear of a topic, once.
    pub(super) fn push_error(&mut self, topic: &Arc<str>, error: Error) {
        if !self.errors.iter().any(|(of, _)| of == topic) {
            self.errors.push_back((topic.clone(), error));
            self.bells.caller = true;
        }
    }

    pub(super) fn next_error(&mut self) -> Option<Error> {
        self.errors.pop_front().map(|(_, error)| error)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::{
        MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::messages::{BrokerId, MetadataResponse, TopicName};
    use kafka_protocol::protocol::StrBytes;
    use std::time::Duration;

    use super::*;

    fn led_by(leader: i32, epoch: i32) -> Metadata {
        let partition = MetadataResponsePartition::default()
            .with_leader_id(BrokerId(leader))
            .with_leader_epoch(epoch);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("t"))))
            .with_topic_id(Uuid::from_u128(7))
            .with_partitions(vec![partition]);
        Metadata::default().updated(&MetadataResponse::default().with_topics(vec![topic]))
    }

    #[tokio::test]
    async fn each_leader_is_compared_with_what_was_read() {
        let wait = Duration::from_millis(100);
        let backoff = BackoffSettings { first: wait, longest: wait };
        let mut partitions = Partitions::new(OffsetReset::Earliest, backoff);
        let tp = TopicPartition::new("t", 0);
        partitions.update(&led_by(1, 4));
        partitions.add(tp.clone(), Some(Position { offset: 9, epoch: 4 }), false);
        partitions.update(&led_by(2, 5));
        let now = Instant::now();
        let first = partitions.questions(now).leaders.remove(&2).unwrap().remove(0);
        assert_eq!(first.ask, Ask::EndOfEpoch(4));
        // The next leader comes before the answer of the last one.
        partitions.update(&led_by(3, 6));
        partitions.validated(&first.asked(now), Some(Position { offset: 9, epoch: 4 }));
        let second = partitions.questions(now).leaders.remove(&3).unwrap().remove(0);
        assert_eq!(second.ask, Ask::EndOfEpoch(4));
        partitions.validated(&second.asked(now), Some(Position { offset: 9, epoch: 4 }));
        assert!(partitions.questions(now).leaders.is_empty());
    }
}
