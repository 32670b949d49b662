//! Reads a payload that is JSON text as a struct, whose schema is what the text shows
//! (`table.expand.json.payload`).

use std::sync::Arc;

use millrace_api::data::json::{Reader, SyntaxError, Token};
use millrace_api::data::{Kind, Schema, SchemaRef, Struct, Value};

use super::schema_names::Adjustment;
use crate::schemas::with_basics;

/// An object with more members is a map rather than a struct, whose fields are looked up in turn.
const MAX_MEMBERS: usize = 4_096;

/// Schemas that are deeper are of no use, and take room on the stack.
const MAX_DEPTH: usize = 100;

/// How fields are named, and whether those that are null have a schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expansion {
    pub(super) names: Adjustment,
    pub(super) keeps_nulls: bool,
}

/// JSON, its numbers as Jackson tells them apart.
#[derive(Clone, Debug)]
enum Node {
    Null,
    Boolean(bool),
    Text(Arc<str>),
    Int(i32),
    Long(i64),
    Double(f64),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Nothing can be made of this text: it stays the text it is.
#[derive(Debug)]
struct Unfit;

impl From<SyntaxError> for Unfit {
    fn from(_: SyntaxError) -> Self {
        Self
    }
}

impl Expansion {
    /// The struct that a text stands for; none when it is no object, or an array in it has members
    /// that have no schema in common.
    pub(super) fn of(self, name: &str, text: &str) -> Option<(SchemaRef, Value)> {
        if !text.starts_with('{') {
            return None;
        }
        let node = read(text, &mut Reader::new(text), 0).ok()?;
        let schema = self.schema(Some(name), &node).ok()??;
        let value = value(&node, &schema);
        value.validate(&schema).ok()?;
        Some((schema, value))
    }

    fn schema(self, name: Option<&str>, node: &Node) -> Result<Option<SchemaRef>, Unfit> {
        let optional = |kind| Some(Schema::builder(kind).optional().build());
        Ok(match node {
            Node::Null if self.keeps_nulls => Some(Schema::bytes(true)),
            Node::Null => None,
            Node::Boolean(_) => optional(Kind::Boolean),
            Node::Text(_) => Some(Schema::string(true)),
            Node::Int(_) => optional(Kind::Int32),
            Node::Long(_) => optional(Kind::Int64),
            Node::Double(_) => optional(Kind::Float64),
            Node::Array(items) if items.is_empty() => None,
            Node::Array(items) => {
                Some(Schema::array_builder(self.items(name, items)?).optional().build())
            }
            Node::Object(members) => {
                let mut builder = Schema::struct_builder().optional();
                if let Some(name) = name {
                    builder = builder.name(name);
                }
                let mut names: Vec<String> = Vec::new();
                for (member, node) in members {
                    let member = self.names.field_name(member);
                    let path = match name.filter(|name| !name.trim().is_empty()) {
                        Some(name) => format!("{name}.{member}"),
                        None => member.clone(),
                    };
                    let Some(schema) = self.schema(Some(&path), node)? else { continue };
                    if member.is_empty() {
                        return Err(Unfit);
                    }
                    if !names.contains(&member) {
                        builder = builder.field(member.clone(), schema);
                        names.push(member);
                    }
                }
                Some(builder.build())
            }
        })
    }

