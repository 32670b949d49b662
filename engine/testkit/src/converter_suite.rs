//! What every converter must do: nulls, round trips, one bad row costing one row, and columns that
//! give what rows give.

use std::ops::Range;

use arrow::array::{Array, BinaryViewArray};
use millrace_api::data::{Column, RowError, SchemaRef, Value};
use millrace_api::{Converter, Plugin, Props, Serialized};
use proptest::strategy::BoxedStrategy;

use crate::arbitrary::forms;
use crate::plugin_host::{converter, for_all};

/// A value with what is known of its form.
pub type Cell = (Option<SchemaRef>, Value);

/// One configured converter, and data for it.
pub trait ConverterFixture {
    /// The converter.
    fn plugin(&self) -> Plugin;
    /// Its configuration, keys without prefix.
    fn props(&self) -> Props;
    /// Columns that it can write and read back.
    fn columns(&self) -> BoxedStrategy<Column>;
    /// What is read of such a value once it was written: the same, unless the format says less.
    fn read_back(&self, written: Cell) -> Cell {
        written
    }
    /// A row that it cannot read; none when it can read every row.
    fn bad_row(&self) -> Option<&'static [u8]>;
}

/// Makes a module of tests, one a check of [`converter_suite`](mod@crate::converter_suite):
/// `converter_suite!(module_name, fixture)`.
#[macro_export]
macro_rules! converter_suite {
    ($name:ident, $fixture:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "a fixture may be named by its full path")]
            use super::*;

            $crate::suite_checks! { converter_suite, $fixture,
                null_without_schema_is_a_tombstone_and_back
                what_was_written_is_read_back
                all_forms_of_the_data_are_written_the_same
                a_run_is_read_as_its_rows_one_by_one
                a_bad_row_costs_one_row
                an_empty_run_stays_empty
            }
        }
    };
}

const TOPIC: &str = "topic";

fn open(fixture: &impl ConverterFixture) -> Box<dyn Converter> {
    converter(&fixture.plugin(), &fixture.props()).expect("the fixture's configuration is right")
}

fn write(converter: &mut dyn Converter, column: &Column) -> Serialized {
    let mut failed = Vec::new();
    let rows = converter
        .from_connect_data(TOPIC, column, &mut failed)
        .expect("a converter blames rows, it does not give up");
    assert_none_failed(&failed);
    assert_eq!(rows.len(), column.len(), "as many rows come out as went in");
    rows
}

fn assert_none_failed(failed: &[RowError]) {
    if let Some(first) = failed.first() {
        panic!("row {} failed: {:?}", first.row, first.error);
    }
}

fn read(converter: &mut dyn Converter, rows: &Serialized) -> (Vec<Cell>, Vec<usize>) {
    let mut failed = Vec::new();
    let columns = converter
        .to_connect_data(TOPIC, rows, &[], &mut failed)
        .expect("a converter blames rows, it does not give up");
    let cells: Vec<Cell> = columns.iter().flat_map(cells).collect();
    assert_eq!(cells.len(), rows.len(), "as many rows come out as went in");
    let mut failed: Vec<usize> = failed.iter().map(|f| f.row).collect();
    failed.sort_unstable();
    for row in &failed {
        assert!(cells[*row].1.is_null(), "row {row} failed and is null");
    }
    (cells, failed)
}

fn read_well(converter: &mut dyn Converter, rows: &Serialized) -> Vec<Cell> {
    let (cells, failed) = read(converter, rows);
    assert_eq!(failed, [0_usize; 0], "rows that cannot be read");
    cells
}

fn cells(column: &Column) -> Vec<Cell> {
    let rows = column.rows().expect("what a converter gives can be read");
    let cell = |value: &Value| (column.schema().cloned(), value.clone());
    rows.iter().map(cell).collect()
}

fn serialized(rows: &[Option<&[u8]>]) -> Serialized {
    rows.iter().copied().collect::<BinaryViewArray>()
}

/// Java: schema null and value null are null bytes, and null bytes are null.
pub fn null_without_schema_is_a_tombstone_and_back(fixture: &impl ConverterFixture) {
    let mut converter = open(fixture);
    for rows in [1, 20] {
        let written = write(&mut *converter, &Column::nulls(rows));
        assert_eq!(written.null_count(), rows);
        let nothing = serialized(&vec![None; rows]);
        let read = read_well(&mut *converter, &nothing);
        assert!(read.iter().all(|(_, value)| value.is_null()), "{read:?}");
    }
}

/// Values and schemas survive, as far as the format can hold them.
pub fn what_was_written_is_read_back(fixture: &impl ConverterFixture) {
    for_all(192, &fixture.columns(), |column| {
        let mut converter = open(fixture);
        let written = write(&mut *converter, &column);
        let expected: Vec<Cell> =
            cells(&column).into_iter().map(|cell| fixture.read_back(cell)).collect();
        assert_eq!(read_well(&mut *converter, &written), expected);
    });
}

/// Columns give the bytes that rows give, and slices of columns the slices of them.
pub fn all_forms_of_the_data_are_written_the_same(fixture: &impl ConverterFixture) {
    for_all(192, &fixture.columns(), |column| {
        let mut converter = open(fixture);
        let middle = middle(column.len());
        let mut expected: Option<Serialized> = None;
        for form in forms(&column) {
            let written = write(&mut *converter, &form);
            let slice = write(&mut *converter, &form.slice(middle.start, middle.len()));
            let whole = expected.get_or_insert_with(|| written.clone());
            assert_eq!(written, *whole);
            assert_eq!(slice, whole.slice(middle.start, middle.len()));
        }
    });
}

fn middle(rows: usize) -> Range<usize> {
    rows / 3..rows - rows / 4
}

/// The length of a run decides which form comes out, and nothing else.
pub fn a_run_is_read_as_its_rows_one_by_one(fixture: &impl ConverterFixture) {
    for_all(96, &fixture.columns(), |column| {
        let mut converter = open(fixture);
        let rows = write(&mut *converter, &column);
        let whole = read_well(&mut *converter, &rows);
        for row in 0..rows.len() {
            let alone = read_well(&mut *converter, &rows.slice(row, 1));
            assert_eq!(alone, whole[row..=row]);
        }
        let middle = middle(rows.len());
        let slice = read_well(&mut *converter, &rows.slice(middle.start, middle.len()));
        assert_eq!(slice, whole[middle]);
    });
}

/// All other rows come out as if it were not there.
pub fn a_bad_row_costs_one_row(fixture: &impl ConverterFixture) {
    let Some(bad) = fixture.bad_row() else {
        return;
    };
    for_all(64, &fixture.columns(), |column| {
        let mut converter = open(fixture);
        let good = write(&mut *converter, &column);
        let expected = read_well(&mut *converter, &good);
        for place in [0, good.len() / 2, good.len()] {
            let mut rows: Vec<Option<&[u8]>> = good.iter().collect();
            rows.insert(place, Some(bad));
            let (mut cells, failed) = read(&mut *converter, &serialized(&rows));
            assert_eq!(failed, [place]);
            cells.remove(place);
            assert_eq!(cells, expected);
        }
    });
}

/// No rows in, none out.
pub fn an_empty_run_stays_empty(fixture: &impl ConverterFixture) {
    let mut converter = open(fixture);
    assert_eq!(write(&mut *converter, &Column::nulls(0)).len(), 0);
    assert_eq!(read_well(&mut *converter, &serialized(&[])), []);
}
