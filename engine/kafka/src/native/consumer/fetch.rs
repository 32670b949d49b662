//! Decides when one broker is asked for records, and keeps asking: the next request goes out while
//! the caller works on the last answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};
use millrace_api::TopicPartition;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Shared;
use super::answer;
use super::budget::{Ration, response_bytes};
use super::session::{Session, Step};
use crate::native::backoff::Backoff;
use crate::native::brokers::Lane;
use crate::native::error::{Failure, FailureKind};
use crate::native::settings::ConsumerSettings;

/// The first version with topic ids.
const TOPIC_IDS: i16 = 13;

/// Asks one broker for records until the consumer closes.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    node: i32,
    wake: Arc<Notify>,
    ration: Arc<Ration>,
    session: Session,
    backoff: Backoff,
}

impl Fetcher {
    /// `wake` is rung when there may be something else to ask for.
    pub(super) fn new(shared: Arc<Shared>, node: i32, wake: Arc<Notify>) -> Self {
        let ration = Ration::new(wake.clone(), shared.client.footprint().clone());
        let backoff = shared.client.backoff();
        Self { shared, node, wake, ration, session: Session::new(), backoff }
    }

    pub(super) async fn run(mut self) {
        while !self.shared.is_closing() {
            let (step, response_bytes) = match self.next_step() {
                Ok(next) => next,
                Err(until) => {
                    self.wait(until).await;
                    continue;
                }
            };
            match self.ask(step, response_bytes).await {
                Ok(response) => {
                    self.backoff.reset();
                    self.take_in(response);
                }
                Err(failure) => self.fail(&failure).await,
            }
        }
        self.close().await;
    }

    /// The next request, or until when there is none.
    fn next_step(&mut self) -> Result<(Step, usize), Option<Instant>> {
        let plan = self.shared.partitions().plan(self.node, Instant::now());
        let settings = &self.shared.settings;
        let allowed = self.shared.client.footprint().allowed();
        let response_bytes = response_bytes(settings, plan.wanted.len(), plan.brokers, allowed);
        if plan.wanted.is_empty() || !self.ration.has_room(response_bytes) {
            return Err(plan.next);
        }
        Ok((self.session.next(plan.wanted), response_bytes))
    }

    async fn wait(&self, until: Option<Instant>) {
        match until {
            Some(until) => {
                // Woken or not: the plan is made anew.
                let _ = timeout_at(until, self.wake.notified()).await;
            }
            None => self.wake.notified().await,
        }
    }

    async fn ask(&self, step: Step, response_bytes: usize) -> Result<FetchResponse, Failure> {
        let connection = self.shared.client.connection(self.node, Lane::Data).await?;
        let version = version_for(connection.version_of::<FetchRequest>()?, step.uses_ids);
        let settings = &self.shared.settings;
        let request = request(settings, step, response_bytes, version);
        let mut body = BytesMut::new();
        request.encode(&mut body, version).map_err(|e| {
            let why = format!("a fetch request cannot be written in version {version}: {e}");
            Failure::new(FailureKind::Unsupported, why)
        })?;
        let longest = settings.client.request_timeout + settings.fetch_max_wait;
        let body = vec![body.freeze()];
        let pending = connection.start_encoded::<FetchRequest>(longest, version, body).await?;
        let response = pending.response().await?;
        connection.throttle(response.throttle_time_ms);
        Ok(response)
    }

    fn take_in(&mut self, response: FetchResponse) {
        match self.session.accept(&response) {
            Ok(true) => {
                answer::take_in(&self.shared, self.node, &mut self.session, response, |n| {
                    self.ration.hold(n)
                })
            }
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(node = self.node, ?error, "the fetch session is opened anew");
                answer::refused(&self.shared, error);
            }
        }
    }

    /// The request or its answer was lost.
    async fn fail(&mut self, failure: &Failure) {
        self.session.lost();
        let until = Instant::now() + self.backoff.next();
        self.shared.broker_failed(failure, self.session.partitions());
        // Not to be woken early: every append would be one more try.
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.shared.closing() => {}
        }
    }

    /// Lets the broker forget the session, so that others have room.
    async fn close(self) {
        const LONGEST: Duration = Duration::from_secs(5);
        let Some(step) = self.session.close() else {
            return;
        };
        let client = self.shared.client.clone();
        let asked = async {
            let connection = client.connection(self.node, Lane::Data).await?;
            let version = version_for(connection.version_of::<FetchRequest>()?, step.uses_ids);
            let request = request(&self.shared.settings, step, 0, version).with_max_wait_ms(0);
            connection.start(LONGEST, |_| request).await.map(drop)
        };
        // Whether it arrives or not, the broker forgets the session in the end.
        let _ = timeout_at(Instant::now() + LONGEST, asked).await;
    }
}

