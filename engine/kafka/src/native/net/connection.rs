//! Decides how requests share one connection: any number are on their way at once, answers come in
//! the order of the requests, and one that comes too late ends the connection.
//!
//! A connection is a task on the client's I/O runtime that writes and reads; callers hand it
//! encoded requests and wait for bytes, which they decode themselves.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::frame::FrameReader;
use super::reauthentication::{self, Session};
use super::sasl::{self, Asking, Sasl};
use super::{ApiVersions, BoxedStream, tls};
use crate::guard;
use crate::lock::lock;
use crate::native::error::{Failure, FailureKind};

/// How many requests wait for the socket before callers do.
const QUEUE: usize = 16;

/// What a connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    /// `client.id`
    pub(crate) client_id: String,
    /// `request.timeout.ms`: how long a request waits for its answer unless it says otherwise.
    pub(crate) request_timeout: Duration,
    /// `connections.max.idle.ms`; none: never.
    pub(crate) max_idle: Option<Duration>,
    /// How the client proves who it is, if brokers ask.
    pub(crate) sasl: Option<Sasl>,
}

/// A connection to one broker, ready for requests. Dropping it closes it, once what was asked is
/// answered or nobody waits any more.
pub(crate) struct Connection {
    frames: mpsc::Sender<Frame>,
    /// Held while a request is handed over: who holds it longer keeps others from asking.
    gate: Arc<AsyncMutex<()>>,
    versions: ApiVersions,
    settings: ConnectionSettings,
    broker: String,
    next_id: AtomicI32,
    shared: Arc<Shared>,
}

/// What the connection and its task both look at.
#[derive(Debug)]
struct Shared {
    /// Requests that were written or are being written, oldest first.
    in_flight: Mutex<VecDeque<InFlight>>,
    /// Rung when a request is written or answered, for the writer and the reader: both are in one
    /// task, so that whoever of them waits hears it.
    asked: Notify,
    /// Why it is closed.
    closed: OnceLock<Failure>,
    /// Until when the broker wants to hear nothing (KIP-219).
    throttled: Mutex<Option<Instant>>,
    /// When a request was last written or answered; to prove again who the client is is no use.
    last_used: Mutex<Instant>,
    /// Whether the broker has answered anything since the connection was set up.
    has_answered: AtomicBool,
}

#[derive(Debug)]
struct InFlight {
    correlation_id: i32,
    deadline: Instant,
    reply: oneshot::Sender<Bytes>,
}

/// A request as it goes to the socket.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its length, header and body, up to the first piece.
    pub(super) head: Bytes,
    /// What follows, each piece uncopied.
    pub(super) pieces: Vec<Bytes>,
    /// None: the broker will not answer (`acks=0`).
    pub(super) in_flight: Option<(i32, Duration, oneshot::Sender<Bytes>)>,
}

/// A request on its way. Dropping it loses only the answer.
pub(crate) struct Pending<R> {
    answer: oneshot::Receiver<Bytes>,
    shared: Arc<Shared>,
    broker: String,
    version: i16,
    response: PhantomData<fn() -> R>,
}

impl<R: Decodable + HeaderVersion> Pending<R> {
    /// Waits for the answer. Cancel-safe: the request goes its way.
    pub(crate) async fn response(self) -> Result<R, Failure> {
        let answer = self.answer.await;
        let decoded = match answer {
            Ok(mut bytes) => decode(&mut bytes, self.version),
            Err(_) => Err(self.shared.why_closed()),
        };
        decoded.map_err(|failure| failure.of_broker(&self.broker))
    }
}

