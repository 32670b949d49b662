//! Decides what Connect schema stands for an Avro schema (`AvroData.toConnectSchema`).

use std::sync::Arc;

use bytes::Bytes;
use millrace_api::data::{
    Decimal, Kind, Schema, SchemaBuilder, SchemaRef, Struct, TIME_MILLIS, Value, logical,
};
use millrace_api::{Error, Result};
use num_bigint::BigInt;

use crate::avro::config::AvroConfig;
use crate::avro::json::Json;
use crate::avro::names::{
    self, DEFAULT_PRECISION, DEFAULT_RECORD, FIELD_DEFAULT, FIXED_SIZE, PRECISION, is_map_entry,
};
use crate::avro::schema::{Definition, Document, MAX_DEPTH, Named, Shape, Type};

/// The most types a schema may unfold to: named types that name others twice grow without end.
const MAX_TYPES: usize = 50_000;

/// Makes Connect schemas of the types of one document.
pub(crate) struct ToConnect<'a> {
    document: &'a Document,
    config: &'a AvroConfig,
    /// How many unions were met: their number is a part of their name.
    unions: &'a mut usize,
    /// Named types around the present one.
    open: Vec<usize>,
    depth: usize,
    types: usize,
}

/// What the place of a type adds to it.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    is_optional: bool,
    default: Option<&'a Json>,
    doc: Option<&'a Arc<str>>,
    version: Option<i32>,
}

impl<'a> ToConnect<'a> {
    pub(crate) fn new(
        document: &'a Document,
        config: &'a AvroConfig,
        unions: &'a mut usize,
    ) -> Self {
        Self { document, config, unions, open: Vec::new(), depth: 0, types: 0 }
    }

    /// The schema of the whole document. A version in the schema itself counts more than this one.
    pub(crate) fn root(&mut self, version: Option<i32>) -> Result<SchemaRef> {
        self.schema(&self.document.root, Around { version, ..Around::default() })
    }

    fn schema(&mut self, what: &'a Type, around: Around<'a>) -> Result<SchemaRef> {
        self.types += 1;
        if self.types > MAX_TYPES || self.depth > MAX_DEPTH {
            return Err(Error::data("an Avro schema is too large to be a Connect schema")
                .context("types at most", MAX_TYPES)
                .context("levels at most", MAX_DEPTH));
        }
        self.depth += 1;
        let schema = self.schema_at_depth(what, around);
        self.depth -= 1;
        schema
    }

    fn schema_at_depth(&mut self, what: &'a Type, around: Around<'a>) -> Result<SchemaRef> {
        if let Shape::Union(members) = &what.shape
            && let Some((member, is_optional)) = self.only_member(members)
        {
            let around = Around { is_optional, doc: around.doc, ..Around::default() };
            return self.schema(member, around);
        }
        let builder = match what.shape {
            Shape::Named(place) if self.open.contains(&place) => {
                return Err(Error::data(
                    "a record holds itself, which no Connect schema does: read such a topic with \
                     ByteArrayConverter",
                )
                .context("record", &self.document.named[place].name));
            }
            Shape::Named(place) => {
                self.open.push(place);
                let builder = self.named(&self.document.named[place]);
                self.open.pop();
                builder?
            }
            _ => self.unnamed(what)?,
        };
        self.finish(what, builder, around)
    }

    /// What a union is that is no choice, and whether it allows null.
    fn only_member(&self, members: &'a [Type]) -> Option<(&'a Type, bool)> {
        match members {
            [only] if self.config.flatten_singleton_unions => Some((only, false)),
            [null, other] | [other, null] if null.is_null() && !other.is_null() => {
                Some((other, true))
            }
            _ => None,
        }
    }

