//! What members tell each other, against the bytes that Java wrote.

use proptest::prelude::*;

use super::*;
use crate::native::group::assignor::Assignor;

/// What kafka-clients wrote, by name.
fn java(name: &str) -> Bytes {
    let lines = include_str!("java/bytes.txt").lines();
    let mut found = lines.filter_map(|line| line.split_once(' ').filter(|line| line.0 == name));
    let hex = found.next().unwrap_or_else(|| panic!("{name} is missing")).1;
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn partitions() -> Vec<TopicPartition> {
    [("a", 7), ("orders", 0), ("orders", 2)].map(|(t, p)| TopicPartition::new(t, p)).into()
}

fn full(version: i16) -> Subscription {
    Subscription {
        topics: vec!["a".into(), "orders".into()],
        user_data: Some(Bytes::from_static(&[1, 2, 3])),
        owned: if version >= 1 { partitions() } else { Vec::new() },
        generation: (version >= 2).then_some(5),
        rack: (version >= 3).then(|| "rack-1".into()),
    }
}

fn bare() -> Subscription {
    Subscription { topics: vec!["orders".into()], ..Subscription::default() }
}

#[test]
fn what_java_wrote_is_read_in_every_version() {
    let assignment =
        Assignment { partitions: partitions(), user_data: Some(Bytes::from_static(&[1, 2, 3])) };
    for version in 0..=3 {
        let read = |kind: &str| java(&format!("{kind}-{version}-full"));
        assert_eq!(Subscription::decode(read("subscription")).unwrap(), full(version));
        assert_eq!(Assignment::decode(read("assignment")).unwrap(), assignment);
        let read = |kind: &str| java(&format!("{kind}-{version}-bare"));
        assert_eq!(Subscription::decode(read("subscription")).unwrap(), bare());
        assert_eq!(Assignment::decode(read("assignment")).unwrap(), Assignment::default());
    }
}

#[test]
fn the_newest_version_is_written_as_java_writes_it() {
    let mut unsorted = full(3);
    unsorted.topics.reverse();
    unsorted.owned.reverse();
    assert_eq!(unsorted.encode(), java("subscription-3-full"));
    assert_eq!(bare().encode(), java("subscription-3-bare"));
    let user_data = Some(Bytes::from_static(&[1, 2, 3]));
    let assignment = Assignment { partitions: partitions(), user_data };
    assert_eq!(assignment.encode(), java("assignment-3-full"));
    assert_eq!(Assignment::default().encode(), java("assignment-3-bare"));
}

#[test]
fn assignors_add_what_java_s_add() {
    let partitions = partitions();
    let later = Some((&partitions[..], 5));
    assert_eq!(Assignor::Sticky.user_data(None), None);
    assert_eq!(Assignor::Sticky.user_data(later), Some(java("sticky-later")));
    let cooperative = Assignor::CooperativeSticky;
    assert_eq!(cooperative.user_data(None), Some(java("cooperative-sticky-first")));
    assert_eq!(cooperative.user_data(later), Some(java("cooperative-sticky-later")));
    assert_eq!(Assignor::Range.user_data(later), None);
}

#[test]
fn a_newer_version_is_read_as_far_as_we_know_it() {
    let mut bytes = full(3).encode().to_vec();
    bytes[1] = 9;
    bytes.extend([1, 2, 3]);
    assert_eq!(Subscription::decode(bytes.into()).unwrap(), full(3));
}

#[test]
fn a_list_longer_than_the_bytes_reserves_nothing() {
    let error = Subscription::decode(Bytes::from_static(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0]));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("a list is longer than the bytes"), "{error}");
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        let _ = Subscription::decode(bytes.clone());
        let _ = Assignment::decode(bytes.clone());
        let _ = StickyUserData::decode(bytes);
    }

    #[test]
    fn cut_bytes_are_refused(length in 0_usize..60) {
        let bytes = full(3).encode();
        prop_assume!(length < bytes.len());
        prop_assert!(Subscription::decode(bytes.slice(..length)).is_err());
    }
}
