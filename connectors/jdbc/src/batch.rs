//! Collects rows into batches: when one is cut, and what its offset is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Decimal256Type, Int8Type, Int16Type, Int32Type, Int64Type};
use millrace_api::data::{Column, Schema, SchemaRef, Struct, Value};
use millrace_api::{Error, Result};

use crate::cells::{Cells, Finished, Misfit};
use crate::form::Form;

/// A column of a result that becomes a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) form: Form,
    pub(crate) optional: bool,
}

/// What the rows of one query become.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) fields: Vec<Field>,
    /// The position of the incrementing column, in an incremental mode.
    pub(crate) incrementing: Option<usize>,
    schema: SchemaRef,
}

impl Shape {
    /// `name` is the record schema's. Fails on two columns of the same name, and when the
    /// incrementing column is not there.
    pub(crate) fn new(
        name: Option<&str>,
        fields: Vec<Field>,
        incrementing: Option<&str>,
    ) -> Result<Self> {
        let mut builder = Schema::struct_builder();
        if let Some(name) = name {
            builder = builder.name(name);
        }
        for (i, field) in fields.iter().enumerate() {
            if fields[..i].iter().any(|f| f.name == field.name) {
                let message = "two columns have the same name; give one an alias in the query";
                return Err(Error::fatal(message).context("column", &field.name));
            }
            builder = builder.field(field.name.as_str(), field.form.schema(field.optional));
        }
        let incrementing = incrementing.map(|column| position(&fields, column)).transpose()?;
        Ok(Self { fields, incrementing, schema: builder.build() })
    }
}

/// The exact name first, then the only one that differs in case.
fn position(fields: &[Field], column: &str) -> Result<usize> {
    if let Some(exact) = fields.iter().position(|f| f.name == column) {
        return Ok(exact);
    }
    let alike = |f: &Field| f.name.eq_ignore_ascii_case(column);
    match fields.iter().filter(|f| alike(f)).count() {
        1 => Ok(fields.iter().position(alike).expect("one was counted")),
        _ => Err(Error::fatal(
            "the incrementing column is not among the columns that are read; set \
             incrementing.column.name to one of them",
        )
        .context("incrementing.column.name", column)),
    }
}

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Rows that became records.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) column: Column,
    /// The incrementing column of the last row.
    pub(crate) last: Option<i64>,
}

/// The batch that is being read.
pub(crate) struct Batcher {
    shape: Shape,
    cells: Vec<Cells>,
    limits: Limits,
    rows: usize,
    bytes: usize,
}

impl Batcher {
    pub(crate) fn new(shape: Shape, limits: Limits) -> Self {
        // Room for the usual batch at once, not for whatever a user calls a batch.
        let room = limits.rows.min(4096);
        let cells = shape.schema.fields().iter().zip(&shape.fields);
        let cells = cells.map(|(field, f)| Cells::new(f.form, &field.schema, room));
        Self { cells: cells.collect(), shape, limits, rows: 0, bytes: 0 }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Where the next row's cells go, one a field.
    pub(crate) fn cells(&mut self) -> &mut [Cells] {
        &mut self.cells
    }

    /// Every field has its cell. Says whether the batch is full.
    pub(crate) fn row_done(&mut self, bytes: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        debug_assert!(self.cells.iter().all(|c| c.len() == self.rows));
        self.rows >= self.limits.rows || self.bytes >= self.limits.bytes
    }

    /// The whole rows so far; none if there are none. Starts the next batch.
    pub(crate) fn take(&mut self) -> Result<Option<Batch>> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let finished: Vec<_> = self.cells.iter_mut().map(|c| c.finish(rows)).collect();
        if rows == 0 {
            return Ok(None);
        }
        let last = match self.shape.incrementing {
            Some(at) => Some(self.offset(&finished[at], rows - 1)?),
            None => None,
        };
        let column = match arrays(&finished) {
            Some(arrays) => self.typed(arrays),
            None => self.by_rows(finished, rows)?,
        };
        Ok(Some(Batch { column, last }))
    }

    fn typed(&self, arrays: Vec<ArrayRef>) -> Column {
        let Some(DataType::Struct(fields)) = self.shape.schema.arrow_type() else {
            unreachable!("each field has an Arrow type, or it would have had values")
        };
        Column::Typed {
            schema: Arc::clone(&self.shape.schema),
            array: Arc::new(StructArray::new(fields, arrays, None)),
        }
    }

    fn by_rows(&self, finished: Vec<Finished>, rows: usize) -> Result<Column> {
        let mut structs: Vec<Vec<Value>> = vec![Vec::with_capacity(finished.len()); rows];
        for (field, cells) in self.shape.schema.fields().iter().zip(finished) {
            for (row, value) in structs.iter_mut().zip(cells.into_values(&field.schema)?) {
                row.push(value);
            }
        }
        let value = |values| Value::Struct(Struct::new(Arc::clone(&self.shape.schema), values));
        Ok(Column::Rows {
            schema: Some(Arc::clone(&self.shape.schema)),
            values: structs.into_iter().map(value).collect(),
        })
    }

    /// The incrementing column of a row.
    fn offset(&self, cells: &Finished, row: usize) -> Result<i64> {
        let number = match cells {
            Finished::Array(array) => integer(array, row),
            Finished::Values(_) => None,
        };
        number.ok_or_else(|| {
            let at = self.shape.incrementing.expect("only asked for in an incremental mode");
            Error::fatal(
                "the incrementing column must hold whole numbers up to 9223372036854775807 and \
                 never NULL; set incrementing.column.name to another column, or use mode=bulk",
            )
            .context("column", &self.shape.fields[at].name)
        })
    }

