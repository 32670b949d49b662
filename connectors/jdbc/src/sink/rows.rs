//! Turns runs of records into rows of tables, as Arrow arrays, and finds the records that cannot
//! become one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::compute;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Int64Type};
use millrace_api::data::{Column, Records, SchemaRef, SinkRecords, Value};
use millrace_api::{Error, Result};

use crate::calendar::Calendar;
use crate::dialect::target::{self, Action};
use crate::sink::config::{PkMode, SinkConfig};
use crate::sink::naming::TableNames;
use crate::sink::shape::{Origin, Shape, ShapeField};
use crate::sink::{events, moments};

/// Some rows of a run, all of one shape.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) shape: Arc<Shape>,
    /// One a field.
    pub(super) arrays: Vec<ArrayRef>,
    /// Which rows of the run they are, ascending.
    pub(super) numbers: Vec<usize>,
}

/// A run of records and the rows it became.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) records: Arc<SinkRecords>,
    pub(super) writes: Option<Rows>,
    pub(super) deletes: Option<Rows>,
    /// Of these records the rows were rejected, and are not tried again: however often writing the
    /// others fails, each is reported once.
    pub(super) rejected: BTreeSet<usize>,
}

/// A record that cannot be written.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) records: Arc<SinkRecords>,
    pub(super) row: usize,
    pub(super) error: Error,
}

impl Refused {
    /// Adds where the record comes from to the error.
    pub(super) fn new(records: &Arc<SinkRecords>, row: usize, error: Error) -> Self {
        let error = error
            .context("topic", &records.topic_partition.topic)
            .context("partition", records.topic_partition.partition)
            .context("offset", records.offsets()[row]);
        Self { records: Arc::clone(records), row, error }
    }
}

/// Makes rows of records.
pub(super) struct Converter {
    config: Arc<SinkConfig>,
    names: TableNames,
    calendar: Calendar,
    /// Shapes that were met before.
    known: Vec<Known>,
}

/// The shape of records of a topic with certain schemas; an error where they cannot be written.
struct Known {
    topic: Arc<str>,
    key: Option<SchemaRef>,
    /// None where the record has no value.
    value: Option<SchemaRef>,
    shape: Result<Arc<Shape>>,
}

/// So many schemas are remembered; more only cost time.
const MOST_KNOWN: usize = 256;

impl Converter {
    pub(super) fn new(config: &Arc<SinkConfig>, mark: char) -> Result<Self> {
        Ok(Self {
            config: Arc::clone(config),
            names: config.table_names(mark)?,
            calendar: config.calendar()?,
            known: Vec::new(),
        })
    }

    /// The rows of a run. Records that cannot be written are left out.
    pub(super) fn convert(
        &mut self,
        records: Arc<SinkRecords>,
        refused: &mut Vec<Refused>,
    ) -> Result<Run> {
        let records = match self.config.change_events {
            true => Arc::new(events::rows(&records, self.config.delete_enabled)?),
            false => records,
        };
        let value = &records.records.value;
        let nulls: Vec<bool> = (0..value.len()).map(|row| value.is_null(row)).collect();
        let of_kind = |kind: bool| -> Vec<usize> {
            (0..nulls.len()).filter(|row| nulls[*row] == kind).collect()
        };
        let writes = self.rows(&records, of_kind(false), false, refused)?;
        let deletes = self.rows(&records, of_kind(true), true, refused)?;
        Ok(Run { records, writes, deletes, rejected: BTreeSet::new() })
    }

