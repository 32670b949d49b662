//! What writes Connect data with an Avro schema: compiled once, it knows each value's branch, and
//! what stands for each null.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_api::data::{Kind, Schema, SchemaRef, logical};
use millrace_api::{Error, Result};

use crate::avro::anything;
use crate::avro::config::AvroConfig;
use crate::avro::default_json::append_default;
use crate::avro::encode::append_long;
use crate::avro::json::Json;
use crate::avro::names::{self, is_map_entry};
use crate::avro::schema::{Definition, Document, RecordField, Shape as AvroShape, Type};
use crate::json::Fault;

/// Writes data of one Connect schema with one Avro schema.
#[derive(Debug)]
pub(crate) struct Writer {
    /// None for data without schema.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) plan: Plan,
}

/// How values of a Connect schema are written.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The branch of a union that the value is in.
    pub(crate) lead: Vec<u8>,
    pub(crate) null: Null,
    pub(crate) shape: Shape,
}

/// What stands for null.
#[derive(Debug)]
pub(crate) enum Null {
    Bytes(Vec<u8>),
    Fault(&'static str),
    /// A default that cannot be written.
    Default(Fault),
}

#[derive(Debug)]
pub(crate) enum Shape {
    /// Ints and longs, which look the same.
    Integer,
    /// Milliseconds of a day.
    Time,
    Float,
    /// A `float` that is read as a `double`.
    Widened,
    Double,
    Boolean,
    Text,
    Bytes,
    /// Bytes that are all there is: no length says where they end.
    Bare,
    Fixed(usize),
    Enum(HashMap<Arc<str>, Vec<u8>>),
    /// In so many bytes, if that is fixed.
    Decimal(Option<usize>),
    BareDecimal,
    List(Box<Plan>),
    Map(Box<Plan>),
    Entries(Box<(Plan, Plan)>),
    Struct(Vec<Step>),
    /// The first field that is set.
    Union(Vec<(Arc<str>, Plan)>),
    Anything,
}

/// What comes next in a record.
#[derive(Debug)]
pub(crate) enum Step {
    Field {
        at: usize,
        name: Arc<str>,
        plan: Plan,
    },
    /// The default of a field that the data do not have.
    Constant(Vec<u8>),
}

impl Writer {
    /// Compiles what writes data of a Connect schema with an Avro schema.
    pub(crate) fn new(
        schema: Option<&SchemaRef>,
        document: &Document,
        config: &AvroConfig,
    ) -> Result<Self> {
        let compiler = Compiler { document, config };
        let Some(schema) = schema else {
            if !anything::is_described_by(document) {
                return Err(misfit("data without schema", document, &document.root));
            }
            return Ok(Self { schema: None, plan: Plan::anything() });
        };
        let mut plan = compiler.plan(schema, &document.root, false)?;
        if matches!(document.root.shape, AvroShape::Bytes) {
            plan.shape = match plan.shape {
                Shape::Bytes => Shape::Bare,
                Shape::Decimal(_) => Shape::BareDecimal,
                other => other,
            };
        }
        Ok(Self { schema: Some(Arc::clone(schema)), plan })
    }
}

impl Plan {
    fn anything() -> Self {
        Self { lead: Vec::new(), null: Null::Bytes(vec![0; 9]), shape: Shape::Anything }
    }
}

fn misfit(data: &str, document: &Document, what: &Type) -> Error {
    Error::data(
        "the data do not fit the Avro schema they are to be written with: register one that has \
         what they have, or let the converter do it (auto.register.schemas=true)",
    )
    .context("data", data)
    .context("Avro", document.kind_of(what))
}

struct Compiler<'a> {
    document: &'a Document,
    config: &'a AvroConfig,
}

