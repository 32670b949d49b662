//! Stores as the JDK's keytool and openssl write them (`tests/stores/make.sh`), and broken ones.

use std::path::Path;

use millrace_api::ErrorKind;
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;
use crate::certificate::Certificate;
use crate::store::Store;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(name);
    path.to_str().expect("the path is UTF-8").to_owned()
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).expect("the store is in the repository")
}

fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).expect("PEM is text")
}

/// Properties of short forms: `keystore.type` is `ssl.keystore.type`, `@x` is the path of a store,
/// `<x` its text on one line.
fn read(pairs: &[(&str, &str)]) -> Result<TlsSettings> {
    let properties = pairs.iter().map(|(key, value)| {
        let value = match value.as_bytes().first() {
            Some(b'@') => file(&value[1..]),
            Some(b'<') => text(&value[1..]).replace('\n', " "),
            _ => (*value).to_owned(),
        };
        (format!("ssl.{key}"), value)
    });
    TlsSettings::read(&properties.collect())
}

const STORE: (&str, &str) = ("keystore.password", "store-secret");
const KEY: (&str, &str) = ("key.password", "key-secret");
const P12: (&str, &str) = ("keystore.type", "PKCS12");
const PEM: (&str, &str) = ("keystore.type", "PEM");
const SERVER: &[(&str, &str)] = &[("keystore.location", "@server.p12"), STORE, P12];

