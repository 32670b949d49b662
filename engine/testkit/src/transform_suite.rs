//! What every transformation must do: treat a run as its records one by one, whatever form their
//! data have.

use std::sync::Arc;

use millrace_api::data::{Column, Header, Records, RowError, Schema, SchemaRef, Value};
use millrace_api::{Plugin, Props};
use proptest::strategy::BoxedStrategy;

use crate::arbitrary::forms;
use crate::plugin_host::{for_all, transformation};

/// One configured transformation, and data for it.
pub trait TransformFixture {
    /// The transformation.
    fn plugin(&self) -> Plugin;
    /// Its configuration.
    fn props(&self) -> Props;
    /// Runs of every kind that it may meet, those included that it must refuse.
    fn records(&self) -> BoxedStrategy<Records>;
}

/// Makes a module of tests, one a check of [`transform_suite`](mod@crate::transform_suite):
/// `transform_suite!(module_name, fixture)`.
#[macro_export]
macro_rules! transform_suite {
    ($name:ident, $fixture:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "a fixture may be named by its full path")]
            use super::*;

            $crate::suite_checks! { transform_suite, $fixture,
                a_run_is_treated_as_its_records_one_by_one
                all_forms_of_the_data_give_the_same
                slices_of_a_run_give_the_same
                tombstones_are_harmless
                an_empty_run_stays_empty
            }
        }
    };
}

/// All of one record that comes out.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    topic: Arc<str>,
    partition: Option<i32>,
    key: (Option<SchemaRef>, Value),
    value: (Option<SchemaRef>, Value),
    timestamp: Option<i64>,
    headers: Vec<Header>,
    offset: Option<i64>,
}

/// What came out, and what failed for which reason.
type Outcome = (Vec<Row>, Vec<(usize, String)>);

fn rows_of(records: &Records) -> Vec<Row> {
    assert_eq!(records.key.len(), records.len(), "a key a record");
    if let Some(timestamps) = &records.timestamps {
        assert_eq!(timestamps.len(), records.len(), "a timestamp a record");
    }
    if let Some(offsets) = &records.offsets {
        assert_eq!(offsets.len(), records.len(), "an offset a record");
    }
    let cell = |column: &Column, row| {
        let value = column.value(row).expect("what comes out can be read");
        (column.schema().cloned(), value)
    };
    (0..records.len())
        .map(|row| Row {
            topic: Arc::clone(&records.topic),
            partition: records.partition,
            key: cell(&records.key, row),
            value: cell(&records.value, row),
            timestamp: records.timestamp(row),
            headers: records.headers.row(row).to_vec(),
            offset: records.offsets.as_ref().map(|offsets| offsets[row]),
        })
        .collect()
}

fn apply(fixture: &impl TransformFixture, records: Records) -> Outcome {
    let mut transformation = transformation(&fixture.plugin(), &fixture.props())
        .expect("the fixture's configuration is right");
    let rows = records.len();
    let mut failed: Vec<RowError> = Vec::new();
    let runs = transformation
        .apply(records, &mut failed)
        .expect("a transformation blames rows, it does not give up");
    let mut failed: Vec<_> = failed.into_iter().map(|f| (f.row, f.error.to_string())).collect();
    failed.sort();
    assert!(failed.iter().all(|(row, _)| *row < rows), "rows that came in");
    assert!(failed.windows(2).all(|w| w[0].0 < w[1].0), "a row fails once");
    let out: Vec<_> = runs.iter().flat_map(rows_of).collect();
    assert!(out.len() + failed.len() <= rows, "no record comes out twice");
    (out, failed)
}

/// The row form of a run: the definition of what it holds.
fn as_rows(records: &Records) -> Records {
    Records {
        key: forms(&records.key).remove(0),
        value: forms(&records.value).remove(0),
        ..records.clone()
    }
}

/// What the records give when each is a run of its own.
fn one_by_one(fixture: &impl TransformFixture, records: &Records) -> Outcome {
    let (mut out, mut failed) = (Vec::new(), Vec::new());
    for row in 0..records.len() {
        let (rows, failures) = apply(fixture, records.slice(row, 1));
        out.extend(rows);
        failed.extend(failures.into_iter().map(|(_, message)| (row, message)));
    }
    (out, failed)
}

/// Rows stay aligned with what belongs to them, in order; failures hit the right ones.
pub fn a_run_is_treated_as_its_records_one_by_one(fixture: &impl TransformFixture) {
    for_all(96, &fixture.records(), |records| {
        let rows = as_rows(&records);
        assert_eq!(apply(fixture, rows.clone()), one_by_one(fixture, &rows));
    });
}

/// Columns give what rows give.
pub fn all_forms_of_the_data_give_the_same(fixture: &impl TransformFixture) {
    for_all(192, &fixture.records(), |records| {
        let expected = apply(fixture, as_rows(&records));
        for value in forms(&records.value) {
            for key in forms(&records.key) {
                let run = Records { key, value: value.clone(), ..records.clone() };
                assert_eq!(apply(fixture, run), expected);
            }
        }
    });
}

/// Arrays that do not start at 0 are read from where they start.
pub fn slices_of_a_run_give_the_same(fixture: &impl TransformFixture) {
    for_all(64, &fixture.records(), |records| {
        let (from, len) = (records.len() / 3, records.len() / 2);
        let expected = apply(fixture, as_rows(&records).slice(from, len));
        for value in forms(&records.value) {
            let run = Records { value, ..records.clone() };
            assert_eq!(apply(fixture, run.slice(from, len)), expected);
        }
    });
}

/// Records without value or key pass, are dropped, or fail one by one.
pub fn tombstones_are_harmless(fixture: &impl TransformFixture) {
    let field = Schema::struct_builder().field("a", Schema::string(true));
    let nulls = |schema: SchemaRef| {
        let column = Column::from_values(Some(schema), vec![Value::Null; 20]);
        forms(&column)
    };
    let mut columns = vec![Column::nulls(20)];
    columns.extend(nulls(Schema::string(true)));
    columns.extend(nulls(field.optional().build()));
    for value in &columns {
        for key in &columns {
            let mut records = Records::new("topic", value.clone());
            records.key = key.clone();
            let (out, failed) = apply(fixture, records.clone());
            assert_eq!((out, failed), one_by_one(fixture, &as_rows(&records)));
        }
    }
}

/// No records in, none out.
pub fn an_empty_run_stays_empty(fixture: &impl TransformFixture) {
    let values = [Column::nulls(0), Column::from_values(Some(Schema::string(true)), Vec::new())];
    for value in values {
        assert_eq!(apply(fixture, Records::new("topic", value)), Outcome::default());
    }
}
