//! Administration: decides whom a question to the cluster is for (any broker, the controller, the
//! leaders of partitions, a coordinator), and how often it is repeated.
//!
//! A question takes at most `default.api.timeout.ms`. Until then it is asked again where trouble
//! passes: a broker that is away, a controller, leader or coordinator that has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use tokio::time::{Instant, sleep, timeout_at};

use super::backoff::Backoff;
use super::brokers::Lane;
use super::client::{CallError, Client, CoordinatorOf};
use super::error::{Failure, FailureKind, Permission};
use super::metadata::Metadata;
use super::net::Connection;

mod cluster;
mod configs;
mod group_offsets;
mod groups;
mod offsets;
mod producers;
mod topics;

pub(super) use cluster::describe_cluster;
pub(super) use configs::{alter_topic_configs, topic_configs};
pub(super) use group_offsets::{alter_offsets, committed};
pub(super) use groups::{delete_group, describe_group};
pub(super) use offsets::{delete_records, list_offsets};
pub(super) use producers::fence_producers;
pub(super) use topics::{create_partitions, create_topic, delete_topic, describe_topics};

/// What is being asked, and how long there is time for it.
struct Question<'a> {
    client: &'a Client,
    /// For errors: "the topic cannot be created".
    what: &'a str,
    /// What the client's user has to be allowed for it.
    needed: &'a [Permission<'a>],
    deadline: Instant,
    backoff: Backoff,
    /// What went wrong last.
    last: Option<CallError>,
    /// An error that passes here, though not in general.
    passing: Option<ResponseError>,
}

impl<'a> Question<'a> {
    fn new(client: &'a Client, what: &'a str, needed: &'a [Permission<'a>]) -> Self {
        let (deadline, backoff) = (client.api_deadline(), client.backoff());
        Self { client, what, needed, deadline, backoff, last: None, passing: None }
    }

    /// Asks again after this error as well.
    fn also_after(self, passing: ResponseError) -> Self {
        Self { passing: Some(passing), ..self }
    }

    /// Asks until there is an answer, an error that does not pass, or no time left.
    async fn ask<T, F>(mut self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        loop {
            match self.attempt(call()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.again_after(error).await?,
            }
        }
    }

    /// One try, which ends with the time there is.
    async fn attempt<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        timeout_at(self.deadline, call).await.unwrap_or_else(|_| {
            let late = "no broker has answered in time";
            let late = || Failure::new(FailureKind::TimedOut, late).into();
            Err(self.last.clone().unwrap_or_else(late))
        })
    }

    /// Waits before the next try.
    ///
    /// # Errors
    ///
    /// `error`, if it does not pass or there is no time for another try.
    async fn again_after(&mut self, error: CallError) -> Result<()> {
        if !error.is_passing() && (error.code().is_none() || error.code() != self.passing) {
            return Err(self.error(error));
        }
        let wait = self.backoff.next();
        if Instant::now() + wait >= self.deadline {
            let settings = self.client.settings();
            let servers = self.client.bootstrap_servers();
            let error = self.error(error).context("bootstrap.servers", servers);
            return Err(error.context("default.api.timeout.ms", settings.api_timeout.as_millis()));
        }
        self.last = Some(error);
        sleep(wait).await;
        Ok(())
    }

    fn error(&self, error: CallError) -> Error {
        error.doing_with(self.what, self.needed)
    }
}

/// What one try brought of each partition that was asked for; absent is as good as unanswered.
type Answers<T> = Vec<(TopicPartition, Result<T, CallError>)>;

