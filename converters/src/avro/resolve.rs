//! Decides how what was written with one schema is read as another, by Avro's rules of resolution.
//! It is decided once a writer's schema: rows that need nothing of it pay nothing for it.

use std::collections::HashMap;

use millrace_api::data::{Kind, SchemaRef};
use millrace_api::{Error, Result};

use crate::avro::names::is_choice;
use crate::avro::reader::{Entries, Items, Narrow, Plan, Resolved, Step, part, scale};
use crate::avro::schema::{Definition, Document, Named, RecordField, Shape, Type, split};
use crate::avro::skip::Skips;
use crate::avro::to_connect::default_value;

/// How many pairs of types are looked at: unions in unions multiply them.
const MAX_PAIRS: usize = 50_000;

/// The plan by which payloads of `written` become data of `wanted`, whose Connect schema is this.
pub(crate) fn plan(written: &Document, wanted: &Document, schema: &SchemaRef) -> Result<Plan> {
    let mut resolver = Resolver { written, wanted, skips: Skips::new(written), pairs: 0 };
    let plan = resolver.plan(&written.root, &wanted.root, schema);
    resolver.is_bounded()?;
    plan
}

struct Resolver<'a> {
    written: &'a Document,
    wanted: &'a Document,
    skips: Skips<'a>,
    pairs: usize,
}

