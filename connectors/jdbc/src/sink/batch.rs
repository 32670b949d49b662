//! Gathers rows that are to be written together, and decides in which order.
//!
//! Rows of one shape are written in one go. What is done to one key keeps its order; of what is
//! done to it again and again, only the last is. Where keys may be equal to the database though
//! they are not the same, such as texts that differ in case, all rows keep their order.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows as EncodedRows, SortField};
use millrace_api::data::SinkRecords;
use millrace_api::{Result, TopicPartition};
use tokio::time::Instant;

use crate::dialect::target::{Action, is_exact};
use crate::sink::rows::{Rows, Run, arrow_error, concat};
use crate::sink::shape::Shape;
use crate::table::TableId;

/// Rows that were taken over and not yet written, by table, in the order they came.
#[derive(Default)]
pub(super) struct Batch {
    tables: Vec<(TableId, Vec<Run>)>,
    rows: usize,
    bytes: usize,
    since: Option<Instant>,
    is_sealed: bool,
}

impl Batch {
    /// It is about to be written: from now on it takes no more rows. Where nobody knows whether it
    /// was, they would count as written with it.
    pub(super) fn seal(&mut self) {
        self.is_sealed = true;
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Takes up a run.
    pub(super) fn add(&mut self, run: Run) {
        for rows in run.parts() {
            self.rows += rows.numbers.len();
            self.bytes += rows.arrays.iter().map(size).sum::<usize>();
        }
        let Some(table) = run.parts().next().map(|rows| rows.shape.table.clone()) else {
            return;
        };
        self.since.get_or_insert_with(Instant::now);
        match self.tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, runs)) => runs.push(run),
            None => self.tables.push((table, vec![run])),
        }
    }

    /// Drops the rows of a partition.
    pub(super) fn forget(&mut self, gone: impl Fn(&TopicPartition) -> bool) {
        let (since, is_sealed) = (self.since, self.is_sealed);
        let mut kept = Self { since, is_sealed, ..Self::default() };
        for run in std::mem::take(self).into_runs() {
            if !gone(&run.records.topic_partition) {
                kept.add(run);
            }
        }
        *self = kept;
    }

    fn into_runs(self) -> impl Iterator<Item = Run> {
        self.tables.into_iter().flat_map(|(_, runs)| runs)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first row came.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Takes note that a row was rejected.
    pub(super) fn reject(&mut self, (table, at): Row) {
        let run = &mut self.tables[table].1[at.run];
        let (_, number) = at.find(run);
        run.rejected.insert(number);
    }

    pub(super) fn has_rejected(&self) -> bool {
        self.runs().any(|run| !run.rejected.is_empty())
    }

    /// The tables, each with its runs.
    pub(super) fn tables(&self) -> impl Iterator<Item = &[Run]> {
        self.tables.iter().map(|(_, runs)| runs.as_slice())
    }

    /// All runs, those of a partition in the order they came.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.tables.iter().flat_map(|(_, runs)| runs)
    }
}

/// About how much memory the cells of an array take. What arrays share is not counted in each.
fn size(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => {
            array.len() * size_of::<u128>() + array.as_string_view().total_buffer_bytes_used()
        }
        DataType::BinaryView => {
            array.len() * size_of::<u128>() + array.as_binary_view().total_buffer_bytes_used()
        }
        _ => array.to_data().get_slice_memory_size().unwrap_or_default(),
    }
}

impl Run {
    fn part(&self, deletes: bool) -> Option<&Rows> {
        if deletes { self.deletes.as_ref() } else { self.writes.as_ref() }
    }

    /// Its rows to write and those to delete.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Rows> {
        self.writes.iter().chain(&self.deletes)
    }

    /// Which part a row is in and where, by the order of its offsets.
    fn in_order(&self) -> impl Iterator<Item = (bool, usize)> {
        let numbers = |deletes| self.part(deletes).map_or(&[][..], |rows| rows.numbers.as_slice());
        let (writes, deletes) = (numbers(false), numbers(true));
        let (mut write, mut delete) = (0, 0);
        std::iter::from_fn(move || {
            let next = match (writes.get(write), deletes.get(delete)) {
                (None, None) => return None,
                (Some(a), Some(b)) => a > b,
                (a, _) => a.is_none(),
            };
            let at = if next { &mut delete } else { &mut write };
            *at += 1;
            Some((next, *at - 1))
        })
    }
}

/// Where a row is: its run, which part of that, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct At {
    run: usize,
    deletes: bool,
    row: usize,
}

impl At {
    /// The record it was.
    pub(super) fn record(self, runs: &[Run]) -> (&Arc<SinkRecords>, usize) {
        self.find(&runs[self.run])
    }

    pub(super) fn is_rejected(self, runs: &[Run]) -> bool {
        let run = &runs[self.run];
        !run.rejected.is_empty() && run.rejected.contains(&self.find(run).1)
    }

