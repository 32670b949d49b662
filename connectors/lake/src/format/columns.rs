//! Decides which Parquet columns a Connect schema becomes, and brings arrays into that form.
//!
//! Fields that are not optional are `required` in Parquet. Where a null stands in such a field its
//! default takes the place, as `Struct.get` has it in Java; without a default the row does not fit.

use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, Scalar, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast_with_options, is_not_null};
use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef as ArrowRef};
use arrow::error::ArrowError;
use millrace_api::data::{Column, Kind, Schema, SchemaRef, Value};
use millrace_api::{Error, Result};

/// The column that holds values which are no structs.
const VALUE: &str = "value";

/// Set by the JDBC source: how many digits a decimal column has.
const PRECISION: &str = "connect.decimal.precision";

/// The columns of one Connect schema.
#[derive(Debug)]
pub(crate) struct Columns {
    connect: SchemaRef,
    source: DataType,
    /// What is inside the file.
    pub(super) arrow: ArrowRef,
    /// The columns that a dictionary does not pay for, by name, once that is known.
    pub(super) unique: OnceLock<Vec<String>>,
}

impl Columns {
    /// Fails when Parquet cannot hold such values. Decimals have `precision` digits when the
    /// schema does not say how many.
    pub(super) fn new(connect: &SchemaRef, precision: u8) -> Result<Self> {
        let field = field(VALUE, connect, precision)?;
        let fields = match field.data_type() {
            DataType::Struct(fields) => fields.clone(),
            _ => Fields::from(vec![field]),
        };
        let source = connect
            .arrow_type()
            .ok_or_else(|| Error::data("Parquet cannot hold this schema; use format.class=json"))?;
        Ok(Self {
            connect: Arc::clone(connect),
            source,
            arrow: Arc::new(ArrowSchema::new(fields)),
            unique: OnceLock::new(),
        })
    }

    /// Whether these are the columns of that schema.
    pub(super) fn are_of(&self, connect: &SchemaRef) -> bool {
        Arc::ptr_eq(&self.connect, connect) || self.connect == *connect
    }

    /// The array's rows, none of them null, in these columns.
    pub(super) fn batch(&self, array: &ArrayRef) -> Result<RecordBatch> {
        if !self.source.equals_datatype(array.data_type()) {
            return Err(Error::fatal("array does not have the type of its schema")
                .context("array", array.data_type())
                .context("schema", &self.source));
        }
        let columns = if self.connect.kind() == Kind::Struct {
            let fields = self.arrow.fields();
            let array = array.as_struct();
            members(&self.connect, fields, array.columns(), array.nulls())?
        } else {
            vec![conform(&self.connect, self.arrow.field(0), array, None)?]
        };
        RecordBatch::try_new(Arc::clone(&self.arrow), columns).map_err(|e| Misfit::from(e).into())
    }
}

/// What is wrong, and the way to the field where it is, from the inside out.
struct Misfit {
    error: Error,
    path: Vec<Arc<str>>,
}

impl Misfit {
    fn under(mut self, step: &Arc<str>) -> Self {
        self.path.push(Arc::clone(step));
        self
    }
}

impl From<Error> for Misfit {
    fn from(error: Error) -> Self {
        Self { error, path: Vec::new() }
    }
}

impl From<ArrowError> for Misfit {
    fn from(error: ArrowError) -> Self {
        Error::data("value does not fit its schema").with_source(error).into()
    }
}

impl From<Misfit> for Error {
    fn from(misfit: Misfit) -> Self {
        if misfit.path.is_empty() {
            return misfit.error;
        }
        let path: Vec<&str> = misfit.path.iter().rev().map(AsRef::as_ref).collect();
        misfit.error.context("field", path.join("."))
    }
}

type Fit<T> = Result<T, Misfit>;

/// The Parquet column, as Arrow describes it, of a field of such a schema.
fn field(name: &str, schema: &Schema, precision: u8) -> Fit<Field> {
    let data_type = data_type(schema, precision)?;
    Ok(Field::new(name, data_type, schema.is_optional()))
}

fn data_type(schema: &Schema, precision: u8) -> Fit<DataType> {
    match schema.kind() {
        Kind::Struct => {
            if schema.fields().is_empty() {
                return Err(Error::data(
                    "Parquet cannot hold a struct without fields; use format.class=json",
                )
                .into());
            }
            let member = |f: &millrace_api::data::Field| {
                field(&f.name, &f.schema, precision).map_err(|e| e.under(&f.name))
            };
            let fields: Fit<Vec<_>> = schema.fields().iter().map(member).collect();
            fields.map(|fields| DataType::Struct(Fields::from(fields)))
        }
        Kind::Array => {
            let element = field("element", inner(schema.value_schema())?, precision)?;
            Ok(DataType::List(Arc::new(element)))
        }
        Kind::Map => {
            let key = field("key", inner(schema.key_schema())?, precision)?;
            let value = field(VALUE, inner(schema.value_schema())?, precision)?;
            let pair = Fields::from(vec![key.with_nullable(false), value]);
            let entries = Field::new("key_value", DataType::Struct(pair), false);
            Ok(DataType::Map(Arc::new(entries), false))
        }
        _ => match schema.arrow_type() {
            Some(DataType::Decimal256(_, scale)) => Ok(decimal(schema, scale, precision)),
            Some(other) => Ok(other),
            None => Err(Error::data(
                "Parquet cannot hold a decimal of this scale; use format.class=json",
            )
            .context("scale", schema.decimal_scale().unwrap_or_default())
            .into()),
        },
    }
}

