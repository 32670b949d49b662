//! The states of a transaction, without a coordinator.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError as Code;
use millrace_api::{Error, ErrorKind, TopicPartition};
use proptest::collection::vec;
use proptest::prelude::*;

use super::state::{Judgement, Operation, State};
use crate::native::producer::ProducerId;

const FIRST: ProducerId = ProducerId { id: 5, epoch: 0 };

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn ready(is_second_version: bool) -> State {
    let mut state = State::new();
    state.begin_operation(Operation::Init).unwrap();
    state.cluster_speaks(is_second_version, true);
    state.registered(FIRST);
    state
}

fn open(is_second_version: bool) -> State {
    let mut state = ready(is_second_version);
    state.begin().unwrap();
    state
}

#[test]
fn partitions_are_added_first_in_the_first_version() {
    let mut state = open(false);
    assert!(!state.admits(&partition()));
    assert_eq!(state.end(), None, "the coordinator knows of nothing");
    state.added(BTreeSet::from([partition()]));
    assert!(state.wanted().is_empty());
    assert!(state.admits(&partition()));
    assert_eq!(state.end(), Some(false));
    state.begin_operation(Operation::Commit).unwrap();
    assert!(state.admits(&partition()), "what is buffered still goes");
    assert!(!state.ended(None));
    assert_eq!(state.producer(), Some(FIRST));
    state.begin().unwrap();
    assert!(!state.admits(&partition()), "each transaction has its own");
}

#[test]
fn the_second_version_adds_nothing_and_changes_the_epoch() {
    let mut state = open(true);
    assert!(state.admits(&partition()));
    assert_eq!(state.end(), Some(true));
    // A feature that is switched off meanwhile does not change a transaction that is open.
    state.cluster_speaks(false, true);
    assert_eq!(state.end(), Some(true));
    state.begin_operation(Operation::Commit).unwrap();
    let next = ProducerId { epoch: 1, ..FIRST };
    assert!(!state.ended(Some(next)));
    assert_eq!(state.producer(), Some(next));
    state.begin().unwrap();
    assert!(!state.is_second_version(), "the next one goes as the cluster has said");
}

#[test]
fn between_the_first_version_and_the_second_is_an_epoch() {
    let mut state = open(false);
    state.added(BTreeSet::from([partition()]));
    state.cluster_speaks(true, true);
    assert_eq!(state.end(), Some(false), "an open transaction ends as it began");
    state.begin_operation(Operation::Commit).unwrap();
    assert!(state.ended(None), "the partitions may not know yet that it has ended");
    state.registered(ProducerId { epoch: 1, ..FIRST });
    state.begin().unwrap();
    assert!(state.is_second_version());
}

#[test]
fn a_failed_batch_leaves_only_the_abort() {
    for (is_second_version, asks_for_epoch) in [(false, true), (true, false)] {
        let mut state = open(is_second_version);
        state.added(BTreeSet::from([partition()]));
        state.batch_failed(Some(Code::MessageTooLarge), &Error::data("too large"));
        for refused in [
            state.check_send().unwrap_err(),
            state.begin().unwrap_err(),
            state.begin_operation(Operation::Commit).unwrap_err(),
            state.gives_up().unwrap(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
            assert!(refused.message().contains("too large"), "{refused}");
        }
        assert!(!state.admits(&partition()));
        state.begin_operation(Operation::Abort).unwrap();
        state.check_operation().unwrap();
        let next = is_second_version.then_some(ProducerId { epoch: 1, ..FIRST });
        assert_eq!(state.ended(next), asks_for_epoch);
        state.registered(ProducerId { epoch: 1, ..FIRST });
        state.begin().unwrap();
    }
}

#[test]
fn a_fenced_producer_is_at_its_end() {
    let mut state = open(false);
    state.batch_failed(Some(Code::ProducerFenced), &Error::fatal("fenced"));
    for refused in [
        state.check_send().unwrap_err(),
        state.begin().unwrap_err(),
        state.begin_operation(Operation::Abort).unwrap_err(),
        state.begin_operation(Operation::Init).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Fatal, "{refused}");
    }
    // The first reason is the true one.
    state.broke(Error::fatal("later"));
    assert_eq!(state.check_send().unwrap_err().message(), "fenced");
}

