//! `millrace transform`: takes sample records through a connector's transformations, and shows what
//! each step makes of them.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use millrace_api::data::Records;
use millrace_api::{Error, Props, Result};
use millrace_runtime::{Rehearsal, StepOutcome, StepTaken};

use super::connector_file::settings;
use super::picture::{self, Picture};
use super::preview::worker;
use super::print_line;
use super::sample::{Given, Samples, Side, Written, split};
use crate::catalog::catalog;

/// More is not read: samples are for people.
const MAX_BYTES: u64 = 64 << 20;

/// Longer names do not push away what stands behind the others.
const MAX_WIDTH: usize = 40;

/// Take sample records through a connector's transformations, and show what each step makes of them.
///
/// The connector's file may be of any connector, or have nothing but transforms and predicates.
/// Neither Kafka nor the system it is for is needed.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The connector: a .properties file, or JSON (its settings, or a create request).
    #[arg(short = 'f', long = "file", value_name = "CONNECTOR")]
    file: PathBuf,
    /// The records, as JSON: objects one after the other, or an array of them.
    #[arg(default_value = "-")]
    records: PathBuf,
    /// On which side of Kafka they are; else the connector's class or its topics say.
    #[arg(long, value_enum)]
    side: Option<Side>,
    /// The topic of records that name none.
    #[arg(long, default_value = "topic")]
    topic: String,
    /// The JSON is of values alone, without topics and keys.
    #[arg(long)]
    values: bool,
    /// A line of JSON a record, with all steps.
    #[arg(long)]
    json: bool,
    /// A worker's properties, for the config providers that the connector's variables name.
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

const EXAMPLES: &str = r#"A record has any of topic, partition, offset, timestamp, headers, key and value. Keys, values and
headers are plain JSON, or {"schema": …, "payload": …} as JsonConverter writes them.

Examples:
  echo '{"topic": "orders", "key": 7, "value": {"id": 7, "total": 9.5}}' |
    millrace transform -f warehouse.json
  echo '{"id": 7}' | millrace transform -f warehouse.json --values --topic orders
  millrace transform -f warehouse.json records.json --json | jq .output

Exit codes:
  0  every record came through or was dropped
  1  wrong arguments, or a step failed
  2  a file is wrong, or there are no records"#;

/// Prints what became of each record.
pub async fn run(arguments: Arguments) -> ExitCode {
    match shown(&arguments).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            tracing::error!("{}", words(&error));
            ExitCode::from(2)
        }
    }
}

/// An error with its causes, in a line.
pub(super) fn words(error: &Error) -> String {
    error.copied().to_string()
}

/// How many records failed.
async fn shown(arguments: &Arguments) -> Result<usize> {
    let props = settings(&arguments.file)?;
    let located = |e: Error| e.context("file", arguments.file.display());
    let worker = worker(arguments.worker.as_deref())?;
    let mut chain = Rehearsal::open(&worker, &catalog(), &props).await.map_err(located)?;
    warn_of_unknown_keys(&arguments.file, &props);
    if chain.is_empty() {
        tracing::warn!("there are no transformations: {}", arguments.file.display());
    }
    let given = Given {
        side: arguments.side.unwrap_or_else(|| Side::of(&props)),
        topic: arguments.topic.clone(),
        values: arguments.values,
    };
    let mut samples = Samples::new()?;
    let mut totals = Totals::default();
    for (number, text) in (1..).zip(split(&read(&arguments.records)?)?) {
        let record = samples.read(&text, &given).map_err(|e| e.context("record", number))?;
        let steps = chain.of(record.clone()).await;
        let told = Told { number, record: &record, steps: &steps };
        totals.count(&told);
        match arguments.json {
            true => print_line(&told.json(&mut samples)?),
            false => told.print()?,
        }
    }
    if totals.records == 0 {
        return Err(Error::config("there are no records")
            .context("file", arguments.records.display())
            .context("remedy", "name a file of them, or write them to standard input (-)"));
    }
    if !arguments.json {
        print_line(&totals.to_string());
    }
    Ok(totals.failed)
}

/// Warns of a connector's keys that have no effect on what is tried here.
pub(super) fn warn_of_unknown_keys(file: &Path, props: &Props) {
    for told in Rehearsal::unknown_keys(&catalog(), props) {
        tracing::warn!("{}: {told}", file.display());
    }
}

fn read(path: &Path) -> Result<String> {
    let unread = |e: io::Error| {
        Error::config("the records cannot be read").context("file", path.display()).with_source(e)
    };
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text),
        false => {
            fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        }
    };
    match read.map_err(unread)? as u64 > MAX_BYTES {
        true => Err(Error::config("these are too many records").context("most bytes", MAX_BYTES)),
        false => Ok(text),
    }
}

#[derive(Default)]
struct Totals {
    records: usize,
    out: usize,
    dropped: usize,
    failed: usize,
}

impl Totals {
    fn count(&mut self, told: &Told<'_>) {
        self.records += 1;
        match told.steps.last().map(|step| &step.outcome) {
            Some(StepOutcome::Dropped) => self.dropped += 1,
            Some(StepOutcome::Failed(_)) => self.failed += 1,
            _ => self.out += told.output().len(),
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, out, dropped, failed } = self;
        write!(f, "in: {records}, out: {out}, dropped: {dropped}, failed: {failed}")
    }
}

