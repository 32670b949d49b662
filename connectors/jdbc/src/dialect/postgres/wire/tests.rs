//! Sessions with servers that say what they are told to, whatever they are asked.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

fn authentication(step: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&step.to_be_bytes(), rest].concat())
}

fn error(code: &str, what: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{what}\0\0").as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// What each side does next.
#[derive(Clone)]
enum Step {
    /// The server waits until it was sent this, among other things.
    Hears(&'static [u8]),
    Says(Vec<u8>),
}

use Step::{Hears, Says};

async fn play(steps: Vec<Step>) -> Access {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for step in steps {
            match step {
                Says(bytes) => socket.write_all(&bytes).await.unwrap(),
                Hears(part) => {
                    while !heard.windows(part.len()).any(|found| found == part) {
                        if socket.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    heard.clear();
                }
            }
        }
        // What was not read would make it a reset.
        let _ = socket.shutdown().await;
        while socket.read_buf(&mut heard).await.unwrap_or(0) > 0 {}
    });
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
    let options = options.username("me").ssl_mode(PgSslMode::Disable);
    let certificates = Certificates::default();
    Access { options, password: Some("secret".into()), certificates, socket_timeout: None }
}

/// How long a test may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, test).await.expect("it ends") })
}

async fn session(steps: Vec<Step>) -> Session {
    let begin = [Hears(b"user\0me\0"), Says(authentication(0, b"")), Says(ready())];
    Session::connect(&play(begin.into_iter().chain(steps).collect()).await).await.unwrap()
}

async fn refusal(steps: Vec<Step>) -> String {
    let access = play(steps).await;
    let error = Session::connect(&access).await.err().expect("nobody lets us in").to_string();
    assert!(!error.contains("secret"), "{error}");
    error
}

#[test]
fn passwords_are_proven_as_the_server_wants() {
    run(async {
        for (asked, answer) in [
            (authentication(3, b""), &b"p\0\0\0\x0bsecret\0"[..]),
            (authentication(5, b"abcd"), &b"md5144b723776673e7e3ec447c5b47dd7a5\0"[..]),
        ] {
            let steps = vec![
                Hears(b"user\0me\0"),
                Says(asked),
                Hears(answer),
                Says(authentication(0, b"")),
                Says(message(b'K', &[0; 8])),
                Says(message(b'S', b"TimeZone\0UTC\0")),
                Says(ready()),
            ];
            assert!(Session::connect(&play(steps).await).await.is_ok());
        }
    });
}

#[test]
fn servers_that_do_not_keep_to_the_protocol_are_refused() {
    run(async {
        let scram = || Says(authentication(10, b"SCRAM-SHA-256\0\0"));
        let challenge = |text: &[u8]| Says(authentication(11, text));
        for (steps, expected) in [
            (vec![Says(error("28P01", "no"))], "no"),
            (vec![Says(authentication(7, b""))], "proof of identity"),
            (vec![Says(authentication(10, b"SCRAM-SHA-256-PLUS\0\0"))], "SASL"),
            (vec![scram(), Hears(b"n,,n=,r="), challenge(b"r=stolen,s=AAAA,i=1")], "nonce"),
            (vec![scram(), Hears(b"n,,n=,r="), Says(authentication(0, b""))], "another way"),
            (vec![Says(message(b'D', b""))], "unknown message"),
            (vec![Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())], "closed the connection"),
            (vec![Says(vec![b'R', 0, 0, 0, 3])], "no length"),
            (vec![Says(message(b'R', b"\0"))], "too short"),
            (vec![Says(vec![b'R', 0, 0])], "closed the connection"),
            (vec![], "closed the connection"),
        ] {
            let heard = vec![Hears(b"user\0me\0")];
            let found = refusal(heard.into_iter().chain(steps).collect()).await;
            assert!(found.contains(expected), "{expected}: {found}");
        }
    });
}

#[test]
fn a_session_goes_on_after_an_error() {
    run(async {
        let row = [&[0, 2, 0, 0, 0, 1], &b"7"[..], &[255; 4]].concat();
        let mut session = session(vec![
            Hears(b"bad"),
            Says([message(b'N', b"SNOTICE\0Mx\0\0"), error("42P01", "gone"), ready()].concat()),
            Hears(b"good"),
            Says([message(b'D', &row), message(b'C', b"SELECT 1\0"), ready()].concat()),
        ])
        .await;
        let failed = session.rows("bad", &[]).await.unwrap_err();
        assert_eq!(failed.as_database_error().unwrap().code().as_deref(), Some("42P01"));
        let row = session.row("good", &[]).await.unwrap();
        assert_eq!(row.get::<i64>(0).unwrap(), 7);
        assert_eq!(row.get::<Option<i64>>(1).unwrap(), None);
        assert!(row.get::<i64>(1).is_err() && row.get::<bool>(0).is_err());
        assert!(row.get::<i64>(2).is_err());
    });
}

