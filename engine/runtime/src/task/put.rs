//! Decides what becomes of a batch that is put: of the whole of it, and of single records that the
//! sink task refuses.

use std::slice;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_api::data::{Fetched, RowError, SinkRecords};
use millrace_api::{Error, ErrorKind, Offsets, Refused, Result, TopicPartition};

use tokio::time::Instant;

use crate::memory::Place;
use crate::metrics::Step;
use crate::task::Wanted;
use crate::task::errors::ErrorPolicy;
use crate::task::search::Search;
use crate::task::sink::{SinkState, SinkTaskLoop};

/// How long the loop looks for the records at fault before the consumer hears of its group again.
const LONGEST_SEARCH: Duration = Duration::from_secs(1);

/// What it then has for that.
const MOMENT: Duration = Duration::from_millis(10);

/// Where records are that the task has refused and nobody has dealt with.
#[derive(Default)]
pub(super) struct Unjudged {
    /// The first offset of each partition.
    pub(super) first: Offsets,
    /// Whether the task has failed: then nobody will, and only the last commit is left.
    pub(super) is_final: bool,
}

impl SinkTaskLoop {
    /// Offers the batch to the task. After a retriable error nothing more is fetched, and the same
    /// batch is offered again by the next round; after records were refused for a passing reason,
    /// these.
    pub(super) async fn deliver(&mut self) -> Result<()> {
        self.metrics.consumed(&self.state.batch_end);
        let began = Instant::now();
        match self.task.put(&self.state.batch).await {
            Ok(()) => {
                let records = self.state.batch.iter().map(|run| run.records.len()).sum();
                self.metrics.put(records, began.elapsed());
                self.batch_is_put();
                self.judge_refused().await
            }
            Err(e) => {
                if self.is_repeated(&self.state.batch, &e) {
                    self.state.redelivery = true;
                    return Ok(());
                }
                if self.may_isolate(&e) {
                    return self.isolate().await;
                }
                Err(unrecoverable(e))
            }
        }
    }

