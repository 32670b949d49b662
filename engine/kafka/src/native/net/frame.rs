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

/// Reads frames from a stream. What was read of one stays when [`next`](Self::next) is dropped.
#[derive(Debug)]
pub(crate) struct FrameReader {
    longest: usize,
    prefix: [u8; 4],
    prefix_read: usize,
    body: BytesMut,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self { longest: LONGEST, prefix: [0; 4], prefix_read: 0, body: BytesMut::new() }
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
        if self.body.is_empty() {
            self.body.reserve(length.min(TRUSTED));
        }
        while self.body.len() < length {
            let left = length - self.body.len();
            let mut part = (&mut *from).take(left as u64);
            if part.read_buf(&mut self.body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.prefix_read = 0;
        Ok(std::mem::take(&mut self.body).freeze())
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
    async fn lengths_that_cannot_be_are_refused() {
        for length in [-1, i32::MIN, i32::MAX] {
            let mut bytes = io::Cursor::new(length.to_be_bytes());
            let error = FrameReader::default().next(&mut bytes).await.unwrap_err();
            assert!(error.to_string().contains(&length.to_string()), "{error}");
        }
    }
}
