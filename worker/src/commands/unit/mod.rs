//! `millrace unit`: holds what a connector's transformations make of records against what is
//! expected of them.

mod difference;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use millrace_api::data::{Column, Records};
use millrace_api::{Error, Props, Result};
use millrace_runtime::{Rehearsal, StepOutcome, WorkerConfig};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::connector_file::{settings, settings_in};
use super::preview::worker;
use super::print_line;
use super::sample::{Given, Samples, Side, is_envelope};
use super::transform::{GREEN, RED, output, styled, warn_of_unknown_keys, words};
use crate::catalog::catalog;

/// Test a connector's transformations: hold what comes out of them against what is expected.
///
/// Neither Kafka nor the system that the connector is for is needed.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Files of tests, in YAML or JSON.
    #[arg(required = true)]
    tests: Vec<PathBuf>,
    /// A worker's properties, for the config providers that the connectors' variables name.
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

const EXAMPLES: &str = r#"A file of tests:
  connector: warehouse.json       # beside this file, or the settings themselves
  topic: orders                   # of records that name none
  side: sink                      # or source; else the connector's class or its topics say
  cases:
    - name: the total becomes a number
      input: {key: 7, value: {id: 7, total: "9.50"}}
      expect: {value: {id: 7, total: 9.5}}
    - name: only what is named is compared
      input: {topic: orders, value: {id: 7, total: "9.50"}}
      expect: {topic: orders-v2, value: {total: 9.5}}
      partial: true               # members of objects may be missing here; else they count
    - name: tombstones are dropped
      input: {key: 7, value: null}
      expect: dropped
    - name: a list goes through the same transformations
      input: [{value: {id: 7}}, {value: 7}]
      expect: [{value: {id: 7}}, {error: Only Map objects supported}]
Records are written as for `millrace transform`. An error is a part of its words, or
{class: …, message: …}. Where {schema: …, payload: …} is expected, the schema counts too.