impl Connection {
    /// Makes a fresh stream ready for requests: agrees on versions, says who the client is, then
    /// starts the task that owns the stream on `io`. `setup_timeout` bounds what the broker does of
    /// it.
    pub(crate) async fn open(
        mut stream: BoxedStream,
        broker: String,
        settings: ConnectionSettings,
        setup_timeout: Duration,
        io: &Handle,
    ) -> Result<Self, Failure> {
        let setup = set_up(&mut stream, &settings, setup_timeout).await;
        let (versions, lifetime) = setup.map_err(|failure| failure.of_broker(&broker))?;
        let session = settings.sasl.clone().zip(lifetime).map(|(sasl, lifetime)| Session {
            sasl,
            lifetime,
            versions: versions.clone(),
            settings: settings.clone(),
        });
        let (frames, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::new());
        let (gate, next_id) = (Arc::new(AsyncMutex::new(())), AtomicI32::new(OF_SETUP + 1));
        let authenticating = reauthentication::keep(session, frames.downgrade(), gate.clone());
        let limits = (settings.request_timeout, settings.max_idle);
        io.spawn(run(stream, queue, shared.clone(), limits, authenticating));
        Ok(Self { frames, gate, versions, settings, broker, next_id, shared })
    }

    /// What the broker speaks.
    pub(crate) fn versions(&self) -> &ApiVersions {
        &self.versions
    }

    /// The broker's address, as errors name it.
    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    /// Whether it can take no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.get().is_some() || self.frames.is_closed()
    }

    /// Whether the broker has answered anything since it was opened.
    pub(crate) fn has_answered(&self) -> bool {
        self.shared.has_answered.load(Ordering::Relaxed)
    }

    /// How many requests have no answer yet.
    #[cfg(test)]
    pub(crate) fn unanswered(&self) -> usize {
        lock(&self.shared.in_flight).len()
    }

    /// Keeps requests back for so long, as a broker that throttles us asks.
    pub(crate) fn throttle(&self, millis: i32) {
        if let Some(millis) = u64::try_from(millis).ok().filter(|millis| *millis > 0) {
            let until = Instant::now() + Duration::from_millis(millis);
            let mut throttled = lock(&self.shared.throttled);
            *throttled = Some(throttled.map_or(until, |before| before.max(until)));
        }
    }

    /// Asks, and waits for the answer `request.timeout.ms` at most. `build` makes the request for
    /// the version both sides speak.
    pub(crate) async fn call<R: Request>(
        &self,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, Failure> {
        self.call_within(self.settings.request_timeout, build).await
    }

    /// The same with a time of its own.
    pub(crate) async fn call_within<R: Request>(
        &self,
        longest: Duration,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, Failure> {
        self.start(longest, build).await?.response().await
    }

    /// Hands a request over and returns before its answer: requests are written in the order in
    /// which this is called.
    pub(crate) async fn start<R: Request>(
        &self,
        longest: Duration,
        build: impl FnOnce(i16) -> R,
    ) -> Result<Pending<R::Response>, Failure> {
        let version = self.version_of::<R>()?;
        let mut body = BytesMut::new();
        build(version)
            .encode(&mut body, version)
            .map_err(|e| self.unencodable::<R>(version, &e))?;
        self.start_encoded::<R>(longest, version, vec![body.freeze()]).await
    }

    /// The version in which a request is to be encoded for [`start_encoded`](Self::start_encoded).
    pub(crate) fn version_of<R: Request>(&self) -> Result<i16, Failure> {
        self.versions.of::<R>().map_err(|failure| failure.of_broker(&self.broker))
    }

    /// Hands over a request whose body is encoded already; the pieces are written one after the
    /// other and not copied.
    pub(crate) async fn start_encoded<R: Request>(
        &self,
        longest: Duration,
        version: i16,
        body: Vec<Bytes>,
    ) -> Result<Pending<R::Response>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.hand_over::<R>(version, body, Some((longest, reply))).await?;
        let (shared, broker) = (self.shared.clone(), self.broker.clone());
        Ok(Pending { answer, shared, broker, version, response: PhantomData })
    }

    /// Hands over a request that the broker does not answer (`acks=0`).
    pub(crate) async fn send_unanswered<R: Request>(
        &self,
        version: i16,
        body: Vec<Bytes>,
    ) -> Result<(), Failure> {
        self.hand_over::<R>(version, body, None).await
    }

    async fn hand_over<R: Request>(
        &self,
        version: i16,
        body: Vec<Bytes>,
        reply: Option<(Duration, oneshot::Sender<Bytes>)>,
    ) -> Result<(), Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let head = head::<R>(&self.settings.client_id, id, version, &body)
            .map_err(|e| self.unencodable::<R>(version, &e))?;
        let in_flight = reply.map(|(longest, reply)| (id, longest, reply));
        let open = self.gate.lock().await;
        let sent = self.frames.send(Frame { head, pieces: body, in_flight }).await;
        drop(open);
        sent.map_err(|_| self.shared.why_closed().of_broker(&self.broker))
    }

    fn unencodable<R: Request>(&self, version: i16, why: &dyn fmt::Display) -> Failure {
        let why = format!("request {} cannot be written in version {version}: {why}", R::KEY);
        Failure::new(FailureKind::Unsupported, why).of_broker(&self.broker)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Connection");
        shown.field("broker", &self.broker).field("closed", &self.shared.closed.get());
        shown.finish_non_exhaustive()
    }
}