    fn unnamed(&mut self, what: &'a Type) -> Result<SchemaBuilder> {
        let logical_type = self.document.property(what, "logicalType");
        let is = |name: &str| self.document.is_logical(what, name);
        Ok(match &what.shape {
            Shape::Null => {
                return Err(Error::data(
                    "Standalone null schemas are not supported by this converter",
                ));
            }
            Shape::Boolean => Schema::builder(Kind::Boolean),
            Shape::Float => Schema::builder(Kind::Float32),
            Shape::Double => Schema::builder(Kind::Float64),
            Shape::String => Schema::builder(Kind::String),
            Shape::Long if is("timestamp-millis") => Schema::timestamp_builder(),
            Shape::Long => Schema::builder(Kind::Int64),
            Shape::Int if is("date") => Schema::date_builder(),
            Shape::Int if is("time-millis") => Schema::time_builder(),
            Shape::Int if logical_type.is_some() => Schema::builder(Kind::Int32),
            Shape::Int => self.int(what)?,
            Shape::Bytes if is("decimal") => self.decimal(what)?,
            Shape::Bytes => Schema::builder(Kind::Bytes),
            Shape::Array(items) => self.array(items)?,
            Shape::Map(values) => {
                let values = self.schema(values, Around::default())?;
                Schema::map_builder(Schema::string(false), values)
            }
            Shape::Union(members) => self.union(members)?,
            Shape::Named(_) => unreachable!("the caller has seen to these"),
        })
    }

    fn int(&self, what: &Type) -> Result<SchemaBuilder> {
        let kind = match self.document.property(what, "connect.type").and_then(Json::as_text) {
            None => Kind::Int32,
            Some("int8") => Kind::Int8,
            Some("int16") => Kind::Int16,
            Some(other) => {
                return Err(Error::data("connect.type of an int is neither int8 nor int16")
                    .context("connect.type", other));
            }
        };
        Ok(Schema::builder(kind))
    }

    fn decimal(&self, what: &Type) -> Result<SchemaBuilder> {
        let number = |name| self.document.property(what, name);
        let scale = self.document.decimal_scale(what).unwrap_or(0);
        let mut builder = Schema::decimal_builder(scale);
        if let Some(precision) = number("precision") {
            let precision = precision
                .as_int()
                .ok_or_else(|| Error::data("precision property must be a JSON Integer."))?;
            if precision != DEFAULT_PRECISION {
                builder = builder.parameter(PRECISION, precision.to_string());
            }
        }
        Ok(builder)
    }

    fn array(&mut self, items: &'a Type) -> Result<SchemaBuilder> {
        let entry = self.document.definition(items).filter(|named| is_map_entry(named));
        let Some(entry) = entry else {
            return Ok(Schema::array_builder(self.schema(items, Around::default())?));
        };
        let part = |name: &str| entry.fields().iter().find(|f| &*f.name == name);
        let (Some(key), Some(value), 2) = (part("key"), part("value"), entry.fields().len()) else {
            return Err(Error::data(
                "Found map encoded as array of key-value pairs, but array elements do not match \
                 the expected format.",
            ));
        };
        let Shape::Named(place) = items.shape else { unreachable!("it has a definition") };
        if self.open.contains(&place) {
            return self.schema(items, Around::default()).map(Schema::array_builder);
        }
        self.open.push(place);
        let key = self.schema(&key.value, Around::default());
        let value = self.schema(&value.value, Around::default());
        self.open.pop();
        Ok(Schema::map_builder(key?, value?))
    }

    fn union(&mut self, members: &'a [Type]) -> Result<SchemaBuilder> {
        let mut builder = Schema::struct_builder();
        if self.config.generalized_sum_types {
            let name = format!("{}{}", names::GENERALIZED_UNION_PREFIX, self.unions);
            *self.unions += 1;
            builder = builder.name(&*name).parameter(names::GENERALIZED_UNION, &*name);
        } else {
            builder = builder.name(names::UNION);
        }
        let mut seen = Vec::with_capacity(members.len());
        for (i, member) in members.iter().enumerate() {
            if member.is_null() {
                builder = builder.optional();
                continue;
            }
            let name = names::member_of_union(self.document, member, i, self.config);
            if seen.contains(&name) {
                return Err(Error::data(
                    "Multiple union schemas map to the Connect union field name: set \
                     enhanced.avro.schema.support=true to tell them apart",
                )
                .context("name", &name));
            }
            let around = Around { is_optional: true, ..Around::default() };
            builder = builder.field(&*name, self.schema(member, around)?);
            seen.push(name);
        }
        Ok(builder)
    }

