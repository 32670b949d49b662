//! Decides where a frame begins and ends: four bytes of length, then so many bytes (the Kafka
//! protocol guide, "protocol primitives").

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::tls::AnswersInTls;

/// No answer is longer: a broker sends at most `fetch.max.bytes`, or one batch that is longer.
const LONGEST: usize = 1 << 30;

/// No answer to a request that sets up a connection is longer: the first bytes of something else
/// make a length that is.
const LONGEST_OF_SETUP: usize = 16 << 20;

/// Answers longer than this get their memory as they arrive: a length is not yet a frame.
const TRUSTED: usize = 64 << 20;

/// Frames of these lengths are read into memory that earlier ones had, once nobody holds those any
/// more: to have pages given back and made anew costs more than to read into them.
const LENDING: std::ops::RangeInclusive<usize> = 64 << 10..=4 << 20;

/// How many frames lend their memory: two are fetched ahead, and records of one are in hand.
const LENT: usize = 3;

/// What memory for frames is a multiple of, so that a somewhat longer one fits as well.
const STEP: usize = 256 << 10;

/// Reads frames from a stream. What was read of one stays when [`next`](Self::next) is dropped.
#[derive(Debug)]
pub(crate) struct FrameReader {
    longest: usize,
    prefix: [u8; 4],
    prefix_read: usize,
    body: BytesMut,
    /// Frames whose memory comes back.
    lent: Vec<Bytes>,
}

impl Default for FrameReader {
    fn default() -> Self {
        let (body, lent) = (BytesMut::new(), Vec::new());
        Self { longest: LONGEST, prefix: [0; 4], prefix_read: 0, body, lent }
    }
}

impl FrameReader {
    /// For an answer to a request that sets up a connection.
    pub(super) fn of_setup() -> Self {
        Self { longest: LONGEST_OF_SETUP, ..Self::default() }
    }

    /// The next frame, without its length. Cancel-safe.
    pub(crate) async fn next(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
        while self.prefix_read < self.prefix.len() {
            let read = from.read(&mut self.prefix[self.prefix_read..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.prefix_read += read;
        }
        let length = self.length()?;
        if self.body.capacity() == 0 {
            self.body = self.memory(length);
        }
        while self.body.len() < length {
            let left = length - self.body.len();
            let mut part = (&mut *from).take(left as u64);
            if part.read_buf(&mut self.body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.prefix_read = 0;
        let frame = std::mem::take(&mut self.body).freeze();
        if LENDING.contains(&length) && self.lent.len() < LENT {
            self.lent.push(frame.clone());
        }
        Ok(frame)
    }

    /// Memory for a frame. When short ones come there is not much to read, and none is kept.
    fn memory(&mut self, length: usize) -> BytesMut {
        if !LENDING.contains(&length) {
            self.lent.clear();
            return BytesMut::with_capacity(length.min(TRUSTED));
        }
        let free = self.lent.iter().position(Bytes::is_unique).map(|at| self.lent.swap_remove(at));
        if let Some(Ok(mut memory)) = free.map(Bytes::try_into_mut) {
            memory.clear();
            if memory.capacity() >= length {
                return memory;
            }
        }
        BytesMut::with_capacity(length.next_multiple_of(STEP))
    }

    fn length(&self) -> io::Result<usize> {
        let length = i32::from_be_bytes(self.prefix);
        match usize::try_from(length) {
            Ok(length) if length <= self.longest => Ok(length),
            _ if AnswersInTls::begins(self.prefix) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, AnswersInTls))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it announces an answer of {length} bytes, which is no Kafka answer"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_whole_whatever_pieces_arrive() {
        let mut bytes = Vec::new();
        for body in [&b"one"[..], b"", b"a longer third frame"] {
            bytes.extend((body.len() as i32).to_be_bytes());
            bytes.extend(body);
        }
        for size in 1..bytes.len() {
            let pieces: Vec<_> = bytes.chunks(size).collect();
            let mut mock = pieces.iter().fold(Vec::new(), |mut all, piece| {
                all.push(io::Cursor::new(piece.to_vec()));
                all
            });
            let mut reader = FrameReader::default();
            let mut chained: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
            for piece in mock.drain(..) {
                chained = Box::new(chained.chain(piece));
            }
            assert_eq!(reader.next(&mut chained).await.unwrap(), "one");
            assert_eq!(reader.next(&mut chained).await.unwrap(), "");
            assert_eq!(reader.next(&mut chained).await.unwrap(), "a longer third frame");
            let end = reader.next(&mut chained).await.unwrap_err();
            assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn memory_comes_back_when_nobody_holds_it() {
        let mut bytes = Vec::new();
        for length in [100_000, 120_000, 110_000, 90_000, 10] {
            bytes.extend(i32::to_be_bytes(length));
            bytes.resize(bytes.len() + length as usize, 7);
        }
        let mut bytes = io::Cursor::new(bytes);
        let mut reader = FrameReader::default();
        let first = reader.next(&mut bytes).await.unwrap();
        let of_first = first.as_ptr();
        let second = reader.next(&mut bytes).await.unwrap();
        assert_ne!(second.as_ptr(), of_first, "somebody holds it");
        let slice = first.slice(5..10);
        drop(first);
        let third = reader.next(&mut bytes).await.unwrap();
        assert_ne!(third.as_ptr(), of_first, "somebody holds a part of it");
        drop(slice);
        let fourth = reader.next(&mut bytes).await.unwrap();
        assert_eq!((fourth.as_ptr(), fourth.len()), (of_first, 90_000));
        assert!(fourth.iter().all(|byte| *byte == 7));
        assert_eq!(reader.next(&mut bytes).await.unwrap().len(), 10);
        assert!(reader.lent.is_empty(), "nothing is kept for short ones");
    }

    #[tokio::test]
    async fn lengths_that_cannot_be_are_refused() {
        for length in [-1, i32::MIN, i32::MAX] {
            let mut bytes = io::Cursor::new(length.to_be_bytes());
            let error = FrameReader::default().next(&mut bytes).await.unwrap_err();
            assert!(error.to_string().contains(&length.to_string()), "{error}");
        }
    }
}
