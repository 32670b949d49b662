//! Decides what a drill is: clients at work while brokers fail, and what must hold at its end.
//!
//! A crew works for each client: an idempotent producer of numbered records (`numbers`), a group
//! whose members come and go, Java's among them (`members`, `java`), producers of transactions
//! that are committed, aborted and fenced (`transactions`), and a reader of the committed ones.
//! All crews share one cluster, and each of its [`faults`].
//!
//! A drill that cannot fail shows nothing: [`Weakness`] builds a mistake in, which it must find.

mod commits;
pub mod coverage;
pub mod faults;
mod java;
mod members;
mod numbers;
mod tally;
mod transactions;

use crate::brokers::Brokers;
use crate::client::Client;
use crate::console::{self, Reading};
use crate::topic::{self, Record};
use crate::{block_on, runtime, wait_until};
use faults::Fault;
use members::Group;
pub use members::Protocol;
use millrace_api::TopicPartition;
use millrace_kafka::{NewTopic, Polled};
use numbers::Numbers;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle as Thread;
use std::time::{Duration, Instant};
use tally::Tally;
use tokio::task::JoinHandle as Task;
use transactions::Transactions;

/// How long anything may take that a drill waits for.
const PATIENCE: Duration = Duration::from_secs(60);

const NUMBERS_PARTITIONS: i32 = 6;
const TRANSACTIONS_PARTITIONS: i32 = 3;
const OWN_MEMBERS: usize = 3;
const TRANSACTIONAL_IDS: u32 = 2;

/// A mistake that is built into a crew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// The producer is not idempotent.
    NotIdempotent,
    /// Members commit a record that they do not process.
    CommitsAhead,
    /// Members go on committing what they have no more.
    CommitsAfterLost,
    /// Members take for committed what they did not send.
    ForgetsCommits,
}

/// What happens in a drill.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A crew works for each of these.
    pub clients: Vec<Client>,
    pub brokers: u8,
    pub faults: Vec<Fault>,
    /// How many of each group's members are Java's.
    pub java_members: usize,
    /// How groups share partitions out.
    pub protocol: Protocol,
    pub seed: u64,
    pub weakness: Option<Weakness>,
}

/// What a drill found.
#[derive(Debug)]
pub struct Report {
    /// Counts, a line or more for each crew.
    pub text: String,
    /// What must never be and was, in words.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        for violation in &self.violations {
            write!(f, "\nVIOLATION: {violation}")?;
        }
        Ok(())
    }
}

/// Tells everybody to come to an end.
#[derive(Clone, Debug, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }

    fn set(&self) {
        self.0.store(true, SeqCst);
    }
}

/// Carries a plan out.
pub fn run(plan: &Plan) -> Report {
    let brokers = Brokers::start(plan.brokers, &[]);
    say(&format!(
        "seed {}, {:?}, {} brokers, {} faults, cut off: {}",
        plan.seed,
        plan.protocol,
        plan.brokers,
        plan.faults.len(),
        brokers.how_cut()
    ));
    let crews = plan.clients.iter().zip(0..);
    let mut crews: Vec<Crew> =
        crews.map(|(&client, index)| Crew::start(plan, &brokers, client, index)).collect();
    for crew in &crews {
        crew.is_at_work("the beginning", Instant::now(), &brokers);
    }
    for (number, fault) in (1..).zip(&plan.faults) {
        let start = Instant::now();
        fault.strike(&brokers);
        let healed = Instant::now();
        let mut line = format!("{number}. {fault}, undone after {:.1?};", healed - start);
        let marks: Vec<_> = crews.iter().map(Crew::mark).collect();
        for (crew, mark) in crews.iter().zip(&marks) {
            line.push_str(&crew.recover(&fault.to_string(), mark, healed, &brokers));
        }
        brokers.wait_until_whole();
        say(&format!("{line} whole after {:.1?}", healed.elapsed()));
    }
    let mut report = Report { text: String::new(), violations: Vec::new() };
    for crew in &mut crews {
        crew.finish(&brokers, plan.weakness);
        report.text.push_str(&crew.summary());
        report.violations.extend(crew.tally.violations());
    }
    report
}

