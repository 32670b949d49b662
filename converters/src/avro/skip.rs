//! Reads past values of a writer's schema that nobody wants.

use std::sync::Arc;

use crate::avro::input::Input;
use crate::avro::schema::{Definition, Document, MAX_DEPTH, Shape, Type};
use crate::avro::stop::{Stop, fault};
use crate::avro::values::branch;

/// How deep records may be in each other: one that holds itself has no other end.
const MAX_RECORDS: usize = 256;

/// What a value takes.
#[derive(Clone, Debug)]
enum Form {
    Nothing,
    Number,
    /// A length, and so many bytes.
    Bytes,
    /// So many bytes.
    Fixed(usize),
    /// Items of at least so many bytes, each after a key where there are such.
    Blocks {
        has_keys: bool,
        item: Box<Form>,
        least_bytes: usize,
    },
    Union(Vec<Form>),
    Record(Vec<Form>),
    /// By its place in the table.
    Named(usize),
}

/// Makes what reads past the values of one document.
pub(crate) struct Skips<'a> {
    document: &'a Document,
    /// How many bytes a value of each named type takes at least, where that was asked.
    least_bytes: Vec<Option<usize>>,
    named: Arc<[Form]>,
}

/// Reads past a value.
#[derive(Clone, Debug)]
pub(crate) struct Skip {
    form: Form,
    named: Arc<[Form]>,
    pub(crate) least_bytes: usize,
}

impl<'a> Skips<'a> {
    pub(crate) fn new(document: &'a Document) -> Self {
        let least_bytes = vec![None; document.named.len()];
        let mut skips = Self { document, least_bytes, named: Arc::default() };
        let forms = document.named.iter().map(|named| match &named.definition {
            Definition::Enum { .. } => Form::Number,
            Definition::Fixed(size) => Form::Fixed(*size),
            Definition::Record(fields) => {
                Form::Record(fields.iter().map(|field| skips.form(&field.value)).collect())
            }
        });
        skips.named = forms.collect();
        let mut sizes = vec![None; document.named.len()];
        let sizes: Vec<_> =
            (0..document.named.len()).map(|place| size(document, place, &mut sizes, 0)).collect();
        // Else records of nothing in each other would take time without end and no bytes.
        let fixed = |(form, size): (&Form, Option<usize>)| size.map_or(form.clone(), Form::Fixed);
        skips.named = skips.named.iter().zip(sizes).map(fixed).collect();
        skips
    }

    pub(crate) fn of(&mut self, what: &Type) -> Skip {
        let (form, least_bytes) = (self.form(what), self.least_bytes(what, 0));
        Skip { form, named: Arc::clone(&self.named), least_bytes }
    }

    fn form(&mut self, what: &Type) -> Form {
        let mut blocks = |items: &Type, has_keys: bool| Form::Blocks {
            has_keys,
            item: Box::new(self.form(items)),
            least_bytes: self.least_bytes(items, 0) + usize::from(has_keys),
        };
        match &what.shape {
            Shape::Null => Form::Nothing,
            Shape::Boolean => Form::Fixed(1),
            Shape::Int | Shape::Long => Form::Number,
            Shape::Float => Form::Fixed(4),
            Shape::Double => Form::Fixed(8),
            Shape::Bytes | Shape::String => Form::Bytes,
            Shape::Array(items) => blocks(items, false),
            Shape::Map(values) => blocks(values, true),
            Shape::Union(members) => Form::Union(members.iter().map(|m| self.form(m)).collect()),
            Shape::Named(place) => Form::Named(*place),
        }
    }

    /// How many bytes a value takes at least; types that unfold too deep count as nothing.
    fn least_bytes(&mut self, what: &Type, depth: usize) -> usize {
        let place = match what.shape {
            Shape::Null => return 0,
            Shape::Float => return 4,
            Shape::Double => return 8,
            Shape::Named(place) => place,
            _ => return 1,
        };
        let document = self.document;
        match &document.named[place].definition {
            Definition::Enum { .. } => 1,
            Definition::Fixed(size) => *size,
            Definition::Record(_) if depth > MAX_DEPTH => 0,
            Definition::Record(fields) => {
                if let Some(known) = self.least_bytes[place] {
                    return known;
                }
                self.least_bytes[place] = Some(0);
                let sum = fields.iter().fold(0, |sum: usize, field| {
                    sum.saturating_add(self.least_bytes(&field.value, depth + 1))
                });
                self.least_bytes[place] = Some(sum);
                sum
            }
        }
    }
}

/// How many bytes every value of a named type takes; none when that differs. `sizes` holds what was
/// asked before, and none for what is just being asked: a record that holds itself.
fn size(
    document: &Document,
    place: usize,
    sizes: &mut Vec<Option<Option<usize>>>,
    depth: usize,
) -> Option<usize> {
    if let Some(known) = sizes[place] {
        return known;
    }
    if depth > MAX_DEPTH {
        return None;
    }
    sizes[place] = Some(None);
    let size_of = |what: &Type, sizes: &mut Vec<_>| match what.shape {
        Shape::Null => Some(0),
        Shape::Boolean => Some(1),
        Shape::Float => Some(4),
        Shape::Double => Some(8),
        Shape::Named(inner) => size(document, inner, sizes, depth + 1),
        _ => None,
    };
    let found = match &document.named[place].definition {
        Definition::Enum { .. } => None,
        Definition::Fixed(size) => Some(*size),
        Definition::Record(fields) => fields
            .iter()
            .try_fold(0_usize, |sum, field| sum.checked_add(size_of(&field.value, sizes)?)),
    };
    sizes[place] = Some(found);
    found
}

impl Skip {
    /// Reads past the value that comes next.
    pub(crate) fn pass(&self, input: &mut Input<'_>) -> Result<(), Box<Stop>> {
        self.form.pass(&self.named, input, 0)
    }
}

impl Form {
    fn pass(&self, named: &[Self], input: &mut Input<'_>, depth: usize) -> Result<(), Box<Stop>> {
        match self {
            Self::Nothing => {}
            Self::Number => drop(input.long()?),
            Self::Bytes => drop(input.bytes()?),
            Self::Fixed(size) => drop(input.take(*size)?),
            Self::Blocks { has_keys, item, least_bytes } => loop {
                let count = input.block(*least_bytes)?;
                if count == 0 {
                    break;
                }
                for _ in 0..count {
                    if *has_keys {
                        input.bytes()?;
                    }
                    item.pass(named, input, depth)?;
                }
            },
            Self::Union(members) => {
                members[branch(members.len(), input)?].pass(named, input, depth)?;
            }
            Self::Record(fields) => {
                for field in fields {
                    field.pass(named, input, depth)?;
                }
            }
            Self::Named(_) if depth == MAX_RECORDS => {
                return Err(fault("records that nobody wants are nested too deep"));
            }
            Self::Named(place) => named[*place].pass(named, input, depth + 1)?,
        }
        Ok(())
    }
}
