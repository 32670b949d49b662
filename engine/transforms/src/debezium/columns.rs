//! `ExtractNewRecordState` on arrays: the row is a column of the change event already.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewArray, StructArray};
use arrow::compute::{is_null, nullif};
use arrow::error::ArrowError;
use millrace_api::data::{Column, Kind, Records, RowError, SchemaRef};
use millrace_api::{Error, Result};

use super::event::is_envelope;
use super::extract_new_record_state::Deletes;
use super::field_reference::{Located, Place};
use super::flattened::{Additions, Extended, Of};
use crate::null_defaults::NullDefaults;
use crate::refused::Refused;
use crate::struct_array::struct_array;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Dropped,
    /// A tombstone.
    Kept,
    Deleted,
    Changed,
}

/// How to make the rows of one side of a change event.
struct Plan {
    of: Of,
    place: usize,
    /// Of the row in the event.
    schema: SchemaRef,
    /// With `__deleted`, if that is added.
    deleted: Option<SchemaRef>,
    extended: Extended,
}

/// The rows of change events; none when the row form has to do it, since something is odd.
pub(super) fn extract(
    records: &Records,
    deletes: Deletes,
    keeps_tombstones: bool,
    additions: &mut Additions,
    failed: &mut Vec<RowError>,
) -> Result<Option<Vec<Records>>> {
    let Column::Typed { schema, array } = &records.value else { return Ok(None) };
    let is_text = |name: &str| {
        schema.field(name).is_some_and(|(_, field)| field.schema.kind() == Kind::String)
    };
    if !is_envelope(Some(schema)) || schema.kind() != Kind::Struct || !is_text("op") {
        return Ok(None);
    }
    let rewrites = deletes == Deletes::Rewritten;
    let plans = (
        Plan::of(Of::Before, schema, rewrites, additions),
        Plan::of(Of::After, schema, rewrites, additions),
    );
    let (Some(before), Some(after)) = plans else { return Ok(None) };
    let events = array.as_struct();
    let fate = |row: usize| match (events.is_null(row), deletes) {
        (true, _) if keeps_tombstones => Fate::Kept,
        (true, _) => Fate::Dropped,
        _ if events.column(after.place).is_valid(row) => Fate::Changed,
        (_, Deletes::Dropped) => Fate::Dropped,
        _ if events.column(before.place).is_null(row) => Fate::Dropped,
        _ => Fate::Deleted,
    };
    let mut runs = Vec::new();
    for (rows, fate) in stretches(records.len(), fate) {
        let run = records.slice(rows.start, rows.len());
        let events = events.slice(rows.start, rows.len());
        let mut refused = Refused::default();
        let value = match (fate, deletes) {
            (Fate::Dropped, _) => continue,
            (Fate::Kept, _) => run.value.clone(),
            (Fate::Changed, _) => after.rows(&events, additions.defaults, "false", &mut refused)?,
            (Fate::Deleted, Deletes::Rewritten) => {
                before.rows(&events, additions.defaults, "true", &mut refused)?
            }
            (Fate::Deleted, Deletes::Bare) => Column::nulls(rows.len()),
            (Fate::Deleted, _) => Column::Typed {
                schema: Arc::clone(&after.schema),
                array: Arc::clone(events.column(after.place)),
            },
        };
        runs.extend(refused.leave_out(Records { value, ..run }, rows.start, failed));
    }
    Ok(Some(runs))
}

/// Cuts rows where their fate changes.
fn stretches(rows: usize, fate: impl Fn(usize) -> Fate) -> Vec<(Range<usize>, Fate)> {
    let mut stretches: Vec<(Range<usize>, Fate)> = Vec::new();
    for row in 0..rows {
        let fate = fate(row);
        match stretches.last_mut() {
            Some((rows, last)) if *last == fate => rows.end = row + 1,
            _ => stretches.push((row..row + 1, fate)),
        }
    }
    stretches
}

impl Plan {
    fn of(of: Of, event: &SchemaRef, rewrites: bool, additions: &mut Additions) -> Option<Self> {
        let name = if of == Of::Before { "before" } else { "after" };
        let (place, field) = event.field(name)?;
        let schema = Arc::clone(&field.schema);
        if schema.kind() != Kind::Struct || schema.default().is_some() {
            return None;
        }
        let deleted = match rewrites {
            true => Some(additions.deleted_schema(&schema).ok()?),
            false => None,
        };
        let extended = additions.extended(event, of, deleted.as_ref().unwrap_or(&schema)).ok()?;
        let is_struct = |located: &Located| located.schema.kind() == Kind::Struct;
        if extended.1.iter().any(is_struct) {
            return None;
        }
        Some(Self { of, place, schema, deleted, extended })
    }

    /// The rows of events that all have one.
    fn rows(
        &self,
        events: &StructArray,
        defaults: NullDefaults,
        deleted: &str,
        refused: &mut Refused,
    ) -> Result<Column> {
        let rows = events.column(self.place).as_struct();
        let defaults = match self.deleted {
            Some(_) => defaults,
            None => NullDefaults(false),
        };
        let mut columns = Vec::with_capacity(self.extended.0.fields().len());
        for (field, column) in self.schema.fields().iter().zip(rows.columns()) {
            let column = defaults.column(&field.schema, column)?;
            refused.push_nulls(field, &column, None);
            columns.push(column);
        }
        if self.deleted.is_some() {
            columns.push(Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(
                deleted,
                events.len(),
            ))));
        }
        for located in &*self.extended.1 {
            columns.push(added(located, events)?);
        }
        debug_assert_eq!(columns.len(), self.extended.0.fields().len(), "{:?}", self.of);
        let schema = Arc::clone(&self.extended.0);
        let array = struct_array(&schema, columns, None, events.len())?;
        Ok(Column::Typed { schema, array })
    }
}

/// A field of the event, or of a struct in it: null without that.
fn added(located: &Located, events: &StructArray) -> Result<ArrayRef> {
    let parent = located.parent.map(|place| events.column(place));
    let column = match (parent, located.place) {
        (Some(parent), Place::InParent(place)) => parent.as_struct().column(place),
        (_, Place::InEvent(place) | Place::InParent(place)) => events.column(place),
    };
    let Some(parent) = parent.filter(|parent| parent.null_count() > 0) else {
        return Ok(Arc::clone(column));
    };
    let absent: BooleanArray = is_null(parent).map_err(kernel_failed)?;
    nullif(column, &absent).map_err(kernel_failed)
}

fn kernel_failed(error: ArrowError) -> Error {
    Error::fatal("a field of a change event cannot be copied").with_source(error)
}
