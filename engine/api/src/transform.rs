//! Changes records between connector and converter (single message transformations).

use arrow::array::BooleanArray;

use crate::Result;
use crate::data::{Records, RowError};

/// A single message transformation (`org.apache.kafka.connect.transforms.Transformation`), applied
/// to a run at a time.
///
/// The order of records is kept. Usually one run comes out; several when the transformation gives
/// records different topics or schemas. A row that fails is pushed to `failed`, by its place in
/// the run that came in, and is left out of the result, as is a row that is dropped on purpose.
pub trait Transformation: Send {
    /// Transforms a run.
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>>;
}

/// Says which records a transformation applies to
/// (`org.apache.kafka.connect.transforms.predicates.Predicate`).
pub trait Predicate: Send {
    /// A bit a record.
    fn test(&mut self, records: &Records) -> Result<BooleanArray>;
}
