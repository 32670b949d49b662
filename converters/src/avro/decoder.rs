//! Cuts rows into runs of one Connect schema, and makes the cheapest column of each.

use std::sync::Arc;

use millrace_api::data::{Column, RowError, SchemaRef, Value};

use crate::avro::reader::Reader;
use crate::avro::stop::Stop;
use crate::cells::Builder;
use crate::json::Fault;
use crate::registry::{Row, run_length};
use crate::room::Room;

/// From so many rows on a run becomes Arrow.
const COLUMNS_FROM: usize = 16;
/// Some 32 MiB as numbers.
const ROOM: usize = 4 << 20;

/// Reads rows. As many come out, those null that fail.
pub(crate) fn read(
    readers: &[Reader],
    rows: &[Row<'_>],
    failed: &mut Vec<RowError>,
) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut room = [Room::new(ROOM), Room::new(ROOM)];
    let mut first = 0;
    while first < rows.len() || columns.is_empty() {
        let schema = |row: &Row<'_>| row.payload.map(|_| &readers[row.schema.0].schema);
        let schemas = rows[first..].iter().map(schema);
        let end = first + run_length(schemas.clone(), same);
        let schema = schemas.flatten().next().cloned().flatten();
        let (failed, room) = (&mut *failed, &mut room);
        let mut cells = Rows { readers, rows, first, end, failed, room };
        columns.push(match schema {
            Some(schema) if end - first >= COLUMNS_FROM => {
                cells.typed(&schema).unwrap_or_else(|| cells.values(Some(schema)))
            }
            schema => cells.values(schema),
        });
        first = end;
    }
    columns
}

/// Equal schemas are one, since the converter keeps each but once.
fn same(a: &Option<SchemaRef>, b: &Option<SchemaRef>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// The rows of a run.
struct Rows<'a> {
    readers: &'a [Reader],
    rows: &'a [Row<'a>],
    first: usize,
    end: usize,
    failed: &'a mut Vec<RowError>,
    /// In columns, and as values: a run that does not fit the first goes by the second.
    room: &'a mut [Room; 2],
}

impl Rows<'_> {
    fn fail(&mut self, row: usize, fault: Fault) {
        self.failed.push(RowError { row, error: fault.into_error(None) });
    }

    /// None when Arrow cannot hold all of it; then nothing is reported as failed either.
    fn typed(&mut self, schema: &SchemaRef) -> Option<Column> {
        let failed_before = self.failed.len();
        let mut builder = Builder::new(schema, self.end - self.first)?;
        for at in self.first..self.end {
            let Some(payload) = self.rows[at].payload else {
                builder.append_null();
                continue;
            };
            let plan = self.readers[self.rows[at].schema.0].plan(payload.len());
            match plan.append_whole(payload, &mut builder, &mut self.room[0]).map_err(|stop| *stop)
            {
                Ok(()) => {}
                Err(Stop::Fault(fault)) => {
                    self.fail(at, fault);
                    builder.append_null();
                }
                Err(Stop::Unfit | Stop::Irregular) => {
                    self.failed.truncate(failed_before);
                    return None;
                }
            }
        }
        Some(Column::Typed { schema: Arc::clone(schema), array: builder.finish() })
    }

    fn values(&mut self, schema: Option<SchemaRef>) -> Column {
        let mut values = Vec::with_capacity(self.end - self.first);
        for at in self.first..self.end {
            values.push(self.value(schema.as_ref(), at));
        }
        Column::Rows { schema, values }
    }

    fn value(&mut self, schema: Option<&SchemaRef>, at: usize) -> Value {
        let Some(payload) = self.rows[at].payload else {
            return Value::Null;
        };
        let plan = self.readers[self.rows[at].schema.0].plan(payload.len());
        match plan.whole_value(schema, payload, &mut self.room[1]).map_err(|stop| *stop) {
            Ok(value) => value,
            Err(Stop::Fault(fault)) => {
                self.fail(at, fault);
                Value::Null
            }
            Err(Stop::Unfit | Stop::Irregular) => unreachable!("values may be anything"),
        }
    }
}
