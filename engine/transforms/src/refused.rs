//! Collects the rows of a run that a transformation refuses, and leaves them out of the result.

use arrow::array::BooleanArray;
use millrace_api::Error;
use millrace_api::data::{Kind, Records, RowError};

/// Rows that failed so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Refused(Vec<(usize, Error)>);

impl Refused {
    pub(crate) fn push(&mut self, row: usize, error: Error) {
        self.0.push((row, error));
    }

    /// The rows that are left, none if none is. `first` is the place of these records in the run
    /// that came in.
    pub(crate) fn leave_out(
        self,
        records: Records,
        first: usize,
        failed: &mut Vec<RowError>,
    ) -> Option<Records> {
        if self.0.len() == records.len() {
            self.report(first, failed);
            return None;
        }
        if self.0.is_empty() {
            return Some(records);
        }
        let mut keep = vec![true; records.len()];
        for (row, _) in &self.0 {
            keep[*row] = false;
        }
        self.report(first, failed);
        Some(records.filter(&BooleanArray::from(keep)))
    }

    fn report(self, first: usize, failed: &mut Vec<RowError>) {
        failed.extend(self.0.into_iter().map(|(row, error)| RowError { row: first + row, error }));
    }
}

/// A field that must have a value has none (`ConnectSchema.validateValue`).
pub(crate) fn null_in_required_field(name: &str, kind: Kind) -> Error {
    Error::data(format!(
        "Invalid value: null used for required field: \"{name}\", schema type: {}",
        kind.name()
    ))
}
