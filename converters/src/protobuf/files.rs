//! Compiles schemas: the text itself, what it refers to, and the files that everybody knows.

use std::path::Path;

use millrace_api::{Error, Result};
use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};

use crate::protobuf::clashes::told_apart;
use crate::protobuf::known;
use crate::registry::SchemaText;

/// By this name the schema itself is compiled; no reference has it.
const OWN: &str = "millrace:schema";

/// How deep a schema may nest, and how long it may be: the compiler goes down it by recursion.
const MAX_DEPTH: usize = 100;
const MAX_BYTES: usize = 4 << 20;

/// A compiled schema.
pub(crate) fn compile(schema: &SchemaText) -> Result<FileDescriptor> {
    let resolver = Resolver { schema: schema.clone(), google: GoogleFileResolver::new() };
    check(&schema.text)?;
    schema.references.iter().try_for_each(|(_, text)| check(text))?;
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    let compiled = compiler.include_imports(true).open_file(OWN);
    compiled.map_err(|error| {
        Error::data("schema is not valid Protobuf").with_source(error.to_string())
    })?;
    let pool: DescriptorPool = compiler.descriptor_pool();
    pool.get_file_by_name(OWN).ok_or_else(|| Error::data("schema was not compiled"))
}

/// Brackets are counted wherever they stand, in comments too: real schemas are far from the limit.
fn check(text: &str) -> Result<()> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_DEPTH || text.len() > MAX_BYTES {
        return Err(Error::data("schema is nested too deeply or too long"));
    }
    Ok(())
}

struct Resolver {
    schema: SchemaText,
    google: GoogleFileResolver,
}

impl FileResolver for Resolver {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == OWN {
            return parse(name, &self.schema.text);
        }
        let mut references = self.schema.references.iter();
        if let Some((_, text)) = references.find(|(reference, _)| **reference == *name) {
            return parse(name, text);
        }
        match known::text_of(name) {
            Some(text) => File::from_source(name, &text),
            None => self.google.open_file(name),
        }
    }
}

fn parse(name: &str, text: &str) -> Result<File, protox::Error> {
    let completed = known::with_meta(text);
    File::from_source(name, completed.as_deref().unwrap_or(text)).map(told_apart)
}

/// The message at these places: of the file, then of each message.
pub(crate) fn message_at(file: &FileDescriptor, indexes: &[usize]) -> Option<MessageDescriptor> {
    let (first, rest) = indexes.split_first()?;
    let outermost = file.messages().nth(*first)?;
    rest.iter().try_fold(outermost, |message, index| children(&message).nth(*index))
}

/// Those that stand in the text: entries of maps do not count, as in Java.
fn children(message: &MessageDescriptor) -> impl Iterator<Item = MessageDescriptor> {
    message.child_messages().filter(|child| !child.is_map_entry())
}

/// Where a message stands in its file, the outermost first.
pub(crate) fn indexes_of(message: &MessageDescriptor) -> Vec<usize> {
    let mut indexes = Vec::new();
    let mut message = message.clone();
    loop {
        let same = |other: MessageDescriptor| other == message;
        let Some(parent) = message.parent_message() else {
            let file = message.parent_file();
            indexes.push(file.messages().position(same).unwrap_or(0));
            break;
        };
        indexes.push(children(&parent).position(same).unwrap_or(0));
        message = parent;
    }
    indexes.reverse();
    indexes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, references: &[(&str, &str)]) -> SchemaText {
        let references = references.iter().map(|(n, t)| ((*n).into(), (*t).into())).collect();
        SchemaText { text: text.into(), references }
    }

    #[test]
    fn messages_are_found_by_their_places() {
        let schema = "syntax = \"proto3\"; message A {} message B { message C {} message D { \
                      message E {} } }";
        let file = compile(&text(schema, &[])).unwrap();
        for (indexes, name) in [(&[0][..], "A"), (&[1], "B"), (&[1, 1, 0], "B.D.E")] {
            let message = message_at(&file, indexes).unwrap();
            assert_eq!(message.full_name(), name);
            assert_eq!(indexes_of(&message), indexes);
        }
        assert_eq!(message_at(&file, &[2]), None);
        assert_eq!(message_at(&file, &[]), None);
    }

    #[test]
    fn imports_are_references_or_known() {
        let own = "syntax = \"proto3\"; import \"other.proto\"; \
                   import \"google/protobuf/timestamp.proto\"; import \"google/type/date.proto\"; \
                   import \"confluent/type/decimal.proto\"; \
                   message A { o.Other other = 1; google.type.Date date = 2; \
                   confluent.type.Decimal d = 3 [(confluent.field_meta) = { \
                   params: [{ key: \"scale\", value: \"2\" }] }]; \
                   google.protobuf.Timestamp at = 4; }";
        let other = ("other.proto", "syntax = \"proto3\"; package o; message Other {}");
        assert!(compile(&text(own, &[other])).is_ok());
        assert!(compile(&text(own, &[])).unwrap_err().trace().contains("other.proto"));
    }

    #[test]
    fn bad_texts_are_refused() {
        let deep = "message A { ".repeat(10_000);
        for schema in ["message", "\u{0}", "syntax = \"proto9\";", "message A { B b = 1; }", &deep]
        {
            assert!(compile(&text(schema, &[])).is_err());
        }
    }
}
