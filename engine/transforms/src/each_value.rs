//! Applies what is done to one key or value to a run of them, in the form the run has.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, StringViewBuilder};
use millrace_api::data::json::JsonObjects;
use millrace_api::data::{Column, Kind, Records, RowError, SchemaRef, Value};
use millrace_api::{Error, Result, Transformation};

use crate::json_object;
use crate::refused::{Refused, no_map, no_struct};
use crate::schema_cache::SchemaCache;
use crate::side::Side;

/// What becomes of a key or value that is null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Nulls {
    /// It passes with the schema it has.
    Pass,
    /// It stays null, and gets the new schema.
    Change,
    /// It is refused.
    Fail,
}

/// What became of an object in JSON text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Written {
    /// The text was appended.
    Text,
    /// It became null.
    Null,
    /// JSON text cannot say it: the row form must do it.
    Not,
}

/// A transformation that makes one value of another, and looks at nothing else of the record.
pub(crate) trait EachValue: Send {
    /// What is worth finding out once for all values of a schema.
    type Plan: Send + Sync;

    /// What becomes of null.
    fn nulls(&self) -> Nulls;

    /// What Java calls this where it refuses what is no struct or map; none when any value is fine.
    fn purpose(&self) -> Option<&'static str>;

    /// The same where there is a schema.
    fn purpose_with_schema(&self) -> Option<&'static str> {
        self.purpose()
    }

    /// What becomes of a schema. An error refuses all values of it.
    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Self::Plan)>;

    /// Makes the new value, of the schema `made`: the definition. Never called with null.
    fn value(&self, plan: &Self::Plan, made: &SchemaRef, value: &Value) -> Result<Value>;

    /// Makes the new values of an array, if that can be done; equals [`EachValue::value`]. Null is
    /// among the values unless nulls pass. Values that were refused before may become anything.
    fn array(
        &self,
        plan: &Self::Plan,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>>;

    /// Makes the new value of one without schema: the definition. Never called with null.
    fn schemaless(&self, value: Value) -> Result<Value>;

    /// Makes the new values of objects by member, if that can be done; equals
    /// [`EachValue::schemaless`], but for the rows it adds to `odd`, which may become anything.
    /// Null may be among the objects: where it fails it may become anything. Never called where any
    /// value is fine.
    fn members(&self, _objects: &JsonObjects, _odd: &mut Vec<usize>) -> Result<Option<Column>> {
        Ok(None)
    }

    /// Makes the new text of an object's text; equals [`EachValue::schemaless`].
    fn object(&self, _text: &str, _out: &mut String) -> Result<Written> {
        Ok(Written::Not)
    }
}

/// A transformation of each key or each value.
pub(crate) struct Each<T: EachValue> {
    of: T,
    from: Side,
    to: Side,
    plans: SchemaCache<Arc<(SchemaRef, T::Plan)>>,
}

impl<T: EachValue> Each<T> {
    /// Changes one side of each record.
    pub(crate) fn new(side: Side, of: T) -> Self {
        Self::between(side, side, of)
    }

    /// Makes one side of each record from the other.
    pub(crate) fn between(from: Side, to: Side, of: T) -> Self {
        Self { of, from, to, plans: SchemaCache::default() }
    }