    fn find(self, run: &Run) -> (&Arc<SinkRecords>, usize) {
        let rows = run.part(self.deletes).expect("the row was found there");
        (&run.records, rows.numbers[self.row])
    }
}

/// A row of a batch: its table's place there, and its own in the table's runs.
pub(super) type Row = (usize, At);

/// Rows of one shape that are written in one go.
pub(super) struct Group {
    pub(super) shape: Arc<Shape>,
    pub(super) action: Action,
    rows: Vec<Option<At>>,
}

impl Group {
    /// Which rows, in order.
    pub(super) fn rows(&self) -> Vec<At> {
        self.rows.iter().flatten().copied().collect()
    }

    /// Their arrays, one a field.
    pub(super) fn arrays(&self, runs: &[Run], rows: &[At]) -> Result<Vec<ArrayRef>> {
        let deletes = self.action == Action::Delete;
        // The runs that are needed, and where each row is among them.
        let mut needed: Vec<usize> = rows.iter().map(|at| at.run).collect();
        needed.sort_unstable();
        needed.dedup();
        let part = |run: &usize| runs[*run].part(deletes).expect("the row was found there");
        let total: usize = needed.iter().map(|run| part(run).numbers.len()).sum();
        let is_all = total == rows.len() && rows.is_sorted_by_key(|at| (at.run, at.row));
        let places = (!is_all).then(|| {
            let mut starts = HashMap::new();
            let mut start = 0;
            for run in &needed {
                starts.insert(*run, start);
                start += part(run).numbers.len();
            }
            let places = rows.iter().map(|at| (starts[&at.run] + at.row) as u64);
            UInt64Array::from_iter_values(places)
        });
        let column = |i: usize| {
            let arrays: Vec<ArrayRef> =
                needed.iter().map(|run| Arc::clone(&part(run).arrays[i])).collect();
            let all = match arrays.as_slice() {
                [array] => Arc::clone(array),
                _ => concat(&arrays, &self.shape.fields[i].schema)?,
            };
            match &places {
                Some(places) => compute::take(&*all, places, None).map_err(arrow_error),
                None => Ok(all),
            }
        };
        (0..self.shape.fields.len()).map(column).collect()
    }
}

/// What is to be done to a key, in order: the group and the place there.
#[derive(Default)]
struct Pending {
    last: Option<(usize, usize)>,
    before: Vec<(usize, usize)>,
}

/// Groups the rows of a table in the order they are to be written. `coalesces`: a row gives way to
/// a later one that leaves nothing of it.
pub(super) fn plan(runs: &[Run], action: Action, coalesces: bool) -> Result<Vec<Group>> {
    let keys = Keys::of(runs, action)?;
    let in_order = !keys.are_exact;
    let mut plan = Plan { action, coalesces, in_order, groups: Vec::new(), floor: 0 };
    let mut pending: HashMap<&[u8], Pending> = HashMap::new();
    for (i, run) in runs.iter().enumerate() {
        if keys.differ_at(i) {
            // Nobody knows which keys of before and after are the same.
            pending.clear();
            plan.floor = plan.groups.len();
        }
        for (deletes, row) in run.in_order() {
            let at = At { run: i, deletes, row };
            let shape = &run.part(deletes).expect("it has this row").shape;
            match keys.key(at) {
                Some(key) => plan.place(shape, at, pending.entry(key).or_default()),
                None => {
                    let group = plan.group(shape, at, plan.floor);
                    plan.groups[group].rows.push(Some(at));
                }
            }
        }
    }
    let mut groups = plan.groups;
    groups.retain(|group| group.rows.iter().any(Option::is_some));
    Ok(groups)
}

struct Plan {
    action: Action,
    coalesces: bool,
    /// Whether no row may be written before one that came earlier and is of another group.
    in_order: bool,
    groups: Vec<Group>,
    /// Rows join no group before this one.
    floor: usize,
}

impl Plan {
    fn action(&self, at: At) -> Action {
        if at.deletes { Action::Delete } else { self.action }
    }

    fn place(&mut self, shape: &Arc<Shape>, at: At, pending: &mut Pending) {
        let action = self.action(at);
        if self.coalesces {
            self.give_way(shape, action, pending);
        }
        let first = match pending.last {
            None => self.floor,
            // Rows that are inserted may be in one group though their keys are the same: that the
            // second fails is right.
            Some((group, _)) if action == Action::Insert => group,
            Some((group, _)) => group + 1,
        };
        let group = self.group(shape, at, first);
        self.groups[group].rows.push(Some(at));
        let place = (group, self.groups[group].rows.len() - 1);
        pending.before.extend(pending.last.replace(place));
    }

