//! Decides what a reader sees of a log: records for consumers in this process, whole batches for
//! those on the network.

use bytes::Bytes;
use millrace_api::{Error, Result};

use super::{Bounds, Log};
use crate::embedded::producers::Aborted;
use crate::embedded::segment::Chunk;
use crate::embedded::settings::Isolation;
use crate::lock::lock;
use crate::record_batch::{BatchHeader, Columns, Corrupt, Limits, Reader};

/// The answer to [`Log::read`].
#[derive(Debug)]
pub(in crate::embedded) enum Read {
    /// Nothing there yet.
    Nothing,
    /// The log begins after the offset, or ends before it.
    OutOfRange,
    /// Records from the offset on, possibly none where compaction has left none.
    Records {
        columns: Box<Columns>,
        /// Where to read on; always beyond the offset asked for.
        next_offset: i64,
        /// How much of the log was read.
        bytes: usize,
    },
}

/// The answer to [`Log::slice`].
#[derive(Debug)]
pub(in crate::embedded) enum Slice {
    OutOfRange,
    /// Whole batches, the first with the offset asked for; none when nothing is there yet.
    Batches {
        bounds: Bounds,
        batches: Vec<Bytes>,
        aborted: Vec<Aborted>,
    },
}

/// What [`Log::find`] finds under the lock.
enum Found {
    Nothing,
    OutOfRange,
    View(View),
}

/// A part of the log, as a reader of some isolation sees it.
struct View {
    chunk: Chunk,
    /// Its readers see nothing from here on.
    end: i64,
    /// Transactions whose records they do not see.
    aborted: Vec<Aborted>,
}

impl View {
    /// The parts of these batches that are to be read, and the offset after them.
    fn visible(&self, part: &Bytes) -> Result<(Vec<Bytes>, i64), Corrupt> {
        if self.aborted.is_empty() && self.chunk.end_offset <= self.end {
            return Ok((vec![part.clone()], self.chunk.end_offset));
        }
        let mut runs = Vec::new();
        let (mut from, mut at, mut next) = (0, 0, i64::MIN);
        while let Some(header) = BatchHeader::parse(&part[at..])? {
            if header.base_offset >= self.end {
                next = self.end;
                break;
            }
            if header.length > part.len() - at {
                break;
            }
            if self.is_aborted(&header) {
                runs.push(part.slice(from..at));
                from = at + header.length;
            }
            at += header.length;
            next = header.last_offset() + 1;
        }
        runs.push(part.slice(from..at));
        runs.retain(|run| !run.is_empty());
        Ok((runs, next))
    }

    fn is_aborted(&self, batch: &BatchHeader) -> bool {
        batch.is_transactional()
            && !batch.is_control()
            && self.aborted.iter().any(|aborted| {
                aborted.producer_id == batch.producer_id
                    && (aborted.first_offset..aborted.last_offset).contains(&batch.base_offset)
            })
    }
}