    /// Asks the task how far it has got. What it refuses in a call that fails is read again.
    pub(super) async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        let offsets = self.task.pre_commit(consumed).await;
        if offsets.is_err() {
            self.metrics.commit_failed();
            self.context.wishes().refused.clear();
        }
        offsets
    }

    /// Deals with what the task has refused. When nothing is to be put again, what was put is done
    /// with.
    pub(super) async fn judge_refused(&mut self) -> Result<()> {
        let refused = self.take_refused();
        self.judge(refused).await
    }

    /// Takes what the task has refused. Until all of it is judged no offset passes it, also where
    /// the task fails before.
    fn take_refused(&mut self) -> Vec<Refused> {
        let refused = std::mem::take(&mut self.context.wishes().refused);
        if self.state.unjudged.is_final {
            // The last commit: it is not made where these cannot be judged.
            return refused;
        }
        for Refused { record, .. } in &refused {
            let (first, offset) = (&mut self.state.unjudged.first, record.offsets()[0]);
            let first = first.entry(record.topic_partition.clone()).or_insert(offset);
            *first = offset.min(*first);
        }
        refused
    }

    async fn judge(&mut self, refused: Vec<Refused>) -> Result<()> {
        let (passing, at_fault): (Vec<_>, Vec<_>) =
            refused.into_iter().partition(|refused| refused.error.is_retriable());
        if let Some(i) = at_fault.iter().position(|r| r.error.kind() != ErrorKind::Data) {
            return Err(unrecoverable(at_fault[i].error.copied()));
        }
        self.pipeline.errors.bury(at_fault).await?;
        if !self.put_again(passing).await? && !self.state.redelivery {
            self.state.again = None;
            self.state.current.append(&mut self.state.batch_end);
        }
        // What is put again is in the batch.
        if !self.state.unjudged.is_final {
            self.state.unjudged.first.clear();
        }
        Ok(())
    }

    /// Puts records again after a pause; says whether. When the time for that is up
    /// `errors.tolerance` decides.
    async fn put_again(&mut self, refused: Vec<Refused>) -> Result<bool> {
        let Some(Refused { error, .. }) = refused.first() else { return Ok(false) };
        let retries = self.state.put_retries;
        let Some(pause) = self.state.again.get_or_insert_with(|| retries.begin()).failed() else {
            self.pipeline.errors.bury(refused).await?;
            return Ok(false);
        };
        tracing::warn!(records = refused.len(), "records are refused and put again: {error}");
        self.metrics.retried(Step::Put);
        self.context.wishes().timeout.get_or_insert(pause);
        self.state.batch.splice(0..0, refused.into_iter().map(|refused| refused.record));
        self.state.redelivery = true;
        Ok(true)
    }

    /// Whether all dead letters are in the queue: no offset moves before. False when that takes
    /// long; the next commit asks again.
    pub(super) async fn are_buried(&mut self) -> Result<bool> {
        match self.pipeline.errors.settle(Some(self.state.timeout)).await {
            Err(e) if e.is_retriable() => {
                tracing::warn!("offsets are not committed yet: {e}");
                Ok(false)
            }
            settled => settled.map(|()| true),
        }
    }

    /// The same once what is refused is judged, but hears what else is wanted meanwhile: then a
    /// later commit asks again.
    pub(super) async fn are_refused_buried(&mut self) -> Result<bool> {
        self.judge_refused().await?;
        let mut wishes = self.wishes.clone();
        let known = wishes.now();
        tokio::select! {
            biased;
            buried = self.are_buried() => buried,
            _ = wishes.other_than(known) => Ok(false),
        }
    }

    /// Says how much is held.
    pub(super) fn tell_memory(&mut self) {
        let share = self.metrics.share();
        share.set(Place::Waiting, self.state.held.iter().map(Fetched::bytes).sum());
        share.set(Place::Putting, self.state.batch_bytes);
        share.set(Place::Originals, self.pipeline.originals.bytes());
    }

    fn may_isolate(&self, error: &Error) -> bool {
        // An error without a record is none of a record's.
        error.kind() == ErrorKind::Data
            && self.state.batch.iter().any(|run| !run.records.is_empty())
            && self.task.puts_all_or_nothing()
            && self.pipeline.errors.tolerates_all()
    }

    /// Puts the batch, which failed as a whole, in parts, until each record that is at fault has
    /// failed alone. What it has not come to when something else is due is put again.
    async fn isolate(&mut self) -> Result<()> {
        let mut runs = std::mem::take(&mut self.state.batch).into_iter();
        // Of parts that were put: these do not come again.
        let mut refused = Vec::new();
        let end = Instant::now() + LONGEST_SEARCH;
        while let Some(run) = runs.next() {
            let mut search = Search::of(run.records.len());
            while let Some(next) = search.next() {
                let is_due = Instant::now() > end || self.wishes.now() == Wanted::Stop;
                let put = match is_due {
                    true => None,
                    false => self.put_part(run.slice(next.start, next.len())).await?,
                };
                refused.extend(self.take_refused());
                if let Some(was_put) = put {
                    search.tell(&next, !was_put);
                    continue;
                }
                let rest = search.rest().map(|part| run.slice(part.start, part.len()));
                self.state.batch = rest.chain(runs).collect();
                self.state.redelivery = true;
                self.judge(refused).await?;
                if is_due {
                    self.context.wishes().timeout.get_or_insert(MOMENT);
                }
                return Ok(());
            }
        }
        self.batch_is_put();
        self.judge(refused).await
    }

    fn batch_is_put(&mut self) {
        if let Some(oldest) = self.state.batch_oldest.take() {
            self.metrics.delivered(age(oldest));
        }
        self.state.batch.clear();
        self.state.batch_bytes = 0;
        self.tell_memory();
        self.state.redelivery = false;
    }

    /// Whether records that could not be put are put again. What the task has refused of them comes
    /// again with the others, or the task ends.
    fn is_repeated(&self, records: &[SinkRecords], error: &Error) -> bool {
        self.context.wishes().refused.retain(|refused| !is_of(refused, records));
        if error.is_retriable() {
            tracing::warn!("put failed and is repeated: {error}");
            self.metrics.retried(Step::Put);
        }
        error.is_retriable()
    }

    /// Puts a part of the batch; says whether it could be put, or nothing where it is to be put
    /// again. A record that fails alone counts as refused by the task.
    async fn put_part(&mut self, part: SinkRecords) -> Result<Option<bool>> {
        let (began, rows) = (Instant::now(), part.records.len());
        let Err(error) = self.task.put(slice::from_ref(&part)).await else {
            self.metrics.put(rows, began.elapsed());
            return Ok(Some(true));
        };
        if self.is_repeated(slice::from_ref(&part), &error) {
            return Ok(None);
        }
        if error.kind() != ErrorKind::Data {
            return Err(unrecoverable(error));
        }
        if rows == 1 {
            self.context.wishes().refused.push(Refused { record: part, error });
        }
        Ok(Some(false))
    }
}

impl SinkState {
    /// The first offset of a partition that is to be put again, or judged.
    pub(super) fn first_held(&self, partition: &TopicPartition) -> i64 {
        let runs = self.batch.iter().filter(|run| run.topic_partition == *partition);
        let put_again = runs.filter_map(|run| run.offsets().first());
        put_again.chain(self.unjudged.first.get(partition)).copied().min().unwrap_or(i64::MAX)
    }
}

impl ErrorPolicy {
    /// Has `errors.tolerance` decide about records, those of a run at once.
    async fn bury(&self, refused: Vec<Refused>) -> Result<()> {
        let mut refused = refused.into_iter().peekable();
        while let Some(Refused { record, error }) = refused.next() {
            let mut offsets = vec![record.offsets()[0]];
            let mut rows = vec![RowError { row: 0, error }];
            let is_neighbour = |next: &Refused| next.record.is_of_the_run_of(&record);
            while let Some(Refused { record, error }) = refused.next_if(is_neighbour) {
                rows.push(RowError { row: offsets.len(), error });
                offsets.push(record.offsets()[0]);
            }
            self.handle_put(&record, &offsets, &rows).await?;
        }
        Ok(())
    }
}

/// Whether it is one of these records; else it was put earlier.
fn is_of(refused: &Refused, batch: &[SinkRecords]) -> bool {
    let Refused { record, .. } = refused;
    batch.iter().any(|run| {
        run.topic_partition == record.topic_partition
            && run.offsets().contains(&record.offsets()[0])
    })
}

fn unrecoverable(error: Error) -> Error {
    Error::fatal("Exiting WorkerSinkTask due to unrecoverable exception.").with_source(error)
}

/// How long ago a record was made; nothing when its clock is ahead of ours.
fn age(timestamp: i64) -> Duration {
    let made = UNIX_EPOCH + Duration::from_millis(u64::try_from(timestamp).unwrap_or(0));
    SystemTime::now().duration_since(made).unwrap_or_default()
}
