//! Counts what a text unfolds to: an object has a value for each field of its schema, however few
//! are written.

use millrace_api::data::{Kind, Schema, SchemaRef};

use crate::json::node::Node;

/// Takes room for the values that a tree becomes, those in it and those that it lacks; none when
/// there is not as much. A union counts as one.
pub(crate) fn take_room(schema: &Schema, node: &Node<'_>, room: &mut usize) -> Option<()> {
    let width = match (schema.kind(), node) {
        (Kind::Struct, Node::Object(_)) => 1 + schema.fields().len(),
        _ => 1,
    };
    *room = room.checked_sub(width)?;
    let mut part = |schema: Option<&SchemaRef>, node| match schema {
        Some(schema) if has_parts(schema) => take_room(schema, node, room),
        _ => Some(()),
    };
    match (schema.kind(), node) {
        (Kind::Array, Node::Array(items)) => {
            items.iter().try_for_each(|item| part(schema.value_schema(), item))
        }
        (Kind::Map, Node::Object(members)) => {
            members.iter().try_for_each(|(_, value)| part(schema.value_schema(), value))
        }
        (Kind::Map, Node::Array(entries)) => {
            let schemas = [schema.key_schema(), schema.value_schema()];
            let entries = entries.iter().filter_map(|entry| match entry {
                Node::Array(parts) => Some(parts),
                _ => None,
            });
            let mut parts = entries.flat_map(|entry| schemas.into_iter().zip(entry));
            parts.try_for_each(|(schema, node)| part(schema, node))
        }
        (Kind::Struct, Node::Object(_)) => {
            let fields = schema.fields().iter().enumerate().filter(|(_, f)| has_parts(&f.schema));
            let mut written = fields
                .filter_map(|(i, field)| Some((&field.schema, node.get_near(i, &field.name)?)));
            written.try_for_each(|(schema, node)| part(Some(schema), node))
        }
        _ => Some(()),
    }
}

fn has_parts(schema: &Schema) -> bool {
    matches!(schema.kind(), Kind::Array | Kind::Map | Kind::Struct)
}
