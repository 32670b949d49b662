//! Reads a payload that is JSON text as a struct, whose schema is what the text shows
//! (`table.expand.json.payload`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use millrace_api::data::json::{Reader, SyntaxError, Token};
use millrace_api::data::{Field, Kind, Schema, SchemaBuilder, SchemaRef, Struct, Value};

use super::schema_names::Adjustment;
use crate::schemas::with_basics;

/// An object with more members is a map rather than a struct, whose fields are looked up in turn.
const MAX_MEMBERS: usize = 4_096;

/// How many fields of a text's structs may be null because others in their array have them: what
/// objects lack is written nowhere.
const MAX_LACKING: usize = 1 << 20;

/// How much the names of a text's structs may take: each repeats those of all levels above.
const MAX_NAMES_BYTES: usize = 64 << 20;

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

/// What a text has grown by beyond its own size.
#[derive(Debug, Default)]
struct Grown {
    lacking: usize,
    names_bytes: usize,
}

impl Grown {
    fn name(&mut self, name: &str) -> Result<(), Unfit> {
        self.names_bytes += name.len();
        if self.names_bytes > MAX_NAMES_BYTES { Err(Unfit) } else { Ok(()) }
    }

    fn lack(&mut self) -> Result<(), Unfit> {
        self.lacking += 1;
        if self.lacking > MAX_LACKING { Err(Unfit) } else { Ok(()) }
    }
}

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
        let mut grown = Grown::default();
        let schema = self.schema(Some(name), &node, &mut grown).ok()??;
        let value = value(&node, &schema, &mut grown).ok()?;
        value.validate(&schema).ok()?;
        Some((schema, value))
    }

    fn schema(
        self,
        name: Option<&str>,
        node: &Node,
        grown: &mut Grown,
    ) -> Result<Option<SchemaRef>, Unfit> {
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
                Some(Schema::array_builder(self.items(name, items, grown)?).optional().build())
            }
            Node::Object(members) => Some(self.object(name, members, grown)?),
        })
    }

    fn object(
        self,
        name: Option<&str>,
        members: &[(String, Node)],
        grown: &mut Grown,
    ) -> Result<SchemaRef, Unfit> {
        let mut builder = Schema::struct_builder().optional();
        if let Some(name) = name {
            grown.name(name)?;
            builder = builder.name(name);
        }
        let mut names: HashSet<String> = HashSet::new();
        for (member, node) in members {
            let member = self.names.field_name(member);
            let path = match (name.filter(|name| !name.trim().is_empty()), node) {
                (Some(name), Node::Array(_) | Node::Object(_)) => format!("{name}.{member}"),
                // Of others it names nothing.
                _ => member.clone(),
            };
            grown.name(&path)?;
            let Some(schema) = self.schema(Some(&path), node, grown)? else { continue };
            if member.is_empty() {
                return Err(Unfit);
            }
            if names.insert(member.clone()) {
                builder = builder.field(member, schema);
            }
        }
        Ok(builder.build())
    }

    /// The schema that all members of an array have.
    fn items(
        self,
        name: Option<&str>,
        items: &[Node],
        grown: &mut Grown,
    ) -> Result<SchemaRef, Unfit> {
        let set = || items.iter().filter(|item| !matches!(item, Node::Null));
        let Some(sample) = set().next() else {
            return self.schema(None, &Node::Null, grown)?.ok_or(Unfit);
        };
        if set().any(|item| std::mem::discriminant(item) != std::mem::discriminant(sample)) {
            return Err(Unfit);
        }
        if !matches!(sample, Node::Object(_)) {
            return self.schema(None, sample, grown)?.ok_or(Unfit);
        }
        let mut merged: Option<Merged> = None;
        for item in set() {
            let schema = self.schema(name, item, grown)?.ok_or(Unfit)?;
            match &mut merged {
                None => merged = Some(Merged::new(schema)),
                Some(merged) => merged.add(&schema)?,
            }
        }
        merged.map(Merged::into_schema).ok_or(Unfit)
    }
}

