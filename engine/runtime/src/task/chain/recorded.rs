//! Holds chains against Connect's own runtime, which was given the same configurations and records
//! (`integration/oracle/transforms/record`).

use std::path::PathBuf;

use millrace_api::Props;
use millrace_api::config::Config;
use millrace_api::data::Records;
use millrace_testkit::notation::{read_records, write_record};
use millrace_testkit::recorded::{
    changes, error, every_form, form_name, is_same, lines, normalized, outcomes, records, runs,
};
use serde_json::{Value as Json, json};

use super::*;
use crate::catalog::Catalog;
use crate::config::connector::CommonConfig;
use crate::config::plugins;

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../transforms/tests/golden").join(file)
}

/// What a connector is configured with, and what Java made of each record.
fn chains() -> Vec<(Props, Vec<(String, Json)>)> {
    let mut chains: Vec<(Props, Vec<(String, Json)>)> = Vec::new();
    for line in lines(&golden("chains.jsonl")) {
        if let Some(config) = line["chain"].as_object() {
            let text = |value: &Json| value.as_str().unwrap().to_owned();
            let props = config.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            chains.push((props, Vec::new()));
        } else {
            chains.last_mut().expect("a chain stands first").1.extend(outcomes(&line));
        }
    }
    chains
}

#[test]
fn records_leave_a_chain_as_in_java() {
    let catalog = Catalog::new(millrace_transforms::plugins());
    let records = records(&golden("records.jsonl"));
    let mut wrong = Vec::new();
    for (props, outcomes) in chains() {
        let common = CommonConfig::parse(&props).unwrap();
        let mut chain = plugins::chain(&catalog, &common, &props).unwrap();
        let given: Vec<Json> =
            outcomes.iter().map(|(name, _)| normalized(&records[name])).collect();
        let alone = (0..given.len()).map(|i| vec![i]);
        for rows in alone.chain(runs(&given)) {
            let run: Vec<&Json> = rows.iter().map(|row| &given[*row]).collect();
            let java: Vec<&Json> = rows.iter().map(|row| &outcomes[*row].1).collect();
            for records in in_every_form(&read_records(&run)) {
                let how = format!("as {}, {} of", form_name(&records.value), rows.len());
                for (java, ours) in differences(&mut chain, records, &run, &java) {
                    let first = &outcomes[rows[0]].0;
                    wrong.push(format!("{props:?}\n{how} {first}:\n    {java}\n    {ours}"));
                }
            }
        }
    }
    let (count, shown) = (wrong.len(), wrong.iter().take(20).cloned().collect::<Vec<_>>());
    assert!(
        wrong.is_empty(),
        "{count} are not as recorded (Java, then ours):\n{}",
        shown.join("\n")
    );
}

fn in_every_form(records: &Records) -> Vec<Records> {
    let forms = every_form(&records.value).into_iter();
    forms.map(|value| Records { value, ..records.clone() }).collect()
}

/// What differs, Java's first: records in their order, failures as a set.
fn differences(
    chain: &mut TransformationChain,
    records: Records,
    given: &[&Json],
    java: &[&Json],
) -> Vec<(Json, Json)> {
    let (runs, failures) = chain.apply(records).unwrap();
    let out = runs.iter().flat_map(|run| (0..run.len()).map(move |row| write_record(run, row)));
    let out: Vec<Json> = out.collect();
    let is_kept = |outcome: &Json| !outcome.is_null() && outcome.get("error").is_none();
    let kept: Vec<usize> = (0..given.len()).filter(|row| is_kept(java[*row])).collect();
    let mut pairs: Vec<(Json, Json)> = Vec::new();
    for place in 0..kept.len().max(out.len()) {
        let expected = kept.get(place).map_or(json!("nothing"), |row| java[*row].clone());
        let ours = match (kept.get(place), out.get(place)) {
            (Some(row), Some(after)) => changes(given[*row], after),
            (_, after) => after.cloned().unwrap_or(json!("nothing")),
        };
        pairs.push((expected, ours));
    }
    let mut expected: Vec<Json> = java
        .iter()
        .filter(|outcome| outcome.get("error").is_some())
        .map(|o| (*o).clone())
        .collect();
    let mut failed: Vec<Json> = failures
        .iter()
        .flat_map(|step| step.rows.iter().map(|row| (step.class, error(&row.error))))
        .map(|(class, error)| json!({"class": class, "error": error["error"]}))
        .collect();
    expected.sort_by_cached_key(Json::to_string);
    failed.sort_by_cached_key(Json::to_string);
    for place in 0..expected.len().max(failed.len()) {
        let at = |all: &[Json]| all.get(place).cloned().unwrap_or(json!("no failure"));
        pairs.push((at(&expected), at(&failed)));
    }
    let is_other = |(java, ours): &(Json, Json)| {
        !is_same(java, ours) || (java.get("error").is_some() && java["class"] != ours["class"])
    };
    pairs.into_iter().filter(is_other).collect()
}
