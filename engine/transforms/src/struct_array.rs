//! Makes arrays of structs from the columns of their fields.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use arrow::datatypes::{Field, Fields};
use millrace_api::data::Schema;
use millrace_api::{Error, Result};

/// The structs of this schema, a column a field.
pub(crate) fn struct_array(
    schema: &Schema,
    columns: Vec<ArrayRef>,
    nulls: Option<&NullBuffer>,
    rows: usize,
) -> Result<ArrayRef> {
    let field = |(field, column): (&millrace_api::data::Field, &ArrayRef)| {
        Field::new(&*field.name, column.data_type().clone(), true)
    };
    let fields: Fields = schema.fields().iter().zip(&columns).map(field).collect();
    StructArray::try_new_with_length(fields, columns, nulls.cloned(), rows)
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|e| Error::fatal("columns of fields do not make structs").with_source(e))
}

/// What is in a struct that is null is null.
pub(crate) fn within(column: &ArrayRef, structs: Option<&NullBuffer>) -> Result<ArrayRef> {
    match structs.filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => {
            let null = BooleanArray::new(!nulls.inner(), None);
            nullif(column, &null)
                .map_err(|e| Error::fatal("a field is not as long as its struct").with_source(e))
        }
        None => Ok(Arc::clone(column)),
    }
}
