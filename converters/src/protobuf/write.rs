//! Decides how columns become messages of a given schema: fields are found by their names.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use millrace_api::data::{Column, Kind, Schema, SchemaRef, logical};
use protox::prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor};

use crate::json::Fault;
use crate::protobuf::clashes::symbol;
use crate::protobuf::describe::is_union;
use crate::protobuf::names::scrubbed;
use crate::protobuf::plan::Scalar;
use crate::protobuf::{Settings, is_wrapper};

type Result<T> = std::result::Result<T, Fault>;

/// How a cell is written.
#[derive(Debug)]
pub(crate) enum To {
    Scalar(Scalar),
    /// The number of each symbol.
    Symbol(HashMap<String, i32>),
    EnumNumber,
    Message(MessageWriter),
    Wrapped(Scalar),
    Decimal,
    Date,
    Time,
    Timestamp,
}

/// How a struct is written.
#[derive(Debug)]
pub(crate) struct MessageWriter {
    /// In the order of their numbers, as Java writes them.
    pub(crate) fields: Vec<FieldWriter>,
}

/// How a field is written.
#[derive(Debug)]
pub(crate) struct FieldWriter {
    pub(crate) name: Arc<str>,
    pub(crate) number: u32,
    /// The column, and within a union the member.
    pub(crate) column: usize,
    pub(crate) member: Option<usize>,
    pub(crate) to: To,
    pub(crate) shape: Shape,
    /// What stands for null, in an array of its own.
    pub(crate) default: Option<ArrayRef>,
}

#[derive(Debug)]
pub(crate) enum Shape {
    /// Whether zero and empty are written, and whether it must be there (proto2).
    Single {
        has_presence: bool,
        is_required: bool,
    },
    List {
        is_packed: bool,
    },
    Map(Box<(FieldWriter, FieldWriter)>),
}

/// What writes data of a schema as this message.
pub(crate) fn compile(
    schema: &Schema,
    message: &MessageDescriptor,
    settings: &Settings,
) -> Result<To> {
    if schema.kind() == Kind::Struct && !is_union(schema) {
        return message_writer(schema, message, settings).map(To::Message);
    }
    match wrapper(message) {
        Some(scalar) if fits(schema.kind(), scalar) => Ok(To::Wrapped(scalar)),
        _ => Err(Fault::new(format!(
            "{} cannot be written as message {}",
            schema.kind().name(),
            message.full_name()
        ))),
    }
}

fn message_writer(
    schema: &Schema,
    message: &MessageDescriptor,
    settings: &Settings,
) -> Result<MessageWriter> {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for (column, field) in schema.fields().iter().enumerate() {
        if is_union(&field.schema) {
            for (member, field) in field.schema.fields().iter().enumerate() {
                let writer = named(&field.name, &field.schema, message, settings)?;
                fields.push(FieldWriter { column, member: Some(member), ..writer });
            }
        } else {
            let writer = named(&field.name, &field.schema, message, settings)?;
            fields.push(FieldWriter { column, ..writer });
        }
    }
    let is_lost = |number: u32| fields.iter().all(|field| field.number != number);
    let lost = message.fields().find(|field| field.is_required() && is_lost(field.number()));
    if let Some(lost) = lost {
        return Err(Fault::new(format!("the data have no field for {}", lost.full_name())));
    }
    fields.sort_by_key(|field| field.number);
    Ok(MessageWriter { fields })
}

fn named(
    name: &Arc<str>,
    schema: &SchemaRef,
    message: &MessageDescriptor,
    settings: &Settings,
) -> Result<FieldWriter> {
    let scrubbed = if settings.scrub_invalid_names { scrubbed(name) } else { name.to_string() };
    let descriptor = message.get_field_by_name(&scrubbed).ok_or_else(|| {
        Fault::new(format!("Cannot find field with name {scrubbed} in {}", message.full_name()))
    });
    descriptor
        .and_then(|descriptor| field_writer(name, schema, &descriptor, settings))
        .map_err(|fault| fault.within(name))
}

