//! What reads payloads of one writer's schema: compiled once, it knows what follows what.

use std::sync::Arc;

use millrace_api::data::{Kind, SchemaRef, Value, logical};
use millrace_api::{Error, Result};

use crate::avro::anything;
use crate::avro::config::AvroConfig;
use crate::avro::names::is_choice;
use crate::avro::resolve;
use crate::avro::schema::{Definition, Document, Shape, Type};
use crate::avro::skip::Skip;
use crate::avro::to_connect::ToConnect;

/// Reads payloads of one writer's schema.
#[derive(Debug)]
pub(crate) struct Reader {
    /// None for data that Connect has no schema for.
    pub(crate) schema: Option<SchemaRef>,
    plan: Plan,
    /// The payload is the bytes themselves, without their length.
    is_bare: bool,
}

/// In which form a value of a Connect schema was written.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    Boolean,
    Int8,
    Int16,
    Int32,
    Date,
    Time,
    Int64,
    Timestamp,
    Float32,
    Float64,
    Text,
    Bytes,
    /// So many bytes.
    Fixed(usize),
    /// The symbols, or none where the schema to read with has not got it.
    Enum(Arc<[Option<Arc<str>>]>),
    /// With so many digits after the point, in so many bytes if that is fixed.
    Decimal(i32, Option<usize>),
    List(Items),
    /// Keys are strings.
    Map(Items),
    Entries(Box<Entries>),
    Struct(Vec<Plan>),
    /// Null or a value: the branch of null, and whether there is but one.
    Optional(Box<Plan>, i64),
    /// A union of one type.
    Only(Box<Plan>),
    /// A struct of which one field is set: the field of each branch, or null.
    Union(Vec<Option<(usize, Plan)>>),
    /// Data without schema.
    Anything,
    // What follows is there only where data are read with another schema than they were written.
    /// A number that was written as a shorter one.
    Widened(Narrow),
    /// Not written at all, and null.
    Null,
    /// A union of which each branch becomes the same type.
    Alternatives(Vec<Plan>),
    /// A struct of which this field is set.
    Member(usize, Box<Plan>),
    Resolved(Box<Resolved>),
    /// A value that cannot become what is wanted, and why.
    Misfit(Arc<str>),
}

/// What a longer number was written as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Narrow {
    Int,
    Long,
    Float,
}

/// A record whose fields were written in another order, or not all of them, or others too.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// As they were written.
    pub(crate) steps: Vec<Step>,
    /// The fields that were not.
    pub(crate) defaults: Vec<(usize, Value)>,
    /// How many cells these take in columns, with eight bytes of a text for one.
    pub(crate) cells: usize,
    /// How many values they are.
    pub(crate) values: usize,
}

/// What becomes of a field that was written.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It is the field at this place.
    Read(usize, Plan),
    Skip(Skip),
}

/// What an array or map holds.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    pub(crate) plan: Box<Plan>,
    /// How many bytes an item takes at least, its key included.
    pub(crate) least_bytes: usize,
}

/// A map as pairs.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    pub(crate) key: Plan,
    pub(crate) value: Plan,
    pub(crate) key_comes_first: bool,
    pub(crate) least_bytes: usize,
}

impl Reader {
    /// Compiles a writer's schema, which has this version in its subject.
    pub(crate) fn new(
        document: &Document,
        version: Option<i32>,
        config: &AvroConfig,
        unions: &mut usize,
    ) -> Result<Self> {
        if anything::is_described_by(document) {
            return Ok(Self { schema: None, plan: Plan::Anything, is_bare: false });
        }
        let schema = ToConnect::new(document, config, unions).root(version)?;
        let plan = Plan::new(document, &document.root, &schema)?;
        let is_bare = matches!(document.root.shape, Shape::Bytes);
        Ok(Self { schema: Some(schema), plan, is_bare })
    }

