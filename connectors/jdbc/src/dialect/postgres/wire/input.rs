//! Holds what was received and cuts it into messages, without copying them.

use std::ops::Range;

use super::message::broken;

/// What was received and not taken yet.
///
/// Invariant: `start..end` lies within `bytes`.
#[derive(Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// How much was received since the mark.
    since_mark: usize,
}

/// The kind of a message and its length, which counts itself.
const HEADER: usize = 5;
/// What a session has for small answers.
const LITTLE: usize = 16 << 10;
/// What it reads at once, of much.
const MUCH: usize = 256 << 10;

impl Input {
    /// Bytes of a message that was taken last.
    #[inline]
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// All bytes, until more are received.
    #[inline]
    pub(super) fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes are there.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Counts anew.
    pub(super) fn mark(&mut self) {
        self.since_mark = 0;
    }

    /// How many bytes were received since the mark.
    pub(super) fn since_mark(&self) -> usize {
        self.since_mark
    }

    /// The kind of the next message and its whole length, if that much is there.
    #[inline]
    pub(super) fn peek(&self) -> sqlx::Result<Option<(u8, usize)>> {
        let Some(header) = self.bytes[self.start..self.end].first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [kind, length @ ..] = *header;
        // The kind is not counted.
        match usize::try_from(i32::from_be_bytes(length)) {
            Ok(length) if length >= HEADER - 1 => Ok(Some((kind, length + 1))),
            _ => Err(broken("a message has no length")),
        }
    }

    /// The next message, if all of it is there: its kind, and where its body lies until more is
    /// received.
    pub(super) fn take(&mut self) -> sqlx::Result<Option<(u8, Range<usize>)>> {
        match self.peek()? {
            Some((kind, length)) if length <= self.len() => Ok(Some((kind, self.pass(length)))),
            _ => Ok(None),
        }
    }

    /// The same if it is of that kind.
    #[inline]
    pub(super) fn take_if(&mut self, wanted: u8) -> Option<Range<usize>> {
        match self.peek() {
            Ok(Some((kind, length))) if kind == wanted && length <= self.len() => {
                Some(self.pass(length))
            }
            _ => None,
        }
    }

    #[inline]
    fn pass(&mut self, length: usize) -> Range<usize> {
        let body = self.start + HEADER..self.start + length;
        self.start += length;
        body
    }

    /// Where to receive more. It grows by as much as there is already, once most of it is full:
    /// memory follows what comes, not what is announced, and what came is seldom moved.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let there = self.len();
        if there == 0 {
            (self.start, self.end) = (0, 0);
        }
        let least = match self.since_mark {
            0..LITTLE => LITTLE,
            _ => MUCH,
        };
        let announced = self.peek().ok().flatten().map_or(0, |(_, length)| length);
        let wanted = least.max(announced.min(2 * there));
        let size = self.bytes.len();
        let is_too_short = size < least || (size < announced && there > size / 4 * 3);
        // What one long message needed is not held for ever.
        let is_too_long = size > 4 * wanted;
        if is_too_short || is_too_long {
            let mut bytes = vec![0; wanted];
            bytes[..there].copy_from_slice(&self.bytes[self.start..self.end]);
            (self.bytes, self.start, self.end) = (bytes, 0, there);
        } else if self.start > 0 && self.end + wanted / 2 > size {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, there);
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were received there.
    pub(super) fn received(&mut self, count: usize) {
        self.end += count;
        self.since_mark += count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receive(input: &mut Input, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = input.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            input.received(count);
            bytes = &bytes[count..];
        }
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn lengths_that_are_none() {
        for length in [0u32, 3, u32::MAX, 1 << 31] {
            let mut input = Input::default();
            receive(&mut input, &[&b"d"[..], &length.to_be_bytes()].concat());
            assert!(input.take().is_err(), "{length}");
            assert_eq!(input.take_if(b'd'), None, "{length}");
        }
    }

    #[test]
    fn memory_follows_what_comes() {
        let mut input = Input::default();
        receive(&mut input, &[&b"d"[..], &i32::MAX.to_be_bytes(), &[7; 100]].concat());
        assert_eq!(input.take().unwrap(), None);
        assert!(input.room().len() < 1 << 20);
        let mut input = Input::default();
        receive(&mut input, &message(b'd', &vec![7; 40 << 20]));
        assert!(input.bytes.len() <= 41 << 20);
        assert_eq!(input.take().unwrap().unwrap().1.len(), 40 << 20);
        input.room();
        assert!(input.bytes.len() <= MUCH, "it is given back");
    }

    #[test]
    fn a_long_message_is_seldom_moved_however_it_comes() {
        let long = message(b'd', &vec![7; 40 << 20]);
        let mut input = Input::default();
        let mut growths = 0;
        for part in long.chunks(8 << 10) {
            let size = input.bytes.len();
            let room = input.room();
            room[..part.len()].copy_from_slice(part);
            growths += usize::from(input.bytes.len() != size);
            input.received(part.len());
        }
        assert!(growths < 24, "{growths}");
        assert_eq!(input.take().unwrap().unwrap().1.len(), 40 << 20);
    }

    proptest! {
        #[test]
        fn messages_are_the_same_wherever_they_are_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..60),
            step in 1usize..20_000,
        ) {
            let all: Vec<u8> = bodies.iter().flat_map(|body| message(b'd', body)).collect();
            let mut input = Input::default();
            let mut found = Vec::new();
            for chunk in all.chunks(step) {
                receive(&mut input, chunk);
                while let Some((kind, body)) = input.take().unwrap() {
                    prop_assert_eq!(kind, b'd');
                    found.push(input.bytes(body).to_vec());
                }
            }
            prop_assert_eq!(found, bodies);
            prop_assert_eq!(input.len(), 0);
        }

        #[test]
        fn no_bytes_are_too_bad(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut input = Input::default();
            receive(&mut input, &bytes);
            while let Ok(Some((_, body))) = input.take() {
                input.bytes(body);
            }
            prop_assert!(input.room().len() < 1 << 20);
        }
    }
}
