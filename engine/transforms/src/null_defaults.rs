//! Decides what null in a field stands for: itself, or the field's default
//! (`replace.null.with.default`).

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar};
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use arrow::error::ArrowError;
use millrace_api::data::{Column, Field, Schema, SchemaRef, Struct, Value};
use millrace_api::{Error, Result};
use std::sync::Arc;

use crate::refused::check_null;

/// Whether defaults replace nulls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NullDefaults(pub(crate) bool);

impl NullDefaults {
    /// A value of this schema as Java's `Struct` gives it (`get` or `getWithoutDefault`).
    pub(crate) fn value<'v>(self, schema: &'v Schema, value: &'v Value) -> &'v Value {
        match (value, schema.default()) {
            (Value::Null, Some(default)) if self.0 => default,
            (value, _) => value,
        }
    }

    /// The same, to be kept. A default that is a struct takes the whole schema, of which it is a
    /// part itself.
    pub(crate) fn taken(self, schema: &SchemaRef, value: &Value) -> Value {
        match self.value(schema, value) {
            Value::Struct(default) if value.is_null() => {
                Value::Struct(Struct::new(Arc::clone(schema), default.values().to_vec()))
            }
            found => found.clone(),
        }
    }

    /// The value of a field that is put into a field of the same schema, which null may not fit.
    pub(crate) fn copied(self, field: &Field, value: &Value) -> Result<Value> {
        let value = self.taken(&field.schema, value);
        check_null(field, &value)?;
        Ok(value)
    }

    /// All values of a field.
    pub(crate) fn column(self, schema: &SchemaRef, column: &ArrayRef) -> Result<ArrayRef> {
        let default = match schema.default() {
            Some(default) if self.0 && column.null_count() > 0 => default.clone(),
            _ => return Ok(Arc::clone(column)),
        };
        let default = Column::Rows { schema: Some(Arc::clone(schema)), values: vec![default] };
        let default = default.to_array()?.expect("the column has a schema");
        let set: BooleanArray = is_not_null(column).map_err(kernel_failed)?;
        zip(&set, column, &Scalar::new(default)).map_err(kernel_failed)
    }
}

fn kernel_failed(error: ArrowError) -> Error {
    Error::fatal("a field's default does not fit its column").with_source(error)
}
