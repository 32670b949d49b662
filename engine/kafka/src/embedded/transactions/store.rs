//! Decides where the states of transactions are kept: a compacted log of one record per change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::Array;
use millrace_api::{Error, Result, TopicPartition};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{ProducerEpoch, State, Transaction, Transactions};
use crate::embedded::directory::Directory;
use crate::embedded::log::{Log, Read};
use crate::embedded::now_ms;
use crate::embedded::offsets::Committed;
use crate::embedded::settings::{Isolation, Settings, TopicSettings};
use crate::record_batch::{Compression, Record, Writer};

/// The topic Kafka keeps them in. Here it is no topic that can be read or written.
pub(in crate::embedded) const TOPIC: &str = "__transaction_state";

const READ_BYTES: usize = 1 << 20;

/// The log of transactions. It is made when the first of them begins.
#[derive(Debug)]
pub(in crate::embedded) struct Store {
    log: Arc<Log>,
}

/// A transaction as it is written.
#[derive(Serialize, Deserialize)]
struct Stored {
    producer_id: i64,
    producer_epoch: i16,
    #[serde(default)]
    last: Option<(i64, i16)>,
    #[serde(default)]
    next: Option<(i64, i16)>,
    timeout_ms: u64,
    state: String,
    partitions: Vec<(String, i32)>,
    offsets: BTreeMap<String, Vec<(String, i32, Committed)>>,
}

impl Store {
    /// Opens the log and goes on with what it holds; makes an empty one where there is none.
    pub(in crate::embedded) fn open(
        cluster: &Settings,
        directory: Option<&Directory>,
        transactions: &mut Transactions,
    ) -> Result<Self> {
        let (name, settings) = (TopicPartition::new(TOPIC, 0), TopicSettings::of_offsets());
        let log = match directory {
            None => Arc::new(Log::in_memory(name, settings, cluster)),
            Some(directory) if directory.partition(&name).is_dir() => {
                Log::open(name, settings, cluster, directory)?
            }
            Some(directory) => Arc::new(Log::create(name, settings, cluster, directory)?),
        };
        let store = Self { log };
        store.load(transactions)?;
        Ok(store)
    }

    /// Writes what is known of a transactional id now.
    pub(in crate::embedded) fn save(&self, id: &str, transaction: &Transaction) -> Result<()> {
        let stored = Stored::from(transaction);
        let value = serde_json::to_vec(&stored).expect("strings and numbers are always JSON");
        let mut writer = Writer::new(Compression::None);
        writer.push(&Record::new(now_ms(), Some(id.as_bytes()), Some(&value)))?;
        self.log.append(writer.finish()?).map(drop)
    }

    fn load(&self, transactions: &mut Transactions) -> Result<()> {
        let mut last = BTreeMap::new();
        let (mut offset, end) = self.log.offsets();
        while offset < end {
            let limits = self.log.limits;
            let read = self.log.read(offset, READ_BYTES, Isolation::Uncommitted, limits)?;
            let Read::Records { columns, next_offset, .. } = read else {
                break;
            };
            for row in 0..columns.offsets.len() {
                let malformed = || {
                    Error::fatal(
                        "the state of a transaction cannot be read: restore the log of \
                         transactions from a backup, or remove it to forget them all",
                    )
                    .context("log", TOPIC)
                    .context("offset", columns.offsets[row])
                };
                let key = columns.keys.value(row);
                let id = std::str::from_utf8(key).map_err(|_| malformed())?.to_owned();
                if columns.values.is_null(row) {
                    last.remove(&id);
                    continue;
                }
                let stored: Stored = serde_json::from_slice(columns.values.value(row))
                    .map_err(|e| malformed().with_source(e))?;
                last.insert(id, stored.into_transaction().ok_or_else(malformed)?);
            }
            offset = next_offset;
        }
        let now = Instant::now();
        for (id, transaction) in last {
            transactions.restore(id, transaction, now);
        }
        Ok(())
    }
}

const STATES: [State; 6] = [
    State::Empty,
    State::Ongoing,
    State::PrepareCommit,
    State::PrepareAbort,
    State::CompleteCommit,
    State::CompleteAbort,
];

impl From<&Transaction> for Stored {
    fn from(transaction: &Transaction) -> Self {
        let pair = |producer: ProducerEpoch| (producer.id, producer.epoch);
        let place = |tp: &TopicPartition| (tp.topic.to_string(), tp.partition);
        let offsets = transaction.offsets.iter().map(|(group, offsets)| {
            let offsets = offsets
                .iter()
                .map(|(tp, committed)| (tp.topic.to_string(), tp.partition, committed.clone()));
            (group.clone(), offsets.collect())
        });
        Self {
            producer_id: transaction.producer.id,
            producer_epoch: transaction.producer.epoch,
            last: transaction.last.map(pair),
            next: transaction.next.map(pair),
            timeout_ms: u64::try_from(transaction.timeout.as_millis()).unwrap_or(u64::MAX),
            state: transaction.state.name().to_owned(),
            partitions: transaction.partitions.iter().map(place).collect(),
            offsets: offsets.collect(),
        }
    }
}

impl Stored {
    /// None: its state is unknown.
    fn into_transaction(self) -> Option<Transaction> {
        let state = STATES.into_iter().find(|state| state.name() == self.state)?;
        let producer = |(id, epoch): (i64, i16)| ProducerEpoch { id, epoch };
        let place = |(topic, partition): (String, i32)| TopicPartition::new(topic, partition);
        let offsets = self.offsets.into_iter().map(|(group, offsets)| {
            let offsets = offsets
                .into_iter()
                .map(|(topic, partition, committed)| (place((topic, partition)), committed));
            (group, offsets.collect())
        });
        Some(Transaction {
            producer: producer((self.producer_id, self.producer_epoch)),
            last: self.last.map(producer),
            timeout: Duration::from_millis(self.timeout_ms),
            state,
            partitions: self.partitions.into_iter().map(place).collect(),
            offsets: offsets.collect(),
            next: self.next.map(producer),
            deadline: None,
        })
    }
}