impl Compiler<'_> {
    /// How values of a Connect schema are written as this type; in a field, null is its default.
    fn plan(&self, schema: &SchemaRef, what: &Type, in_field: bool) -> Result<Plan> {
        let members = match &what.shape {
            AvroShape::Union(members) => &members[..],
            _ => &[],
        };
        let null = members.iter().position(Type::is_null);
        let mut plan = if names::is_union(schema) && schema.kind() == Kind::Struct {
            self.choice(schema, what, members)?
        } else if members.is_empty() {
            Plan { lead: Vec::new(), null: Null::Fault(""), shape: self.shape(schema, what)? }
        } else {
            let place = self.branch(schema, members);
            let place = place.ok_or_else(|| misfit(schema.kind().name(), self.document, what))?;
            let shape = self.shape(schema, &members[place])?;
            Plan { lead: index(place), null: Null::Fault(""), shape }
        };
        plan.null = match null {
            _ if !schema.is_optional() => Null::Fault("Found null value for non-optional schema"),
            None => Null::Fault("the Avro schema allows no null here"),
            Some(place) => Null::Bytes(index(place)),
        };
        let default = schema.default().filter(|default| !default.is_null());
        if let Some(default) = default
            && in_field
            && !self.config.ignore_default_for_nullables
        {
            let mut bytes = Vec::new();
            plan.null = match plan.append_value(default, &mut bytes) {
                Ok(()) => Null::Bytes(bytes),
                Err(fault) => Null::Default(fault),
            };
        }
        Ok(plan)
    }

    /// The member of a union that such values are in: one of the same name before one alike.
    fn branch(&self, schema: &Schema, members: &[Type]) -> Option<usize> {
        let name = match names::enum_parameter(schema, self.config) {
            Some(parameter) => schema.parameter(parameter),
            None => schema.name(),
        };
        let named = |member: &&Type| {
            let own = self.document.definition(member).map(|named| &*named.name);
            own.is_some() && own == name
        };
        let found = members.iter().find(named).filter(|member| self.is_like(schema, member));
        let found = found.or_else(|| members.iter().find(|member| self.is_like(schema, member)));
        found.and_then(|found| members.iter().position(|member| std::ptr::eq(member, found)))
    }

    /// Whether such values may be of this type, as far as kinds tell.
    fn is_like(&self, schema: &Schema, what: &Type) -> bool {
        let definition = self.document.definition(what).map(|named| &named.definition);
        let is_entries = |items: &Type| self.document.definition(items).is_some_and(is_map_entry);
        match (schema.kind(), &what.shape) {
            (Kind::Int8 | Kind::Int16 | Kind::Int32, AvroShape::Int | AvroShape::Long)
            | (Kind::Int64, AvroShape::Long)
            | (Kind::Float32, AvroShape::Float | AvroShape::Double)
            | (Kind::Float64, AvroShape::Double)
            | (Kind::Boolean, AvroShape::Boolean)
            | (Kind::String, AvroShape::String)
            | (Kind::Bytes, AvroShape::Bytes)
            | (Kind::Map, AvroShape::Map(_)) => true,
            (Kind::Array, AvroShape::Array(items)) => !is_entries(items),
            (Kind::Map, AvroShape::Array(items)) => is_entries(items),
            (Kind::String, _) => matches!(definition, Some(Definition::Enum { .. })),
            (Kind::Bytes, _) => matches!(definition, Some(Definition::Fixed(_))),
            (Kind::Struct, _) => matches!(definition, Some(Definition::Record(_))),
            _ => false,
        }
    }

    fn choice(&self, schema: &SchemaRef, what: &Type, members: &[Type]) -> Result<Plan> {
        let mut plans = Vec::with_capacity(schema.fields().len());
        let mut taken = vec![false; members.len()];
        for field in schema.fields() {
            let named = members.iter().enumerate().position(|(i, member)| {
                !member.is_null()
                    && names::member_of_union(self.document, member, i, self.config) == *field.name
            });
            let place = named.or_else(|| {
                let alike = |(i, m): (usize, &Type)| !taken[i] && self.is_like(&field.schema, m);
                members.iter().enumerate().position(alike)
            });
            let place = place.filter(|place| self.is_like(&field.schema, &members[*place]));
            let place = place.ok_or_else(|| {
                misfit(schema.kind().name(), self.document, what).context("field", &field.name)
            })?;
            taken[place] = true;
            let shape = self.shape(&field.schema, &members[place])?;
            let null = Null::Fault("null is no member of a union");
            plans.push((Arc::clone(&field.name), Plan { lead: index(place), null, shape }));
        }
        Ok(Plan { lead: Vec::new(), null: Null::Fault(""), shape: Shape::Union(plans) })
    }

    fn shape(&self, schema: &SchemaRef, what: &Type) -> Result<Shape> {
        if !self.is_like(schema, what) {
            return Err(misfit(schema.kind().name(), self.document, what));
        }
        self.check_logical(schema, what)?;
        let inner = |schema: Option<&SchemaRef>, what: &Type| match schema {
            Some(schema) => self.plan(schema, what, false),
            None => Ok(Plan::anything()),
        };
        Ok(match (schema.kind(), &what.shape) {
            (Kind::Int32, _) if schema.name() == Some(logical::TIME) => Shape::Time,
            (Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64, _) => Shape::Integer,
            (Kind::Float32, AvroShape::Double) => Shape::Widened,
            (Kind::Float32, _) => Shape::Float,
            (Kind::Float64, _) => Shape::Double,
            (Kind::Boolean, _) => Shape::Boolean,
            (Kind::Bytes, AvroShape::Bytes) => match schema.decimal_scale() {
                Some(_) => Shape::Decimal(None),
                None => Shape::Bytes,
            },
            (Kind::Array, AvroShape::Array(items)) => {
                Shape::List(Box::new(inner(schema.value_schema(), items)?))
            }
            (Kind::Map, AvroShape::Map(values)) => {
                Shape::Map(Box::new(inner(schema.value_schema(), values)?))
            }
            (Kind::Map, AvroShape::Array(items)) => {
                let entry = self.document.definition(items).map(|named| named.fields());
                let Some([key, value]) = entry else {
                    return Err(misfit("a map", self.document, items));
                };
                let key = self.entry_part(schema.key_schema(), key)?;
                Shape::Entries(Box::new((key, self.entry_part(schema.value_schema(), value)?)))
            }
            (_, AvroShape::Named(place)) => match &self.document.named[*place].definition {
                Definition::Enum { symbols, .. } => {
                    let symbols = symbols.iter().enumerate();
                    Shape::Enum(symbols.map(|(i, s)| (Arc::clone(s), index(i))).collect())
                }
                Definition::Fixed(size) => match schema.decimal_scale() {
                    Some(_) => Shape::Decimal(Some(*size)),
                    None => Shape::Fixed(*size),
                },
                Definition::Record(fields) => Shape::Struct(self.steps(schema, fields)?),
            },
            _ => Shape::Text,
        })
    }

    /// The key or the value of a map that is written as pairs.
    fn entry_part(&self, schema: Option<&SchemaRef>, field: &RecordField) -> Result<Plan> {
        match schema {
            Some(schema) => self.plan(schema, &field.value, false),
            None => Ok(Plan::anything()),
        }
    }

    /// Refuses what would be written as a number and read as another.
    fn check_logical(&self, schema: &Schema, what: &Type) -> Result<()> {
        let property = self.document.property(what, "logicalType").and_then(Json::as_text);
        let Some(written) = property.map(str::to_ascii_lowercase) else {
            return Ok(());
        };
        let ours = match schema.name() {
            Some(logical::DECIMAL) => {
                let scale = self.document.property(what, "scale").and_then(Json::as_int);
                if written == "decimal" && Some(scale.unwrap_or(0)) != schema.decimal_scale() {
                    return Err(misfit("a Decimal of another scale", self.document, what));
                }
                "decimal"
            }
            Some(logical::DATE) => "date",
            Some(logical::TIME) => "time-millis",
            Some(logical::TIMESTAMP) => "timestamp-millis",
            _ => return Ok(()),
        };
        let means_time = written.starts_with("time") || written.starts_with("date");
        if written != ours && (means_time || ours == "decimal") {
            return Err(misfit(ours, self.document, what).context("logicalType", written));
        }
        Ok(())
    }

    fn steps(&self, schema: &SchemaRef, fields: &[RecordField]) -> Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(fields.len());
        let mut known = vec![false; schema.fields().len()];
        for field in fields {
            let is = |name: &str| names::scrubbed(name, self.config) == *field.name;
            let found = schema.fields().iter().position(|own| is(&own.name));
            steps.push(match found {
                Some(at) => {
                    known[at] = true;
                    let name = Arc::clone(&schema.fields()[at].name);
                    let plan = self.plan(&schema.fields()[at].schema, &field.value, true);
                    let plan = plan.map_err(|e| e.context("in field", &name))?;
                    Step::Field { at, name, plan }
                }
                None => Step::Constant(self.constant(field)?),
            });
        }
        match known.iter().position(|known| !known) {
            None => Ok(steps),
            Some(at) => Err(Error::data(
                "the data have a field that the Avro schema has not: drop it (ReplaceField), or \
                 register a schema that has it",
            )
            .context("field", &schema.fields()[at].name)),
        }
    }

    fn constant(&self, field: &RecordField) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let default = field.default.as_ref();
        default
            .and_then(|json| append_default(self.document, &field.value, json, &mut bytes))
            .map(|()| bytes)
            .ok_or_else(|| {
                Error::data("the Avro schema has a field without default that the data have not")
                    .context("field", &field.name)
            })
    }
}

/// The place of a branch or a symbol.
fn index(place: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_long(place as i64, &mut bytes);
    bytes
}