impl Shared {
    fn new() -> Self {
        let (in_flight, asked, closed, throttled, has_answered) = Default::default();
        let last_used = Mutex::new(Instant::now());
        Self { in_flight, asked, closed, throttled, last_used, has_answered }
    }

    fn is_used(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    fn last_used(&self) -> Instant {
        *lock(&self.last_used)
    }

    fn close(&self, why: Failure) {
        // The first reason is the true one.
        let _ = self.closed.set(why);
        lock(&self.in_flight).clear();
    }

    /// Why an answer could not be read.
    fn why_broken(&self, error: &std::io::Error) -> Failure {
        let is_end = error.kind() == std::io::ErrorKind::UnexpectedEof;
        if is_end && !self.has_answered.load(Ordering::Relaxed) {
            // Kafka closes connections of clients that do not say who they are, without a word.
            return Failure::new(
                FailureKind::Disconnected,
                "it has closed the connection in place of an answer: does its listener want SASL? \
                 See security.protocol",
            );
        }
        tls::failure(error)
    }

    fn why_closed(&self) -> Failure {
        let lost = || Failure::new(FailureKind::Disconnected, "the connection was closed");
        self.closed.get().cloned().unwrap_or_else(lost)
    }
}

/// The id of requests that set up or keep up a connection.
pub(super) const OF_SETUP: i32 = 0;

/// The length of a request and its header.
pub(super) fn head<R: Request>(
    client_id: &str,
    correlation_id: i32,
    version: i16,
    body: &[Bytes],
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut head = BytesMut::new();
    head.put_i32(0);
    header.encode(&mut head, R::header_version(version))?;
    let length = head.len() - 4 + body.iter().map(Bytes::len).sum::<usize>();
    let length = i32::try_from(length)?;
    head[..4].copy_from_slice(&length.to_be_bytes());
    Ok(head.freeze())
}

/// Reads an answer's header and body; the correlation id was checked.
pub(super) fn decode<R: Decodable + HeaderVersion>(
    bytes: &mut Bytes,
    version: i16,
) -> Result<R, Failure> {
    // It has no counts that memory is reserved for, and an id that is as large as one may be.
    let decoded = ResponseHeader::decode(bytes, R::header_version(version))
        .map_err(|e| e.to_string())
        .and_then(|_| guard::decode(bytes, version));
    match decoded {
        Ok(response) if !bytes.has_remaining() => Ok(response),
        Ok(_) => Err(corrupt(format!("{} bytes are left over after it", bytes.remaining()))),
        Err(why) => Err(corrupt(why)),
    }
}

fn corrupt(why: String) -> Failure {
    Failure::new(FailureKind::Corrupt, format!("its answer cannot be read: {why}"))
}

/// One request and its answer on a stream that nobody else uses yet.
async fn exchange<R: Request>(
    stream: &mut BoxedStream,
    client_id: &str,
    version: i16,
    request: &R,
) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).map_err(|e| corrupt(e.to_string()))?;
    let body = body.freeze();
    let head = head::<R>(client_id, OF_SETUP, version, std::slice::from_ref(&body));
    let head = head.map_err(|e| corrupt(e.to_string()))?;
    let lost = |e: std::io::Error| tls::failure(&e);
    stream.write_all(&[head, body].concat()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    FrameReader::of_setup().next(stream).await.map_err(lost)
}

