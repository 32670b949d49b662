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

pub(crate) fn seeing_places() -> Plugin {
    Plugin::transformation("test.NoOffsets", ConfigDef::default, |_| Ok(Box::new(NoOffsets)))
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
