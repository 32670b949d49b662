//! Decides what a fetch request has to say when the broker remembers what the last ones said
//! (KIP-227; `FetchSessionHandler` in Java).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchResponse;
use millrace_api::TopicPartition;
use uuid::Uuid;

/// The epoch of a request that opens a session.
const OPENS: i32 = 0;
/// The epoch of a request that ends its session, or has none.
const NONE: i32 = -1;

/// A partition as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// What the answer must match to be of use.
    pub(super) incarnation: u64,
    /// Nil where nobody knows.
    pub(super) topic_id: Uuid,
    pub(super) offset: i64,
    /// The leader's epoch as we know it; -1 when we do not.
    pub(super) leader_epoch: i32,
}

impl Want {
    fn reads_alike(&self, other: &Self) -> bool {
        (self.topic_id, self.offset, self.leader_epoch)
            == (other.topic_id, other.offset, other.leader_epoch)
    }
}

/// Partitions with the ids that a broker knows their topics by.
pub(super) type Forgotten = Vec<(TopicPartition, Uuid)>;

/// What a request says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) session: i32,
    pub(super) epoch: i32,
    /// Whether topics may go by their ids (from version 13 on).
    pub(super) uses_ids: bool,
    /// New and changed ones; all of them when the session is opened.
    pub(super) send: Vec<(TopicPartition, Want)>,
    /// Those that the broker has to forget, with the ids that it knows them by.
    pub(super) forget: Forgotten,
}

/// What one broker remembers of our requests.
#[derive(Debug)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    uses_ids: bool,
    known: BTreeMap<TopicPartition, Want>,
    names: HashMap<Uuid, Arc<str>>,
    /// How often a whole request was made: the first partitions of one are served first, so each
    /// begins with another.
    whole: usize,
}

impl Session {
    pub(super) fn new() -> Self {
        let (known, names) = (BTreeMap::new(), HashMap::new());
        Self { id: 0, epoch: OPENS, uses_ids: false, known, names, whole: 0 }
    }

    /// The next request for exactly these partitions.
    pub(super) fn next(&mut self, wanted: BTreeMap<TopicPartition, Want>) -> Step {
        let uses_ids = wanted.values().all(|want| !want.topic_id.is_nil());
        if uses_ids != self.uses_ids {
            // A session knows its topics either by ids or by names.
            self.epoch = OPENS;
        }
        self.uses_ids = uses_ids;
        let (send, forget) = match self.epoch {
            OPENS => {
                self.whole = self.whole.wrapping_add(1);
                let mut all: Vec<_> = wanted.iter().map(|(tp, want)| (tp.clone(), *want)).collect();
                let first = self.whole % all.len().max(1);
                all.rotate_left(first);
                (all, Vec::new())
            }
            _ => self.changes(&wanted),
        };
        if uses_ids {
            let names = wanted.iter().map(|(tp, want)| (want.topic_id, tp.topic.clone()));
            self.names = names.collect();
        }
        self.known = wanted;
        Step { session: self.id, epoch: self.epoch, uses_ids, send, forget }
    }

    fn changes(
        &self,
        wanted: &BTreeMap<TopicPartition, Want>,
    ) -> (Vec<(TopicPartition, Want)>, Forgotten) {
        let is_new = |tp: &TopicPartition, want: &Want| {
            self.known.get(tp).is_none_or(|known| !known.reads_alike(want))
        };
        let send = wanted.iter().filter(|(tp, want)| is_new(tp, want));
        let forget = self.known.iter().filter(|(tp, known)| {
            wanted.get(tp).is_none_or(|want| want.topic_id != known.topic_id)
        });
        (
            send.map(|(tp, want)| (tp.clone(), *want)).collect(),
            forget.map(|(tp, known)| (tp.clone(), known.topic_id)).collect(),
        )
    }

    /// What was last asked of a partition.
    pub(super) fn asked(&self, partition: &TopicPartition) -> Option<&Want> {
        self.known.get(partition)
    }

