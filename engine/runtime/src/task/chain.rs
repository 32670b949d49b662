//! Applies a connector's transformations in order, each to the records its predicate selects.

use arrow::array::BooleanArray;
use millrace_api::data::{Records, RowError};
use millrace_api::{Predicate, Result, Transformation};

use crate::task::converted::Marks;

/// One transformation of a chain.
pub(crate) struct Step {
    /// Its class, for error reports.
    pub(crate) class: &'static str,
    pub(crate) transformation: Box<dyn Transformation>,
    /// Which records it applies to, and whether the answer is turned round; none: all.
    pub(crate) predicate: Option<(Box<dyn Predicate>, bool)>,
}

/// The transformations of one task.
#[derive(Default)]
pub(crate) struct TransformationChain {
    steps: Vec<Step>,
}

/// Rows that failed in a step, counted within the run that entered the step.
pub(crate) struct StepFailures {
    pub(crate) class: &'static str,
    /// Those of the run that entered the step.
    pub(crate) marks: Marks,
    pub(crate) rows: Vec<RowError>,
}

impl TransformationChain {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    /// Transforms a run. Several runs come out when topics or schemas diverge; none when every
    /// record was dropped. Records that failed are left out and reported beside the result.
    pub(crate) fn apply(&mut self, run: Records) -> Result<(Vec<Records>, Vec<StepFailures>)> {
        let mut failures = Vec::new();
        let mut runs = vec![run];
        for step in &mut self.steps {
            let mut transformed = Vec::with_capacity(runs.len());
            for run in runs {
                for (part, selected) in step.select(run)? {
                    if !selected {
                        transformed.push(part);
                        continue;
                    }
                    let (marks, mut rows) = (Marks::of(&part), Vec::new());
                    transformed.extend(step.transformation.apply(part, &mut rows)?);
                    if !rows.is_empty() {
                        failures.push(StepFailures { class: step.class, marks, rows });
                    }
                }
            }
            runs = transformed;
            runs.retain(|run| !run.is_empty());
        }
        Ok((runs, failures))
    }
}

impl Step {
    /// Cuts a run where the predicate's answer changes, so that the order of records is kept.
    fn select(&mut self, run: Records) -> Result<Vec<(Records, bool)>> {
        let Some((predicate, negate)) = &mut self.predicate else {
            return Ok(vec![(run, true)]);
        };
        let answers: BooleanArray = predicate.test(&run)?;
        assert_eq!(answers.len(), run.len(), "a bit a record");
        let selected = |row: usize| answers.value(row) != *negate;
        let mut parts = Vec::new();
        let mut start = 0;
        for row in 1..=run.len() {
            if row == run.len() || selected(row) != selected(start) {
                parts.push((run.slice(start, row - start), selected(start)));
                start = row;
            }
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod recorded;

#[cfg(test)]
mod tests {
    use millrace_api::data::{Column, Value};

    use super::*;

    fn numbers(values: &[i64]) -> Records {
        let values = values.iter().map(|n| Value::Int64(*n)).collect();
        Records::new("t", Column::Rows { schema: None, values })
    }

    fn values(runs: &[Records]) -> Vec<String> {
        let rows = runs.iter().flat_map(|r| r.value.rows().unwrap().into_owned());
        rows.map(|v| v.to_string()).collect()
    }

    /// Negates numbers; fails on 13, drops 0.
    struct Negate;

    impl Transformation for Negate {
        fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
            let mut out = Vec::new();
            for (row, value) in records.value.rows()?.iter().enumerate() {
                match value {
                    Value::Int64(0) => {}
                    Value::Int64(13) => {
                        failed.push(RowError { row, error: millrace_api::Error::data("unlucky") })
                    }
                    Value::Int64(n) => out.push(-n),
                    _ => unreachable!("the test makes numbers"),
                }
            }
            Ok(vec![numbers(&out)])
        }
    }

    struct Odd;

    impl Predicate for Odd {
        fn test(&mut self, records: &Records) -> Result<BooleanArray> {
            let rows = records.value.rows()?;
            let odd = |v: &Value| matches!(v, Value::Int64(n) if n % 2 != 0);
            Ok(rows.iter().map(odd).collect::<Vec<_>>().into())
        }
    }

    fn chain(predicate: Option<(Box<dyn Predicate>, bool)>) -> TransformationChain {
        TransformationChain::new(vec![Step {
            class: "Negate",
            transformation: Box::new(Negate),
            predicate,
        }])
    }

    #[test]
    fn order_is_kept_around_a_predicate() {
        let run = numbers(&[1, 2, 3, 5, 4]);
        let (runs, _) = chain(Some((Box::new(Odd), false))).apply(run.clone()).unwrap();
        assert_eq!(values(&runs), ["-1", "2", "-3", "-5", "4"]);
        let (runs, _) = chain(Some((Box::new(Odd), true))).apply(run).unwrap();
        assert_eq!(values(&runs), ["1", "-2", "3", "5", "-4"]);
    }

    #[test]
    fn failed_and_dropped_rows_are_left_out() {
        let (runs, failures) = chain(None).apply(numbers(&[1, 13, 0, 2])).unwrap();
        assert_eq!(values(&runs), ["-1", "-2"]);
        assert_eq!((failures[0].class, failures[0].rows[0].row), ("Negate", 1));
        let (runs, _) = chain(None).apply(numbers(&[0])).unwrap();
        assert!(runs.is_empty());
    }
}
