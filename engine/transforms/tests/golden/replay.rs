//! Runs recorded cases: each record alone and in runs, in every form that its data can have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use millrace_api::data::{Records, RowError};
use millrace_api::{Open, Plugin, Predicate, Props, Transformation};
use millrace_testkit::notation::{read_records, write_record};
use millrace_testkit::recorded::{
    changes, error, every_form, form_name, is_same, lines, normalized, outcomes, records, runs,
};
use serde_json::{Value as Json, json};

use crate::debezium_differences;
use crate::differences::{Difference, MEANT};

/// So many differences are shown; one cause often has hundreds.
const SHOWN: usize = 20;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn path(file: &str) -> PathBuf {
    folder().join(format!("{file}.jsonl"))
}

/// One configuration, and what Java did with it.
struct Case {
    class: String,
    config: Props,
    /// What Java refused it with; null when it did not.
    error: Json,
    /// A record and its outcome.
    outcomes: Vec<(String, Json)>,
}

fn cases(file: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in lines(&path(file)) {
        if let Some(class) = line["class"].as_str() {
            let pairs = line["config"].as_object().unwrap().iter();
            let config = pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap().into()));
            cases.push(Case {
                class: class.to_owned(),
                config: config.collect(),
                error: line["error"].clone(),
                outcomes: Vec::new(),
            });
        } else {
            let case = cases.last_mut().expect("a case stands before its outcomes");
            case.outcomes.extend(outcomes(&line));
        }
    }
    cases
}

/// Panics where we do not do what Java did, but for what is meant.
pub(crate) fn replay(file: &'static str) {
    let plugins = millrace_transforms::plugins();
    let find = |class: &str| plugins.iter().find(|plugin| plugin.class() == class);
    let cases = cases(file);
    assert!(!cases.is_empty(), "{file} holds no case");
    // Those of a folder are of a corpus of its own.
    let corpus = match file.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/records"),
        None => "records".to_owned(),
    };
    let records = records(&path(&corpus));
    let mut findings = Findings::new(file);
    for case in &cases {
        let plugin = find(&case.class).unwrap_or_else(|| panic!("{} is there", case.class));
        case.replay(plugin, &records, &mut findings);
    }
    findings.report();
}

/// Which record, and in which form it was given.
#[derive(Clone, Copy)]
struct Place<'a> {
    record: &'a str,
    how: &'a str,
}

fn meant() -> impl Iterator<Item = &'static Difference> {
    MEANT.iter().chain(debezium_differences::MEANT)
}

/// Differences so far.
struct Findings {
    file: &'static str,
    unmet: Vec<&'static Difference>,
    /// And in which form they were seen first.
    wrong: BTreeMap<String, String>,
}

impl Findings {
    fn new(file: &'static str) -> Self {
        let unmet = meant().filter(|difference| difference.file == file).collect();
        Self { file, unmet, wrong: BTreeMap::new() }
    }

    fn compare(&mut self, case: &Case, place: Place<'_>, java: &Json, ours: &Json) {
        if is_same(java, ours) {
            return;
        }
        let (java, ours) = (java.to_string(), ours.to_string());
        let config = json!(case.config).to_string();
        let is_meant = |meant: &&Difference| {
            config.contains(meant.config)
                && place.record.contains(meant.record)
                && java.contains(meant.java)
                && ours.contains(meant.ours)
        };
        let mut of_file = meant().filter(|difference| difference.file == self.file);
        if let Some(meant) = of_file.find(is_meant) {
            self.unmet.retain(|unmet| !std::ptr::eq(*unmet, meant));
            return;
        }
        let class = &case.class;
        let wrong = format!("{class} {config}, {}:\n    {java}\n    {ours}", place.record);
        self.wrong.entry(wrong).or_insert_with(|| place.how.to_owned());
    }

    fn report(self) {
        let unmet: Vec<_> = self.unmet.iter().map(|d| (d.config, d.record, d.java)).collect();
        assert!(unmet.is_empty(), "differences that do not occur: {unmet:?}");
        let mut message = String::new();
        for (wrong, how) in self.wrong.iter().take(SHOWN) {
            let _ = writeln!(message, "{wrong}\n    first seen {how}");
        }
        let count = self.wrong.len();
        assert!(count == 0, "{count} outcomes are not as recorded (Java's, then ours):\n{message}");
    }
}

