//! The clients themselves against every listener: what should work does, sessions are renewed while
//! records flow, and what cannot work is refused once, in words, and not tried all the time.

use super::{broker, holds_no_secret, login, merged, protocol, refusals, stored};
use millrace_api::{Error, TopicPartition};
use millrace_integration::client::Client;
use millrace_integration::connect::Properties;
use millrace_integration::security::{Listener, PASSWORD};
use millrace_integration::site::properties;
use millrace_integration::topic::{self, Record};
use millrace_integration::{block_on, traffic};
use millrace_kafka::{Acknowledge, Cluster, Polled};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one refusal may take.
const SOON: Duration = Duration::from_secs(10);

/// The properties of a client that connects to a listener.
fn client_properties(listener: Listener, parts: &[Properties]) -> Properties {
    let mut client = merged(parts);
    client.insert("security.protocol".to_owned(), protocol(listener).to_owned());
    client.insert("bootstrap.servers".to_owned(), broker().address(listener));
    client.insert("default.api.timeout.ms".to_owned(), "8000".to_owned());
    client
}

fn opened(client: Client, properties: &Properties) -> Result<Arc<dyn Cluster>, Error> {
    let pairs: Vec<_> = super::pairs(properties);
    millrace_kafka::connect(&client.properties(&pairs))
}

/// Asks the cluster something.
fn asked(client: Client, properties: &Properties) -> Result<(), Error> {
    let cluster = opened(client, properties)?;
    block_on(cluster.describe_topics(None)).map(drop)
}

fn token(options: &str) -> Properties {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let jaas = format!("{module} required {options};");
    properties(&[("sasl.mechanism", "OAUTHBEARER"), ("sasl.jaas.config", &jaas)])
}

#[test]
fn every_way_in_is_found() {
    let trust = || stored("truststore", "trust.jks");
    let key = || stored("keystore", "server.p12");
    let set = |key: &str, value: &str| properties(&[(key, value)]);
    let any_host = || set("ssl.endpoint.identification.algorithm", "");
    let alice = || token("unsecuredLoginStringClaim_sub=\"alice\"");
    let ways: Vec<(&str, Listener, Vec<Properties>)> = vec![
        ("TLS", Listener::Tls, vec![trust()]),
        ("TLS 1.2", Listener::Tls, vec![trust(), set("ssl.enabled.protocols", "TLSv1.2")]),
        ("mutual TLS", Listener::Mutual, vec![trust(), key()]),
        ("any host", Listener::Elsewhere, vec![trust(), any_host()]),
        ("PLAIN", Listener::Sasl, vec![login("PLAIN", PASSWORD)]),
        ("SCRAM", Listener::Sasl, vec![login("SCRAM-SHA-512", PASSWORD)]),
        ("SCRAM, TLS", Listener::SaslTls, vec![trust(), login("SCRAM-SHA-512", PASSWORD)]),
        ("OAUTHBEARER", Listener::OAuth, vec![alice()]),
    ];
    for client in Client::all() {
        for (what, listener, parts) in &ways {
            if (client, *listener) == (Client::Librdkafka, Listener::OAuth) {
                continue;
            }
            let found = asked(client, &client_properties(*listener, parts));
            found.unwrap_or_else(|error| panic!("{client}, {what}: {}", error.trace()));
        }
    }
}

