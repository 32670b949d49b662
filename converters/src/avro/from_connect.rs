//! Decides what Avro schema describes Connect data (`AvroData.fromConnectSchema`): registries tell
//! schemas apart by their text, so the order of properties counts.

use std::collections::HashSet;
use std::sync::Arc;

use millrace_api::data::{Kind, Schema, SchemaRef, Value, logical};
use millrace_api::{Error, Result};

use crate::avro::anything;
use crate::avro::compatibility::same_form;
use crate::avro::config::AvroConfig;
use crate::avro::default_json::{default_json, fits};
use crate::avro::json::Json;
use crate::avro::names::{self, DEFAULT_PRECISION, NAMESPACE};
use crate::avro::schema::{
    Definition, Document, MAX_DEPTH, Named, Properties, RecordField, Shape, Type,
};

/// The Avro schema of Connect data; of data without schema when there is none.
pub(crate) fn describe(schema: Option<&SchemaRef>, config: &AvroConfig) -> Result<Document> {
    let mut from = FromConnect {
        config,
        document: Document { root: Type::plain(Shape::Null), named: Vec::new() },
        seen: Vec::new(),
        named_fields: HashSet::new(),
        unnamed: 0,
        depth: 0,
    };
    from.document.root = match schema {
        Some(schema) => from.describe(schema, false)?,
        None => from.anything(),
    };
    Ok(from.document)
}

struct FromConnect<'a> {
    config: &'a AvroConfig,
    document: Document,
    /// Schemas that have a type already: equal ones get the same.
    seen: Vec<(SchemaRef, Type)>,
    /// Names of the schemas that fields had so far.
    named_fields: HashSet<String>,
    /// How many records have no name of their own.
    unnamed: usize,
    depth: usize,
}

