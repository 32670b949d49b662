//! Decides how it is found out where a partition begins: what leaders are asked before it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, ListOffsetsRequest, OffsetForLeaderEpochRequest, TopicName,
};
use millrace_api::{ErrorKind, TopicPartition};
use tokio::time::Instant;

use super::Shared;
use super::fetch::topic_name;
use super::partition::{Ask, Position, Question};
use crate::native::brokers::Lane;
use crate::native::client::{CallError, check};
use crate::native::error::Failure;
use crate::native::net::Connection;
use crate::native::settings::OffsetReset;

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
/// What a consumer calls itself where replicas give their ids.
const CONSUMER: BrokerId = BrokerId(-1);
/// Before this version a consumer needs rights on the whole cluster for its question.
const EPOCHS_FOR_ALL: i16 = 3;

/// An answer for one partition: a position, or none where there is nothing like it.
type Answers = BTreeMap<TopicPartition, Result<Option<Position>, CallError>>;

/// Asks a leader about partitions and takes in what it says.
pub(super) async fn ask(shared: Arc<Shared>, leader: i32, questions: Vec<Question>) {
    let (resets, epochs): (Vec<_>, Vec<_>) =
        questions.into_iter().partition(|question| question.ask == Ask::Reset);
    let connection = match shared.client.connection(leader, Lane::Control).await {
        Ok(connection) => connection,
        Err(failure) => {
            failed(&shared, &failure, &[resets, epochs].concat());
            return;
        }
    };
    if !resets.is_empty() {
        reset(&shared, &connection, resets).await;
    }
    if !epochs.is_empty() {
        validate(&shared, &connection, epochs).await;
    }
}

/// No answer: all are asked again later.
fn failed(shared: &Shared, failure: &Failure, questions: &[Question]) {
    shared.broker_failed(failure, questions.iter().map(|question| &question.partition));
    let now = Instant::now();
    let mut partitions = shared.partitions();
    for question in questions {
        partitions.postpone(&question.asked(now));
    }
}

async fn reset(shared: &Shared, connection: &Connection, questions: Vec<Question>) {
    let wanted = match shared.settings.offset_reset {
        OffsetReset::Earliest => EARLIEST,
        OffsetReset::ByDuration(ago) => before_now(ago),
        OffsetReset::Latest | OffsetReset::None => LATEST,
    };
    let mut answers = match list_offsets(shared, connection, &questions, wanted).await {
        Ok(answers) => answers,
        Err(failure) => return failed(shared, &failure, &questions),
    };
    // Nothing is as young as that: what comes from now on is.
    let has_none =
        |question: &&Question| matches!(answers.get(&question.partition), Some(Ok(None)));
    let young: Vec<_> = questions.iter().filter(has_none).cloned().collect();
    if !young.is_empty() && wanted >= 0 {
        match list_offsets(shared, connection, &young, LATEST).await {
            Ok(latest) => answers.extend(latest),
            Err(failure) => return failed(shared, &failure, &questions),
        }
    }
    take_in(shared, &questions, answers);
}

/// The wall clock so long ago: the only clock that records' timestamps can be compared with.
fn before_now(ago: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(ago).as_millis()).unwrap_or(i64::MAX)
}

async fn list_offsets(
    shared: &Shared,
    connection: &Connection,
    questions: &[Question],
    timestamp: i64,
) -> Result<Answers, Failure> {
    let isolation = i8::from(shared.settings.read_committed);
    let answer = connection.call(|version| {
        let topics = by_topic(questions, |question| {
            let partition = ListOffsetsPartition::default()
                .with_partition_index(question.partition.partition)
                .with_timestamp(timestamp);
            match version {
                4.. => partition.with_current_leader_epoch(question.leader_epoch),
                _ => partition,
            }
        });
        let topics = topics.map(|(name, partitions)| {
            ListOffsetsTopic::default().with_name(name).with_partitions(partitions)
        });
        let request =
            ListOffsetsRequest::default().with_replica_id(CONSUMER).with_topics(topics.collect());
        match version {
            2.. => request.with_isolation_level(isolation),
            _ => request,
        }
    });
    let answer = answer.await?;
    connection.throttle(answer.throttle_time_ms);
    let mut answers = Answers::new();
    for topic in answer.topics {
        for one in topic.partitions {
            let found = check(one.error_code, None).map(|()| {
                (one.offset >= 0)
                    .then_some(Position { offset: one.offset, epoch: one.leader_epoch })
            });
            answers.insert(TopicPartition::new(topic.name.0.as_str(), one.partition_index), found);
        }
    }
    Ok(answers)
}

