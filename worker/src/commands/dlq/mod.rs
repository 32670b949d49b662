//! `millrace dlq`: shows people what is in a dead letter queue, and why, and writes it back.

mod letter;
mod queue;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use millrace_api::{Error, Result};

use self::letter::{Cause, Filter, Letter, harmless};
use self::queue::Queue;
use super::{print_line, print_table};

/// See what is in a dead letter queue and why, and replay it.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  millrace dlq --worker connect-standalone.properties ls orders-dlq
  millrace dlq --bootstrap-server localhost:9092 show orders-dlq -n 3
  millrace dlq --worker worker.properties show orders-dlq --stage VALUE_CONVERTER --offsets 100..
  millrace dlq --worker worker.properties replay orders-dlq --stage VALUE_CONVERTER --dry-run
  millrace dlq --worker worker.properties replay orders-dlq
  millrace dlq --worker worker.properties replay orders-dlq --to orders-repaired

Exit codes:
  0  done
  1  wrong arguments
  2  the cluster cannot be reached or refuses, or a letter cannot be replayed"
)]
pub struct Arguments {
    /// The worker's properties: its cluster, and how to log in there.
    #[arg(long, global = true, value_name = "FILE")]
    worker: Option<PathBuf>,
    /// The cluster, as in bootstrap.servers.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,
    /// Another setting of the Kafka clients.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = setting)]
    property: Vec<(String, String)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List why records are there, and how many for each cause.
    Ls {
        /// The dead letter queue.
        topic: String,
        #[command(flatten)]
        filter: Filter,
    },
    /// Print letters: their context, headers, key and value.
    Show {
        /// The dead letter queue.
        topic: String,
        #[command(flatten)]
        filter: Filter,
        /// How many, the oldest first.
        #[arg(short = 'n', long, default_value_t = 10)]
        most: usize,
    },
    /// Write records as they were, without context headers, to the topic they came from. The queue
    /// keeps them: say with --offsets what is still to be replayed when you do so again.
    Replay {
        /// The dead letter queue.
        topic: String,
        #[command(flatten)]
        filter: Filter,
        /// Another topic instead, such as one that a sink reads which was mended.
        #[arg(long, value_name = "TOPIC")]
        to: Option<String>,
        /// Only say what would be written.
        #[arg(long)]
        dry_run: bool,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.trim().is_empty());
    let (key, value) = pair.ok_or_else(|| "write KEY=VALUE".to_owned())?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Runs one of the commands.
pub async fn run(arguments: Arguments) -> ExitCode {
    match carried_out(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error.trace());
            ExitCode::from(2)
        }
    }
}

async fn carried_out(arguments: Arguments) -> Result<()> {
    let Arguments { worker, bootstrap_server, property, command } = arguments;
    let cluster = queue::connect(worker, bootstrap_server, property)?;
    match command {
        Command::Ls { topic, filter } => list(Queue::open(&*cluster, &topic).await?, &filter).await,
        Command::Show { topic, filter, most } => {
            show(Queue::open(&*cluster, &topic).await?, &filter, most).await
        }
        Command::Replay { topic, filter, to, dry_run } => {
            if to.as_deref() == Some(&*topic) {
                return Err(Error::config("letters would be written behind those that are read")
                    .context("topic", topic));
            }
            let queue = Queue::open(&*cluster, &topic).await?;
            replay(queue, &filter, to, dry_run).await
        }
    }
}

/// The letters of one cause.
#[derive(Default)]
struct Group {
    count: usize,
    first: String,
    last: i64,
}

impl Group {
    /// What a table says of it: what others wrote does nothing to the terminal.
    fn row(&self, cause: &Cause) -> Vec<String> {
        let simple = |class: &str| harmless(class.rsplit('.').next().unwrap_or(class));
        vec![
            self.count.to_string(),
            harmless(&cause.connector),
            harmless(&cause.stage),
            simple(&cause.class),
            simple(&cause.exception),
            self.first.clone(),
            harmless(cause.words.lines().next().unwrap_or_default()),
        ]
    }
}

async fn list(mut queue: Queue<'_>, filter: &Filter) -> Result<()> {
    let mut causes: BTreeMap<Cause, Group> = BTreeMap::new();
    while let Some(runs) = queue.next().await? {
        for run in &runs {
            for letter in Letter::all_of(run).filter(|letter| letter.passes(filter)) {
                let group = causes.entry(letter.cause()).or_default();
                if group.count == 0 {
                    group.first = format!("{}:{}", run.topic_partition.partition, letter.offset());
                }
                group.count += 1;
                group.last = group.last.max(letter.timestamp());
            }
        }
    }
    let mut causes: Vec<(Cause, Group)> = causes.into_iter().collect();
    causes.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    let row = |(cause, group): &(Cause, Group)| group.row(cause);
    let headings = ["COUNT", "CONNECTOR", "STAGE", "CLASS", "EXCEPTION", "FIRST", "MESSAGE"];
    print_table(&headings, &causes.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

async fn show(mut queue: Queue<'_>, filter: &Filter, most: usize) -> Result<()> {
    let mut left = most;
    while left > 0
        && let Some(runs) = queue.next().await?
    {
        for run in &runs {
            let letters = Letter::all_of(run).filter(|letter| letter.passes(filter)).take(left);
            for letter in letters {
                print_line(&letter.shown());
                left -= 1;
            }
        }
    }
    if left == most && most > 0 {
        tracing::warn!("no letter matches; `millrace dlq ls` shows what there is");
    }
    Ok(())
}

async fn replay(
    mut queue: Queue<'_>,
    filter: &Filter,
    to: Option<String>,
    dry_run: bool,
) -> Result<()> {
    let mut written = BTreeMap::new();
    let replayed = write_all(&mut queue, filter, to, dry_run, &mut written).await;
    // What was written before an error is there, too.
    queue.settle().await?;
    let verb = if dry_run { "would be" } else { "were" };
    for (topic, count) in &written {
        print_line(&format!("{count} records {verb} written to {}", harmless(topic)));
    }
    if written.is_empty() && replayed.is_ok() {
        print_line("there is nothing to replay");
    }
    replayed
}

async fn write_all(
    queue: &mut Queue<'_>,
    filter: &Filter,
    to: Option<String>,
    dry_run: bool,
    written: &mut BTreeMap<String, usize>,
) -> Result<()> {
    while let Some(runs) = queue.next().await? {
        for run in &runs {
            let mut rows: BTreeMap<String, Vec<Letter<'_>>> = BTreeMap::new();
            for letter in Letter::all_of(run).filter(|letter| letter.passes(filter)) {
                if letter.is_of_source() {
                    let message = "a letter of a source describes a record that never was in \
                                   Kafka: mend the cause, and have the source read it again";
                    return Err(Error::data(message)
                        .context("partition", &run.topic_partition)
                        .context("offset", letter.offset()));
                }
                let topic = to.clone().map_or_else(|| letter.origin(), Ok)?;
                rows.entry(topic).or_default().push(letter);
            }
            for (topic, letters) in rows {
                if !dry_run {
                    queue.write_back(&topic, run, &letters).await?;
                }
                *written.entry(topic).or_default() += letters.len();
            }
        }
    }
    Ok(())
}
