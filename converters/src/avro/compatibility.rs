//! Decides whether one schema reads what was written with another, by Avro's rules of resolution.

use std::collections::HashSet;

use crate::avro::schema::{Definition, Document, RecordField, Shape, Type, split};

/// Whether data written with `writer` can be read with `reader`.
pub(crate) fn reads(reader: &Document, writer: &Document) -> bool {
    let mut pairs = Pairs { reader, writer, assumed: HashSet::new() };
    pairs.reads(&reader.root, &writer.root)
}

/// Two schemas side by side.
struct Pairs<'a> {
    reader: &'a Document,
    writer: &'a Document,
    /// Named types that are being compared further out, or were found to match.
    assumed: HashSet<(usize, usize)>,
}

impl Pairs<'_> {
    fn reads(&mut self, reader: &Type, writer: &Type) -> bool {
        match (&reader.shape, &writer.shape) {
            (_, Shape::Union(members)) => members.iter().all(|member| self.reads(reader, member)),
            (Shape::Union(members), _) => members.iter().any(|member| self.reads(member, writer)),
            (Shape::Array(a), Shape::Array(b)) | (Shape::Map(a), Shape::Map(b)) => self.reads(a, b),
            (Shape::Named(a), Shape::Named(b)) => self.reads_named(*a, *b),
            (Shape::Long, Shape::Int)
            | (Shape::Float, Shape::Int | Shape::Long)
            | (Shape::Double, Shape::Int | Shape::Long | Shape::Float)
            | (Shape::String, Shape::Bytes)
            | (Shape::Bytes, Shape::String) => true,
            (Shape::Named(_), _) | (_, Shape::Named(_)) => false,
            _ => reader.unnamed() == writer.unnamed(),
        }
    }

    fn reads_named(&mut self, a: usize, b: usize) -> bool {
        if self.assumed.contains(&(a, b)) {
            return true;
        }
        let (reader, writer) = (&self.reader.named[a], &self.writer.named[b]);
        let has_name =
            split(&reader.name).1 == split(&writer.name).1 || reader.aliases.contains(&writer.name);
        if !has_name {
            return false;
        }
        self.assumed.insert((a, b));
        let reads = match (&reader.definition, &writer.definition) {
            (Definition::Record(ours), Definition::Record(theirs)) => {
                ours.iter().all(|field| match written_as(field, theirs) {
                    Some(written) => self.reads(&field.value, &written.value),
                    None => field.default.is_some(),
                })
            }
            (Definition::Fixed(a), Definition::Fixed(b)) => a == b,
            (Definition::Enum { symbols, default }, Definition::Enum { symbols: theirs, .. }) => {
                default.is_some() || theirs.iter().all(|symbol| symbols.contains(symbol))
            }
            _ => false,
        };
        if !reads {
            self.assumed.remove(&(a, b));
        }
        reads
    }
}

/// What a field was called by the writer.
pub(crate) fn written_as<'a>(
    field: &RecordField,
    written: &'a [RecordField],
) -> Option<&'a RecordField> {
    let named = |name: &str| written.iter().find(|w| &*w.name == name);
    named(&field.name).or_else(|| field.aliases.iter().find_map(|alias| named(alias)))
}

/// Whether two types of one document have the same encoding, meaning and names all through.
pub(crate) fn same_form(document: &Document, a: &Type, b: &Type) -> bool {
    let logical_type = |of| document.property(of, "logicalType");
    let scale = |of| document.decimal_scale(of);
    if logical_type(a) != logical_type(b) || scale(a) != scale(b) {
        return false;
    }
    match (&a.shape, &b.shape) {
        (Shape::Named(x), Shape::Named(y)) if x == y => true,
        (Shape::Named(x), Shape::Named(y)) => {
            let (x, y) = (&document.named[*x], &document.named[*y]);
            x.name == y.name
                && match (&x.definition, &y.definition) {
                    (Definition::Record(a), Definition::Record(b)) => {
                        let same = |(a, b): (&RecordField, &RecordField)| {
                            a.name == b.name && same_form(document, &a.value, &b.value)
                        };
                        a.len() == b.len() && a.iter().zip(b).all(same)
                    }
                    (Definition::Fixed(a), Definition::Fixed(b)) => a == b,
                    (Definition::Enum { symbols: a, .. }, Definition::Enum { symbols: b, .. }) => {
                        a == b
                    }
                    _ => false,
                }
        }
        (Shape::Array(a), Shape::Array(b)) | (Shape::Map(a), Shape::Map(b)) => {
            same_form(document, a, b)
        }
        (Shape::Union(a), Shape::Union(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_form(document, a, b))
        }
        _ => a.unnamed().is_some() && a.unnamed() == b.unnamed(),
    }
}