    /// Takes out what a row that does this leaves nothing of. A deletion leaves nothing of what
    /// changed the row before. Other rows leave nothing of one just before that has the same
    /// columns; of one with others they do, and of a deletion that, too. What is inserted stays,
    /// for it may have to fail.
    fn give_way(&mut self, shape: &Arc<Shape>, action: Action, pending: &mut Pending) {
        while let Some((group, place)) = pending.last {
            let earlier = &mut self.groups[group];
            let gives_way = match action {
                Action::Insert => false,
                Action::Delete => earlier.action != Action::Insert,
                Action::Upsert | Action::Update => {
                    earlier.action == action && Arc::ptr_eq(&earlier.shape, shape)
                }
            };
            if !gives_way {
                return;
            }
            earlier.rows[place] = None;
            pending.last = pending.before.pop();
        }
    }

    /// The group for a row, not before `first`; a new one where there is none.
    fn group(&mut self, shape: &Arc<Shape>, at: At, first: usize) -> usize {
        let action = self.action(at);
        let first = match self.in_order {
            true => first.max(self.groups.len().saturating_sub(1)),
            false => first,
        };
        let fits = |group: &Group| group.action == action && Arc::ptr_eq(&group.shape, shape);
        let found = self.groups[first..].iter().position(fits);
        found.map_or_else(
            || {
                self.groups.push(Group { shape: Arc::clone(shape), action, rows: Vec::new() });
                self.groups.len() - 1
            },
            |i| first + i,
        )
    }
}

/// The keys of rows, as bytes that are the same when the keys are.
struct Keys {
    /// None where keys do not matter.
    runs: Option<Vec<RunKeys>>,
    /// Whether keys that are not the same are not equal to the database either.
    are_exact: bool,
}

struct RunKeys {
    signature: Vec<(String, DataType)>,
    writes: Option<EncodedRows>,
    deletes: Option<EncodedRows>,
}

impl Keys {
    fn of(runs: &[Run], action: Action) -> Result<Self> {
        let mut shapes = runs.iter().flat_map(Run::parts).map(|rows| &rows.shape);
        let first = shapes.next();
        let is_one_shape = shapes.all(|shape| first.is_some_and(|first| Arc::ptr_eq(first, shape)));
        let has_keys = first.is_some_and(|shape| shape.keys() > 0);
        if !has_keys || (action == Action::Insert && is_one_shape) {
            return Ok(Self { runs: None, are_exact: true });
        }
        let rows = runs.iter().flat_map(Run::parts);
        let mut keys = rows.flat_map(|rows| &rows.shape.fields[..rows.shape.keys()]);
        let are_exact = keys.all(|field| is_exact(&field.schema));
        let runs = runs.iter().map(RunKeys::of).collect::<Result<_>>()?;
        Ok(Self { runs: Some(runs), are_exact })
    }

    /// Whether keys of this run cannot be compared with those of the run before.
    fn differ_at(&self, run: usize) -> bool {
        self.runs
            .as_ref()
            .is_some_and(|runs| run > 0 && runs[run].signature != runs[run - 1].signature)
    }

    fn key(&self, at: At) -> Option<&[u8]> {
        let run = &self.runs.as_ref()?[at.run];
        let rows = if at.deletes { &run.deletes } else { &run.writes };
        rows.as_ref().map(|rows| rows.row(at.row).data())
    }
}

impl RunKeys {
    fn of(run: &Run) -> Result<Self> {
        let mut keys = Self { signature: Vec::new(), writes: None, deletes: None };
        for deletes in [false, true] {
            let Some(rows) = run.part(deletes) else { continue };
            let (signature, encoded) = encode(rows)?;
            keys.signature = signature;
            *(if deletes { &mut keys.deletes } else { &mut keys.writes }) = Some(encoded);
        }
        Ok(keys)
    }
}

/// The keys of rows, and what they are made of: only keys of the same columns and types compare.
/// Integers do whatever their width is.
fn encode(rows: &Rows) -> Result<(Vec<(String, DataType)>, EncodedRows)> {
    let mut fields: Vec<usize> = (0..rows.shape.keys()).collect();
    fields.sort_by_key(|i| &rows.shape.fields[*i].name);
    let array = |i: &usize| {
        let array = &rows.arrays[*i];
        match array.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 => {
                compute::cast(array, &DataType::Int64).map_err(arrow_error)
            }
            _ => Ok(Arc::clone(array)),
        }
    };
    let arrays: Vec<ArrayRef> = fields.iter().map(array).collect::<Result<_>>()?;
    let signature = fields.iter().zip(&arrays);
    let signature = signature
        .map(|(i, array)| (rows.shape.fields[*i].name.clone(), array.data_type().clone()))
        .collect();
    let types = arrays.iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let converter = RowConverter::new(types).map_err(arrow_error)?;
    let encoded = converter.convert_columns(&arrays).map_err(arrow_error)?;
    Ok((signature, encoded))
}