impl Log {
    /// Reads from this offset on: about `max_bytes`, one batch at least.
    ///
    /// The calls block, on purpose: what is read was mostly written a moment ago and is in the page
    /// cache, where a chunk of a mebibyte takes about 0.1 ms; handing that to a thread of the
    /// blocking pool costs two switches and takes the bytes out of this core's cache.
    pub(in crate::embedded) fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
        limits: Limits,
    ) -> Result<Read> {
        let view = match self.find(offset, max_bytes, isolation)? {
            Found::Nothing => return Ok(Read::Nothing),
            Found::OutOfRange => return Ok(Read::OutOfRange),
            Found::View(view) => view,
        };
        let chunk = &view.chunk;
        let unreadable = |corrupt: Corrupt| self.unreadable(chunk).with_source(corrupt.at(0));
        let mut reader = Reader::new(limits).from_offset(offset);
        let mut bytes = 0;
        let mut next_offset = offset;
        'parts: for (position, part) in chunk.load()? {
            bytes += part.len();
            let (runs, after) = view.visible(&part).map_err(unreadable)?;
            for run in runs {
                match reader.read(&run, position) {
                    Ok(read) if read == run.len() => {}
                    // What came before the damage is handed out first; then it is met again.
                    Err(e) if reader.is_empty() => {
                        return Err(self.unreadable(chunk).with_source(e));
                    }
                    Ok(_) | Err(_) => {
                        next_offset = reader.next_offset().unwrap_or(offset);
                        break 'parts;
                    }
                }
            }
            next_offset = next_offset.max(after);
        }
        if next_offset <= offset {
            return Err(self.unreadable(chunk));
        }
        Ok(Read::Records { columns: Box::new(reader.finish()), next_offset, bytes })
    }

    /// Whole batches as they lie in the log, from the one with this offset on: at most `max_bytes`,
    /// or one batch where `one_at_least` says so.
    pub(in crate::embedded) fn slice(
        &self,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
        one_at_least: bool,
    ) -> Result<Slice> {
        let mut from = offset;
        loop {
            let view = match self.find(from, max_bytes, isolation)? {
                Found::OutOfRange => return Ok(Slice::OutOfRange),
                Found::Nothing => return Ok(self.empty_slice()),
                Found::View(view) => view,
            };
            if let Some(batches) = self.cut(&view, from, max_bytes, one_at_least)? {
                let bounds = self.bounds();
                return Ok(Slice::Batches { bounds, batches, aborted: view.aborted });
            }
            // Compaction has left nothing here.
            if view.chunk.end_offset <= from {
                return Err(self.unreadable(&view.chunk));
            }
            from = view.chunk.end_offset;
        }
    }

    fn empty_slice(&self) -> Slice {
        Slice::Batches { bounds: self.bounds(), batches: Vec::new(), aborted: Vec::new() }
    }

    /// None: the view has no batch from this offset on.
    fn cut(
        &self,
        view: &View,
        offset: i64,
        max_bytes: usize,
        one_at_least: bool,
    ) -> Result<Option<Vec<Bytes>>> {
        let (mut batches, mut bytes, mut has_any) = (Vec::new(), 0, false);
        for (_, part) in view.chunk.load()? {
            let (mut from, mut at) = (None, 0);
            let unreadable = |c: Corrupt| self.unreadable(&view.chunk).with_source(c.at(0));
            let mut is_full = false;
            while at < part.len() {
                let header = BatchHeader::parse(&part[at..]).map_err(unreadable)?;
                let Some(header) = header.filter(|h| h.length <= part.len() - at) else {
                    return Err(self.unreadable(&view.chunk));
                };
                if header.last_offset() >= offset {
                    has_any = true;
                    let fits = bytes + header.length <= max_bytes;
                    if header.base_offset >= view.end || !(fits || (one_at_least && bytes == 0)) {
                        is_full = true;
                        break;
                    }
                    from.get_or_insert(at);
                    bytes += header.length;
                }
                at += header.length;
            }
            batches.extend(from.map(|from| part.slice(from..at)));
            if is_full {
                break;
            }
        }
        Ok(has_any.then_some(batches))
    }

    fn find(&self, offset: i64, max_bytes: usize, isolation: Isolation) -> Result<Found> {
        let state = lock(&self.state);
        if state.is_deleted || offset == state.next_offset() {
            return Ok(Found::Nothing);
        }
        if offset < state.start_offset() || offset > state.next_offset() {
            return Ok(Found::OutOfRange);
        }
        let end = state.end(isolation);
        if offset >= end {
            return Ok(Found::Nothing);
        }
        let after = state.segments.partition_point(|s| s.base_offset <= offset);
        for segment in &state.segments[after - 1..] {
            let chunk = segment.chunk(offset, max_bytes);
            let chunk = chunk.map_err(|e| e.context("partition", &self.topic_partition))?;
            if let Some(chunk) = chunk {
                let aborted = match isolation {
                    Isolation::Uncommitted => Vec::new(),
                    Isolation::Committed => state.producers.aborted(offset, chunk.end_offset),
                };
                return Ok(Found::View(View { chunk, end, aborted }));
            }
        }
        Ok(Found::Nothing)
    }

    fn unreadable(&self, chunk: &Chunk) -> Error {
        Error::fatal(
            "the log is damaged: restore the file from a backup, or give up its damaged records \
             by altering the consumer's offsets to one behind them",
        )
        .context("partition", &self.topic_partition)
        .context("file", chunk.place())
    }
}