    /// Compiles what reads payloads of `written` as data of `wanted`, which has this version.
    pub(crate) fn resolving(
        written: &Document,
        wanted: &Document,
        version: Option<i32>,
        config: &AvroConfig,
        unions: &mut usize,
    ) -> Result<Self> {
        if anything::is_described_by(written) && anything::is_described_by(wanted) {
            return Self::new(wanted, version, config, unions);
        }
        let is_bare = matches!(written.root.shape, Shape::Bytes);
        if is_bare && !matches!(wanted.root.shape, Shape::Bytes) {
            return Err(Error::data("a payload of bytes alone is read as nothing but bytes"));
        }
        let schema = ToConnect::new(wanted, config, unions).root(version)?;
        let plan = resolve::plan(written, wanted, &schema)?;
        Ok(Self { schema: Some(schema), plan, is_bare })
    }

    /// What reads a payload of this length.
    pub(crate) fn plan(&self, payload: usize) -> std::borrow::Cow<'_, Plan> {
        use std::borrow::Cow;
        match &self.plan {
            Plan::Bytes if self.is_bare => Cow::Owned(Plan::Fixed(payload)),
            Plan::Decimal(scale, None) if self.is_bare => {
                Cow::Owned(Plan::Decimal(*scale, Some(payload)))
            }
            plan => Cow::Borrowed(plan),
        }
    }
}

impl Plan {
    /// For values of this type, whose Connect schema is this.
    pub(crate) fn new(document: &Document, what: &Type, schema: &SchemaRef) -> Result<Self> {
        Ok(match &what.shape {
            Shape::Null => return Err(Error::data("a null alone has no value")),
            Shape::Boolean => Self::Boolean,
            Shape::Int => match (schema.kind(), schema.name()) {
                (Kind::Int8, _) => Self::Int8,
                (Kind::Int16, _) => Self::Int16,
                (_, Some(logical::DATE)) => Self::Date,
                (_, Some(logical::TIME)) => Self::Time,
                _ => Self::Int32,
            },
            Shape::Long if schema.name() == Some(logical::TIMESTAMP) => Self::Timestamp,
            Shape::Long => Self::Int64,
            Shape::Float => Self::Float32,
            Shape::Double => Self::Float64,
            Shape::String => Self::Text,
            Shape::Bytes => match scale(schema)? {
                Some(scale) => Self::Decimal(scale, None),
                None => Self::Bytes,
            },
            Shape::Array(items) if schema.kind() == Kind::Map => {
                Self::entries(document, items, schema)?
            }
            Shape::Array(items) => Self::List(Items::new(document, items, schema, 0)?),
            Shape::Map(values) => Self::Map(Items::new(document, values, schema, 1)?),
            Shape::Union(members) => Self::union(document, members, schema)?,
            Shape::Named(place) => match &document.named[*place].definition {
                Definition::Enum { symbols, .. } => {
                    Self::Enum(symbols.iter().cloned().map(Some).collect())
                }
                Definition::Fixed(size) => match scale(schema)? {
                    Some(scale) => Self::Decimal(scale, Some(*size)),
                    None => Self::Fixed(*size),
                },
                Definition::Record(fields) => {
                    let pairs = fields.iter().zip(schema.fields());
                    let plans =
                        pairs.map(|(field, own)| Self::new(document, &field.value, &own.schema));
                    Self::Struct(plans.collect::<Result<_>>()?)
                }
            },
        })
    }

    fn entries(document: &Document, items: &Type, schema: &SchemaRef) -> Result<Self> {
        let entry = document.definition(items).map(|named| named.fields()).unwrap_or_default();
        let plan = |name: &str, schema: Option<&SchemaRef>| {
            let field = entry.iter().position(|field| &*field.name == name);
            let at = field.ok_or_else(|| Error::data("a map's entries have no key or no value"))?;
            Ok::<_, Error>((Self::new(document, &entry[at].value, part(schema)?)?, at))
        };
        let (key, at) = plan("key", schema.key_schema())?;
        let (value, _) = plan("value", schema.value_schema())?;
        Ok(Self::Entries(Box::new(Entries::new(key, value, at == 0))))
    }

