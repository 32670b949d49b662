//! Decides what kinds of schema the keywords of one object make, as the JSON Schema library of
//! Java's converter sees them.

use crate::json::Node;

/// A schema of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part<'n> {
    Boolean,
    Number,
    Integer,
    Text,
    Null,
    Array,
    Object,
    /// One value (`const`).
    Const,
    Enum,
    /// `type` with several names: any of them.
    Types(&'n [Node<'n>]),
    AnyOf(&'n [Node<'n>]),
    OneOf(&'n [Node<'n>]),
    AllOf(&'n [Node<'n>]),
    Reference(&'n str),
    /// Anything is allowed.
    Empty,
    /// Something that Connect has nothing for.
    Other(&'static str),
}

const OF_OBJECTS: [&str; 8] = [
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "dependencies",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
];
const OF_ARRAYS: [&str; 6] =
    ["items", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains"];
const OF_TEXTS: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const OF_NUMBERS: [&str; 5] =
    ["minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"];

/// All that a schema is at once.
pub(crate) fn parts<'n>(node: &'n Node<'n>) -> Vec<Part<'n>> {
    match node {
        Node::Boolean(true) => return vec![Part::Empty],
        Node::Object(_) => {}
        _ => return vec![Part::Other("no schema")],
    }
    if let Some(Node::Text(reference)) = node.get("$ref") {
        return vec![Part::Reference(reference)];
    }
    let mut parts = Vec::new();
    if node.get("enum").is_some() {
        parts.push(Part::Enum);
    }
    let several = |name| match node.get(name) {
        Some(Node::Array(schemas)) => Some(&schemas[..]),
        _ => None,
    };
    parts.extend(several("allOf").map(Part::AllOf));
    parts.extend(several("anyOf").map(Part::AnyOf));
    parts.extend(several("oneOf").map(Part::OneOf));
    for other in ["not", "if"] {
        if node.get(other).is_some() {
            parts.push(Part::Other(other));
        }
    }
    if node.get("const").is_some() {
        parts.push(Part::Const);
    }
    match node.get("type") {
        Some(Node::Text(name)) => parts.push(of_type(name)),
        Some(Node::Array(names)) => parts.push(Part::Types(names)),
        _ => parts.extend(implied(node)),
    }
    if parts.is_empty() {
        parts.push(Part::Empty);
    }
    parts
}

/// What a type's name means.
pub(crate) fn of_type(name: &str) -> Part<'static> {
    match name {
        "boolean" => Part::Boolean,
        "number" => Part::Number,
        "integer" => Part::Integer,
        "string" => Part::Text,
        "null" => Part::Null,
        "array" => Part::Array,
        "object" => Part::Object,
        _ => Part::Other("type"),
    }
}

/// Keywords that are of one type only tell it.
fn implied<'n>(node: &'n Node<'n>) -> Option<Part<'n>> {
    let has = |names: &[&str]| names.iter().any(|name| node.get(name).is_some());
    match () {
        () if has(&OF_OBJECTS) => Some(Part::Object),
        () if has(&OF_ARRAYS) => Some(Part::Array),
        () if has(&OF_NUMBERS) => Some(Part::Number),
        () if has(&OF_TEXTS) => Some(Part::Text),
        () => None,
    }
}
