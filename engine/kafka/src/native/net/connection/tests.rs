//! A connection against a broker that the test plays itself, under a clock that only the test's
//! own waits move.

use bytes::BytesMut;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, MetadataRequest, SaslAuthenticateRequest,
    SaslHandshakeRequest,
};
use kafka_protocol::protocol::Message;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::*;

/// The other side of a connection.
pub(super) struct Peer {
    stream: DuplexStream,
    /// Correlation ids of what was asked and not answered.
    asked: VecDeque<i32>,
}

impl Peer {
    /// Our end of a new stream, and the other side.
    pub(super) fn connected() -> (DuplexStream, Self) {
        let (ours, stream) = duplex(1 << 16);
        (ours, Self { stream, asked: VecDeque::new() })
    }

    /// Sends bytes as they are.
    pub(super) async fn says(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Waits until the connection is closed.
    pub(super) async fn closed(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).await.unwrap(), 0, "there is a request");
    }

    /// Reads a request; its API key and version.
    pub(super) async fn asked(&mut self) -> (i16, i16) {
        self.asked_unless_closed().await.expect("the connection is open")
    }

    /// The same; none when the connection is closed.
    pub(super) async fn asked_unless_closed(&mut self) -> Option<(i16, i16)> {
        let length = self.stream.read_i32().await.ok()?;
        let mut request = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut request).await.unwrap();
        let field = |at| i16::from_be_bytes([request[at], request[at + 1]]);
        self.asked.push_back(i32::from_be_bytes([request[4], request[5], request[6], request[7]]));
        Some((field(0), field(2)))
    }

    /// Answers the oldest request.
    pub(super) async fn answer<R: Encodable + HeaderVersion>(
        &mut self,
        version: i16,
        response: &R,
    ) {
        let id = self.asked.pop_front().unwrap();
        self.answer_to(id, version, response).await;
    }

    async fn answer_to<R>(&mut self, id: i32, version: i16, response: &R)
    where
        R: Encodable + HeaderVersion,
    {
        let mut frame = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(id);
        header.encode(&mut frame, R::header_version(version)).unwrap();
        response.encode(&mut frame, version).unwrap();
        self.stream.write_i32(i32::try_from(frame.len()).unwrap()).await.unwrap();
        self.stream.write_all(&frame).await.unwrap();
    }

    pub(super) async fn versions(&mut self) {
        let (key, version) = self.asked().await;
        assert_eq!((key, version), (ApiVersionsRequest::KEY, 3));
        let api = |key: i16, max| ApiVersion::default().with_api_key(key).with_max_version(max);
        let known = vec![
            api(MetadataRequest::KEY, 9),
            api(HeartbeatRequest::KEY, HEARTBEAT),
            api(SaslHandshakeRequest::KEY, 1),
            api(SaslAuthenticateRequest::KEY, 2),
        ];
        self.answer(3, &ApiVersionsResponse::default().with_api_keys(known)).await;
    }

    pub(super) async fn heartbeat(&mut self, code: i16) {
        self.answer(HEARTBEAT, &HeartbeatResponse::default().with_error_code(code)).await;
    }
}

pub(super) const HEARTBEAT: i16 = 4;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_IDLE: Duration = Duration::from_secs(540);

async fn connected() -> (Arc<Connection>, Peer) {
    let (ours, theirs) = duplex(1 << 16);
    let mut peer = Peer { stream: theirs, asked: VecDeque::new() };
    let settings = ConnectionSettings {
        client_id: "test".to_owned(),
        request_timeout: REQUEST_TIMEOUT,
        max_idle: Some(MAX_IDLE),
        sasl: None,
    };
    let setup = Duration::from_secs(10);
    let io = Handle::current();
    let open = Connection::open(Box::new(ours), "b:1".to_owned(), settings, setup, &io);
    let (connection, ()) = tokio::join!(open, peer.versions());
    (Arc::new(connection.unwrap()), peer)
}

pub(super) fn heartbeat(_: i16) -> HeartbeatRequest {
    HeartbeatRequest::default()
}