    fn named(&mut self, named: &'a Named) -> Result<SchemaBuilder> {
        match &named.definition {
            Definition::Record(_) => self.record(named),
            Definition::Enum { symbols, default } => {
                Ok(self.enumeration(named, symbols, default.as_ref()))
            }
            Definition::Fixed(size) => {
                let what = self.open.last().expect("the caller has put it there");
                let what = Type::plain(Shape::Named(*what));
                let builder = match self.document.is_logical(&what, "decimal") {
                    true => self.decimal(&what)?,
                    false => Schema::builder(Kind::Bytes),
                };
                Ok(builder.parameter(FIXED_SIZE, size.to_string()))
            }
        }
    }

    fn record(&mut self, record: &'a Named) -> Result<SchemaBuilder> {
        let with_docs = self.config.connect_meta_data && !self.config.discard_type_doc_default;
        let mut builder = Schema::struct_builder();
        if let Some(doc) = record.doc.as_ref().filter(|_| with_docs) {
            builder = builder.parameter(names::RECORD_DOC, Arc::clone(doc));
        }
        for field in record.fields() {
            if let Some(doc) = field.doc.as_ref().filter(|_| with_docs) {
                let name = format!("{}{}", names::FIELD_DOC, field.name);
                builder = builder.parameter(name, Arc::clone(doc));
            }
            let around = Around {
                default: field.default.as_ref(),
                doc: field.doc.as_ref(),
                ..Around::default()
            };
            let mut schema =
                self.schema(&field.value, around).map_err(|e| e.context("field", &field.name))?;
            let own = crate::avro::schema::property(&field.properties, names::PARAMETERS);
            if let Some(Json::Object(own)) = own.filter(|_| self.config.connect_meta_data) {
                schema = with_parameters(schema, own);
            }
            builder = builder.field(Arc::clone(&field.name), schema);
        }
        Ok(builder)
    }

    fn enumeration(
        &self,
        named: &Named,
        symbols: &[Arc<str>],
        default: Option<&Arc<str>>,
    ) -> SchemaBuilder {
        let discard = self.config.discard_type_doc_default;
        let mut builder = Schema::builder(Kind::String);
        if self.config.connect_meta_data {
            if let Some(doc) = &named.doc {
                let name = match discard {
                    true => names::CONNECT_ENUM_DOC.to_owned(),
                    false => format!("{}{}", names::ENUM_DOC, named.short_name()),
                };
                builder = builder.parameter(name, Arc::clone(doc));
            }
            if let Some(default) = default.filter(|_| !discard) {
                let name = format!("{}{}", names::ENUM_DEFAULT, named.short_name());
                builder = builder.parameter(name, Arc::clone(default));
            }
        }
        let generalized = self.config.generalized_sum_types;
        let parameter = if generalized { names::GENERALIZED_ENUM } else { names::ENUM };
        builder = builder.parameter(parameter, Arc::clone(&named.name));
        for (i, symbol) in symbols.iter().enumerate() {
            let value = if generalized { i.to_string().into() } else { Arc::clone(symbol) };
            builder = builder.parameter(format!("{parameter}.{symbol}"), value);
        }
        builder
    }

    /// What properties and place add to every type.
    fn finish(
        &mut self,
        what: &'a Type,
        mut builder: SchemaBuilder,
        around: Around<'_>,
    ) -> Result<SchemaRef> {
        builder = self.documented(what, builder, around.doc);
        builder = self.versioned(what, builder, around.version)?;
        let property = |name| self.document.property(what, name);
        match property(names::PARAMETERS).filter(|_| self.config.connect_meta_data) {
            None => {}
            Some(Json::Object(parameters)) => {
                for (name, value) in parameters {
                    let Json::Text(value) = value else {
                        return Err(Error::data("Expected schema parameter values to be strings")
                            .context("parameter", name));
                    };
                    builder = builder.parameter(Arc::clone(name), Arc::clone(value));
                }
            }
            Some(_) => return Err(Error::data("Expected JSON object for schema parameters")),
        }
        for (name, value) in self.document.properties(what) {
            if name.starts_with("avro") {
                builder = builder.parameter(Arc::clone(name), java_text(value));
            }
        }
        builder = self.name(what, builder)?;
        if around.is_optional {
            builder = builder.optional();
        }
        let own_default = property(names::DEFAULT);
        let default = around.default.or(own_default);
        let value = |builder: &SchemaBuilder| {
            default_value(self.document, what, &builder.clone().build(), default?)
        };
        let is_fields = around.default.is_some_and(|json| {
            own_default.is_none() && (*json == Json::Null || value(&builder).is_some())
        });
        if is_fields && self.config.connect_meta_data && !self.config.discard_type_doc_default {
            builder = builder.parameter(FIELD_DEFAULT, "true");
        }
        let Some(default) = value(&builder).filter(|value| !value.is_null()) else {
            return Ok(builder.build());
        };
        let without = builder.clone();
        Ok(builder.default_value(default).unwrap_or(without).build())
    }

