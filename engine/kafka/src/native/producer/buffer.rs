//! Decides how records wait between the caller and the sender: rows go into the open batch of their
//! partition, as long as `buffer.memory` has room and the caller is not further ahead of the broker
//! than helps.
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
use super::pace::{PATIENCE, Pace};
use super::spare::Spare;
use crate::Footprint;
use crate::lock::lock;
use crate::record_batch::{Compression, Compressor, Writer};

/// A batch that takes records.
pub(super) struct Open {
    pub(super) writer: Writer,
    pub(super) shares: Shares,
    /// When its first record came.
    pub(super) since: Option<Instant>,
    /// How much memory it gets, as the batch before it shows.
    expected: usize,
}

impl Open {
    fn new() -> Self {
        let (writer, shares) = (Writer::new(Compression::None), Shares::default());
        Self { writer, shares, since: None, expected: 0 }
    }

    /// What it takes of the budget: the memory it has, used or not.
    pub(super) fn charge(&self) -> usize {
        self.writer.capacity()
    }

    /// How many of its bytes are records and a header for them.
    fn used(&self) -> usize {
        if self.writer.is_empty() { 0 } else { self.writer.len() }
    }

    /// What the next batch is to have: as much as this one, unless that was more than half in vain.
    fn next_expected(&self) -> usize {
        let (used, memory) = (self.writer.len(), self.writer.capacity());
        if memory / 2 > used { used } else { memory }
    }

    /// The closed batch. The open one is empty then.
    pub(super) fn close(&mut self, id: u64, compressor: &mut Compressor) -> Result<Batch> {
        let since = self.since.take().unwrap_or_else(Instant::now);
        let shares = std::mem::take(&mut self.shares);
        self.expected = self.next_expected();
        match self.writer.close_with(compressor) {
            Ok(bytes) => Ok(Batch::new(id, bytes, shares, since)),
            Err(error) => {
                shares.failed(&error.copied().into());
                Err(error)
            }
        }
    }

    /// The memory of an empty batch, for others.
    pub(super) fn take_spare(&mut self) -> Option<BytesMut> {
        let has_spare = self.writer.is_empty() && self.writer.capacity() > 0;
        has_spare.then(|| self.writer.take_buffer())
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
    /// How far the caller is ahead of the broker.
    pace: Pace,
}

#[derive(Default)]
struct State {
    names: Vec<TopicPartition>,
    slots: Vec<Slot>,
    closed: Vec<(usize, Batch)>,
    /// Those whose open batch has records.
    open: Vec<usize>,
    /// The memory of open and closed batches.
    used: usize,
    /// Records that nobody has heard of yet.
    unsettled: usize,
    /// Memory of batches that are gone.
    spare: Spare,
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
    most: usize,
    footprint: Arc<Footprint>,
    /// How many bytes one partition may have waiting before its caller waits too.
    ahead: usize,
    linger: Duration,
}

/// Why the caller has to wait.
enum Wait {
    /// There is no room.
    Room,
    /// Enough is waiting for the broker.
    Broker,
}

/// An open batch in the hands of the caller.
pub(super) struct Lent {
    pub(super) open: Open,
    /// The most bytes for which there is memory.
    pub(super) limit: usize,
    /// The most bytes of a batch here, once one was too large for the broker.
    pub(super) most_bytes: Option<usize>,
}

/// What has become of a batch that was lent.
pub(super) struct Returned {
    pub(super) closed: Option<Batch>,
    pub(super) records: usize,
    /// It was empty before.
    pub(super) is_begun: bool,
}

/// What a settled batch had.
pub(super) struct Freed {
    pub(super) bytes: usize,
    pub(super) records: usize,
    pub(super) spare: Option<BytesMut>,
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
    /// When its first record came.
    pub(super) since: Instant,
    /// When it has lingered long enough.
    pub(super) due: Instant,
    pub(super) bytes: usize,
}

impl Buffer {
    pub(super) fn new(
        most: usize,
        ahead: usize,
        linger: Duration,
        footprint: Arc<Footprint>,
    ) -> Arc<Self> {
        let (state, work, progress) = (Mutex::default(), Notify::new(), Notify::new());
        Arc::new(Self { state, work, progress, most, footprint, ahead, linger })
    }

