//! What a task reads at the moment: one cursor, or a snapshot by several readers.

use std::future::Future;
use std::pin::Pin;

use millrace_api::Result;

use crate::batch::Batch;
use crate::cursor::{Cursor, Ended, Next};
use crate::dialect::Connection;
use crate::source::job::Job;
use crate::source::snapshot::{Complete, Piece, Snapshot};

/// Begins a snapshot; gives a connection back where there can be none.
type Beginning =
    Pin<Box<dyn Future<Output = Result<Result<Snapshot, Box<dyn Connection>>>> + Send>>;

/// A reading that was begun.
pub(super) enum Reading {
    /// In the order of the mode.
    Ordered(Cursor),
    /// It is not known yet whether there is a snapshot; the job is what is done if not.
    Beginning(Beginning, Option<Job>),
    Snapshot(Box<Snapshot>),
}

/// What comes next.
pub(super) enum Step {
    Batch(Box<Batch>),
    Piece(Piece),
    /// All rows were given.
    End(Ended),
    /// The snapshot is complete.
    Complete(Complete),
}

impl Reading {
    /// Reads as the job says.
    pub(super) fn ordered(job: Job, connection: Option<Box<dyn Connection>>) -> Self {
        Self::Ordered(Cursor::new(|batches| job.run(connection, batches)))
    }

    /// What comes next. Cancel-safe. Not to be called again after an error or an end.
    pub(super) async fn next(&mut self) -> Result<Step> {
        loop {
            match self {
                Self::Ordered(cursor) => {
                    return Ok(match cursor.next().await? {
                        Next::Batch(batch) => Step::Batch(batch),
                        Next::End(ended) => Step::End(ended),
                    });
                }
                Self::Beginning(beginning, job) => {
                    let begun = beginning.await?;
                    let job = job.take().expect("a beginning ends once");
                    *self = match begun {
                        Ok(snapshot) => Self::Snapshot(Box::new(snapshot)),
                        Err(connection) => Self::ordered(job, Some(connection)),
                    };
                }
                Self::Snapshot(snapshot) => {
                    if let Some(piece) = snapshot.next().await? {
                        return Ok(Step::Piece(piece));
                    }
                    return Ok(Step::Complete(snapshot.complete()));
                }
            }
        }
    }
}