fn say(line: &str) {
    eprintln!("drill: {line}");
}

/// All who work with one client.
struct Crew {
    client: Client,
    tally: Arc<Tally>,
    numbers: Arc<Numbers>,
    transactions: Arc<Transactions>,
    producers: Workers,
    consumers: Workers,
    reader: Option<Task<Vec<(i32, i64, String)>>>,
}

/// Tasks and threads with a common end.
#[derive(Default)]
struct Workers {
    stop: Stop,
    tasks: Vec<Task<()>>,
    threads: Vec<Thread<()>>,
}

impl Workers {
    fn end(&mut self, tally: &Tally) {
        self.stop.set();
        for task in self.tasks.drain(..) {
            if let Err(panic) = block_on(task) {
                tally.violation(format!("a worker failed: {panic}"));
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tally.violation("a worker failed; see its panic above".to_owned());
            }
        }
    }
}

/// Where a crew was at a moment.
struct Mark {
    numbers: numbers::Mark,
    committed: u64,
}

impl Crew {
    fn start(plan: &Plan, brokers: &Brokers, client: Client, index: u64) -> Self {
        let tally = Arc::new(Tally::default());
        let topic = |what: &str| format!("{what}-{client}");
        let cluster = client.connect(&brokers.bootstrap(), &[]);
        for (name, partitions) in [
            (topic("numbers"), NUMBERS_PARTITIONS),
            (topic("transactions"), TRANSACTIONS_PARTITIONS),
        ] {
            let configs = BTreeMap::new();
            let new =
                NewTopic { name, partitions: Some(partitions), replication_factor: None, configs };
            block_on(cluster.create_topic(&new))
                .unwrap_or_else(|error| panic!("{client} makes a topic: {}", error.trace()));
        }
        brokers.wait_until_whole();
        let mut crew = Self {
            client,
            numbers: Numbers::new(topic("numbers"), NUMBERS_PARTITIONS, tally.clone()),
            transactions: Transactions::new(
                topic("transactions"),
                TRANSACTIONS_PARTITIONS,
                tally.clone(),
            ),
            tally,
            producers: Workers::default(),
            consumers: Workers::default(),
            reader: None,
        };
        let seed = plan.seed.wrapping_mul(31).wrapping_add(index * 1_000);
        crew.start_producers(brokers, plan.weakness, seed);
        crew.start_consumers(brokers, plan, seed);
        crew
    }

    fn start_producers(&mut self, brokers: &Brokers, weakness: Option<Weakness>, seed: u64) {
        let idempotent = match weakness {
            Some(Weakness::NotIdempotent) => "false",
            _ => "true",
        };
        let settings = vec![
            ("acks", "all"),
            ("enable.idempotence", idempotent),
            ("request.timeout.ms", "4000"),
            ("delivery.timeout.ms", "600000"),
            ("reconnect.backoff.max.ms", "500"),
            ("retry.backoff.max.ms", "500"),
            ("metadata.max.age.ms", "5000"),
        ];
        let Workers { stop, tasks, threads } = &mut self.producers;
        let bootstrap = brokers.bootstrap();
        let end = (stop.clone(), seed);
        let numbers =
            numbers::produce(self.numbers.clone(), self.client, bootstrap.clone(), settings, end);
        tasks.push(runtime().spawn(numbers));
        for number in 0..TRANSACTIONAL_IDS {
            let end = (stop.clone(), seed + 10 + u64::from(number));
            let (transactions, bootstrap) = (self.transactions.clone(), bootstrap.clone());
            let client = self.client;
            threads.push(std::thread::spawn(move || {
                transactions::run(transactions, client, bootstrap, number, end);
            }));
        }
    }

