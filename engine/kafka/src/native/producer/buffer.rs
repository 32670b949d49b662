//! Decides how records wait between the caller and the sender: rows go into the open batch of their
//! partition, as long as `buffer.memory` has room.
//!
//! The caller takes an open batch out while it appends to it, so that the lock is held for moments
//! only; the sender takes one when its time has come and the caller has it not.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;
use millrace_api::{Error, Result, TopicPartition};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::batch::{Batch, Shares};
use crate::lock::lock;
use crate::record_batch::{Compression, Compressor, Writer};

/// A batch that takes records.
pub(super) struct Open {
    pub(super) writer: Writer,
    pub(super) shares: Shares,
    /// When its first record came.
    pub(super) since: Option<Instant>,
    /// How much memory the batch before it had.
    expected: usize,
}

impl Open {
    fn new() -> Self {
        let (writer, shares) = (Writer::new(Compression::None), Shares::default());
        Self { writer, shares, since: None, expected: 0 }
    }

    /// What it takes of the budget.
    pub(super) fn charge(&self) -> usize {
        if self.writer.is_empty() { 0 } else { self.writer.len() }
    }

    /// The closed batch, and memory that it no longer needs. The open one is empty then.
    pub(super) fn close(
        &mut self,
        id: u64,
        compressor: &mut Compressor,
    ) -> Result<(Batch, Option<BytesMut>)> {
        let since = self.since.take().unwrap_or_else(Instant::now);
        let shares = std::mem::take(&mut self.shares);
        self.expected = self.writer.len();
        let closed = self.writer.close_with(compressor);
        let spare = Some(self.writer.take_buffer()).filter(|spare| spare.capacity() > 0);
        match closed {
            Ok(bytes) => Ok((Batch::new(id, bytes, shares, since), spare)),
            Err(error) => {
                shares.failed(&error.copied().into());
                Err(error)
            }
        }
    }
}

/// A partition, as the caller sees it.
struct Slot {
    /// None while the caller has it.
    open: Option<Open>,
    /// Whether it is in the list of open batches.
    is_listed: bool,
    /// Whether the sender has looked for it while the caller had it.
    is_wanted: bool,
    /// The most bytes of a batch here, once one was too large for the broker.
    most_bytes: Option<usize>,
}

#[derive(Default)]
struct State {
    names: Vec<TopicPartition>,
    slots: Vec<Slot>,
    closed: Vec<(usize, Batch)>,
    /// Those whose open batch has records.
    open: Vec<usize>,
    used: usize,
    /// Records that nobody has heard of yet.
    unsettled: usize,
    spare: Vec<BytesMut>,
    spare_bytes: usize,
    next_id: u64,
    is_flushing: bool,
    is_exhausted: bool,
    is_closed: bool,
    broken: Option<Error>,
}

/// What the caller and the sender share.
pub(in crate::native) struct Buffer {
    state: Mutex<State>,
    /// Rung for the sender: there may be something to do.
    pub(super) work: Notify,
    /// Rung for all who wait for records to be settled.
    progress: Notify,
    /// `buffer.memory`
    limit: usize,
    linger: Duration,
}

/// An open batch in the hands of the caller.
pub(super) struct Lent {
    pub(super) open: Open,
    /// How many bytes it may grow by.
    pub(super) room: usize,
    /// The most bytes of a batch here, once one was too large for the broker.
    pub(super) most_bytes: Option<usize>,
}

/// What has become of a batch that was lent.
#[derive(Default)]
pub(super) struct Returned {
    pub(super) closed: Option<Batch>,
    pub(super) spare: Option<BytesMut>,
    pub(super) records: usize,
}

/// What the sender finds.
pub(super) struct Found {
    /// Partitions that it does not know yet.
    pub(super) names: Vec<TopicPartition>,
    pub(super) closed: Vec<(usize, Batch)>,
    pub(super) open: Vec<OpenBatch>,
    /// Whether open batches are to be sent at once.
    pub(super) is_urgent: bool,
    pub(super) is_closed: bool,
}

/// An open batch that the caller has not in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenBatch {
    pub(super) slot: usize,
    /// When it has lingered long enough.
    pub(super) due: Instant,
    pub(super) bytes: usize,
}

