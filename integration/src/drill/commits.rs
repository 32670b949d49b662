//! Decides whether a group's commits can all be right: a member begins where the one before it left
//! off, and who has lost a partition has no say in it any more.
//!
//! Times are the machine's clock in milliseconds: Java's members say when each thing happened, and
//! are heard later. So nothing is judged before everybody has spoken, and only what no correct
//! member can do counts: `a` is before `b` when `a` was over before `b` began.

use super::numbers::Numbers;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A commit that takes longer may have been sent more than once, and may arrive once more, after
/// later ones: `request.timeout.ms` of members.
const REQUEST_MS: i64 = 4_000;

/// Now, in milliseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// A partition in one member's hands, from its assignment on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tenure {
    who: Arc<str>,
    since: i64,
}

#[derive(Clone, Debug)]
struct Begin {
    tenure: Tenure,
    first: i64,
}

#[derive(Clone, Debug)]
struct Commit {
    tenure: Tenure,
    offset: i64,
    sent: i64,
    accepted: i64,
}

/// What happened to one partition.
#[derive(Debug, Default)]
struct History {
    begins: Vec<Begin>,
    commits: Vec<Commit>,
    /// Offsets that the group may fall back to, since their commit may have arrived late.
    doubtful: BTreeSet<i64>,
}

/// Where members of a group began and what they committed, by partition.
#[derive(Debug, Default)]
pub(super) struct Commits(Mutex<BTreeMap<i32, History>>);

impl Commits {
    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What cannot be if all members were right, in words.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let all = self.open();
        let each = all.iter().flat_map(|(partition, history)| {
            history.contradictions().into_iter().map(move |what| format!("{partition}: {what}"))
        });
        each.collect()
    }
}

impl History {
    fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for begin in &self.begins {
            let known = self.commits.iter().filter(|commit| commit.accepted < begin.tenure.since);
            let behind = known.max_by_key(|commit| commit.offset);
            if let Some(commit) = behind.filter(|commit| commit.offset > begin.first)
                && !self.doubtful.contains(&begin.first)
            {
                found.push(format!("{begin:?} although there was {commit:?}"));
            }
        }
        found.extend(self.among_commits());
        found
    }

    /// There are tens of thousands: each is compared with the highest before it, and with the
    /// latest before it of each tenure.
    fn among_commits(&self) -> Vec<String> {
        let mut found = Vec::new();
        let [mut sent, mut accepted] = [self.commits.iter().collect::<Vec<_>>(), Vec::new()];
        sent.sort_by_key(|commit| commit.sent);
        accepted.extend(&self.commits);
        accepted.sort_by_key(|commit| commit.accepted);
        let mut before = accepted.into_iter().peekable();
        let (mut highest, mut latest): (Option<&Commit>, Vec<&Commit>) = (None, Vec::new());
        for commit in sent {
            while let Some(other) = before.next_if(|other| other.accepted < commit.sent) {
                highest = highest.into_iter().chain([other]).max_by_key(|commit| commit.offset);
                latest.retain(|known| known.tenure != other.tenure);
                latest.push(other);
            }
            let since = commit.tenure.since;
            let intrudes = |other: &&&Commit| other.tenure != commit.tenure && since < other.sent;
            if let Some(other) = latest.iter().find(intrudes) {
                found.push(format!("two members at once: {other:?} was accepted, and {commit:?}"));
            }
            if let Some(other) = highest.filter(|other| other.offset > commit.offset) {
                found.push(format!("{commit:?} was accepted after {other:?}"));
            }
        }
        found
    }
}

/// The partitions that one member has.
pub(super) struct Holding {
    numbers: Arc<Numbers>,
    who: Arc<str>,
    /// Since when it has each partition, and the next offset of those that it began to read.
    held: HashMap<i32, (i64, Option<i64>)>,
}

impl Holding {
    pub(super) fn new(numbers: Arc<Numbers>, who: &str) -> Self {
        Self { numbers, who: who.into(), held: HashMap::new() }
    }

    pub(super) fn assigned(&mut self, partition: i32, at: i64) {
        self.held.insert(partition, (at, None));
    }

    pub(super) fn gone(&mut self, partition: i32) {
        self.held.remove(&partition);
    }

    /// Records that the member was given: each follows the one before it.
    pub(super) fn given(&mut self, partition: i32, first: i64, last: i64) {
        let Some((since, next)) = self.held.get_mut(&partition) else {
            let who = &self.who;
            let what = format!("{who}: {partition} at {first}, which it was not assigned");
            return self.numbers.tally.violation(what);
        };
        match next.replace(last + 1) {
            Some(next) if next == first => {}
            Some(next) => self.numbers.tally.violation(format!(
                "{}: {partition} goes on at {first} up to {last}, {next} comes next",
                self.who
            )),
            None => {
                let begin =
                    Begin { tenure: Tenure { who: self.who.clone(), since: *since }, first };
                self.numbers.commits.open().entry(partition).or_default().begins.push(begin);
            }
        }
    }