    /// How much memory batches may have now.
    fn limit(&self) -> usize {
        self.most.min(self.footprint.allowed())
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
            pace: Pace::new(self.ahead),
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
        let patience = Instant::now() + PATIENCE;
        let mut progress = std::pin::pin!(self.progress.notified());
        loop {
            progress.as_mut().enable();
            let until = match self.try_lend(slot, needed)? {
                Ok(lent) => return Ok(Some(lent)),
                Err(Wait::Room) => deadline,
                Err(Wait::Broker) => patience.min(deadline),
            };
            self.work.notify_one();
            if timeout_at(until, progress.as_mut()).await.is_err() {
                let mut state = self.state();
                state.is_exhausted = false;
                if until == deadline {
                    return Ok(None);
                }
                state.slots[slot].pace.give_up_waiting();
            }
            progress.set(self.progress.notified());
        }
    }

    fn try_lend(&self, slot: usize, needed: usize) -> Result<std::result::Result<Lent, Wait>> {
        let mut state = self.state();
        let state = &mut *state;
        if let Some(broken) = &state.broken {
            return Err(broken.copied());
        }
        state.is_exhausted = false;
        let place = &mut state.slots[slot];
        if place.pace.has_to_wait() {
            return Ok(Err(Wait::Broker));
        }
        let open = place.open.as_ref().expect("the caller is one");
        let (charged, used) = (open.charge(), open.used());
        let most = self.limit();
        let room = (most + charged).saturating_sub(state.used + used);
        // What is bigger than all of the buffer has it for itself.
        if room < needed && (used > 0 || state.used > charged) {
            state.is_exhausted = true;
            return Ok(Err(Wait::Room));
        }
        let mut open = place.open.take().expect("the caller is one");
        if charged == 0 {
            let new = || BytesMut::with_capacity(open.expected.min(room));
            let memory = state.spare.take(open.expected).unwrap_or_else(new);
            state.used += memory.capacity();
            open.writer.reuse(memory);
        }
        self.footprint.holds(state.used);
        let left = most.saturating_sub(state.used);
        if left < needed + state.spare.bytes() {
            state.spare.clear();
        }
        let limit = (open.charge() + left - state.spare.bytes()).max(used + needed);
        Ok(Ok(Lent { open, limit, most_bytes: place.most_bytes }))
    }

    /// The number of a new batch.
    pub(super) fn next_id(&self) -> u64 {
        let mut state = self.state();
        state.next_id += 1;
        state.next_id
    }

