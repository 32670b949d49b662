//! Decides how a test gets a broker that speaks TLS and SASL: one container, a listener for each
//! way to connect and each way to fail.
//!
//! Its certificates are those of `engine/tls/tests/stores`, made by the JDK's keytool.

use crate::leash::Leash;
use crate::{broker, free_port, test_run, wait_until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Alice's password on the broker, for PLAIN and SCRAM: no log may show it.
pub const PASSWORD: &str = "canary 7f3a;x";
/// The password of all stores.
pub const STORE_PASSWORD: &str = "store-secret";
/// The user that the broker knows.
pub const USER: &str = "alice";

/// How a broker's listener is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Without anything, for the test itself.
    Plaintext,
    /// TLS.
    Tls,
    /// TLS that asks for the client's certificate.
    Mutual,
    /// TLS, and SASL with PLAIN or SCRAM-SHA-512.
    SaslTls,
    /// SASL with PLAIN or SCRAM-SHA-512.
    Sasl,
    /// TLS, with a certificate that has expired.
    Expired,
    /// TLS, with a certificate for another host.
    Elsewhere,
    /// SASL with OAUTHBEARER and tokens that nobody has signed.
    OAuth,
    /// TLS, and SASL as [`SaslTls`](Self::SaslTls) for sessions of [`SESSION`].
    Renewed,
}

/// After so long the listener [`Listener::Renewed`] wants a client to say again who it is.
pub const SESSION: Duration = Duration::from_secs(3);

use Listener::{Elsewhere, Expired, Mutual, OAuth, Plaintext, Renewed, Sasl, SaslTls, Tls};

const LISTENERS: [(Listener, &str, &str); 9] = [
    (Plaintext, "PLAINTEXT", "PLAINTEXT"),
    (Tls, "TLS", "SSL"),
    (Mutual, "MUTUAL", "SSL"),
    (SaslTls, "SASLTLS", "SASL_SSL"),
    (Sasl, "SASL", "SASL_PLAINTEXT"),
    (Expired, "EXPIRED", "SSL"),
    (Elsewhere, "ELSEWHERE", "SSL"),
    (OAuth, "OAUTH", "SASL_PLAINTEXT"),
    (Renewed, "RENEWED", "SASL_SSL"),
];

/// A broker with all listeners; removed on drop.
#[derive(Debug)]
pub struct SecureBroker {
    name: String,
    ports: Vec<u16>,
    _leash: Leash,
}

/// A store of the TLS crate's tests.
pub fn store(name: &str) -> PathBuf {
    stores().join(name)
}

fn stores() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tls/tests/stores");
    path.canonicalize().expect("the stores are in the repository")
}

/// `sasl.jaas.config` for a user.
pub fn jaas(module: &str, user: &str, password: &str) -> String {
    let password = password.replace('\\', "\\\\").replace('"', "\\\"");
    let module = format!("org.apache.kafka.common.security.{module}LoginModule");
    format!("{module} required username=\"{user}\" password=\"{password}\";")
}

impl SecureBroker {
    /// Starts the broker and makes its users.
    pub fn start() -> Self {
        let (image, tag) = broker::image();
        let name = format!("millrace-secure-{}-{}", std::process::id(), free_port());
        let ports: Vec<u16> = LISTENERS.iter().map(|_| free_port()).collect();
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--detach", "--network", "host", "--name", &name]);
        command.args(["--label", &format!("millrace.test={}", test_run())]);
        command.arg(format!("--volume={}:/stores:ro", stores().display()));
        for (key, value) in properties(&ports, free_port()) {
            command.arg(format!("--env={}={value}", variable(&key)));
        }
        let leash = Leash::new(&format!("docker rm -f {name}"));
        run(command.arg(format!("{image}:{tag}")));
        let broker = Self { name, ports, _leash: leash };
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.address(Plaintext))
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .expect("the client's settings are right");
        wait_until("the secure broker", Duration::from_secs(60), || {
            client.fetch_metadata(None, Duration::from_secs(1)).ok()
        });
        broker.add_scram_user();
        broker
    }

    /// `host:port` of a listener, for `bootstrap.servers`.
    pub fn address(&self, listener: Listener) -> String {
        let index = LISTENERS.iter().position(|(known, ..)| *known == listener);
        format!("127.0.0.1:{}", self.ports[index.expect("all listeners are in the table")])
    }

    fn add_scram_user(&self) {
        let mut command = Command::new("docker");
        command.args(["exec", &self.name, "/opt/kafka/bin/kafka-tool", "configs"]);
        command.args(["--bootstrap-server", &self.address(Plaintext), "--alter"]);
        command.args(["--entity-type", "users", "--entity-name", USER]);
        run(command.arg("--add-config").arg(format!("SCRAM-SHA-512=[password={PASSWORD}]")));
    }
}

