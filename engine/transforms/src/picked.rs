//! Copies fields of structs into new structs (`Struct.get` and `Struct.put`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use millrace_api::data::{Field, SchemaRef, Struct, Value};
use millrace_api::{Error, Result};

use crate::null_defaults::NullDefaults;
use crate::refused::Refused;
use crate::struct_array::struct_array;

/// Which of the old fields each new one is, and whether defaults replace nulls.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    pub(crate) places: Vec<usize>,
    pub(crate) defaults: NullDefaults,
}

impl Picked {
    /// A struct of the schema `made`.
    pub(crate) fn value(&self, made: &SchemaRef, value: &Value) -> Result<Value> {
        let Value::Struct(old) = value else { return Err(not_of_its_schema()) };
        let copied =
            |(field, place): (&Field, &usize)| self.defaults.copied(field, &old.values()[*place]);
        let values = made.fields().iter().zip(&self.places).map(copied).collect::<Result<_>>()?;
        Ok(Value::Struct(Struct::new(Arc::clone(made), values)))
    }

    /// Structs of the schema `made`; null stays null.
    pub(crate) fn array(
        &self,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<ArrayRef> {
        let structs = array.as_struct();
        let mut columns = Vec::with_capacity(self.places.len());
        for (field, place) in made.fields().iter().zip(&self.places) {
            let column = self.defaults.column(&field.schema, structs.column(*place))?;
            refused.push_nulls(field, &column, array.nulls());
            columns.push(column);
        }
        struct_array(made, columns, array.nulls(), array.len())
    }
}

/// A value that does not fit the schema it came with.
pub(crate) fn not_of_its_schema() -> Error {
    Error::data("the value does not fit its schema, which is of a struct")
}