fn names(certificates: &[CertificateDer<'_>]) -> Vec<String> {
    let name = |der| Certificate::read(der).expect("a certificate").common_name();
    certificates.iter().map(|der| name(der)).collect()
}

#[test]
fn keys_open_whatever_they_lie_in() {
    let chain = ("keystore.certificate.chain", "<chain.pem");
    let reference = read(SERVER).expect("the store is whole").identity.expect("it has a key");
    for pairs in [
        // The JDK goes by the content, not by the type.
        &[("keystore.location", "@server.p12"), STORE][..],
        &[("keystore.location", "@openssl.p12"), STORE, ("keystore.type", "pkcs12")],
        &[("keystore.location", "@openssl-legacy.p12"), STORE, P12],
        &[("keystore.location", "@identity.pem"), PEM, KEY],
        &[("keystore.key", "<key.pem"), chain, PEM],
        &[("keystore.key", "<encrypted-key.pem"), chain, PEM, KEY],
        &[("keystore.key", "<des3-key.pem"), chain, PEM, KEY],
        &[("keystore.key", "<sec1-key.pem"), chain, PEM],
    ] {
        let identity = read(pairs).unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
        let identity = identity.identity.expect("it has a key");
        assert_eq!(names(&identity.chain), ["localhost", "Millrace-Test-CA"], "{pairs:?}");
        assert_eq!(identity.chain, reference.chain, "{pairs:?}");
        if !pairs.contains(&("keystore.key", "<sec1-key.pem")) {
            assert_eq!(identity.key, reference.key, "{pairs:?}");
        }
        let again = pem::key(&identity.key_pem(), None).expect("what we write we can read");
        assert_eq!(again, identity.key);
        assert!(!format!("{identity:?}").contains(&format!("{:?}", identity.key.secret_der())));
    }
    for (store, key, chain) in [
        ("@server.jks", KEY, &["localhost", "Millrace-Test-CA"][..]),
        ("@legacy.p12", STORE, &["localhost"]),
        ("@several.jks", STORE, &["localhost"]),
    ] {
        let settings = read(&[("keystore.location", store), STORE, ("key.password", key.1)]);
        let identity = settings.expect("the store is whole").identity.expect("it has a key");
        assert_eq!(names(&identity.chain), chain, "{store}");
    }
}

#[test]
fn trusted_certificates_are_those_that_java_trusts() {
    let password = ("truststore.password", "store-secret");
    let pem = ("truststore.type", "PEM");
    let ca = &["Millrace-Test-CA"][..];
    for (pairs, expected) in [
        (&[("truststore.location", "@trust.jks"), password][..], ca),
        // Java reads such a store without its password too.
        (&[("truststore.location", "@trust.jks")], ca),
        (&[("truststore.location", "@trust.p12"), password], ca),
        (&[("truststore.location", "@open.p12")], ca),
        (&[("truststore.location", "@open.p12"), password], ca),
        (&[("truststore.location", "@ca.pem"), pem], ca),
        (&[("truststore.certificates", "<ca.pem"), pem], ca),
        (&[("truststore.location", "@several.jks")], &["Millrace-Test-CA", "localhost", "zebra"]),
        (&[("truststore.location", "@server.p12"), password], &["Millrace-Test-CA", "localhost"]),
    ] {
        let settings = read(pairs).unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
        let mut found = names(&settings.trusted.expect("there is a trust store"));
        found.sort();
        assert_eq!(found, expected, "{pairs:?}");
    }
    assert!(read(&[]).expect("nothing is wrong").trusted.is_none());
}

const COMPLAINTS: &[(&[(&str, &str)], &str)] = &[
    (
        &[("keystore.location", "@server.p12")],
        "ssl.keystore.location is set, but ssl.keystore.password is not",
    ),
    (&[STORE], "ssl.keystore.password is set, but ssl.keystore.location is not"),
    (
        &[("keystore.location", "@server.p12"), ("keystore.password", "wrong-secret")],
        "ssl.keystore.location: ssl.keystore.password does not open the key store: the password is \
      wrong, or it was changed or cut off (file: @server.p12)",
    ),
    (
        &[("keystore.location", "@server.jks"), ("keystore.password", "wrong-secret")],
        "ssl.keystore.location: ssl.keystore.password does not open the key store: the password is \
      wrong, or it was changed or cut off (file: @server.jks)",
    ),
    (
        &[("keystore.location", "@server.jks"), STORE],
        "ssl.keystore.location: ssl.keystore.password does not open the private key; the key may \
      have a password of its own: set ssl.key.password (alias: server, file: @server.jks)",
    ),
    (
        &[("keystore.location", "@server.jks"), STORE, ("key.password", "wrong-secret")],
        "ssl.keystore.location: ssl.key.password does not open the private key (alias: server, \
      file: @server.jks)",
    ),
    (
        &[("keystore.location", "@trust.jks"), STORE],
        "ssl.keystore.location: the key store holds no private key with a certificate; it may be a \
      trust store (keytool -list shows what it holds) (file: @trust.jks)",
    ),
    (
        &[("keystore.location", "@ca.pem"), STORE],
        "ssl.keystore.location: the key store is PEM: set ssl.keystore.type=PEM (file: @ca.pem)",
    ),
    (
        &[("keystore.location", "@server.p12"), PEM],
        "ssl.keystore.location: the key store is not PEM: set ssl.keystore.type to JKS or PKCS12 \
      (file: @server.p12)",
    ),
    (
        &[("keystore.location", "@ca.pem"), PEM],
        "ssl.keystore.location: it is damaged: no PEM private key is in it (-----BEGIN PRIVATE \
      KEY-----) (file: @ca.pem)",
    ),
    (
        &[("keystore.location", "@identity.pem"), PEM],
        "ssl.keystore.location: the private key is encrypted: set ssl.key.password (file: \
      @identity.pem)",
    ),
    (
        &[("keystore.location", "@make.sh"), STORE],
        "ssl.keystore.location: the key store cannot be read: it is damaged: it is neither PKCS #12 \
      nor JKS (file: @make.sh)",
    ),
    (
        &[("keystore.location", "@identity.pem"), PEM, STORE],
        "ssl.keystore.password cannot be used with PEM: leave it out",
    ),
    (
        &[("keystore.type", "BKS")],
        "Invalid value BKS for configuration ssl.keystore.type: use JKS, PKCS12 or PEM",
    ),
    (
        &[("keystore.key", "<key.pem")],
        "ssl.keystore.key can be used only with \
      ssl.keystore.type=PEM",
    ),
    (
        &[("keystore.key", "<key.pem"), PEM],
        "ssl.keystore.key is set, but ssl.keystore.certificate.chain is not",
    ),
    (
        &[("keystore.certificate.chain", "<chain.pem"), PEM],
        "ssl.keystore.certificate.chain is set, but ssl.keystore.key is not",
    ),
    (
        &[("keystore.key", "<key.pem"), ("keystore.location", "@ca.pem"), PEM],
        "ssl.keystore.key and ssl.keystore.location are both set: use one",
    ),
    (
        &[("keystore.key", "<key.pem"), ("keystore.certificate.chain", "<ca.pem"), PEM],
        "ssl.keystore: the private key does not belong to the first certificate of its chain",
    ),
    (
        &[("truststore.location", "@unmarked.p12"), ("truststore.password", "store-secret")],
        "ssl.truststore.location: the trust store holds no trusted certificate: its certificates are \
      not marked as trusted; import them with keytool -importcert, export them with openssl \
      pkcs12 -jdktrust anyExtendedKeyUsage, or use PEM (file: @unmarked.p12)",
    ),
    (
        &[("truststore.location", "@trust.p12")],
        "ssl.truststore.location: the trust store holds no trusted certificate: without \
      ssl.truststore.password the certificates in it cannot be read (file: @trust.p12)",
    ),
    (
        &[("truststore.location", "/no/such.jks")],
        "ssl.truststore.location: the trust store cannot be read (file: /no/such.jks)",
    ),
    (
        &[("truststore.location", "no/such.jks")],
        "ssl.truststore.location: the trust store cannot be read; the path is relative to the \
      directory in which the worker was started (file: no/such.jks)",
    ),
    (
        &[("truststore.location", "/dev/zero")],
        "ssl.truststore.location: the file is larger than any trust store (10 MiB) (file: \
      /dev/zero)",
    ),
    (
        &[("enabled.protocols", "TLSv1.1,TLSv1")],
        "Invalid value TLSv1.1,TLSv1 for configuration ssl.enabled.protocols: use TLSv1.2, TLSv1.3 \
      or both; older ones are not safe",
    ),
    (
        &[("enabled.protocols", "TLSv1.3,QUIC")],
        "Invalid value QUIC for configuration ssl.enabled.protocols: use TLSv1.2, TLSv1.3 or both",
    ),
    (
        &[("protocol", "SSLv3")],
        "Invalid value SSLv3 for configuration ssl.protocol: use TLSv1.3 or TLSv1.2; older protocols \
      are not supported",
    ),
    (
        &[("endpoint.identification.algorithm", "none")],
        "Invalid value none for configuration ssl.endpoint.identification.algorithm: use https, or \
      nothing to check no host name",
    ),
    (
        &[("engine.factory.class", "com.example.Factory")],
        "Invalid value com.example.Factory for configuration ssl.engine.factory.class: Java code \
      cannot be loaded; leave the key out, and give certificates by ssl.keystore.* and \
      ssl.truststore.*",
    ),
];

#[test]
fn complaints_name_key_and_file_and_hide_secrets() {
    let stores = file("");
    for (pairs, expected) in COMPLAINTS {
        let error = read(pairs).expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.to_string().replace(&stores, "@"), *expected);
        assert!(!error.trace().contains("secret"), "{}", error.trace());
    }
    let error = read(&[("truststore.location", "/no/such.jks")]).expect_err("it is not there");
    assert!(error.trace().contains("No such file"), "{}", error.trace());
}