    fn start_consumers(&mut self, brokers: &Brokers, plan: &Plan, seed: u64) {
        let group = Group {
            numbers: self.numbers.clone(),
            client: self.client,
            bootstrap: brokers.bootstrap(),
            id: format!("group-{}", self.client),
            protocol: plan.protocol,
            weakness: plan.weakness,
        };
        let Workers { stop, tasks, threads } = &mut self.consumers;
        for slot in 0..OWN_MEMBERS {
            let seed = seed + 100 + slot as u64;
            tasks.push(runtime().spawn(group.clone().keep(slot, stop.clone(), seed)));
        }
        for slot in 0..plan.java_members {
            let members = java::Members {
                numbers: self.numbers.clone(),
                network: brokers.network().to_owned(),
                bootstrap: brokers.bootstrap(),
                group: group.id.clone(),
                protocol: plan.protocol,
            };
            let (stop, seed) = (stop.clone(), seed + 200 + slot as u64);
            threads.push(std::thread::spawn(move || members.keep(&stop, seed)));
        }
        let (transactions, client) = (self.transactions.clone(), self.client);
        let reader = read_committed(transactions, client, brokers.bootstrap(), stop.clone());
        self.reader = Some(runtime().spawn(reader));
    }

    fn mark(&self) -> Mark {
        Mark { numbers: self.numbers.mark(), committed: self.transactions.committed() }
    }

    fn is_at_work(&self, when: &str, since: Instant, brokers: &Brokers) {
        let line = self.recover(when, &self.mark(), since, brokers);
        say(&format!("{when}:{line}"));
    }

    /// Waits until all have got on since the mark, and says how long after `healed` each had.
    fn recover(&self, fault: &str, mark: &Mark, healed: Instant, brokers: &Brokers) -> String {
        let what = format!("{} to go on after {fault}", self.client);
        let after = |who: &str, condition: &dyn Fn() -> bool| {
            let (what, start) = (format!("{who} of {what}"), Instant::now());
            let mut is_told = false;
            wait_until(&what, 2 * PATIENCE, || {
                if start.elapsed() > PATIENCE && !std::mem::replace(&mut is_told, true) {
                    say(&format!("waiting for {what}: {}{}", self.summary(), brokers.leaders()));
                }
                condition().then_some(())
            });
            healed.elapsed().as_secs_f64()
        };
        let produced = after("the producer", &|| self.numbers.is_produced_after(&mark.numbers));
        let consumed = after("the group", &|| self.numbers.is_consumed_after(&mark.numbers));
        // One may have been on its way.
        let committed =
            after("transactions", &|| self.transactions.committed() > mark.committed + 1);
        let client = self.client;
        format!(
            " {client}: produces after {produced:.1} s, consumes {consumed:.1}, commits {committed:.1};"
        )
    }

    /// Ends all work, and looks at what it came to.
    fn finish(&mut self, brokers: &Brokers, weakness: Option<Weakness>) {
        let start = Instant::now();
        self.producers.end(&self.tally);
        let drained = || self.numbers.is_drained() || weakness == Some(Weakness::CommitsAhead);
        while !drained() && start.elapsed() < PATIENCE {
            block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
        }
        self.consumers.end(&self.tally);
        for wrong in self.numbers.gaps().into_iter().chain(self.numbers.contradictions()) {
            self.tally.violation(wrong);
        }
        let reader = self.reader.take().expect("the crew was started");
        match block_on(reader) {
            Ok(found) => {
                self.transactions.check(values(&found), &format!("reader of {}", self.client))
            }
            Err(panic) => self.tally.violation(format!("the reader failed: {panic}")),
        }
        self.ask_witnesses(brokers);
        if !self.tally.violations().is_empty() {
            say(&format!("what the brokers have: {:?}", brokers.dump(&self.transactions.topic)));
        }
    }

