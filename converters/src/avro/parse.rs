//! Reads schemas: resolves names, and refuses what no schema may be.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_api::{Error, Result};

use crate::avro::json::Json;
use crate::avro::schema::{
    Definition, Document, MAX_DEPTH, Named, Properties, RecordField, Shape, Type, split,
};
use crate::json::Node;
use crate::registry::SchemaText;

/// The largest `fixed`: more does not fit a record.
const MAX_FIXED: i64 = 64 << 20;

impl Document {
    /// Reads a schema, and before it those that it refers to.
    pub(crate) fn parse(schema: &SchemaText) -> Result<Self> {
        let mut parser = Parser { named: Vec::new(), places: HashMap::new() };
        for (name, text) in &schema.references {
            parser.parse(text).map_err(|e| e.context("referred to as", name))?;
        }
        let root = parser.parse(&schema.text)?;
        let named = parser.named.into_iter().map(|(name, definition)| {
            definition
                .ok_or_else(|| wrong("a type was begun and not defined").context("name", name))
        });
        Ok(Self { root, named: named.collect::<Result<_>>()? })
    }
}

fn wrong(what: &'static str) -> Error {
    Error::data(format!("this is no Avro schema: {what}"))
}

struct Parser {
    /// None while a type is being read, which may refer to itself.
    named: Vec<(Arc<str>, Option<Named>)>,
    places: HashMap<Arc<str>, usize>,
}

/// Where a type stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    namespace: Option<&'a str>,
    depth: usize,
}