    /// The schema that all members of an array have.
    fn items(self, name: Option<&str>, items: &[Node]) -> Result<SchemaRef, Unfit> {
        let set = || items.iter().filter(|item| !matches!(item, Node::Null));
        let Some(sample) = set().next() else {
            return self.schema(None, &Node::Null)?.ok_or(Unfit);
        };
        if set().any(|item| std::mem::discriminant(item) != std::mem::discriminant(sample)) {
            return Err(Unfit);
        }
        if !matches!(sample, Node::Object(_)) {
            return self.schema(None, sample)?.ok_or(Unfit);
        }
        let mut schemas: Vec<SchemaRef> = Vec::new();
        for item in set() {
            let schema = self.schema(name, item)?.ok_or(Unfit)?;
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        Ok(match &schemas[..] {
            [one] => Arc::clone(one),
            many => merged(many),
        })
    }
}

/// All fields of several structs. It is required, as in Java.
fn merged(schemas: &[SchemaRef]) -> SchemaRef {
    let mut fields: Vec<(Arc<str>, SchemaRef)> = Vec::new();
    for field in schemas.iter().flat_map(|schema| schema.fields()) {
        match fields.iter_mut().find(|(name, _)| *name == field.name) {
            // What was null only is of no type.
            Some((_, old)) if old.kind() == Kind::Bytes => *old = Arc::clone(&field.schema),
            Some(_) => {}
            None => fields.push((Arc::clone(&field.name), Arc::clone(&field.schema))),
        }
    }
    let builder = with_basics(Schema::struct_builder(), &schemas[0]);
    fields.into_iter().fold(builder, |builder, (name, schema)| builder.field(name, schema)).build()
}

fn value(node: &Node, schema: &SchemaRef) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Boolean(value) => Value::Boolean(*value),
        Node::Text(text) => Value::String(Arc::clone(text)),
        Node::Int(number) => Value::Int32(*number),
        Node::Long(number) => Value::Int64(*number),
        Node::Double(number) => Value::Float64(*number),
        Node::Array(items) => match schema.value_schema() {
            Some(of) => Value::Array(items.iter().map(|item| value(item, of)).collect()),
            None => Value::Null,
        },
        Node::Object(members) => {
            let member = |name: &str| members.iter().find(|(member, _)| member == name);
            // As in Java, a name that was adjusted finds nothing.
            let fields = schema.fields().iter().map(|field| match member(&field.name) {
                Some((_, node)) => value(node, &field.schema),
                None => Value::Null,
            });
            Value::Struct(Struct::new(Arc::clone(schema), fields.collect()))
        }
    }
}

/// What follows the first value does not count.
fn read(text: &str, reader: &mut Reader<'_>, depth: usize) -> Result<Node, Unfit> {
    if depth == MAX_DEPTH {
        return Err(Unfit);
    }
    Ok(match reader.peek()? {
        Token::Text => Node::Text(reader.take_text()?.into()),
        Token::Number => {
            let start = reader.position();
            let number = reader.take_number()?;
            let double = || text[start..reader.position()].parse().unwrap_or(number.to_f64());
            match (number.is_integer(), number.to_i32_exact()) {
                (true, Some(int)) => Node::Int(int),
                (true, None) => match i64::try_from(number.to_decimal().unscaled) {
                    Ok(long) => Node::Long(long),
                    Err(_) => Node::Double(double()),
                },
                _ => Node::Double(double()),
            }
        }
        Token::Array => {
            reader.enter()?;
            let (mut items, mut first) = (Vec::new(), true);
            while reader.next_item(&mut first)? {
                items.push(read(text, reader, depth + 1)?);
            }
            Node::Array(items)
        }
        Token::Object => {
            reader.enter()?;
            let (mut members, mut first) = (Vec::<(String, Node)>::new(), true);
            while let Some(name) = reader.next_name(&mut first)? {
                let name = name.to_string();
                let node = read(text, reader, depth + 1)?;
                match members.iter().position(|(known, _)| *known == name) {
                    Some(place) => members[place].1 = node,
                    None if members.len() == MAX_MEMBERS => return Err(Unfit),
                    None => members.push((name, node)),
                }
            }
            Node::Object(members)
        }
        word => {
            reader.take_word(word)?;
            match word {
                Token::Null => Node::Null,
                word => Node::Boolean(word == Token::True),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_or_too_deep_stays_text() {
        let expansion = Expansion { names: Adjustment::None, keeps_nulls: false };
        let wide = |members: usize| {
            let members: Vec<String> = (0..members).map(|n| format!("\"m{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(expansion.of("payload", &wide(MAX_MEMBERS)).is_some());
        assert!(expansion.of("payload", &wide(MAX_MEMBERS + 1)).is_none());
        for text in ["{\"a\":".repeat(100_000), format!("{{\"a\":{}", "[".repeat(100_000))] {
            assert!(expansion.of("payload", &text).is_none());
        }
    }

    #[test]
    fn names_may_be_made_fit_for_avro() {
        let text = r#"{"a-b": 1, "1c": {"d e": "x"}, "é": true}"#;
        let names = |names| {
            let expansion = Expansion { names, keeps_nulls: false };
            let (schema, _) = expansion.of("payload", text).unwrap();
            schema.fields().iter().map(|field| field.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(Adjustment::None), ["a-b", "1c", "é"]);
        assert_eq!(names(Adjustment::Avro), ["a_b", "_1c", "_"]);
        assert_eq!(names(Adjustment::AvroUnicode), ["a_u002db", "_u0031c", "_u00e9"]);
    }
}