    /// The next offset of each partition that it began to read.
    pub(super) fn positions(&self) -> BTreeMap<i32, i64> {
        let begun =
            self.held.iter().filter_map(|(partition, (_, next))| Some((*partition, (*next)?)));
        begun.collect()
    }

    /// The member sent this commit at a time, and now it knows what became of it.
    pub(super) fn committed(&self, offsets: &BTreeMap<i32, i64>, sent: i64, accepted: Option<i64>) {
        let mut all = self.numbers.commits.open();
        for (partition, &offset) in offsets {
            let history = all.entry(*partition).or_default();
            if accepted.is_none_or(|accepted| accepted - sent >= REQUEST_MS) {
                history.doubtful.insert(offset);
            }
            if let (Some(accepted), Some((since, _))) = (accepted, self.held.get(partition)) {
                let tenure = Tenure { who: self.who.clone(), since: *since };
                history.commits.push(Commit { tenure, offset, sent, accepted });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two members of a group; what happens is told as it would be, at times that are given.
    struct Scene {
        numbers: Arc<Numbers>,
        a: Holding,
        b: Holding,
    }

    impl Scene {
        fn new() -> Self {
            let numbers = Numbers::new("t".to_owned(), 1, Arc::default());
            let [a, b] = ["a", "b"].map(|who| Holding::new(numbers.clone(), who));
            Self { numbers, a, b }
        }

        /// `a` has the partition from 10 on, and has committed 5 at 20.
        fn begun() -> Self {
            let mut scene = Self::new();
            scene.a.assigned(0, 10);
            scene.a.given(0, 0, 4);
            commit(&scene.a, 5, 20);
            scene
        }

        fn judge(&self) -> Vec<String> {
            [self.numbers.commits.contradictions(), self.numbers.tally.violations()].concat()
        }
    }

    fn commit(who: &Holding, offset: i64, at: i64) {
        who.committed(&BTreeMap::from([(0, offset)]), at, Some(at + 1));
    }

    #[test]
    fn a_partition_that_is_handed_over_goes_on_where_it_was() {
        let mut scene = Scene::begun();
        scene.a.gone(0);
        scene.b.assigned(0, 30);
        scene.b.given(0, 5, 9);
        commit(&scene.b, 10, 40);
        // Java is heard late.
        scene.a.assigned(0, 50);
        scene.a.given(0, 10, 11);
        commit(&scene.a, 12, 60);
        assert_eq!(scene.judge(), [""; 0]);
    }

    #[test]
    fn a_member_that_begins_below_a_commit_is_seen() {
        let mut scene = Scene::begun();
        scene.b.assigned(0, 30);
        scene.b.given(0, 3, 9);
        assert_eq!(scene.judge().len(), 1);
    }

    #[test]
    fn a_commit_that_nobody_knew_of_yet_is_none() {
        let mut scene = Scene::begun();
        scene.b.assigned(0, 21);
        scene.b.given(0, 3, 9);
        assert_eq!(scene.judge(), [""; 0]);
    }

    #[test]
    fn a_commit_may_arrive_late_when_its_answer_did_not_come() {
        let mut scene = Scene::begun();
        scene.a.committed(&BTreeMap::from([(0, 3)]), 5, None);
        scene.b.assigned(0, 30);
        scene.b.given(0, 3, 9);
        assert_eq!(scene.judge(), [""; 0]);
    }

    #[test]
    fn a_zombie_is_seen_by_the_commits_of_its_successor() {
        let mut scene = Scene::begun();
        scene.b.assigned(0, 30);
        scene.b.given(0, 5, 9);
        commit(&scene.b, 10, 40);
        commit(&scene.a, 12, 50);
        assert_eq!(scene.judge().len(), 1, "after its successor has committed");
        let mut scene = Scene::begun();
        scene.b.assigned(0, 30);
        scene.b.given(0, 5, 9);
        commit(&scene.a, 7, 40);
        commit(&scene.b, 10, 50);
        assert_eq!(scene.judge().len(), 1, "before");
    }

    #[test]
    fn a_commit_that_goes_back_is_seen() {
        let scene = Scene::begun();
        commit(&scene.a, 4, 30);
        assert_eq!(scene.judge().len(), 1);
    }

    #[test]
    fn records_follow_each_other_and_an_assignment() {
        let mut scene = Scene::begun();
        scene.a.given(0, 6, 7);
        scene.b.given(0, 8, 9);
        assert_eq!(scene.judge().len(), 2);
    }
}
