//! Collects rows into batches: when one is cut, and what its offset is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Decimal256Type, Int8Type, Int16Type, Int32Type, Int64Type};
use millrace_api::data::{Column, Schema, SchemaRef, Struct, Value};
use millrace_api::{Error, Result};

use crate::cells::{Cells, Finished, Misfit};
use crate::dialect::Select;
use crate::form::Form;
use crate::key::KeyShape;
use crate::position::{Moment, Part, Position};
use crate::unfinished::Unfinished;

/// A column of a result that becomes a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) form: Form,
    /// Of how many levels of lists this is the form of the items.
    pub(crate) dimensions: u8,
    pub(crate) optional: bool,
}

impl Field {
    fn schema(&self) -> SchemaRef {
        let mut schema = self.form.schema(self.optional || self.dimensions > 0);
        for level in (0..self.dimensions).rev() {
            let optional = self.optional && level == 0;
            schema = Schema::array_builder(schema).with_optional(optional).build();
        }
        schema
    }
}

/// What the rows of one query become.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) fields: Vec<Field>,
    /// Where the incrementing column stands, in a mode that has one.
    pub(crate) incrementing: Option<usize>,
    /// Where the columns stand the first of which that is not NULL says when a row was written.
    pub(crate) timestamps: Vec<usize>,
    /// What was not over before the rows are read.
    unfinished: Option<Arc<Unfinished>>,
    key: Option<KeyShape>,
    schema: SchemaRef,
}

impl Shape {
    /// Fails on two columns of the same name, and when a column that
    /// says how far was read is not there.
    pub(crate) fn new(select: &Select, mut fields: Vec<Field>) -> Result<Self> {
        let mut builder = Schema::struct_builder();
        for field in &mut fields {
            field.form = field.form.at(select.granularity, select.calendar.zone);
        }
        if let Some(name) = select.record_name() {
            builder = builder.name(name);
        }
        for (i, field) in fields.iter().enumerate() {
            if fields[..i].iter().any(|f| f.name == field.name) {
                let message = "two columns have the same name; give one an alias in the query";
                return Err(Error::fatal(message).context("column", &field.name));
            }
            builder = builder.field(field.name.as_str(), field.schema());
        }
        // The position stays where it is while rows below it are read.
        let beyond = select.beyond.as_ref().filter(|b| !matches!(b.part, Part::Late(_)));
        let unfinished = beyond.and_then(|b| b.unfinished.clone());
        let at = |column: &String, key| position(&fields, column, key);
        let incrementing = beyond.and_then(|b| b.incrementing.as_ref());
        let incrementing = incrementing.map(|c| at(c, "incrementing.column.name")).transpose()?;
        let timestamps = beyond.map_or(&[][..], |b| &b.timestamps).iter();
        let timestamps =
            timestamps.map(|c| at(c, "timestamp.column.name")).collect::<Result<_>>()?;
        let schema = builder.build();
        let key = match &select.key {
            Some(key) => {
                let at = key.columns.iter().map(|c| at(c, "key.fields")).collect::<Result<_>>()?;
                Some(KeyShape::new(key, at, &schema)?)
            }
            None => None,
        };
        Ok(Self { fields, incrementing, timestamps, unfinished, key, schema })
    }
}

/// The exact name first, then the only one that differs in case.
fn position(fields: &[Field], column: &str, key: &'static str) -> Result<usize> {
    if let Some(exact) = fields.iter().position(|f| f.name == column) {
        return Ok(exact);
    }
    let alike = |f: &Field| f.name.eq_ignore_ascii_case(column);
    match fields.iter().filter(|f| alike(f)).count() {
        1 => Ok(fields.iter().position(alike).expect("one was counted")),
        _ => Err(Error::fatal(format!(
            "a column that is needed is not among those that are read; set {key} to one of them"
        ))
        .context(key, column)),
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
    /// The rows' keys, where they have any.
    pub(crate) key: Option<Box<Column>>,
    /// Where the last row stands.
    pub(crate) last: Position,
    /// What was not over before its rows were read; none if that is not news.
    pub(crate) unfinished: Option<Arc<Unfinished>>,
    /// The ids of its rows, in a mode that has them.
    ids: Option<ArrayRef>,
    ties: Ties,
}

/// Rows of the same time, in a mode without ids: a position must not lie among them, or those
/// behind it would be lost.
#[derive(Clone, Copy, Debug, Default)]
struct Ties {
    first: Option<Moment>,
    /// The last time that is not that of the last row.
    before_last: Option<Moment>,
}

impl Batch {
    /// The ids of its rows, in order, and which rows these are.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (usize, i64)> {
        let ids = self.ids.iter();
        ids.flat_map(|ids| (0..ids.len()).filter_map(|row| Some((row, integer(ids, row)?))))
    }

    /// Whether where it ends shows only when the next one is there.
    pub(crate) fn waits_for_next(&self) -> bool {
        self.last.timestamp.is_some() && self.last.incrementing.is_none()
    }

    /// What follows is not known, or has rows of the same time as the last one: the position stays
    /// before all of them.
    pub(crate) fn stay_before_ties(&mut self) {
        self.last.timestamp = self.ties.before_last;
    }

    /// Whether the first row of the next batch has the time of this one's last row.
    pub(crate) fn ties_with(&self, next: &Self) -> bool {
        self.last.timestamp == next.ties.first
    }
}

