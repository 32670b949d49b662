//! Collects the rows of a run that a transformation refuses, and leaves them out of the result.

use std::collections::BTreeMap;

use arrow::array::{Array, BooleanArray};
use arrow::buffer::NullBuffer;
use millrace_api::data::{Field, Kind, Records, RowError, Value};
use millrace_api::{Error, Result};

/// Rows that failed so far.
#[derive(Debug, Default)]
pub(crate) struct Refused(BTreeMap<usize, Error>);

impl Refused {
    /// A row fails. What failed first counts.
    pub(crate) fn push(&mut self, row: usize, error: Error) {
        self.0.entry(row).or_insert(error);
    }

    /// Whether a row has failed.
    pub(crate) fn has(&self, row: usize) -> bool {
        self.0.contains_key(&row)
    }

    /// How many rows failed.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Null in a field that must have a value fails its row, unless the struct itself is null.
    /// `column` has all values of the field.
    pub(crate) fn push_nulls(
        &mut self,
        field: &Field,
        column: &dyn Array,
        structs: Option<&NullBuffer>,
    ) {
        if field.schema.is_optional() || column.null_count() == 0 {
            return;
        }
        let is_struct = |row: &usize| structs.is_none_or(|structs| structs.is_valid(*row));
        for row in (0..column.len()).filter(|row| column.is_null(*row)).filter(is_struct) {
            self.push(row, null_in_required_field(&field.name, field.schema.kind()));
        }
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
        for row in self.0.keys() {
            keep[*row] = false;
        }
        self.report(first, failed);
        Some(records.filter(&BooleanArray::from(keep)))
    }

    fn report(self, first: usize, failed: &mut Vec<RowError>) {
        failed.extend(self.0.into_iter().map(|(row, error)| RowError { row: first + row, error }));
    }
}

/// Refuses null in a field that must have a value.
pub(crate) fn check_null(field: &Field, value: &Value) -> Result<()> {
    match value.is_null() && !field.schema.is_optional() {
        true => Err(null_in_required_field(&field.name, field.schema.kind())),
        false => Ok(()),
    }
}

/// A field that must have a value has none (`ConnectSchema.validateValue`).
pub(crate) fn null_in_required_field(name: &str, kind: Kind) -> Error {
    Error::data(format!(
        "Invalid value: null used for required field: \"{name}\", schema type: {}",
        kind.name()
    ))
}

/// Without a schema only maps have fields (`Requirements.requireMap`).
pub(crate) fn no_map(purpose: &str, value: &Value) -> Error {
    Error::data(format!(
        "Only Map objects supported in absence of schema for [{purpose}], found: {}",
        value.java_class()
    ))
}

/// With a schema only structs have fields (`Requirements.requireStruct`).
pub(crate) fn no_struct(purpose: &str, value: &Value) -> Error {
    Error::data(format!(
        "Only Struct objects supported for [{purpose}], found: {}",
        value.java_class()
    ))
}

/// Java takes the keys of a map without schema for names.
pub(crate) fn no_name(key: &Value) -> Error {
    let class = key.java_class();
    let message = format!("class {class} cannot be cast to class java.lang.String");
    Error::data(message).as_java("java.lang.ClassCastException")
}
