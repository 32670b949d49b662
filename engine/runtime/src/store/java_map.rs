//! Reads and writes a Java-serialised `HashMap<byte[], byte[]>`: the form of Connect's standalone
//! offset file (`FileOffsetBackingStore`; Java Object Serialization Specification, chapter 6).

use std::fmt;

/// Key and value of an entry; a null value stands for "deleted".
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS_DESCRIPTOR: u8 = 0x72;
const OBJECT: u8 = 0x73;
const ARRAY: u8 = 0x75;
const BLOCK_DATA: u8 = 0x77;
const END_BLOCK_DATA: u8 = 0x78;

/// Stream magic and version, then a `HashMap` object up to the values of its two fields.
const HASH_MAP: &[u8] = b"\xac\xed\x00\x05\
    \x73\x72\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02\
    F\x00\x0aloadFactorI\x00\x09thresholdx\x70";

/// The class descriptor of `byte[]`.
const BYTE_ARRAY: &[u8] = b"\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00x\x70";

/// Objects are numbered from here on in the order they appear: the map's class, the map, then
/// `byte[]`'s class, then the arrays.
const FIRST_HANDLE: u32 = 0x7e_0000;
const BYTE_ARRAY_HANDLE: u32 = FIRST_HANDLE + 2;

/// Where the bytes stop making sense, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) position: usize,
    pub(super) what: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.position)
    }
}

impl std::error::Error for Damage {}

/// Serializes a map as Java does.
pub(super) fn write<'a>(entries: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let size = entries.len();
    let capacity = (size * 4 / 3 + 1).next_power_of_two().max(16);
    let threshold = if size == 0 { 0 } else { capacity * 3 / 4 };
    let mut out = HASH_MAP.to_vec();
    out.extend_from_slice(&0.75f32.to_be_bytes());
    out.extend_from_slice(&be(threshold));
    out.extend_from_slice(&[BLOCK_DATA, 8]);
    out.extend_from_slice(&be(capacity));
    out.extend_from_slice(&be(size));
    let mut described = false;
    for (key, value) in entries {
        for bytes in [key, value] {
            out.push(ARRAY);
            if described {
                out.push(REFERENCE);
                out.extend_from_slice(&BYTE_ARRAY_HANDLE.to_be_bytes());
            } else {
                out.extend_from_slice(BYTE_ARRAY);
                described = true;
            }
            out.extend_from_slice(&be(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
    out.push(END_BLOCK_DATA);
    out
}

fn be(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("offset files stay far below 4 GiB").to_be_bytes()
}

/// Reads a map that Java or [`write`] has written. An empty input is an empty map, as in Java.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Entry>, Damage> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut input = Input { bytes, position: 0, arrays: Vec::new(), described: false };
    input.expect(HASH_MAP, "not a Java-serialised HashMap")?;
    input.take(8)?;
    input.expect(&[BLOCK_DATA, 8], "no map size")?;
    input.int()?;
    let size = input.int()?;
    let mut entries = Vec::new();
    for _ in 0..size {
        let key = input.array()?.ok_or_else(|| input.damage("null key"))?;
        entries.push((key, input.array()?));
    }
    input.expect(&[END_BLOCK_DATA], "no end of the map")?;
    Ok(entries)
}

struct Input<'a> {
    bytes: &'a [u8],
    position: usize,
    /// The arrays read so far, by handle: Java writes an identical object once.
    arrays: Vec<Vec<u8>>,
    described: bool,
}

impl<'a> Input<'a> {
    fn damage(&self, what: &'static str) -> Damage {
        Damage { position: self.position, what }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let end = self.position.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.damage("the file ends too early"))?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    fn expect(&mut self, expected: &[u8], otherwise: &'static str) -> Result<(), Damage> {
        let rest = &self.bytes[self.position..];
        if !rest.starts_with(expected) {
            let cut = expected.starts_with(rest);
            return Err(self.damage(if cut { "the file ends too early" } else { otherwise }));
        }
        self.take(expected.len()).map(drop)
    }

    fn int(&mut self) -> Result<usize, Damage> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        usize::try_from(i32::from_be_bytes(bytes)).map_err(|_| self.damage("negative length"))
    }

    fn array(&mut self) -> Result<Option<Vec<u8>>, Damage> {
        match self.take(1)?[0] {
            NULL => Ok(None),
            REFERENCE => {
                let handle = self.int()?;
                let first = BYTE_ARRAY_HANDLE as usize + 1;
                let array = handle.checked_sub(first).and_then(|i| self.arrays.get(i));
                array.cloned().map(Some).ok_or_else(|| self.damage("reference to nothing"))
            }
            ARRAY => {
                self.array_class()?;
                let len = self.int()?;
                let bytes = self.take(len)?.to_vec();
                self.arrays.push(bytes.clone());
                Ok(Some(bytes))
            }
            OBJECT => Err(self.damage("an object where a byte array should be")),
            _ => Err(self.damage("unknown type code")),
        }
    }

    fn array_class(&mut self) -> Result<(), Damage> {
        if self.bytes.get(self.position) == Some(&CLASS_DESCRIPTOR) && !self.described {
            self.described = true;
            return self.expect(BYTE_ARRAY, "not a byte array");
        }
        self.expect(&[REFERENCE], "not a byte array")?;
        self.expect(&BYTE_ARRAY_HANDLE.to_be_bytes(), "not a byte array")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        write(entries.iter().map(|(k, v)| (k.as_slice(), v.as_slice())))
    }

    #[test]
    fn one_entry_has_javas_bytes() {
        let bytes = written(&[(b"k".to_vec(), b"v1".to_vec())]);
        let expected = [
            HASH_MAP,
            b"\x3f\x40\x00\x00\x00\x00\x00\x0c\x77\x08\x00\x00\x00\x10\x00\x00\x00\x01",
            b"\x75\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00\x78\x70\x00\x00\x00\x01k",
            b"\x75\x71\x00\x7e\x00\x02\x00\x00\x00\x02v1\x78",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn repeated_arrays_and_nulls_are_read() {
        let mut bytes = written(&[(b"k".to_vec(), b"v".to_vec())]);
        bytes.pop();
        let size = HASH_MAP.len() + 8 + 2 + 4;
        bytes[size..size + 4].copy_from_slice(&3u32.to_be_bytes());
        bytes.extend_from_slice(b"\x75\x71\x00\x7e\x00\x02\x00\x00\x00\x01j\x71\x00\x7e\x00\x04");
        bytes.extend_from_slice(b"\x75\x71\x00\x7e\x00\x02\x00\x00\x00\x01i\x70\x78");
        let entries = read(&bytes).unwrap();
        assert_eq!(entries[1], (b"j".to_vec(), Some(b"v".to_vec())));
        assert_eq!(entries[2], (b"i".to_vec(), None));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            entries in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..20)
        ) {
            let read = read(&written(&entries)).unwrap();
            let expected: Vec<Entry> = entries.into_iter().map(|(k, v)| (k, Some(v))).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn a_cut_file_is_damage_not_a_shorter_map(cut in 1..200usize) {
            let bytes = written(&[(b"key".to_vec(), vec![7; 100]), (b"two".to_vec(), vec![8; 50])]);
            if cut < bytes.len() {
                prop_assert!(read(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = read(&bytes);
            let _ = read(&[HASH_MAP, &bytes].concat());
        }
    }
}