/// One record's way.
struct Told<'a> {
    number: usize,
    record: &'a Records,
    steps: &'a [StepTaken],
}

#[derive(serde::Serialize)]
struct Line<'a> {
    record: usize,
    input: Written<'a>,
    steps: Vec<StepLine<'a>>,
    output: Vec<Written<'a>>,
}

#[derive(serde::Serialize)]
struct StepLine<'a> {
    name: &'a str,
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<Written<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine>,
}

#[derive(serde::Serialize)]
struct ErrorLine {
    class: &'static str,
    message: String,
}

impl Told<'_> {
    /// What came out at the end.
    fn output(&self) -> Vec<&Records> {
        output(self.record, self.steps)
    }

    fn json(&self, samples: &mut Samples) -> Result<String> {
        let mut steps = Vec::new();
        for StepTaken { alias, class, condition, outcome } in self.steps {
            let (outcome, records, error) = match outcome {
                StepOutcome::Skipped => ("skipped", &[][..], None),
                StepOutcome::Changed(records) => ("applied", &records[..], None),
                StepOutcome::Dropped => ("dropped", &[][..], None),
                StepOutcome::Failed(error) => ("failed", &[][..], Some(error)),
            };
            let error = error.map(|e| ErrorLine { class: e.java_class(), message: words(e) });
            let records = records.iter().map(|r| samples.write(r)).collect::<Result<_>>()?;
            let predicate = condition.as_deref();
            steps.push(StepLine { name: alias, class, predicate, outcome, records, error });
        }
        let output = self.output().into_iter().map(|r| samples.write(r)).collect::<Result<_>>()?;
        let input = samples.write(self.record)?;
        let line = Line { record: self.number, input, steps, output };
        serde_json::to_string(&line).map_err(|e| Error::fatal("this is no JSON").with_source(e))
    }

    fn print(&self) -> Result<()> {
        let mut before = picture::of(self.record)?;
        print_line(&styled(BOLD, &format!("record {}", self.number)));
        let unchanged = before.iter().map(|(path, text)| (' ', path.clone(), text.clone()));
        print_lines(unchanged.collect());
        for (place, step) in (1..).zip(self.steps) {
            print_line(&heading(place, step));
            match &step.outcome {
                StepOutcome::Skipped => {}
                StepOutcome::Dropped => print_line("     dropped"),
                StepOutcome::Failed(error) => {
                    let told = format!("{}: {}", error.java_class(), words(error));
                    print_line(&format!("     {}", styled(RED, &told)));
                }
                StepOutcome::Changed(records) => {
                    let after = print_changes(&before, records)?;
                    if after == before && is_for_events(step.class) && has_no_schema(records) {
                        print_line(NO_EVENT);
                    }
                    before = after;
                }
            }
        }
        print_line("");
        Ok(())
    }
}

const NO_EVENT: &str = "     (it is for change events, which the names of their schemas tell: \
                        this value has no schema)";

fn is_for_events(class: &str) -> bool {
    class.starts_with("io.debezium.")
}

fn has_no_schema(records: &[Records]) -> bool {
    records.iter().all(|record| !record.value.is_null(0) && record.value.schema().is_none())
}

/// What came out of the last step that let anything through: nothing if one dropped or refused it.
pub(super) fn output<'a>(record: &'a Records, steps: &'a [StepTaken]) -> Vec<&'a Records> {
    match steps.iter().rev().find(|step| !matches!(step.outcome, StepOutcome::Skipped)) {
        None => vec![record],
        Some(StepTaken { outcome: StepOutcome::Changed(records), .. }) => records.iter().collect(),
        Some(_) => Vec::new(),
    }
}

fn heading(place: usize, step: &StepTaken) -> String {
    let class = step.class.rsplit('.').next().unwrap_or(step.class);
    let condition = match (&step.condition, &step.outcome) {
        (None, _) => String::new(),
        (Some(condition), StepOutcome::Skipped) => format!(", skipped: it is for {condition}"),
        (Some(condition), _) => format!(", for {condition}"),
    };
    format!("  {}{condition}", styled(BOLD, &format!("{place} {} {class}", step.alias)))
}

/// What a step changed; what there is now.
fn print_changes(before: &Picture, records: &[Records]) -> Result<Picture> {
    let mut after = Picture::new();
    for (number, record) in (1..).zip(records) {
        if records.len() > 1 {
            print_line(&format!("     {number} of {} records", records.len()));
        }
        after = picture::of(record)?;
        let changes = picture::changes(before, &after);
        if changes.is_empty() {
            print_line("     nothing changed");
        }
        print_lines(changes);
    }
    Ok(after)
}

fn print_lines(lines: Vec<(char, String, String)>) {
    let width = lines.iter().map(|(_, path, _)| path.chars().count()).max().unwrap_or(0);
    let width = width.min(MAX_WIDTH);
    for (sign, path, text) in lines {
        let line = format!("   {sign} {path:width$}  {text}");
        print_line(&match sign {
            '+' => styled(GREEN, &line),
            '-' => styled(RED, &line),
            '~' => styled(YELLOW, &line),
            _ => line,
        });
    }
}

const BOLD: &str = "1";
pub(super) const RED: &str = "31";
pub(super) const GREEN: &str = "32";
const YELLOW: &str = "33";

/// With a colour, where somebody looks who has not forbidden it.
pub(super) fn styled(code: &str, text: &str) -> String {
    match io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}
