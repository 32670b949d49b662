//! Decides which of the records that came in a record was before it was converted or transformed.

use std::sync::{Arc, Weak};

use arrow::array::Array;
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

pub(super) fn any_passing<'a>(mut rows: impl Iterator<Item = &'a RowError>) -> bool {
    rows.any(|row| row.error.is_retriable())
}

/// Which row of what was polled this one was. None: a transformation has made it.
pub(super) fn original_row(records: &Records, row: usize) -> Option<usize> {
    usize::try_from(records.origins.as_ref()?[row]).ok()
}

/// The row of a run that this record was before it was converted: offsets tell.
pub(super) fn place_by_offset(run: &Fetched, records: &Records, row: usize) -> Option<usize> {
    let offset = records.offsets.as_ref()?[row];
    run.offsets.binary_search(&offset).ok()
}

/// The rows, as they were polled, of what is left of a run without the failed ones; none where a
/// transformation has forgotten them.
pub(super) fn sent_rows(records: &Records, failures: &[ConverterFailures]) -> Option<Vec<usize>> {
    let failed = failures.iter().flat_map(|stage| &stage.rows).map(|row| row.row);
    let kept = survivors(records.len(), failed);
    let rows = (0..records.len()).filter(|row| kept.value(*row));
    rows.map(|row| original_row(records, row)).collect()
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