    /// The rows of these numbers, all with a value or all without.
    fn rows(
        &mut self,
        records: &Arc<SinkRecords>,
        mut numbers: Vec<usize>,
        deletes: bool,
        refused: &mut Vec<Refused>,
    ) -> Result<Option<Rows>> {
        if numbers.is_empty() {
            return Ok(None);
        }
        let shape = match self.shape(&records.records, deletes) {
            Ok(shape) => shape,
            Err(error) => {
                let refuse = |row: usize| Refused::new(records, row, error.copied());
                refused.extend(numbers.into_iter().map(refuse));
                return Ok(None);
            }
        };
        if self.config.pk_mode() == PkMode::RecordKey {
            let key = &records.records.key;
            numbers.retain(|row| {
                if key.is_null(*row) {
                    let error = Error::data("pk.mode=record_key needs a key, and there is none");
                    refused.push(Refused::new(records, *row, error));
                }
                !key.is_null(*row)
            });
        }
        let mut found = Vec::new();
        // Where arrays cannot be made, halves are tried, down to the rows that are at fault.
        let mut parts = vec![numbers];
        while let Some(mut part) = parts.pop() {
            match (self.part(&records.records, &shape, &part), part.as_slice()) {
                (_, []) => {}
                (Ok(arrays), _) => found.push((arrays, part)),
                (Err(error), [row]) => refused.push(Refused::new(records, *row, error)),
                (Err(_), _) => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
            }
        }
        let joined = join(found, &shape)?;
        Ok(joined.map(|(arrays, numbers)| Rows { shape, arrays, numbers }))
    }

    /// The arrays of some rows of a run.
    fn part(&self, records: &Records, shape: &Shape, numbers: &[usize]) -> Result<Vec<ArrayRef>> {
        let kept;
        let records = match numbers.len() == records.len() {
            true => records,
            false => {
                let mut mask = vec![false; records.len()];
                numbers.iter().for_each(|row| mask[*row] = true);
                kept = records.filter(&BooleanArray::from(mask));
                &kept
            }
        };
        let source = |column: &Column, is_needed: &dyn Fn(Origin) -> bool| match shape
            .fields
            .iter()
            .any(|field| is_needed(field.origin))
        {
            true => Source::of(column),
            false => Ok(Source::default()),
        };
        let key = source(&records.key, &|o| matches!(o, Origin::KeyField(_)))?;
        let of_value = |o| {
            matches!(o, Origin::ValueField(_) | Origin::ValueCount(_) | Origin::ValueMoment(..))
        };
        let value = source(&records.value, &of_value)?;
        let writes_defaults = self.config.replace_null_with_default;
        let array = |field: &ShapeField| {
            let array = self.array(records, field, &key, &value)?;
            let needs_key =
                field.is_key && (shape.deletes || self.config.action() != Action::Insert);
            let array = match field.schema.default() {
                Some(default) if writes_defaults => filled(array, &field.schema, default)?,
                _ => array,
            };
            if needs_key && array.null_count() > 0 {
                let message = "a field of the key is null, so that no row is told by it";
                return Err(Error::data(message).context("field", &field.name));
            }
            Ok(array)
        };
        shape.fields.iter().map(array).collect()
    }

    fn array(
        &self,
        records: &Records,
        field: &ShapeField,
        key: &Source,
        value: &Source,
    ) -> Result<ArrayRef> {
        let rows = records.len();
        Ok(match field.origin {
            Origin::Topic => {
                let topics = std::iter::repeat_n(Some(&*records.topic), rows);
                Arc::new(topics.collect::<StringViewArray>())
            }
            Origin::Partition => {
                let partition = records.partition.unwrap_or_default();
                Arc::new(Int32Array::from_value(partition, rows))
            }
            Origin::Offset => {
                let offsets = records.offsets.as_deref().unwrap_or_default();
                Arc::new(Int64Array::from(offsets.to_vec()))
            }
            Origin::Key => single(&records.key)?,
            Origin::Value => single(&records.value)?,
            Origin::KeyField(i) => key.field(i)?,
            Origin::ValueField(i) => value.field(i)?,
            Origin::ValueCount(i) => {
                let wanted = field.schema.arrow_type();
                target::cast(&value.field(i)?, &wanted.expect("counts have an Arrow type"))?
            }
            Origin::ValueMoment(i, per) => self.moments(&value.field(i)?, per, &field.name)?,
        })
    }

