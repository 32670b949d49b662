//! Partitions against a broker of a few lines that keeps the rules of KIP-98: whatever is lost on
//! the way, the log has each record at most once, in order, and those that were acknowledged.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millrace_api::{Error, TopicPartition};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use super::super::batch::{Batch, Shares};
use super::super::partition::{Next, Partition, Rules, Sent, Settled, Verdict};
use super::super::sequences::{ProducerId, after};
use crate::Acknowledge;
use crate::record_batch::{
    Batch as Read, BatchHeader, Compression, Compressor, Limits, Record, Writer,
};

type Log = Arc<Mutex<Vec<(u32, bool)>>>;

/// Notes what became of the records that begin with this one.
struct Noted {
    first: Mutex<u32>,
    log: Log,
}

impl Noted {
    fn note(&self, records: usize, is_good: bool) {
        let mut first = self.first.lock().unwrap();
        let next = *first + records as u32;
        self.log.lock().unwrap().extend((*first..next).map(|record| (record, is_good)));
        *first = next;
    }
}

impl Acknowledge for Noted {
    fn acknowledged(&self, records: usize) {
        self.note(records, true);
    }

    fn failed(&self, records: usize, _: &Error) {
        self.note(records, false);
    }
}

/// A partition leader: what it has, and what it remembers of the producer.
#[derive(Default)]
pub(super) struct Leader {
    pub(super) records: Vec<u32>,
    producer: Option<ProducerId>,
    next: i32,
    recent: VecDeque<(i32, i32)>,
}

/// What happens to a request on the way.
#[derive(Clone, Copy, Debug)]
enum Event {
    Push(u8),
    Send,
    /// The leader takes the oldest request, or refuses it for this reason.
    Take(Answer),
    /// The oldest answer arrives.
    Answer,
    /// The connection breaks: requests that were not taken are lost, and all answers.
    Break,
    /// So many milliseconds pass.
    Pass(u16),
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Good,
    Again,
    /// Taken, and yet refused.
    AgainAfterAppend,
    Rejected,
}

fn event() -> impl Strategy<Value = Event> {
    let answer = prop_oneof![
        6 => Just(Answer::Good),
        1 => Just(Answer::Again),
        1 => Just(Answer::AgainAfterAppend),
        1 => Just(Answer::Rejected),
    ];
    prop_oneof![
        4 => (1..5u8).prop_map(Event::Push),
        6 => Just(Event::Send),
        5 => answer.prop_map(Event::Take),
        5 => Just(Event::Answer),
        1 => Just(Event::Break),
        1 => (0..400u16).prop_map(Event::Pass),
    ]
}

/// The header and the records of a batch.
pub(super) fn open(bytes: &Bytes) -> (BatchHeader, Vec<u32>) {
    let header = BatchHeader::parse(bytes).unwrap().unwrap();
    let read = Read::open(bytes, 0, header, &Limits::default()).unwrap();
    let record = |row: crate::record_batch::Row| {
        u32::from_be_bytes(row.value.unwrap().of(read.buffer()).try_into().unwrap())
    };
    let records = read.rows().map(|row| record(row.unwrap())).collect();
    (header, records)
}

impl Leader {
    /// Takes a batch, if it is the next of its producer.
    pub(super) fn append(&mut self, bytes: &Bytes) -> Result<(), Error> {
        let (header, records) = open(bytes);
        if header.producer_id < 0 {
            self.records.extend(records);
            return Ok(());
        }
        let producer = ProducerId { id: header.producer_id, epoch: header.producer_epoch };
        let first = header.base_sequence;
        let old = self.producer.filter(|known| known.id == producer.id);
        if old.is_some_and(|known| known.epoch > producer.epoch) {
            return Err(Error::fatal("an old epoch"));
        }
        if self.producer == Some(producer) {
            if self.recent.contains(&(first, header.count)) {
                return Ok(());
            }
        } else {
            (self.producer, self.next) = (Some(producer), 0);
            self.recent.clear();
        }
        if first != self.next {
            return Err(Error::fatal("out of order"));
        }
        self.next = after(first, header.count as usize);
        self.recent.push_back((first, header.count));
        if self.recent.len() > 5 {
            self.recent.pop_front();
        }
        self.records.extend(records);
        Ok(())
    }
}

