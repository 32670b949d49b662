//! Makes arrays of structs from the columns of their fields.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::buffer::NullBuffer;
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
