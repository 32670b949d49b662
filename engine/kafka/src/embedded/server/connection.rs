//! Decides how requests come out of a connection and answers go into it: one after the other, as
//! Kafka's brokers do, with a bound on everything a client can make the server hold.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::api::{self, Malformed};
use super::{Client, ServerSettings};

/// The most bytes of a request without records.
const MAX_REQUEST_BYTES: usize = 8 << 20;
/// How much is read at once, and read ahead while a request is being answered.
const READ_BYTES: usize = 128 << 10;
/// How long a client may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The bytes before a frame's content.
const LENGTH: usize = 4;
/// How a client begins that speaks TLS: a record of its handshake. As a length it is far too long.
const TLS_HELLO: [u8; 2] = [0x16, 0x03];
/// Those that say which request it is.
const API_KEY: usize = 2;

/// A client's connection.
pub(super) struct Connection<S> {
    stream: S,
    client: Client,
    settings: Arc<ServerSettings>,
    read: BytesMut,
}

/// Why a connection ends.
enum End {
    /// The client closed it.
    Closed,
    Idle,
    /// The client does not read.
    Slow,
    Failed(io::Error),
    /// The client speaks TLS.
    Encrypted,
    Malformed(Malformed),
}

impl End {
    /// Only what somebody should look into is told in a log that nobody asked for more, and not
    /// each time that a client comes back with it.
    fn tell(&self, client: &Client) {
        let peer = &client.peer;
        let (is_usual, why) = match self {
            Self::Encrypted => {
                let why = "it speaks TLS, and this port does not: set its security.protocol to \
                           PLAINTEXT";
                (!client.encrypted.is_news(), why.to_owned())
            }
            Self::Slow => (false, "it does not read its answer".to_owned()),
            Self::Malformed(malformed) => (false, format!("a request cannot be read: {malformed}")),
            Self::Closed => (true, "it has closed it".to_owned()),
            Self::Idle => (true, "it was idle".to_owned()),
            Self::Failed(error) => (true, error.to_string()),
        };
        if is_usual {
            tracing::debug!(peer, why, "a client's connection is closed");
        } else {
            tracing::warn!(peer, why, "a client's connection is closed");
        }
    }
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, client: Client, settings: Arc<ServerSettings>) -> Self {
        Self { stream, client, settings, read: BytesMut::new() }
    }

    /// Answers requests until the connection ends.
    pub(super) async fn run(mut self) {
        let end = loop {
            match self.exchange().await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        end.tell(&self.client);
        // Says goodbye to streams that distinguish an end from an accident.
        let _ = timeout(WRITE_TIMEOUT, self.stream.shutdown()).await;
    }

    /// One request, one answer.
    async fn exchange(&mut self) -> Result<(), End> {
        let frame = match timeout(self.settings.max_idle, self.frame()).await {
            Ok(frame) => frame?,
            Err(_) => return Err(End::Idle),
        };
        let Some(answer) = self.answer(frame).await? else {
            return Ok(());
        };
        match timeout(WRITE_TIMEOUT, self.write(&answer)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(End::Slow),
        }
    }

    async fn write(&mut self, answer: &[u8]) -> io::Result<()> {
        self.stream.write_all(answer).await?;
        self.stream.flush().await
    }

    /// The next request, without its length.
    async fn frame(&mut self) -> Result<Bytes, End> {
        loop {
            let wanted = match self.read.first_chunk::<LENGTH>() {
                None => LENGTH,
                Some(length) if length.starts_with(&TLS_HELLO) => return Err(End::Encrypted),
                Some(length) => LENGTH + self.checked_length(i32::from_be_bytes(*length))?,
            };
            if wanted > LENGTH && self.read.len() >= wanted {
                let mut frame = self.read.split_to(wanted).freeze();
                frame.advance(LENGTH);
                return Ok(frame);
            }
            // As much as has come, and some more: a length alone reserves nothing.
            self.read.reserve(READ_BYTES.min(wanted.max(LENGTH)).max(READ_BYTES / 8));
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(match self.read.is_empty() {
                    true => End::Closed,
                    false => Malformed::new("it is cut off").into(),
                });
            }
        }
    }

    /// Only requests with records may be long.
    fn checked_length(&self, length: i32) -> Result<usize, Malformed> {
        let most = match self.read.get(LENGTH..LENGTH + API_KEY) {
            Some(key) if key == (ApiKey::Produce as i16).to_be_bytes() => {
                self.settings.max_request_bytes
            }
            Some(_) => MAX_REQUEST_BYTES,
            None => self.settings.max_request_bytes,
        };
        match usize::try_from(length) {
            Ok(length) if (api::SHORTEST_HEADER..=most).contains(&length) => Ok(length),
            _ => Err(Malformed::new(format!("its length is {length}, and {most} at most"))),
        }
    }

    /// Answers a request. Some are answered late on purpose: a client that goes away meanwhile
    /// waits no more.
    async fn answer(&mut self, frame: Bytes) -> Result<Option<BytesMut>, End> {
        let Self { stream, client, read, .. } = self;
        let mut answer = std::pin::pin!(api::answer(client, frame));
        loop {
            if read.len() >= READ_BYTES {
                return Ok(answer.await?);
            }
            read.reserve(READ_BYTES / 8);
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer?),
                more = stream.read_buf(read) => if more? == 0 {
                    return Err(End::Closed);
                },
            }
        }
    }
}