struct World {
    partition: Partition,
    leader: Leader,
    producer: ProducerId,
    /// Sent, and what the leader has said of it.
    on_the_way: VecDeque<(Sent, Option<Result<(), Answered>>)>,
    log: Log,
    pushed: u32,
    batches: u64,
    now: Instant,
    /// Batches with more are too large for the leader.
    most_records: i32,
}

enum Answered {
    Again,
    OutOfOrder,
    TooLarge,
    Rejected,
}

impl World {
    fn new(in_flight: usize) -> Self {
        let rules = Rules {
            retries: u32::MAX,
            in_flight,
            delivery_timeout: Duration::from_secs(1),
            is_transactional: false,
        };
        Self {
            partition: Partition::new(TopicPartition::new("t", 0), rules),
            leader: Leader::default(),
            producer: ProducerId { id: 7, epoch: 0 },
            on_the_way: VecDeque::new(),
            log: Log::default(),
            pushed: 0,
            batches: 0,
            now: Instant::now(),
            most_records: i32::MAX,
        }
    }

    fn push(&mut self, records: u8) {
        let mut writer = Writer::new(Compression::None);
        let ack: Arc<dyn Acknowledge> =
            Arc::new(Noted { first: Mutex::new(self.pushed), log: self.log.clone() });
        let mut shares = Shares::default();
        for _ in 0..records {
            writer.push(&Record::new(0, None, Some(&self.pushed.to_be_bytes()))).unwrap();
            self.pushed += 1;
            shares.add(&ack, 1);
        }
        self.batches += 100;
        let bytes: BytesMut = writer.close().unwrap();
        self.partition.push(Batch::new(self.batches, bytes, shares, self.now));
    }

    fn send(&mut self) -> bool {
        let is_ready = matches!(self.partition.next(self.now), Next::Send(_));
        if is_ready {
            let sent = self.partition.take(Some(self.producer));
            self.on_the_way.push_back((sent, None));
        }
        is_ready
    }

    fn take(&mut self, answer: Answer) {
        let Some((sent, said)) = self.on_the_way.iter_mut().find(|(_, said)| said.is_none()) else {
            return;
        };
        let records = open(&sent.bytes).0.count;
        *said = Some(match answer {
            Answer::Again => Err(Answered::Again),
            _ if records > self.most_records => Err(Answered::TooLarge),
            Answer::Rejected => Err(Answered::Rejected),
            _ => match (self.leader.append(&sent.bytes), answer) {
                (Ok(()), Answer::AgainAfterAppend) => Err(Answered::Again),
                (Ok(()), _) => Ok(()),
                (Err(error), _) if error.message() == "out of order" => Err(Answered::OutOfOrder),
                (Err(_), _) => Err(Answered::Rejected),
            },
        });
    }

    fn answer(&mut self) {
        if !matches!(self.on_the_way.front(), Some((_, Some(_)))) {
            return;
        }
        let (sent, said) = self.on_the_way.pop_front().unwrap();
        let rejected = || Error::data("refused").into();
        let verdict = match said.unwrap() {
            Ok(()) => Verdict::Appended,
            Err(Answered::Again) => Verdict::Again(self.now, "again".to_owned()),
            Err(Answered::OutOfOrder) => Verdict::OutOfOrder(rejected()),
            Err(Answered::Rejected) => Verdict::Rejected(rejected()),
            Err(Answered::TooLarge) => {
                self.batches += 2;
                let ids = [self.batches, self.batches + 1];
                let mut codec = Compressor::new(Compression::None, None);
                if self.partition.split(&sent, ids, &mut codec).unwrap().is_some() {
                    self.repair();
                    return;
                }
                Verdict::TooLarge(rejected())
            }
        };
        let settled = self.partition.answered(&sent, verdict, self.now);
        settle(settled);
        self.repair();
    }

