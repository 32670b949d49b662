//! Makes records' keys of columns of theirs.

use std::sync::Arc;

use arrow::array::{AsArray, StructArray};
use arrow::datatypes::DataType;
use millrace_api::data::{Column, Schema, SchemaRef, Struct, Value};
use millrace_api::{Error, Result};

/// Which columns are the key, and in which form (`key.mode`, `key.fields`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// Empty: the table's primary key.
    pub(crate) columns: Vec<String>,
    /// The only column itself instead of a struct.
    pub(crate) is_bare: bool,
}

/// The key of one kind of records.
#[derive(Clone, Debug)]
pub(crate) struct KeyShape {
    /// Where its columns stand in the value.
    at: Vec<usize>,
    is_bare: bool,
    schema: SchemaRef,
}

impl KeyShape {
    /// `at` is where the key's columns stand in values of this schema.
    pub(crate) fn new(key: &Key, at: Vec<usize>, value: &SchemaRef) -> Result<Self> {
        let fields = at.iter().map(|&i| &value.fields()[i]);
        let schema = match (key.is_bare, &at[..]) {
            (true, [only]) => Arc::clone(&value.fields()[*only].schema),
            (true, _) => {
                let message = "the key has several columns; set key.mode=primary_key to have them \
                               as a struct, or key.fields to one of them";
                return Err(Error::fatal(message).context("columns", key.columns.join(", ")));
            }
            (false, _) => {
                let mut builder = Schema::struct_builder();
                if let Some(name) = value.name() {
                    builder = builder.name(format!("{name}.Key"));
                }
                for field in fields {
                    builder = builder.field(&*field.name, Arc::clone(&field.schema));
                }
                builder.build()
            }
        };
        Ok(Self { at, is_bare: key.is_bare, schema })
    }

    /// The keys of these values.
    pub(crate) fn of(&self, values: &Column) -> Column {
        match values {
            Column::Typed { array, .. } => {
                let columns = array.as_struct().columns();
                let mut columns: Vec<_> =
                    self.at.iter().map(|&i| Arc::clone(&columns[i])).collect();
                let array = match (self.is_bare, self.schema.arrow_type()) {
                    (false, Some(DataType::Struct(fields))) => {
                        Arc::new(StructArray::new(fields, columns, None))
                    }
                    _ => columns.remove(0),
                };
                Column::Typed { schema: Arc::clone(&self.schema), array }
            }
            Column::Rows { values, .. } => {
                let key = |row: &Value| match row {
                    Value::Struct(fields) => self.of_row(fields.values()),
                    _ => Value::Null,
                };
                let values = values.iter().map(key).collect();
                Column::Rows { schema: Some(Arc::clone(&self.schema)), values }
            }
            Column::Json(_) | Column::Objects(_) => Column::nulls(values.len()),
        }
    }

    fn of_row(&self, values: &[Value]) -> Value {
        let mut key: Vec<Value> = self.at.iter().map(|&i| values[i].clone()).collect();
        match self.is_bare {
            true => key.remove(0),
            false => Value::Struct(Struct::new(Arc::clone(&self.schema), key)),
        }
    }
}