    fn moments(&self, array: &ArrayRef, per: i64, name: &str) -> Result<ArrayRef> {
        let micros: TimestampMicrosecondArray = match array.data_type() {
            DataType::Int64 => {
                array.as_primitive::<Int64Type>().unary(|number| number.div_euclid(per))
            }
            _ => {
                let texts = array.as_string_view().iter();
                let micros = texts.map(|text| {
                    text.map(|text| moments::parse(text, per, self.calendar)).transpose()
                });
                let micros: Result<TimestampMicrosecondArray> = micros.collect();
                micros.map_err(|e| e.context("field", name))?
            }
        };
        Ok(Arc::new(micros.with_timezone("UTC")))
    }

    fn shape(&mut self, records: &Records, deletes: bool) -> Result<Arc<Shape>> {
        let key = records.key.schema();
        let value = records.value.schema().filter(|_| !deletes);
        let same = |a: &Option<SchemaRef>, b: Option<&SchemaRef>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (None, None) => true,
            _ => false,
        };
        let known = self.known.iter().find(|known| {
            *known.topic == *records.topic && same(&known.key, key) && same(&known.value, value)
        });
        // A value that has no schema is told from none by what was asked for.
        let shape = match known.filter(|_| deletes || value.is_some()) {
            Some(known) => &known.shape,
            None => {
                let shape = self.new_shape(records, deletes);
                if self.known.len() >= MOST_KNOWN {
                    self.known.clear();
                }
                let topic = Arc::clone(&records.topic);
                let (key, value) = (key.cloned(), value.cloned());
                self.known.push(Known { topic, key, value, shape });
                &self.known.last().expect("one was added").shape
            }
        };
        shape.as_ref().map(Arc::clone).map_err(Error::copied)
    }

    /// Shapes that are the same for topics or versions of schemas are one.
    fn new_shape(&self, records: &Records, deletes: bool) -> Result<Arc<Shape>> {
        let value = match (deletes, records.value.schema()) {
            (false, None) => {
                let message = "the value has no schema, so that the types of its fields are not \
                               known; use a converter with schemas, such as JsonConverter with \
                               schemas.enable=true";
                return Err(Error::data(message));
            }
            (false, schema) => schema,
            (true, _) if self.config.delete_enabled => None,
            (true, _) => {
                let message = "the value is null, and such records can only be written with \
                               delete.enabled=true and pk.mode=record_key; drop them with the \
                               transformation Filter and the predicate RecordIsTombstone";
                return Err(Error::data(message));
            }
        };
        let table = self.names.table(&records.topic)?;
        let shape = Shape::of(&self.config, table, records.key.schema(), value)?;
        let mut shapes = self.known.iter().filter_map(|known| known.shape.as_ref().ok());
        Ok(shapes.find(|known| ***known == shape).map_or_else(|| Arc::new(shape), Arc::clone))
    }
}

/// The fields of a column of structs.
#[derive(Default)]
struct Source {
    fields: Vec<ArrayRef>,
    /// Values whose fields are made arrays one by one, since not all can be.
    values: Option<(SchemaRef, Vec<Value>)>,
}

impl Source {
    fn of(column: &Column) -> Result<Self> {
        let Some(schema) = column.schema().filter(|s| !s.fields().is_empty()) else {
            return Ok(Self::default());
        };
        if let Ok(Some(array)) = column.to_array() {
            let fields = array.as_struct().columns().to_vec();
            return Ok(Self { fields, values: None });
        }
        let values = column.rows()?.into_owned();
        Ok(Self { fields: Vec::new(), values: Some((SchemaRef::clone(schema), values)) })
    }

    fn field(&self, i: usize) -> Result<ArrayRef> {
        let Some((schema, values)) = &self.values else {
            return Ok(Arc::clone(&self.fields[i]));
        };
        let cell = |value: &Value| match value {
            Value::Struct(fields) => fields.values().get(i).cloned().unwrap_or_default(),
            _ => Value::Null,
        };
        let field = &schema.fields()[i];
        single(&Column::Rows {
            schema: Some(SchemaRef::clone(&field.schema)),
            values: values.iter().map(cell).collect(),
        })
        .map_err(|e| e.context("field", &field.name))
    }
}