    /// Takes an open batch back, which was `charged` so much when it was lent.
    pub(super) fn give_back(
        &self,
        slot: usize,
        mut open: Open,
        charged: usize,
        returned: Returned,
    ) {
        let spare = open.take_spare();
        let mut state = self.state();
        let closed = returned.closed.as_ref().map_or(0, Batch::memory);
        state.used = (state.used + open.charge() + closed).saturating_sub(charged);
        self.footprint.holds(state.used);
        state.unsettled += returned.records;
        let is_open = !open.writer.is_empty();
        let mut is_new = returned.closed.is_some() || (is_open && returned.is_begun);
        state.closed.extend(returned.closed.into_iter().map(|batch| (slot, batch)));
        state.keep(spare, self.limit());
        let place = &mut state.slots[slot];
        place.pace.add(closed);
        place.open = Some(open);
        is_new |= std::mem::take(&mut place.is_wanted);
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
                    since,
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

    /// Takes a partition's open batch to send it, if it has records, the caller has it not, and no
    /// batch that was closed before it is still to be [looked for](Self::look).
    pub(super) fn take_open(&self, slot: usize) -> Option<Open> {
        let mut state = self.state();
        if state.closed.iter().any(|(of, _)| *of == slot) {
            return None;
        }
        let Slot { open, is_wanted, pace, .. } = &mut state.slots[slot];
        let Some(batch) = open.as_mut() else {
            *is_wanted = true;
            return None;
        };
        batch.since?;
        pace.add(batch.charge());
        let new = Open { expected: batch.next_expected(), ..Open::new() };
        Some(std::mem::replace(batch, new))
    }

    /// A batch that the sender has compressed takes less of the budget from now on.
    pub(super) fn shrink(&self, slot: usize, before: usize, now: usize, spare: Option<BytesMut>) {
        let mut state = self.state();
        state.used = (state.used + now).saturating_sub(before);
        self.footprint.holds(state.used);
        let pace = &mut state.slots[slot].pace;
        pace.add(now);
        let may_go_on = pace.settle(before) || state.is_exhausted;
        state.keep(spare, self.limit());
        drop(state);
        if may_go_on {
            self.progress.notify_waiters();
        }
    }

    /// Batches of a partition were too large for the broker: the next ones are smaller.
    pub(super) fn limit_batches(&self, slot: usize, most_bytes: usize) {
        self.state().slots[slot].most_bytes = Some(most_bytes);
    }

    /// A batch is settled, and its memory is free.
    pub(super) fn release(&self, slot: usize, freed: Freed) {
        let Freed { bytes, records, spare } = freed;
        let mut state = self.state();
        state.used = state.used.saturating_sub(bytes);
        self.footprint.holds(state.used);
        let may_go_on = state.slots[slot].pace.settle(bytes) || state.is_exhausted;
        state.keep(spare, self.limit());
        state.unsettled -= records;
        let is_settled = state.unsettled == 0;
        if is_settled {
            state.spare.rest();
        }
        drop(state);
        if may_go_on || is_settled {
            self.progress.notify_waiters();
        }
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

    /// The memory of all batches, and what is kept for others.
    #[cfg(test)]
    pub(super) fn memory(&self) -> (usize, usize) {
        let state = self.state();
        (state.used, state.spare.bytes())
    }

    /// The caller is gone.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.work.notify_one();
    }
}

impl State {
    /// Keeps memory for the batches to come, within the budget.
    fn keep(&mut self, memory: Option<BytesMut>, limit: usize) {
        if let Some(memory) = memory {
            let most = (limit / 4).min(limit.saturating_sub(self.used));
            self.spare.give(memory, most);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::record_batch::Record;

    fn fill(buffer: &Buffer, records: Range<i64>, closes: bool) {
        let Ok(Lent { mut open, .. }) = buffer.try_lend(0, 100).unwrap() else {
            panic!("there is room");
        };
        let charged = open.charge();
        let count = (records.end - records.start) as usize;
        for at in records {
            open.writer.push(&Record::new(at, None, Some(b"v"))).unwrap();
        }
        open.since.get_or_insert_with(Instant::now);
        let mut none = Compressor::new(Compression::None, None);
        let closed = closes.then(|| open.close(buffer.next_id(), &mut none).unwrap());
        let returned = Returned { closed, records: count, is_begun: charged == 0 };
        buffer.give_back(0, open, charged, returned);
    }

    /// The caller works on while the sender does what it has found.
    #[tokio::test]
    async fn an_open_batch_waits_for_those_closed_before_it() {
        let buffer = Buffer::new(1 << 20, 1 << 20, Duration::ZERO, Arc::default());
        buffer.add([TopicPartition::new("t", 0)].into_iter());
        fill(&buffer, 0..1, false);
        assert_eq!(buffer.look(0).open.len(), 1);
        fill(&buffer, 1..2, true);
        fill(&buffer, 2..3, false);
        assert!(buffer.take_open(0).is_none(), "it would overtake the closed one");
        assert_eq!(buffer.look(0).closed.len(), 1);
        assert!(buffer.take_open(0).is_some());
    }
}