#[tokio::test(start_paused = true)]
async fn many_requests_are_on_their_way_and_answered_in_order() {
    let (connection, mut peer) = connected().await;
    let mut pending = Vec::new();
    for _ in 0..40 {
        // More than the queue holds: the peer has to read.
        let (started, asked) =
            tokio::join!(connection.start(REQUEST_TIMEOUT, heartbeat), peer.asked());
        assert_eq!(asked, (HeartbeatRequest::KEY, HEARTBEAT));
        pending.push(started.unwrap());
    }
    assert_eq!(connection.unanswered(), 40);
    for code in 0..40 {
        peer.heartbeat(code).await;
    }
    for (code, pending) in (0..).zip(pending) {
        assert_eq!(pending.response().await.unwrap().error_code, code);
    }
    assert_eq!(connection.unanswered(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_late_ends_the_connection_for_all_who_wait() {
    let (connection, mut peer) = connected().await;
    let before = Instant::now();
    let longest = Duration::from_secs(5);
    let late = connection.call_within(longest, heartbeat);
    let behind = connection.call(heartbeat);
    let (late, behind, _, _) = tokio::join!(late, behind, peer.asked(), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
    });
    assert_eq!(before.elapsed().as_secs(), 5);
    let late = late.unwrap_err();
    assert_eq!(late.kind(), FailureKind::TimedOut);
    assert!(late.to_string().contains("broker b:1: it has not answered in time"), "{late}");
    assert!(behind.unwrap_err().is_passing());
    assert!(connection.is_closed());
    assert!(connection.call(heartbeat).await.unwrap_err().is_passing());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_leaves_the_others_their_answers() {
    let (connection, mut peer) = connected().await;
    let impatient = connection.start(REQUEST_TIMEOUT, heartbeat).await.unwrap();
    let patient = connection.start(REQUEST_TIMEOUT, heartbeat).await.unwrap();
    drop(impatient);
    peer.asked().await;
    peer.asked().await;
    peer.heartbeat(1).await;
    peer.heartbeat(2).await;
    assert_eq!(patient.response().await.unwrap().error_code, 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_do_for_long_enough_closes_it() {
    let (connection, mut peer) = connected().await;
    let before = Instant::now();
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(before.elapsed().as_secs(), MAX_IDLE.as_secs());
    assert!(connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn dropping_it_lets_an_answer_come_and_then_closes_the_stream() {
    let (connection, mut peer) = connected().await;
    let pending = connection.start(REQUEST_TIMEOUT, heartbeat).await.unwrap();
    drop(connection);
    peer.asked().await;
    peer.heartbeat(7).await;
    assert_eq!(pending.response().await.unwrap().error_code, 7);
    assert_eq!(peer.stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_connection_keeps_requests_back() {
    let (connection, mut peer) = connected().await;
    connection.throttle(700);
    connection.throttle(300);
    let before = Instant::now();
    let pending = connection.start(REQUEST_TIMEOUT, heartbeat).await.unwrap();
    peer.asked().await;
    assert_eq!(before.elapsed().as_millis(), 700);
    peer.heartbeat(0).await;
    pending.response().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_nobody_and_garbage_end_it() {
    let (connection, mut peer) = connected().await;
    let pending = connection.start(REQUEST_TIMEOUT, heartbeat).await.unwrap();
    peer.asked().await;
    peer.answer_to(4_711, HEARTBEAT, &HeartbeatResponse::default()).await;
    let failure = pending.response().await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Corrupt);
    assert!(failure.to_string().contains("it answers what was not asked"), "{failure}");

    let (connection, mut peer) = connected().await;
    let pending = connection.start(REQUEST_TIMEOUT, heartbeat).await.unwrap();
    peer.asked().await;
    peer.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
    let failure = pending.response().await.unwrap_err();
    assert!(failure.to_string().contains("1213486160 bytes"), "{failure}");
    assert!(connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_one_requests_trouble() {
    let (connection, mut peer) = connected().await;
    let pending = connection.start(REQUEST_TIMEOUT, heartbeat).await.unwrap();
    peer.asked().await;
    let id = peer.asked.pop_front().unwrap();
    // Not what a heartbeat is answered with.
    let other = kafka_protocol::messages::MetadataResponse::default();
    peer.answer_to(id, 9, &other).await;
    let failure = pending.response().await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Corrupt);
    assert!(failure.to_string().contains("its answer cannot be read"), "{failure}");
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_never_answers_is_named() {
    let (ours, _theirs) = duplex(1 << 16);
    let settings = ConnectionSettings {
        client_id: "test".to_owned(),
        request_timeout: REQUEST_TIMEOUT,
        max_idle: None,
        sasl: None,
    };
    let before = Instant::now();
    let setup = Duration::from_secs(10);
    let io = Handle::current();
    let opened = Connection::open(Box::new(ours), "b:1".to_owned(), settings, setup, &io).await;
    let failure = opened.unwrap_err();
    assert_eq!(before.elapsed(), setup);
    assert!(failure.to_string().contains("is it a Kafka broker?"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn an_old_broker_is_asked_in_its_own_words() {
    let (ours, theirs) = duplex(1 << 16);
    let mut peer = Peer { stream: theirs, asked: VecDeque::new() };
    let mut boxed: BoxedStream = Box::new(ours);
    let play = async {
        assert_eq!(peer.asked().await, (ApiVersionsRequest::KEY, 3));
        // KIP-511: the answer to a version too new is one of version 0.
        peer.answer(0, &ApiVersionsResponse::default().with_error_code(35)).await;
        assert_eq!(peer.asked().await, (ApiVersionsRequest::KEY, 0));
        let known = ApiVersion::default().with_api_key(HeartbeatRequest::KEY).with_max_version(2);
        peer.answer(0, &ApiVersionsResponse::default().with_api_keys(vec![known])).await;
    };
    let (versions, ()) = tokio::join!(negotiate(&mut boxed, "test"), play);
    assert_eq!(versions.unwrap().of::<HeartbeatRequest>().unwrap(), 2);
    const { assert!(<HeartbeatRequest as Message>::VERSIONS.max > 2) };
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_answers_keep_a_connection_open() {
    let (connection, mut peer) = connected().await;
    let version = connection.version_of::<HeartbeatRequest>().unwrap();
    for _ in 0..5 {
        tokio::time::sleep(MAX_IDLE / 2).await;
        let body = vec![Bytes::from_static(b"body")];
        connection.send_unanswered::<HeartbeatRequest>(version, body).await.unwrap();
        peer.asked().await;
    }
    assert!(!connection.is_closed());
    tokio::time::sleep(MAX_IDLE + Duration::from_secs(1)).await;
    assert!(connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (connection, _peer) = connected().await;
    let version = connection.version_of::<HeartbeatRequest>().unwrap();
    let before = Instant::now();
    // More than the stream holds.
    let body = vec![Bytes::from(vec![0; 1 << 20])];
    connection.send_unanswered::<HeartbeatRequest>(version, body).await.unwrap();
    while !connection.is_closed() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(before.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
}