impl FromConnect<'_> {
    fn anything(&mut self) -> Type {
        match self.place_of(names::ANYTHING) {
            Some(place) => Type::plain(Shape::Named(place)),
            None => anything::describe(&mut self.document.named),
        }
    }

    /// A schema's type. A member of a union is described as if it were not optional, since the
    /// union is.
    fn describe(&mut self, schema: &SchemaRef, is_member: bool) -> Result<Type> {
        if self.depth == MAX_DEPTH {
            return Err(Error::data("a schema is nested too deep for Avro")
                .context("levels at most", MAX_DEPTH));
        }
        let may_repeat = !names::is_union(schema) && !schema.is_optional();
        if may_repeat && let Some((_, known)) = self.seen.iter().find(|(s, _)| s == schema) {
            return Ok(known.clone());
        }
        self.depth += 1;
        let described = self.describe_new(schema, is_member);
        self.depth -= 1;
        let described = described?;
        let has_name = !matches!(
            described.shape,
            Shape::Null
                | Shape::Boolean
                | Shape::Int
                | Shape::Long
                | Shape::Float
                | Shape::Double
                | Shape::Bytes
                | Shape::String
        );
        if !schema.is_optional() && has_name {
            self.seen.push((Arc::clone(schema), described.clone()));
        }
        Ok(described)
    }

    fn describe_new(&mut self, schema: &SchemaRef, is_member: bool) -> Result<Type> {
        if schema.kind() == Kind::Struct {
            if names::is_union(schema) {
                return self.union(schema);
            }
            if schema.is_optional() {
                let required = schema.to_builder().with_optional(false).build();
                let record = self.describe(&required, is_member)?;
                return Ok(if is_member { record } else { union(vec![null(), record])? });
            }
        }
        let mut base = self.base(schema)?;
        let mut properties = std::mem::take(self.properties_of(&mut base));
        self.add_properties(schema, &base, &mut properties)?;
        *self.properties_of(&mut base) = properties;
        let base = self.settled(base)?;
        if is_member || !schema.is_optional() {
            return Ok(base);
        }
        match schema.default() {
            Some(_) => union(vec![base, null()]),
            None => union(vec![null(), base]),
        }
    }

    fn properties_of<'t>(&'t mut self, of: &'t mut Type) -> &'t mut Properties {
        match of.shape {
            Shape::Named(place) => &mut self.document.named[place].properties,
            _ => &mut of.properties,
        }
    }

    /// The type itself, or the one of the same name that was defined before.
    fn settled(&mut self, what: Type) -> Result<Type> {
        let Shape::Named(place) = what.shape else {
            return Ok(what);
        };
        let name = Arc::clone(&self.document.named[place].name);
        let Some(first) = self.place_of(&name).filter(|first| *first != place) else {
            return Ok(what);
        };
        let before = Type::plain(Shape::Named(first));
        if !same_form(&self.document, &before, &what) {
            return Err(Error::data(
                "two different schemas have one name, which Avro does not allow: give one of \
                 them another name",
            )
            .context("name", name));
        }
        Ok(before)
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        self.document.named.iter().position(|named| &*named.name == name)
    }

    fn base(&mut self, schema: &SchemaRef) -> Result<Type> {
        let shape = match schema.kind() {
            Kind::Int8 | Kind::Int16 | Kind::Int32 => Shape::Int,
            Kind::Int64 => Shape::Long,
            Kind::Float32 => Shape::Float,
            Kind::Float64 => Shape::Double,
            Kind::Boolean => Shape::Boolean,
            Kind::String => match names::enum_parameter(schema, self.config) {
                Some(parameter) => self.enumeration(schema, parameter)?,
                None => Shape::String,
            },
            Kind::Bytes => match names::fixed_size(schema) {
                Some(size) => self.fixed(schema, size)?,
                None => Shape::Bytes,
            },
            Kind::Array => {
                let items = match schema.value_schema() {
                    Some(items) => self.describe(items, false)?,
                    None => self.anything(),
                };
                Shape::Array(Box::new(items))
            }
            Kind::Map => self.map(schema)?,
            Kind::Struct => self.record(schema)?,
        };
        Ok(Type::plain(shape))
    }

    /// Namespace and name of a named type.
    fn name_of(&mut self, name: Option<&str>) -> (Option<String>, String) {
        match name {
            Some(name) => names::split_scrubbed(name, self.config),
            None => {
                self.unnamed += 1;
                let number = match self.unnamed {
                    1 => String::new(),
                    more => more.to_string(),
                };
                (Some(NAMESPACE.to_owned()), format!("ConnectDefault{number}"))
            }
        }
    }

    fn define(&mut self, name: (Option<String>, String), doc: Option<&str>) -> Result<usize> {
        let (namespace, name) = name;
        let parts = namespace.as_deref().unwrap_or("").split('.').chain([&*name]);
        for part in parts.filter(|part| !part.is_empty() || name.is_empty()) {
            valid(part)?;
        }
        let name = match namespace {
            Some(namespace) if !namespace.is_empty() => format!("{namespace}.{name}"),
            _ => name,
        };
        self.document.named.push(Named {
            name: name.into(),
            doc: doc.map(Into::into),
            aliases: Vec::new(),
            properties: Vec::new(),
            definition: Definition::Record(Vec::new()),
        });
        Ok(self.document.named.len() - 1)
    }

    fn enumeration(&mut self, schema: &SchemaRef, parameter: &str) -> Result<Shape> {
        let prefix = format!("{parameter}.");
        let symbols = schema.parameters().iter().filter_map(|(n, _)| n.strip_prefix(&*prefix));
        let symbols: Vec<Arc<str>> = symbols.map(Into::into).collect();
        symbols.iter().try_for_each(|symbol| valid(symbol))?;
        let (_, short) = self.name_of(schema.name());
        let (doc, default) = if self.config.discard_type_doc_default {
            (schema.parameter(names::CONNECT_ENUM_DOC), None)
        } else {
            (
                schema.parameter(&format!("{}{short}", names::ENUM_DOC)),
                schema.parameter(&format!("{}{short}", names::ENUM_DEFAULT)),
            )
        };
        let default: Option<Arc<str>> = default.map(Into::into);
        let full = schema.parameter(parameter).unwrap_or_default();
        let (namespace, name) = crate::avro::schema::split(full);
        let place = self.define((namespace.map(str::to_owned), name.to_owned()), doc)?;
        self.document.named[place].definition = Definition::Enum { symbols, default };
        Ok(Shape::Named(place))
    }

    fn fixed(&mut self, schema: &SchemaRef, size: &str) -> Result<Shape> {
        let size = size.parse().map_err(|_| {
            Error::data("a parameter is no number of bytes").context(names::FIXED_SIZE, size)
        })?;
        let name = self.name_of(schema.name());
        let place = self.define(name, None)?;
        self.document.named[place].definition = Definition::Fixed(size);
        Ok(Shape::Named(place))
    }

    fn map(&mut self, schema: &SchemaRef) -> Result<Shape> {
        let key = schema.key_schema().ok_or_else(|| Error::data("a map has no key schema"))?;
        if has_text_keys(schema, self.config) {
            let values = match schema.value_schema() {
                Some(values) => self.describe(values, false)?,
                None => self.anything(),
            };
            return Ok(Shape::Map(Box::new(values)));
        }
        let name = match schema.name() {
            None => (Some(NAMESPACE.to_owned()), names::MAP_ENTRY.to_owned()),
            name => self.name_of(name),
        };
        let place = self.define(name, None)?;
        if schema.name().is_some() {
            let property = names::text_property(names::INTERNAL_TYPE, names::MAP_ENTRY);
            self.document.named[place].properties.push(property);
        }
        let key = self.field("key", key, None)?;
        let value = match schema.value_schema() {
            Some(value) => self.field("value", value, None)?,
            None => {
                let value = self.anything();
                plain_field("value", value)
            }
        };
        self.document.named[place].definition = Definition::Record(vec![key, value]);
        let entry = self.settled(Type::plain(Shape::Named(place)))?;
        Ok(Shape::Array(Box::new(entry)))
    }

    fn record(&mut self, schema: &SchemaRef) -> Result<Shape> {
        let name = self.name_of(schema.name());
        let discard = self.config.discard_type_doc_default;
        let doc = if discard { names::CONNECT_RECORD_DOC } else { names::RECORD_DOC };
        let place = self.define(name, schema.parameter(doc))?;
        let mut fields = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let within = |e: Error| e.context("field", &field.name);
            let name = names::scrubbed(&field.name, self.config);
            let doc = format!("{}{}", names::FIELD_DOC, field.name);
            let doc = schema.parameter(&doc).filter(|_| !discard);
            if fields.iter().any(|f: &RecordField| *f.name == *name) {
                return Err(within(Error::data("two fields have one name in Avro")));
            }
            fields.push(self.field(&name, &field.schema, doc).map_err(within)?);
        }
        self.document.named[place].definition = Definition::Record(fields);
        Ok(Shape::Named(place))
    }

    fn field(&mut self, name: &str, schema: &SchemaRef, doc: Option<&str>) -> Result<RecordField> {
        valid(name)?;
        let default = match schema.default() {
            None | Some(Value::Null) => schema.is_optional().then_some(Json::Null),
            Some(default) => Some(default_json(schema, default, self.config)?),
        };
        let known_before = schema.name().is_some_and(|name| {
            let (namespace, name) = names::split_scrubbed(name, self.config);
            let full = namespace.map_or(name.clone(), |namespace| format!("{namespace}.{name}"));
            !self.named_fields.insert(full)
        });
        let value = self.describe(schema, false)?;
        let mut field = plain_field(name, value);
        field.default = default.filter(|json| fits(&self.document, &field.value, json));
        let doc = if self.config.discard_type_doc_default { schema.doc() } else { doc };
        field.doc = doc.map(Into::into);
        if self.config.connect_meta_data && known_before && self.has_name(&field.value) {
            let parameters = self.parameters(schema);
            if !parameters.is_empty() {
                field.properties.push((names::PARAMETERS.into(), Json::Object(parameters)));
            }
        }
        Ok(field)
    }

    fn has_name(&self, what: &Type) -> bool {
        match &what.shape {
            Shape::Named(_) => true,
            Shape::Union(members) => members.iter().any(|m| matches!(m.shape, Shape::Named(_))),
            _ => false,
        }
    }

    fn union(&mut self, schema: &SchemaRef) -> Result<Type> {
        let mut members = Vec::with_capacity(schema.fields().len() + 1);
        if schema.is_optional() {
            members.push(null());
        }
        for field in schema.fields() {
            let required = field.schema.to_builder().with_optional(false).build();
            let member = self.describe(&required, true);
            members.push(member.map_err(|e| e.context("field", &field.name))?);
        }
        for (i, member) in members.iter().enumerate() {
            let name = self.document.name_in_union(member);
            if matches!(member.shape, Shape::Union(_)) {
                return Err(Error::data("a union holds a union, which Avro does not allow"));
            }
            if members[..i].iter().any(|m| self.document.name_in_union(m) == name) {
                return Err(Error::data("a union holds a type twice, which Avro does not allow")
                    .context("type", name));
            }
        }
        union(members)
    }

    fn parameters(&self, schema: &Schema) -> Vec<(Arc<str>, Json)> {
        let kept =
            |name: &str| self.config.discard_type_doc_default || name != names::FIELD_DEFAULT;
        let parameters = schema.parameters().iter().filter(|(name, _)| kept(name));
        parameters.map(|(n, v)| (Arc::clone(n), Json::Text(Arc::clone(v)))).collect()
    }

    /// What Connect knows and Avro has no word for, then what the kind of the value is.
    fn add_properties(&self, schema: &SchemaRef, base: &Type, to: &mut Properties) -> Result<()> {
        let name = schema.name().unwrap_or("");
        let is = |logical: &str| name.eq_ignore_ascii_case(logical);
        let decimal = if schema.kind() == Kind::Bytes && is(logical::DECIMAL) {
            Some(decimal_of(schema)?)
        } else {
            None
        };
        if let Some((scale, precision)) = decimal {
            to.push(("scale".into(), Json::Integer(scale.into())));
            to.push(("precision".into(), Json::Integer(precision.into())));
        }
        if self.config.connect_meta_data {
            self.add_meta_data(schema, to)?;
        }
        if let Some((scale, precision)) = decimal {
            self.check_fits_fixed(base, scale, precision)?;
            to.push(names::text_property("logicalType", "decimal"));
        } else if is(logical::TIME) {
            to.push(names::text_property("logicalType", "time-millis"));
        } else if is(logical::TIMESTAMP) {
            to.push(names::text_property("logicalType", "timestamp-millis"));
        } else if is(logical::DATE) {
            to.push(names::text_property("logicalType", "date"));
        }
        for (name, value) in schema.parameters() {
            if name.starts_with("avro") {
                to.push((Arc::clone(name), Json::Text(Arc::clone(value))));
            }
        }
        Ok(())
    }

    fn add_meta_data(&self, schema: &SchemaRef, to: &mut Properties) -> Result<()> {
        if let Some(doc) = schema.doc() {
            to.push(names::text_property(names::DOC, doc));
        }
        if let Some(version) = schema.version() {
            to.push((names::VERSION.into(), Json::Integer(version.into())));
        }
        let parameters = self.parameters(schema);
        if !parameters.is_empty() {
            to.push((names::PARAMETERS.into(), Json::Object(parameters)));
        }
        let is_fields = !self.config.discard_type_doc_default
            && schema.parameter(names::FIELD_DEFAULT).is_some();
        if let Some(default) = schema.default().filter(|d| !d.is_null() && !is_fields) {
            to.push((names::DEFAULT.into(), default_json(schema, default, self.config)?));
        }
        if let Some(name) = schema.name() {
            to.push(names::text_property(names::NAME, name));
        }
        let connect_type = match schema.kind() {
            Kind::Int8 => "int8",
            Kind::Int16 => "int16",
            _ => return Ok(()),
        };
        to.push(names::text_property(names::TYPE, connect_type));
        Ok(())
    }

    /// What does not fit so many bytes is no decimal for Avro.
    fn check_fits_fixed(&self, base: &Type, scale: i32, precision: i32) -> Result<()> {
        let named = self.document.definition(base).map(|named| &named.definition);
        let Some(Definition::Fixed(size)) = named.filter(|_| (0..=precision).contains(&scale))
        else {
            return Ok(());
        };
        let digits = ((*size as f64 * 8.0 - 1.0) * 2_f64.log10()).floor();
        if f64::from(precision) > digits {
            return Err(Error::data(
                "a decimal has more digits than its fixed size holds: set the parameter \
                 connect.decimal.precision",
            )
            .context("bytes", size)
            .context("digits", precision));
        }
        Ok(())
    }
}