    /// What others find in the topics.
    fn ask_witnesses(&self, brokers: &Brokers) {
        let (network, bootstrap) = (brokers.network(), brokers.bootstrap());
        let texts = |records: Vec<Record>| {
            let text = |value: Option<Vec<u8>>| {
                String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
            };
            let texts = records.into_iter().map(|r| (r.partition, r.offset, text(r.value)));
            texts.collect::<Vec<_>>()
        };
        let plain = |name: &str| texts(topic::contents(&bootstrap, name));
        let numbers = plain(&self.numbers.topic);
        let transactions = plain(&self.transactions.topic);
        let java = |topic: &str, most: usize| {
            let bootstrap = &bootstrap;
            let reading = Reading { network, bootstrap, topic, committed: true, most };
            texts(console::read(&reading))
        };
        let kcat = |name: &str| java::read_by_kcat(&bootstrap, name);
        let kcat = (kcat(&self.numbers.topic), kcat(&self.transactions.topic));
        let java = (
            java(&self.numbers.topic, numbers.len()),
            java(&self.transactions.topic, transactions.len()),
        );
        let librdkafka = (numbers, transactions);
        let witnesses = [("java", java), ("librdkafka", librdkafka), ("kcat", kcat)];
        for (who, (numbers, transactions)) in &witnesses {
            for (partition, offset, value) in numbers {
                self.numbers.check_record(*partition, *offset, Some(value.as_bytes()), who);
            }
            self.numbers.check_whole(&java::counts(numbers), who);
            self.transactions.check(values(transactions), who);
        }
    }

    fn summary(&self) -> String {
        format!(
            "{}: {} records acknowledged, {} deliveries repeated; transactions {}; {}\n",
            self.client,
            self.numbers.acknowledged(),
            self.numbers.repeated(),
            self.transactions.summary(),
            self.tally,
        )
    }
}

fn values(records: &[(i32, i64, String)]) -> impl Iterator<Item = (i32, &str)> {
    records.iter().map(|(partition, _, value)| (*partition, value.as_str()))
}

/// Reads what is committed while it is being written, to its end.
async fn read_committed(
    transactions: Arc<Transactions>,
    client: Client,
    bootstrap: String,
    stop: Stop,
) -> Vec<(i32, i64, String)> {
    let settings = [
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "earliest"),
        ("request.timeout.ms", "4000"),
        ("fetch.max.wait.ms", "200"),
        ("reconnect.backoff.max.ms", "500"),
        ("metadata.max.age.ms", "5000"),
    ];
    let cluster = client.connect(&bootstrap, &[]);
    let consumer = cluster.consumer(&client.properties(&settings)).await;
    let mut consumer = consumer.expect("a consumer can be opened");
    let partitions: Vec<_> = (0..TRANSACTIONS_PARTITIONS)
        .map(|partition| TopicPartition::new(transactions.topic.as_str(), partition))
        .collect();
    let starts: Vec<_> = partitions.iter().map(|partition| (partition.clone(), 0)).collect();
    consumer.assign(&starts).await.expect("existing partitions can be assigned");
    let mut found = Vec::new();
    let mut idle = Instant::now();
    // Once all have stopped, nothing for a while is the end: what is missing will be missed.
    while !stop.is_set() || idle.elapsed() < Duration::from_secs(3) {
        match consumer.poll(Duration::from_millis(200)).await {
            Ok(Polled::Records(runs)) => {
                for run in runs {
                    idle = Instant::now();
                    for (row, offset) in run.offsets.iter().enumerate() {
                        let value = String::from_utf8_lossy(run.values.value(row)).into_owned();
                        found.push((run.topic_partition.partition, *offset, value));
                    }
                }
            }
            Ok(other) => panic!("a reader outside groups sees no rebalance: {other:?}"),
            Err(error) => panic!("{client} cannot read: {}", error.trace()),
        }
    }
    // Within a partition they stay as they came: that is what is judged.
    found.sort_by_key(|(partition, ..)| *partition);
    found
}