    /// Completes an error about a value of the row being read.
    pub(crate) fn misfit(&self, field: usize, misfit: &Misfit, row: &RowName) -> Error {
        let message = format!("column {} holds {misfit}", self.shape.fields[field].name);
        let error = Error::fatal(message).context("column", &self.shape.fields[field].name);
        match row {
            RowName::Incrementing { column, value } => {
                error.context("row", format!("{column} = {value}"))
            }
            RowName::Counted(number) => {
                error.context("row", format!("number {number} of the result"))
            }
        }
    }
}

/// How an error names a row.
pub(crate) enum RowName {
    Incrementing { column: String, value: String },
    Counted(u64),
}

fn arrays(finished: &[Finished]) -> Option<Vec<ArrayRef>> {
    let array = |cells: &Finished| match cells {
        Finished::Array(array) => Some(Arc::clone(array)),
        Finished::Values(_) => None,
    };
    finished.iter().map(array).collect()
}

fn integer(array: &ArrayRef, row: usize) -> Option<i64> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Int8 => Some(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Some(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Some(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Some(array.as_primitive::<Int64Type>().value(row)),
        DataType::Decimal256(_, 0) => {
            let wide = array.as_primitive::<Decimal256Type>().value(row);
            wide.to_i128().and_then(|n| n.try_into().ok())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Unscaled;

    const LIMITS: Limits = Limits { rows: 2, bytes: 100 };

    fn field(name: &str, form: Form) -> Field {
        Field { name: name.into(), form, optional: true }
    }

    fn batcher(fields: Vec<Field>, incrementing: Option<&str>) -> Batcher {
        Batcher::new(Shape::new(Some("t"), fields, incrementing).unwrap(), LIMITS)
    }

    #[test]
    fn a_batch_is_cut_by_rows_and_by_bytes() {
        let mut batch = batcher(vec![field("id", Form::Int32)], Some("ID"));
        batch.cells()[0].integer(1).unwrap();
        assert!(!batch.row_done(10));
        batch.cells()[0].integer(7).unwrap();
        assert!(batch.row_done(10));
        let full = batch.take().unwrap().unwrap();
        assert_eq!((full.column.len(), full.last), (2, Some(7)));
        assert!(batch.take().unwrap().is_none());
        batch.cells()[0].integer(8).unwrap();
        assert!(batch.row_done(100));
    }

    #[test]
    fn a_row_that_failed_half_way_is_left_out() {
        let fields = vec![field("a", Form::Int32), field("b", Form::Int8)];
        let mut batch = batcher(fields, None);
        batch.cells()[0].integer(1).unwrap();
        batch.cells()[1].integer(1).unwrap();
        batch.row_done(1);
        batch.cells()[0].integer(2).unwrap();
        let misfit = batch.cells()[1].integer(300).unwrap_err();
        let error = batch.misfit(1, &misfit, &RowName::Counted(2));
        assert_eq!(
            error.to_string(),
            "column b holds 300, a number too big for its type INT8 \
             (column: b, row: number 2 of the result)"
        );
        assert_eq!(batch.take().unwrap().unwrap().column.len(), 1);
        batch.cells()[0].integer(3).unwrap();
        batch.cells()[1].null();
        batch.row_done(1);
        let column = batch.take().unwrap().unwrap().column;
        let Value::Struct(row) = column.value(0).unwrap() else { panic!("a struct") };
        assert_eq!(row.values(), [Value::Int32(3), Value::Null]);
    }

    #[test]
    fn decimals_past_arrow_make_rows() {
        let fields = vec![field("id", Form::Int64), field("n", Form::decimal(None))];
        let mut batch = batcher(fields, Some("id"));
        batch.cells()[0].integer(5).unwrap();
        batch.cells()[1].decimal(Unscaled::Small(5)).unwrap();
        batch.row_done(1);
        let full = batch.take().unwrap().unwrap();
        assert_eq!(full.last, Some(5));
        assert!(matches!(full.column, Column::Rows { .. }));
        let value = full.column.value(0).unwrap();
        value.validate(full.column.schema().unwrap()).unwrap();
    }

    #[test]
    fn shapes_that_cannot_be() {
        let twice = vec![field("a", Form::Int8), field("a", Form::Int8)];
        let error = Shape::new(None, twice, None).unwrap_err().to_string();
        assert!(error.contains("alias") && error.contains("column: a"), "{error}");
        let error = Shape::new(None, vec![field("a", Form::Int8)], Some("id")).unwrap_err();
        assert!(error.to_string().contains("incrementing.column.name: id"));
    }

    #[test]
    fn offsets_of_decimals() {
        let form = Form::decimal(Some((20, 0)));
        let mut batch = batcher(vec![field("id", form)], Some("id"));
        batch.cells()[0].decimal(Unscaled::Small(1 << 40)).unwrap();
        batch.row_done(1);
        assert_eq!(batch.take().unwrap().unwrap().last, Some(1 << 40));
        batch.cells()[0].decimal(Unscaled::Small(1 << 70)).unwrap();
        batch.row_done(1);
        assert!(batch.take().is_err());
    }
}