#[test]
fn every_key_is_known_and_outdated_certificates_are_named() {
    let location = ("keystore.location", "@expired.p12");
    let settings = read(&[location, STORE, ("provider", "SunJSSE"), ("protocol", "TLS")]);
    let settings = settings.expect("an expired certificate is no error");
    assert_eq!(settings.protocols, ["TLSv1.2", "TLSv1.3"]);
    assert!(settings.verify_host_name && settings.cipher_suites.is_empty());
    let day = |date: i64| date * 86_400;
    let expired = ["ssl.keystore: the certificate of expired expired on 2020-01-02"];
    let early = ["expired", "Millrace-Test-CA"].map(|name| {
        format!("ssl.keystore: the certificate of {name} is not valid before 2020-01-01")
    });
    assert_eq!(settings.outdated(day(20_000)), expired);
    assert_eq!(settings.outdated(day(18_000)), early);
    assert!(settings.outdated(day(18_262) + 86_399).is_empty());
    let chain = &settings.identity.expect("it has a key").chain;
    assert_eq!(
        describe_certificate(&chain[0]),
        "certificate of expired, signed by Millrace-Test-CA, valid from 2020-01-01 until 2020-01-02"
    );
    assert_eq!(describe_certificate(b"no certificate"), "");
}

/// Shakes hands in memory, and says what went wrong on either side.
fn shake(server: &TlsSettings, auth: ClientAuth, client: ClientConfig) -> Result<String, String> {
    shake_as("localhost", server, auth, Arc::new(client))
}

