//! What transformations see of where records came from, and what becomes of records when they
//! forget it.

use millrace_api::config::ConfigDef;
use millrace_api::data::{Records, RowError};
use millrace_api::{Error, Plugin, Result, Transformation};
use millrace_runtime::{Herder, State};

use crate::errors::{letters, values};
use crate::fixture::{Fixture, until};

/// Refuses records that have offsets, as `InsertField` refuses those that have none.
struct NoOffsets;

impl Transformation for NoOffsets {
    fn apply(&mut self, records: Records, _failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        match records.offsets {
            None => Ok(vec![records]),
            Some(_) => Err(Error::fatal("these records have offsets")),
        }
    }
}

/// Makes new records of those that it gets.
struct Forgetful;

impl Transformation for Forgetful {
    fn apply(&mut self, records: Records, _failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        Ok(vec![Records::new(records.topic, records.value)])
    }
}

pub(crate) fn seeing_places() -> [Plugin; 2] {
    let (none, forgetful) = ("test.NoOffsets", "test.Forgetful");
    [
        Plugin::transformation(none, ConfigDef::default, |_| Ok(Box::new(NoOffsets))),
        Plugin::transformation(forgetful, ConfigDef::default, |_| Ok(Box::new(Forgetful))),
    ]
}

/// A chain of this, and of one that refuses each tenth record.
fn chain(first: &'static str) -> Vec<(&'static str, &'static str)> {
    letters(&[
        ("transforms", "first,d"),
        ("transforms.first.type", first),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", "none"),
        ("transforms.d.poison", "5"),
    ])
}

#[tokio::test]
async fn with_a_dead_letter_queue_a_source_has_no_offsets_either() {
    let fixture = Fixture::start().await;
    fixture.source("no-offsets", "alive", 20, &chain("test.NoOffsets")).await;
    until("all", async || fixture.end_offset("alive").await == 18).await;
    until("letters", async || fixture.end_offset("letters").await == 2).await;
    let dead = values(&fixture, "letters").await;
    assert!(dead[0].contains("no-offsets-0-5") && dead[1].contains("no-offsets-0-15"), "{dead:?}");
    assert_eq!(fixture.state("no-offsets").await, Some(State::Running));
}

#[tokio::test]
async fn a_record_of_which_nobody_knows_what_it_was_fails_the_task() {
    let fixture = Fixture::start().await;
    fixture.source("forgets", "alive", 10, &chain("test.Forgetful")).await;
    fixture.wait_for_task("forgets", 0, State::Failed).await;
    let trace = fixture.status("forgets").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("has forgotten which it was") && trace.contains("poison"), "{trace}");
    assert!(fixture.worker().offsets("forgets").await.unwrap().is_empty());

    fixture.source("plain", "plain", 10, &[]).await;
    let forgetful = [("transforms", "f"), ("transforms.f.type", "test.Forgetful")];
    fixture.sink("forgets-sink", "plain", &forgetful).await;
    fixture.wait_for_task("forgets-sink", 0, State::Failed).await;
    let trace = fixture.status("forgets-sink").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("without the offsets"), "{trace}");
}