    fn documented(
        &self,
        what: &Type,
        mut builder: SchemaBuilder,
        of_field: Option<&Arc<str>>,
    ) -> SchemaBuilder {
        let property = self.document.property(what, names::DOC).and_then(Json::as_text);
        if !self.config.discard_type_doc_default {
            return match property.filter(|_| self.config.connect_meta_data) {
                Some(doc) => builder.doc(doc),
                None => builder,
            };
        }
        let own = self.document.definition(what).and_then(|named| named.doc.as_deref());
        if let Some(doc) = of_field.map(|doc| &**doc).or(own).or(property) {
            builder = builder.doc(doc);
        }
        match own.filter(|_| self.config.connect_meta_data) {
            Some(doc) => builder.parameter(names::CONNECT_RECORD_DOC, doc),
            None => builder,
        }
    }

    fn versioned(
        &self,
        what: &Type,
        builder: SchemaBuilder,
        of_subject: Option<i32>,
    ) -> Result<SchemaBuilder> {
        let given = builder.clone().build().version();
        let written =
            match self.document.property(what, names::VERSION) {
                None => None,
                Some(version) => Some(version.as_int().ok_or_else(|| {
                    Error::data("Invalid Connect version found: it is no number")
                })?),
            };
        match (given, written.filter(|version| *version >= 0)) {
            (Some(given), Some(written)) if given != written => {
                Err(Error::data("Mismatched versions: a logical type has another version")
                    .context("version", given)
                    .context("connect.version", written))
            }
            (Some(_), _) => Ok(builder),
            (None, written) => Ok(match written.or(of_subject) {
                Some(version) => builder.version(version),
                None => builder,
            }),
        }
    }

    fn name(&self, what: &Type, builder: SchemaBuilder) -> Result<SchemaBuilder> {
        let given = builder.clone().build();
        let own = match self.document.property(what, names::NAME) {
            Some(Json::Text(name)) => Some(name),
            Some(_) => return Err(Error::data("Invalid schema name: connect.name is no text")),
            None => self
                .document
                .definition(what)
                .map(|named| &named.name)
                .filter(|_| given.name() != Some(logical::DECIMAL)),
        };
        let Some(own) = own.filter(|name| !name.starts_with(DEFAULT_RECORD)) else {
            return Ok(builder);
        };
        match given.name() {
            None => Ok(builder.name(Arc::clone(own))),
            Some(given) if given == &**own => Ok(builder),
            Some(given) => Err(Error::data(
                "Mismatched names: name already added to SchemaBuilder differs from name in \
                 source schema",
            )
            .context("logical type", given)
            .context("name", own)),
        }
    }
}

/// The schema with parameters that a field adds to those of its type.
fn with_parameters(schema: SchemaRef, own: &[(Arc<str>, Json)]) -> SchemaRef {
    let adds =
        |(name, value): &(Arc<str>, Json)| schema.parameter(name) != Some(&*java_text(value));
    if !own.iter().any(adds) {
        return schema;
    }
    let mut builder = schema.to_builder();
    for (name, value) in own {
        builder = builder.parameter(Arc::clone(name), java_text(value));
    }
    builder.build()
}

/// A property as `toString` prints what Java makes of it.
fn java_text(value: &Json) -> Arc<str> {
    match value {
        Json::Text(text) => Arc::clone(text),
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(java_text).collect();
            format!("[{}]", items.join(", ")).into()
        }
        Json::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{name}={}", java_text(value)))
                .collect();
            format!("{{{}}}", members.join(", ")).into()
        }
        other => {
            let mut out = Vec::new();
            other.append(&mut out);
            String::from_utf8_lossy(&out).into()
        }
    }
}

