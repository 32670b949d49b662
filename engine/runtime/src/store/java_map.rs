//! Reads and writes a Java-serialised `HashMap<byte[], byte[]>`: the form of Connect's standalone
//! offset file (`FileOffsetBackingStore`; Java Object Serialization Specification, chapter 6).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// Key and value of an entry; a null value stands for "deleted". Both lie in the file's bytes: a
/// small file that repeats a large array by reference stays small.
pub(super) type Entry = (Bytes, Option<Bytes>);

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

/// How every stream begins.
const MAGIC: &[u8] = b"\xac\xed\x00\x05";

/// The class descriptor of `byte[]`.
const BYTE_ARRAY: &[u8] = b"\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00x\x70";

/// Objects are numbered from here on in the order they appear: the map's class, the map, then
/// `byte[]`'s class, then the arrays.
const FIRST_HANDLE: u32 = 0x7e_0000;
const BYTE_ARRAY_HANDLE: u32 = FIRST_HANDLE + 2;

/// Where the bytes stop making sense, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    position: usize,
    what: Cow<'static, str>,
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
/// Entries without a key, which nobody could look up, are left out.
pub(super) fn read(bytes: &Bytes) -> Result<Vec<Entry>, Damage> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut input = Input { bytes, position: 0, arrays: Vec::new(), described: false };
    input.header()?;
    input.take(8)?;
    input.expect(&[BLOCK_DATA, 8], "no map size")?;
    input.int()?;
    let size = input.int()?;
    let mut entries = Vec::new();
    for _ in 0..size {
        let (key, value) = (input.array()?, input.array()?);
        entries.extend(key.map(|key| (key, value)));
    }
    input.expect(&[END_BLOCK_DATA], "more entries than the map's size says")?;
    match input.position == bytes.len() {
        true => Ok(entries),
        false => Err(input.damage("bytes after the end of the map")),
    }
}

struct Input<'a> {
    bytes: &'a Bytes,
    position: usize,
    /// The arrays read so far, by handle: Java writes an identical object once.
    arrays: Vec<Bytes>,
    described: bool,
}

impl Input<'_> {
    fn damage(&self, what: impl Into<Cow<'static, str>>) -> Damage {
        Damage { position: self.position, what: what.into() }
    }

    fn too_short(&self) -> Damage {
        Damage { position: self.bytes.len(), what: "the file ends too early".into() }
    }

    fn take(&mut self, len: usize) -> Result<Bytes, Damage> {
        let end = self.position.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.too_short())?;
        let taken = self.bytes.slice(self.position..end);
        self.position = end;
        Ok(taken)
    }

    fn expect(
        &mut self,
        expected: &[u8],
        otherwise: impl Into<Cow<'static, str>>,
    ) -> Result<(), Damage> {
        let rest = &self.bytes[self.position..];
        if !rest.starts_with(expected) {
            let cut = expected.starts_with(rest);
            return Err(if cut { self.too_short() } else { self.damage(otherwise) });
        }
        self.take(expected.len()).map(drop)
    }

    fn header(&mut self) -> Result<(), Damage> {
        let otherwise = if self.bytes.starts_with(MAGIC) {
            match self.class() {
                Some(class) => format!("an object of class {class} instead of java.util.HashMap"),
                None => "something else than a java.util.HashMap".to_owned(),
            }
        } else {
            "not a file of Java-serialised objects".to_owned()
        };
        self.expect(HASH_MAP, otherwise)
    }

    /// The class of the stream's object.
    fn class(&self) -> Option<&str> {
        let rest = self.bytes[MAGIC.len()..].strip_prefix(&[OBJECT, CLASS_DESCRIPTOR])?;
        let (length, rest) = rest.split_first_chunk()?;
        let name = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        let name = std::str::from_utf8(name).ok()?;
        name.chars().all(|c| c.is_ascii_alphanumeric() || "._$".contains(c)).then_some(name)
    }

    fn int(&mut self) -> Result<usize, Damage> {
        let bytes = self.take(4)?;
        let bytes = bytes.as_ref().try_into().expect("four bytes were taken");
        usize::try_from(i32::from_be_bytes(bytes)).map_err(|_| self.damage("a negative length"))
    }

    fn array(&mut self) -> Result<Option<Bytes>, Damage> {
        let start = self.position;
        let damage = |what: &'static str| Damage { position: start, what: what.into() };
        match self.take(1)?[0] {
            NULL => Ok(None),
            REFERENCE => {
                let handle = self.int()?;
                let first = BYTE_ARRAY_HANDLE as usize + 1;
                let array = handle.checked_sub(first).and_then(|i| self.arrays.get(i));
                array.cloned().map(Some).ok_or_else(|| damage("a reference to no byte array"))
            }
            ARRAY => {
                self.array_class()?;
                let len = self.int()?;
                let array = self.take(len)?;
                self.arrays.push(array.clone());
                Ok(Some(array))
            }
            END_BLOCK_DATA => Err(damage("fewer entries than the map's size says")),
            _ => Err(damage("something else than a byte array")),
        }
    }

    fn array_class(&mut self) -> Result<(), Damage> {
        const OTHERWISE: &str = "an array of something else than bytes";
        if self.bytes.get(self.position) == Some(&CLASS_DESCRIPTOR) && !self.described {
            self.described = true;
            return self.expect(BYTE_ARRAY, OTHERWISE);
        }
        self.expect(&[REFERENCE], OTHERWISE)?;
        self.expect(&BYTE_ARRAY_HANDLE.to_be_bytes(), OTHERWISE)
    }
}

#[cfg(test)]
mod tests;