#[test]
fn a_session_that_was_left_in_an_answer_is_not_used_again() {
    run(async {
        let twice = [error("42P01", "gone"), error("57P01", "shut")].concat();
        let unknown = [message(b'D', b""), ready()].concat();
        for said in [twice, unknown] {
            let late = [message(b'C', b"SELECT 0\0"), ready()].concat();
            let mut session = session(vec![Hears(b"bad"), Says(said), Says(late)]).await;
            assert!(session.rows("bad", &[]).await.is_err());
            let refused = session.rows("good", &[]).await.expect_err("another's answer");
            assert!(refused.to_string().contains("earlier request"), "{refused}");
            assert!(session.begin_copy("good").await.is_err());
        }
    });
}

#[test]
fn a_server_that_keeps_silent_is_left() {
    run(async {
        let begin = [Hears(b"user\0me\0"), Says(authentication(0, b"")), Says(ready())];
        let copy = [message(b'H', &[1, 0, 0]), message(b'd', &vec![7; MUCH])].concat();
        for asked in [vec![], vec![Hears(b"COPY"), Says(copy)]] {
            let silence = [Hears(b"never")];
            let steps = begin.iter().cloned().chain(asked).chain(silence).collect();
            let limit = Some(Duration::from_millis(200));
            let access = Access { socket_timeout: limit, ..play(steps).await };
            let mut session = Session::connect(&access).await.unwrap();
            let failed = match session.begin_copy("COPY").await {
                Err(error) => error,
                Ok(()) => loop {
                    match session.has_copied().await {
                        Ok(_) => while session.copied().is_some() {},
                        Err(error) => break error,
                    }
                },
            };
            assert!(failed.to_string().contains("socketTimeout: 200ms"), "{failed}");
            assert!(session.run("SELECT 1").await.is_err(), "its answer may still come");
        }
    });
}

#[test]
fn an_error_within_a_copy_comes_after_its_rows() {
    run(async {
        let data = |data: &[u8]| message(b'd', data);
        let aside = [message(b'N', b"SWARNING\0Mx\0\0"), message(b'S', b"a\0b\0")].concat();
        let said = [message(b'H', &[1, 0, 0]), data(b"ab"), data(b""), aside, data(b"c")];
        let mut session =
            session(vec![Hears(b"COPY"), Says([said.concat(), error("57P01", "shut")].concat())])
                .await;
        session.begin_copy("COPY").await.unwrap();
        let mut lengths = Vec::new();
        let failed = loop {
            match session.has_copied().await {
                Ok(true) => {
                    lengths.extend(std::iter::from_fn(|| session.copied().map(|p| p.len())))
                }
                Ok(false) => panic!("the end is an error"),
                Err(error) => break error,
            }
        };
        assert_eq!(lengths, [2, 0, 1]);
        assert_eq!(failed.as_database_error().unwrap().message(), "shut");
    });
}

#[test]
fn a_copy_in_another_form_is_refused() {
    run(async {
        for answer in [message(b'H', &[0, 0, 0]), message(b'G', &[1, 0, 0]), message(b'C', b"\0")] {
            let mut session = session(vec![Hears(b"COPY"), Says(answer)]).await;
            assert!(session.begin_copy("COPY").await.is_err());
        }
    });
}

#[test]
fn a_statement_with_a_zero_in_it_is_not_sent() {
    run(async {
        let mut session = session(vec![Hears(b"never")]).await;
        assert!(session.run("SELECT 1\0; DROP TABLE t").await.is_err());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_answer_is_too_bad(
        messages in prop::collection::vec(
            (prop::sample::select(&b"RSKZENATDCHdcGW1239x"[..]),
             prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..40)),
            0..20,
        ),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        run(async {
            let said = messages.iter().flat_map(|(kind, body)| message(*kind, body));
            let said: Vec<u8> = said.collect();
            let said = || [&said[..], &rest].concat();
            let _ = Session::connect(&play(vec![Hears(b"user"), Says(said())]).await).await;
            let again = || vec![Hears(b"SQL"), Says(said())];
            let _ = session(again()).await.rows("SQL", &[]).await;
            let _ = session(again()).await.describe("SQL").await;
            let mut copying = session(again()).await;
            if copying.begin_copy("SQL").await.is_ok() {
                while let Ok(true) = copying.has_copied().await {
                    while let Some(part) = copying.copied() {
                        let _ = copying.received()[part].len();
                    }
                }
            }
        });
    }
}
