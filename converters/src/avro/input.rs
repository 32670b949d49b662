//! Reads Avro's binary encoding from a payload that nobody vouches for.

use crate::avro::stop::{Stop, fault};
use crate::varint::from_zigzag;

/// How many items that take no bytes a row may have: a few bytes can claim any number of them.
const MAX_EMPTY_ITEMS: usize = 1 << 16;

/// What is left of a payload.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
    empty_items: usize,
    room: usize,
}

impl<'a> Input<'a> {
    /// A payload that may become so many cells or values.
    pub(crate) fn new(payload: &'a [u8], room: usize) -> Self {
        Self { rest: payload, empty_items: 0, room }
    }

    /// How many more it may become.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Takes room for so many cells or values; none when there is not as much.
    #[inline]
    pub(crate) fn take_room(&mut self, cells: usize) -> Option<()> {
        self.room = self.room.checked_sub(cells)?;
        Some(())
    }

    /// Fails when something is left.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), Box<Stop>> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(fault("the payload goes on after its value: was it written with another schema?"))
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Box<Stop>> {
        if let [first @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(from_zigzag(u64::from(*first)));
        }
        self.long_of_many()
    }

    fn long_of_many(&mut self) -> Result<i64, Box<Stop>> {
        let mut number = 0_u64;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                if i == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[i + 1..];
                return Ok(from_zigzag(number));
            }
        }
        Err(if self.rest.len() < 10 { ended() } else { fault("a number is longer than 64 bits") })
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Box<Stop>> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| fault("an int is longer than 32 bits"))
    }

    #[inline]
    pub(crate) fn boolean(&mut self) -> Result<bool, Box<Stop>> {
        let [byte] = self.array()?;
        match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(fault("a boolean is neither 0 nor 1")),
        }
    }

    #[inline]
    pub(crate) fn float(&mut self) -> Result<f32, Box<Stop>> {
        self.array().map(f32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn double(&mut self) -> Result<f64, Box<Stop>> {
        self.array().map(f64::from_le_bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Box<Stop>> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(ended)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// So many bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Box<Stop>> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(ended)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Bytes with their length before them.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Box<Stop>> {
        let len = self.long()?;
        match usize::try_from(len) {
            Ok(len) => self.take(len),
            Err(_) => Err(fault("a length is negative")),
        }
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Box<Stop>> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| fault("a string is not UTF-8"))
    }

    /// How many items follow in the next block of an array or map; 0 at its end. Each takes at least
    /// so many bytes.
    #[inline]
    pub(crate) fn block(&mut self, bytes_an_item: usize) -> Result<usize, Box<Stop>> {
        let mut count = self.long()?;
        if count < 0 {
            // How many bytes they are: for those who want to skip them, and Java believes it not.
            self.long()?;
            count = count.checked_neg().ok_or_else(too_many)?;
        }
        let count = usize::try_from(count).map_err(|_| too_many())?;
        match self.rest.len().checked_div(bytes_an_item) {
            Some(most) if count > most => return Err(too_many()),
            Some(_) => {}
            None => {
                self.empty_items = self.empty_items.saturating_add(count);
                if self.empty_items > MAX_EMPTY_ITEMS {
                    return Err(fault("an array has more than 65536 items without content"));
                }
            }
        }
        Ok(count)
    }
}

#[cold]
fn ended() -> Box<Stop> {
    fault("the payload ends within a value")
}

#[cold]
fn too_many() -> Box<Stop> {
    fault("an array or map claims more items than its payload has bytes")
}