    /// The partitions of the last request.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.known.keys()
    }

    /// The topic with this id.
    pub(super) fn name(&self, id: Uuid) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    /// Takes an answer in: false when there is nothing in it but that the broker wants us to wait
    /// (KIP-219).
    ///
    /// # Errors
    ///
    /// The broker's, for the session as a whole: the next request opens a new one.
    pub(super) fn accept(&mut self, answer: &FetchResponse) -> Result<bool, ResponseError> {
        if let Some(error) = ResponseError::try_from_code(answer.error_code) {
            if error == ResponseError::FetchSessionIdNotFound {
                self.id = 0;
            }
            self.epoch = OPENS;
            return Err(error);
        }
        if self.epoch == OPENS && answer.responses.is_empty() && answer.throttle_time_ms > 0 {
            self.id = 0;
            return Ok(false);
        }
        self.id = answer.session_id;
        self.epoch = match (answer.session_id, self.epoch) {
            // The broker remembers nothing: it has no sessions, or no room for one more.
            (0, _) => OPENS,
            (_, i32::MAX) => 1,
            (_, epoch) => epoch + 1,
        };
        Ok(true)
    }

    /// The request or its answer was lost, or is not to be believed: nobody knows what the broker
    /// remembers.
    pub(super) fn lost(&mut self) {
        self.epoch = OPENS;
    }

    /// The request that ends the session; none when there is no session.
    pub(super) fn close(self) -> Option<Step> {
        (self.id != 0).then(|| Step {
            session: self.id,
            epoch: NONE,
            uses_ids: self.uses_ids,
            send: Vec::new(),
            forget: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(id: u128, offset: i64) -> Want {
        let topic_id = Uuid::from_u128(id);
        Want { incarnation: 1, topic_id, offset, leader_epoch: 0 }
    }

    fn wanted(all: &[(i32, Want)]) -> BTreeMap<TopicPartition, Want> {
        all.iter().map(|(p, want)| (TopicPartition::new("t", *p), *want)).collect()
    }

    fn numbers<T>(partitions: &[(TopicPartition, T)]) -> Vec<i32> {
        partitions.iter().map(|(tp, _)| tp.partition).collect()
    }

    fn answer(session: i32, code: i16) -> FetchResponse {
        FetchResponse::default().with_session_id(session).with_error_code(code)
    }

    #[test]
    fn after_the_first_request_only_changes_are_told() {
        let mut session = Session::new();
        let first = session.next(wanted(&[(0, want(1, 5)), (1, want(1, 7))]));
        assert_eq!((first.session, first.epoch, first.uses_ids), (0, 0, true));
        assert_eq!(first.send.len(), 2);
        assert_eq!(session.accept(&answer(9, 0)), Ok(true));
        assert_eq!(&**session.name(Uuid::from_u128(1)).unwrap(), "t");

        let moved = session.next(wanted(&[(0, want(1, 5)), (1, want(1, 8)), (2, want(1, 0))]));
        assert_eq!((moved.session, moved.epoch), (9, 1));
        assert_eq!((numbers(&moved.send), moved.forget.len()), (vec![1, 2], 0));
        assert_eq!(session.asked(&TopicPartition::new("t", 1)).unwrap().offset, 8);
        session.accept(&answer(9, 0)).unwrap();

        let fewer = session.next(wanted(&[(1, want(1, 8)), (2, want(1, 0))]));
        assert_eq!((fewer.epoch, fewer.send.len(), numbers(&fewer.forget)), (2, 0, vec![0]));
        session.accept(&answer(9, 0)).unwrap();

        let made_again = session.next(wanted(&[(1, want(1, 8)), (2, want(2, 0))]));
        assert_eq!(numbers(&made_again.send), [2]);
        let old = (TopicPartition::new("t", 2), Uuid::from_u128(1));
        assert_eq!(made_again.forget, [old]);
    }

    #[test]
    fn trouble_opens_a_new_session() {
        let both = || wanted(&[(0, want(1, 5)), (1, want(1, 7))]);
        let not_found = ResponseError::FetchSessionIdNotFound;
        let wrong_epoch = ResponseError::InvalidFetchSessionEpoch;
        for (error, id) in [(not_found, 0), (wrong_epoch, 9)] {
            let mut session = Session::new();
            session.next(both());
            session.accept(&answer(9, 0)).unwrap();
            session.next(both());
            assert_eq!(session.accept(&answer(0, error.code())), Err(error));
            let again = session.next(both());
            assert_eq!((again.session, again.epoch, again.send.len()), (id, 0, 2));
        }
        let mut session = Session::new();
        session.next(both());
        session.accept(&answer(9, 0)).unwrap();
        session.next(both());
        session.lost();
        let again = session.next(both());
        assert_eq!((again.session, again.epoch, again.send.len()), (9, 0, 2));
        // Topics whose ids are not known go by name, in a session of their own.
        session.accept(&answer(10, 0)).unwrap();
        let by_name = session.next(wanted(&[(0, want(0, 5))]));
        assert_eq!((by_name.epoch, by_name.uses_ids), (0, false));
    }

    #[test]
    fn a_broker_without_room_is_told_everything_each_time_in_turn() {
        let mut session = Session::new();
        let mut first = Vec::new();
        for _ in 0..3 {
            let all = session.next(wanted(&[(0, want(1, 5)), (1, want(1, 7)), (2, want(1, 9))]));
            assert_eq!((all.session, all.epoch, all.send.len()), (0, 0, 3));
            first.push(all.send[0].0.partition);
            session.accept(&answer(0, 0)).unwrap();
        }
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
        assert_eq!(session.close(), None);
    }

    #[test]
    fn a_throttled_client_opens_its_session_later() {
        let mut session = Session::new();
        session.next(wanted(&[(0, want(1, 5))]));
        assert_eq!(session.accept(&answer(0, 0).with_throttle_time_ms(100)), Ok(false));
        let again = session.next(wanted(&[(0, want(1, 5))]));
        assert_eq!((again.session, again.epoch), (0, 0));
        session.accept(&answer(3, 0)).unwrap();
        session.epoch = i32::MAX;
        session.accept(&answer(3, 0)).unwrap();
        assert_eq!(session.epoch, 1);
        let closing = session.close().unwrap();
        assert_eq!((closing.session, closing.epoch), (3, -1));
    }
}
