//! `Flatten`: makes one level of nested structs, or of maps where there is no schema.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use millrace_api::config::Config;
use millrace_api::data::{
    Field, Kind, Schema, SchemaRef, Struct, Value, in_hash_map_order, java_string_hash,
};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls, Written};
use crate::json_object;
use crate::null_defaults::NullDefaults;
use crate::refused::{Refused, check_null, no_name};
use crate::schemas::{Fields, with_basics, with_default};
use crate::side::Side;
use crate::struct_array::{struct_array, within};

/// How much the names of one flattened map may take: each repeats those of all levels above.
const MAX_NAMES_BYTES: usize = 64 << 20;

#[derive(Config, Debug)]
pub(crate) struct FlattenConfig {
    /// Delimiter to insert between field names from the input record when generating field names
    /// for the output record
    #[config(key = "delimiter", default = ".")]
    delimiter: String,
}

pub(crate) struct Flatten {
    delimiter: String,
}

/// A field that is no struct: its place in each of the structs around it, and itself.
type Leaf = (Vec<usize>, Field);

impl Flatten {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let delimiter = FlattenConfig::parse(props)?.delimiter;
        Ok(Box::new(Each::new(side, Self { delimiter })))
    }

    fn name(&self, prefix: &str, name: &str) -> String {
        if prefix.is_empty() { name.to_owned() } else { [prefix, &self.delimiter, name].concat() }
    }

    /// The value of a map, whose entries are gone through in their order or in Java's.
    fn flattened(&self, entries: &[(Value, Value)], order: Order) -> Result<FlatMap> {
        let mut flat = FlatMap::default();
        self.flatten_map(entries, "", order, &mut flat)?;
        Ok(flat)
    }

    fn flatten_map(
        &self,
        entries: &[(Value, Value)],
        prefix: &str,
        order: Order,
        flat: &mut FlatMap,
    ) -> Result<()> {
        let hash = |(key, _): &(Value, Value)| match key {
            Value::String(name) => Some(java_string_hash(name)),
            _ => None,
        };
        let entries = match order {
            Order::Given => entries.iter().collect(),
            Order::Java => in_hash_map_order(entries, hash),
        };
        for (key, value) in entries {
            let Value::String(name) = key else { return Err(no_name(key)) };
            let name = self.name(prefix, name);
            match value {
                Value::Map(entries) => {
                    flat.count(&name)?;
                    self.flatten_map(entries, &name, order, flat)?;
                }
                Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
                    return Err(Error::data(format!(
                        "Flatten transformation was passed a value of type class {} which is not \
                         supported by Connect's data API",
                        value.java_class()
                    )));
                }
                Value::Struct(_) => {
                    return Err(Error::data(format!(
                        "Flatten transformation does not support class {} for record without \
                         schemas (for field {name}).",
                        value.java_class()
                    )));
                }
                _ => flat.put(name, value)?,
            }
        }
        Ok(())
    }

    /// Adds the fields of a struct to those of the flat one.
    fn flatten_schema(
        &self,
        schema: &Schema,
        above: &Above<'_>,
        fields: &mut Fields,
        leaves: &mut Vec<Leaf>,
    ) -> Result<()> {
        for (place, field) in schema.fields().iter().enumerate() {
            let name = self.name(&above.prefix, &field.name);
            let optional = above.optional || field.schema.is_optional();
            let default = field.schema.default().or_else(|| {
                let Some(Value::Struct(default)) = above.default else { return None };
                default.get(&field.name).filter(|default| !default.is_null())
            });
            let mut places = above.places.clone();
            places.push(place);
            match field.schema.kind() {
                Kind::Map => {
                    return Err(Error::data(format!(
                        "Flatten transformation does not support MAP for record with schemas \
                         (for field {name})."
                    )));
                }
                Kind::Struct => {
                    let above = Above { prefix: name, optional, default, places };
                    self.flatten_schema(&field.schema, &above, fields, leaves)?;
                }
                _ => {
                    fields.push(name.into(), leaf_schema(&field.schema, optional, default)?)?;
                    leaves.push((places, field.clone()));
                }
            }
        }
        Ok(())
    }

    /// Writes the members of an object. False when a name comes again, be it of an object: what
    /// then counts is decided where names are unique; or when names take too much.
    fn flatten_text(
        &self,
        object: &str,
        prefix: &str,
        seen: &mut Names,
        out: &mut String,
    ) -> Result<bool> {
        let mut outcome = Ok(true);
        json_object::members(object, |member| {
            if !matches!(outcome, Ok(true)) {
                return;
            }
            let name = self.name(prefix, &member.name);
            seen.bytes += name.len();
            if seen.bytes > MAX_NAMES_BYTES {
                outcome = Ok(false);
            } else if json_object::is_object(member.value) {
                outcome = self.flatten_text(member.value, &name, seen, out);
            } else if out.len() > MAX_NAMES_BYTES {
                outcome = Ok(false);
            } else {
                json_object::separate(&mut out.ends_with('{'), out);
                json_object::push(&json_object::quoted(&name), member.value, out);
            }
            let is_new = seen.names.insert(name);
            outcome = std::mem::replace(&mut outcome, Ok(true)).map(|written| written && is_new);
        })?;
        outcome
    }
}

/// The names of members that were seen in JSON text, those of objects among them.
#[derive(Debug, Default)]
struct Names {
    names: HashSet<String>,
    bytes: usize,
}

