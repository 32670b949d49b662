//! Prints schemas as Avro's Java library does: registries tell schemas apart by their text.

use crate::avro::json::{Json, append_text};
use crate::avro::schema::{Definition, Document, Properties, RecordField, Shape, Type, split};

impl Document {
    /// The text: a named type is written out where it comes first.
    pub(crate) fn to_text(&self) -> String {
        let mut printer =
            Printer { document: self, known: vec![false; self.named.len()], out: Vec::new() };
        printer.append_type(&self.root, None);
        String::from_utf8(printer.out).expect("JSON is made of text")
    }
}

struct Printer<'a> {
    document: &'a Document,
    known: Vec<bool>,
    out: Vec<u8>,
}

impl<'a> Printer<'a> {
    fn append_type(&mut self, what: &'a Type, namespace: Option<&str>) {
        match &what.shape {
            Shape::Union(members) => {
                self.out.push(b'[');
                for (i, member) in members.iter().enumerate() {
                    self.append_comma(i);
                    self.append_type(member, namespace);
                }
                self.out.push(b']');
            }
            Shape::Named(place) => self.append_named(*place, namespace),
            shape => {
                let name = what.unnamed().expect("only named types lack such a name");
                let inner = match shape {
                    Shape::Array(items) => Some(("items", items)),
                    Shape::Map(values) => Some(("values", values)),
                    _ if what.properties.is_empty() => return append_text(name, &mut self.out),
                    _ => None,
                };
                self.out.extend_from_slice(b"{\"type\":");
                append_text(name, &mut self.out);
                if let Some((key, inner)) = inner {
                    self.append_key(key);
                    self.append_type(inner, namespace);
                }
                self.append_properties(&what.properties);
                self.out.push(b'}');
            }
        }
    }

    fn append_named(&mut self, place: usize, namespace: Option<&str>) {
        let named = &self.document.named[place];
        let (space, name) = split(&named.name);
        if std::mem::replace(&mut self.known[place], true) {
            let name = if space == namespace { name } else { &*named.name };
            return append_text(name, &mut self.out);
        }
        let kind = match named.definition {
            Definition::Record(_) => "record",
            Definition::Enum { .. } => "enum",
            Definition::Fixed(_) => "fixed",
        };
        self.out.extend_from_slice(b"{\"type\":");
        append_text(kind, &mut self.out);
        self.append_member("name", name);
        if space != namespace {
            self.append_member("namespace", space.unwrap_or(""));
        }
        if let Some(doc) = &named.doc {
            self.append_member("doc", doc);
        }
        match &named.definition {
            Definition::Record(fields) => self.append_fields(fields, space),
            Definition::Enum { symbols, default } => {
                self.append_key("symbols");
                let symbols = symbols.iter().map(|s| Json::Text(s.clone())).collect();
                Json::Array(symbols).append(&mut self.out);
                if let Some(default) = default {
                    self.append_member("default", default);
                }
            }
            Definition::Fixed(size) => {
                self.append_key("size");
                self.out.extend_from_slice(size.to_string().as_bytes());
            }
        }
        self.append_properties(&named.properties);
        self.out.push(b'}');
    }

    fn append_fields(&mut self, fields: &'a [RecordField], namespace: Option<&str>) {
        self.append_key("fields");
        self.out.push(b'[');
        for (i, field) in fields.iter().enumerate() {
            self.append_comma(i);
            self.out.extend_from_slice(b"{\"name\":");
            append_text(&field.name, &mut self.out);
            self.append_key("type");
            self.append_type(&field.value, namespace);
            if let Some(doc) = &field.doc {
                self.append_member("doc", doc);
            }
            if let Some(default) = &field.default {
                self.append_key("default");
                default.append(&mut self.out);
            }
            self.append_properties(&field.properties);
            self.out.push(b'}');
        }
        self.out.push(b']');
    }

    fn append_properties(&mut self, properties: &Properties) {
        for (name, value) in properties {
            self.append_key(name);
            value.append(&mut self.out);
        }
    }

    fn append_member(&mut self, key: &str, value: &str) {
        self.append_key(key);
        append_text(value, &mut self.out);
    }

    /// With the comma that parts it from what comes before.
    fn append_key(&mut self, key: &str) {
        self.out.push(b',');
        append_text(key, &mut self.out);
        self.out.push(b':');
    }

    fn append_comma(&mut self, i: usize) {
        if i > 0 {
            self.out.push(b',');
        }
    }
}
