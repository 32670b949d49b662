//! Keeps one reading of a query between polls: what was begun goes on, whenever it is asked.
//!
//! Nothing is spawned unless it is asked for. The reading is a future that owns its connection and
//! hands batches through a channel of one; it advances only while somebody waits for a batch. So a
//! poll that is dropped loses nothing, and a task that is not polled holds three batches at most:
//! two, and one whose position depends on the next.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use millrace_api::{Error, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::batch::Batch;
use crate::dialect::Connection;
use crate::gaps::Horizon;
use crate::unfinished::Unfinished;

type Reading = Pin<Box<dyn Future<Output = Result<Ended>> + Send>>;

/// All rows were given.
pub(crate) struct Ended {
    /// It may be used again.
    pub(crate) connection: Box<dyn Connection>,
    /// Before the first row was read and after the last, where the connection can tell.
    pub(crate) horizons: Option<[Horizon; 2]>,
    /// What was not over before the rows beyond the position were read.
    pub(crate) unfinished: Option<Arc<Unfinished>>,
}

/// A query that is being read.
pub(crate) struct Cursor {
    reading: Reading,
    batches: mpsc::Receiver<Batch>,
    /// It waits for the next one.
    held: Option<Box<Batch>>,
    outcome: Option<Result<Ended>>,
}

/// What a cursor gives next.
pub(crate) enum Next {
    Batch(Box<Batch>),
    End(Ended),
}

impl Cursor {
    /// Begins a reading. It gets where to hand batches, and returns its connection at the end.
    pub(crate) fn new<F>(read: impl FnOnce(mpsc::Sender<Batch>) -> F) -> Self
    where
        F: Future<Output = Result<Ended>> + Send + 'static,
    {
        let (sender, batches) = mpsc::channel(1);
        Self { reading: Box::pin(read(sender)), batches, held: None, outcome: None }
    }

    /// As [`new`](Self::new), but the reading goes on beside those who wait for it. It ends with
    /// the cursor.
    pub(crate) fn spawned<F>(read: impl FnOnce(mpsc::Sender<Batch>) -> F) -> Self
    where
        F: Future<Output = Result<Ended>> + Send + 'static,
    {
        Self::new(|batches| {
            // A set ends its tasks when it is dropped.
            let mut reading = JoinSet::new();
            reading.spawn(read(batches));
            async move {
                let ended = reading.join_next().await.expect("one was spawned");
                ended.unwrap_or_else(|e| Err(Error::fatal("a reader ended early").with_source(e)))
            }
        })
    }

    /// The next batch, the end, or what went wrong after the batches before. Cancel-safe. Not to
    /// be called again after the end or an error.
    pub(crate) async fn next(&mut self) -> Result<Next> {
        while let Some(batch) = self.receive().await {
            let before = match batch.waits_for_next() {
                true => self.held.replace(Box::new(batch)),
                false => return Ok(Next::Batch(Box::new(batch))),
            };
            let Some(mut before) = before else { continue };
            if self.held.as_ref().is_some_and(|next| before.ties_with(next)) {
                before.stay_before_ties();
            }
            return Ok(Next::Batch(before));
        }
        if let Some(mut last) = self.held.take() {
            if !matches!(self.outcome, Some(Ok(_))) {
                last.stay_before_ties();
            }
            return Ok(Next::Batch(last));
        }
        let outcome = self.outcome.take().expect("there is one when no batch comes any more");
        outcome.map(Next::End)
    }

    /// The next batch as it was read. None: there is an outcome.
    async fn receive(&mut self) -> Option<Batch> {
        while self.outcome.is_none() {
            tokio::select! {
                biased;
                Some(batch) = self.batches.recv() => return Some(batch),
                outcome = &mut self.reading => self.outcome = Some(outcome),
            }
        }
        self.batches.try_recv().ok()
    }
}
