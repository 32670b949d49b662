//! Decides how members of a group come and go, and what each must be given: from where it begins,
//! record after record.

use super::commits::{Holding, now};
use super::numbers::Numbers;
use super::{Stop, Tally, Weakness};
use crate::client::Client;
use millrace_api::{ErrorKind, TopicPartition};
use millrace_kafka::{Consumer, Polled, Subscription};
use std::collections::BTreeMap;
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
    /// The mistake that the drill has to find.
    pub(super) weakness: Option<Weakness>,
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
        let holding = Holding::new(self.numbers.clone(), name);
        let mut member = Member { group: self, name, holding, committed: Instant::now() };
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
    holding: Holding,
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
                let at = now();
                partitions.iter().for_each(|tp| self.holding.assigned(tp.partition, at));
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
        if self.group.weakness != Some(Weakness::CommitsAfterLost) {
            partitions.iter().for_each(|tp| self.holding.gone(tp.partition));
        }
    }

    /// Each record follows the one before it.
    fn follow(&mut self, partition: &TopicPartition, offsets: &[i64]) {
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
            return;
        };
        if !offsets.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            let name = self.name;
            let what = format!("{name}: {partition} jumps between {first} and {last}");
            self.group.numbers.tally.violation(what);
        }
        self.holding.given(partition.partition, first, last);
        // The weakened member commits the last record, and does not get round to processing it.
        let processed = last + i64::from(self.group.weakness != Some(Weakness::CommitsAhead));
        self.group.numbers.deliver(partition.partition, first..processed);
    }

    async fn commit(&mut self, consumer: &mut dyn Consumer) {
        self.committed = Instant::now();
        let positions = self.holding.positions();
        if positions.is_empty() {
            return;
        }
        let topic = &self.group.numbers.topic;
        let offsets: BTreeMap<_, _> = positions
            .iter()
            .map(|(partition, next)| (TopicPartition::new(topic.as_str(), *partition), *next))
            .collect();
        let (tally, sent) = (&self.group.numbers.tally, now());
        let done = match self.group.weakness {
            Some(Weakness::ForgetsCommits) => Ok(()),
            _ => consumer.commit(&offsets).await,
        };
        self.holding.committed(&positions, sent, done.is_ok().then(now));
        match done {
            Ok(()) => tally.committed(),
            Err(error) => tally.refused(&format!("{}: commit", self.name), &error),
        }
    }
}
