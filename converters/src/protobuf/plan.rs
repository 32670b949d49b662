//! What is known of a message before its bytes: how each field becomes cells of a column.

use std::collections::HashMap;
use std::sync::Arc;

use protox::prost_reflect::{self, Kind as FieldKind};

use crate::protobuf::wire::Raw;

/// The types of fields that are no messages and no enums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

impl Scalar {
    pub(crate) fn of(kind: &FieldKind) -> Option<Self> {
        Some(match kind {
            FieldKind::Double => Self::Double,
            FieldKind::Float => Self::Float,
            FieldKind::Int32 => Self::Int32,
            FieldKind::Int64 => Self::Int64,
            FieldKind::Uint32 => Self::Uint32,
            FieldKind::Uint64 => Self::Uint64,
            FieldKind::Sint32 => Self::Sint32,
            FieldKind::Sint64 => Self::Sint64,
            FieldKind::Fixed32 => Self::Fixed32,
            FieldKind::Fixed64 => Self::Fixed64,
            FieldKind::Sfixed32 => Self::Sfixed32,
            FieldKind::Sfixed64 => Self::Sfixed64,
            FieldKind::Bool => Self::Bool,
            FieldKind::String => Self::String,
            FieldKind::Bytes => Self::Bytes,
            FieldKind::Message(_) | FieldKind::Enum(_) => return None,
        })
    }

    /// As texts of schemas name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Float => "float",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Sint32 => "sint32",
            Self::Sint64 => "sint64",
            Self::Fixed32 => "fixed32",
            Self::Fixed64 => "fixed64",
            Self::Sfixed32 => "sfixed32",
            Self::Sfixed64 => "sfixed64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes",
        }
    }

    /// What stands in the last three bits of its tag.
    pub(crate) fn wire_type(self) -> u32 {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => 1,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => 5,
            Self::String | Self::Bytes => 2,
            _ => 0,
        }
    }

    pub(crate) fn is_of(self, raw: Raw<'_>) -> bool {
        let wire_type = match raw {
            Raw::Varint(_) => 0,
            Raw::Fixed64(_) => 1,
            Raw::Bytes(_) => 2,
            Raw::Fixed32(_) => 5,
        };
        self.wire_type() == wire_type
    }
}

/// How a value becomes a cell.
#[derive(Debug)]
pub(crate) enum Plan {
    Scalar(Scalar),
    Enum(Symbols),
    Message(MessagePlan),
    /// A message that stands for its only field.
    Wrapped(Scalar),
    Decimal(i32),
    Date,
    Time,
    Timestamp,
}

/// The symbols of an enum.
#[derive(Debug)]
pub(crate) struct Symbols {
    pub(crate) name: String,
    /// None when the numbers themselves are the values.
    pub(crate) by_number: Option<HashMap<i32, Arc<str>>>,
    /// Numbers that are not in the schema count as unknown fields; none where they are values.
    pub(crate) closed: Option<Vec<i32>>,
}

/// A message.
#[derive(Debug, Default)]
pub(crate) struct MessagePlan {
    pub(crate) fields: Vec<FieldPlan>,
    /// By their numbers.
    pub(crate) places: HashMap<u32, usize>,
    /// The columns in order.
    pub(crate) columns: Vec<Output>,
    /// Which fields exclude each other.
    pub(crate) groups: Vec<Vec<usize>>,
}

/// Where the cells of a column come from.
#[derive(Debug)]
pub(crate) enum Output {
    Field(usize),
    /// The members of a union, of which at most one is there.
    Union(Vec<usize>),
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct FieldPlan {
    pub(crate) name: Arc<str>,
    pub(crate) plan: Plan,
    pub(crate) shape: Shape,
    /// Which of the groups it belongs to.
    pub(crate) group: Option<usize>,
    /// In which column it ends.
    pub(crate) column: usize,
}

/// How often a field is there.
#[derive(Debug)]
pub(crate) enum Shape {
    Single(Absent),
    List,
    /// Of entries, which are messages of a key and a value.
    Map(Box<(FieldPlan, FieldPlan)>),
}

/// What stands for a field that is not there.
#[derive(Clone, Debug)]
pub(crate) enum Absent {
    Null,
    Required,
    Number(u64),
    Bytes(Vec<u8>),
}

impl Absent {
    /// The default of a field in its form on the wire.
    pub(crate) fn default_of(value: &prost_reflect::Value) -> Self {
        use prost_reflect::Value;
        match value {
            Value::Bool(truth) => Self::Number(u64::from(*truth)),
            Value::I32(n) | Value::EnumNumber(n) => Self::Number(i64::from(*n).cast_unsigned()),
            Value::I64(n) => Self::Number(n.cast_unsigned()),
            Value::U32(n) => Self::Number(u64::from(*n)),
            Value::U64(n) => Self::Number(*n),
            Value::F32(n) => Self::Number(u64::from(n.to_bits())),
            Value::F64(n) => Self::Number(n.to_bits()),
            Value::String(text) => Self::Bytes(text.as_bytes().to_vec()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            // The empty message.
            _ => Self::Bytes(Vec::new()),
        }
    }
}
