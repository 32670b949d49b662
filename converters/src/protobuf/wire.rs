//! Protobuf's binary encoding: numbers, tags, lengths, and what stands between them.

use crate::json::Fault;
use crate::varint::{append_varint, from_zigzag};

type Result<T> = std::result::Result<T, Fault>;

/// How deep groups of unknown fields may nest.
const MAX_GROUPS: usize = 100;

/// A value as it stands in a message, before its type is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// What is left of a message.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not taken yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() < 10 {
            truncated()
        } else {
            Fault::new("a number takes more than ten bytes")
        })
    }

    /// A signed number whose sign is its lowest bit.
    pub(crate) fn zigzag(&mut self) -> Result<i64> {
        self.varint().map(from_zigzag)
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| truncated())?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next field; groups, which nobody writes any more, are passed over.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Raw<'a>)>> {
        while !self.rest.is_empty() {
            let (number, kind) = self.tag()?;
            let raw = match kind {
                0 => Raw::Varint(self.varint()?),
                1 => Raw::Fixed64(self.fixed64()?),
                2 => Raw::Bytes(self.bytes()?),
                5 => Raw::Fixed32(self.fixed32()?),
                3 => {
                    self.skip_group(number)?;
                    continue;
                }
                4 => return Err(Fault::new("a group ends that has not begun")),
                _ => return Err(Fault::new(format!("no wire type is {kind}"))),
            };
            return Ok(Some((number, raw)));
        }
        Ok(None)
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u32)> {
        let tag = u32::try_from(self.varint()?).map_err(|_| Fault::new("a tag is too large"))?;
        match tag >> 3 {
            0 => Err(Fault::new("no field has the number 0")),
            number => Ok((number, tag & 7)),
        }
    }

    fn skip_group(&mut self, number: u32) -> Result<()> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            match self.tag()? {
                (_, 0) => self.varint().map(drop)?,
                (_, 1) => self.fixed64().map(drop)?,
                (_, 2) => self.bytes().map(drop)?,
                (_, 5) => self.fixed32().map(drop)?,
                (_, 3) if open.len() == MAX_GROUPS => {
                    return Err(Fault::new("groups are nested too deeply"));
                }
                (number, 3) => open.push(number),
                (number, 4) if number == innermost => drop(open.pop()),
                (_, 4) => return Err(Fault::new("a group ends that has not begun")),
                (_, kind) => return Err(Fault::new(format!("no wire type is {kind}"))),
            }
        }
        Ok(())
    }
}

#[cold]
pub(crate) fn truncated() -> Fault {
    Fault::new("message ends within a field")
}

/// Appends bytes with their length before them.
#[inline]
pub(crate) fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    append_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes the length of what was appended from there on before it.
pub(crate) fn insert_length(start: usize, out: &mut Vec<u8>) {
    let length = out.len() - start;
    let mut bytes = Vec::with_capacity(10);
    append_varint(length as u64, &mut bytes);
    out.extend_from_slice(&bytes);
    out[start..].rotate_right(bytes.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            append_varint(number, &mut out);
            assert_eq!(Input::new(&out).varint().unwrap(), number);
            assert!(Input::new(&out[..out.len() - 1]).varint().is_err());
        }
        assert!(Input::new(&[0xff; 11]).varint().is_err());
    }

    #[test]
    fn lengths_are_put_before_what_they_count() {
        let mut out = vec![9];
        out.extend([7; 200]);
        insert_length(1, &mut out);
        assert_eq!(out[..4], [9, 200, 1, 7]);
        assert_eq!(out.len(), 203);
    }

    #[test]
    fn groups_are_passed_over() {
        let group = [0x0b, 0x10, 0x01, 0x13, 0x14, 0x0c, 0x18, 0x05];
        assert_eq!(Input::new(&group).field().unwrap(), Some((3, Raw::Varint(5))));
        assert!(Input::new(&[0x0b, 0x14]).field().is_err());
        assert!(Input::new(&[0x0b; 10_000]).field().is_err());
        assert!(Input::new(&[0x0c]).field().is_err());
        assert!(Input::new(&[0x00]).field().is_err());
        assert!(Input::new(&[0x0f]).field().is_err());
    }
}