fn inner(schema: Option<&SchemaRef>) -> Fit<&SchemaRef> {
    let missing = || Error::data("array or map without the schema of its elements");
    Ok(schema.ok_or_else(missing)?)
}

/// Up to 38 digits are 16 bytes, which every reader of Parquet takes; few take more.
fn decimal(schema: &Schema, scale: i8, precision: u8) -> DataType {
    let least = scale.unsigned_abs().max(1);
    let stated = schema.parameter(PRECISION).and_then(|p| p.parse().ok());
    match stated.filter(|p| (least..=76).contains(p)) {
        Some(precision @ 0..=38) => DataType::Decimal128(precision, scale),
        Some(precision) => DataType::Decimal256(precision, scale),
        None if precision.max(least) <= 38 => DataType::Decimal128(precision.max(least), scale),
        None => DataType::Decimal256(precision.max(least), scale),
    }
}

/// An array in the form of its target column. `outer` says which rows there are at all: below a
/// null struct anything may stand.
fn conform(
    schema: &Schema,
    target: &Field,
    array: &ArrayRef,
    outer: Option<&NullBuffer>,
) -> Fit<ArrayRef> {
    let array: ArrayRef = match target.data_type() {
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let nulls = NullBuffer::union(outer, array.nulls());
            let columns = members(schema, fields, array.columns(), nulls.as_ref())?;
            Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?)
        }
        DataType::List(element) => {
            let list = array.as_list::<i32>();
            let (offsets, values) = compact(list.offsets(), list.values());
            let values = conform(inner(schema.value_schema())?, element, &values, None)?;
            let nulls = list.nulls().cloned();
            Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?)
        }
        DataType::Map(entries, _) => map(schema, entries, array.as_map())?,
        DataType::Decimal128(..) | DataType::Decimal256(..) => digits(target, array)?,
        _ => Arc::clone(array),
    };
    required(target, array, outer)
}

/// A decimal column with as many digits as its target.
fn digits(target: &Field, array: &ArrayRef) -> Fit<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, target.data_type(), &strict).map_err(|e| {
        Error::data(
            "number has more digits than its Parquet column; raise parquet.decimal.precision (up \
             to 76, though few readers take more than 38) or use format.class=json",
        )
        .context("column", target.data_type())
        .with_source(e)
        .into()
    })
}

/// Refuses nulls where the schema does.
fn required(target: &Field, array: ArrayRef, outer: Option<&NullBuffer>) -> Fit<ArrayRef> {
    let excused = match (array.nulls(), outer) {
        (Some(nulls), Some(outer)) => outer.contains(nulls),
        _ => array.null_count() == 0,
    };
    if excused || target.is_nullable() {
        Ok(array)
    } else {
        Err(Error::data("null in a field that is required").into())
    }
}

/// The fields of a struct.
fn members(
    schema: &Schema,
    fields: &Fields,
    columns: &[ArrayRef],
    outer: Option<&NullBuffer>,
) -> Fit<Vec<ArrayRef>> {
    let member = |((connect, target), column): ((&millrace_api::data::Field, _), _)| {
        with_default(&connect.schema, column)
            .and_then(|column| conform(&connect.schema, target, &column, outer))
            .map_err(|e| e.under(&connect.name))
    };
    let targets = fields.iter().map(AsRef::as_ref);
    schema.fields().iter().zip(targets).zip(columns).map(member).collect()
}

/// The field's default where the array has nulls.
fn with_default(schema: &SchemaRef, array: &ArrayRef) -> Fit<ArrayRef> {
    let default = match schema.default() {
        Some(default) if !default.is_null() && array.null_count() > 0 => default,
        _ => return Ok(Arc::clone(array)),
    };
    let cell = cell(schema, default)?;
    let present = is_not_null(array)?;
    Ok(zip(&present, array, &Scalar::new(cell))?)
}

fn cell(schema: &SchemaRef, value: &Value) -> Fit<ArrayRef> {
    let column = Column::Rows { schema: Some(Arc::clone(schema)), values: vec![value.clone()] };
    Ok(column.to_array()?.expect("a column with a schema is one"))
}

fn map(schema: &Schema, entries: &Arc<Field>, array: &MapArray) -> Fit<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        unreachable!("data_type() gives maps a struct of key and value")
    };
    let (offsets, keys) = compact(array.offsets(), array.keys());
    let (_, values) = compact(array.offsets(), array.values());
    let keys = conform(inner(schema.key_schema())?, &fields[0], &keys, None)?;
    let values = conform(inner(schema.value_schema())?, &fields[1], &values, None)?;
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let (entries, nulls) = (Arc::clone(entries), array.nulls().cloned());
    Ok(Arc::new(MapArray::try_new(entries, offsets, pairs, nulls, false)?))
}

/// Drops the elements that a sliced list no longer reaches: nulls there are nobody's.
fn compact(offsets: &OffsetBuffer<i32>, values: &ArrayRef) -> (OffsetBuffer<i32>, ArrayRef) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    if first == 0 && last as usize == values.len() {
        return (offsets.clone(), Arc::clone(values));
    }
    let lengths = OffsetBuffer::from_lengths(offsets.lengths());
    (lengths, values.slice(first as usize, (last - first) as usize))
}