/// Agrees on versions, and says who the client is. Returns how long the broker believes it.
async fn set_up(
    stream: &mut BoxedStream,
    settings: &ConnectionSettings,
    longest: Duration,
) -> Result<(ApiVersions, Option<Duration>), Failure> {
    let late = |what: &'static str| move |_| Failure::new(FailureKind::TimedOut, what);
    let versions = timeout(longest, negotiate(stream, &settings.client_id));
    let versions = versions
        .await
        .map_err(late("it accepts connections, but does not answer: is it a Kafka broker?"))??;
    let Some(sasl) = &settings.sasl else {
        return Ok((versions, None));
    };
    // A token may have to be fetched first, which has time-outs of its own.
    let exchange = sasl.exchange().await.map_err(|error| sasl::failure(&error))?;
    let mut asking = Alone { stream, client_id: &settings.client_id };
    let proof = sasl::authenticate(&mut asking, &versions, sasl.mechanism(), exchange);
    let lifetime = timeout(longest, proof).await;
    let lifetime =
        lifetime.map_err(late("it does not say in time whether it knows the client"))??;
    Ok((versions, lifetime))
}

/// Requests on a stream that nobody else uses yet.
struct Alone<'a> {
    stream: &'a mut BoxedStream,
    client_id: &'a str,
}

impl Asking for Alone<'_> {
    async fn ask<R>(&mut self, version: i16, request: R) -> Result<R::Response, Failure>
    where
        R: Request + Send + Sync + 'static,
    {
        let mut answer = exchange(self.stream, self.client_id, version, &request).await?;
        decode::<R::Response>(&mut answer, version)
    }
}

