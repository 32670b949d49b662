//! Decides which records are written, reported or left out, and keeps memory within its share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::BooleanArray;
use async_trait::async_trait;
use millrace_api::data::{Records, SinkRecords};
use millrace_api::{
    ErrantRecordReporter, Error, ErrorKind, Offsets, Result, SinkContext, SinkTask, TopicPartition,
};

use crate::clock::Clock;
use crate::config::NullValues;
use crate::format::Prepared;
use crate::partition::{Output, Partition};
use crate::settings::Settings;
use crate::store::Store;

/// Rows that are encoded but not yet written take at most about so much memory in a task.
const MEMORY: usize = 128 << 20;

/// Writes its partitions into files.
pub(crate) struct LakeSinkTask {
    out: Output,
    judge: Judge,
    memory: usize,
    partitions: BTreeMap<TopicPartition, Partition>,
}

/// What becomes of records that cannot be written.
struct Judge {
    null_values: NullValues,
    reporter: Option<Arc<dyn ErrantRecordReporter>>,
    /// What was reported of a batch: it may come again because the reports take their time.
    reported: BTreeSet<(TopicPartition, i64)>,
}

/// Rows of a run that are to be written, if any are.
type Admitted = Option<(Records, Prepared)>;

impl Judge {
    /// Unmarks null rows that are to be kept so far.
    async fn sort_out_nulls(&mut self, run: &SinkRecords, keep: &mut [bool]) -> Result<()> {
        for (row, keep) in keep.iter_mut().enumerate() {
            if !*keep || !run.records.value.is_null(row) {
                continue;
            }
            *keep = false;
            if self.null_values == NullValues::Fail {
                let error = Error::data(
                    "the value is null: set behavior.on.null.values=ignore to leave such records \
                     out",
                );
                self.report(run, row, error).await?;
            }
        }
        Ok(())
    }

    /// Waits until what was reported is kept: names of files pass over it.
    async fn settle(&self) -> Result<()> {
        match &self.reporter {
            Some(reporter) => reporter.settle().await,
            None => Ok(()),
        }
    }