/// Scale and precision of a decimal.
fn decimal_of(schema: &Schema) -> Result<(i32, i32)> {
    let number = |name: &'static str, default: Option<i32>| {
        match schema.parameter(name) {
            Some(text) => text.parse().ok(),
            None => default,
        }
        .ok_or_else(|| {
            Error::data("a parameter of a decimal is no number").context("parameter", name)
        })
    };
    Ok((number(logical::SCALE, None)?, number(names::PRECISION, Some(DEFAULT_PRECISION))?))
}

/// Whether a map is a map for Avro, whose keys are strings.
pub(crate) fn has_text_keys(schema: &Schema, config: &AvroConfig) -> bool {
    schema.key_schema().is_some_and(|key| {
        key.kind() == Kind::String && (!key.is_optional() || config.allow_optional_map_keys)
    })
}

fn valid(name: &str) -> Result<()> {
    if names::is_valid(name) {
        return Ok(());
    }
    Err(Error::data("Avro does not allow this name: rename it, or set scrub.invalid.names=true")
        .context("name", name))
}

fn null() -> Type {
    Type::plain(Shape::Null)
}

fn union(members: Vec<Type>) -> Result<Type> {
    if members.iter().any(|m| matches!(m.shape, Shape::Union(_))) {
        return Err(Error::data("a union holds a union, which Avro does not allow"));
    }
    Ok(Type::plain(Shape::Union(members)))
}

fn plain_field(name: &str, value: Type) -> RecordField {
    RecordField {
        name: name.into(),
        value,
        doc: None,
        default: None,
        aliases: Vec::new(),
        properties: Vec::new(),
    }
}
