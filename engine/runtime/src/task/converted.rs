//! Decides which of the records that came in a record was before it was converted or transformed.

use std::sync::{Arc, Weak};

use arrow::array::Array;
use arrow::buffer::ScalarBuffer;
use millrace_api::data::{Fetched, Records, RowError};
use millrace_api::{Error, Result};
use millrace_kafka::Outgoing;

use crate::task::errors::survivors;
use crate::task::serde::ConverterFailures;

/// What stands for "none" among timestamps. Kafka knows none below.
const NO_TIMESTAMP: i64 = -1;

/// The runs of which a sink task has records yet, as they came from Kafka.
#[derive(Default)]
pub(crate) struct Originals(Vec<(Weak<Fetched>, usize)>);

impl Originals {
    /// A run whose records go to the task with it.
    pub(super) fn keep(&mut self, run: &Arc<Fetched>) -> Arc<Fetched> {
        self.0.push((Arc::downgrade(run), run.bytes()));
        Arc::clone(run)
    }

    /// How many bytes they have; those that nobody has any more are forgotten.
    pub(super) fn bytes(&mut self) -> usize {
        self.0.retain(|(run, _)| run.strong_count() > 0);
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// What became of a run that was polled.
#[derive(Default)]
pub(super) struct Converted {
    /// With the row of each record in what was polled, where that is needed.
    pub(super) outgoing: Vec<(Outgoing, Option<Vec<usize>>)>,
    pub(super) letters: Vec<Outgoing>,
}

impl Converted {
    /// How many records are to be sent.
    pub(super) fn sent(&self) -> usize {
        self.outgoing.iter().map(|(outgoing, _)| outgoing.values.len()).sum()
    }

    /// How many have become dead letters.
    pub(super) fn buried(&self) -> usize {
        self.letters.iter().map(|letters| letters.values.len()).sum()
    }
}

/// What the records of a run are known by wherever they go: those of a source by their rows in what
/// was polled, those of a sink by their offsets.
pub(crate) struct Marks {
    origins: Option<ScalarBuffer<i64>>,
    offsets: Option<ScalarBuffer<i64>>,
}

impl Marks {
    /// Shares the buffers.
    pub(super) fn of(records: &Records) -> Self {
        Self { origins: records.origins.clone(), offsets: records.offsets.clone() }
    }

    /// Which row of what was polled this one was. None: a transformation has made it.
    pub(super) fn original_row(&self, row: usize) -> Option<usize> {
        usize::try_from(self.origins.as_ref()?[row]).ok()
    }

    /// Which row of this run it was before it was converted. None: a transformation has made it.
    pub(super) fn row_in(&self, run: &Fetched, row: usize) -> Option<usize> {
        run.offsets.binary_search(&self.offsets.as_ref()?[row]).ok()
    }
}

pub(super) fn any_passing<'a>(mut rows: impl Iterator<Item = &'a RowError>) -> bool {
    rows.any(|row| row.error.is_retriable())
}

/// The rows, as they were polled, of what is left of a run without the failed ones; none where a
/// transformation has forgotten them.
pub(super) fn sent_rows(records: &Records, failures: &[ConverterFailures]) -> Option<Vec<usize>> {
    let failed = failures.iter().flat_map(|stage| &stage.rows).map(|row| row.row);
    let kept = survivors(records.len(), failed);
    let rows = (0..records.len()).filter(|row| kept.value(*row));
    let marks = Marks::of(records);
    rows.map(|row| marks.original_row(row)).collect()
}

/// Refuses what came out of a sink's transformations without offsets: nothing of it could ever be
/// committed.
pub(super) fn check_offsets(runs: &[Records]) -> Result<()> {
    let has_offsets = |run: &Records| run.offsets.as_ref().is_some_and(|o| o.len() == run.len());
    if runs.iter().all(has_offsets) {
        return Ok(());
    }
    Err(Error::fatal("a transformation has made records without the offsets of those they were")
        .context("remedy", "have it keep `offsets`"))
}

/// Refuses times that Java refuses.
pub(super) fn check_times(outgoing: &Outgoing) -> Result<()> {
    let times = outgoing.timestamps.iter().flat_map(|times| times.iter());
    match times.into_iter().find(|time| **time < NO_TIMESTAMP) {
        None => Ok(()),
        Some(time) => Err(Error::fatal(format!("Invalid record timestamp {time}"))
            .context("topic", &outgoing.topic)
            .context("remedy", "let the connector give milliseconds since 1970, or none")),
    }
}