/// Asks which versions a broker speaks. One that is too old for the question says so in the oldest
/// version's words (KIP-511).
async fn negotiate(stream: &mut BoxedStream, client_id: &str) -> Result<ApiVersions, Failure> {
    const UNSUPPORTED_VERSION: i16 = 35;
    const NEW: i16 = 3;
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("millrace"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let mut answer = exchange(stream, client_id, NEW, &request).await?;
    let code = answer.get(4..6).map(|code| i16::from_be_bytes([code[0], code[1]]));
    let answer = if code == Some(UNSUPPORTED_VERSION) {
        let mut answer = exchange(stream, client_id, 0, &ApiVersionsRequest::default()).await?;
        decode::<ApiVersionsResponse>(&mut answer, 0)?
    } else {
        decode::<ApiVersionsResponse>(&mut answer, NEW)?
    };
    match answer.error_code {
        0 => Ok(ApiVersions::new(&answer)),
        code => Err(corrupt(format!("error {code} to a question for versions"))),
    }
}

/// Owns the stream until it breaks, is idle for too long, or nobody needs it any more.
async fn run(
    stream: BoxedStream,
    mut queue: mpsc::Receiver<Frame>,
    shared: Arc<Shared>,
    (request_timeout, max_idle): (Duration, Option<Duration>),
    authenticating: impl Future<Output = Failure>,
) {
    let (from, to) = split(stream);
    let why = tokio::select! {
        why = authenticating => why,
        why = write_requests(to, &mut queue, request_timeout, &shared) => why,
        why = read_answers(from, &shared, max_idle) => why,
    };
    // Before the queue is dropped: who waits for it hears why.
    shared.close(why);
}

async fn write_requests(
    mut to: impl AsyncWrite + Unpin,
    queue: &mut mpsc::Receiver<Frame>,
    longest: Duration,
    shared: &Shared,
) -> Failure {
    while let Some(frame) = queue.recv().await {
        let throttled = lock(&shared.throttled).take();
        if let Some(until) = throttled {
            sleep_until(until).await;
        }
        let is_of_setup = matches!(frame.in_flight, Some((OF_SETUP, ..)));
        if !is_of_setup {
            shared.is_used();
        }
        if let Some((correlation_id, longest, reply)) = frame.in_flight {
            let deadline = Instant::now() + longest;
            lock(&shared.in_flight).push_back(InFlight { correlation_id, deadline, reply });
        }
        shared.asked.notify_one();
        let mut pieces: Vec<_> = [frame.head].into_iter().chain(frame.pieces).collect();
        match timeout(longest, write_all(&mut to, &mut pieces)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return tls::failure(&e),
            Err(_) => {
                return Failure::new(FailureKind::TimedOut, "it has not taken a request in time");
            }
        }
    }
    // Nobody will ask again. What was asked may still be answered.
    while !lock(&shared.in_flight).is_empty() {
        shared.asked.notified().await;
    }
    let _ = to.shutdown().await;
    Failure::new(FailureKind::Disconnected, "the client has closed the connection")
}

/// Writes all pieces, as many a system call as the socket takes.
async fn write_all(
    to: &mut (impl AsyncWrite + Unpin),
    pieces: &mut [Bytes],
) -> std::io::Result<()> {
    const AT_ONCE: usize = 64;
    let mut rest = pieces;
    loop {
        let written_off = rest.iter().take_while(|piece| piece.is_empty()).count();
        rest = &mut rest[written_off..];
        if rest.is_empty() {
            return to.flush().await;
        }
        let slices: Vec<_> = rest.iter().take(AT_ONCE).map(|p| std::io::IoSlice::new(p)).collect();
        let mut written = to.write_vectored(&slices).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        for piece in rest.iter_mut() {
            let of_it = written.min(piece.len());
            piece.advance(of_it);
            written -= of_it;
            if written == 0 {
                break;
            }
        }
    }
}

async fn read_answers(
    mut from: impl AsyncRead + Unpin,
    shared: &Shared,
    max_idle: Option<Duration>,
) -> Failure {
    const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
    let mut frames = FrameReader::default();
    loop {
        let idle_until = shared.last_used() + max_idle.unwrap_or(FOR_EVER);
        let oldest = lock(&shared.in_flight).front().map(|oldest| oldest.deadline);
        tokio::select! {
            biased;
            frame = frames.next(&mut from) => {
                let answered = match frame {
                    Ok(frame) => answer(frame, shared),
                    Err(e) => Err(shared.why_broken(&e)),
                };
                match answered {
                    // To prove who the client is, again and again, is no use of a connection.
                    Ok(OF_SETUP) => {}
                    Ok(_) => {
                        shared.has_answered.store(true, Ordering::Relaxed);
                        shared.is_used();
                    }
                    Err(failure) => return failure,
                }
            }
            () = sleep_until(oldest.unwrap_or(idle_until)) => {
                return match oldest {
                    Some(_) => Failure::new(FailureKind::TimedOut, "it has not answered in time"),
                    None => Failure::new(FailureKind::Disconnected, "the connection was idle"),
                };
            }
            // The first request after a pause has a deadline that is not slept for yet.
            () = shared.asked.notified(), if oldest.is_none() => {}
        }
    }
}

/// Gives an answer to whom it belongs. Returns its id.
fn answer(frame: Bytes, shared: &Shared) -> Result<i32, Failure> {
    let id = frame.first_chunk().map(|id| i32::from_be_bytes(*id));
    let oldest = lock(&shared.in_flight).pop_front();
    let Some(oldest) = oldest.filter(|oldest| Some(oldest.correlation_id) == id) else {
        return Err(corrupt("it answers what was not asked".to_owned()));
    };
    shared.asked.notify_one();
    // Who asked may have gone.
    let _ = oldest.reply.send(frame);
    Ok(oldest.correlation_id)
}

#[cfg(test)]
mod sasl_tests;
#[cfg(test)]
mod tests;