impl Buffer {
    pub(super) fn new(limit: usize, linger: Duration) -> Arc<Self> {
        let (state, work, progress) = (Mutex::default(), Notify::new(), Notify::new());
        Arc::new(Self { state, work, progress, limit, linger })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Adds partitions; returns the number of the first.
    pub(super) fn add(&self, names: impl Iterator<Item = TopicPartition>) -> usize {
        let mut state = self.state();
        let first = state.slots.len();
        state.names.extend(names);
        let slots = state.names.len();
        let new = || Slot {
            open: Some(Open::new()),
            is_listed: false,
            is_wanted: false,
            most_bytes: None,
        };
        state.slots.resize_with(slots, new);
        first
    }

    /// Lends the open batch of a partition when there is room for so many bytes. Waits for that
    /// until the deadline, then the answer is none.
    pub(super) async fn lend(
        &self,
        slot: usize,
        needed: usize,
        deadline: Instant,
    ) -> Result<Option<Lent>> {
        let mut progress = std::pin::pin!(self.progress.notified());
        loop {
            progress.as_mut().enable();
            if let Some(lent) = self.try_lend(slot, needed)? {
                return Ok(Some(lent));
            }
            if Instant::now() >= deadline {
                self.state().is_exhausted = false;
                return Ok(None);
            }
            self.work.notify_one();
            let _ = timeout_at(deadline, progress.as_mut()).await;
            progress.set(self.progress.notified());
        }
    }

    fn try_lend(&self, slot: usize, needed: usize) -> Result<Option<Lent>> {
        let mut state = self.state();
        if let Some(broken) = &state.broken {
            return Err(broken.copied());
        }
        let room = self.limit.saturating_sub(state.used);
        // What is bigger than all of the buffer has it for itself.
        state.is_exhausted = room < needed && state.used > 0;
        if state.is_exhausted {
            return Ok(None);
        }
        let most_bytes = state.slots[slot].most_bytes;
        let mut open = state.slots[slot].open.take().expect("the caller is one");
        if open.writer.is_empty()
            && let Some(spare) = state.take_spare(open.expected)
        {
            open.writer.reuse(spare);
        }
        Ok(Some(Lent { open, room: room.max(needed), most_bytes }))
    }

    /// The number of a new batch.
    pub(super) fn next_id(&self) -> u64 {
        let mut state = self.state();
        state.next_id += 1;
        state.next_id
    }

    /// Takes an open batch back, which was `charged` so much when it was lent.
    pub(super) fn give_back(&self, slot: usize, open: Open, charged: usize, returned: Returned) {
        let mut state = self.state();
        let closed = returned.closed.as_ref().map_or(0, Batch::len);
        state.used = (state.used + open.charge() + closed).saturating_sub(charged);
        state.unsettled += returned.records;
        let mut is_new = returned.closed.is_some();
        state.closed.extend(returned.closed.into_iter().map(|batch| (slot, batch)));
        if let Some(spare) = returned.spare {
            state.give_spare(spare, self.limit);
        }
        let is_open = !open.writer.is_empty();
        let place = &mut state.slots[slot];
        place.open = Some(open);
        is_new |= std::mem::take(&mut place.is_wanted) || (is_open && charged == 0);
        if is_open && !place.is_listed {
            place.is_listed = true;
            state.open.push(slot);
        }
        drop(state);
        if is_new {
            self.work.notify_one();
        }
    }

    /// What there is for the sender, which knows so many partitions. Closed batches are taken.
    pub(super) fn look(&self, known: usize) -> Found {
        let mut state = self.state();
        let state = &mut *state;
        let (slots, linger) = (&mut state.slots, self.linger);
        let mut open = Vec::with_capacity(state.open.len());
        state.open.retain(|slot| {
            let Some(batch) = &slots[*slot].open else {
                slots[*slot].is_wanted = true;
                return true;
            };
            match batch.since {
                Some(since) => open.push(OpenBatch {
                    slot: *slot,
                    due: since + linger,
                    bytes: batch.writer.len(),
                }),
                None => slots[*slot].is_listed = false,
            }
            slots[*slot].is_listed
        });
        Found {
            names: state.names[known..].to_vec(),
            closed: std::mem::take(&mut state.closed),
            open,
            is_urgent: state.is_flushing || state.is_exhausted || state.is_closed,
            is_closed: state.is_closed,
        }
    }

    /// Takes a partition's open batch to send it, if it has records and the caller has it not.
    pub(super) fn take_open(&self, slot: usize) -> Option<Open> {
        let mut state = self.state();
        let Slot { open, is_wanted, .. } = &mut state.slots[slot];
        let Some(batch) = open.as_mut() else {
            *is_wanted = true;
            return None;
        };
        batch.since?;
        let new = Open { expected: batch.writer.len(), ..Open::new() };
        Some(std::mem::replace(batch, new))
    }

    /// A batch that the sender has compressed takes less of the budget from now on.
    pub(super) fn shrink(&self, before: usize, now: usize, spare: Option<BytesMut>) {
        let mut state = self.state();
        state.used = (state.used + now).saturating_sub(before);
        if let Some(spare) = spare {
            state.give_spare(spare, self.limit);
        }
        drop(state);
        self.progress.notify_waiters();
    }

    /// Batches of a partition were too large for the broker: the next ones are smaller.
    pub(super) fn limit_batches(&self, slot: usize, most_bytes: usize) {
        self.state().slots[slot].most_bytes = Some(most_bytes);
    }

    /// Records are settled, and their bytes are free.
    pub(super) fn release(&self, bytes: usize, records: usize, spare: Option<BytesMut>) {
        let mut state = self.state();
        state.used = state.used.saturating_sub(bytes);
        state.unsettled -= records;
        if let Some(spare) = spare {
            state.give_spare(spare, self.limit);
        }
        if state.unsettled == 0 {
            // Who rests keeps a batch's memory, not a buffer's.
            state.spare.truncate(1);
            state.spare_bytes = state.spare.iter().map(BytesMut::capacity).sum();
        }
        drop(state);
        self.progress.notify_waiters();
    }

    pub(super) fn unsettled(&self) -> usize {
        self.state().unsettled
    }

    /// Waits until nothing is unsettled; false when the deadline comes first. What is open is sent
    /// at once meanwhile. Cancel-safe.
    pub(in crate::native) async fn settled(&self, deadline: Instant) -> bool {
        struct Flushing<'a>(&'a Buffer);
        impl Drop for Flushing<'_> {
            fn drop(&mut self) {
                self.0.state().is_flushing = false;
            }
        }
        let mut progress = std::pin::pin!(self.progress.notified());
        progress.as_mut().enable();
        if self.unsettled() == 0 {
            return true;
        }
        self.state().is_flushing = true;
        let _flushing = Flushing(self);
        self.work.notify_one();
        loop {
            if timeout_at(deadline, progress.as_mut()).await.is_err() {
                return self.unsettled() == 0;
            }
            progress.set(self.progress.notified());
            progress.as_mut().enable();
            if self.unsettled() == 0 {
                return true;
            }
        }
    }

    /// The producer will not work again; sends fail with this from now on.
    pub(super) fn break_with(&self, error: &Error) {
        self.state().broken.get_or_insert_with(|| error.copied());
        self.progress.notify_waiters();
    }

    /// Why the producer does not work.
    pub(super) fn check(&self) -> Result<()> {
        match &self.state().broken {
            Some(broken) => Err(broken.copied()),
            None => Ok(()),
        }
    }

    /// The caller is gone.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.work.notify_one();
    }
}

impl State {
    /// Memory for a batch like the last one, which had so many bytes.
    fn take_spare(&mut self, expected: usize) -> Option<BytesMut> {
        let fits = |spare: &BytesMut| {
            spare.capacity() / 2 <= expected && expected / 4 * 3 <= spare.capacity()
        };
        let at = self.spare.iter().rposition(fits)?;
        let spare = self.spare.swap_remove(at);
        self.spare_bytes -= spare.capacity();
        Some(spare)
    }

    fn give_spare(&mut self, spare: BytesMut, limit: usize) {
        if self.spare_bytes + spare.capacity() <= limit / 4 {
            self.spare_bytes += spare.capacity();
            self.spare.push(spare);
        }
    }
}
