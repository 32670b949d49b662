//! Makes batches of the rows of one query, straight from what the server sent.

use millrace_api::{Error, Result};
use tokio::sync::mpsc;

use super::copy::{Parts, Tuples};
use super::decode::Decode;
use super::wire::Session;
use crate::batch::{Batch, Batcher, RowName};
use crate::dialect::{Select, hand_over};
use crate::position::Moment;

/// The rows of one query on their way from the wire into columns.
pub(super) struct Rows<'a> {
    select: &'a Select,
    batcher: Batcher,
    decoders: Vec<Decode>,
    /// Those that were found and are not in columns yet.
    tuples: Tuples,
    parts: Parts,
    /// How many there were before them.
    count: u64,
}

impl<'a> Rows<'a> {
    pub(super) fn new(select: &'a Select, batcher: Batcher, decoders: Vec<Decode>) -> Self {
        let tuples = Tuples::new(decoders.len());
        Self { select, batcher, decoders, tuples, parts: Parts::default(), count: 0 }
    }

    /// Takes up all rows that were received; hands batches over as they fill.
    pub(super) async fn take_up(
        &mut self,
        session: &mut Session,
        batches: &mpsc::Sender<Batch>,
    ) -> Result<()> {
        while let Some(part) = session.copied() {
            let received = session.received();
            if self.parts.has_begun() {
                let data = self.parts.joined(&received[part]);
                let rest = self.find(&data, 0..data.len())?;
                self.settle(&data, batches).await?;
                self.parts.back(data, rest);
                continue;
            }
            let rest = self.find(received, part)?;
            let room = self.batcher.room();
            let is_full = self.tuples.len() >= room.rows || self.tuples.bytes() >= room.bytes;
            if is_full || !rest.is_empty() {
                self.settle(received, batches).await?;
                self.parts.keep(&received[rest]);
            }
        }
        // What was received does not stay where it is.
        self.settle(session.received(), batches).await
    }

    /// Hands over what is left.
    pub(super) async fn finish(mut self, batches: &mpsc::Sender<Batch>) -> Result<()> {
        if self.parts.has_begun() {
            return Err(self.broken("it ends within a row"));
        }
        hand_over(batches, self.batcher.take()?).await
    }

    fn find(
        &mut self,
        data: &[u8],
        part: std::ops::Range<usize>,
    ) -> Result<std::ops::Range<usize>> {
        let found = self.tuples.find(data, part);
        found.map_err(|what| self.broken(what))
    }

    fn broken(&self, what: &'static str) -> Error {
        Error::fatal("the server's COPY data is broken")
            .context("table", self.select.place())
            .context("error", what)
    }

    /// Puts the rows that were found into columns, and hands the batch over once it is full.
    async fn settle(&mut self, data: &[u8], batches: &mpsc::Sender<Batch>) -> Result<()> {
        let misfit = self.decode(data);
        let fit = misfit.as_ref().map_or(self.tuples.len(), |(row, _)| *row);
        let mut is_full = false;
        for row in 0..fit {
            let written = self.written(data, row);
            is_full |= self.batcher.row_done(self.tuples.lengths()[row], written);
        }
        self.count += fit as u64;
        if is_full || misfit.is_some() {
            hand_over(batches, self.batcher.take()?).await?;
        }
        self.tuples.clear();
        match misfit {
            Some((_, error)) => Err(error.context("table", self.select.place())),
            None => Ok(()),
        }
    }

    /// Gives the first row with a value that does not fit, if there is any. It and those behind it
    /// may be in some of the columns.
    fn decode(&mut self, data: &[u8]) -> Option<(usize, Error)> {
        let mut rows = self.tuples.len();
        let mut first = None;
        let cells = self.batcher.cells().iter_mut();
        for (at, (cells, decoder)) in cells.zip(&self.decoders).enumerate() {
            let fields = self.tuples.column(data, at).take(rows);
            if let Err((row, misfit)) = decoder.read_column(fields, cells, self.select.calendar) {
                // Only rows before it are looked at in the columns to come.
                rows = row;
                first = Some((row, at, misfit));
            }
        }
        first.map(|(row, at, misfit)| {
            (row, self.batcher.misfit(at, &misfit, &self.row_name(data, row)))
        })
    }

    /// When a row was written, in a mode that looks at it.
    fn written(&self, data: &[u8], row: usize) -> Option<Moment> {
        let moment = |at: &usize| {
            let field = self.tuples.field(data, row, *at)?;
            let micros = self.decoders[*at].micros(field, self.select.calendar)?;
            Some(Moment::from_micros(micros))
        };
        self.batcher.shape().timestamps.iter().find_map(moment)
    }

    fn row_name(&self, data: &[u8], row: usize) -> RowName {
        let shape = self.batcher.shape();
        let key = shape.incrementing.and_then(|at| {
            let value = self.decoders[at].whole_number(self.tuples.field(data, row, at)?)?;
            Some((shape.fields[at].name.clone(), value.to_string()))
        });
        match key {
            Some((column, value)) => RowName::Incrementing { column, value },
            None => RowName::Counted(self.count + row as u64 + 1),
        }
    }
}
