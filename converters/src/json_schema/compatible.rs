//! Decides whether readers of one schema can read what is written with another.

use millrace_api::data::{Kind, Schema};

use crate::json::Node;
use crate::json_schema::documents::{Documents, Place};

/// How deep schemas are compared.
const MAX_DEPTH: usize = 100;

/// Whether objects that we write have all names that the reader's schema requires, and none that it
/// does not allow. What else there is to types [`reads`] decides.
pub(crate) fn allows<'n>(reader: &'n Documents<'n>, writer: &'n Documents<'n>) -> bool {
    allows_part((reader, reader.root()), (writer, writer.root()), 0)
}

type Part<'n> = (&'n Documents<'n>, Place<'n>);

fn allows_part<'n>(reader: Part<'n>, writer: Part<'n>, depth: usize) -> bool {
    let (Some(reader), Some(writer)) = (solid(reader), solid(writer)) else { return true };
    if depth == MAX_DEPTH {
        return true;
    }
    let inner = |name: &str| match (reader.1.node.get(name), writer.1.node.get(name)) {
        (Some(r @ Node::Object(_)), Some(w @ Node::Object(_))) => {
            allows_part((reader.0, reader.1.at(r)), (writer.0, writer.1.at(w)), depth + 1)
        }
        _ => true,
    };
    allows_names(reader, writer, depth) && inner("items") && inner("additionalProperties")
}

fn allows_names<'n>(reader: Part<'n>, writer: Part<'n>, depth: usize) -> bool {
    // A map has any names.
    let Some(Node::Object(ours)) = writer.1.node.get("properties") else { return true };
    let theirs = reader.1.node.get("properties");
    let of = |name: &str| theirs.and_then(|properties| properties.get(name));
    let has_patterns = reader.1.node.get("patternProperties").is_some();
    let is_closed = matches!(reader.1.node.get("additionalProperties"), Some(Node::Boolean(false)));
    let are_allowed = ours.iter().all(|(name, node)| match of(name) {
        None => has_patterns || !is_closed,
        Some(theirs) => {
            let part = (reader.0, reader.1.at(theirs));
            allows_part(part, (writer.0, writer.1.at(node)), depth + 1)
        }
    });
    let Some(Node::Array(required)) = reader.1.node.get("required") else { return are_allowed };
    // One with a default is there for whoever reads it.
    let is_there = |name: &Node<'_>| match name {
        Node::Text(name) => {
            ours.iter().any(|(own, _)| own == name)
                || of(name).is_some_and(|theirs| theirs.get("default").is_some())
        }
        _ => true,
    };
    are_allowed && required.iter().all(is_there)
}

/// The schema of what is not null, references followed; none where there are several.
fn solid<'n>((documents, mut place): Part<'n>) -> Option<Part<'n>> {
    for _ in 0..MAX_DEPTH {
        if let Some(Node::Text(reference)) = place.node.get("$ref") {
            place = documents.resolve(place.document, reference)?;
            continue;
        }
        let any = place.node.get("oneOf").or_else(|| place.node.get("anyOf"));
        let Some(Node::Array(any)) = any else { return Some((documents, place)) };
        let is_null = |n: &&Node<'_>| matches!(n.get("type"), Some(Node::Text(t)) if t == "null");
        let mut others = any.iter().filter(|node| !is_null(node));
        place = match (others.next(), others.next()) {
            (Some(only), None) => place.at(only),
            _ => return None,
        };
    }
    None
}

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