impl Drop for SecureBroker {
    fn drop(&mut self) {
        // The leash removes what could not be removed here.
        let _ = Command::new("docker").args(["rm", "-f", &self.name]).output();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("docker does not start: {error}"));
    assert!(
        output.status.success(),
        "docker: {}\nrun `integration/setup.sh servers` once",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The broker's properties.
fn properties(ports: &[u16], controller: u16) -> Vec<(String, String)> {
    let each = |entry: &dyn Fn(&str, &str, u16) -> String| {
        let entries = LISTENERS.iter().zip(ports);
        entries.map(|((_, name, protocol), port)| entry(name, protocol, *port)).collect::<Vec<_>>()
    };
    let addresses = each(&|name, _, port| format!("{name}://127.0.0.1:{port}")).join(",");
    let protocols = each(&|name, protocol, _| format!("{name}:{protocol}")).join(",");
    let mut properties = Vec::new();
    let mut set = |key: &str, value: &str| properties.push((key.to_owned(), value.to_owned()));
    set("listeners", &format!("{addresses},CONTROLLER://127.0.0.1:{controller}"));
    set("advertised.listeners", &addresses);
    set("listener.security.protocol.map", &format!("CONTROLLER:PLAINTEXT,{protocols}"));
    set("controller.quorum.voters", &format!("1@127.0.0.1:{controller}"));
    set("inter.broker.listener.name", "PLAINTEXT");
    for (name, keystore) in [
        ("tls", "server.p12"),
        ("mutual", "server.jks"),
        ("sasltls", "server.p12"),
        ("expired", "expired.p12"),
        ("elsewhere", "elsewhere.p12"),
        ("renewed", "server.p12"),
    ] {
        let mut set = |key: &str, value: &str| set(&format!("listener.name.{name}.{key}"), value);
        set("ssl.keystore.location", &format!("/stores/{keystore}"));
        set("ssl.keystore.password", STORE_PASSWORD);
        let key = if keystore.ends_with("jks") { "key-secret" } else { STORE_PASSWORD };
        set("ssl.key.password", key);
    }
    set("listener.name.mutual.ssl.client.auth", "required");
    set("listener.name.mutual.ssl.truststore.location", "/stores/trust.jks");
    set("listener.name.mutual.ssl.truststore.password", STORE_PASSWORD);
    for name in ["sasltls", "sasl", "renewed"] {
        let mut set = |key: &str, value: &str| set(&format!("listener.name.{name}.{key}"), value);
        set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512");
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let user = format!("user_{USER}=\"{PASSWORD}\"");
        set("plain.sasl.jaas.config", &format!("{module} required {user};"));
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        set("scram-sha-512.sasl.jaas.config", &format!("{module} required;"));
    }
    for mechanism in ["plain", "scram-sha-512"] {
        let key = format!("listener.name.renewed.{mechanism}.connections.max.reauth.ms");
        set(&key, &SESSION.as_millis().to_string());
    }
    let mut set = |key: &str, value: &str| set(&format!("listener.name.oauth.{key}"), value);
    set("sasl.enabled.mechanisms", "OAUTHBEARER");
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let jaas = format!("{module} required unsecuredLoginStringClaim_sub=\"broker\";");
    set("oauthbearer.sasl.jaas.config", &jaas);
    properties
}

/// The environment variable that the image makes this key of: `.` is `_`, `-` is `___`.
fn variable(key: &str) -> String {
    format!("KAFKA_{}", key.replace('-', "___").replace('.', "_").to_uppercase())
}