fn field_writer(
    name: &Arc<str>,
    schema: &SchemaRef,
    descriptor: &FieldDescriptor,
    settings: &Settings,
) -> Result<FieldWriter> {
    let is_repeated = descriptor.is_list() || descriptor.is_map();
    let missing = || Fault::new("schema of an array or map lacks the schema of its items");
    let (to, shape) = match (schema.kind(), descriptor.kind()) {
        (Kind::Array, kind) if is_repeated => {
            let items = schema.value_schema().ok_or_else(missing)?;
            let is_packed = descriptor.is_packed();
            (value_writer(items, &kind, settings)?, Shape::List { is_packed })
        }
        (Kind::Map, FieldKind::Message(entry)) if is_repeated => {
            let key = schema.key_schema().ok_or_else(missing)?;
            let value = schema.value_schema().ok_or_else(missing)?;
            let key = named(&"key".into(), key, &entry, settings)?;
            let value = named(&"value".into(), value, &entry, settings)?;
            (To::EnumNumber, Shape::Map(Box::new((key, value))))
        }
        (kind, field) if !is_repeated && !matches!(kind, Kind::Array | Kind::Map) => {
            let has_presence = descriptor.supports_presence();
            let is_required = descriptor.is_required();
            let shape = Shape::Single { has_presence, is_required };
            (value_writer(schema, &field, settings)?, shape)
        }
        (kind, _) => return Err(misfit(kind.name(), descriptor)),
    };
    let default = match schema.default().filter(|_| !settings.ignore_default_for_nullables) {
        None => None,
        Some(default) => {
            let (schema, values) = (Some(Arc::clone(schema)), vec![default.clone()]);
            let array = Column::Rows { schema, values }.to_array();
            array.map_err(|_| Fault::new("the default cannot be written"))?
        }
    };
    let number = descriptor.number();
    Ok(FieldWriter { name: Arc::clone(name), number, column: 0, member: None, to, shape, default })
}

fn misfit(kind: &str, descriptor: &FieldDescriptor) -> Fault {
    Fault::new(format!(
        "{kind} cannot be written as {:?} {}",
        descriptor.cardinality(),
        descriptor.full_name()
    ))
}

fn value_writer(schema: &SchemaRef, kind: &FieldKind, settings: &Settings) -> Result<To> {
    let name = schema.name().unwrap_or("");
    let wrong =
        |field: &str| Fault::new(format!("{} cannot be written as {field}", schema.kind().name()));
    if schema.arrow_type().is_none() {
        return Err(Fault::new("a decimal has a scale that is not between 0 and 76"));
    }
    let message = match kind {
        FieldKind::Enum(symbols) if schema.kind() == Kind::String => {
            let number = |value: &protox::prost_reflect::EnumValueDescriptor| {
                (symbol(value.name()).to_owned(), value.number())
            };
            return Ok(To::Symbol(symbols.values().map(|value| number(&value)).collect()));
        }
        FieldKind::Enum(_) if schema.kind() == Kind::Int32 => return Ok(To::EnumNumber),
        FieldKind::Message(message) => message,
        kind => match Scalar::of(kind) {
            Some(scalar) if fits(schema.kind(), scalar) && !is_logical(name) => {
                return Ok(To::Scalar(scalar));
            }
            _ => return Err(wrong(&format!("{kind:?}"))),
        },
    };
    let to = match (name, message.full_name()) {
        (logical::DECIMAL, "confluent.type.Decimal") => To::Decimal,
        (logical::DATE, "google.type.Date") => To::Date,
        (logical::TIME, "google.type.TimeOfDay") => To::Time,
        (logical::TIMESTAMP, "google.protobuf.Timestamp") => To::Timestamp,
        _ if schema.kind() == Kind::Struct && !is_union(schema) => {
            To::Message(message_writer(schema, message, settings)?)
        }
        _ => match wrapper(message) {
            Some(scalar) if fits(schema.kind(), scalar) && !is_logical(name) => To::Wrapped(scalar),
            _ => return Err(wrong(message.full_name())),
        },
    };
    Ok(to)
}

fn is_logical(name: &str) -> bool {
    matches!(name, logical::DECIMAL | logical::DATE | logical::TIME | logical::TIMESTAMP)
}

/// What a wrapper message holds.
fn wrapper(message: &MessageDescriptor) -> Option<Scalar> {
    let field = is_wrapper(message.full_name()).then(|| message.get_field(1)).flatten()?;
    Scalar::of(&field.kind())
}

/// Whether a scalar field takes values of this kind.
fn fits(kind: Kind, scalar: Scalar) -> bool {
    match scalar {
        Scalar::String => kind == Kind::String,
        Scalar::Bytes => kind == Kind::Bytes,
        Scalar::Bool => kind == Kind::Boolean,
        Scalar::Float => kind == Kind::Float32,
        Scalar::Double => matches!(kind, Kind::Float32 | Kind::Float64),
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
            matches!(kind, Kind::Int8 | Kind::Int16 | Kind::Int32)
        }
        _ => matches!(kind, Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64),
    }
}
