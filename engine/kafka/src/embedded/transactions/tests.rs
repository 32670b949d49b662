//! The life of a transaction, its fences and its time-outs.

use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn ends(is_commit: bool, bumps: bool) -> Outcome {
    Outcome { is_commit, bumps }
}

fn producer(id: i64, epoch: i16) -> ProducerEpoch {
    ProducerEpoch { id, epoch }
}

fn begun() -> (Transactions, ProducerEpoch, Instant) {
    let mut all = Transactions::default();
    let now = Instant::now();
    assert_eq!(all.init("x", TIMEOUT, None, None), Ok(Init::WantsId));
    let first = producer(7, 0);
    assert_eq!(all.init("x", TIMEOUT, None, Some(7)), Ok(Init::Ready(first)));
    assert_eq!(all.add("x", first, [tp(0)], now), Ok(true));
    assert_eq!(all.add("x", first, [tp(0)], now), Ok(false));
    (all, first, now)
}

#[test]
fn a_commit_marks_its_partitions_and_has_its_offsets() {
    let (mut all, first, now) = begun();
    all.add("x", first, [tp(1)], now).unwrap();
    let offsets = BTreeMap::from([(tp(5), Committed::from(9))]);
    let refused = all.commit_offsets("x", first, "g", offsets.clone());
    assert_eq!(refused, Err(ResponseError::InvalidTxnState), "the group was not added");
    all.add_group("x", first, "g", now).unwrap();
    all.commit_offsets("x", first, "g", offsets.clone()).unwrap();
    assert_eq!(all.pending_offsets("g"), BTreeSet::from([tp(5)]));
    assert_eq!(all.end("x", first, ends(true, false), None), Ok(End::Ends));
    let busy = Err(ResponseError::ConcurrentTransactions);
    assert_eq!(all.add("x", first, [tp(2)], now), busy);
    let ending = all.ending("x").unwrap();
    assert_eq!(ending.marker, Marker { producer_id: 7, producer_epoch: 0, is_commit: true });
    assert_eq!(ending.partitions, BTreeSet::from([tp(0), tp(1)]));
    assert_eq!(ending.offsets["g"], offsets);
    all.completed("x");
    assert_eq!(all.ending("x"), None);
    assert_eq!(all.pending_offsets("g"), BTreeSet::new());
    assert_eq!(all.next_deadline(), None);
    // The answer was lost; an abort would be a mistake.
    assert_eq!(all.end("x", first, ends(true, false), None), Ok(End::Done(first)));
    assert_eq!(all.end("x", first, ends(false, false), None), Err(ResponseError::InvalidTxnState));
    assert_eq!(all.check("x", first, &tp(0)), Err(ResponseError::InvalidTxnState));
}

#[test]
fn with_the_second_protocol_each_transaction_has_its_epoch() {
    let (mut all, first, now) = begun();
    assert_eq!(all.end("x", first, ends(true, true), None), Ok(End::Ends));
    assert_eq!(all.ending("x").unwrap().marker.producer_epoch, 1);
    all.completed("x");
    let second = producer(7, 1);
    assert_eq!(all.end("x", first, ends(true, true), None), Ok(End::Done(second)), "asked again");
    assert_eq!(all.end("x", first, ends(false, true), None), Err(ResponseError::ProducerFenced));
    assert_eq!(all.add("x", first, [tp(0)], now), Err(ResponseError::ProducerFenced));
    assert_eq!(all.add("x", second, [tp(0)], now), Ok(true));
    assert_eq!(all.end("x", second, ends(false, true), None), Ok(End::Ends));
    all.completed("x");
    // Nothing was sent, and nothing is committed by that; to abort it renews the epoch.
    let third = producer(7, 2);
    assert_eq!(all.end("x", third, ends(true, true), None), Err(ResponseError::InvalidTxnState));
    assert_eq!(all.end("x", third, ends(false, true), None), Ok(End::Ends));
    all.completed("x");
    assert_eq!(all.get("x").unwrap().producer, producer(7, 3));
}

#[test]
fn a_second_producer_fences_the_first() {
    let (mut all, first, _) = begun();
    assert_eq!(all.init("x", TIMEOUT, None, None), Ok(Init::Ends));
    let marker = Marker { producer_id: 7, producer_epoch: 1, is_commit: false };
    assert_eq!(all.ending("x").unwrap().marker, marker);
    all.completed("x");
    assert_eq!(all.init("x", TIMEOUT, None, None), Ok(Init::Ready(producer(7, 2))));
    let fenced = Err(ResponseError::ProducerFenced);
    assert_eq!(all.end("x", first, ends(true, false), None), fenced);
    assert_eq!(all.init("x", TIMEOUT, Some(first), None), Err(ResponseError::ProducerFenced));
}

