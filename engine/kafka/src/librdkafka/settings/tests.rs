//! What Java's settings become.

use expect_test::{Expect, expect};
use millrace_api::ErrorKind;

use super::*;
use crate::properties::keys::tests::java_keys;
use crate::properties::{jaas, keys};

fn properties(text: &str) -> Properties {
    let lines = text.lines().filter_map(|line| line.trim().split_once('='));
    let mut properties: Properties = lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    properties.entry("bootstrap.servers".to_owned()).or_insert_with(|| "h:9092".to_owned());
    properties
}

/// What differs from the translation of no properties at all.
fn check(role: Role, text: &str, expected: &Expect) {
    let plain = translate(role, &properties("")).expect("the defaults are legal");
    let translated = translate(role, &properties(text)).expect("the properties are legal");
    let mut lines = String::new();
    for setting in &translated.librdkafka {
        if !plain.librdkafka.contains(setting) {
            lines += &format!("{setting:?}\n");
        }
    }
    expected.assert_eq(&lines);
}

fn complaint(role: Role, text: &str) -> String {
    let error = translate(role, &properties(text)).expect_err("the properties are not legal");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

#[test]
fn defaults_are_javas() {
    let all = |role| {
        let settings = translate(role, &properties("")).expect("the defaults are legal");
        let lines: Vec<_> = settings.librdkafka.iter().map(|s| format!("{s:?}\n")).collect();
        lines.concat()
    };
    expect![[r#"
        bootstrap.servers=h:9092
        client.id=millrace
        socket.connection.setup.timeout.ms=10000
        reconnect.backoff.ms=500
        reconnect.backoff.max.ms=1000
        retry.backoff.ms=100
        retry.backoff.max.ms=1000
        topic.metadata.refresh.interval.ms=300000
        metadata.max.age.ms=900000
        log.connection.close=false
        statistics.interval.ms=5000
        socket.timeout.ms=30000
        request.timeout.ms=30000
        linger.ms=5
        delivery.timeout.ms=120000
        acks=all
        retries=2147483647
        max.in.flight.requests.per.connection=5
        enable.idempotence=true
        compression.type=none
        message.max.bytes=1048576
        queue.buffering.max.kbytes=32769
        queue.buffering.max.messages=131072
        topic.metadata.propagation.max.ms=60000
        sticky.partitioning.linger.ms=0
        security.protocol=plaintext
    "#]]
    .assert_eq(&all(Role::Producer));
    expect![[r#"
        bootstrap.servers=h:9092
        client.id=millrace
        socket.connection.setup.timeout.ms=10000
        reconnect.backoff.ms=500
        reconnect.backoff.max.ms=1000
        retry.backoff.ms=100
        retry.backoff.max.ms=1000
        topic.metadata.refresh.interval.ms=300000
        metadata.max.age.ms=900000
        log.connection.close=false
        statistics.interval.ms=5000
        fetch.wait.max.ms=500
        socket.timeout.ms=30000
        fetch.min.bytes=1
        fetch.message.max.bytes=1048576
        fetch.max.bytes=52428800
        message.max.bytes=1000000
        queued.max.messages.kbytes=8192
        queued.min.messages=5000
        fetch.queue.backoff.ms=20
        check.crcs=true
        allow.auto.create.topics=true
        isolation.level=read_uncommitted
        auto.offset.reset=latest
        enable.auto.commit=false
        enable.auto.offset.store=false
        group.id=millrace-no-group
        group.protocol=classic
        max.poll.interval.ms=300000
        session.timeout.ms=45000
        heartbeat.interval.ms=3000
        partition.assignment.strategy=range
        security.protocol=plaintext
    "#]]
    .assert_eq(&all(Role::Consumer));
}

#[test]
fn connects_source_producer() {
    check(
        Role::Producer,
        "max.block.ms=9223372036854775807
         enable.idempotence=false
         acks=-1
         max.in.flight.requests.per.connection=1
         delivery.timeout.ms=2147483647
         client.id=connector-producer-x-0
         key.serializer=org.apache.kafka.common.serialization.ByteArraySerializer",
        &expect![[r#"
            client.id=connector-producer-x-0
            delivery.timeout.ms=2147483647
            max.in.flight.requests.per.connection=1
            topic.metadata.propagation.max.ms=2000000
        "#]],
    );
}

#[test]
fn producer_settings_change_their_names() {
    check(
        Role::Producer,
        "linger.ms=0
         batch.size=0
         buffer.memory=1048576
         max.request.size=2000000
         compression.type=zstd
         compression.zstd.level=-5
         compression.gzip.level=9
         retries=0
         acks=1
         retry.backoff.ms=0
         reconnect.backoff.ms=5000
         connections.max.idle.ms=-1
         send.buffer.bytes=-1
         receive.buffer.bytes=65536
         transactional.id=t",
        &expect![[r#"
            connections.max.idle.ms=0
            socket.send.buffer.bytes=0
            socket.receive.buffer.bytes=65536
            reconnect.backoff.ms=5000
            reconnect.backoff.max.ms=5000
            retry.backoff.ms=1
            batch.size=1
            linger.ms=0
            delivery.timeout.ms=60000
            acks=1
            retries=0
            enable.idempotence=false
            compression.type=zstd
            compression.level=-1
            message.max.bytes=2000000
            queue.buffering.max.kbytes=1954
            queue.buffering.max.messages=7812
            transactional.id=t
            transaction.timeout.ms=60000
        "#]],
    );
}

#[test]
fn connects_sink_consumer() {
    let text = "group.id=connect-x
         enable.auto.commit=false
         auto.offset.reset=earliest
         isolation.level=READ_COMMITTED
         max.poll.records=7
         fetch.max.wait.ms=100
         session.timeout.ms=400000
         partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    check(
        Role::Consumer,
        text,
        &expect![[r#"
            fetch.wait.max.ms=100
            isolation.level=read_committed
            auto.offset.reset=earliest
            group.id=connect-x
            max.poll.interval.ms=400000
            session.timeout.ms=400000
            partition.assignment.strategy=cooperative-sticky
        "#]],
    );
    let settings = translate(Role::Consumer, &properties(text)).unwrap();
    assert_eq!(settings.max_poll_records, 7);
    assert_eq!(settings.offset_reset, OffsetReset::Earliest);
    assert!(settings.read_committed);
    assert_eq!(settings.group_id.as_deref(), Some("connect-x"));
}

#[test]
fn the_new_group_protocol_leaves_timeouts_to_the_broker() {
    let text =
        "group.id=g\ngroup.protocol=CONSUMER\ngroup.remote.assignor=uniform\nsession.timeout.ms=5";
    let settings = translate(Role::Consumer, &properties(text)).unwrap();
    let has = |name| settings.librdkafka.iter().any(|setting| setting.name == name);
    assert!(has("group.remote.assignor") && has("max.poll.interval.ms"));
    assert!(!has("session.timeout.ms") && !has("partition.assignment.strategy"));
}

#[test]
fn assignors_have_one_protocol() {
    let names = |strategy: &str| assignors(Some(strategy)).expect("legal");
    let package = "org.apache.kafka.clients.consumer";
    assert_eq!(names(""), "range");
    assert_eq!(
        names(&format!("{package}.RangeAssignor, {package}.CooperativeStickyAssignor")),
        "range"
    );
    assert_eq!(
        names(&format!("{package}.RoundRobinAssignor,{package}.RangeAssignor")),
        "roundrobin,range"
    );
    assert_eq!(names(&format!("{package}.StickyAssignor,{package}.RangeAssignor")), "range");
    let error = assignors(Some(&format!("{package}.StickyAssignor"))).expect_err("alone");
    assert!(error.message().contains("CooperativeStickyAssignor"), "{error}");
}

/// A store of the TLS crate's tests.
fn store(name: &str) -> String {
    format!("{}/../tls/tests/stores/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn sasl_and_ssl() {
    let text = format!(
        r#"security.protocol=SASL_SSL
           sasl.mechanism=SCRAM-SHA-512
           sasl.jaas.config={} required username="al ice" password='s"e;c\\ret';
           ssl.truststore.location={}
           ssl.truststore.password=store-secret
           ssl.keystore.type=PKCS12
           ssl.keystore.location={}
           ssl.keystore.password=store-secret
           ssl.cipher.suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256
           ssl.endpoint.identification.algorithm="#,
        jaas::SCRAM,
        store("trust.jks"),
        store("server.p12"),
    );
    let settings = translate(Role::Admin, &properties(&text)).expect("the stores are whole");
    let value = |name: &str| {
        let setting = settings.librdkafka.iter().find(|setting| setting.name == name);
        setting.unwrap_or_else(|| panic!("{name} is not set")).value.clone()
    };
    for (name, expected) in [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanisms", "SCRAM-SHA-512"),
        ("sasl.username", "al ice"),
        ("sasl.password", r#"s"e;c\ret"#),
        ("ssl.endpoint.identification.algorithm", "none"),
        ("ssl.cipher.suites", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ] {
        assert_eq!(value(name), expected);
    }
    let pem = |name: &str| std::fs::read_to_string(store(name)).expect("it is in the repository");
    let same = |a: &str, b: &str| assert_eq!(a.replace("\r\n", "\n"), b.replace("\r\n", "\n"));
    same(&value("ssl.ca.pem"), &pem("ca.pem"));
    same(&value("ssl.certificate.pem"), &pem("chain.pem"));
    assert!(value("ssl.key.pem").starts_with("-----BEGIN PRIVATE KEY-----"));
    let printed = format!("{settings:?}");
    assert!(!printed.contains("s\"e;c") && !printed.contains("PRIVATE KEY"), "{printed}");
    assert!(!printed.contains("store-secret"), "{printed}");
}

const COMPLAINTS: &[(Role, &str, &str)] = &[
    (
        Role::Producer,
        "linger.ms=x",
        "Invalid value x for configuration linger.ms: Not a number of type LONG",
    ),
    (
        Role::Producer,
        "linger.ms=-1",
        "Invalid value -1 for configuration linger.ms: Value must be at least 0",
    ),
    (
        Role::Producer,
        "acks=2",
        "Invalid value 2 for configuration acks: String must be one of: all, -1, 0, 1",
    ),
    (
        Role::Producer,
        "enable.idempotence=true\nacks=1",
        "Must set acks to all in order to use the idempotent producer. Otherwise we cannot \
         guarantee idempotence.",
    ),
    (
        Role::Producer,
        "enable.idempotence=yes",
        "Invalid value yes for configuration enable.idempotence: Expected value to be either \
         true or false",
    ),
    (
        Role::Producer,
        "delivery.timeout.ms=1000",
        "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms \
         (delivery.timeout.ms: 1000, linger.ms + request.timeout.ms: 30005)",
    ),
    (
        Role::Producer,
        "compression.gzip.level=10",
        "Invalid value 10 for configuration compression.gzip.level: Value must be no more than 9",
    ),
    (
        Role::Consumer,
        "auto.offset.reset=first",
        "Invalid value first for configuration auto.offset.reset: String must be one of: latest, \
         earliest, none",
    ),
    (
        Role::Consumer,
        "max.poll.records=0",
        "Invalid value 0 for configuration max.poll.records: Value must be at least 1",
    ),
    (
        Role::Admin,
        "bootstrap.servers=",
        "Missing required configuration \"bootstrap.servers\" which has no default value.",
    ),
    (
        Role::Admin,
        "security.protocol=TLS",
        "Invalid value TLS for configuration security.protocol: String must be one of: \
         PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
    ),
    (
        Role::Admin,
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN",
        "Missing required configuration \"sasl.jaas.config\" which has no default value.",
    ),
    (
        Role::Admin,
        "security.protocol=SASL_SSL",
        "Invalid value GSSAPI for configuration sasl.mechanism: Kerberos is not supported, \
         whatever kafka.client says. Let the client in by another way that the brokers' listeners \
         offer: sasl.mechanism=SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER with its \
         sasl.jaas.config, or security.protocol=SSL with a key store (where sasl.mechanism is not \
         set, it is GSSAPI as in Java)",
    ),
    (
        Role::Producer,
        "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER",
        "Invalid value OAUTHBEARER for configuration sasl.mechanism: tokens cannot be \
         fetched with kafka.client=librdkafka; use kafka.client=native, or PLAIN, SCRAM-SHA-256 or \
         SCRAM-SHA-512",
    ),
    (
        Role::Producer,
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.login.class=com.example.Login",
        "Invalid value com.example.Login for configuration sasl.login.class: Java code cannot be \
         loaded; leave the key out",
    ),
    (
        Role::Admin,
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n\
         sasl.jaas.config=com.sun.security.auth.module.JndiLoginModule required password=hush;",
        "Invalid value [hidden] for configuration sasl.jaas.config: No LoginModule found for \
         com.sun.security.auth.module.JndiLoginModule: use \
         org.apache.kafka.common.security.plain.PlainLoginModule",
    ),
    (
        Role::Admin,
        "security.protocol=SSL\nssl.truststore.location=/no/such.jks",
        "ssl.truststore.location: the trust store cannot be read (file: /no/such.jks)",
    ),
];

#[test]
fn complaints_name_the_key_and_hide_secrets() {
    for (role, text, expected) in COMPLAINTS {
        assert_eq!(complaint(*role, text), *expected);
    }
    for jaas in [
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=u password=hush",
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=u \
         password=\"hush",
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=u \
         password=hush;",
        "org.apache.kafka.common.security.plain.PlainLoginModule required password=hush;",
        "org.apache.kafka.common.security.plain.PlainLoginModule;",
    ] {
        let text =
            format!("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config={jaas}");
        let complaint = complaint(Role::Admin, &text);
        assert!(
            complaint.contains("sasl.jaas.config") && !complaint.contains("hush"),
            "{complaint}"
        );
    }
}

/// What has a meaning is asked for, and what has none is not.
#[test]
fn fates_are_what_happens() {
    let empty = properties("");
    for role in [Role::Producer, Role::Consumer, Role::Admin] {
        let mut reader = Reader::new(&empty);
        read(role, &mut reader).unwrap();
        for (name, has_meaning) in keys::meanings(role, Backend::Librdkafka) {
            assert_eq!(reader.has_read(name), has_meaning, "{name} of the {role:?}");
        }
    }
}

#[test]
fn javas_types_and_ranges_hold() {
    for key in java_keys() {
        let complaint = |value: &str| {
            let text = format!("{}={value}", key.name);
            translate(key.role, &properties(&text)).err().map(|error| error.to_string())
        };
        if !["BOOLEAN", "DOUBLE", "INT", "LONG", "SHORT"].contains(&key.kind) {
            continue;
        }
        let expected = match key.kind {
            "BOOLEAN" => "Expected value to be either true or false".to_owned(),
            kind => format!("Not a number of type {kind}"),
        };
        let expected = format!("Invalid value x for configuration {}: {expected}", key.name);
        assert_eq!(complaint("x").as_deref(), Some(expected.as_str()));
        if !["null", "required"].contains(&key.default) {
            assert_eq!(complaint(key.default), None, "the default of {}", key.name);
        }
        if key.kind == "INT" {
            let large = complaint("2147483648").unwrap_or_default();
            assert!(large.ends_with("Not a number of type INT"), "{}: {large}", key.name);
        }
        let mut meanings = keys::meanings(key.role, Backend::Librdkafka);
        let has_meaning = meanings.any(|meaning| meaning == (key.name, true));
        let least = key.valid.strip_prefix('[').and_then(|rest| rest.split_once(",..."));
        if let Some(least) = least.and_then(|(least, _)| least.parse::<i64>().ok())
            && has_meaning
            && !key.name.starts_with("compression.")
        {
            let low = complaint(&(least - 1).to_string()).unwrap_or_default();
            let expected = format!("Value must be at least {least}");
            assert!(low.ends_with(&expected), "{}: {low}", key.name);
        }
    }
}