/// Topics without known ids go by their names.
fn version_for(newest: i16, uses_ids: bool) -> i16 {
    if uses_ids { newest } else { newest.min(TOPIC_IDS - 1) }
}

fn request(
    settings: &ConsumerSettings,
    step: Step,
    response_bytes: usize,
    version: i16,
) -> FetchRequest {
    let int = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let request = FetchRequest::default()
        .with_max_wait_ms(int(settings.fetch_max_wait.as_millis() as usize))
        .with_min_bytes(settings.fetch_min_bytes)
        .with_max_bytes(int(response_bytes))
        .with_isolation_level(i8::from(settings.read_committed))
        .with_session_id(step.session)
        .with_session_epoch(step.epoch)
        .with_topics(topics(settings, step.send, version));
    let request = match version {
        ..7 => request.with_session_id(0).with_session_epoch(-1),
        _ => request.with_forgotten_topics_data(forgotten(step.forget, version)),
    };
    match &settings.rack {
        Some(rack) if version >= 11 => request.with_rack_id(StrBytes::from_string(rack.clone())),
        _ => request,
    }
}

fn topics(
    settings: &ConsumerSettings,
    partitions: Vec<(TopicPartition, super::session::Want)>,
    version: i16,
) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut places = BTreeMap::new();
    for (tp, want) in partitions {
        // In the order in which each topic first comes: it is the order of service.
        let place = *places.entry((tp.topic.clone(), want.topic_id)).or_insert_with(|| {
            topics.push(match version {
                TOPIC_IDS.. => FetchTopic::default().with_topic_id(want.topic_id),
                _ => FetchTopic::default().with_topic(topic_name(&tp.topic)),
            });
            topics.len() - 1
        });
        let partition = FetchPartition::default()
            .with_partition(tp.partition)
            .with_fetch_offset(want.offset)
            .with_partition_max_bytes(settings.partition_max_bytes);
        let partition = match version {
            9.. => partition.with_current_leader_epoch(want.leader_epoch),
            _ => partition,
        };
        topics[place].partitions.push(partition);
    }
    topics
}

fn forgotten(partitions: Vec<(TopicPartition, uuid::Uuid)>, version: i16) -> Vec<ForgottenTopic> {
    let mut topics = BTreeMap::<_, Vec<i32>>::new();
    for (tp, id) in partitions {
        topics.entry((tp.topic, id)).or_default().push(tp.partition);
    }
    let topic = |((name, id), partitions): ((Arc<str>, uuid::Uuid), Vec<i32>)| {
        let topic = ForgottenTopic::default().with_partitions(partitions);
        match version {
            TOPIC_IDS.. => topic.with_topic_id(id),
            _ => topic.with_topic(topic_name(&name)),
        }
    };
    topics.into_iter().map(topic).collect()
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::session::Want;
    use super::*;
    use crate::Properties;
    use crate::native::golden::{bytes, java};

    #[test]
    fn every_version_is_written_as_java_writes_it() {
        let properties = [
            ("bootstrap.servers", "h:1"),
            ("fetch.max.wait.ms", "300"),
            ("fetch.min.bytes", "2"),
            ("max.partition.fetch.bytes", "4000"),
            ("isolation.level", "read_committed"),
            ("client.rack", "r"),
        ];
        let properties: Properties = properties.map(|(k, v)| (k.into(), v.into())).into();
        let settings = ConsumerSettings::new(&properties).unwrap();
        let topic_id = Uuid::from_u128(1);
        let want = Want { incarnation: 1, topic_id, offset: 7, leader_epoch: 5 };
        let forgotten = |partition| (TopicPartition::new("u", partition), Uuid::from_u128(2));
        for version in 4..=18 {
            let step = Step {
                session: 11,
                epoch: 12,
                uses_ids: true,
                send: vec![(TopicPartition::new("t", 1), want)],
                forget: vec![forgotten(3), forgotten(4)],
            };
            let request = request(&settings, step, 9_000, version);
            let name = format!("records-{version}");
            assert_eq!(bytes(&request, version), java(&name), "{name}");
        }
    }
}