/// A default as a value of the Connect schema of its type; none when it does not fit.
pub(crate) fn default_value(
    document: &Document,
    what: &Type,
    schema: &SchemaRef,
    json: &Json,
) -> Option<Value> {
    let int = || match json {
        Json::Integer(number) => i32::try_from(*number).ok(),
        _ => None,
    };
    if let Shape::Union(members) = &what.shape {
        return default_of_union(document, members, schema, json);
    }
    Some(match (schema.kind(), schema.name().unwrap_or("")) {
        (Kind::Int8, _) => Value::Int8(int()? as i8),
        (Kind::Int16, _) => Value::Int16(int()? as i16),
        (Kind::Int32, logical::DATE) => Value::Date(int()?),
        (Kind::Int32, logical::TIME) => {
            Value::Time(int().filter(|millis| TIME_MILLIS.contains(millis))?)
        }
        (Kind::Int32, _) => Value::Int32(int()?),
        (Kind::Int64, name) => match json {
            Json::Integer(number) if name == logical::TIMESTAMP => Value::Timestamp(*number),
            Json::Integer(number) => Value::Int64(*number),
            _ => return None,
        },
        (Kind::Float32, _) => Value::Float32(json.as_double()? as f32),
        (Kind::Float64, _) => Value::Float64(json.as_double()?),
        (Kind::Boolean, _) => match json {
            Json::Boolean(value) => Value::Boolean(*value),
            _ => return None,
        },
        (Kind::String, _) => Value::from(json.as_text()?),
        (Kind::Bytes, logical::DECIMAL) => {
            let bytes = latin(json.as_text()?);
            let unscaled = BigInt::from_signed_bytes_be(&bytes);
            let scale = schema.decimal_scale()?;
            (!bytes.is_empty()).then_some(Value::Decimal(Decimal { unscaled, scale }))?
        }
        (Kind::Bytes, _) => Value::Bytes(latin(json.as_text()?)),
        (Kind::Array, _) => {
            let (Shape::Array(items), Json::Array(values)) = (&what.shape, json) else {
                return None;
            };
            let item = schema.value_schema()?;
            let values = values.iter().map(|v| default_value(document, items, item, v));
            Value::Array(values.collect::<Option<_>>()?)
        }
        (Kind::Map, _) => {
            let (Shape::Map(values), Json::Object(members)) = (&what.shape, json) else {
                return None;
            };
            let inner = schema.value_schema()?;
            let entry = |(name, v): &(Arc<str>, Json)| {
                Some((Value::String(name.clone()), default_value(document, values, inner, v)?))
            };
            Value::Map(members.iter().map(entry).collect::<Option<_>>()?)
        }
        (Kind::Struct, _) => {
            let fields = document.definition(what)?.fields();
            let value = |(field, own): (&crate::avro::schema::RecordField, _)| {
                let own: &millrace_api::data::Field = own;
                let given = json.get(&field.name).or(field.default.as_ref())?;
                default_value(document, &field.value, &own.schema, given)
            };
            let values = fields.iter().zip(schema.fields()).map(value);
            Value::Struct(Struct::new(Arc::clone(schema), values.collect::<Option<_>>()?))
        }
    })
}

/// A default of a union belongs to its first type, and null to null.
fn default_of_union(
    document: &Document,
    members: &[Type],
    schema: &SchemaRef,
    json: &Json,
) -> Option<Value> {
    if *json == Json::Null {
        return members.iter().any(Type::is_null).then_some(Value::Null);
    }
    let is_choice = names::is_choice(schema, members);
    let mut place = 0;
    for member in members {
        if member.is_null() {
            continue;
        }
        if !is_choice {
            return default_value(document, member, schema, json);
        }
        // A text is no enum for Java here, but may be the string of a later member.
        let is_enum = matches!(
            document.definition(member).map(|named| &named.definition),
            Some(Definition::Enum { .. })
        );
        let own = &schema.fields()[place].schema;
        if !is_enum && let Some(value) = default_value(document, member, own, json) {
            let mut values = vec![Value::Null; schema.fields().len()];
            values[place] = value;
            return Some(Value::Struct(Struct::new(Arc::clone(schema), values)));
        }
        place += 1;
    }
    None
}

/// Bytes in a text: a character stands for each.
pub(crate) fn latin(text: &str) -> Bytes {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}
