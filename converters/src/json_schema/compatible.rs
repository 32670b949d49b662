//! Decides whether readers of one schema can read what is written with another.

use millrace_api::data::{Kind, Schema};

/// Whether readers of `reader` understand all data of `writer`. Names that one of both lacks do no
/// harm: objects of JSON are open.
pub(crate) fn reads(reader: &Schema, writer: &Schema) -> bool {
    let parts =
        |a: Option<&std::sync::Arc<Schema>>, b: Option<&std::sync::Arc<Schema>>| match (a, b) {
            (Some(a), Some(b)) => reads(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
    if writer.is_optional() && !reader.is_optional() {
        return false;
    }
    if reader.kind() != writer.kind() {
        return width(reader.kind()).zip(width(writer.kind())).is_some_and(|(r, w)| r >= w);
    }
    let knows = |field: &millrace_api::data::Field| {
        reader.field(&field.name).is_none_or(|(_, known)| reads(&known.schema, &field.schema))
    };
    writer.fields().iter().all(knows)
        && parts(reader.key_schema(), writer.key_schema())
        && parts(reader.value_schema(), writer.value_schema())
}

/// Numbers are read as wider ones.
fn width(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Int8 => Some(1),
        Kind::Int16 => Some(2),
        Kind::Int32 => Some(3),
        Kind::Int64 => Some(4),
        Kind::Float32 => Some(5),
        Kind::Float64 => Some(6),
        _ => None,
    }
}