/// A column as one array; decimals that Arrow cannot hold as text.
fn single(column: &Column) -> Result<ArrayRef> {
    let schema = column.schema();
    match column.to_array() {
        Ok(Some(array)) => Ok(array),
        Err(_) if schema.is_some_and(|s| s.decimal_scale().is_some()) => {
            let text = |value: &Value| match value {
                Value::Null => Ok(None),
                Value::Decimal(decimal) => Ok(Some(decimal.to_plain_string())),
                other => {
                    let message = "the value does not fit its schema";
                    Err(Error::data(message).context("class", other.java_class()))
                }
            };
            let texts: Result<StringViewArray> = column.rows()?.iter().map(text).collect();
            Ok(Arc::new(texts?))
        }
        Err(error) => Err(error),
        Ok(None) => Err(Error::data("the value has no schema")),
    }
}

/// The default in place of null.
fn filled(array: ArrayRef, schema: &SchemaRef, default: &Value) -> Result<ArrayRef> {
    if array.null_count() == 0 {
        return Ok(array);
    }
    let default = Column::Rows {
        schema: Some(SchemaRef::clone(schema)),
        values: vec![default.clone(); array.len()],
    };
    let (array, default) = alike(array, single(&default)?, schema)?;
    let nulls = compute::is_null(&array).map_err(arrow_error)?;
    zip(&nulls, &default, &array).map_err(arrow_error)
}

/// Two arrays of one type, whether decimals are text in one of them or not.
fn alike(a: ArrayRef, b: ArrayRef, schema: &SchemaRef) -> Result<(ArrayRef, ArrayRef)> {
    if a.data_type() == b.data_type() {
        return Ok((a, b));
    }
    Ok((as_text(&a, schema)?, as_text(&b, schema)?))
}

fn as_text(array: &ArrayRef, schema: &SchemaRef) -> Result<ArrayRef> {
    if array.data_type() == &DataType::Utf8View {
        return Ok(Arc::clone(array));
    }
    let column = Column::Typed { schema: SchemaRef::clone(schema), array: Arc::clone(array) };
    let text = |value: &Value| match value {
        Value::Decimal(decimal) => Some(decimal.to_plain_string()),
        _ => None,
    };
    Ok(Arc::new(column.rows()?.iter().map(text).collect::<StringViewArray>()))
}

/// Parts of a run as one.
fn join(
    mut parts: Vec<(Vec<ArrayRef>, Vec<usize>)>,
    shape: &Shape,
) -> Result<Option<(Vec<ArrayRef>, Vec<usize>)>> {
    if parts.len() <= 1 {
        return Ok(parts.pop());
    }
    let column = |i: usize| {
        let arrays: Vec<ArrayRef> =
            parts.iter().map(|(arrays, _)| Arc::clone(&arrays[i])).collect();
        concat(&arrays, &shape.fields[i].schema)
    };
    let arrays = (0..shape.fields.len()).map(column).collect::<Result<_>>()?;
    let numbers = parts.iter().flat_map(|(_, numbers)| numbers.iter().copied()).collect();
    Ok(Some((arrays, numbers)))
}

/// Arrays of a field, one behind the other.
pub(super) fn concat(arrays: &[ArrayRef], schema: &SchemaRef) -> Result<ArrayRef> {
    let same = arrays.iter().all(|a| a.data_type() == arrays[0].data_type());
    let arrays = match same {
        true => arrays.to_vec(),
        false => arrays.iter().map(|a| as_text(a, schema)).collect::<Result<_>>()?,
    };
    let arrays: Vec<&dyn Array> = arrays.iter().map(|a| &**a).collect();
    compute::concat(&arrays).map_err(arrow_error)
}

pub(super) fn arrow_error(error: arrow::error::ArrowError) -> Error {
    Error::fatal("rows cannot be gathered").with_source(error)
}
