//! TLS and SASL against a real broker, with the stores that Java users have: what should work does,
//! and what cannot fails soon, says which key to look at, and shows no secret.

use millrace_integration::backend::Backend;
use millrace_integration::client::Client;
use millrace_integration::connect::Properties;
use millrace_integration::security::{
    Listener, PASSWORD, STORE_PASSWORD, SecureBroker, USER, jaas, store,
};
use millrace_integration::site::{Site, file_sink, file_source, properties, wait_for_task, with};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

mod clients;

/// One for all tests of this file; it is removed with the test process.
fn broker() -> &'static SecureBroker {
    static SHARED: OnceLock<SecureBroker> = OnceLock::new();
    SHARED.get_or_init(SecureBroker::start)
}

/// A site whose workers connect to a listener.
fn site(listener: Listener, client: Client) -> Site {
    Site::on(Backend::Kafka(broker().address(listener), client))
}

fn protocol(listener: Listener) -> &'static str {
    match listener {
        Listener::Plaintext => "PLAINTEXT",
        Listener::SaslTls | Listener::Renewed => "SASL_SSL",
        Listener::Sasl | Listener::OAuth => "SASL_PLAINTEXT",
        _ => "SSL",
    }
}

fn stored(kind: &str, file: &str) -> Properties {
    let path = store(file).display().to_string();
    let file_type = if file.ends_with("jks") { "JKS" } else { "PKCS12" };
    let key = |name: &str| format!("ssl.{kind}.{name}");
    properties(&[
        (&key("location"), &path),
        (&key("password"), STORE_PASSWORD),
        (&key("type"), file_type),
    ])
}

fn login(mechanism: &str, password: &str) -> Properties {
    let module = if mechanism == "PLAIN" { "plain.Plain" } else { "scram.Scram" };
    let jaas = jaas(module, USER, password);
    properties(&[("sasl.mechanism", mechanism), ("sasl.jaas.config", &jaas)])
}

