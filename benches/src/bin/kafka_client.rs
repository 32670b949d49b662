//! A client that moves records and nothing else, for `benches/kafka`: through `trait Cluster`, as
//! the worker does, or through librdkafka's batch calls alone, as the best that it can do. It
//! prints what it moved; who started it reads the clocks.
#![allow(clippy::print_stdout, reason = "what it prints is what its driver reads")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray};
use clap::{Args, Parser, Subcommand};
use millrace_api::{Error, Result, TopicPartition};
use millrace_benches::data::bytes;
use millrace_benches::rdkafka_raw;
use millrace_kafka::{Acknowledge, Outgoing, Polled, Properties, connect};

/// How many rows a run has: as a source task hands them over.
const RUN: usize = 1_000;
/// Longer than any broker takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Reads a topic from its beginning.
    Consume(What),
    /// Writes records without keys, spread over the partitions.
    Produce(What),
    /// Prints the values that `produce` writes, a line each.
    Payloads {
        #[arg(long)]
        value_bytes: usize,
    },
}

#[derive(Args, Clone)]
struct What {
    /// `native`, `librdkafka`, or `raw`: librdkafka without us.
    #[arg(long)]
    client: String,
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partitions: i32,
    #[arg(long)]
    records: usize,
    #[arg(long)]
    value_bytes: usize,
    /// A client property, `KEY=VALUE`; librdkafka's own for `raw`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

impl What {
    fn properties(&self) -> Result<Properties> {
        let mut all = BTreeMap::from([("bootstrap.servers".to_owned(), self.bootstrap.clone())]);
        for one in &self.properties {
            let (key, value) = one
                .split_once('=')
                .ok_or_else(|| Error::config("--set takes KEY=VALUE").context("given", one))?;
            all.insert(key.to_owned(), value.to_owned());
        }
        if self.client != "raw" {
            all.insert("kafka.client".to_owned(), self.client.clone());
        }
        Ok(all)
    }

    fn values(&self) -> BinaryViewArray {
        bytes(RUN, self.value_bytes)
    }

    fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), number)
    }
}

/// What was moved.
#[derive(Default)]
struct Moved {
    records: usize,
    bytes: usize,
}

#[derive(Default)]
struct Counter {
    acknowledged: AtomicUsize,
    failed: AtomicUsize,
}

impl Acknowledge for Counter {
    fn acknowledged(&self, records: usize) {
        self.acknowledged.fetch_add(records, Ordering::Relaxed);
    }

    fn failed(&self, records: usize, _error: &Error) {
        self.failed.fetch_add(records, Ordering::Relaxed);
    }
}

async fn consume(what: &What) -> Result<Moved> {
    let properties = what.properties()?;
    let mut consumer = connect(&properties)?.consumer(&properties).await?;
    let from: Vec<_> = (0..what.partitions).map(|p| (what.partition(p), 0)).collect();
    consumer.assign(&from).await?;
    let mut moved = Moved::default();
    while moved.records < what.records {
        let Polled::Records(runs) = consumer.poll(PATIENCE).await? else {
            continue;
        };
        if runs.is_empty() {
            return Err(Error::fatal("no records came").context("so far", moved.records));
        }
        for run in runs {
            moved.records += run.values.len();
            moved.bytes += run.values.lengths().map(|length| length as usize).sum::<usize>();
        }
    }
    consumer.close().await?;
    Ok(moved)
}

async fn produce(what: &What) -> Result<Moved> {
    let properties = what.properties()?;
    let mut producer = connect(&properties)?.producer(&properties).await?;
    let counter = Arc::new(Counter::default());
    let values = what.values();
    let mut run = Outgoing {
        topic: what.topic.as_str().into(),
        partition: None,
        keys: BinaryViewArray::new_null(RUN),
        values,
        timestamps: None,
        headers: Vec::new(),
    };
    for number in 0..what.records / RUN {
        run.partition = Some((number as i32 / 16) % what.partitions);
        producer.send(&run, counter.clone()).await?;
    }
    producer.flush(PATIENCE).await?;
    let records = counter.acknowledged.load(Ordering::Relaxed);
    match counter.failed.load(Ordering::Relaxed) {
        0 => Ok(Moved { records, bytes: records * what.value_bytes }),
        failed => Err(Error::fatal("records were lost").context("records", failed)),
    }
}

fn raw(what: &What, job: fn(&rdkafka_raw::Raw<'_>) -> Result<(usize, usize)>) -> Result<Moved> {
    let values = what.values();
    let values: Vec<&[u8]> = values.iter().flatten().collect();
    let raw = rdkafka_raw::Raw {
        properties: what.properties()?,
        topic: &what.topic,
        partitions: what.partitions,
        records: what.records,
        values: &values,
    };
    job(&raw).map(|(records, bytes)| Moved { records, bytes })
}

fn run(job: &Job) -> Result<Moved> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::fatal("no runtime").with_source(e))?;
    match job {
        Job::Consume(what) if what.client == "raw" => raw(what, rdkafka_raw::consume),
        Job::Produce(what) if what.client == "raw" => raw(what, rdkafka_raw::produce),
        Job::Consume(what) => runtime.block_on(consume(what)),
        Job::Produce(what) => runtime.block_on(produce(what)),
        Job::Payloads { value_bytes } => {
            for value in bytes(RUN, *value_bytes).iter().flatten() {
                println!("{}", String::from_utf8_lossy(value));
            }
            Ok(Moved::default())
        }
    }
}

#[allow(clippy::print_stdout, reason = "what was moved is the program's answer")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.job) {
        Ok(moved) if moved.records == 0 => ExitCode::SUCCESS,
        Ok(moved) => {
            println!("{{\"records\": {}, \"bytes\": {}}}", moved.records, moved.bytes);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