fn shake_as(
    name: &'static str,
    server: &TlsSettings,
    auth: ClientAuth,
    client: Arc<ClientConfig>,
) -> Result<String, String> {
    let config = server.server_config(auth).expect("the settings are right");
    let mut server = ServerConnection::new(config).expect("the settings are right");
    let name = ServerName::try_from(name).expect("a name");
    let mut client = ClientConnection::new(client, name).expect("the settings are right");
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("memory");
        server.read_tls(&mut wire.as_slice()).expect("memory");
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).expect("memory");
        client.read_tls(&mut wire.as_slice()).expect("memory");
        client.process_new_packets().map_err(|error| match RefusedCertificate::of(&error) {
            Some(refused) => format!("client: {refused}"),
            None => format!("client: {error}"),
        })?;
    }
    let version = client.protocol_version().expect("they have agreed");
    let suite = client.negotiated_cipher_suite().expect("they have agreed").suite();
    Ok(format!("{version:?} {suite:?}"))
}

fn client(identity: Option<Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::certificates(&text("ca.pem")).expect("PEM"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the defaults are right")
        .with_root_certificates(roots);
    match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key).expect("ours"),
        None => builder.with_no_client_auth(),
    }
}

#[test]
fn a_server_answers_as_it_is_told() {
    let with = |pairs: &[(&str, &str)]| read(&[SERVER, pairs].concat()).expect("legal");
    let shaken = shake(&with(&[]), ClientAuth::None, client(None)).expect("the CA is right");
    assert!(shaken.starts_with("TLSv1_3"), "{shaken}");
    let suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let narrow = with(&[("enabled.protocols", "TLSv1.2,TLSv1.1"), ("cipher.suites", suite)]);
    let shaken = shake(&narrow, ClientAuth::None, client(None)).expect("they can agree");
    assert_eq!(shaken, format!("TLSv1_2 {suite}"));

    let trusting =
        with(&[("truststore.location", "@trust.jks"), ("cipher.suites", "TLS_AES_256_GCM_SHA384")]);
    let shaken = shake(&trusting, ClientAuth::Required, client(None)).expect_err("no certificate");
    assert!(shaken.contains("server: peer sent no certificates"), "{shaken}");
    let shaken = shake(&trusting, ClientAuth::Requested, client(None)).expect("none is needed");
    assert_eq!(shaken, "TLSv1_3 TLS13_AES_256_GCM_SHA384");
    let known = with(&[]).identity;
    shake(&trusting, ClientAuth::Required, client(known)).expect("a certificate of the CA");
    let stranger = read(&[("keystore.location", "@legacy.p12"), STORE]).expect("legal").identity;
    let shaken = shake(&trusting, ClientAuth::Required, client(stranger)).expect_err("a stranger");
    assert!(shaken.contains("server: invalid peer certificate"), "{shaken}");

    for (settings, auth, expected) in [
        (read(&[]), ClientAuth::None, "ssl.keystore.location is not set"),
        (Ok(with(&[])), ClientAuth::Required, "ssl.truststore.location is not set"),
        (Ok(with(&[("cipher.suites", "TLS_NULL")])), ClientAuth::None, "TLS_NULL for"),
    ] {
        let error = settings.expect("legal").server_config(auth).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

type Pairs = &'static [(&'static str, &'static str)];

/// Server, host that is connected to, what the client has, and what it says.
const MEETINGS: &[(&str, &str, Pairs, &str)] = &[
    ("server.p12", "localhost", TRUST, ""),
    ("server.p12", "127.0.0.1", TRUST, ""),
    ("server.p12", "127.0.0.2", TRUST, "is not for this host"),
    ("server.p12", "localhost", STRANGER, "is not signed by one that ssl.truststore.location"),
    ("elsewhere.p12", "localhost", TRUST, "for this host: connect to a name that it has"),
    ("elsewhere.p12", "elsewhere.example", TRUST, ""),
    ("elsewhere.p12", "localhost", &[TRUST[0], ANY_HOST], ""),
    ("elsewhere.p12", "localhost", &[STRANGER[0], STRANGER[1], ANY_HOST], "is not signed by one"),
    ("expired.p12", "localhost", TRUST, "has expired: the server needs a new one (certificate of"),
    ("expired.p12", "localhost", &[TRUST[0], ANY_HOST], "signed by Millrace-Test-CA, valid from"),
    // Its own certificate lies in the trust store; it is signed by itself and has a common name.
    ("legacy.p12", "localhost", STRANGER, ""),
    ("legacy.p12", "LocalHost", STRANGER, ""),
    ("legacy.p12", "elsewhere.example", STRANGER, "is not for this host"),
    ("legacy.p12", "localhost", TRUST, "is not signed by one"),
    ("expired.p12", "localhost", &[("truststore.location", "@expired.p12"), PASSWORD], "expired"),
];
const TRUST: &[(&str, &str)] = &[("truststore.location", "@trust.jks")];
const STRANGER: &[(&str, &str)] =
    &[("truststore.location", "@stranger.pem"), ("truststore.type", "PEM")];
const ANY_HOST: (&str, &str) = ("endpoint.identification.algorithm", "");
const PASSWORD: (&str, &str) = ("truststore.password", "store-secret");

#[test]
fn a_client_accepts_what_java_accepts() {
    for (server, name, client, expected) in MEETINGS {
        let server_settings = read(&[("keystore.location", &format!("@{server}")), STORE]);
        let config = read(client).expect("legal").client_config().expect("legal");
        let server_settings = server_settings.expect("legal");
        let shaken = shake_as(name, &server_settings, ClientAuth::None, config);
        match shaken {
            Ok(version) => assert_eq!(*expected, "", "{server} as {name}: {version}"),
            Err(told) => assert!(
                !expected.is_empty() && told.contains(expected),
                "{server} as {name} with {client:?}: {told}"
            ),
        }
    }
}

#[test]
fn a_client_says_who_it_is_in_protocols_it_may_use() {
    let server = [SERVER, TRUST].concat();
    let narrow = [("enabled.protocols", "TLSv1.2")];
    let shaken = |server: &[(&str, &str)], client: &[(&str, &str)]| {
        let config = read(&[TRUST, client].concat()).expect("legal").client_config()?;
        let server = read(server).expect("legal");
        shake_as("localhost", &server, ClientAuth::Required, config).map_err(Error::fatal)
    };
    assert!(shaken(&server, SERVER).expect("both are known").starts_with("TLSv1_3"));
    let known = [SERVER, &narrow].concat();
    assert!(shaken(&server, &known).expect("both are known").starts_with("TLSv1_2"));
    let told = shaken(&server, &[]).expect_err("it has no certificate").to_string();
    assert!(told.contains("server: peer sent no certificates"), "{told}");
    let suites = [("cipher.suites", "TLS_AES_256_GCM_SHA384"), narrow[0]];
    let told = shaken(&server, &suites).expect_err("nothing is left").to_string();
    assert!(told.contains("ssl.cipher.suites has none for ssl.enabled.protocols"), "{told}");
}

#[test]
fn stores_that_change_hold_for_new_connections() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trust.pem");
    let place = |content: &[u8]| {
        // As certificates are rolled: at once.
        let new = directory.path().join("new");
        std::fs::write(&new, content).expect("written");
        std::fs::rename(&new, &path).expect("replaced");
    };
    place(&bytes("stranger.pem"));
    let properties = [
        ("ssl.truststore.location", path.to_str().expect("UTF-8")),
        ("ssl.truststore.type", "PEM"),
        ("other.password", "other-secret"),
    ];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let tls = ClientTls::read(&properties.into()).expect("legal");
    assert!(!format!("{tls:?}").contains("secret"));
    let server = read(SERVER).expect("legal");
    let shaken = || shake_as("localhost", &server, ClientAuth::None, tls.config());
    let first = tls.config();
    assert!(Arc::ptr_eq(&first, &tls.config()), "nothing is read again without a reason");
    shaken().expect_err("the server is unknown");
    place(&bytes("ca.pem"));
    shaken().expect("the server is known now");
    let good = tls.config();
    place(b"no PEM");
    assert!(Arc::ptr_eq(&good, &tls.config()), "what is broken changes nothing");
    std::fs::remove_file(&path).expect("it is there");
    shaken().expect("the server is still known");
    place(&bytes("stranger.pem"));
    shaken().expect_err("the server is unknown again");
}

#[test]
fn private_keys_of_pem_files_are_opened() {
    private_key_pem(&text("key.pem"), None).expect("it is not encrypted");
    private_key_pem(&text("encrypted-key.pem"), Some("key-secret")).expect("the password is right");
    for (file, password, expected) in [
        ("encrypted-key.pem", None, "the private key is encrypted"),
        ("encrypted-key.pem", Some("wrong-secret"), "the password is wrong"),
        ("ca.pem", None, "no PEM private key is in it"),
    ] {
        let error = private_key_pem(&text(file), password).expect_err(expected).to_string();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
    }
}

const SAMPLES: &[&str] = &[
    "server.p12",
    "legacy.p12",
    "openssl.p12",
    "server.jks",
    "several.jks",
    "trust.p12",
    "unmarked.p12",
    "open.p12",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The check of a store's digest is left out, so that damage reaches what lies behind it.
    #[test]
    fn damage_ends_in_an_error_at_worst(
        sample in 0..SAMPLES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes(SAMPLES[sample]);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = Store::read(&bytes, Some("store-secret"));
        if let Ok(store) = Store::read(&bytes, None) {
            for entry in &store.keys {
                let _ = entry.open("store-secret");
                for certificate in &entry.chain {
                    let _ = describe_certificate(certificate);
                }
            }
        }
    }

    #[test]
    fn anything_may_stand_where_pem_belongs(text in "(-----(BEGIN|END) |KEY-----|[A-Z =\n]{0,9}){0,8}") {
        let _ = pem::certificates(&text);
        let _ = pem::key(&text, Some("x"));
    }
}

#[test]
fn an_error_names_keys_with_their_prefix() {
    let error = Error::config("ssl.keystore.location: ssl.keystore.password does not open it")
        .context("file", "/etc/ssl.keystore.d/ssl.key.password")
        .with_source(std::io::Error::other("(ssl.protocol) is not ssl.other"));
    let told = below("listeners.https.", &error);
    assert_eq!(
        told.to_string(),
        "listeners.https.ssl.keystore.location: listeners.https.ssl.keystore.password does not \
         open it (file: /etc/ssl.keystore.d/ssl.key.password)"
    );
    let source = std::error::Error::source(&told).expect("it is kept").to_string();
    assert_eq!(source, "(listeners.https.ssl.protocol) is not ssl.other");
    assert_eq!(below("", &error).to_string(), error.to_string());
}