/// All fields of several structs.
struct Merged {
    first: SchemaRef,
    /// Whether others differ from the first.
    differs: bool,
    fields: Vec<Field>,
    places: HashMap<Arc<str>, usize>,
}

impl Merged {
    fn new(first: SchemaRef) -> Self {
        let fields = first.fields().to_vec();
        let place = |(place, field): (usize, &Field)| (Arc::clone(&field.name), place);
        let places = fields.iter().enumerate().map(place).collect();
        Self { first, differs: false, fields, places }
    }

    fn add(&mut self, schema: &SchemaRef) -> Result<(), Unfit> {
        if *schema == self.first {
            return Ok(());
        }
        self.differs = true;
        for field in schema.fields() {
            match self.places.get(&field.name) {
                // What was null only is of no type.
                Some(place) if self.fields[*place].schema.kind() == Kind::Bytes => {
                    self.fields[*place].schema = Arc::clone(&field.schema);
                }
                Some(_) => {}
                None if self.fields.len() == MAX_MEMBERS => return Err(Unfit),
                None => {
                    self.places.insert(Arc::clone(&field.name), self.fields.len());
                    self.fields.push(field.clone());
                }
            }
        }
        Ok(())
    }

    /// Where they differ it is required, as in Java.
    fn into_schema(self) -> SchemaRef {
        if !self.differs {
            return self.first;
        }
        let builder = with_basics(Schema::struct_builder(), &self.first);
        let add = |builder: SchemaBuilder, field: Field| builder.field(field.name, field.schema);
        self.fields.into_iter().fold(builder, add).build()
    }
}

fn value(node: &Node, schema: &SchemaRef, grown: &mut Grown) -> Result<Value, Unfit> {
    Ok(match node {
        Node::Null => Value::Null,
        Node::Boolean(value) => Value::Boolean(*value),
        Node::Text(text) => Value::String(Arc::clone(text)),
        Node::Int(number) => Value::Int32(*number),
        Node::Long(number) => Value::Int64(*number),
        Node::Double(number) => Value::Float64(*number),
        Node::Array(items) => match schema.value_schema() {
            Some(of) => Value::Array(
                items.iter().map(|item| value(item, of, grown)).collect::<Result<_, _>>()?,
            ),
            None => Value::Null,
        },
        Node::Object(members) => {
            let members: HashMap<&str, &Node> =
                members.iter().map(|(name, node)| (&**name, node)).collect();
            let mut values = Vec::with_capacity(schema.fields().len().min(members.len()));
            for field in schema.fields() {
                // As in Java, a name that was adjusted finds nothing.
                values.push(match members.get(&*field.name) {
                    Some(node) => value(node, &field.schema, grown)?,
                    None => {
                        grown.lack()?;
                        Value::Null
                    }
                });
            }
            Value::Struct(Struct::new(Arc::clone(schema), values))
        }
    })
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

    /// Structs of an array have all its fields, and names repeat those of the levels above.
    #[test]
    fn what_would_grow_too_much_stays_text() {
        let expansion = Expansion { names: Adjustment::None, keeps_nulls: false };
        let items = |items: usize, fields: usize| {
            let item = |n: usize| format!("{{\"k{}\":1}}", n % fields);
            let items: Vec<String> = (0..items).map(item).collect();
            format!("{{\"a\":[{}]}}", items.join(","))
        };
        assert!(expansion.of("payload", &items(20_000, 20)).is_some());
        assert!(expansion.of("payload", &items(20_000, 20_000)).is_none());
        assert!(expansion.of("payload", &items(20_000, 4_000)).is_none());
        let wide: Vec<String> = (0..4_000).map(|n| format!("\"k{n}\":1")).collect();
        let others = vec!["{}"; 100_000].join(",");
        let text = format!("{{\"a\":[[{{{}}}],[{others}]]}}", wide.join(","));
        assert!(expansion.of("payload", &text).is_none());
        let empty: Vec<String> = (0..200).map(|n| format!("\"a{n}\":{{}}")).collect();
        let text = format!("{{\"{}\":{{{}}}}}", "n".repeat(400_000), empty.join(","));
        assert!(expansion.of("payload", &text).is_none());
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
