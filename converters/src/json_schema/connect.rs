//! Makes Connect schemas of JSON Schemas.

use std::sync::Arc;

use millrace_api::data::{Kind, Schema, SchemaBuilder, SchemaRef};

use crate::json::{Dialect, Fault, Node, ONE_OF, Rules, UNION, to_value};
use crate::json_schema::documents::{Documents, Place};
use crate::json_schema::order::{Table, ordered};
use crate::json_schema::part::{Part, of_type, parts};
use crate::json_schema::{ENUM, NULL_MARKER, SUM_ENUM, Settings};

type Result<T> = std::result::Result<T, Fault>;

/// How deep schemas may nest: everybody who handles data goes down them by recursion.
const MAX_DEPTH: usize = 100;
/// How many schemas a schema may have within it, references followed.
const MAX_SCHEMAS: usize = 50_000;

/// The Connect schema of a JSON Schema, which has this version in its subject.
pub(crate) fn connect_schema(
    documents: &Documents<'_>,
    version: Option<i32>,
    settings: &Settings,
) -> Result<SchemaRef> {
    let mut reader = Reader { documents, settings, path: Vec::new(), schemas: 0, unions: 0 };
    let wish = Wish { version, optional: false };
    reader.schema(Sub::whole(documents.root()), wish)
}

/// A schema, or one of those that its keywords make together.
#[derive(Clone, Copy)]
struct Sub<'n> {
    place: Place<'n>,
    /// None for all of them.
    part: Option<Part<'n>>,
}

impl<'n> Sub<'n> {
    fn whole(place: Place<'n>) -> Self {
        Self { place, part: None }
    }

    /// What it is at once.
    fn parts(self) -> Vec<Part<'n>> {
        self.part.map_or_else(|| parts(self.place.node), |part| vec![part])
    }

    fn is_null(self) -> bool {
        self.parts() == [Part::Null]
    }

    /// Keywords such as `title`. They belong to the whole, not to one of its parts.
    fn get(self, name: &str) -> Option<&'n Node<'n>> {
        self.part.is_none().then(|| self.place.node.get(name)).flatten()
    }

    fn text(self, name: &str) -> Option<&'n str> {
        match self.get(name) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// What the place of a schema asks of it.
#[derive(Clone, Copy, Default)]
struct Wish {
    version: Option<i32>,
    optional: bool,
}

impl Wish {
    fn optional(optional: bool) -> Self {
        Self { version: None, optional }
    }
}

struct Reader<'n> {
    documents: &'n Documents<'n>,
    settings: &'n Settings,
    /// Schemas that are being read: one that comes again within itself never ends.
    path: Vec<*const Node<'n>>,
    schemas: usize,
    unions: usize,
}

impl<'n> Reader<'n> {
    fn schema(&mut self, sub: Sub<'n>, wish: Wish) -> Result<SchemaRef> {
        self.schemas += 1;
        if self.path.len() >= MAX_DEPTH || self.schemas > MAX_SCHEMAS {
            return Err(Fault::new("Schema is nested too deeply"));
        }
        let node: *const Node<'_> = sub.place.node;
        if sub.part.is_none() && self.path.contains(&node) {
            return Err(Fault::new("recursive schemas cannot be represented in columns"));
        }
        self.path.push(node);
        let schema = match sub.parts()[..] {
            [part] => self.of_part(sub, part, wish),
            ref parts => {
                let subs: Vec<Sub<'n>> =
                    parts.iter().map(|part| Sub { part: Some(*part), ..sub }).collect();
                self.all_of(&subs, wish)
            }
        };
        self.path.pop();
        schema
    }

