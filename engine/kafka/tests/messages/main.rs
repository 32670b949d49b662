//! Golden messages: what `kafka-protocol` reads and writes is what Java's own classes do, for every
//! version of every API that a client of ours sends or that the embedded cluster answers.
//!
//! `messages.txt` is what `Messages.java` printed; every field has a value of its own, so that two
//! that change places are noticed.
#![allow(
    clippy::unwrap_used,
    reason = "tests may, but clippy only sees those that are not shared between tests"
)]

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Request};
use millrace_kafka::guard;

mod apis;

struct Golden<'a> {
    /// API, direction, version, and which of two.
    name: String,
    api: &'a str,
    is_request: bool,
    version: i16,
    bytes: Bytes,
    /// Names as in the protocol, and values.
    fields: Vec<(&'a str, &'a str)>,
}

fn golden() -> impl Iterator<Item = Golden<'static>> {
    include_str!("messages.txt").lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        Golden {
            name: words[..4].join(" "),
            api: words[0],
            is_request: words[1] == "request",
            version: words[2].parse().unwrap(),
            bytes: hex(words[4]),
            fields: words[5..].iter().map(|field| field.split_once('=').unwrap()).collect(),
        }
    })
}

fn hex(text: &str) -> Bytes {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What our side makes of a message: how it prints, and its bytes when it is written again. None
/// where `kafka-protocol` does not have this version.
type Ours = Option<Result<(String, Bytes), String>>;

fn ours<R: Request<Response: Debug> + Debug>(golden: &Golden<'_>) -> Ours {
    let versions = R::VERSIONS;
    (versions.min..=versions.max).contains(&golden.version).then(|| match golden.is_request {
        true => there_and_back::<R>(golden),
        false => there_and_back::<R::Response>(golden),
    })
}

fn there_and_back<M>(golden: &Golden<'_>) -> Result<(String, Bytes), String>
where
    M: Decodable + Encodable + Debug,
{
    let mut bytes = golden.bytes.clone();
    let message = guard::decode::<M>(&mut bytes, golden.version)?;
    if !bytes.is_empty() {
        return Err(format!("{} bytes are left over", bytes.len()));
    }
    let mut written = BytesMut::new();
    message.encode(&mut written, golden.version).map_err(|e| e.to_string())?;
    Ok((format!("{message:?}"), written.freeze()))
}

macro_rules! define {
    ($($api:literal $request:ident,)*) => {
        fn read(golden: &Golden<'_>) -> Ours {
            match golden.api {
                $($api => ours::<$request>(golden),)*
                other => panic!("no such API: {other}"),
            }
        }
    };
}

apis::apis!(define);

/// Whether the text of a message gives this field this value. Types such as `TopicName("s4")` are
/// around some values, and bytes print as text.
fn says(text: &str, name: &str, value: &str) -> bool {
    let name = format!(" {}: ", name.trim_end_matches('_'));
    let quoted = format!("\"{value}\"");
    text.match_indices(&name).any(|(at, _)| {
        let rest = &text[at + name.len()..];
        let end = rest.find(|c| ",}".contains(c)).unwrap_or(rest.len());
        let rest = rest[..end].trim_end_matches([')', ']', ' ']);
        rest.ends_with(&quoted) || rest.rsplit(['(', '[']).next() == Some(value)
    })
}

#[test]
fn every_message_is_javas() {
    let mut seen = BTreeSet::new();
    for golden in golden() {
        let Some(ours) = read(&golden) else {
            continue;
        };
        let (text, written) = ours.unwrap_or_else(|e| panic!("{}: {e}", golden.name));
        assert_eq!(written, golden.bytes, "{}: written again\n{text}", golden.name);
        for (name, value) in &golden.fields {
            assert!(says(&text, name, value), "{}: {name}={value}\n{text}", golden.name);
        }
        seen.insert((golden.api, golden.is_request));
    }
    assert_eq!(seen.len(), 2 * 36, "an API has no version in common");
}

#[test]
fn cut_messages_are_refused() {
    for mut golden in golden() {
        for length in (0..golden.bytes.len()).rev() {
            golden.bytes.truncate(length);
            assert!(!matches!(read(&golden), Some(Ok(_))), "{}: {:?}", golden.name, golden.bytes);
        }
    }
}

/// Counts that no message could have: neither a panic nor an allocation that ends the process.
#[test]
fn absurd_counts_do_no_harm() {
    for golden in golden() {
        let whole = golden.bytes.to_vec();
        for at in 0..whole.len() {
            for absurd in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x0f]] {
                let mut bytes = whole.clone();
                let end = whole.len().min(at + absurd.len());
                bytes[at..end].copy_from_slice(&absurd[..end - at]);
                let damaged = Golden {
                    bytes: bytes.into(),
                    fields: Vec::new(),
                    name: String::new(),
                    ..golden
                };
                let _ = read(&damaged);
            }
        }
    }
}
