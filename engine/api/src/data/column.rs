//! The keys or the values of a run of records, in the cheapest form that says the same.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, GenericByteViewArray, StringViewArray};
use arrow::compute;
use arrow::datatypes::ByteViewType;

use crate::Result;
use crate::data::json::JsonObjects;
use crate::data::{Printer, SchemaRef, Value, cells, json};

/// Below so many rows a value a row is cheaper than Arrow (measured: even near 16).
const ARROW_PAYS: usize = 16;

/// The keys or the values of a run of records.
///
/// The forms differ in cost only: [`Column::rows`] gives the same values whichever is used, and a
/// property test holds every converter and transformation to that.
#[derive(Clone, Debug)]
pub enum Column {
    /// With a schema: one Arrow array of [`Schema::arrow_type`](crate::data::Schema::arrow_type).
    Typed {
        /// What every row looks like.
        schema: SchemaRef,
        /// The rows.
        array: ArrayRef,
    },
    /// Without a schema, and still JSON text. Every row is one valid JSON text (the converter has
    /// checked it) or null for no value at all.
    Json(StringViewArray),
    /// Without a schema, and still JSON text: objects that have the same members, or some of them.
    Objects(JsonObjects),
    /// A value a row: schemaless data that was looked at, data Arrow cannot hold, and runs too
    /// short for Arrow to pay.
    Rows {
        /// What every row looks like; none for schemaless data.
        schema: Option<SchemaRef>,
        /// The rows.
        values: Vec<Value>,
    },
}

impl Column {
    /// So many rows without schema and value, such as the keys of a source that has none.
    pub fn nulls(rows: usize) -> Self {
        Self::Json(StringViewArray::new_null(rows))
    }

    /// Values in the form that pays: an Arrow array when there is a schema, the run is long enough
    /// and Arrow can hold it (a decimal of more than 76 digits it cannot), else rows.
    pub fn from_values(schema: Option<SchemaRef>, values: Vec<Value>) -> Self {
        if let Some(schema) = schema.as_ref().filter(|_| values.len() >= ARROW_PAYS)
            && let Ok(array) = cells::to_array(schema, &values)
        {
            return Self::Typed { schema: Arc::clone(schema), array };
        }
        Self::Rows { schema, values }
    }

    /// The same rows as an Arrow array, for those who only have columns to work with. None without
    /// a schema; an error when Arrow cannot hold the schema or a value does not fit it.
    pub fn to_array(&self) -> Result<Option<ArrayRef>> {
        match self {
            Self::Typed { array, .. } => Ok(Some(Arc::clone(array))),
            Self::Rows { schema: Some(schema), values } => {
                cells::to_array(schema, values).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The column with a text a row where it has JSON by member, for those who only know texts.
    pub fn with_texts(&self) -> Cow<'_, Self> {
        match self {
            Self::Objects(objects) => Cow::Owned(Self::Json(objects.texts())),
            column => Cow::Borrowed(column),
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Typed { array, .. } => array.len(),
            Self::Json(texts) => texts.len(),
            Self::Objects(objects) => objects.len(),
            Self::Rows { values, .. } => values.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What every row looks like; none for schemaless data.
    pub fn schema(&self) -> Option<&SchemaRef> {
        match self {
            Self::Typed { schema, .. } => Some(schema),
            Self::Json(_) | Self::Objects(_) => None,
            Self::Rows { schema, .. } => schema.as_ref(),
        }
    }

    /// Whether a row is null. A JSON `null` is.
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Typed { array, .. } => array.is_null(row),
            Self::Json(texts) => texts.is_null(row) || texts.value(row).trim_ascii() == "null",
            Self::Objects(objects) => objects.is_null(row),
            Self::Rows { values, .. } => values[row].is_null(),
        }
    }

    /// One row as a value.
    pub fn value(&self, row: usize) -> Result<Value> {
        match self {
            Self::Typed { schema, array } => cells::value_at(schema, array, row),
            Self::Json(texts) if texts.is_null(row) => Ok(Value::Null),
            Self::Json(texts) => json::parse(texts.value(row)),
            Self::Objects(objects) => objects.value(row),
            Self::Rows { values, .. } => Ok(values[row].clone()),
        }
    }

    /// All rows as values: the definition of what this column holds.
    pub fn rows(&self) -> Result<Cow<'_, [Value]>> {
        match self {
            Self::Rows { values, .. } => Ok(Cow::Borrowed(values)),
            Self::Typed { schema, array } => cells::values(schema, array).map(Cow::Owned),
            Self::Json(_) | Self::Objects(_) => {
                (0..self.len()).map(|row| self.value(row)).collect::<Result<_>>().map(Cow::Owned)
            }
        }
    }

    /// Prints rows as Java's `toString` does. Fails when the array is not of the schema's type.
    pub fn printer(&self) -> Result<Printer<'_>> {
        match self {
            Self::Typed { schema, array } => Printer::typed(schema, array),
            Self::Json(texts) => Ok(Printer::json(texts)),
            Self::Objects(objects) => Ok(Printer::objects(objects)),
            Self::Rows { values, .. } => Ok(Printer::values(values)),
        }
    }

    /// The rows where the mask is true, in order; the mask has a bit a row and no nulls.
    #[must_use]
    pub fn filter(&self, mask: &BooleanArray) -> Self {
        assert_eq!(self.len(), mask.len(), "a bit a row");
        match self {
            Self::Typed { schema, array } => Self::Typed {
                schema: Arc::clone(schema),
                array: compute::filter(array, mask).expect("lengths are equal"),
            },
            Self::Json(texts) => Self::Json(keep_texts(texts, mask)),
            Self::Objects(objects) => Self::Objects(objects.filter(mask)),
            Self::Rows { schema, values } => {
                Self::Rows { schema: schema.clone(), values: keep(values, mask) }
            }
        }
    }

    /// Rows `offset..offset + len`; shares the buffers.
    #[must_use]
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        match self {
            Self::Typed { schema, array } => {
                Self::Typed { schema: Arc::clone(schema), array: array.slice(offset, len) }
            }
            Self::Json(texts) => Self::Json(texts.slice(offset, len)),
            Self::Objects(objects) => Self::Objects(objects.slice(offset, len)),
            Self::Rows { schema, values } => {
                Self::Rows { schema: schema.clone(), values: values[offset..offset + len].to_vec() }
            }
        }
    }
}

/// How many bytes the texts or bytes of a column have together. A null counts as what its view says,
/// which is nothing unless it was nulled later.
pub fn byte_length<T: ByteViewType + ?Sized>(cells: &GenericByteViewArray<T>) -> usize {
    // The low half of a view is its length.
    cells.views().iter().map(|view| *view as u32 as usize).sum()
}

/// The texts where the mask is true.
pub(super) fn keep_texts(texts: &StringViewArray, mask: &BooleanArray) -> StringViewArray {
    let kept = compute::filter(texts, mask).expect("lengths are equal");
    StringViewArray::from(kept.to_data())
}

/// The items where the mask is true.
pub(super) fn keep<T: Clone>(items: &[T], mask: &BooleanArray) -> Vec<T> {
    items
        .iter()
        .zip(mask.values().iter())
        .filter(|(_, keep)| *keep)
        .map(|(x, _)| x.clone())
        .collect()
}