/// The batch that is being read.
pub(crate) struct Batcher {
    shape: Shape,
    cells: Vec<Cells>,
    limits: Limits,
    rows: usize,
    bytes: usize,
    last_moment: Option<Moment>,
    ties: Ties,
}

impl Batcher {
    pub(crate) fn new(shape: Shape, limits: Limits) -> Self {
        // Room for the usual batch at once, not for whatever a user calls a batch.
        let room = limits.rows.min(4096);
        let cells = shape.schema.fields().iter().zip(&shape.fields);
        let cells = cells.map(|(field, f)| Cells::of(f.form, f.dimensions, &field.schema, room));
        let cells = cells.collect();
        let (last_moment, ties) = (None, Ties::default());
        Self { cells, shape, limits, rows: 0, bytes: 0, last_moment, ties }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Where the next row's cells go, one a field.
    pub(crate) fn cells(&mut self) -> &mut [Cells] {
        &mut self.cells
    }

    /// How many rows and bytes are missing to a full batch.
    pub(crate) fn room(&self) -> Limits {
        let Limits { rows, bytes } = self.limits;
        Limits { rows: rows.saturating_sub(self.rows), bytes: bytes.saturating_sub(self.bytes) }
    }

    /// Every field has its cell; `written` is when the row was, in a mode that looks at it. Says
    /// whether the batch is full.
    pub(crate) fn row_done(&mut self, bytes: usize, written: Option<Moment>) -> bool {
        if let Some(moment) = written {
            self.ties.first.get_or_insert(moment);
            if self.last_moment != Some(moment) {
                self.ties.before_last = self.last_moment.replace(moment);
            }
        }
        self.rows += 1;
        self.bytes += bytes;
        debug_assert!(self.cells.iter().all(|c| c.len() >= self.rows));
        self.rows >= self.limits.rows || self.bytes >= self.limits.bytes
    }

    /// The whole rows so far; none if there are none. Starts the next batch.
    pub(crate) fn take(&mut self) -> Result<Option<Batch>> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let (timestamp, ties) = (self.last_moment.take(), std::mem::take(&mut self.ties));
        let finished: Vec<_> = self.cells.iter_mut().map(|c| c.finish(rows)).collect();
        if rows == 0 {
            return Ok(None);
        }
        let id = self.shape.incrementing.map(|at| self.id(&finished[at], rows - 1));
        let ids = self.shape.incrementing.and_then(|at| finished[at].array());
        let last = Position { timestamp, incrementing: id.transpose()? };
        let column = match arrays(&finished) {
            Some(arrays) => self.typed(arrays),
            None => self.by_rows(finished, rows)?,
        };
        let unfinished = self.shape.unfinished.clone();
        let key = self.shape.key.as_ref().map(|key| Box::new(key.of(&column)));
        Ok(Some(Batch { column, key, last, unfinished, ids, ties }))
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
    fn id(&self, cells: &Finished, row: usize) -> Result<i64> {
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
    finished.iter().map(Finished::array).collect()
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
    use crate::dialect::From;
    use crate::numeric::Unscaled;
    use crate::position::Beyond;
    use crate::table::TableId;

    const LIMITS: Limits = Limits { rows: 2, bytes: 100 };

    fn field(name: &str, form: Form) -> Field {
        Field { name: name.into(), form, dimensions: 0, optional: true }
    }

    fn beyond(timestamps: &[&str], incrementing: Option<&str>) -> Beyond {
        Beyond {
            position: Position::default(),
            timestamps: timestamps.iter().map(|c| (*c).to_owned()).collect(),
            incrementing: incrementing.map(str::to_owned),
            until: Moment::default(),
            part: Part::New,
            unfinished: None,
        }
    }

    fn select(beyond: Option<Beyond>) -> Select {
        Select { beyond, ..Select::of(From::Table(TableId::new(None, "t"))) }
    }

    fn batcher(fields: Vec<Field>, incrementing: Option<&str>) -> Batcher {
        let beyond = incrementing.map(|_| beyond(&[], incrementing));
        Batcher::new(Shape::new(&select(beyond), fields).unwrap(), LIMITS)
    }

    #[test]
    fn a_batch_is_cut_by_rows_and_by_bytes() {
        let mut batch = batcher(vec![field("id", Form::Int32)], Some("ID"));
        batch.cells()[0].integer(1).unwrap();
        assert!(!batch.row_done(10, None));
        batch.cells()[0].integer(7).unwrap();
        assert!(batch.row_done(10, None));
        let full = batch.take().unwrap().unwrap();
        assert_eq!((full.column.len(), full.last.incrementing), (2, Some(7)));
        assert!(batch.take().unwrap().is_none());
        batch.cells()[0].integer(8).unwrap();
        assert!(batch.row_done(100, None));
    }

    #[test]
    fn a_row_that_failed_half_way_is_left_out() {
        let fields = vec![field("a", Form::Int32), field("b", Form::Int8)];
        let mut batch = batcher(fields, None);
        batch.cells()[0].integer(1).unwrap();
        batch.cells()[1].integer(1).unwrap();
        batch.row_done(1, None);
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
        batch.row_done(1, None);
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
        batch.row_done(1, None);
        let full = batch.take().unwrap().unwrap();
        assert_eq!(full.last.incrementing, Some(5));
        assert!(matches!(full.column, Column::Rows { .. }));
        let value = full.column.value(0).unwrap();
        value.validate(full.column.schema().unwrap()).unwrap();
    }

    #[test]
    fn shapes_that_cannot_be() {
        let twice = vec![field("a", Form::Int8), field("a", Form::Int8)];
        let error = Shape::new(&select(None), twice).unwrap_err().to_string();
        assert!(error.contains("alias") && error.contains("column: a"), "{error}");
        let fields = || vec![field("a", Form::Int8)];
        let error = Shape::new(&select(Some(beyond(&[], Some("id")))), fields()).unwrap_err();
        assert!(error.to_string().contains("incrementing.column.name: id"));
        let error = Shape::new(&select(Some(beyond(&["a", "at"], None))), fields()).unwrap_err();
        assert!(error.to_string().contains("timestamp.column.name: at"));
    }

    #[test]
    fn offsets_of_decimals() {
        let form = Form::decimal(Some((20, 0)));
        let mut batch = batcher(vec![field("id", form)], Some("id"));
        batch.cells()[0].decimal(Unscaled::Small(1 << 40)).unwrap();
        batch.row_done(1, None);
        assert_eq!(batch.take().unwrap().unwrap().last.incrementing, Some(1 << 40));
        batch.cells()[0].decimal(Unscaled::Small(1 << 70)).unwrap();
        batch.row_done(1, None);
        assert!(batch.take().is_err());
    }

    /// Batches of rows that were written then.
    fn written(batch: &mut Batcher, moments: &[i64]) -> Batch {
        for (i, moment) in moments.iter().enumerate() {
            batch.cells()[0].integer(i64::try_from(i).unwrap()).unwrap();
            batch.row_done(1, Some(Moment::from_micros(*moment)));
        }
        batch.take().unwrap().unwrap()
    }

    #[test]
    fn a_position_may_stay_before_rows_of_the_same_time() {
        let at = |micros: i64| Some(Moment::from_micros(micros));
        let mut batch = batcher(vec![field("a", Form::Int32)], None);
        let mut first = written(&mut batch, &[1, 3, 4, 4]);
        let second = written(&mut batch, &[4, 4]);
        let third = written(&mut batch, &[5]);
        assert!(first.waits_for_next() && first.ties_with(&second) && !second.ties_with(&third));
        assert_eq!(first.last.timestamp, at(4));
        first.stay_before_ties();
        assert_eq!(first.last.timestamp, at(3));
        let mut second = second;
        second.stay_before_ties();
        assert_eq!(second.last.timestamp, None, "it stays where it was");
    }
}