/// Asks the leader of each partition until all have answered. `send` asks one of them.
async fn ask_leaders<A, T, F>(
    mut question: Question<'_>,
    mut left: BTreeMap<TopicPartition, A>,
    send: impl Fn(Arc<Connection>, Vec<(TopicPartition, A)>) -> F,
) -> Result<BTreeMap<TopicPartition, T>>
where
    A: Copy,
    F: Future<Output = Result<Answers<T>, CallError>>,
{
    let mut answered = BTreeMap::new();
    while !left.is_empty() {
        let (answers, mut trouble) = match question.attempt(ask_once(&question, &left, &send)).await
        {
            Ok((answers, trouble)) => (answers, trouble),
            Err(error) => (Vec::new(), Some(error)),
        };
        for (partition, answer) in answers {
            match answer {
                Ok(answer) => {
                    if left.remove(&partition).is_some() {
                        answered.insert(partition, answer);
                    }
                }
                Err(error) if error.is_passing() => trouble = Some(error),
                Err(error) => return Err(question.error(error).context("partition", partition)),
            }
        }
        let Some((first, _)) = left.first_key_value() else {
            break;
        };
        let unanswered = || Failure::new(FailureKind::Corrupt, "its answer is incomplete").into();
        let trouble = trouble.unwrap_or_else(unanswered);
        let is_missing = trouble.code() == Some(ResponseError::UnknownTopicOrPartition);
        question.again_after(trouble).await.map_err(|error| match is_missing {
            true => missing_partition(question.what).context("partition", first),
            false => error.context("partition", first),
        })?;
    }
    Ok(answered)
}

/// Asks each leader once. Trouble with one of them does not keep the others from answering.
async fn ask_once<A, T, F>(
    question: &Question<'_>,
    left: &BTreeMap<TopicPartition, A>,
    send: &impl Fn(Arc<Connection>, Vec<(TopicPartition, A)>) -> F,
) -> Result<(Answers<T>, Option<CallError>), CallError>
where
    A: Copy,
    F: Future<Output = Result<Answers<T>, CallError>>,
{
    let topics: BTreeSet<&str> = left.keys().map(|partition| &*partition.topic).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let metadata = question.client.look_up(Some(&topics)).await?;
    let mut by_leader: BTreeMap<i32, Vec<(TopicPartition, A)>> = BTreeMap::new();
    let mut answers = Vec::new();
    for (partition, asked) in left {
        match leader(&metadata, partition) {
            Ok(leader) => {
                by_leader.entry(leader).or_default().push((partition.clone(), *asked));
            }
            Err(code) => {
                answers.push((partition.clone(), Err(CallError::Refused(code, None))));
            }
        }
    }
    let mut trouble = None;
    for (leader, asked) in by_leader {
        let answer = async {
            let connection = question.client.connection(leader, Lane::Control).await?;
            send(connection, asked).await
        };
        match answer.await {
            Ok(more) => answers.extend(more),
            Err(error) if error.is_passing() => trouble = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok((answers, trouble))
}

fn leader(metadata: &Metadata, partition: &TopicPartition) -> Result<i32, ResponseError> {
    let missing = ResponseError::UnknownTopicOrPartition;
    let topic = metadata.topics.get(&*partition.topic).ok_or(missing)?;
    if let Some(error) = topic.error {
        return Err(error);
    }
    let partition = metadata.partition(partition).ok_or(missing)?;
    partition.leader.ok_or(ResponseError::LeaderNotAvailable)
}

fn missing_partition(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what}: the partition does not exist"))
}

fn missing_topic(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what}: the topic does not exist"))
}

/// The connection to the controller, or, from Kafka 3 on, to a broker that asks it for us.
async fn controller(client: &Client) -> Result<Arc<Connection>, CallError> {
    let metadata = client.look_up(Some(&[])).await?;
    let moving = CallError::Refused(ResponseError::NotController, None);
    Ok(client.connection(metadata.controller.ok_or(moving)?, Lane::Control).await?)
}

/// The connection to who coordinates this group or transactional id now.
async fn coordinator(
    client: &Client,
    of: CoordinatorOf,
    key: &str,
) -> Result<Arc<Connection>, CallError> {
    let id = client.find_coordinator(of, key).await?;
    Ok(client.connection(id, Lane::Coordinator).await?)
}

/// How long the broker may take for what it does before it answers, in milliseconds: less than
/// what ends the request.
fn broker_timeout(client: &Client) -> i32 {
    let timeout = client.request_timeout().min(client.settings().api_timeout);
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// A text for a message of the protocol.
fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Partitions by their topics, as requests list them.
fn by_topic<A>(
    partitions: impl IntoIterator<Item = (TopicPartition, A)>,
) -> BTreeMap<Arc<str>, Vec<(i32, A)>> {
    let mut topics: BTreeMap<Arc<str>, Vec<(i32, A)>> = BTreeMap::new();
    for (of, asked) in partitions {
        topics.entry(of.topic.clone()).or_default().push((of.partition, asked));
    }
    topics
}

#[cfg(test)]
mod tests;
