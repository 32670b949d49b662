//! Groups, poll by poll, with the time given.

use super::*;
use crate::Subscription;

const INTERVAL: Duration = Duration::from_secs(300);

struct Fixture {
    groups: Groups,
    group: Arc<str>,
    now: Instant,
}

impl Fixture {
    fn new(topics: &[(&str, i32)]) -> Self {
        let mut groups = Groups::default();
        groups.topics_changed(topic_map(topics));
        Self { groups, group: "g".into(), now: Instant::now() }
    }

    fn join(&mut self, topics: &[&str]) -> MemberId {
        let topics = topics.iter().map(|t| (*t).to_owned()).collect();
        self.join_with(Matcher::Topics(topics))
    }

    fn join_with(&mut self, matcher: Matcher) -> MemberId {
        let joining =
            Joining { matcher, max_poll_interval: INTERVAL, wake: Arc::new(Notify::new()) };
        self.groups.join(&self.group, joining, self.now)
    }

    fn poll(&mut self, id: MemberId) -> Step {
        self.groups.poll(&self.group, id, self.now)
    }

    fn commit(&mut self, id: Option<MemberId>, topic: &str, partition: i32) -> Result<()> {
        let tp = TopicPartition::new(topic, partition);
        self.groups.check_commit(&self.group, id, [&tp].into_iter(), self.now)
    }
}

fn topic_map(topics: &[(&str, i32)]) -> BTreeMap<Arc<str>, i32> {
    topics.iter().map(|(topic, n)| (Arc::from(*topic), *n)).collect()
}

fn partitions(topic: &str, range: std::ops::Range<i32>) -> Vec<TopicPartition> {
    range.map(|p| TopicPartition::new(topic, p)).collect()
}

#[test]
fn a_partition_moves_only_after_its_owner_has_polled_again() {
    let mut f = Fixture::new(&[("t", 3)]);
    let first = f.join(&["t"]);
    assert_eq!(f.poll(first), Step::Assigned(partitions("t", 0..3)));
    assert_eq!(f.poll(first), Step::Nothing);
    let second = f.join(&["t"]);
    assert_eq!(f.poll(second), Step::Nothing, "still the first one's");
    assert_eq!(f.poll(first), Step::Revoked(partitions("t", 2..3)));
    assert_eq!(f.poll(second), Step::Nothing, "the first one may commit now");
    f.commit(Some(first), "t", 2).unwrap();
    assert_eq!(f.commit(Some(second), "t", 2).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(f.poll(first), Step::Nothing);
    assert_eq!(f.poll(second), Step::Assigned(partitions("t", 2..3)));
    assert_eq!(f.commit(Some(first), "t", 2).unwrap_err().kind(), ErrorKind::Conflict);
    f.commit(Some(second), "t", 2).unwrap();
}

#[test]
fn a_member_that_leaves_leaves_its_partitions() {
    let mut f = Fixture::new(&[("t", 2)]);
    let (first, second) = (f.join(&["t"]), f.join(&["t"]));
    assert_eq!(f.poll(first), Step::Assigned(partitions("t", 0..1)));
    assert_eq!(f.poll(second), Step::Assigned(partitions("t", 1..2)));
    f.groups.leave("g", first);
    assert_eq!(f.poll(second), Step::Assigned(partitions("t", 0..1)));
    assert_eq!(f.poll(first), Step::Fenced);
}

#[test]
fn a_member_that_does_not_poll_is_put_out_and_its_commits_are_refused() {
    let mut f = Fixture::new(&[("t", 2)]);
    let (slow, other) = (f.join(&["t"]), f.join(&["t"]));
    f.poll(slow);
    f.poll(other);
    f.now += INTERVAL;
    assert_eq!(f.poll(other), Step::Nothing, "exactly the interval is allowed");
    f.commit(Some(slow), "t", 0).unwrap();
    f.now += Duration::from_millis(1);
    assert_eq!(f.poll(other), Step::Assigned(partitions("t", 0..1)));
    assert_eq!(f.commit(Some(slow), "t", 0).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(f.poll(slow), Step::Fenced);
}

#[test]
fn waiting_inside_a_poll_is_polling() {
    let mut f = Fixture::new(&[("t", 1)]);
    let waiting = f.join(&["t"]);
    f.poll(waiting);
    f.groups.set_polling("g", waiting, true, f.now);
    assert_eq!(f.groups.next_expiry("g"), None);
    f.now += INTERVAL * 2;
    let other = f.join(&["t"]);
    assert_eq!(f.poll(other), Step::Nothing);
    f.groups.set_polling("g", waiting, false, f.now);
    assert_eq!(f.groups.next_expiry("g"), Some(f.now + INTERVAL));
    assert_eq!(f.poll(waiting), Step::Nothing);
}

#[test]
fn a_member_that_was_told_and_never_polls_again_holds_others_up_no_longer_than_the_interval() {
    let mut f = Fixture::new(&[("t", 2)]);
    let first = f.join(&["t"]);
    f.poll(first);
    let second = f.join(&["t"]);
    assert_eq!(f.poll(first), Step::Revoked(partitions("t", 1..2)));
    f.now += INTERVAL;
    assert_eq!(f.poll(second), Step::Nothing);
    f.now += Duration::from_millis(1);
    assert_eq!(f.poll(second), Step::Assigned(partitions("t", 0..2)));
}

#[test]
fn topics_come_and_go() {
    let mut f = Fixture::new(&[]);
    let id = f.join_with(Matcher::new(&Subscription::Pattern("a.*|b".into())).unwrap());
    assert_eq!(f.poll(id), Step::Nothing);
    f.groups.topics_changed(topic_map(&[("ab", 1), ("b", 1), ("bb", 1)]));
    let both = vec![TopicPartition::new("ab", 0), TopicPartition::new("b", 0)];
    assert_eq!(f.poll(id), Step::Assigned(both));
    f.groups.topics_changed(topic_map(&[("b", 1)]));
    f.groups.topics_changed(topic_map(&[("ab", 1), ("b", 1)]));
    assert_eq!(f.poll(id), Step::Lost(partitions("ab", 0..1)), "the old one is gone");
    assert_eq!(f.poll(id), Step::Assigned(partitions("ab", 0..1)));
}

#[test]
fn ranges_are_kafkas() {
    let mut f = Fixture::new(&[("t", 5), ("u", 2)]);
    let ids = [f.join(&["t", "u"]), f.join(&["t"]), f.join(&["t", "u"])];
    let [a, b, c] = ids.map(|id| f.poll(id));
    assert_eq!(a, Step::Assigned([partitions("t", 0..2), partitions("u", 0..1)].concat()));
    assert_eq!(b, Step::Assigned(partitions("t", 2..4)));
    assert_eq!(c, Step::Assigned([partitions("t", 4..5), partitions("u", 1..2)].concat()));
}

#[test]
fn outsiders_commit_only_for_groups_without_members() {
    let mut f = Fixture::new(&[("t", 1)]);
    f.commit(None, "t", 0).unwrap();
    let id = f.join(&["t"]);
    assert_eq!(f.commit(None, "t", 0).unwrap_err().kind(), ErrorKind::Conflict);
    f.groups.leave("g", id);
    f.commit(None, "t", 0).unwrap();
}

#[test]
fn patterns_match_as_a_whole_or_are_refused() {
    let matcher = |p: &str| Matcher::new(&Subscription::Pattern(p.to_owned()));
    assert!(matcher("a|ab").unwrap().matches("ab"));
    assert!(!matcher("a").unwrap().matches("ab"));
    assert_eq!(matcher("(").unwrap_err().kind(), ErrorKind::Config);
}