    /// One row cannot be written: it goes to the dead letter queue, or the task fails.
    async fn report(&mut self, run: &SinkRecords, row: usize, error: Error) -> Result<()> {
        let place = (run.topic_partition.clone(), run.offsets()[row]);
        if self.reported.contains(&place) {
            return Ok(());
        }
        let error = error
            .context("topic", &run.topic_partition.topic)
            .context("partition", run.topic_partition.partition)
            .context("offset", run.offsets()[row]);
        match &self.reporter {
            Some(reporter) if error.kind() == ErrorKind::Data => {
                reporter.report(run, row, error).await?;
                self.reported.insert(place);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl LakeSinkTask {
    pub(crate) async fn new(
        settings: Settings,
        context: &SinkContext,
        clock: Clock,
    ) -> Result<Self> {
        let store = Store::open(&settings.root, &settings.naming.topics_dir).await?;
        Ok(Self {
            out: Output {
                naming: settings.naming,
                policy: settings.policy,
                format: settings.format,
                store,
                clock,
            },
            judge: Judge {
                null_values: settings.null_values,
                reporter: context.errant_record_reporter().cloned(),
                reported: BTreeSet::new(),
            },
            memory: MEMORY,
            partitions: BTreeMap::new(),
        })
    }

    /// Looks at all rows, and waits until those that are reported are kept: until then nothing is
    /// written, so the same batch may come again.
    async fn admit_all(&mut self, batch: &[SinkRecords]) -> Result<Vec<Admitted>> {
        let mut admitted = Vec::with_capacity(batch.len());
        for run in batch {
            let partition = self.partitions.get_mut(&run.topic_partition);
            let partition = partition.ok_or_else(|| not_open(&run.topic_partition))?;
            let seen = partition.arrive(run.offsets(), &self.out.store).await?;
            admitted.push(self.admit(run, seen).await?);
        }
        self.judge.settle().await?;
        Ok(admitted)
    }

    /// The rows of a run that are to be written, from `first` on; the others were seen, are null
    /// and ignored, or were reported.
    async fn admit(&mut self, run: &SinkRecords, first: usize) -> Result<Admitted> {
        let mut keep: Vec<bool> = (0..run.records.len()).map(|row| row >= first).collect();
        self.judge.sort_out_nulls(run, &mut keep).await?;
        loop {
            let records = select(&run.records, &keep);
            if records.is_empty() {
                return Ok(None);
            }
            let failed = match self.out.format.prepare(&records.value) {
                Ok(prepared) => return Ok(Some((records, prepared))),
                Err(failed) => failed,
            };
            if failed.is_empty() {
                return Err(Error::fatal("records cannot be written together, though each can")
                    .context("partition", &run.topic_partition));
            }
            let rows: Vec<usize> = (0..keep.len()).filter(|row| keep[*row]).collect();
            for failure in failed {
                let row = rows[failure.row];
                self.judge.report(run, row, failure.error).await?;
                keep[row] = false;
            }
        }
    }

    /// While the open files take too much memory, the largest gives its share up.
    async fn bound_memory(&mut self) -> Result<()> {
        loop {
            let mut total = 0;
            let mut largest: Option<(usize, &mut Partition)> = None;
            for partition in self.partitions.values_mut() {
                let memory = partition.memory();
                total += memory;
                if largest.as_ref().is_none_or(|(most, _)| memory > *most) {
                    largest = Some((memory, partition));
                }
            }
            match largest {
                Some((_, partition)) if total > self.memory => {
                    partition.spill(&self.out.store).await?
                }
                _ => return Ok(()),
            }
        }
    }

    async fn take(&mut self, batch: &[SinkRecords], admitted: Vec<Admitted>) -> Result<()> {
        for (run, admitted) in batch.iter().zip(admitted) {
            let partition = self.partitions.get_mut(&run.topic_partition);
            let partition = partition.ok_or_else(|| not_open(&run.topic_partition))?;
            partition.note(run.offsets());
            if let Some((records, prepared)) = admitted {
                partition.write(&records, &prepared, &mut self.out).await?;
                self.bound_memory().await?;
            }
        }
        for partition in self.partitions.values_mut() {
            partition.publish_if_due(&mut self.out).await?;
        }
        Ok(())
    }

    async fn discard_all(&mut self) {
        for partition in self.partitions.values_mut() {
            partition.discard(&self.out.store).await;
        }
    }
}

#[async_trait]
impl SinkTask for LakeSinkTask {
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let prefixes = partitions.iter().map(|p| self.out.naming.name_prefix(p));
        self.out.store.clean(prefixes.collect()).await?;
        for partition in partitions {
            let state = Partition::new(partition.clone());
            self.partitions.insert(partition.clone(), state);
        }
        Ok(())
    }

    async fn put(&mut self, batch: &[SinkRecords]) -> Result<()> {
        let taken = match self.admit_all(batch).await {
            Ok(admitted) => self.take(batch, admitted).await,
            // Reports that are slow cost nothing that is open.
            Err(error) if error.is_retriable() => return Err(error),
            Err(error) => Err(error),
        };
        self.judge.reported.clear();
        if taken.is_err() {
            // Nothing of what is open will be committed; leave nothing lying about either.
            self.discard_all().await;
        }
        taken
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        let committable = |(source, partition): (&TopicPartition, &Partition)| {
            let offset = partition.committable(*consumed.get(source)?)?;
            Some((source.clone(), offset))
        };
        Ok(self.partitions.iter().filter_map(committable).collect())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.judge.reported.retain(|(partition, _)| !partitions.contains(partition));
        for partition in partitions {
            if let Some(mut state) = self.partitions.remove(partition) {
                state.discard(&self.out.store).await;
            }
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.discard_all().await;
        Ok(())
    }
}

fn not_open(partition: &TopicPartition) -> Error {
    Error::fatal("records of a partition that is not open").context("partition", partition)
}

/// The records to keep; the same ones when that is all.
fn select(records: &Records, keep: &[bool]) -> Records {
    if keep.iter().all(|keep| *keep) {
        records.clone()
    } else {
        records.filter(&BooleanArray::from(keep.to_vec()))
    }
}

#[cfg(test)]
mod tests;
