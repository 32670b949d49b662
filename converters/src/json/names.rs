//! Finds the field that a member's name stands for, which is probably the one that comes next.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_api::data::SchemaRef;
use millrace_api::data::json::{Reader, WrittenName};

use crate::json::builder::Odd;

/// Where a struct's fields are.
pub(crate) struct Names {
    places: HashMap<Arc<str>, usize>,
    /// Each as most writers put it before a value; none where something in it has to be escaped.
    written: Vec<Option<WrittenName>>,
}

impl Names {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        let names = || schema.fields().iter().map(|field| &field.name);
        Self {
            places: names().cloned().zip(0..).collect(),
            written: names().map(|name| WrittenName::of(name)).collect(),
        }
    }

    /// The field whose name comes next, which is probably the one at `expected`; none at the end of
    /// the object.
    pub(crate) fn next(
        &self,
        reader: &mut Reader<'_>,
        expected: usize,
        first: &mut bool,
    ) -> Result<Option<Named>, Odd> {
        if let Some(Some(name)) = self.written.get(expected)
            && reader.take_written_name(name, first)
        {
            return Ok(Some(Named::Field(expected)));
        }
        let name = reader.next_name(first)?;
        Ok(name.map(|name| self.places.get(&*name).map_or(Named::Nothing, |p| Named::Field(*p))))
    }
}

/// What a member's name stands for.
pub(crate) enum Named {
    Field(usize),
    /// Nothing in the schema.
    Nothing,
}