fn merged(parts: &[Properties]) -> Properties {
    let pairs = parts.iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The worker's keys: its own, and those of its producers and consumers.
fn worker(listener: Listener, client: &[Properties]) -> Properties {
    let mut client = merged(client);
    client.insert("security.protocol".to_owned(), protocol(listener).to_owned());
    let mut worker = Properties::new();
    for (key, value) in client {
        worker.insert(format!("producer.{key}"), value.clone());
        worker.insert(format!("consumer.{key}"), value.clone());
        worker.insert(format!("admin.{key}"), value.clone());
        worker.insert(key, value);
    }
    worker
}

fn pairs(properties: &Properties) -> Vec<(&str, &str)> {
    properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[track_caller]
fn holds_no_secret(text: &str) {
    for secret in [PASSWORD, "canary", STORE_PASSWORD, "key-secret", "PRIVATE KEY"] {
        assert!(!text.contains(secret), "{secret} is shown:\n{text}");
    }
}

/// File source, topic, file sink.
fn flows(listener: Listener, name: &str, settings: &[Properties]) {
    for client in Client::all() {
        flows_through(client, listener, &format!("{name}-{client}"), settings);
    }
}

fn flows_through(client: Client, listener: Listener, name: &str, settings: &[Properties]) {
    let site = site(listener, client);
    site.write("in.txt", "one\ntwo\nthree\n");
    let worker = worker(listener, settings);
    let connectors = [
        file_source(&format!("{name}-source"), "in.txt", name),
        with(
            file_sink(&format!("{name}-sink"), "out.txt", name),
            &[("consumer.override.auto.offset.reset", "earliest")],
        ),
    ];
    let mut connect = site.start(&pairs(&worker), &connectors);
    site.wait_for_lines("out.txt", 3);
    assert_eq!(site.read("out.txt"), "one\ntwo\nthree\n");
    holds_no_secret(&connect.process().log());
}

#[test]
fn scram_over_tls_with_a_jks_trust_store() {
    let client = [stored("truststore", "trust.jks"), login("SCRAM-SHA-512", PASSWORD)];
    flows(Listener::SaslTls, "secure-scram", &client);
}

#[test]
fn mutual_tls_with_pkcs12_stores() {
    let client = [stored("truststore", "trust.p12"), stored("keystore", "server.p12")];
    flows(Listener::Mutual, "secure-mutual", &client);
}

#[test]
fn plain_without_tls() {
    flows(Listener::Sasl, "secure-plain", &[login("PLAIN", PASSWORD)]);
}

#[test]
fn tls_1_3_only() {
    let versions = properties(&[("ssl.enabled.protocols", "TLSv1.3")]);
    let client = [stored("truststore", "trust.jks"), versions];
    flows(Listener::Tls, "secure-tls13", &client);
}

/// What the refused client says, for each way to be refused.
fn refusals() -> Vec<(&'static str, Listener, Vec<Properties>, &'static [&'static str])> {
    let trust = || stored("truststore", "trust.jks");
    let stranger = store("stranger.pem").display().to_string();
    let stranger =
        properties(&[("ssl.truststore.location", &stranger), ("ssl.truststore.type", "PEM")]);
    vec![
        (
            "wrong-ca",
            Listener::Tls,
            vec![stranger],
            &["is not signed by one that ssl.truststore.location trusts"],
        ),
        (
            "wrong-host",
            Listener::Elsewhere,
            vec![trust()],
            &["is not for this host", "ssl.endpoint.identification.algorithm", "elsewhere"],
        ),
        (
            "expired",
            Listener::Expired,
            vec![trust()],
            &["has expired", "certificate of expired", "until 2020-01-02"],
        ),
        (
            "no-certificate",
            Listener::Mutual,
            vec![trust()],
            &["certificate", "ssl.keystore.location"],
        ),
        (
            "wrong-plain",
            Listener::Sasl,
            vec![login("PLAIN", "canary wrong")],
            &["refuses the user or the password", "sasl.jaas.config"],
        ),
        (
            "wrong-scram",
            Listener::SaslTls,
            vec![trust(), login("SCRAM-SHA-512", "canary wrong")],
            &["refuses the user or the password", "sasl.jaas.config"],
        ),
        (
            "wrong-mechanism",
            Listener::Sasl,
            vec![login("SCRAM-SHA-256", PASSWORD)],
            &["sasl.mechanism", "SCRAM-SHA-512"],
        ),
    ]
}

/// The worker itself may connect; the clients of its tasks are refused, and the tasks say why.
#[test]
fn tasks_that_are_refused_say_why() {
    Client::all().into_iter().for_each(refused_tasks_say_why);
}

fn refused_tasks_say_why(client: Client) {
    let site = site(Listener::Plaintext, client);
    site.write("in.txt", "one\n");
    let mut connectors = Vec::new();
    let refusals = refusals();
    for (name, listener, client, _) in &refusals {
        let mut client = merged(client);
        client.insert("security.protocol".to_owned(), protocol(*listener).to_owned());
        client.insert("bootstrap.servers".to_owned(), broker().address(*listener));
        for (kind, role) in [("source", "producer"), ("sink", "consumer")] {
            let topic = format!("secure-refused-{kind}");
            let connector_name = format!("{name}-{kind}");
            let mut connector = match kind {
                "source" => file_source(&connector_name, "in.txt", &topic),
                _ => file_sink(&connector_name, "out.txt", &topic),
            };
            for (key, value) in &client {
                connector.insert(format!("{role}.override.{key}"), value.clone());
            }
            connectors.push(connector);
        }
    }
    let started = Instant::now();
    let mut connect = site.start(&[], &connectors);
    for (name, _, _, expected) in &refusals {
        for kind in ["source", "sink"] {
            let trace = wait_for_task(&connect, &format!("{name}-{kind}"), "FAILED");
            for text in *expected {
                assert!(trace.contains(text), "{name}-{kind} does not say {text}: {trace}");
            }
            holds_no_secret(&trace);
        }
    }
    println!("{} tasks refused within {:?}", 2 * refusals.len(), started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(60), "a refusal is seen at once");
    holds_no_secret(&connect.process().log());
}

/// A worker whose own client is refused does not start, and says why.
#[test]
fn a_worker_that_is_refused_ends() {
    let all = || refusals().into_iter();
    for (client, refusal) in Client::all().iter().flat_map(|c| all().map(|refusal| (*c, refusal))) {
        let (name, listener, settings, expected) = refusal;
        let keys = worker(listener, &settings);
        let started = Instant::now();
        let (code, log) = site(listener, client).refused(&pairs(&keys), &[]);
        assert_eq!(code, Some(2), "{name}: {log}");
        for text in expected {
            assert!(log.contains(text), "{name} does not say {text}: {log}");
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{name}: {:?}", started.elapsed());
        holds_no_secret(&log);
    }
}
