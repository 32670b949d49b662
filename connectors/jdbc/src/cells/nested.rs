//! Holds cells that consist of others: lists, and texts by texts.

use std::sync::Arc;

use arrow::array::{ListArray, MapArray, StringViewBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use millrace_api::data::{SchemaRef, Value};

use super::{Cells, Finished, Misfit};
use crate::form::Form;

/// Where each of several cells ends among the items of all, and which of them are there.
#[derive(Debug)]
struct Ends {
    offsets: Vec<i32>,
    present: Vec<bool>,
}

impl Ends {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, present: Vec::with_capacity(rows) }
    }

    /// Another cell ends after so many items.
    fn push(&mut self, items: usize, is_present: bool) -> Result<(), Misfit> {
        let end = i32::try_from(items).map_err(|_| Misfit::new("more items than a batch holds"))?;
        self.offsets.push(end);
        self.present.push(is_present);
        Ok(())
    }

    /// A cell without items that is null.
    fn null(&mut self) {
        let end = *self.offsets.last().expect("the first one is 0");
        self.offsets.push(end);
        self.present.push(false);
    }

    /// The first `rows` of them, and how many items they have. Starts afresh.
    fn take(&mut self, rows: usize) -> (Vec<i32>, Vec<bool>, usize) {
        let mut offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let mut present = std::mem::take(&mut self.present);
        offsets.truncate(rows + 1);
        present.truncate(rows);
        let items = offsets.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0));
        (offsets, present, items)
    }
}

/// The cells of a column of lists.
#[derive(Debug)]
pub(crate) struct Lists {
    schema: SchemaRef,
    items: Cells,
    ends: Ends,
}

impl Lists {
    /// Lists of lists while `dimensions` is more than one.
    pub(super) fn new(form: Form, dimensions: u8, schema: &SchemaRef, rows: usize) -> Self {
        let item = schema.value_schema().expect("the schema of lists has one for their items");
        let items = Cells::of(form, dimensions - 1, item, rows);
        Self { schema: Arc::clone(schema), items, ends: Ends::new(rows) }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.present.len()
    }

    pub(super) fn append_null(&mut self) {
        self.ends.null();
    }

    /// Where the items of the next list go.
    pub(crate) fn items(&mut self) -> &mut Cells {
        &mut self.items
    }

    /// The list has all the items that were appended since the one before.
    pub(crate) fn end(&mut self) -> Result<(), Misfit> {
        self.ends.push(self.items.len(), true)
    }

    pub(super) fn finish(&mut self, rows: usize) -> Finished {
        let (offsets, present, count) = self.ends.take(rows);
        let item_schema = self.schema.value_schema().expect("there is one for the items");
        match self.items.finish(count) {
            Finished::Array(items) => {
                let Some(DataType::List(field)) = self.schema.arrow_type() else {
                    unreachable!("lists are lists in Arrow if their items are in Arrow")
                };
                let nulls = NullBuffer::from(present);
                let offsets = OffsetBuffer::new(offsets.into());
                Finished::Array(Arc::new(ListArray::new(field, offsets, items, Some(nulls))))
            }
            values @ Finished::Values(_) => {
                let mut items =
                    values.into_values(item_schema).expect("values stay as they are").into_iter();
                let lengths = offsets.windows(2).map(|pair| pair[1] - pair[0]);
                let list = |(length, is_present): (i32, bool)| {
                    let length = usize::try_from(length).unwrap_or(0);
                    let list = Value::Array(items.by_ref().take(length).collect());
                    if is_present { list } else { Value::Null }
                };
                Finished::Values(lengths.zip(present).map(list).collect())
            }
        }
    }
}

/// The cells of a column of maps from text to text or null.
#[derive(Debug)]
pub(crate) struct Maps {
    schema: SchemaRef,
    keys: StringViewBuilder,
    values: StringViewBuilder,
    entries: usize,
    ends: Ends,
}

impl Maps {
    pub(super) fn new(schema: &SchemaRef, rows: usize) -> Self {
        Self {
            schema: Arc::clone(schema),
            keys: StringViewBuilder::new(),
            values: StringViewBuilder::new(),
            entries: 0,
            ends: Ends::new(rows),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.present.len()
    }

    pub(super) fn append_null(&mut self) {
        self.ends.null();
    }

    /// Appends a map.
    pub(super) fn append(&mut self, pairs: &[(&str, Option<&str>)]) -> Result<(), Misfit> {
        for (key, value) in pairs {
            self.keys.append_value(key);
            self.values.append_option(*value);
        }
        self.entries += pairs.len();
        self.ends.push(self.entries, true)
    }

    pub(super) fn finish(&mut self, rows: usize) -> Finished {
        self.entries = 0;
        let (offsets, present, _) = self.ends.take(rows);
        let (keys, values) = (Arc::new(self.keys.finish()), Arc::new(self.values.finish()));
        let Some(DataType::Map(entries, _)) = self.schema.arrow_type() else {
            unreachable!("a map of texts is a map in Arrow")
        };
        let DataType::Struct(fields) = entries.data_type() else {
            unreachable!("the entries of a map are structs in Arrow")
        };
        let pairs = StructArray::new(fields.clone(), vec![keys, values], None);
        let offsets = OffsetBuffer::new(offsets.into());
        let nulls = Some(NullBuffer::from(present));
        Finished::Array(Arc::new(MapArray::new(entries, offsets, pairs, nulls, false)))
    }
}