impl Resolver<'_> {
    fn plan(&mut self, from: &Type, to: &Type, schema: &SchemaRef) -> Result<Plan> {
        self.pairs += 1;
        self.is_bounded()?;
        Ok(match (&from.shape, &to.shape) {
            (Shape::Union(members), _) => {
                self.each_branch(members, to, schema).ok_or_else(|| self.misfit(from, to))?
            }
            (_, Shape::Union(members)) => {
                self.best_member(from, members, schema).ok_or_else(|| self.misfit(from, to))?
            }
            (Shape::Named(a), Shape::Named(b)) => self.named(*a, *b, schema)?,
            (Shape::Array(a), Shape::Array(b)) if schema.kind() == Kind::Map => {
                self.entries(a, b, schema)?
            }
            (Shape::Array(a), Shape::Array(b)) => Plan::List(self.items(a, b, schema, 0)?),
            (Shape::Map(a), Shape::Map(b)) => Plan::Map(self.items(a, b, schema, 1)?),
            (Shape::Int, Shape::Long | Shape::Float | Shape::Double) => Plan::Widened(Narrow::Int),
            (Shape::Long, Shape::Float | Shape::Double) => Plan::Widened(Narrow::Long),
            (Shape::Float, Shape::Double) => Plan::Widened(Narrow::Float),
            // Both are a length and bytes.
            (Shape::String, Shape::Bytes) | (Shape::Bytes, Shape::String) => {
                Plan::new(self.wanted, to, schema)?
            }
            _ if from.unnamed().is_some() && from.unnamed() == to.unnamed() => {
                self.same_scale(from, schema)?;
                Plan::new(self.wanted, to, schema)?
            }
            _ => return Err(self.misfit(from, to)),
        })
    }

    fn is_bounded(&self) -> Result<()> {
        if self.pairs <= MAX_PAIRS {
            return Ok(());
        }
        Err(Error::data("two Avro schemas have too many types to be brought together")
            .context("pairs of types at most", MAX_PAIRS))
    }

    fn misfit(&self, from: &Type, to: &Type) -> Error {
        let name = |document: &Document, what: &Type| match document.definition(what) {
            Some(named) => format!("{} {}", document.kind_of(what), named.name),
            None => document.kind_of(what).to_owned(),
        };
        Error::data("what was written cannot be read with the schema to read with")
            .context("written", name(self.written, from))
            .context("wanted", name(self.wanted, to))
    }

    /// Fails when digits would be read with another number of them behind the point.
    fn same_scale(&self, from: &Type, schema: &SchemaRef) -> Result<()> {
        let (Some(written), wanted) = (self.written.decimal_scale(from), scale(schema)?) else {
            return Ok(());
        };
        match wanted.filter(|wanted| *wanted != written) {
            None => Ok(()),
            Some(wanted) => Err(Error::data("a decimal was written with another scale")
                .context("written", written)
                .context("wanted", wanted)),
        }
    }

    /// A plan for values that need not be there: those that are and do not fit fail their rows.
    fn if_any(&mut self, from: &Type, to: &Type, schema: &SchemaRef) -> Plan {
        let plan = self.plan(from, to, schema);
        plan.unwrap_or_else(|error| Plan::Misfit(error.to_string().into()))
    }

    /// Each branch becomes the wanted type, if any can.
    fn each_branch(&mut self, members: &[Type], to: &Type, schema: &SchemaRef) -> Option<Plan> {
        let plans = members.iter().map(|member| self.if_any(member, to, schema));
        let mut plans: Vec<_> = plans.collect();
        if plans.iter().all(|plan| matches!(plan, Plan::Misfit(_))) {
            return None;
        }
        let null = plans.iter().position(|plan| matches!(plan, Plan::Null));
        Some(match (plans.len(), null) {
            (2, Some(null)) => Plan::Optional(Box::new(plans.swap_remove(1 - null)), null as i64),
            _ => Plan::Alternatives(plans),
        })
    }

    /// Becomes the member that is most like it.
    fn best_member(&mut self, from: &Type, members: &[Type], schema: &SchemaRef) -> Option<Plan> {
        let ranked = members.iter().enumerate();
        let mut ranked: Vec<_> =
            ranked.filter_map(|(i, to)| Some((self.distance(from, to)?, i))).collect();
        ranked.sort_unstable();
        for (_, i) in ranked {
            let to = &members[i];
            let plan = if to.is_null() {
                Ok(Plan::Null)
            } else if is_choice(schema, members) {
                let field = members[..i].iter().filter(|member| !member.is_null()).count();
                let plan = self.plan(from, to, &schema.fields()[field].schema);
                plan.map(|plan| Plan::Member(field, Box::new(plan)))
            } else {
                self.plan(from, to, schema)
            };
            if let Ok(plan) = plan {
                return Some(plan);
            }
        }
        None
    }

    /// How unlike a member of a union is; none when it is quite another type.
    fn distance(&self, from: &Type, to: &Type) -> Option<u8> {
        match (&from.shape, &to.shape) {
            (Shape::Named(a), Shape::Named(b)) => {
                let (from, to) = (&self.written.named[*a], &self.wanted.named[*b]);
                match (&from.definition, &to.definition) {
                    _ if from.name == to.name || to.aliases.contains(&from.name) => Some(0),
                    _ if from.short_name() == to.short_name() => Some(1),
                    (Definition::Record(_), Definition::Record(_)) => Some(2),
                    _ => None,
                }
            }
            (Shape::Int, Shape::Long | Shape::Float | Shape::Double)
            | (Shape::Long, Shape::Float | Shape::Double)
            | (Shape::Float, Shape::Double)
            | (Shape::String, Shape::Bytes)
            | (Shape::Bytes, Shape::String) => Some(3),
            _ => (from.unnamed().is_some() && from.unnamed() == to.unnamed()).then_some(0),
        }
    }

    fn items(&mut self, from: &Type, to: &Type, schema: &SchemaRef, key: usize) -> Result<Items> {
        Ok(Items::of(self.if_any(from, to, part(schema.value_schema())?), key))
    }

    fn entries(&mut self, from: &Type, to: &Type, schema: &SchemaRef) -> Result<Plan> {
        let fields = |document: &Document, what: &Type| -> Option<[(usize, Type); 2]> {
            let fields = document.definition(what)?.fields();
            let field = |name: &str| {
                let at = fields.iter().position(|field| &*field.name == name)?;
                Some((at, fields[at].value.clone()))
            };
            (fields.len() == 2).then_some([field("key")?, field("value")?])
        };
        let (Some(written), Some(wanted)) = (fields(self.written, from), fields(self.wanted, to))
        else {
            return Err(self.misfit(from, to));
        };
        let [(at, key), (_, value)] = &written;
        let key = self.if_any(key, &wanted[0].1, part(schema.key_schema())?);
        let value = self.if_any(value, &wanted[1].1, part(schema.value_schema())?);
        Ok(Plan::Entries(Box::new(Entries::new(key, value, *at == 0))))
    }

    fn named(&mut self, from: usize, to: usize, schema: &SchemaRef) -> Result<Plan> {
        let of = |place: usize| Type::plain(Shape::Named(place));
        let (written, wanted) = (&self.written.named[from], &self.wanted.named[to]);
        match (&written.definition, &wanted.definition) {
            (Definition::Record(theirs), Definition::Record(ours)) => {
                self.record(theirs, ours, schema).map_err(|e| e.context("in", &wanted.name))
            }
            (Definition::Fixed(a), Definition::Fixed(b))
                if a == b && is_called(wanted, written) =>
            {
                self.same_scale(&of(from), schema)?;
                Plan::new(self.wanted, &of(to), schema)
            }
            (
                Definition::Enum { symbols: theirs, .. },
                Definition::Enum { symbols: ours, default },
            ) if is_called(wanted, written) => {
                let known = |symbol| ours.contains(symbol).then_some(symbol);
                let symbols = theirs.iter().map(|symbol| known(symbol).or(default.as_ref()));
                Ok(Plan::Enum(symbols.map(Option::<&_>::cloned).collect()))
            }
            _ => Err(self.misfit(&of(from), &of(to))),
        }
    }

    fn record(
        &mut self,
        theirs: &[RecordField],
        ours: &[RecordField],
        schema: &SchemaRef,
    ) -> Result<Plan> {
        let readers = readers(theirs, ours);
        let mut steps = Vec::with_capacity(theirs.len());
        for (field, reader) in theirs.iter().zip(&readers) {
            steps.push(match reader {
                Some(at) => {
                    let plan = self.plan(&field.value, &ours[*at].value, field_schema(schema, *at));
                    Step::Read(*at, plan.map_err(|e| e.context("field", &field.name))?)
                }
                None => Step::Skip(self.skips.of(&field.value)),
            });
        }
        let mut defaults = Vec::new();
        for (at, field) in ours.iter().enumerate().filter(|(at, _)| !readers.contains(&Some(*at))) {
            let default = field.default.as_ref().and_then(|json| {
                default_value(self.wanted, &field.value, field_schema(schema, at), json)
            });
            let default = default.ok_or_else(|| {
                Error::data(
                    "a field was not written, and the schema to read with has no default for it",
                )
                .context("field", &field.name)
            })?;
            defaults.push((at, default));
        }
        Ok(Resolved::plan(steps, defaults))
    }
}

fn field_schema(schema: &SchemaRef, at: usize) -> &SchemaRef {
    &schema.fields()[at].schema
}

/// Which of our fields reads each of theirs: the one with its name, else with that as an alias.
fn readers(theirs: &[RecordField], ours: &[RecordField]) -> Vec<Option<usize>> {
    let places: HashMap<&str, usize> =
        theirs.iter().enumerate().map(|(at, field)| (&*field.name, at)).collect();
    let mut readers = vec![None; theirs.len()];
    let mut has_source = vec![false; ours.len()];
    let mut take = |name: &str, reader: usize| {
        if let Some(at) = places.get(name)
            && readers[*at].is_none()
            && !has_source[reader]
        {
            readers[*at] = Some(reader);
            has_source[reader] = true;
        }
    };
    for (reader, field) in ours.iter().enumerate() {
        take(&field.name, reader);
    }
    for (reader, field) in ours.iter().enumerate() {
        field.aliases.iter().for_each(|alias| take(alias, reader));
    }
    readers
}

/// Whether what was written has a name that the wanted one goes by.
fn is_called(wanted: &Named, written: &Named) -> bool {
    split(&wanted.name).1 == split(&written.name).1 || wanted.aliases.contains(&written.name)
}
