//! Decides how a run becomes batches in the logs of the embedded cluster.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray};
use async_trait::async_trait;
use millrace_api::{Error, ErrorKind, Result};

use super::log::Log;
use super::settings::ProducerSettings;
use super::{Shared, Topic, now_ms};
use crate::partitioner::{Partitioner, Placement};
use crate::record_batch::{Headers, Record, Writer};
use crate::{Acknowledge, Outgoing, Producer};

/// A batch is closed before it grows beyond this: it fits a core's cache, and a consumer that wants
/// a few records need not read many.
const BATCH_BYTES: usize = 256 << 10;

/// Appends while [`Producer::send`] runs: its buffer is one open batch, and back-pressure is the
/// time that takes. The write blocks, but only to copy into the page cache.
pub(super) struct EmbeddedProducer {
    shared: Arc<Shared>,
    settings: ProducerSettings,
    partitioner: Partitioner,
    writer: Writer,
}

impl EmbeddedProducer {
    /// `number` differs between producers, to spread records without keys.
    pub(super) fn new(shared: Arc<Shared>, settings: ProducerSettings, number: i32) -> Self {
        let writer = Writer::new(settings.compression);
        Self { shared, settings, partitioner: Partitioner::new(number), writer }
    }

    /// Appends these rows, and reports each of them.
    fn append(&mut self, run: &mut Run<'_>, rows: impl Iterator<Item = usize>) {
        let now = now_ms();
        self.writer.set_append_time(run.log.settings().is_append_time.then_some(now));
        for row in rows {
            let record = record(run.records, row, now);
            let length = record.max_length();
            let is_too_big = length > self.settings.max_request_bytes;
            if (is_too_big || self.writer.len() + length > BATCH_BYTES) && !self.close(run) {
                return;
            }
            let pushed = match is_too_big {
                true => Err(self.too_big(run, length)),
                false => self.writer.push(&record),
            };
            if let Err(error) = pushed {
                run.left -= 1;
                run.ack.failed_row(row, &error);
            }
        }
        self.close(run);
    }

    /// Appends the open batch. When that fails the rest of the run fails too: were it tried, the
    /// log might have later records without the earlier ones.
    fn close(&mut self, run: &mut Run<'_>) -> bool {
        let count = self.writer.count();
        if count == 0 {
            return true;
        }
        match self.writer.finish().and_then(|batch| run.log.append(batch)) {
            Ok(_) => {
                run.left -= count;
                run.ack.acknowledged(count);
                true
            }
            Err(error) => {
                run.failed(run.left, &error);
                false
            }
        }
    }

    fn too_big(&self, run: &Run<'_>, length: usize) -> Error {
        Error::new(
            ErrorKind::Data,
            "the record is bigger than max.request.size: raise it, or make the record smaller",
        )
        .context("topic", &run.log.topic_partition.topic)
        .context("bytes", length)
        .context("max.request.size", self.settings.max_request_bytes)
    }

    fn placement(&mut self, topic: &Topic, records: &Outgoing) -> Result<Placement> {
        let partitions = topic.logs.len() as i32;
        match records.partition {
            None => Ok(self.partitioner.place(&records.topic, partitions, &records.keys)),
            Some(p) if (0..partitions).contains(&p) => Ok(Placement::One(p)),
            Some(p) => Err(Error::fatal("the topic has no such partition")
                .context("topic", &records.topic)
                .context("partition", p)
                .context("partitions", partitions)),
        }
    }
}

/// The rows of a run that go to one partition.
struct Run<'a> {
    log: &'a Arc<Log>,
    records: &'a Outgoing,
    ack: &'a dyn Acknowledge,
    /// How many are not reported yet.
    left: usize,
}

impl Run<'_> {
    fn failed(&mut self, count: usize, error: &Error) {
        self.left -= count;
        self.ack.failed(count, error);
    }
}

/// One row, as it is to be written.
fn record(records: &Outgoing, row: usize, now: i64) -> Record<'_> {
    let timestamp = records.timestamps.as_ref().map_or(-1, |timestamps| timestamps[row]);
    Record {
        timestamp: if timestamp == -1 { now } else { timestamp },
        key: cell(&records.keys, row),
        value: cell(&records.values, row),
        headers: Headers::List(records.headers.get(row).map_or(&[], Vec::as_slice)),
    }
}

fn cell(array: &BinaryViewArray, row: usize) -> Option<&[u8]> {
    array.is_valid(row).then(|| array.value(row))
}

#[async_trait]
impl Producer for EmbeddedProducer {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        records.check_columns()?;
        // A caller that sends in a loop must let others run as well.
        tokio::task::coop::consume_budget().await;
        let rows = records.values.len();
        let topic = self.shared.topic_or_create(&records.topic)?;
        if topic.is_compacted() && records.keys.null_count() > 0 {
            let error =
                Error::new(ErrorKind::Data, "a compacted topic takes no record without key")
                    .context("topic", &records.topic);
            ack.failed(rows, &error);
            return Ok(());
        }
        let run = |p: i32, left| Run { log: &topic.logs[p as usize], records, ack: &*ack, left };
        match self.placement(&topic, records)? {
            Placement::One(p) => self.append(&mut run(p, rows), 0..rows),
            Placement::Rows(placed) => {
                for (p, rows) in placed {
                    self.append(&mut run(p, rows.len()), rows.into_iter());
                }
            }
        }
        Ok(())
    }

    async fn flush(&mut self, _timeout: Duration) -> Result<()> {
        Ok(())
    }
}
