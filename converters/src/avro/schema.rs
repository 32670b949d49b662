//! An Avro schema as a tree whose named types stand in a table, so that types may refer to
//! themselves.

use std::sync::Arc;

use crate::avro::json::Json;

/// Types deeper than this are not read: no program nests them so, and each level takes stack.
pub(crate) const MAX_DEPTH: usize = 64;

/// Whatever the specification gives no meaning, in order.
pub(crate) type Properties = Vec<(Arc<str>, Json)>;

/// A schema and all named types in it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) root: Type,
    pub(crate) named: Vec<Named>,
}

/// A type where it is used.
#[derive(Clone, Debug)]
pub(crate) struct Type {
    pub(crate) shape: Shape,
    /// Of a type without name. A named one has them in its definition.
    pub(crate) properties: Properties,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// By its place in the table.
    Named(usize),
}

/// A type with a name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// With the namespace before the last dot.
    pub(crate) name: Arc<str>,
    pub(crate) doc: Option<Arc<str>>,
    pub(crate) aliases: Vec<Arc<str>>,
    pub(crate) properties: Properties,
    pub(crate) definition: Definition,
}

#[derive(Clone, Debug)]
pub(crate) enum Definition {
    Record(Vec<RecordField>),
    Enum { symbols: Vec<Arc<str>>, default: Option<Arc<str>> },
    Fixed(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct RecordField {
    pub(crate) name: Arc<str>,
    pub(crate) value: Type,
    pub(crate) doc: Option<Arc<str>>,
    pub(crate) default: Option<Json>,
    pub(crate) aliases: Vec<Arc<str>>,
    pub(crate) properties: Properties,
}

/// The value of a property.
pub(crate) fn property<'a>(properties: &'a Properties, name: &str) -> Option<&'a Json> {
    properties.iter().find(|(n, _)| &**n == name).map(|(_, value)| value)
}

/// A full name in namespace and name.
pub(crate) fn split(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('.') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    }
}

impl Type {
    /// Without properties.
    pub(crate) fn plain(shape: Shape) -> Self {
        Self { shape, properties: Vec::new() }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.shape, Shape::Null)
    }

    /// What the specification calls a type without name.
    pub(crate) fn unnamed(&self) -> Option<&'static str> {
        Some(match self.shape {
            Shape::Null => "null",
            Shape::Boolean => "boolean",
            Shape::Int => "int",
            Shape::Long => "long",
            Shape::Float => "float",
            Shape::Double => "double",
            Shape::Bytes => "bytes",
            Shape::String => "string",
            Shape::Array(_) => "array",
            Shape::Map(_) => "map",
            Shape::Union(_) => "union",
            Shape::Named(_) => return None,
        })
    }
}

impl Named {
    /// The name without its namespace.
    pub(crate) fn short_name(&self) -> &str {
        split(&self.name).1
    }

    pub(crate) fn fields(&self) -> &[RecordField] {
        match &self.definition {
            Definition::Record(fields) => fields,
            _ => &[],
        }
    }
}

impl Document {
    /// The definition of a type, if it has a name.
    pub(crate) fn definition(&self, of: &Type) -> Option<&Named> {
        match of.shape {
            Shape::Named(place) => Some(&self.named[place]),
            _ => None,
        }
    }

    pub(crate) fn properties<'a>(&'a self, of: &'a Type) -> &'a Properties {
        self.definition(of).map_or(&of.properties, |named| &named.properties)
    }

    pub(crate) fn property<'a>(&'a self, of: &'a Type, name: &str) -> Option<&'a Json> {
        property(self.properties(of), name)
    }

    /// Whether a type has this logical type.
    pub(crate) fn is_logical(&self, of: &Type, name: &str) -> bool {
        let own = self.property(of, "logicalType").and_then(Json::as_text);
        own.is_some_and(|own| own.eq_ignore_ascii_case(name))
    }

    /// How many digits of a decimal are behind its point; none for what is no decimal.
    pub(crate) fn decimal_scale(&self, of: &Type) -> Option<i32> {
        let scale = || self.property(of, "scale").and_then(Json::as_int).unwrap_or(0);
        self.is_logical(of, "decimal").then(scale)
    }

    /// What tells a type from the others in a union: its full name, or what it is.
    pub(crate) fn name_in_union<'a>(&'a self, of: &'a Type) -> &'a str {
        match self.definition(of) {
            Some(named) => &named.name,
            None => of.unnamed().unwrap_or_default(),
        }
    }

    /// What complaints call a type.
    pub(crate) fn kind_of(&self, of: &Type) -> &'static str {
        match self.definition(of).map(|named| &named.definition) {
            Some(Definition::Record(_)) => "record",
            Some(Definition::Enum { .. }) => "enum",
            Some(Definition::Fixed(_)) => "fixed",
            None => of.unnamed().unwrap_or_default(),
        }
    }

    /// The full name of the record that this is a schema of.
    pub(crate) fn record_name(&self) -> Option<&Arc<str>> {
        let named = self.definition(&self.root)?;
        matches!(named.definition, Definition::Record(_)).then_some(&named.name)
    }
}