    fn fail(&mut self) {
        for (sent, _) in std::mem::take(&mut self.on_the_way) {
            let verdict = Verdict::Again(self.now, "the connection broke".to_owned());
            settle(self.partition.answered(&sent, verdict, self.now));
        }
        self.repair();
    }

    fn repair(&mut self) {
        if self.partition.needs_epoch() {
            self.producer.epoch += 1;
            self.partition.begin_epoch(self.producer);
        }
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Push(records) => self.push(records),
            Event::Send => {
                self.send();
            }
            Event::Take(answer) => self.take(answer),
            Event::Answer => self.answer(),
            Event::Break => self.fail(),
            Event::Pass(millis) => {
                self.now += Duration::from_millis(millis.into());
                settle(self.partition.expire(self.now));
                self.repair();
            }
        }
    }

    /// Everything goes well from now on.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.partition.is_idle() {
                return;
            }
            self.send();
            self.take(Answer::Good);
            self.answer();
        }
        panic!("a partition does not come to rest");
    }
}

fn settle(settled: Vec<Settled>) {
    for (batch, outcome) in settled {
        batch.settle(&outcome);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn records_are_written_once_and_in_order(
        events in vec(event(), 1..120),
        in_flight in 1..=5usize,
        most_records in 1..5i32,
    ) {
        let mut world = World { most_records, ..World::new(in_flight) };
        for event in events {
            world.run(event);
            prop_assert!(world.on_the_way.len() <= in_flight);
        }
        world.finish();
        let written = &world.leader.records;
        prop_assert!(written.is_sorted_by(|a, b| a < b), "{written:?}");
        let told = world.log.lock().unwrap();
        prop_assert!(told.iter().map(|(record, _)| *record).eq(0..world.pushed), "{told:?}");
        for (record, _) in told.iter().filter(|(_, is_good)| *is_good) {
            prop_assert!(written.binary_search(record).is_ok(), "{record} is lost");
        }
        prop_assert!(!world.partition.needs_epoch());
    }

    #[test]
    fn without_errors_nothing_fails_and_the_epoch_stays(
        events in vec(event(), 1..120),
    ) {
        let mut world = World::new(5);
        for event in events {
            match event {
                Event::Take(Answer::Rejected) | Event::Pass(_) => {}
                event => world.run(event),
            }
        }
        world.finish();
        prop_assert!(world.leader.records.iter().copied().eq(0..world.pushed));
        prop_assert!(world.log.lock().unwrap().iter().all(|(_, is_good)| *is_good));
        prop_assert_eq!(world.producer.epoch, 0);
    }
}

#[test]
fn while_one_waits_only_the_first_goes() {
    let mut world = World::new(5);
    for _ in 0..4 {
        world.push(1);
    }
    while world.send() {}
    assert_eq!(world.on_the_way.len(), 4);
    world.take(Answer::Again);
    for _ in 0..3 {
        world.take(Answer::Good);
    }
    for _ in 0..4 {
        world.answer();
    }
    for left in (0..4).rev() {
        assert!(world.send());
        assert!(!world.send(), "one after the other");
        world.take(Answer::Good);
        world.answer();
        assert_eq!(world.log.lock().unwrap().len(), 4 - left);
    }
    assert_eq!(world.producer.epoch, 0);
}

#[test]
fn a_batch_that_expired_leaves_no_gap() {
    let mut world = World::new(5);
    world.push(3);
    assert!(world.send());
    world.run(Event::Pass(2_000));
    assert_eq!(*world.log.lock().unwrap(), [(0, false), (1, false), (2, false)]);
    world.push(2);
    assert!(!world.send(), "nobody knows yet where numbers go on");
    world.fail();
    assert_eq!(world.producer.epoch, 1);
    world.finish();
    assert_eq!(world.leader.records, [3, 4]);
}

#[test]
fn a_batch_that_expired_but_arrived_needs_no_epoch() {
    let mut world = World::new(5);
    world.push(3);
    assert!(world.send());
    world.take(Answer::Good);
    world.run(Event::Pass(2_000));
    world.push(2);
    world.answer();
    world.finish();
    assert_eq!(world.producer.epoch, 0);
    assert_eq!(world.leader.records, [0, 1, 2, 3, 4]);
}
