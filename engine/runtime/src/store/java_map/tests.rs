//! Maps that a JDK's `ObjectOutputStream` has written, maps written here, and damage.
//!
//! The `.ser` files were written by JDK 17: `new ObjectOutputStream(file).writeObject(map)`.

use proptest::prelude::*;

use super::*;

fn written(entries: &[(Vec<u8>, Vec<u8>)]) -> Bytes {
    write(entries.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))).into()
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The entries as text, sorted: Java's order is one of identities.
fn read_java(file: &'static [u8]) -> Vec<(String, Option<String>)> {
    let entries = read(&Bytes::from_static(file)).unwrap();
    let mut entries: Vec<_> =
        entries.iter().map(|(key, value)| (text(key), value.as_ref().map(text))).collect();
    entries.sort();
    entries
}

fn damage(file: &[u8]) -> String {
    read(&Bytes::copy_from_slice(file)).unwrap_err().to_string()
}

#[test]
fn one_entry_has_javas_bytes() {
    let entry = (br#"["c",{"filename":"/x"}]"#.to_vec(), br#"{"position":5}"#.to_vec());
    assert_eq!(written(&[entry]), &include_bytes!("one.ser")[..]);
    assert_eq!(written(&[]), &include_bytes!("empty.ser")[..]);
}

#[test]
fn what_java_wrote_is_read() {
    let entry = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    assert_eq!(read_java(b""), []);
    assert_eq!(read_java(include_bytes!("empty.ser")), []);
    let one = entry(r#"["c",{"filename":"/x"}]"#, r#"{"position":5}"#);
    assert_eq!(read_java(include_bytes!("one.ser")), [one]);
    let mut thirteen: Vec<_> =
        (0..13).map(|i| entry(&format!("key {i}"), &format!("value {i}"))).collect();
    thirteen.sort();
    assert_eq!(read_java(include_bytes!("thirteen.ser")), thirteen);
    assert_eq!(read_java(include_bytes!("other-load-factor.ser")), [entry("k", "v")]);
    let shared = [entry("k0", "shared"), entry("k1", "shared"), entry("shared", "v")];
    assert_eq!(read_java(include_bytes!("shared.ser")), shared);
    let nulls = [("deleted".to_owned(), None), entry("empty", "")];
    assert_eq!(read_java(include_bytes!("null-value.ser")), nulls);
    assert_eq!(read_java(include_bytes!("null-key.ser")), [entry("k", "v")]);
}

#[test]
fn what_is_no_map_of_byte_arrays_is_named() {
    let class = |name| format!("an object of class {name} instead of java.util.HashMap at byte 0");
    let one = include_bytes!("one.ser");
    for (file, expected) in [
        (&include_bytes!("tree.ser")[..], class("java.util.TreeMap")),
        (include_bytes!("linked.ser"), class("java.util.LinkedHashMap")),
        (include_bytes!("text.ser"), "something else than a java.util.HashMap at byte 0".into()),
        (include_bytes!("strings.ser"), "something else than a byte array at byte 81".into()),
        (include_bytes!("integers.ser"), String::new()),
        (b"{\"position\":5}", "not a file of Java-serialised objects at byte 0".into()),
        (&[0; 4096], "not a file of Java-serialised objects at byte 0".into()),
        (&one[..100], "the file ends too early at byte 100".into()),
        (&[one, &b"x"[..]].concat(), "bytes after the end of the map at byte 152".into()),
        (&[one, &one[..]].concat(), "bytes after the end of the map at byte 152".into()),
    ] {
        let found = damage(file);
        if expected.is_empty() {
            assert!(found.starts_with("an array of something else than bytes"), "{found}");
        } else {
            assert_eq!(found, expected);
        }
    }
}

/// Sizes, lengths and handles that lead nowhere, at their places in the file with one entry.
#[test]
fn absurd_numbers_are_named() {
    const SIZE: usize = HASH_MAP.len() + 8 + 2 + 4;
    const LENGTH: usize = SIZE + 4 + 1 + BYTE_ARRAY.len();
    let with = |place: usize, number: i32| {
        let mut file = include_bytes!("one.ser").to_vec();
        file[place..place + 4].copy_from_slice(&number.to_be_bytes());
        damage(&file)
    };
    assert_eq!(with(SIZE, i32::MAX), "fewer entries than the map's size says at byte 151");
    assert_eq!(with(SIZE, 0), "more entries than the map's size says at byte 81");
    assert_eq!(with(SIZE, -1), "a negative length at byte 81");
    assert_eq!(with(LENGTH, i32::MAX), "the file ends too early at byte 152");
    assert_eq!(with(LENGTH, i32::MIN), "a negative length at byte 104");
    let handle = |handle: u32| {
        let shared = include_bytes!("shared.ser");
        let mut file = shared.to_vec();
        let at = file.len() - 5;
        file[at..at + 4].copy_from_slice(&handle.to_be_bytes());
        damage(&file)
    };
    for no_array in [0, FIRST_HANDLE, BYTE_ARRAY_HANDLE, 0x7e_0007, 0x7fff_ffff] {
        assert_eq!(handle(no_array), "a reference to no byte array at byte 150");
    }
    assert_eq!(handle(u32::MAX), "a negative length at byte 155");
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        entries in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..20)
    ) {
        let read = read(&written(&entries)).unwrap();
        let expected: Vec<Entry> =
            entries.into_iter().map(|(k, v)| (k.into(), Some(v.into()))).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_cut_file_is_damage_not_a_shorter_map(cut in 1..517usize) {
        let file = include_bytes!("thirteen.ser");
        prop_assert!(read(&Bytes::from_static(&file[..cut.min(file.len() - 1)])).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        let _ = read(&bytes.clone().into());
        let _ = read(&[HASH_MAP, &bytes].concat().into());
    }

    /// One wrong byte: an error, or a map of as many entries.
    #[test]
    fn a_changed_byte_takes_no_entry_away(at in 0..517usize, byte in any::<u8>()) {
        let mut file = include_bytes!("thirteen.ser").to_vec();
        let at = at.min(file.len() - 1);
        file[at] = byte;
        if let Ok(entries) = read(&file.into()) {
            prop_assert!(entries.len() >= 12, "a null key is left out");
        }
    }
}
