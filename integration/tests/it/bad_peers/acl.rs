//! A user who may not: errors that name what is forbidden, and no waiting for it.

use millrace_api::{Error, ErrorKind, TopicPartition};
use millrace_integration::brokers::Brokers;
use millrace_integration::client::Client;
use millrace_integration::security::{PASSWORD, USER, jaas};
use millrace_integration::topic::{self, Record};
use millrace_integration::{block_on, traffic};
use millrace_kafka::{Acknowledge, Cluster, Consumer, Polled, Properties, Subscription};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A topic that alice may read and write, one that she may only see, and one that she may not see.
const TOPICS: [&str; 3] = ["open", "seen", "hidden"];

/// Longer than any call may take that is refused.
const SOON: Duration = Duration::from_secs(15);

fn broker() -> Brokers {
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let users = format!("{module} required user_{USER}=\"{PASSWORD}\";");
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let brokers = Brokers::start_at(
        1,
        &[
            ("listeners", "PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093,SASL://0.0.0.0:9094"),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT",
            ),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN"),
            ("listener.name.sasl.plain.sasl.jaas.config", &users),
            ("authorizer.class.name", authorizer),
            ("super.users", "User:ANONYMOUS"),
        ],
        |ip| format!("PLAINTEXT://{ip}:9092,SASL://{ip}:9094"),
    );
    for name in TOPICS {
        topic::create_topic(&brokers.bootstrap(), name, 1);
    }
    let record = Record { value: Some(b"one".to_vec()), ..Record::default() };
    topic::produce(&brokers.bootstrap(), "open", &[record]);
    let user = format!("User:{USER}");
    let allow = |arguments: &[&str]| {
        let mut all = vec!["--add", "--allow-principal", &user];
        all.extend(arguments);
        brokers.java("org.apache.kafka.tools.AclCommand", &all);
    };
    allow(&["--operation", "Read", "--operation", "Write", "--topic", "open"]);
    allow(&["--operation", "Describe", "--topic", "seen"]);
    allow(&["--operation", "Read", "--group", "open"]);
    brokers
}

struct Alice {
    client: Client,
    cluster: Arc<dyn Cluster>,
    security: Properties,
}

