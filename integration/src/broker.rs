//! Decides which Kafka a test talks to: the shared broker, or one of its own that it may pause and
//! kill.

use crate::client::Client;
use crate::leash::Leash;
use crate::{block_on, free_port, test_run, wait_until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::sync::OnceLock;
use std::time::Duration;
use testcontainers_modules::kafka::apache::{KAFKA_PORT, Kafka};
use testcontainers_modules::testcontainers::runners::AsyncRunner as _;
use testcontainers_modules::testcontainers::{ContainerAsync, ContainerRequest, ImageExt as _};

/// The image that `integration/setup.sh` builds, unless the environment names another.
pub fn image() -> (String, String) {
    let or = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    (or("KAFKA_IMAGE_NAME", "localhost/kafka-test"), or("KAFKA_IMAGE_TAG", "4.3.1"))
}

/// The bootstrap address of the broker that all tests of this process share which use one client.
/// Topics and groups need names that no other test uses.
pub fn kafka(client: Client) -> &'static str {
    static NATIVE: OnceLock<Broker> = OnceLock::new();
    static LIBRDKAFKA: OnceLock<Broker> = OnceLock::new();
    let shared = match client {
        Client::Native => &NATIVE,
        Client::Librdkafka => &LIBRDKAFKA,
    };
    shared.get_or_init(Broker::start).bootstrap()
}

/// A broker in a container, removed on drop.
pub struct Broker {
    /// Absent only while it is being dropped.
    container: Option<ContainerAsync<Kafka>>,
    bootstrap: String,
    _leash: Leash,
}

impl Broker {
    /// Starts a broker on a port that stays the same when it restarts.
    pub fn start() -> Self {
        let (name, tag) = image();
        let port = free_port();
        let request: ContainerRequest<Kafka> = Kafka::default()
            .with_name(&name)
            .with_tag(&tag)
            .with_mapped_port(port, KAFKA_PORT)
            .with_label("millrace.test", test_run())
            // A broker that was killed comes back only when its old session has run out: 9 s unless
            // told.
            .with_env_var("KAFKA_BROKER_SESSION_TIMEOUT_MS", "2000")
            .with_env_var("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "300")
            // A consumer that was killed keeps its partitions until its session has run out: tests
            // that kill workers ask for short ones.
            .with_env_var("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000");
        let container = block_on(request.start()).unwrap_or_else(|error| {
            panic!("{name}:{tag} does not start; run `integration/setup.sh servers` once: {error}")
        });
        let leash = Leash::new(&format!("docker rm -f {}", container.id()));
        // Not the container's host: in a container that would be the bridge's gateway.
        Self { container: Some(container), bootstrap: format!("127.0.0.1:{port}"), _leash: leash }
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    fn container(&self) -> &ContainerAsync<Kafka> {
        self.container.as_ref().expect("the container is there until the broker is dropped")
    }

    /// Freezes the broker: connections stay open, nothing answers.
    pub fn pause(&self) {
        block_on(self.container().pause()).expect("a running container can be paused");
    }

    /// Ends a [`pause`](Self::pause).
    pub fn unpause(&self) {
        block_on(self.container().unpause()).expect("a paused container can go on");
    }

    /// Kills the broker as `kill -9` does.
    pub fn kill(&self) {
        block_on(self.container().stop_with_timeout(Some(0))).expect("a running container stops");
    }

    /// Starts a killed broker again, with its data, and waits until it answers.
    pub fn restart(&self) {
        block_on(self.container().start()).expect("a stopped container starts");
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .expect("the client's settings are right");
        wait_until("the restarted broker", Duration::from_secs(60), || {
            client.fetch_metadata(None, Duration::from_secs(1)).ok()
        });
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(container) = self.container.take() {
            // The leash removes what could not be removed here.
            let _ = block_on(container.rm());
        }
    }
}