async fn validate(shared: &Shared, connection: &Connection, questions: Vec<Question>) {
    let version = connection.version_of::<OffsetForLeaderEpochRequest>().unwrap_or(0);
    if version < EPOCHS_FOR_ALL {
        // As Java: the position is believed.
        let now = Instant::now();
        let mut partitions = shared.partitions();
        for question in &questions {
            let position = partitions.position(&question.partition);
            partitions.validated(&question.asked(now), position);
        }
        return;
    }
    let epoch = |question: &Question| match question.ask {
        Ask::EndOfEpoch(epoch) => epoch,
        Ask::Reset => -1,
    };
    let answer = connection.call(|_| {
        let topics = by_topic(&questions, |question| {
            OffsetForLeaderPartition::default()
                .with_partition(question.partition.partition)
                .with_current_leader_epoch(question.leader_epoch)
                .with_leader_epoch(epoch(question))
        });
        let topics = topics.map(|(name, partitions)| {
            OffsetForLeaderTopic::default().with_topic(name).with_partitions(partitions)
        });
        OffsetForLeaderEpochRequest::default()
            .with_replica_id(CONSUMER)
            .with_topics(topics.collect())
    });
    let answer = match answer.await {
        Ok(answer) => answer,
        Err(failure) => return failed(shared, &failure, &questions),
    };
    connection.throttle(answer.throttle_time_ms);
    let mut answers = Answers::new();
    for topic in answer.topics {
        for one in topic.partitions {
            let found = check(one.error_code, None).map(|()| {
                let is_known = one.end_offset >= 0 && one.leader_epoch >= 0;
                is_known.then_some(Position { offset: one.end_offset, epoch: one.leader_epoch })
            });
            answers.insert(TopicPartition::new(topic.topic.0.as_str(), one.partition), found);
        }
    }
    take_in(shared, &questions, answers);
}

/// Partitions by topic, as both requests want them.
fn by_topic<T>(
    questions: &[Question],
    partition: impl Fn(&Question) -> T,
) -> impl Iterator<Item = (TopicName, Vec<T>)> {
    let mut topics = BTreeMap::<_, Vec<T>>::new();
    for question in questions {
        let of_topic = topics.entry(question.partition.topic.clone()).or_default();
        of_topic.push(partition(question));
    }
    topics.into_iter().map(|(name, partitions)| (topic_name(&name), partitions))
}

fn take_in(shared: &Shared, questions: &[Question], mut answers: Answers) {
    const WHAT: &str = "the partition cannot be positioned";
    let now = Instant::now();
    let mut partitions = shared.partitions();
    for question in questions {
        let tp = &question.partition;
        let asked = question.asked(now);
        match (answers.remove(tp), question.ask) {
            (Some(Ok(end)), Ask::EndOfEpoch(_)) => partitions.validated(&asked, end),
            (Some(Ok(Some(position))), Ask::Reset) => partitions.positioned(&asked, position),
            // An answer without the partition is as good as none.
            (None | Some(Ok(None)), _) => partitions.postpone(&asked),
            (Some(Err(error)), _) => {
                let error = error.doing(WHAT).context("partition", tp);
                if error.kind() == ErrorKind::Retriable {
                    tracing::debug!("{error}");
                    partitions.want_metadata();
                } else {
                    partitions.push_error(&tp.topic, error);
                }
                partitions.postpone(&asked);
            }
        }
    }
}