impl Alice {
    fn new(brokers: &Brokers, client: Client) -> Self {
        let jaas = jaas("plain.Plain", USER, PASSWORD);
        let mut security = client.properties(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.jaas.config", &jaas),
            ("request.timeout.ms", "5000"),
            ("default.api.timeout.ms", "10000"),
            ("max.block.ms", "10000"),
            ("auto.offset.reset", "earliest"),
        ]);
        security
            .insert("bootstrap.servers".to_owned(), brokers.address(0).replace(":9092", ":9094"));
        let cluster = millrace_kafka::connect(&security).unwrap();
        Self { client, cluster, security }
    }

    fn consumer(&self, group: &str) -> Box<dyn Consumer> {
        let mut properties = self.security.clone();
        properties.insert("group.id".to_owned(), group.to_owned());
        block_on(self.cluster.consumer(&properties)).unwrap()
    }

    /// What becomes of a record.
    fn produce(&self, topic: &str) -> Result<(), Error> {
        #[derive(Default)]
        struct Heard(Mutex<Option<Error>>);
        impl Acknowledge for Heard {
            fn acknowledged(&self, _records: usize) {}
            fn failed(&self, _records: usize, error: &Error) {
                let text = error.trace().to_string();
                *self.0.lock().unwrap() = Some(Error::new(error.kind(), text));
            }
        }
        let record = Record { value: Some(b"two".to_vec()), ..Record::default() };
        let run = traffic::pack(topic, Some(0), &[record]);
        let heard = Arc::new(Heard::default());
        block_on(async {
            let mut producer = self.cluster.producer(&self.security).await?;
            producer.send(&run, heard.clone()).await?;
            producer.flush(SOON).await
        })?;
        let failed = heard.0.lock().unwrap().take();
        failed.map_or(Ok(()), Err)
    }

    /// The first record, or what keeps it from us.
    fn first(&self, mut consumer: Box<dyn Consumer>) -> Result<(), Error> {
        let deadline = Instant::now() + SOON;
        block_on(async {
            while Instant::now() < deadline {
                if let Polled::Records(runs) = consumer.poll(Duration::from_millis(500)).await?
                    && !runs.is_empty()
                {
                    return Ok(());
                }
            }
            Err(Error::retriable("nothing came, and nothing was said"))
        })
    }

    fn assigned(&self, topic: &str) -> Result<(), Error> {
        let mut consumer = self.consumer("open");
        block_on(consumer.assign(&[(TopicPartition::new(topic, 0), 0)]))?;
        self.first(consumer)
    }

    fn subscribed(&self, group: &str, topic: &str) -> Result<(), Error> {
        let mut consumer = self.consumer(group);
        block_on(consumer.subscribe(&Subscription::Topics(vec![topic.to_owned()])))?;
        self.first(consumer)
    }

    /// It fails at once and for good, and says what of; else what is wrong about it, in words.
    fn refused(
        &self,
        what: &str,
        done: impl FnOnce() -> Result<(), Error>,
        name: &str,
    ) -> Option<String> {
        let start = Instant::now();
        let who = format!("{}: {what}", self.client);
        let Err(error) = done() else {
            return Some(format!("{who} is not refused"));
        };
        let (text, time) = (error.trace().to_string(), start.elapsed());
        println!("{who}: {time:.1?}: {:?}: {text}", error.kind());
        let complaints = [
            (error.kind() == ErrorKind::Retriable, "is to be tried again"),
            (!text.contains(name), "does not name the thing"),
            (!text.to_lowercase().contains("authoriz"), "does not say why"),
            (text.contains(PASSWORD), "tells a secret"),
            (time >= SOON, "takes too long"),
        ];
        let wrong = complaints.iter().find(|(is_wrong, _)| *is_wrong);
        wrong.map(|(_, complaint)| format!("{who} {complaint}: {time:.1?}, {text}"))
    }
}

#[test]
fn what_is_forbidden_is_named() {
    let brokers = broker();
    for client in Client::all() {
        let alice = Alice::new(&brokers, client);
        alice.produce("open").unwrap_or_else(|error| panic!("{client}: {}", error.trace()));
        alice.assigned("open").unwrap_or_else(|error| panic!("{client}: {}", error.trace()));
        let grouped = alice.subscribed("open", "open");
        grouped.unwrap_or_else(|error| panic!("{client}: {}", error.trace()));

        let mut wrong = Vec::new();
        for topic in ["seen", "hidden"] {
            wrong.push(alice.refused(
                &format!("producing to {topic}"),
                || alice.produce(topic),
                topic,
            ));
            wrong.push(alice.refused(
                &format!("subscribing to {topic}"),
                || alice.subscribed("open", topic),
                topic,
            ));
            // librdkafka waits for a topic that it may not see as for one that is not there.
            if (client, topic) != (Client::Librdkafka, "hidden") {
                let reading = format!("reading {topic}");
                wrong.push(alice.refused(&reading, || alice.assigned(topic), topic));
            }
        }
        wrong.push(alice.refused("joining", || alice.subscribed("closed", "open"), "closed"));
        let partition = [TopicPartition::new("open", 0)];
        let committed = || block_on(alice.cluster.committed("closed", &partition)).map(drop);
        wrong.push(alice.refused("asking for commits", committed, "closed"));
        let delete = || block_on(alice.cluster.delete_group("closed"));
        wrong.push(alice.refused("deleting a group", delete, "closed"));
        let delete = || block_on(alice.cluster.delete_topic("open"));
        wrong.push(alice.refused("deleting a topic", delete, "open"));
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
