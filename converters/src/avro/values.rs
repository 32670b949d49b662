//! Reads payloads a value at a time: the definition of right for the way by columns.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use millrace_api::data::{Decimal, Kind, Schema, SchemaRef, Struct, TIME_MILLIS, Value, logical};
use num_bigint::BigInt;

use crate::avro::anything;
use crate::avro::input::Input;
use crate::avro::reader::{Entries, Items, Narrow, Plan, Resolved, Step};
use crate::avro::stop::{Stop, fault, misfit, within};
use crate::room::Room;

impl Plan {
    /// Reads a whole payload; without a schema, data of any.
    pub(crate) fn whole_value(
        &self,
        schema: Option<&SchemaRef>,
        payload: &[u8],
        room: &mut Room,
    ) -> Result<Value, Box<Stop>> {
        let mut input = Input::new(payload, room.open(payload.len()));
        let value = match schema {
            Some(schema) => self.value(schema, &mut input)?,
            None => anything::read(&mut input, 0)?,
        };
        input.end()?;
        room.close(input.room());
        Ok(value)
    }

    /// Reads the value that comes next.
    fn value(&self, schema: &SchemaRef, input: &mut Input<'_>) -> Result<Value, Box<Stop>> {
        Ok(match self {
            Self::Boolean => Value::Boolean(input.boolean()?),
            Self::Int8 => Value::Int8(input.int()? as i8),
            Self::Int16 => Value::Int16(input.int()? as i16),
            Self::Int32 => Value::Int32(input.int()?),
            Self::Date => Value::Date(input.int()?),
            Self::Time => Value::Time(time(input)?),
            Self::Int64 => Value::Int64(input.long()?),
            Self::Timestamp => Value::Timestamp(input.long()?),
            Self::Float32 => Value::Float32(input.float()?),
            Self::Float64 => Value::Float64(input.double()?),
            Self::Text => Value::from(input.text()?),
            Self::Bytes => Value::Bytes(Bytes::copy_from_slice(input.bytes()?)),
            Self::Fixed(size) => Value::Bytes(Bytes::copy_from_slice(input.take(*size)?)),
            Self::Enum(symbols) => Value::String(Arc::clone(symbol(symbols, input)?)),
            Self::Decimal(scale, size) => {
                let bytes = decimal(*size, input)?;
                let unscaled = BigInt::from_signed_bytes_be(bytes);
                Value::Decimal(Decimal { unscaled, scale: *scale })
            }
            Self::List(items) => Value::Array(list(items, inner(schema), input)?),
            Self::Map(values) => map(values, inner(schema), input)?,
            Self::Entries(plans) => entries(plans, schema, input)?,
            Self::Struct(fields) => {
                take_room(fields.len(), input)?;
                let mut values = Vec::with_capacity(fields.len());
                for (plan, field) in fields.iter().zip(schema.fields()) {
                    let value = plan.value(&field.schema, input);
                    values.push(value.map_err(|stop| within(stop, &field.name))?);
                }
                Value::Struct(Struct::new(Arc::clone(schema), values))
            }
            Self::Optional(plan, null) => match branch(2, input)? as i64 == *null {
                true => Value::Null,
                false => plan.value(schema, input)?,
            },
            Self::Only(plan) => {
                branch(1, input)?;
                plan.value(schema, input)?
            }
            Self::Union(branches) => match &branches[branch(branches.len(), input)?] {
                None => Value::Null,
                Some((at, plan)) => member(*at, plan, schema, input)?,
            },
            Self::Anything => anything::read(input, 0)?,
            Self::Null => Value::Null,
            Self::Alternatives(plans) => plans[branch(plans.len(), input)?].value(schema, input)?,
            Self::Misfit(why) => return Err(misfit(why)),
            Self::Member(at, plan) => member(*at, plan, schema, input)?,
            Self::Resolved(plans) => resolved(plans, schema, input)?,
            Self::Widened(narrow) => match (schema.kind(), schema.name()) {
                (Kind::Float32, _) => Value::Float32(narrow.float(input)?),
                (Kind::Float64, _) => Value::Float64(narrow.double(input)?),
                (_, Some(logical::TIMESTAMP)) => Value::Timestamp(input.int()?.into()),
                _ => Value::Int64(input.int()?.into()),
            },
        })
    }
}

impl Narrow {
    pub(crate) fn float(self, input: &mut Input<'_>) -> Result<f32, Box<Stop>> {
        Ok(match self {
            Self::Int => input.int()? as f32,
            Self::Long => input.long()? as f32,
            Self::Float => input.float()?,
        })
    }

    pub(crate) fn double(self, input: &mut Input<'_>) -> Result<f64, Box<Stop>> {
        Ok(match self {
            Self::Int => input.int()?.into(),
            Self::Long => input.long()? as f64,
            Self::Float => input.float()?.into(),
        })
    }
}

/// Values of a struct of which most may stay null.
fn nulls(schema: &Schema, input: &mut Input<'_>) -> Result<Vec<Value>, Box<Stop>> {
    let fields = schema.fields().len();
    take_room(fields, input)?;
    Ok(vec![Value::Null; fields])
}

