//! Decides which columns the records of a topic have: which are keys, and where each comes from.

use millrace_api::data::{Kind, Schema, SchemaRef};
use millrace_api::{Error, Result};

use crate::dialect::target;
use crate::sink::config::{PkMode, SinkConfig};
use crate::sink::events;
use crate::table::TableId;

/// Names of the coordinates of a record (`pk.mode=kafka`), unless `pk.fields` has others.
const COORDINATES: [&str; 3] = ["__connect_topic", "__connect_partition", "__connect_offset"];

/// What rows of a table are made of.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) table: TableId,
    /// Keys first.
    pub(super) fields: Vec<ShapeField>,
    /// The fields' numbers in the order of a table that is made for them: coordinates, fields of
    /// the value in its order, others by name.
    pub(super) order: Vec<usize>,
    /// Whether rows are deleted: then all fields are keys.
    pub(super) deletes: bool,
}

/// A column of such rows.
#[derive(Debug, PartialEq)]
pub(super) struct ShapeField {
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    pub(super) is_key: bool,
    pub(super) origin: Origin,
}

/// Where a column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Topic,
    Partition,
    Offset,
    /// The key, which is no struct.
    Key,
    KeyField(usize),
    /// The value, which is no struct.
    Value,
    ValueField(usize),
    /// A number in the value that counts what the field's schema does, under another schema.
    ValueCount(usize),
    /// A number or text in the value that stands for a point in time; so many of the number make a
    /// microsecond.
    ValueMoment(usize, i64),
}

impl Shape {
    /// How many fields are keys; they come first.
    pub(super) fn keys(&self) -> usize {
        self.fields.iter().take_while(|f| f.is_key).count()
    }

    /// The shape of records with these schemas; none for the value where they are to be deleted.
    ///
    /// # Errors
    ///
    /// Such records cannot be written, whatever they hold.
    pub(super) fn of(
        config: &SinkConfig,
        table: TableId,
        key: Option<&SchemaRef>,
        value: Option<&SchemaRef>,
    ) -> Result<Self> {
        let mut fields = match config.pk_mode() {
            PkMode::None => Vec::new(),
            PkMode::Kafka => coordinates(&config.pk_fields),
            PkMode::RecordKey => key_fields(key, &config.pk_fields)?,
            PkMode::RecordValue => {
                let value = value.filter(|v| v.kind() == Kind::Struct).ok_or_else(|| {
                    Error::data("pk.mode=record_value needs a value that is a struct")
                })?;
                struct_fields(value, &config.pk_fields, Origin::ValueField, "value")?
            }
        };
        if let Some(value) = value {
            let others = value_fields(config, value, &fields)?;
            fields.extend(others);
        }
        if fields.is_empty() {
            let message = "no field of these records is written; see pk.mode, pk.fields and \
                           fields.whitelist";
            return Err(Error::data(message));
        }
        fields.iter().try_for_each(check_scale)?;
        let order = order(&fields, value);
        Ok(Self { table, fields, order, deletes: value.is_none() })
    }
}

/// No database here keeps more digits after the point; written out, a few bytes that stand for
/// millions of zeros would take as much memory.
const LARGEST_SCALE: u32 = 16_383;

fn check_scale(field: &ShapeField) -> Result<()> {
    let mut schema = &field.schema;
    while let (Kind::Array, Some(items)) = (schema.kind(), schema.value_schema()) {
        schema = items;
    }
    match schema.decimal_scale() {
        Some(scale) if scale.unsigned_abs() > LARGEST_SCALE => {
            let message = "a Decimal has a scale that no database takes; set its scale where the \
                           records are made, or leave the field out with fields.whitelist";
            Err(Error::data(message).context("field", &field.name).context("scale", scale))
        }
        _ => Ok(()),
    }
}

fn key_field(name: &str, schema: &SchemaRef, origin: Origin) -> ShapeField {
    ShapeField { name: name.to_owned(), schema: SchemaRef::clone(schema), is_key: true, origin }
}

fn coordinates(names: &[String]) -> Vec<ShapeField> {
    let names = match names {
        [topic, partition, offset] => [topic.as_str(), partition, offset],
        _ => COORDINATES,
    };
    let origins = [
        (Schema::string(false), Origin::Topic),
        (Schema::builder(Kind::Int32).build(), Origin::Partition),
        (Schema::builder(Kind::Int64).build(), Origin::Offset),
    ];
    let field =
        |(name, (schema, origin)): (&str, (SchemaRef, Origin))| key_field(name, &schema, origin);
    names.into_iter().zip(origins).map(field).collect()
}