impl Case {
    fn replay(&self, plugin: &Plugin, records: &BTreeMap<String, Json>, findings: &mut Findings) {
        let opened = match plugin.open() {
            Open::Transformation(open) => open(&self.config).map(Opened::Transformation),
            Open::Predicate(open) => open(&self.config).map(Opened::Predicate),
            _ => panic!("{plugin:?} is neither"),
        };
        let java = match &self.error {
            Json::Null => json!("accepted"),
            refused => json!({"error": refused}),
        };
        let ours = opened.as_ref().map_or_else(error, |_| json!("accepted"));
        let place = Place { record: "", how: "when configured" };
        findings.compare(self, place, &java, &ours);
        let Some(mut opened) = opened.ok().filter(|_| self.error.is_null()) else {
            return;
        };
        let is_turned = self.class.ends_with("$Key");
        let records = self.outcomes.iter().map(|(name, _)| &records[name]);
        let records: Vec<Json> = records
            .map(|record| if is_turned { turned(record) } else { record.clone() })
            .map(|record| normalized(&record))
            .collect();
        for (i, record) in records.iter().enumerate() {
            self.replay_run(&mut opened, &[i], &[record], findings);
        }
        for rows in runs(&records) {
            // Twice, so that every row has others around it.
            let rows: Vec<usize> = rows.iter().chain(&rows).copied().collect();
            let run: Vec<&Json> = rows.iter().map(|row| &records[*row]).collect();
            self.replay_run(&mut opened, &rows, &run, findings);
        }
    }

    /// `rows` are the places of the run's records among the outcomes.
    fn replay_run(
        &self,
        opened: &mut Opened,
        rows: &[usize],
        run: &[&Json],
        findings: &mut Findings,
    ) {
        let records = read_records(run);
        for key in every_form(&records.key) {
            for value in every_form(&records.value) {
                let how =
                    format!("as {}, {} of {}", form_name(&key), form_name(&value), rows.len());
                let records = Records { key: key.clone(), value: value.clone(), ..records.clone() };
                let ours = match opened {
                    Opened::Predicate(predicate) => tested(predicate.as_mut(), &records),
                    Opened::Transformation(transformation) => {
                        let kept = self.kept(rows);
                        transformed(transformation.as_mut(), &records, run, &kept)
                    }
                };
                for (row, ours) in rows.iter().zip(ours) {
                    let (record, java) = &self.outcomes[*row];
                    findings.compare(self, Place { record, how: &how }, java, &ours);
                }
            }
        }
    }

    /// The places in a run of the records that come out of it in Java.
    fn kept(&self, rows: &[usize]) -> Vec<usize> {
        let is_kept = |row: usize| {
            let java = &self.outcomes[row].1;
            !java.is_null() && java.get("error").is_none()
        };
        (0..rows.len()).filter(|place| is_kept(rows[*place])).collect()
    }
}

enum Opened {
    Transformation(Box<dyn Transformation>),
    Predicate(Box<dyn Predicate>),
}

/// Key and value in each other's place: so the key is asked with the same data as the value.
fn turned(record: &Json) -> Json {
    let mut turned = record.clone();
    turned["key"] = record["value"].clone();
    turned["value"] = record["key"].clone();
    turned
}

fn tested(predicate: &mut dyn Predicate, records: &Records) -> Vec<Json> {
    match predicate.test(records) {
        Ok(answers) => answers.iter().map(|answer| json!(answer)).collect(),
        Err(e) => vec![error(&e); records.len()],
    }
}

/// An outcome a record. `kept` are those that should come out: which of ours belongs to which
/// record is known by the order alone.
fn transformed(
    transformation: &mut dyn Transformation,
    records: &Records,
    run: &[&Json],
    kept: &[usize],
) -> Vec<Json> {
    let mut failed: Vec<RowError> = Vec::new();
    let runs = match transformation.apply(records.clone(), &mut failed) {
        Ok(runs) => runs,
        Err(e) => return vec![json!({"the whole run": error(&e)}); run.len()],
    };
    let out = runs.iter().flat_map(|run| (0..run.len()).map(move |row| write_record(run, row)));
    let out: Vec<Json> = out.collect();
    let mut outcomes = vec![Json::Null; run.len()];
    for failure in &failed {
        outcomes[failure.row] = error(&failure.error);
    }
    // When others come out than should, those that did not fail are the best guess.
    let not_failed: Vec<usize> = (0..run.len()).filter(|row| outcomes[*row].is_null()).collect();
    let places = if out.len() == kept.len() { kept } else { &not_failed };
    for (place, after) in places.iter().zip(&out) {
        outcomes[*place] = changes(run[*place], after);
    }
    outcomes
}