fn take_room(values: usize, input: &mut Input<'_>) -> Result<(), Box<Stop>> {
    let room = input.take_room(values);
    room.ok_or_else(|| fault("the payload unfolds to far more values than it has bytes"))
}

/// A struct of which one field is set.
fn member(
    at: usize,
    plan: &Plan,
    schema: &SchemaRef,
    input: &mut Input<'_>,
) -> Result<Value, Box<Stop>> {
    let field = &schema.fields()[at];
    let mut values = nulls(schema, input)?;
    values[at] = plan.value(&field.schema, input).map_err(|stop| within(stop, &field.name))?;
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

fn resolved(
    resolved: &Resolved,
    schema: &SchemaRef,
    input: &mut Input<'_>,
) -> Result<Value, Box<Stop>> {
    let mut values = nulls(schema, input)?;
    for step in &resolved.steps {
        match step {
            Step::Read(at, plan) => {
                let field = &schema.fields()[*at];
                let value = plan.value(&field.schema, input);
                values[*at] = value.map_err(|stop| within(stop, &field.name))?;
            }
            Step::Skip(skip) => skip.pass(input)?,
        }
    }
    take_room(resolved.values, input)?;
    for (at, default) in &resolved.defaults {
        values[*at] = default.clone();
    }
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

fn inner(schema: &Schema) -> &SchemaRef {
    schema.value_schema().expect("the plan was made for an array or map")
}

fn list(items: &Items, schema: &SchemaRef, input: &mut Input<'_>) -> Result<Vec<Value>, Box<Stop>> {
    let mut values = Vec::new();
    loop {
        let count = input.block(items.least_bytes)?;
        if count == 0 {
            return Ok(values);
        }
        for _ in 0..count {
            values.push(items.plan.value(schema, input)?);
        }
    }
}

fn map(items: &Items, schema: &SchemaRef, input: &mut Input<'_>) -> Result<Value, Box<Stop>> {
    let mut pairs = Vec::new();
    loop {
        let count = input.block(items.least_bytes)?;
        if count == 0 {
            return Ok(Value::Map(unique(pairs)));
        }
        for _ in 0..count {
            let key = Value::from(input.text()?);
            pairs.push((key, items.plan.value(schema, input)?));
        }
    }
}

fn entries(entries: &Entries, schema: &Schema, input: &mut Input<'_>) -> Result<Value, Box<Stop>> {
    let key_schema = schema.key_schema().expect("the plan was made for a map");
    let mut pairs = Vec::new();
    loop {
        let count = input.block(entries.least_bytes)?;
        if count == 0 {
            return Ok(Value::Map(unique(pairs)));
        }
        for _ in 0..count {
            pairs.push(if entries.key_comes_first {
                let key = entries.key.value(key_schema, input)?;
                (key, entries.value.value(inner(schema), input)?)
            } else {
                let value = entries.value.value(inner(schema), input)?;
                (entries.key.value(key_schema, input)?, value)
            });
        }
    }
}

/// A key that comes again keeps its place and takes the later value.
pub(crate) fn unique(pairs: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    /// Up to so many, comparing each with each is cheaper than a table.
    const FEW: usize = 16;
    let mut kept: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
    let mut places = HashMap::new();
    let has_table = pairs.len() > FEW;
    for (key, value) in pairs {
        let known = match has_table {
            true => places.get(&key).copied(),
            false => kept.iter().position(|(known, _)| *known == key),
        };
        match known {
            Some(place) => kept[place].1 = value,
            None => {
                if has_table {
                    places.insert(key.clone(), kept.len());
                }
                kept.push((key, value));
            }
        }
    }
    kept
}

/// Which branch of so many a union has taken.
#[inline]
pub(crate) fn branch(branches: usize, input: &mut Input<'_>) -> Result<usize, Box<Stop>> {
    let branch = input.long()?;
    match usize::try_from(branch) {
        Ok(branch) if branch < branches => Ok(branch),
        _ => Err(fault("a union has no such branch")),
    }
}

pub(crate) fn symbol<'a>(
    symbols: &'a [Option<Arc<str>>],
    input: &mut Input<'_>,
) -> Result<&'a Arc<str>, Box<Stop>> {
    let at = usize::try_from(input.long()?).ok();
    let symbol = at.and_then(|at| symbols.get(at));
    symbol
        .ok_or_else(|| fault("an enum has no such symbol"))?
        .as_ref()
        .ok_or_else(|| fault("an enum's symbol is none that the schema to read with has"))
}

#[inline]
pub(crate) fn time(input: &mut Input<'_>) -> Result<i32, Box<Stop>> {
    let millis = input.int()?;
    if TIME_MILLIS.contains(&millis) {
        Ok(millis)
    } else {
        Err(fault("a time is not within a day"))
    }
}

/// The bytes of a decimal's digits.
pub(crate) fn decimal<'a>(
    size: Option<usize>,
    input: &mut Input<'a>,
) -> Result<&'a [u8], Box<Stop>> {
    let bytes = match size {
        Some(size) => input.take(size)?,
        None => input.bytes()?,
    };
    if bytes.is_empty() { Err(fault("a decimal has no digits")) } else { Ok(bytes) }
}
