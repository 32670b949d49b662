//! Connections that prove who the client is, to a broker that the test plays.

use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

use super::super::sasl::Plain;
use super::tests::{HEARTBEAT, Peer, heartbeat};
use super::*;
use kafka_protocol::messages::HeartbeatRequest;

const HANDSHAKE: i16 = 1;
const AUTHENTICATE: i16 = 2;
const LIFETIME: Duration = Duration::from_secs(100);

fn settings() -> ConnectionSettings {
    ConnectionSettings {
        client_id: "test".to_owned(),
        request_timeout: Duration::from_secs(30),
        max_idle: Some(Duration::from_secs(540)),
        sasl: Some(Sasl::Plain(Arc::new(Plain::new("alice", "hush")))),
    }
}

/// What the broker says to a client that would prove who it is.
struct Says {
    handshake: SaslHandshakeResponse,
    authenticate: SaslAuthenticateResponse,
}

impl Says {
    fn yes() -> Self {
        let lifetime = i64::try_from(LIFETIME.as_millis()).unwrap();
        Self {
            handshake: SaslHandshakeResponse::default(),
            authenticate: SaslAuthenticateResponse::default().with_session_lifetime_ms(lifetime),
        }
    }

    fn no(code: i16, words: &'static str) -> Self {
        let words = Some(StrBytes::from_static_str(words));
        let no =
            SaslAuthenticateResponse::default().with_error_code(code).with_error_message(words);
        Self { authenticate: no, ..Self::yes() }
    }

    fn no_mechanism(code: i16, known: &[&'static str]) -> Self {
        let known = known.iter().map(|name| StrBytes::from_static_str(name)).collect();
        let no = SaslHandshakeResponse::default().with_error_code(code).with_mechanisms(known);
        Self { handshake: no, ..Self::yes() }
    }
}

async fn handshake(peer: &mut Peer, says: &Says) {
    assert_eq!(peer.asked().await, (SaslHandshakeRequest::KEY, HANDSHAKE));
    peer.answer(HANDSHAKE, &says.handshake).await;
}

async fn authenticate(peer: &mut Peer, says: &Says) {
    assert_eq!(peer.asked().await, (SaslAuthenticateRequest::KEY, AUTHENTICATE));
    peer.answer(AUTHENTICATE, &says.authenticate).await;
}

async fn opened(says: &Says) -> (Result<Arc<Connection>, Failure>, Peer) {
    let (ours, mut peer) = Peer::connected();
    let io = Handle::current();
    let setup = Duration::from_secs(10);
    let open = Connection::open(Box::new(ours), "b:1".to_owned(), settings(), setup, &io);
    let play = async {
        peer.versions().await;
        handshake(&mut peer, says).await;
        if says.handshake.error_code == 0 {
            authenticate(&mut peer, says).await;
        }
    };
    let (connection, ()) = tokio::join!(open, play);
    (connection.map(Arc::new), peer)
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_among_requests() {
    let (connection, mut peer) = opened(&Says::yes()).await;
    let connection = connection.unwrap();
    let begin = Instant::now();
    for _ in 0..3 {
        let before = Instant::now();
        // This one is on its way when the session has to be renewed.
        let longest = Duration::from_secs(600);
        let slow = connection.start(longest, heartbeat).await.unwrap();
        assert_eq!(peer.asked().await, (HeartbeatRequest::KEY, HEARTBEAT));
        assert_eq!(peer.asked().await, (SaslHandshakeRequest::KEY, HANDSHAKE));
        let part = before.elapsed().as_secs_f64() / LIFETIME.as_secs_f64();
        assert!((0.85..0.96).contains(&part), "{part} of the life time");
        // This one has to wait.
        let asking = connection.clone();
        let later = tokio::spawn(async move { asking.call(heartbeat).await });
        tokio::task::yield_now().await;
        peer.heartbeat(1).await;
        assert_eq!(slow.response().await.unwrap().error_code, 1);
        peer.answer(HANDSHAKE, &Says::yes().handshake).await;
        authenticate(&mut peer, &Says::yes()).await;
        assert_eq!(peer.asked().await, (HeartbeatRequest::KEY, HEARTBEAT));
        peer.heartbeat(2).await;
        assert_eq!(later.await.unwrap().unwrap().error_code, 2);
    }
    assert!(begin.elapsed() > 2 * LIFETIME);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_renewed_ends_the_connection() {
    let (connection, mut peer) = opened(&Says::yes()).await;
    let connection = connection.unwrap();
    let pending = connection.start(Duration::from_secs(600), heartbeat).await.unwrap();
    peer.asked().await;
    peer.heartbeat(0).await;
    pending.response().await.unwrap();
    let no = Says::no(58, "Cannot change principals during re-authentication");
    handshake(&mut peer, &no).await;
    authenticate(&mut peer, &no).await;
    peer.closed().await;
    let failure = connection.call(heartbeat).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Refused);
    assert!(failure.to_string().contains("Cannot change principals"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn to_renew_a_session_is_no_use_of_a_connection() {
    let (connection, mut peer) = opened(&Says::yes()).await;
    let begin = Instant::now();
    let renew = async {
        loop {
            let Some(_) = peer.asked_unless_closed().await else { break };
            peer.answer(HANDSHAKE, &Says::yes().handshake).await;
            authenticate(&mut peer, &Says::yes()).await;
        }
    };
    renew.await;
    let idle = settings().max_idle.unwrap();
    assert!(begin.elapsed() >= idle && begin.elapsed() < idle + LIFETIME, "{:?}", begin.elapsed());
    assert!(connection.unwrap().is_closed());
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_to_look_at() {
    for (says, expected) in [
        (
            Says::no(58, "Authentication failed: Invalid username or password"),
            "broker b:1: it refuses the user or the password: see sasl.jaas.config and \
             sasl.mechanism (PLAIN: Authentication failed: Invalid username or password)",
        ),
        (
            Says::no_mechanism(33, &["SCRAM-SHA-512", "OAUTHBEARER"]),
            "broker b:1: it does not know PLAIN on this port: see sasl.mechanism (it knows \
             SCRAM-SHA-512, OAUTHBEARER)",
        ),
        (
            Says::no_mechanism(34, &[]),
            "broker b:1: it takes no SASL on this port: set security.protocol to that of its \
             listener, or give the port of its SASL listener in bootstrap.servers",
        ),
    ] {
        let (connection, _peer) = opened(&says).await;
        let failure = connection.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Refused);
        assert_eq!(failure.to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_speaks_tls_is_named() {
    let (ours, mut peer) = Peer::connected();
    let io = Handle::current();
    let setup = Duration::from_secs(10);
    let open = Connection::open(Box::new(ours), "b:1".to_owned(), settings(), setup, &io);
    let play = async {
        peer.asked().await;
        // The alert with which Kafka's TLS ports answer.
        peer.says(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50]).await;
    };
    let (connection, ()) = tokio::join!(open, play);
    let failure = connection.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Refused);
    assert!(failure.to_string().contains("set security.protocol to SSL"), "{failure}");
}
