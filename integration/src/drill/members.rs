//! Decides how members of a group come and go, and what each must be given: from where it begins,
//! record after record.

use super::numbers::Numbers;
use super::{Stop, Tally};
use crate::client::Client;
use millrace_api::{ErrorKind, TopicPartition};
use millrace_kafka::{Consumer, Polled, Subscription};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Consumers of one group that come and go.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) numbers: Arc<Numbers>,
    pub(super) client: Client,
    pub(super) bootstrap: String,
    pub(super) id: String,
    pub(super) protocol: Protocol,
    /// Whether members commit what they are about to process, and leave before they have: the
    /// mistake that the drill has to find.
    pub(super) commits_ahead: bool,
}

/// How a group shares partitions out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Members do, with this assignor, a class of Java's.
    Classic(&'static str),
    /// The broker does (KIP-848).
    Consumer,
}

impl Protocol {
    /// What all clients can do, Java's included.
    pub const ALL: [Self; 4] = [
        Self::Classic("org.apache.kafka.clients.consumer.RangeAssignor"),
        Self::Classic("org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
        Self::Consumer,
        Self::Classic("org.apache.kafka.clients.consumer.RoundRobinAssignor"),
    ];

    fn settings(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Classic(assignor) => vec![
                ("partition.assignment.strategy", assignor),
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", "500"),
            ],
            // The broker says how long sessions are.
            Self::Consumer => vec![("group.protocol", "consumer")],
        }
    }
}

/// How often a member commits.
const COMMIT: Duration = Duration::from_millis(400);

impl Group {
    /// Keeps a place in the group: one member after the other until told to stop.
    pub(super) async fn keep(self, slot: usize, stop: Stop, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lives = 0;
        while !stop.is_set() {
            let life = Duration::from_millis(random.u64(6_000..14_000));
            lives += 1;
            let name = format!("{} {slot}.{lives}", self.client);
            self.live(&name, Instant::now() + life, &stop).await;
            if !stop.is_set() {
                sleep(Duration::from_millis(random.u64(200..2_000))).await;
            }
        }
    }

    /// One member, from joining to leaving.
    async fn live(&self, name: &str, until: Instant, stop: &Stop) {
        let tally = &self.numbers.tally;
        let mut settings = self.protocol.settings();
        settings.extend([
            ("group.id", self.id.as_str()),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("request.timeout.ms", "4000"),
            ("default.api.timeout.ms", "10000"),
            ("metadata.max.age.ms", "5000"),
            ("fetch.max.wait.ms", "200"),
            ("reconnect.backoff.max.ms", "500"),
            ("retry.backoff.max.ms", "500"),
        ]);
        let cluster = self.client.connect(&self.bootstrap, &[]);
        let consumer = cluster.consumer(&self.client.properties(&settings)).await;
        let mut consumer = match consumer {
            Ok(consumer) => consumer,
            Err(error) => return tally.refused(&format!("{name}: consumer"), &error),
        };
        let topics = Subscription::Topics(vec![self.numbers.topic.clone()]);
        if let Err(error) = consumer.subscribe(&topics).await {
            return tally.refused(&format!("{name}: subscribe"), &error);
        }
        tally.joined();
        let mut member =
            Member { group: self, name, next: HashMap::new(), committed: Instant::now() };
        while Instant::now() < until && !stop.is_set() {
            match consumer.poll(Duration::from_millis(200)).await {
                Ok(polled) => member.take(polled, consumer.as_mut()).await,
                Err(error) => {
                    tally.refused(&format!("{name}: poll"), &error);
                    if !matches!(error.kind(), ErrorKind::Retriable | ErrorKind::Conflict) {
                        tally.violation(format!("{name}: poll: {}", error.trace()));
                        break;
                    }
                }
            }
        }
        member.commit(consumer.as_mut()).await;
        if let Err(error) = consumer.close().await {
            tally.refused(&format!("{name}: close"), &error);
        }
    }
}

struct Member<'a> {
    group: &'a Group,
    name: &'a str,
    /// The next offset of each partition that was read since it was assigned.
    next: HashMap<TopicPartition, i64>,
    committed: Instant,
}

impl Member<'_> {
    async fn take(&mut self, polled: Polled, consumer: &mut dyn Consumer) {
        let tally: &Tally = &self.group.numbers.tally;
        match polled {
            Polled::Records(runs) => {
                for run in runs {
                    self.group.numbers.check(&run, self.name);
                    self.follow(&run.topic_partition, &run.offsets);
                }
                if self.committed.elapsed() > COMMIT {
                    self.commit(consumer).await;
                }
            }
            Polled::Assigned(partitions) => {
                tally.assigned();
                self.forget(&partitions);
            }
            Polled::Revoked(partitions) => {
                tally.revoked();
                self.commit(consumer).await;
                self.forget(&partitions);
            }
            Polled::Lost(partitions) => {
                tally.lost();
                self.forget(&partitions);
            }
        }
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        self.next.retain(|partition, _| !partitions.contains(partition));
    }

    /// Each record follows the one before it.
    fn follow(&mut self, partition: &TopicPartition, offsets: &[i64]) {
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
            return;
        };
        let expected = *self.next.get(partition).unwrap_or(&first);
        let steps = offsets.windows(2).all(|pair| pair[1] == pair[0] + 1);
        if first != expected || !steps {
            let name = self.name;
            self.group.numbers.tally.violation(format!(
                "{name}: {partition} goes on at {first} up to {last}, {expected} comes next"
            ));
        }
        self.next.insert(partition.clone(), last + 1);
        // The weakened member commits the last record, and does not get round to processing it.
        let processed = last + i64::from(!self.group.commits_ahead);
        self.group.numbers.deliver(partition.partition, first..processed);
    }

    async fn commit(&mut self, consumer: &mut dyn Consumer) {
        self.committed = Instant::now();
        let offsets: BTreeMap<_, _> =
            self.next.iter().map(|(p, next)| (p.clone(), *next)).collect();
        if offsets.is_empty() {
            return;
        }
        let tally = &self.group.numbers.tally;
        match consumer.commit(&offsets).await {
            Ok(()) => tally.committed(),
            Err(error) => tally.refused(&format!("{}: commit", self.name), &error),
        }
    }
}