/// In which order the entries of maps are gone through.
#[derive(Clone, Copy, Debug)]
enum Order {
    Given,
    /// That of a `HashMap`: it decides which of two values of one name counts, and which of two
    /// refusals comes first.
    Java,
}

/// A flattened map so far.
#[derive(Debug, Default)]
struct FlatMap {
    entries: Vec<(Value, Value)>,
    places: std::collections::HashMap<Arc<str>, usize>,
    collides: bool,
    names_bytes: usize,
}

impl FlatMap {
    /// A name takes memory, or time if it is that of a map.
    fn count(&mut self, name: &str) -> Result<()> {
        self.names_bytes += name.len();
        if self.names_bytes > MAX_NAMES_BYTES {
            return Err(Error::data(
                "the names of the flattened fields would take more than 64 MiB; drop what is \
                 nested deepest before it is flattened",
            ));
        }
        Ok(())
    }

    /// A name that comes again keeps its place and takes the later value.
    fn put(&mut self, name: String, value: &Value) -> Result<()> {
        self.count(&name)?;
        let name: Arc<str> = name.into();
        if let Some(place) = self.places.get(&name) {
            self.collides = true;
            self.entries[*place].1 = value.clone();
            return Ok(());
        }
        self.places.insert(Arc::clone(&name), self.entries.len());
        self.entries.push((Value::String(name), value.clone()));
        Ok(())
    }
}

/// What the structs around a field say of it.
struct Above<'a> {
    prefix: String,
    /// Whether one of them may be null.
    optional: bool,
    /// The default of the innermost, if it has one.
    default: Option<&'a Value>,
    places: Vec<usize>,
}

fn leaf_schema(schema: &Schema, optional: bool, default: Option<&Value>) -> Result<SchemaRef> {
    let builder = match (schema.kind(), schema.value_schema()) {
        (Kind::Array, Some(item)) => Schema::array_builder(Arc::clone(item)),
        (kind, _) => Schema::builder(kind),
    };
    let builder = with_basics(builder, schema).with_optional(optional);
    Ok(match default {
        Some(default) => with_default(builder, default.clone())?,
        None => builder,
    }
    .build())
}

impl EachValue for Flatten {
    /// Where the value of each new field is.
    type Plan = Vec<Leaf>;

    fn nulls(&self) -> Nulls {
        Nulls::Pass
    }

    fn purpose(&self) -> Option<&'static str> {
        Some("flattening")
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Vec<Leaf>)> {
        let above = Above {
            prefix: String::new(),
            optional: schema.is_optional(),
            default: schema.default(),
            places: Vec::new(),
        };
        let (mut fields, mut leaves) = (Fields::default(), Vec::new());
        self.flatten_schema(schema, &above, &mut fields, &mut leaves)?;
        Ok((with_basics(fields.into_struct(), schema).build(), leaves))
    }

    /// What is in a struct that is null is null, and never refused.
    fn value(&self, leaves: &Vec<Leaf>, made: &SchemaRef, value: &Value) -> Result<Value> {
        let mut values = Vec::with_capacity(leaves.len());
        for ((places, leaf), field) in leaves.iter().zip(made.fields()) {
            let mut found = Some(value);
            for place in places {
                found = match found {
                    Some(Value::Struct(of)) => Some(&of.values()[*place]),
                    _ => None,
                };
            }
            let Some(found) = found else {
                values.push(Value::Null);
                continue;
            };
            let found = NullDefaults(true).value(&leaf.schema, found);
            check_null(field, found)?;
            values.push(found.clone());
        }
        Ok(Value::Struct(Struct::new(Arc::clone(made), values)))
    }

    fn array(
        &self,
        leaves: &Vec<Leaf>,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        let mut columns = Vec::with_capacity(leaves.len());
        for ((places, leaf), field) in leaves.iter().zip(made.fields()) {
            let (mut column, mut nulls) = (array, None);
            for place in places {
                nulls = NullBuffer::union(nulls.as_ref(), column.nulls());
                column = column.as_struct().column(*place);
            }
            let column = NullDefaults(true).column(&leaf.schema, column)?;
            refused.push_nulls(field, &column, nulls.as_ref());
            columns.push(within(&column, nulls.as_ref())?);
        }
        struct_array(made, columns, None, array.len()).map(Some)
    }

    fn schemaless(&self, value: Value) -> Result<Value> {
        let Value::Map(entries) = value else { return Ok(value) };
        let flat = match self.flattened(&entries, Order::Given) {
            Ok(flat) if !flat.collides => flat,
            _ => self.flattened(&entries, Order::Java)?,
        };
        Ok(Value::Map(flat.entries))
    }

    fn object(&self, text: &str, out: &mut String) -> Result<Written> {
        out.push('{');
        let written = self.flatten_text(text, "", &mut Names::default(), out)?;
        out.push('}');
        Ok(if written { Written::Text } else { Written::Not })
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::data::json;

    use super::*;

    /// Each name repeats those of the levels above, also where there is nothing in them.
    #[test]
    fn names_take_a_bounded_amount_of_memory() {
        let flatten = Flatten { delimiter: ".".to_owned() };
        let empty: Vec<String> = (0..200).map(|n| format!("\"a{n}\":{{}}")).collect();
        let text = format!("{{\"{}\":{{{}}}}}", "n".repeat(400_000), empty.join(","));
        assert_eq!(flatten.object(&text, &mut String::new()).unwrap(), Written::Not);
        let error = flatten.schemaless(json::parse(&text).unwrap()).unwrap_err();
        assert!(error.to_string().contains("would take more than 64 MiB"), "{error}");
    }
}