#[test]
fn a_batch_that_fails_while_aborting_fails_nothing_more() {
    let mut state = open(false);
    state.begin_operation(Operation::Abort).unwrap();
    state.batch_failed(None, &Error::retriable("expired"));
    state.check_operation().unwrap();
    assert!(state.ended(None), "but brokers may miss its numbers");
}

#[test]
fn each_code_of_a_coordinator_has_its_judgement() {
    let again = |elsewhere| Judgement::Again { elsewhere };
    for (code, expected) in [
        (Code::NotCoordinator, again(true)),
        (Code::CoordinatorNotAvailable, again(true)),
        (Code::CoordinatorLoadInProgress, again(false)),
        (Code::ConcurrentTransactions, again(false)),
        (Code::UnknownTopicOrPartition, again(false)),
        (Code::TransactionAbortable, Judgement::Abort),
        (Code::TopicAuthorizationFailed, Judgement::Abort),
        (Code::InvalidProducerEpoch, Judgement::Broken),
        (Code::ProducerFenced, Judgement::Broken),
        (Code::InvalidTxnState, Judgement::Broken),
        (Code::TransactionalIdAuthorizationFailed, Judgement::Broken),
        (Code::InvalidTransactionTimeout, Judgement::Broken),
    ] {
        assert_eq!(Judgement::of(code), expected, "{code:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    Send,
    Commit,
    Abort,
    Ended,
    Failed,
    Lost,
}

proptest! {
    /// Whatever comes, a transaction that lost a record is never committed, and the next one has
    /// another epoch.
    #[test]
    fn what_lost_a_record_is_not_committed(
        steps in vec(
            prop_oneof![
                Just(Step::Begin), Just(Step::Send), Just(Step::Commit), Just(Step::Abort),
                Just(Step::Ended), Just(Step::Failed), Just(Step::Lost),
            ],
            0..60,
        ),
        is_second_version: bool,
    ) {
        let mut state = ready(is_second_version);
        let (mut has_lost, mut epoch) = (false, 0);
        let mut ending = None;
        for step in steps {
            match step {
                Step::Begin => {
                    if state.begin().is_ok() {
                        let now = state.producer().unwrap().epoch;
                        prop_assert!(!has_lost || now > epoch, "numbers go on after a gap");
                        (has_lost, epoch, ending) = (false, now, None);
                    }
                }
                Step::Send => {
                    if !state.admits(&partition()) && !state.wanted().is_empty() {
                        state.added(BTreeSet::from([partition()]));
                    }
                }
                Step::Commit | Step::Abort => {
                    let is_commit = matches!(step, Step::Commit);
                    let operation = if is_commit { Operation::Commit } else { Operation::Abort };
                    if state.begin_operation(operation).is_ok() {
                        ending = Some(is_commit);
                    }
                }
                Step::Ended => {
                    let Some(is_commit) = ending.filter(|_| state.check_operation().is_ok()) else {
                        continue;
                    };
                    prop_assert!(!(is_commit && has_lost), "a lost record is committed");
                    let next = state.end().filter(|second| *second);
                    let now = state.producer().unwrap();
                    let next = next.map(|_| ProducerId { epoch: now.epoch + 1, ..now });
                    if state.ended(next) {
                        state.registered(ProducerId { epoch: now.epoch + 1, ..now });
                    }
                    ending = None;
                }
                Step::Failed if ending != Some(true) || state.check_operation().is_ok() => {
                    if state.check_send().is_ok() || ending.is_some() {
                        state.batch_failed(None, &Error::data("lost"));
                        has_lost = true;
                    }
                }
                Step::Lost if ending.is_some() => {
                    state.lost_numbers();
                }
                Step::Failed | Step::Lost => {}
            }
        }
    }
}