Examples:
  millrace unit tests.yaml
  millrace unit transforms/*.yaml

Exit codes:
  0  all is as expected
  1  wrong arguments, or something else came out
  2  a file is wrong, or has no cases"#;

/// Prints what was not as expected.
pub async fn run(arguments: Arguments) -> ExitCode {
    let mut totals = (0, 0);
    for file in &arguments.tests {
        let told = tested(file, &arguments, &mut totals).await;
        if let Err(error) = told.map_err(|e| e.context("file", file.display())) {
            tracing::error!("{}", words(&error));
            return ExitCode::from(2);
        }
    }
    let (cases, failed) = totals;
    print_line(&format!("cases: {cases}, as expected: {}, failed: {failed}", cases - failed));
    ExitCode::from(u8::from(failed > 0))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    /// A file, or settings.
    connector: Value,
    topic: Option<String>,
    side: Option<Side>,
    #[serde(default)]
    partial: bool,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    input: Value,
    expect: Value,
    partial: Option<bool>,
}

/// What is expected of one record.
enum Expected {
    Dropped,
    Error { class: Option<String>, message: Option<String> },
    Record(Map<String, Value>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    class: Option<String>,
    message: Option<String>,
}

async fn tested(file: &Path, arguments: &Arguments, totals: &mut (usize, usize)) -> Result<()> {
    let suite = suite(file)?;
    let props = connector(&suite.connector, file)?;
    if suite.cases.is_empty() {
        return Err(Error::config("there are no cases")
            .context("remedy", "`millrace unit --help` has examples"));
    }
    warn_of_unknown_keys(file, &props);
    let side = suite.side.unwrap_or_else(|| Side::of(&props));
    let topic = suite.topic.unwrap_or_else(|| "topic".to_owned());
    let mut bench = Bench {
        worker: worker(arguments.worker.as_deref())?,
        props,
        given: Given { side, topic, values: false },
        samples: Samples::new()?,
    };
    for case in suite.cases {
        let partial = case.partial.unwrap_or(suite.partial);
        let lines = bench.failures(&case, partial).await;
        let lines = lines.map_err(|e| e.context("case", &case.name))?;
        totals.0 += 1;
        totals.1 += usize::from(!lines.is_empty());
        let verdict = if lines.is_empty() { styled(GREEN, "ok  ") } else { styled(RED, "FAIL") };
        print_line(&format!("{verdict}  {}", case.name));
        for line in lines {
            print_line(&format!("      {line}"));
        }
    }
    Ok(())
}

fn suite(file: &Path) -> Result<Suite> {
    let text = fs::read_to_string(file)
        .map_err(|e| Error::config("the tests cannot be read").with_source(e))?;
    let invalid = |e: serde_json::Error| Error::config("these are no tests").with_source(e);
    let tests = match file.extension().is_some_and(|extension| extension == "json") {
        true => serde_json::from_str(&text).map_err(invalid)?,
        false => yaml::parse(&text)?,
    };
    serde_json::from_value(tests).map_err(invalid)
}

fn connector(connector: &Value, tests: &Path) -> Result<Props> {
    match connector {
        Value::String(path) => settings(&tests.parent().unwrap_or(Path::new("")).join(path)),
        Value::Object(_) => settings_in(connector.to_string().as_bytes()),
        _ => Err(Error::config("connector is a file's path, or settings")),
    }
}

/// One record, or a list of them.
fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

impl Expected {
    fn parse(value: &Value) -> Result<Self> {
        let wrong = || {
            Error::config("expect is a record, the word dropped, or an error")
                .context("remedy", "`millrace unit --help` has examples")
        };
        const PARTS: [&str; 7] =
            ["topic", "partition", "offset", "timestamp", "headers", "key", "value"];
        match value {
            Value::String(word) if word == "dropped" => Ok(Self::Dropped),
            Value::Object(members) => match members.get("error").filter(|_| members.len() == 1) {
                Some(Value::String(part)) => {
                    Ok(Self::Error { class: None, message: Some(part.clone()) })
                }
                Some(error) => {
                    let ExpectedError { class, message } = serde_json::from_value(error.clone())
                        .map_err(|e| wrong().with_source(e))?;
                    Ok(Self::Error { class, message })
                }
                None => match members.keys().find(|part| !PARTS.contains(&part.as_str())) {
                    Some(unknown) => Err(wrong().context("unknown", unknown)),
                    None => Ok(Self::Record(members.clone())),
                },
            },
            _ => Err(wrong()),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Dropped => "dropped".to_owned(),
            Self::Error { class, message } => {
                let parts = [class.as_deref(), message.as_deref()];
                let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
                format!("an error: {parts}")
            }
            Self::Record(_) => "a record".to_owned(),
        }
    }
}

/// What the cases of a file have in common.
struct Bench {
    worker: WorkerConfig,
    props: Props,
    given: Given,
    samples: Samples,
}

impl Bench {
    /// Where a case is not as expected.
    async fn failures(&mut self, case: &Case, partial: bool) -> Result<Vec<String>> {
        let mut chain = Rehearsal::open(&self.worker, &catalog(), &self.props).await?;
        let (inputs, expected) = (listed(&case.input), listed(&case.expect));
        if inputs.len() != expected.len() {
            return Err(Error::config("as many records must be expected as are put in")
                .context("in", inputs.len())
                .context("expected", expected.len()));
        }
        let mut failures = Vec::new();
        for (number, (input, expected)) in (1..).zip(inputs.iter().zip(expected)) {
            let expected = Expected::parse(expected)?;
            let text = RawValue::from_string(input.to_string())
                .map_err(|e| Error::fatal("this is no JSON").with_source(e))?;
            let record = self.samples.read(&text, &self.given)?;
            let steps = chain.of(record.clone()).await;
            let failed = steps.iter().find_map(|step| match &step.outcome {
                StepOutcome::Failed(error) => Some((step.alias.as_str(), error)),
                _ => None,
            });
            let lines = match failed {
                Some((step, error)) => failure(&expected, step, error),
                None => self.difference(&expected, &output(&record, &steps), partial)?,
            };
            let place = if inputs.len() > 1 { format!("record {number}: ") } else { String::new() };
            failures.extend(lines.into_iter().map(|line| format!("{place}{line}")));
        }
        Ok(failures)
    }

    fn difference(
        &mut self,
        expected: &Expected,
        came: &[&Records],
        partial: bool,
    ) -> Result<Vec<String>> {
        Ok(match (expected, came) {
            (Expected::Dropped, []) => Vec::new(),
            (Expected::Record(expected), [came]) => {
                let came = self.written(expected, came)?;
                difference::of(expected, &came, partial)
            }
            (expected, came) => {
                let mut lines = vec![format!("- {}", expected.told())];
                if came.is_empty() {
                    lines.push("+ dropped".to_owned());
                }
                for record in came {
                    let written = serde_json::to_string(&self.samples.write(record)?);
                    lines.push(format!("+ {}", written.unwrap_or_default()));
                }
                lines
            }
        })
    }

    /// The record in the form of what is expected of it.
    fn written(&mut self, expected: &Map<String, Value>, record: &Records) -> Result<Value> {
        let mut headers = Vec::new();
        for header in record.headers.row(0) {
            let column =
                Column::Rows { schema: header.schema.clone(), values: vec![header.value.clone()] };
            headers.push((header.key.to_string(), self.json(None, &column)?));
        }
        let headers = match expected.get("headers") {
            Some(Value::Array(_)) => {
                headers.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
            }
            _ => Value::Object(headers.into_iter().collect()),
        };
        Ok(json!({
            "topic": &*record.topic,
            "partition": record.partition,
            "offset": record.offsets.as_ref().map(|offsets| offsets[0]),
            "timestamp": record.timestamp(0),
            "headers": headers,
            "key": self.json(expected.get("key"), &record.key)?,
            "value": self.json(expected.get("value"), &record.value)?,
        }))
    }

    /// A key or value, with its schema where one is expected.
    fn json(&mut self, expected: Option<&Value>, column: &Column) -> Result<Value> {
        let text = match expected.is_some_and(is_envelope) {
            true => self.samples.text(column)?,
            false => self.samples.payload(column)?,
        };
        serde_json::from_str(text.get()).map_err(|e| Error::fatal("this is no JSON").with_source(e))
    }
}

/// An error where it is not expected, or not this one.
fn failure(expected: &Expected, step: &str, error: &Error) -> Vec<String> {
    let (java_class, words) = (error.java_class(), words(error));
    if let Expected::Error { class, message } = expected {
        let simple = java_class.rsplit('.').next();
        let is_class = |class: &String| class == java_class || Some(class.as_str()) == simple;
        let is_message = |message: &String| words.contains(message.as_str());
        if class.as_ref().is_none_or(is_class) && message.as_ref().is_none_or(is_message) {
            return Vec::new();
        }
    }
    vec![format!("- {}", expected.told()), format!("+ an error of {step}: {java_class}: {words}")]
}
