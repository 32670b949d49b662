//! Decides which member of a union a JSON value is of.

use std::sync::Arc;

use millrace_api::data::{Kind, Schema, SchemaRef, Struct, Value};

use crate::json::Rules;
use crate::json::fault::Fault;
use crate::json::node::Node;
use crate::json::read::{check_nulls, to_value};

/// The union with the first member whose type the value has; an object goes to the struct that
/// knows most of its names.
pub(crate) fn choose(schema: &SchemaRef, node: &Node<'_>, options: Rules) -> Result<Value, Fault> {
    let fields = schema.fields();
    let simple = fields.iter().position(|field| is_of(&field.schema, node));
    let place = simple.or_else(|| {
        let known = fields.iter().map(|field| names_known(&field.schema, node));
        // Of those that know as many, the first.
        let best = known.enumerate().rev().max_by_key(|(_, known)| *known);
        best.filter(|(_, known)| *known > 0).map(|(place, _)| place)
    });
    let Some(place) = place else {
        return Err(Fault::new("Did not find matching oneof field for data"));
    };
    let mut values = vec![Value::Null; fields.len()];
    let field = &fields[place];
    let value = to_value(&field.schema, Some(node), options)?;
    check_nulls(&value, &field.schema, &|| format!("field: \"{}\"", field.name))?;
    values[place] = value;
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

fn is_of(schema: &Schema, node: &Node<'_>) -> bool {
    match schema.kind() {
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => {
            matches!(node, Node::Number(number) if number.is_integer())
        }
        Kind::Float32 | Kind::Float64 => matches!(node, Node::Number(_)),
        Kind::Boolean => matches!(node, Node::Boolean(_)),
        Kind::String => matches!(node, Node::Text(_)),
        // Text is never taken for bytes: a decimal is a number with a point.
        Kind::Bytes => matches!(node, Node::Number(number) if !number.is_integer()),
        Kind::Array => matches!(node, Node::Array(_)),
        Kind::Map => matches!(node, Node::Object(_) | Node::Array(_)),
        Kind::Struct => false,
    }
}

/// How many of an object's names a struct has, inner objects included.
fn names_known(schema: &Schema, node: &Node<'_>) -> usize {
    let Node::Object(members) = node else {
        return 0;
    };
    let known = |(name, node)| Some(1 + names_known(&schema.field(name)?.1.schema, node));
    members.iter().filter_map(|(name, node)| known((name, node))).sum()
}
