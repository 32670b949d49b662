//! Writes a value at a time: the definition of right for the way by columns.

use millrace_api::data::{TIME_MILLIS, Value};

use crate::avro::anything;
use crate::avro::encode::{append_bytes, append_long, append_padded};
use crate::avro::writer::{Null, Plan, Shape, Step};
use crate::json::Fault;

impl Plan {
    /// Appends a value. What was appended before an error is the caller's to drop.
    pub(crate) fn append_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
        if value.is_null() {
            return self.null.append(out);
        }
        out.extend_from_slice(&self.lead);
        match (&self.shape, value) {
            (Shape::Integer, Value::Int8(n)) => append_long((*n).into(), out),
            (Shape::Integer, Value::Int16(n)) => append_long((*n).into(), out),
            (Shape::Integer, Value::Int32(n) | Value::Date(n)) => append_long((*n).into(), out),
            (Shape::Integer, Value::Int64(n) | Value::Timestamp(n)) => append_long(*n, out),
            (Shape::Time, Value::Time(n)) => append_time(*n, out)?,
            (Shape::Float, Value::Float32(n)) => out.extend_from_slice(&n.to_le_bytes()),
            (Shape::Widened, Value::Float32(n)) => {
                out.extend_from_slice(&f64::from(*n).to_le_bytes());
            }
            (Shape::Double, Value::Float64(n)) => out.extend_from_slice(&n.to_le_bytes()),
            (Shape::Boolean, Value::Boolean(value)) => out.push(u8::from(*value)),
            (Shape::Text, Value::String(text)) => append_bytes(text.as_bytes(), out),
            (Shape::Bytes, Value::Bytes(bytes)) => append_bytes(bytes, out),
            (Shape::Bare, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
            (Shape::Fixed(size), Value::Bytes(bytes)) => append_fixed(bytes, *size, out)?,
            (Shape::Enum(symbols), Value::String(text)) => {
                out.extend_from_slice(symbols.get(text).ok_or_else(no_symbol)?);
            }
            (Shape::Decimal(size), Value::Decimal(n)) => {
                append_decimal(&n.unscaled.to_signed_bytes_be(), *size, out)?;
            }
            (Shape::BareDecimal, Value::Decimal(n)) => {
                out.extend_from_slice(&n.unscaled.to_signed_bytes_be());
            }
            (Shape::List(plan), Value::Array(items)) => {
                begin_items(items.len(), out);
                items.iter().try_for_each(|item| plan.append_value(item, out))?;
                end_items(items.len(), out);
            }
            (Shape::Map(plan), Value::Map(entries)) => {
                begin_items(entries.len(), out);
                for (key, value) in entries {
                    let Value::String(key) = key else { return Err(misfit(key)) };
                    append_bytes(key.as_bytes(), out);
                    plan.append_value(value, out)?;
                }
                end_items(entries.len(), out);
            }
            (Shape::Entries(plans), Value::Map(entries)) => {
                begin_items(entries.len(), out);
                for (key, value) in entries {
                    plans.0.append_value(key, out)?;
                    plans.1.append_value(value, out)?;
                }
                end_items(entries.len(), out);
            }
            (Shape::Struct(steps), Value::Struct(s)) => {
                for step in steps {
                    step.append_value(s.values(), out)?;
                }
            }
            (Shape::Union(plans), Value::Struct(s)) => {
                return self.append_choice(plans, s.values(), out);
            }
            (Shape::Anything, value) => anything::append(value, 0, out)?,
            (_, value) => return Err(misfit(value)),
        }
        Ok(())
    }

    fn append_choice(
        &self,
        plans: &[(std::sync::Arc<str>, Self)],
        values: &[Value],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let mut set = plans.iter().zip(values).filter(|(_, value)| !value.is_null());
        match set.next() {
            Some(((name, plan), value)) => {
                plan.append_value(value, out).map_err(|fault| fault.within(name))
            }
            None => self.null.append(out),
        }
    }
}

impl Step {
    fn append_value(&self, values: &[Value], out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Constant(bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Self::Field { at, name, plan } => {
                let value = values.get(*at).unwrap_or(&Value::Null);
                plan.append_value(value, out).map_err(|fault| fault.within(name))
            }
        }
    }
}

impl Null {
    pub(crate) fn append(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Self::Fault(what) => Err(Fault::new(*what)),
            Self::Default(fault) => Err(fault.clone()),
        }
    }
}

#[cold]
fn misfit(value: &Value) -> Fault {
    Fault::new(format!("Invalid type for the schema: {}", value.java_class()))
}

#[cold]
pub(crate) fn no_symbol() -> Fault {
    Fault::new("the Avro enum has no such symbol")
}

pub(crate) fn append_time(millis: i32, out: &mut Vec<u8>) -> Result<(), Fault> {
    if !TIME_MILLIS.contains(&millis) {
        return Err(Fault::new("a time is not within a day"));
    }
    append_long(millis.into(), out);
    Ok(())
}

pub(crate) fn append_fixed(bytes: &[u8], size: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    if bytes.len() != size {
        let len = bytes.len();
        return Err(Fault::new(format!("a fixed of {size} bytes cannot hold {len} bytes")));
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends the digits of a decimal, without bytes that say nothing.
pub(crate) fn append_decimal(
    minimal: &[u8],
    size: Option<usize>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Some(size) = size else {
        append_bytes(minimal, out);
        return Ok(());
    };
    append_padded(minimal, size, out).map_err(|len| {
        Fault::new(format!("a decimal of {len} bytes is too large for a fixed of {size} bytes"))
    })
}

#[inline]
pub(crate) fn begin_items(count: usize, out: &mut Vec<u8>) {
    append_long(count as i64, out);
}

/// The count that ends an array or map; an empty one has had it.
#[inline]
pub(crate) fn end_items(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(0);
    }
}