fn key_fields(key: Option<&SchemaRef>, names: &[String]) -> Result<Vec<ShapeField>> {
    let Some(key) = key else {
        let message = "pk.mode=record_key needs a key with a schema; use a converter that has \
                       schemas for key.converter";
        return Err(Error::data(message));
    };
    match (key.kind(), names) {
        (Kind::Struct, _) => struct_fields(key, names, Origin::KeyField, "key"),
        (Kind::Map | Kind::Array, _) => {
            Err(Error::data("pk.mode=record_key needs a key that is a struct or a single value")
                .context("key", key.kind().name()))
        }
        (_, [name]) => Ok(vec![key_field(name, key, Origin::Key)]),
        _ => {
            let message = "Need exactly one PK column defined since the key schema for records is \
                           a primitive type: name it in pk.fields";
            Err(Error::data(message).context("pk.fields", format!("[{}]", names.join(", "))))
        }
    }
}

/// The named fields of a struct, or all.
fn struct_fields(
    schema: &SchemaRef,
    names: &[String],
    origin: fn(usize) -> Origin,
    what: &'static str,
) -> Result<Vec<ShapeField>> {
    if names.is_empty() {
        let fields = schema.fields().iter().enumerate();
        return Ok(fields.map(|(i, f)| key_field(&f.name, &f.schema, origin(i))).collect());
    }
    let field = |name: &String| match schema.field(name) {
        Some((i, field)) => Ok(key_field(name, &field.schema, origin(i))),
        None => {
            let message = format!("pk.fields has a field that the record's {what} has not");
            Err(Error::data(message).context("field", name))
        }
    };
    names.iter().map(field).collect()
}

/// The fields of the value that are no keys.
fn value_fields(
    config: &SinkConfig,
    value: &SchemaRef,
    keys: &[ShapeField],
) -> Result<Vec<ShapeField>> {
    let is_key = |name: &str| keys.iter().any(|key| key.name == name);
    match value.kind() {
        Kind::Struct => {}
        Kind::String => {
            if !config.fields_whitelist.is_empty() || !config.timestamp_fields_list.is_empty() {
                let message = "values that are a plain STRING have no fields: leave out \
                               fields.whitelist and timestamp.fields.list";
                return Err(Error::data(message));
            }
            let name = config.string_output_value_column_name.clone();
            let schema = SchemaRef::clone(value);
            let field = ShapeField { name, schema, is_key: false, origin: Origin::Value };
            return Ok(if is_key(&field.name) { Vec::new() } else { vec![field] });
        }
        other => {
            let message = "the value is neither a struct nor a plain STRING; make it a struct \
                           with a transformation such as HoistField";
            return Err(Error::data(message).context("value", other.name()));
        }
    }
    let wanted = |name: &str| {
        let listed = &config.fields_whitelist;
        !is_key(name) && (listed.is_empty() || listed.iter().any(|n| n == name))
    };
    let fields = value.fields().iter().enumerate().filter(|(_, field)| wanted(&field.name));
    fields
        .map(|(i, field)| {
            let is_moment = config.timestamp_fields_list.iter().any(|n| **n == *field.name);
            let events = config.change_events.then(|| events::meant(&field.schema, i)).flatten();
            let (schema, origin) = match (is_moment, field.schema.kind()) {
                (true, Kind::Int64 | Kind::String) if field.schema.name().is_none() => {
                    let origin = Origin::ValueMoment(i, config.per_microsecond());
                    (target::micros(field.schema.is_optional()), origin)
                }
                _ => events
                    .unwrap_or_else(|| (SchemaRef::clone(&field.schema), Origin::ValueField(i))),
            };
            Ok(ShapeField { name: field.name.to_string(), schema, is_key: false, origin })
        })
        .collect()
}

/// Coordinates first, then what has the name of a field of the value, in its order.
fn order(fields: &[ShapeField], value: Option<&SchemaRef>) -> Vec<usize> {
    let place = |field: &ShapeField| match field.origin {
        Origin::Topic => (0, 0),
        Origin::Partition => (0, 1),
        Origin::Offset => (0, 2),
        _ => match value.and_then(|value| value.field(&field.name)) {
            Some((i, _)) => (1, i),
            None => (2, 0),
        },
    };
    let mut order: Vec<usize> = (0..fields.len()).collect();
    order.sort_by_cached_key(|i| (place(&fields[*i]), fields[*i].name.clone()));
    order
}
