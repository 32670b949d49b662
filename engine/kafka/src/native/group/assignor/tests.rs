//! Assignors against what Java answered, and against what must hold of any assignment.

use proptest::prelude::*;

use super::*;

/// A case of `java/assignments.txt`.
struct Case {
    line: usize,
    assignor: Assignor,
    topics: Topics,
    members: Vec<Member>,
    expected: Vec<Vec<TopicPartition>>,
}

fn optional(word: &str) -> Option<&str> {
    Some(word).filter(|word| *word != "-")
}

/// `t1:0,2;t2:1`
fn partitions(word: &str) -> Vec<TopicPartition> {
    let of_topic = |text: &str| {
        let (topic, numbers) = text.split_once(':').unwrap();
        let topic: Arc<str> = topic.into();
        let numbers: Vec<i32> = numbers.split(',').map(|n| n.parse().unwrap()).collect();
        numbers.into_iter().map(move |n| TopicPartition::new(topic.clone(), n))
    };
    optional(word).map(|word| word.split(';').flat_map(of_topic).collect()).unwrap_or_default()
}

fn racks(word: &str) -> Vec<Arc<str>> {
    optional(word).unwrap_or_default().chars().map(|rack| rack.to_string().into()).collect()
}

fn member(assignor: Assignor, line: &str) -> (Member, Vec<TopicPartition>) {
    let words: Vec<_> = line.split(' ').collect();
    let [id, instance, rack, generation, user, topics, owned, assigned] = words[..] else {
        panic!("not a member: {line}");
    };
    let owned = partitions(owned);
    let topics = optional(topics).map(|topics| topics.split(',').map(Arc::from).collect());
    let user_data = match user {
        "-" => None,
        "v0" => Some(StickyUserData { partitions: owned.clone(), generation: None }.encode()),
        generation => assignor.user_data(Some((&owned, generation.parse().unwrap()))),
    };
    let subscription = Subscription {
        topics: topics.unwrap_or_default(),
        user_data,
        owned,
        generation: optional(generation).map(|generation| generation.parse().unwrap()),
        rack: optional(rack).map(Arc::from),
    };
    let instance = optional(instance).map(Arc::from);
    (Member { id: id.into(), instance, subscription }, partitions(assigned))
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (i, line) in include_str!("java/assignments.txt").lines().enumerate() {
        if let Some(assignor) = Assignor::from_name(line) {
            let (topics, members) = (Topics::new(), Vec::new());
            cases.push(Case { line: i + 1, assignor, topics, members, expected: Vec::new() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        if let Some(topic) = line.strip_prefix("+ ") {
            let (name, partitions) = topic.split_once(' ').unwrap();
            case.topics.insert(name.into(), partitions.split(',').map(racks).collect());
        } else {
            let (member, assigned) = member(case.assignor, line);
            case.members.push(member);
            case.expected.push(assigned);
        }
    }
    cases
}

#[test]
fn every_group_is_assigned_as_java_assigns_it() {
    let cases = cases();
    assert!(cases.len() > 500, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let assigned = case.assignor.assign(&case.topics, &case.members);
        if assigned != case.expected {
            wrong.push(format!("line {}, {:?}", case.line, case.assignor));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
}

/// A group in which everybody has a random part of the topics, racks, and claims of random
/// partitions in random generations.
fn groups() -> impl Strategy<Value = (Topics, Vec<Member>)> {
    let rack = || prop::sample::select(vec!["a", "b", "c"]).prop_map(Arc::<str>::from);
    let topic = prop::collection::vec(prop::collection::vec(rack(), 0..3), 0..7);
    let topics = prop::collection::vec(topic, 1..4).prop_map(|topics| {
        let named = |(i, racks)| (Arc::from(format!("t{i}")), racks);
        topics.into_iter().enumerate().map(named).collect::<Topics>()
    });
    let claim = (0..4, 0..8).prop_map(|(t, p)| TopicPartition::new(format!("t{t}"), p));
    let member = (
        prop::collection::btree_set(0..4, 0..4),
        prop::collection::vec(claim, 0..6),
        prop::option::of(0..4_i32),
        prop::option::of(rack()),
        prop::option::of(any::<u16>()),
    );
    let member = member.prop_map(|(topics, owned, generation, rack, instance)| Member {
        id: Arc::from(""),
        instance: instance.map(|instance| instance.to_string().into()),
        subscription: Subscription {
            topics: topics.into_iter().map(|t| Arc::from(format!("t{t}"))).collect(),
            user_data: Assignor::Sticky.user_data(Some((&owned, generation.unwrap_or(-1)))),
            owned,
            generation,
            rack,
        },
    });
    let members = prop::collection::vec(member, 1..9).prop_map(|mut members| {
        members.iter_mut().enumerate().for_each(|(i, m)| m.id = format!("member-{i}").into());
        members
    });
    (topics, members)
}

/// What the topics hold that anybody subscribes to.
fn wanted(topics: &Topics, members: &[Member]) -> BTreeSet<TopicPartition> {
    let names: BTreeSet<_> = members.iter().flat_map(|m| &m.subscription.topics).collect();
    let known = names.into_iter().filter_map(|name| topics.get_key_value(name));
    known
        .flat_map(|(name, p)| (0..p.len() as i32).map(|p| TopicPartition::new(name.clone(), p)))
        .collect()
}

/// Members that own what they were assigned, and want the same.
fn later(assignor: Assignor, members: &[Member], assigned: &[Vec<TopicPartition>]) -> Vec<Member> {
    let mut members = members.to_vec();
    for (member, assigned) in members.iter_mut().zip(assigned) {
        member.subscription.owned.clone_from(assigned);
        member.subscription.generation = Some(9);
        member.subscription.user_data = assignor.user_data(Some((assigned, 9)));
    }
    members
}

/// Where topics differ among members, racks never let Java's assignment rest: what is far from its
/// owner is given away, and comes back.
fn without_racks(members: &[Member]) -> Vec<Member> {
    let mut members = members.to_vec();
    members.iter_mut().for_each(|member| member.subscription.rack = None);
    members
}

/// As the group does: until nobody has to give anything up.
fn settled(
    assignor: Assignor,
    topics: &Topics,
    members: &[Member],
) -> (Vec<Vec<TopicPartition>>, Vec<Member>) {
    let mut members = members.to_vec();
    for _ in 0..10 {
        let assigned = assignor.assign(topics, &members);
        let next = later(assignor, &members, &assigned);
        let again = assignor.assign(topics, &next);
        if assigned == again {
            return (assigned, next);
        }
        assert!(assignor.is_cooperative(), "an eager assignment changed by itself");
        members = next;
    }
    panic!("the group never settles");
}

fn is_subscribed(member: &Member, tp: &TopicPartition) -> bool {
    member.subscription.topics.contains(&tp.topic)
}

proptest! {
    #[test]
    fn everything_is_assigned_once_to_who_wants_it((topics, members) in groups()) {
        for assignor in Assignor::ALL {
            let assigned = if assignor.is_cooperative() {
                // Only then has everybody given up what was to move.
                settled(assignor, &topics, &without_racks(&members)).0
            } else {
                assignor.assign(&topics, &members)
            };
            let all: Vec<_> = assigned.iter().flatten().cloned().collect();
            let once: BTreeSet<_> = all.iter().cloned().collect();
            prop_assert_eq!(all.len(), once.len());
            prop_assert_eq!(once, wanted(&topics, &members));
            for (member, assigned) in members.iter().zip(&assigned) {
                prop_assert!(assigned.iter().all(|tp| is_subscribed(member, tp)));
            }
        }
    }

    #[test]
    fn nobody_gives_up_what_another_still_owns((topics, members) in groups()) {
        let assigned = Assignor::CooperativeSticky.assign(&topics, &members);
        let newest = |tp: &TopicPartition| {
            let claims = members.iter().filter(|m| m.subscription.owned.contains(tp));
            claims.map(|m| m.subscription.generation.unwrap_or(-1)).max()
        };
        for (member, assigned) in members.iter().zip(&assigned) {
            for tp in assigned.iter().filter(|tp| !member.subscription.owned.contains(tp)) {
                prop_assert!(newest(tp).is_none(), "{tp} was owned by another");
            }
        }
    }

    #[test]
    fn no_partition_could_make_a_sticky_group_more_even((topics, members) in groups()) {
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
            // Nobody owns anything yet: then nothing but the balance decides.
            let mut members = without_racks(&members);
            for member in &mut members {
                member.subscription.owned.clear();
                member.subscription.user_data = None;
            }
            let assigned = assignor.assign(&topics, &members);
            for (from, tp) in assigned.iter().flat_map(|a| a.iter().map(move |tp| (a, tp))) {
                let takers = members.iter().zip(&assigned).filter(|(m, _)| is_subscribed(m, tp));
                let least = takers.map(|(_, a)| a.len()).min().unwrap();
                prop_assert!(from.len() <= least + 1);
            }
        }
    }

    #[test]
    fn who_stays_keeps_its_share_when_another_leaves(
        (topics, members) in groups(), gone in any::<prop::sample::Index>(),
    ) {
        // All want the same, so that shares are equal and nothing has to move but the lost share.
        let mut members = without_racks(&members);
        prop_assume!(members.len() > 1);
        for member in &mut members {
            member.subscription.topics = topics.keys().cloned().collect();
        }
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
            let (mut before, mut members) = settled(assignor, &topics, &members);
            let gone = gone.index(members.len());
            members.remove(gone);
            before.remove(gone);
            let (after, _) = settled(assignor, &topics, &members);
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(before.iter().all(|tp| after.contains(tp)));
            }
        }
    }
}

#[test]
fn a_member_that_wants_nothing_gets_nothing() {
    let topics = Topics::from([("t".into(), vec![Vec::new(); 4])]);
    let member = |id: &str, topics: &[&str]| Member {
        id: id.into(),
        instance: None,
        subscription: Subscription {
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            ..Subscription::default()
        },
    };
    let members = [member("a", &[]), member("b", &["t"]), member("c", &[])];
    for assignor in Assignor::ALL {
        let counts: Vec<_> = assignor.assign(&topics, &members).iter().map(Vec::len).collect();
        assert_eq!(counts, [0, 4, 0], "{assignor:?}");
    }
}