    fn union(document: &Document, members: &[Type], schema: &SchemaRef) -> Result<Self> {
        let is_choice = is_choice(schema, members);
        match members {
            [only] if !is_choice => {
                return Ok(Self::Only(Box::new(Self::new(document, only, schema)?)));
            }
            [null, other] if null.is_null() && !is_choice => {
                return Ok(Self::Optional(Box::new(Self::new(document, other, schema)?), 0));
            }
            [other, null] if null.is_null() && !is_choice => {
                return Ok(Self::Optional(Box::new(Self::new(document, other, schema)?), 1));
            }
            _ => {}
        }
        let mut branches = Vec::with_capacity(members.len());
        let mut fields = schema.fields().iter().enumerate();
        for member in members {
            branches.push(match member.is_null() {
                true => None,
                false => {
                    let (at, field) = fields
                        .next()
                        .ok_or_else(|| Error::data("a union has more members than fields"))?;
                    Some((at, Self::new(document, member, &field.schema)?))
                }
            });
        }
        Ok(Self::Union(branches))
    }

    /// How many bytes a value takes at least.
    fn least_bytes(&self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float64 => 8,
            Self::Fixed(size) | Self::Decimal(_, Some(size)) => *size,
            Self::Struct(fields) => {
                fields.iter().fold(0, |sum, field| sum.saturating_add(field.least_bytes()))
            }
            Self::Only(inner) => inner.least_bytes().saturating_add(1),
            Self::Widened(Narrow::Float) => 4,
            Self::Null | Self::Misfit(_) => 0,
            Self::Member(_, plan) => plan.least_bytes(),
            Self::Resolved(resolved) => {
                let bytes = resolved.steps.iter().map(|step| match step {
                    Step::Read(_, plan) => plan.least_bytes(),
                    Step::Skip(skip) => skip.least_bytes,
                });
                bytes.fold(0, usize::saturating_add)
            }
            _ => 1,
        }
    }
}

impl Items {
    fn new(document: &Document, what: &Type, schema: &SchemaRef, key_bytes: usize) -> Result<Self> {
        Ok(Self::of(Plan::new(document, what, part(schema.value_schema())?)?, key_bytes))
    }

    /// Each has a key of at least so many bytes.
    pub(crate) fn of(plan: Plan, key_bytes: usize) -> Self {
        let least_bytes = plan.least_bytes().saturating_add(key_bytes);
        Self { plan: Box::new(plan), least_bytes }
    }
}

impl Entries {
    pub(crate) fn new(key: Plan, value: Plan, key_comes_first: bool) -> Self {
        let least_bytes = key.least_bytes().saturating_add(value.least_bytes());
        Self { key, value, key_comes_first, least_bytes }
    }
}

impl Resolved {
    /// The cheapest plan that does this.
    pub(crate) fn plan(steps: Vec<Step>, defaults: Vec<(usize, Value)>) -> Plan {
        let in_order = |(at, step): (usize, &Step)| matches!(step, Step::Read(to, _) if *to == at);
        if !defaults.is_empty() || !steps.iter().enumerate().all(in_order) {
            let (mut cells, mut values) = (0, 0);
            for (_, default) in &defaults {
                weigh(default, &mut cells, &mut values);
            }
            return Plan::Resolved(Box::new(Self { steps, defaults, cells, values }));
        }
        let plan = |step| match step {
            Step::Read(_, plan) => Some(plan),
            Step::Skip(_) => None,
        };
        Plan::Struct(steps.into_iter().filter_map(plan).collect())
    }
}

/// Adds the cells and the values of a value.
fn weigh(value: &Value, cells: &mut usize, values: &mut usize) {
    *cells += 1;
    *values += 1;
    match value {
        Value::String(text) => *cells += text.len() / 8,
        Value::Bytes(bytes) => *cells += bytes.len() / 8,
        Value::Array(items) => items.iter().for_each(|item| weigh(item, cells, values)),
        Value::Map(entries) => {
            for (key, value) in entries {
                weigh(key, cells, values);
                weigh(value, cells, values);
            }
        }
        Value::Struct(s) => s.values().iter().for_each(|value| weigh(value, cells, values)),
        _ => {}
    }
}

pub(crate) fn part(schema: Option<&SchemaRef>) -> Result<&SchemaRef> {
    schema.ok_or_else(|| Error::data("an array or map has no schema for its values"))
}

/// The scale of a decimal; none for other bytes.
pub(crate) fn scale(schema: &SchemaRef) -> Result<Option<i32>> {
    let scale = schema.decimal_scale();
    if scale.is_none() && schema.name() == Some(logical::DECIMAL) {
        return Err(Error::data("a decimal has no scale").context("parameter", logical::SCALE));
    }
    Ok(scale)
}