    fn of_part(&mut self, sub: Sub<'n>, part: Part<'n>, wish: Wish) -> Result<SchemaRef> {
        let inner = |nodes: &'n [Node<'n>]| -> Vec<Sub<'n>> {
            nodes.iter().map(|node| Sub::whole(sub.place.at(node))).collect()
        };
        let members = match part {
            Part::Reference(reference) => {
                return self.schema(Sub::whole(self.referred(sub.place, reference)?), wish);
            }
            Part::AllOf(nodes) => return self.all_of_or_only(&inner(nodes), wish),
            Part::AnyOf(nodes) | Part::OneOf(nodes) => inner(nodes),
            Part::Types(names) => {
                let name = |node: &'n Node<'n>| match node {
                    Node::Text(name) => Sub { part: Some(of_type(name)), ..sub },
                    _ => Sub { part: Some(Part::Other("type")), ..sub },
                };
                names.iter().map(name).collect()
            }
            part => {
                let builder = self.simple(sub, part)?;
                return self.attributes(sub, builder, false, wish);
            }
        };
        if let ([only], true) = (&members[..], self.settings.flatten_singleton_unions) {
            return self.schema(*only, Wish::default());
        }
        if let [a, b] = members[..]
            && (a.is_null() || b.is_null())
        {
            let value = if a.is_null() { b } else { a };
            return self.schema(value, Wish { optional: true, ..wish });
        }
        let builder = self.union(&members)?;
        self.attributes(sub, builder, true, wish)
    }

    fn referred(&self, from: Place<'n>, reference: &str) -> Result<Place<'n>> {
        self.documents.resolve(from.document, reference).ok_or_else(|| {
            Fault::new(format!(
                "schema refers to {reference}, which is nowhere: register it as a reference"
            ))
        })
    }

    fn simple(&mut self, sub: Sub<'n>, part: Part<'n>) -> Result<SchemaBuilder> {
        let connect_type = sub.text("connect.type");
        Ok(match part {
            Part::Boolean => Schema::builder(Kind::Boolean),
            Part::Number | Part::Integer => Schema::builder(number(part, connect_type)?),
            Part::Text if connect_type == Some("bytes") => Schema::builder(Kind::Bytes),
            Part::Text => Schema::builder(Kind::String),
            Part::Const => self.symbols(sub.place.node.get("const").as_slice()),
            Part::Enum => match sub.place.node.get("enum") {
                Some(Node::Array(values)) => self.symbols(&values.iter().collect::<Vec<_>>()),
                _ => return Err(Fault::new("enum of a schema is not an array")),
            },
            Part::Array => self.array(sub, connect_type)?,
            Part::Object if connect_type == Some("map") => {
                match sub.place.node.get("additionalProperties") {
                    Some(node @ Node::Object(_)) => {
                        let value = self.schema(Sub::whole(sub.place.at(node)), Wish::default())?;
                        Schema::map_builder(Schema::string(false), value)
                    }
                    _ => return Err(Fault::new("valueSchema cannot be null.")),
                }
            }
            Part::Object => self.object(sub)?,
            Part::Empty => {
                return Err(Fault::new(
                    "a schema that allows anything has no likeness in Connect: give it a type",
                ));
            }
            Part::Null => return Err(unsupported("null")),
            Part::Other(name) => return Err(unsupported(name)),
            _ => unreachable!("unions and references are read before"),
        })
    }

    fn symbols(&self, values: &[&Node<'_>]) -> SchemaBuilder {
        let parameter = self.settings.enum_parameter();
        // Enums of JSON have no name.
        let mut builder = Schema::builder(Kind::String).parameter(parameter, "");
        for (i, value) in values.iter().enumerate() {
            let symbol = match value {
                Node::Null => NULL_MARKER.to_owned(),
                Node::Text(text) => text.to_string(),
                value => {
                    let mut text = Vec::new();
                    crate::json_schema::text::append_node(value, &mut text);
                    String::from_utf8(text).expect("JSON is text")
                }
            };
            let name = format!("{parameter}.{symbol}");
            builder = if parameter == SUM_ENUM {
                builder.parameter(name, i.to_string())
            } else {
                debug_assert_eq!(parameter, ENUM);
                builder.parameter(name, symbol)
            };
        }
        builder
    }

    fn array(&mut self, sub: Sub<'n>, connect_type: Option<&str>) -> Result<SchemaBuilder> {
        let missing = || Fault::new("Array schema did not specify the items type");
        let items = match sub.place.node.get("items") {
            Some(node @ (Node::Object(_) | Node::Boolean(true))) => sub.place.at(node),
            _ => return Err(missing()),
        };
        if connect_type == Some("map") && parts(items.node) == [Part::Object] {
            let part = |name: &str| {
                let node = items.node.get("properties").and_then(|p| p.get(name));
                node.map(|node| Sub::whole(items.at(node)))
                    .ok_or_else(|| Fault::new(format!("entries of a map have no {name}")))
            };
            let key = self.schema(part("key")?, Wish::default())?;
            let value = self.schema(part("value")?, Wish::default())?;
            return Ok(Schema::map_builder(key, value));
        }
        Ok(Schema::array_builder(self.schema(Sub::whole(items), Wish::default())?))
    }

    fn object(&mut self, sub: Sub<'n>) -> Result<SchemaBuilder> {
        let mut properties = properties(sub.place);
        let mut places: Vec<(i64, Property<'n>)> = Vec::with_capacity(properties.len());
        for (i, property) in properties.drain(..).enumerate() {
            let index = match property.place.node.get("connect.index") {
                Some(Node::Number(index)) => index.to_i64(),
                _ => i as i64,
            };
            places.push((index, property));
        }
        places.sort_by_key(|(index, _)| *index);
        self.structure(places.into_iter().map(|(_, property)| property))
    }

    fn structure(
        &mut self,
        properties: impl Iterator<Item = Property<'n>>,
    ) -> Result<SchemaBuilder> {
        let mut builder = Schema::struct_builder();
        for Property { name, place, is_required } in properties {
            let optional = self.settings.optional_unless_required && !is_required;
            let schema = self
                .schema(Sub::whole(place), Wish::optional(optional))
                .map_err(|fault| fault.within(&Arc::from(name)))?;
            builder = builder.field(name, schema);
        }
        Ok(builder)
    }

    fn union(&mut self, members: &[Sub<'n>]) -> Result<SchemaBuilder> {
        let is_general = self.settings.generalized_sum_types;
        let name = if is_general {
            self.unions += 1;
            format!("connect_union_{}", self.unions - 1)
        } else {
            ONE_OF.to_owned()
        };
        let mut builder = Schema::struct_builder().name(&*name);
        if is_general {
            builder = builder.parameter(UNION, &*name);
        }
        let mut index = 0;
        for member in members {
            if member.is_null() {
                builder = builder.optional();
                continue;
            }
            let schema = self.schema(*member, Wish::optional(true))?;
            builder = builder.field(
                if is_general {
                    format!("connect_union_field_{index}")
                } else {
                    format!("{name}.field.{index}")
                },
                schema,
            );
            index += 1;
        }
        Ok(builder)
    }

    fn all_of_or_only(&mut self, subs: &[Sub<'n>], wish: Wish) -> Result<SchemaRef> {
        match subs {
            [only] if self.settings.flatten_singleton_unions => self.schema(*only, Wish::default()),
            subs => self.all_of(subs, wish),
        }
    }

    /// All at once: objects become one struct; of other schemas the one that says most counts.
    fn all_of(&mut self, subs: &[Sub<'n>], wish: Wish) -> Result<SchemaRef> {
        let mut properties: Vec<Property<'n>> = Vec::new();
        for sub in subs {
            self.collect(*sub, &mut properties, 0)?;
        }
        if !properties.is_empty() {
            let builder = self.structure(properties.into_iter())?;
            return Ok(builder.with_optional(wish.optional).build());
        }
        let find = |is_it: fn(&[Part<'n>]) -> bool| subs.iter().rev().find(|s| is_it(&s.parts()));
        let combined = find(|parts| {
            use Part::{AllOf, AnyOf, OneOf, Types};
            parts.len() > 1 || matches!(parts, [AllOf(_) | AnyOf(_) | OneOf(_) | Types(_)])
        });
        let text = find(|parts| parts == [Part::Text]);
        let number = find(|parts| matches!(parts, [Part::Number | Part::Integer]));
        let constant = find(|parts| parts == [Part::Const]);
        let symbols = find(|parts| parts == [Part::Enum]);
        let reference = find(|parts| matches!(parts, [Part::Reference(_)]));
        let chosen = if combined.is_some() {
            combined
        } else if constant.is_some() {
            text.or(number)
        } else if symbols.is_some() {
            text.and(symbols).or(number)
        } else if text.is_some() {
            number.or(text)
        } else {
            reference
        };
        match chosen {
            Some(chosen) => self.schema(*chosen, wish),
            None => Err(unsupported("allOf")),
        }
    }

    fn collect(
        &mut self,
        sub: Sub<'n>,
        properties: &mut Vec<Property<'n>>,
        depth: usize,
    ) -> Result<()> {
        self.schemas += 1;
        if depth == MAX_DEPTH || self.schemas > MAX_SCHEMAS {
            return Err(Fault::new("Schema is nested too deeply"));
        }
        for part in sub.parts() {
            match part {
                Part::AllOf(nodes) => {
                    for node in nodes {
                        self.collect(Sub::whole(sub.place.at(node)), properties, depth + 1)?;
                    }
                }
                Part::Reference(reference) => {
                    let place = self.referred(sub.place, reference)?;
                    self.collect(Sub::whole(place), properties, depth + 1)?;
                }
                Part::Object => {
                    for property in self::properties(sub.place) {
                        match properties.iter_mut().find(|p| p.name == property.name) {
                            Some(known) => *known = property,
                            None => properties.push(property),
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn attributes(
        &self,
        sub: Sub<'n>,
        mut builder: SchemaBuilder,
        has_name: bool,
        wish: Wish,
    ) -> Result<SchemaRef> {
        if let (Some(title), false) = (sub.text("title"), has_name) {
            builder = builder.name(title);
        }
        let own_version = match sub.get("connect.version") {
            Some(Node::Number(version)) => version.to_i32_exact(),
            _ => None,
        };
        if let Some(version) = own_version.or(wish.version) {
            builder = builder.version(version);
        }
        if let Some(doc) = sub.text("description") {
            builder = builder.doc(doc);
        }
        if let Some(Node::Object(parameters)) = sub.get("connect.parameters") {
            for (name, value) in parameters {
                let Node::Text(value) = value else {
                    return Err(Fault::new("Schema parameters must have string values."));
                };
                builder = builder.parameter(&**name, &**value);
            }
        }
        if let Some(default) = sub.get("default") {
            builder = with_default(builder, default, wish.optional)?;
        }
        let is_optional = builder.clone().build().is_optional();
        Ok(builder.with_optional(wish.optional || is_optional).build())
    }
}

fn with_default(
    builder: SchemaBuilder,
    default: &Node<'_>,
    is_optional: bool,
) -> Result<SchemaBuilder> {
    let schema = builder.clone().build();
    if matches!(default, Node::Null) && (is_optional || schema.is_optional()) {
        return Ok(builder);
    }
    let rules = Rules { dialect: Dialect::JsonSchema, ..Rules::default() };
    let value = to_value(&schema, Some(default), rules)?;
    builder.default_value(value).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Fault::new("Invalid default value").because(cause.unwrap_or_default())
    })
}

/// A member that objects of a schema have.
struct Property<'n> {
    name: &'n str,
    place: Place<'n>,
    is_required: bool,
}

/// In the order of Java's hash map.
fn properties(place: Place<'_>) -> Vec<Property<'_>> {
    let Some(Node::Object(members)) = place.node.get("properties") else {
        return Vec::new();
    };
    let required: &[Node<'_>] = match place.node.get("required") {
        Some(Node::Array(names)) => names,
        _ => &[],
    };
    let is_required =
        |name: &str| required.iter().any(|r| matches!(r, Node::Text(r) if **r == *name));
    let property =
        |(name, node)| Property { name, place: place.at(node), is_required: is_required(name) };
    let members: Vec<_> = members.iter().map(|(name, node)| (&**name, node)).collect();
    ordered(&members, |(name, _)| name, Table::Grown).into_iter().copied().map(property).collect()
}

fn number(part: Part<'_>, connect_type: Option<&str>) -> Result<Kind> {
    Ok(match connect_type {
        None if part == Part::Integer => Kind::Int64,
        None | Some("float64") => Kind::Float64,
        Some("int8") => Kind::Int8,
        Some("int16") => Kind::Int16,
        Some("int32") => Kind::Int32,
        Some("int64") => Kind::Int64,
        Some("float32") => Kind::Float32,
        Some("bytes") => Kind::Bytes,
        Some(other) => return Err(Fault::new(format!("Unsupported type {other}"))),
    })
}

fn unsupported(name: &str) -> Fault {
    Fault::new(format!("Unsupported schema type {name}"))
}