/// What only a client that knows the protocol can tell.
fn refusals_of_ours() -> [(&'static str, Properties, &'static [&'static str], bool); 4] {
    let at = |listener: Listener, protocol: &str, parts: &[Properties]| {
        let mut client = client_properties(listener, parts);
        client.insert("security.protocol".to_owned(), protocol.to_owned());
        client
    };
    let trust = || stored("truststore", "trust.jks");
    // A port that hangs up may be that of a broker that goes away: then it is tried again.
    [
        (
            "plaintext to TLS",
            at(Listener::Tls, "PLAINTEXT", &[]),
            &["it speaks TLS on this port", "security.protocol"],
            false,
        ),
        (
            "TLS to plaintext",
            at(Listener::Plaintext, "SSL", &[trust()]),
            &["does it speak TLS on this port", "security.protocol"],
            true,
        ),
        (
            "nobody to SASL",
            at(Listener::Sasl, "PLAINTEXT", &[]),
            &["does its listener want SASL", "security.protocol"],
            true,
        ),
        (
            "SASL to plaintext",
            at(Listener::Plaintext, "SASL_PLAINTEXT", &[login("PLAIN", PASSWORD)]),
            &["takes no SASL on this port", "security.protocol"],
            false,
        ),
    ]
}

#[test]
fn refusals_are_told_at_once_and_not_tried_all_the_time() {
    for client in Client::all() {
        let mut cases: Vec<_> = refusals()
            .into_iter()
            .map(|(what, listener, parts, expected)| {
                (what, client_properties(listener, &parts), expected, false)
            })
            .collect();
        if client == Client::Native {
            cases.extend(refusals_of_ours());
        }
        for (what, properties, expected, may_pass) in cases {
            let cluster = opened(client, &properties).expect("the settings are legal");
            let begin = Instant::now();
            let error = block_on(cluster.describe_topics(None)).expect_err(what);
            let (took, told) = (begin.elapsed(), error.trace());
            println!("{client}, {what}: {took:.1?}: {told}");
            holds_no_secret(&told);
            for text in expected {
                assert!(told.contains(text), "{client}, {what} does not say {text}: {told}");
            }
            assert_eq!(error.is_retriable(), may_pass, "{client}, {what}: {told}");
            assert!(took < SOON, "{client}, {what}: {took:?}");
        }
    }
}

/// Sends until the producer fails.
async fn send(cluster: &dyn Cluster, client: Client, pairs: &[(&str, &str)]) -> Result<(), Error> {
    struct Nobody;
    impl Acknowledge for Nobody {
        fn acknowledged(&self, _records: usize) {}
        fn failed(&self, _records: usize, _error: &Error) {}
    }
    let record = Record { value: Some(b"one".to_vec()), ..Record::default() };
    let run = traffic::pack("secure-refused", Some(0), &[record]);
    let mut producer = cluster.producer(&client.properties(pairs)).await?;
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        producer.send(&run, Arc::new(Nobody)).await?;
        producer.flush(SOON).await?;
    }
    Ok(())
}

#[test]
fn a_producer_that_is_refused_ends() {
    let properties = client_properties(Listener::Sasl, &[login("PLAIN", "not the password")]);
    let pairs = super::pairs(&properties);
    let cluster = opened(Client::Native, &properties).expect("the settings are legal");
    let error = block_on(send(&*cluster, Client::Native, &pairs)).expect_err("it is refused");
    let told = error.trace();
    assert!(told.contains("Authentication failed"), "{told}");
    assert!(!error.is_retriable() && !told.contains("not the password"), "{told}");
}

/// Brokers close connections whose session has ended: 3 s here, while records are read for 12 s.
#[test]
fn sessions_are_renewed_while_records_flow() {
    const RECORDS: usize = 40_000;
    let name = "secure-renewed";
    let record = |i: usize| Record { value: Some(i.to_string().into_bytes()), ..Record::default() };
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    let plain = broker().address(Listener::Plaintext);
    topic::create_topic(&plain, name, 1);
    topic::produce(&plain, name, &records);
    for client in Client::all() {
        for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
            let parts = [
                stored("truststore", "trust.jks"),
                login(mechanism, PASSWORD),
                properties(&[("max.poll.records", "100"), ("fetch.max.bytes", "20000")]),
                properties(&[("max.partition.fetch.bytes", "20000")]),
            ];
            let properties = client_properties(Listener::Renewed, &parts);
            let cluster = opened(client, &properties).expect("the settings are legal");
            let pairs = super::pairs(&properties);
            let (mut seen, begin) = (Vec::new(), Instant::now());
            block_on(async {
                let mut consumer = cluster.consumer(&client.properties(&pairs)).await?;
                consumer.assign(&[(TopicPartition::new(name, 0), 0)]).await?;
                while seen.len() < RECORDS && begin.elapsed() < Duration::from_secs(60) {
                    if let Polled::Records(runs) = consumer.poll(Duration::from_secs(1)).await? {
                        runs.iter().for_each(|run| traffic::unpack(run, &mut seen));
                    }
                    // About 3,300 records a second, so that four sessions pass.
                    let pace = Duration::from_micros(300 * seen.len() as u64);
                    tokio::time::sleep_until((begin + pace).into()).await;
                    cluster.describe_topics(Some(&[name])).await?;
                }
                Ok::<_, Error>(())
            })
            .unwrap_or_else(|error| panic!("{client}, {mechanism}: {}", error.trace()));
            let values: Vec<_> = seen.iter().map(|record| record.value.clone()).collect();
            let all: Vec<_> = records.iter().map(|record| record.value.clone()).collect();
            assert!(values == all, "{client}, {mechanism}: {} records", values.len());
            assert!(begin.elapsed() > Duration::from_secs(9), "{:?}", begin.elapsed());
        }
    }
}