    fn schemaless(&self, column: &Column, refused: &mut Refused) -> Result<Column> {
        if let Column::Objects(objects) = column
            && self.of.purpose().is_some()
        {
            let mut odd = Vec::new();
            if let Some(made) = self.of.members(objects, &mut odd)?
                && self.refuses(objects, odd, refused)
            {
                return Ok(made);
            }
        }
        let column = &*column.with_texts();
        if let Column::Json(texts) = column
            && let Some(made) = self.texts(column, texts, refused)?
        {
            return Ok(Column::Json(made));
        }
        let mut values = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            let made = column.value(row).and_then(|value| self.schemaless_value(value));
            values.push(made.unwrap_or_else(|error| {
                refused.push(row, error);
                Value::Null
            }));
        }
        Ok(Column::Rows { schema: None, values })
    }

    /// Refuses the odd rows of objects, and those that are null where that fails. False when one is
    /// none to be refused: then what could not be written as a member has to be a value.
    fn refuses(&self, objects: &JsonObjects, mut odd: Vec<usize>, refused: &mut Refused) -> bool {
        if self.of.nulls() == Nulls::Fail && objects.has_nulls() {
            odd.extend((0..objects.len()).filter(|row| objects.is_null(*row)));
        }
        odd.into_iter().all(|row| {
            let made = || objects.value(row).and_then(|value| self.schemaless_value(value));
            refused.has(row) || made().map_err(|error| refused.push(row, error)).is_err()
        })
    }

    fn schemaless_value(&self, value: Value) -> Result<Value> {
        match (&value, self.of.purpose()) {
            (Value::Null, Some(purpose)) if self.of.nulls() == Nulls::Fail => {
                Err(no_map(purpose, &value))
            }
            (Value::Null, _) => Ok(Value::Null),
            (Value::Map(_), _) | (_, None) => self.of.schemaless(value),
            (_, Some(purpose)) => Err(no_map(purpose, &value)),
        }
    }

    /// The new texts; none when one cannot be written.
    fn texts(
        &self,
        column: &Column,
        texts: &StringViewArray,
        refused: &mut Refused,
    ) -> Result<Option<StringViewArray>> {
        let Some(purpose) = self.of.purpose() else {
            return Ok(None);
        };
        let mut made = StringViewBuilder::with_capacity(texts.len());
        let mut object = String::new();
        let mut errors = Vec::new();
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text.filter(|text| json_object::is_object(text)) else {
                let value = column.value(row)?;
                if !value.is_null() || self.of.nulls() == Nulls::Fail {
                    errors.push((row, no_map(purpose, &value)));
                }
                made.append_null();
                continue;
            };
            object.clear();
            match self.of.object(text, &mut object) {
                Ok(Written::Text) => made.append_value(&object),
                Ok(Written::Null) => made.append_null(),
                Ok(Written::Not) => return Ok(None),
                Err(error) => {
                    errors.push((row, error));
                    made.append_null();
                }
            }
        }
        for (row, error) in errors {
            refused.push(row, error);
        }
        Ok(Some(made.finish()))
    }

    fn with_schema(
        &mut self,
        column: &Column,
        schema: &SchemaRef,
        refused: &mut Refused,
    ) -> Result<Column> {
        self.refuse_kinds(column, schema, refused)?;
        if refused.len() == column.len() {
            return Ok(column.clone());
        }
        let of = &self.of;
        let plan = match self.plans.get(schema, || of.plan(schema).map(Arc::new)) {
            Ok(plan) => plan,
            Err(error) => {
                refuse_all(column.len(), &error, refused);
                return Ok(column.clone());
            }
        };
        let (made, plan) = (&plan.0, &plan.1);
        // What an array cannot hold, such as a default of too many digits, rows can.
        if let Column::Typed { array, .. } = column
            && let Ok(Some(array)) = of.array(plan, made, array, refused)
        {
            return Ok(Column::Typed { schema: Arc::clone(made), array });
        }
        let mut values = Vec::with_capacity(column.len());
        for (row, value) in column.rows()?.iter().enumerate() {
            if value.is_null() || refused.has(row) {
                values.push(Value::Null);
                continue;
            }
            values.push(of.value(plan, made, value).unwrap_or_else(|error| {
                refused.push(row, error);
                Value::Null
            }));
        }
        let schema = Some(Arc::clone(made));
        Ok(match column {
            Column::Typed { .. } => Column::from_values(schema, values),
            _ => Column::Rows { schema, values },
        })
    }

    /// Refuses the values that are no structs where only those will do.
    fn refuse_kinds(
        &self,
        column: &Column,
        schema: &SchemaRef,
        refused: &mut Refused,
    ) -> Result<()> {
        let Some(purpose) = self.of.purpose_with_schema() else {
            return Ok(());
        };
        let nulls_fail = self.of.nulls() == Nulls::Fail;
        if schema.kind() == Kind::Struct && !nulls_fail {
            return Ok(());
        }
        for row in 0..column.len() {
            if column.is_null(row) {
                if nulls_fail {
                    refused.push(row, no_struct(purpose, &Value::Null));
                }
            } else if schema.kind() != Kind::Struct {
                refused.push(row, no_struct(purpose, &column.value(row)?));
            }
        }
        Ok(())
    }

    /// `first` is the place of these records in the run that came in.
    fn apply_to(
        &mut self,
        records: Records,
        first: usize,
        failed: &mut Vec<RowError>,
    ) -> Result<Option<Records>> {
        let mut refused = Refused::default();
        let column = self.from.column(&records);
        let made = match column.schema().cloned() {
            Some(schema) => self.with_schema(column, &schema, &mut refused)?,
            None => self.schemaless(column, &mut refused)?,
        };
        Ok(refused.leave_out(self.to.replace(records, made), first, failed))
    }
}

impl<T: EachValue> Transformation for Each<T> {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let column = self.from.column(&records);
        if self.of.nulls() != Nulls::Pass || column.schema().is_none() {
            return Ok(self.apply_to(records, 0, failed)?.into_iter().collect());
        }
        // A null value keeps its schema, so it is a run of its own.
        let stretches = stretches(column);
        if let [(_, false)] = stretches[..] {
            return Ok(self.apply_to(records, 0, failed)?.into_iter().collect());
        }
        let mut runs = Vec::new();
        for (rows, is_null) in stretches {
            let run = records.slice(rows.start, rows.len());
            if is_null {
                runs.push(run);
            } else {
                runs.extend(self.apply_to(run, rows.start, failed)?);
            }
        }
        Ok(runs)
    }
}

/// The same is wrong with all rows, for the same cause.
pub(crate) fn refuse_all(rows: usize, error: &Error, refused: &mut Refused) {
    for row in 0..rows {
        refused.push(row, error.rewritten(&str::to_owned));
    }
}

/// Cuts a column where null begins or ends.
pub(crate) fn stretches(column: &Column) -> Vec<(Range<usize>, bool)> {
    let mut stretches: Vec<(Range<usize>, bool)> = Vec::new();
    for row in 0..column.len() {
        let is_null = column.is_null(row);
        match stretches.last_mut() {
            Some((rows, was_null)) if *was_null == is_null => rows.end = row + 1,
            _ => stretches.push((row..row + 1, is_null)),
        }
    }
    stretches
}