#[test]
fn a_producer_that_missed_its_new_epoch_gets_it_again() {
    let mut all = Transactions::default();
    let Ok(Init::Ready(first)) = all.init("x", TIMEOUT, None, Some(1)) else { panic!() };
    let Ok(Init::Ready(second)) = all.init("x", TIMEOUT, Some(first), None) else { panic!() };
    assert_eq!(second, producer(1, 1));
    assert_eq!(all.init("x", TIMEOUT, Some(first), None), Ok(Init::Ready(second)));
    assert_eq!(all.init("x", TIMEOUT, Some(second), None), Ok(Init::Ready(producer(1, 2))));
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let (mut all, first, now) = begun();
    assert_eq!(all.next_deadline(), Some(now + TIMEOUT));
    assert_eq!(all.expire(now + TIMEOUT / 2), Vec::<String>::new());
    assert_eq!(all.expire(now + TIMEOUT), ["x"]);
    assert!(!all.ending("x").unwrap().marker.is_commit);
    // It could not be written: again a little later, the same.
    let ending = all.ending("x");
    assert_eq!(all.expire(now + TIMEOUT + RETRY), ["x"]);
    assert_eq!(all.ending("x"), ending);
    all.completed("x");
    assert_eq!(all.next_deadline(), None);
    assert_eq!(all.end("x", first, ends(true, false), None), Err(ResponseError::ProducerFenced));
}

#[test]
fn after_the_last_epoch_comes_another_id() {
    let (mut all, _, now) = begun();
    all.all.get_mut("x").unwrap().producer.epoch = LAST_EPOCH;
    let last = producer(7, LAST_EPOCH);
    assert_eq!(all.end("x", last, ends(true, true), None), Ok(End::WantsId));
    assert_eq!(all.end("x", last, ends(true, true), Some(8)), Ok(End::Ends));
    let marker = Marker { producer_id: 7, producer_epoch: i16::MAX, is_commit: true };
    assert_eq!(all.ending("x").unwrap().marker, marker);
    all.completed("x");
    assert_eq!(all.add("x", producer(8, 0), [tp(0)], now), Ok(true));
}

#[test]
fn time_outs_have_a_limit() {
    let mut all = Transactions::default();
    for timeout in [Duration::ZERO, MAX_TIMEOUT + Duration::from_millis(1)] {
        let error = Err(ResponseError::InvalidTransactionTimeout);
        assert_eq!(all.init("x", timeout, None, Some(1)), error);
    }
}

/// What two producers of one transactional id may do.
#[derive(Clone, Copy, Debug)]
enum Step {
    Init(usize),
    Add(usize, i32),
    End(usize, bool, bool),
    Complete,
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..2_usize).prop_map(Step::Init),
        6 => (0..2_usize, 0..3).prop_map(|(who, p)| Step::Add(who, p)),
        4 => (0..2_usize, any::<bool>(), any::<bool>()).prop_map(|(w, c, b)| Step::End(w, c, b)),
        4 => Just(Step::Complete),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Only the newest producer is heard, epochs never go back, and what is marked is what was
    /// added since the last end.
    #[test]
    fn only_the_newest_producer_is_heard(steps in steps()) {
        let mut all = Transactions::default();
        let mut now = Instant::now();
        let mut known = [producer(-1, -1); 2];
        let mut newest = producer(-1, -1);
        let mut added = BTreeSet::new();
        for step in steps {
            match step {
                Step::Init(who) => {
                    if let Ok(Init::Ready(given)) = all.init("x", TIMEOUT, None, Some(1)) {
                        prop_assert!(given.epoch > newest.epoch);
                        (known[who], newest) = (given, given);
                        prop_assert!(added.is_empty());
                    }
                }
                Step::Add(who, partition) => {
                    if all.add("x", known[who], [tp(partition)], now).is_ok() {
                        prop_assert_eq!(known[who], newest);
                        added.insert(tp(partition));
                    }
                }
                Step::End(who, is_commit, bumps) => {
                    match all.end("x", known[who], ends(is_commit, bumps), Some(1)) {
                        Ok(End::Ends) => {
                            prop_assert_eq!(known[who], newest);
                            newest.epoch += i16::from(bumps);
                            known[who] = newest;
                        }
                        Ok(End::Done(told)) => known[who] = told,
                        Ok(End::WantsId) | Err(_) => {}
                    }
                }
                Step::Complete => {
                    if let Some(ending) = all.ending("x") {
                        prop_assert_eq!(&ending.partitions, &added);
                        added.clear();
                        all.completed("x");
                        let epoch = all.get("x").unwrap().producer.epoch;
                        prop_assert!(epoch >= newest.epoch);
                        newest.epoch = epoch;
                    }
                }
                Step::Expire => {
                    now += TIMEOUT;
                    all.expire(now);
                }
            }
        }
    }
}