impl Place<'_> {
    fn deeper(self) -> Result<Self> {
        if self.depth == MAX_DEPTH {
            return Err(wrong("types are nested too deep").context("levels", MAX_DEPTH));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl Parser {
    fn parse(&mut self, text: &str) -> Result<Type> {
        let node = Node::parse(text)
            .map_err(|e| Error::data("this is no Avro schema, nor JSON").with_source(e))?;
        self.read(&node, Place { namespace: None, depth: 0 })
    }

    fn read(&mut self, node: &Node<'_>, place: Place<'_>) -> Result<Type> {
        let place = place.deeper()?;
        match node {
            Node::Text(name) => self.refer(name, place),
            Node::Array(members) => self.union(members, place),
            Node::Object(members) => {
                let properties = |known: &[&str]| -> Properties {
                    let others = members.iter().filter(|(n, _)| !known.contains(&&**n));
                    others.map(|(n, value)| ((&**n).into(), Json::of(value))).collect()
                };
                self.object(node, &properties, place)
            }
            _ => Err(wrong("a type is a name, an object or an array of types")),
        }
    }

    fn object(
        &mut self,
        node: &Node<'_>,
        properties: &dyn Fn(&[&str]) -> Properties,
        place: Place<'_>,
    ) -> Result<Type> {
        let kind = node.get("type").ok_or_else(|| wrong("an object has no \"type\""))?;
        let Node::Text(kind) = kind else {
            let mut inner = self.read(kind, place)?;
            if !matches!(inner.shape, Shape::Union(_) | Shape::Named(_)) {
                inner.properties.extend(properties(&["type"]));
            }
            return Ok(inner);
        };
        match &**kind {
            "record" | "error" | "enum" | "fixed" => self.define(kind, node, properties, place),
            "array" => {
                let items = node.get("items").ok_or_else(|| wrong("an array has no \"items\""))?;
                let shape = Shape::Array(Box::new(self.read(items, place)?));
                Ok(Type { shape, properties: properties(&["type", "items"]) })
            }
            "map" => {
                let values = node.get("values").ok_or_else(|| wrong("a map has no \"values\""))?;
                let shape = Shape::Map(Box::new(self.read(values, place)?));
                Ok(Type { shape, properties: properties(&["type", "values"]) })
            }
            name => {
                let found = self.refer(name, place)?;
                Ok(Type { properties: properties(&["type"]), ..found })
            }
        }
    }

    fn refer(&self, name: &str, place: Place<'_>) -> Result<Type> {
        let shape = match name {
            "null" => Shape::Null,
            "boolean" => Shape::Boolean,
            "int" => Shape::Int,
            "long" => Shape::Long,
            "float" => Shape::Float,
            "double" => Shape::Double,
            "bytes" => Shape::Bytes,
            "string" => Shape::String,
            name => {
                let full = full_name(name, None, place.namespace);
                let found = self.places.get(&*full).or_else(|| self.places.get(name));
                Shape::Named(*found.ok_or_else(|| {
                    wrong("a type is not defined before it is named").context("name", name)
                })?)
            }
        };
        Ok(Type::plain(shape))
    }

    fn union(&mut self, members: &[Node<'_>], place: Place<'_>) -> Result<Type> {
        let mut types: Vec<Type> = Vec::with_capacity(members.len());
        for member in members {
            let member = self.read(member, place)?;
            if matches!(member.shape, Shape::Union(_)) {
                return Err(wrong("a union holds a union"));
            }
            let same = |other: &Type| match (&other.shape, &member.shape) {
                (Shape::Named(a), Shape::Named(b)) => a == b,
                _ => other.unnamed().is_some() && other.unnamed() == member.unnamed(),
            };
            if types.iter().any(same) {
                return Err(wrong("a union holds a type twice"));
            }
            types.push(member);
        }
        Ok(Type::plain(Shape::Union(types)))
    }

    fn define(
        &mut self,
        kind: &str,
        node: &Node<'_>,
        properties: &dyn Fn(&[&str]) -> Properties,
        place: Place<'_>,
    ) -> Result<Type> {
        let Some(Node::Text(name)) = node.get("name") else {
            return Err(wrong("a record, enum or fixed has no name").context("type", kind));
        };
        let namespace = match node.get("namespace") {
            Some(Node::Text(namespace)) => Some(&**namespace),
            _ => None,
        };
        let name: Arc<str> = full_name(name, namespace, place.namespace).into();
        if self.places.contains_key(&name) {
            return Err(wrong("a type is defined twice").context("name", name));
        }
        let at = self.named.len();
        self.named.push((Arc::clone(&name), None));
        self.places.insert(Arc::clone(&name), at);
        let inside = Place { namespace: split(&name).0, ..place };
        let within = |error: Error| error.context("in", &name);
        let (definition, own) = match kind {
            "enum" => (enumeration(node).map_err(within)?, "symbols"),
            "fixed" => (fixed(node).map_err(within)?, "size"),
            _ => (self.record(node, inside).map_err(within)?, "fields"),
        };
        let mut known = vec!["type", "name", "namespace", "doc", "aliases", own];
        if kind == "enum" {
            known.push("default");
        }
        self.named[at].1 = Some(Named {
            doc: text(node, "doc"),
            aliases: aliases(node, inside.namespace),
            properties: properties(&known),
            definition,
            name,
        });
        Ok(Type::plain(Shape::Named(at)))
    }

    fn record(&mut self, node: &Node<'_>, place: Place<'_>) -> Result<Definition> {
        let Some(Node::Array(nodes)) = node.get("fields") else {
            return Err(wrong("a record has no fields"));
        };
        let mut fields: Vec<RecordField> = Vec::with_capacity(nodes.len());
        let mut seen = std::collections::HashSet::with_capacity(nodes.len());
        for node in nodes {
            let (Some(name), Some(value)) = (text(node, "name"), node.get("type")) else {
                return Err(wrong("a field has no name or no type"));
            };
            if !seen.insert(Arc::clone(&name)) {
                return Err(wrong("a record has two fields of one name").context("field", name));
            }
            let value = self.read(value, place).map_err(|e| e.context("field", &name))?;
            let known = ["name", "type", "doc", "default", "order", "aliases"];
            let Node::Object(members) = node else { unreachable!("it has members") };
            let others = members.iter().filter(|(n, _)| !known.contains(&&**n));
            fields.push(RecordField {
                name,
                value,
                doc: text(node, "doc"),
                default: node.get("default").map(Json::of),
                aliases: aliases(node, None),
                properties: others.map(|(n, v)| ((&**n).into(), Json::of(v))).collect(),
            });
        }
        Ok(Definition::Record(fields))
    }
}

fn enumeration(node: &Node<'_>) -> Result<Definition> {
    let Some(Node::Array(nodes)) = node.get("symbols") else {
        return Err(wrong("an enum has no symbols"));
    };
    let mut symbols: Vec<Arc<str>> = Vec::with_capacity(nodes.len());
    let mut seen = std::collections::HashSet::with_capacity(nodes.len());
    for node in nodes {
        let Node::Text(symbol) = node else {
            return Err(wrong("a symbol of an enum is no text"));
        };
        if !seen.insert(&**symbol) {
            return Err(wrong("an enum has a symbol twice").context("symbol", symbol));
        }
        symbols.push((&**symbol).into());
    }
    Ok(Definition::Enum { symbols, default: text(node, "default") })
}

fn fixed(node: &Node<'_>) -> Result<Definition> {
    let size = node.get("size").map(Json::of);
    match size {
        Some(Json::Integer(size @ 0..=MAX_FIXED)) => Ok(Definition::Fixed(size as usize)),
        _ => Err(wrong("the size of a fixed is no number of bytes")),
    }
}

fn text(node: &Node<'_>, name: &str) -> Option<Arc<str>> {
    match node.get(name) {
        Some(Node::Text(text)) => Some((&**text).into()),
        _ => None,
    }
}

fn aliases(node: &Node<'_>, namespace: Option<&str>) -> Vec<Arc<str>> {
    let Some(Node::Array(nodes)) = node.get("aliases") else {
        return Vec::new();
    };
    let full = |node: &Node<'_>| match node {
        Node::Text(name) => Some(full_name(name, None, namespace).into()),
        _ => None,
    };
    nodes.iter().filter_map(full).collect()
}

/// A name with its namespace: its own where it has a dot, else the one given beside it, else the
/// one around it.
fn full_name(name: &str, own: Option<&str>, around: Option<&str>) -> String {
    match own.or(around) {
        Some(namespace) if !namespace.is_empty() && !name.contains('.') => {
            format!("{namespace}.{name}")
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document> {
        Document::parse(&SchemaText { text: text.into(), references: Vec::new() })
    }

    #[test]
    fn what_is_printed_is_what_was_read() {
        let texts = [
            r#""string""#,
            r#"{"type":"int","connect.type":"int8"}"#,
            r#"["null",{"type":"array","items":"long","x":[1,2.5,true,null,{"a":"b"}]}]"#,
            r#"{"type":"record","name":"A","namespace":"n","doc":"d","fields":[{"name":"a","type":["null","A"],"doc":"f","default":null,"p":1},{"name":"b","type":{"type":"enum","name":"E","symbols":["X","Y"],"default":"X"}},{"name":"c","type":{"type":"record","name":"C","namespace":"","fields":[{"name":"e","type":"n.E"}]}},{"name":"f","type":{"type":"fixed","name":"F","size":3}}],"p":"q"}"#,
            r#"{"type":"map","values":{"type":"record","name":"x.R","fields":[]}}"#,
        ];
        for text in texts {
            let expected = text.replace(r#""name":"x.R""#, r#""name":"R","namespace":"x""#);
            assert_eq!(parse(text).unwrap().to_text(), expected);
        }
    }

    #[test]
    fn what_is_no_schema_is_named() {
        let deep = "[".repeat(500) + &"]".repeat(500);
        let arrays = r#"{"type":"array","items":"#.repeat(70) + "1" + &"}".repeat(70);
        let cases = [
            ("", "a type is a name, an object or an array of types"),
            ("{", "expected"),
            ("{}", "no \"type\""),
            (r#""B""#, "not defined before it is named (name: B)"),
            (r#"["int",["long"]]"#, "a union holds a union"),
            (r#"["int",{"type":"int"}]"#, "a type twice"),
            (r#"{"type":"record","name":"A"}"#, "no fields"),
            (r#"{"type":"record","fields":[]}"#, "no name (type: record)"),
            (r#"{"type":"fixed","name":"F","size":-1}"#, "no number of bytes"),
            (r#"{"type":"fixed","name":"F","size":99999999999}"#, "no number of bytes"),
            (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "a symbol twice (symbol: A"),
            (
                r#"[{"type":"enum","name":"E","symbols":[]},{"type":"enum","name":"E","symbols":[]}]"#,
                "defined twice",
            ),
            (
                r#"{"type":"record","name":"A","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
                "two fields",
            ),
            (&deep, "a union holds a union"),
            (&arrays, "nested too deep"),
        ];
        for (text, complaint) in cases {
            let trace = parse(text).unwrap_err().trace();
            assert!(trace.contains(complaint) || text == deep, "{text}: {trace}");
        }
    }

    #[test]
    fn references_define_types() {
        let schema = SchemaText {
            text: r#"{"type":"record","name":"n.A","fields":[{"name":"b","type":"B"},{"name":"c","type":"m.C"}]}"#.into(),
            references: vec![
                ("c".into(), r#"{"type":"fixed","name":"m.C","size":1}"#.into()),
                ("b".into(), r#"{"type":"record","name":"n.B","fields":[{"name":"c","type":"m.C"}]}"#.into()),
            ],
        };
        let document = Document::parse(&schema).unwrap();
        let record = document.definition(&document.root).unwrap();
        let kinds: Vec<_> = record.fields().iter().map(|f| document.kind_of(&f.value)).collect();
        assert_eq!(kinds, ["record", "fixed"]);
    }
}
