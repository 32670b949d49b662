//! Reads JSON text without a schema into values, by Java's rules for schemaless JSON.

mod number;
mod objects;
mod reader;

use std::collections::HashMap;
use std::sync::Arc;

pub use number::Number;
pub use objects::{JsonMember, JsonObjects, with_nulls_at};
pub use reader::{Checked, Reader, SyntaxError, Token, WrittenName, check};

use crate::data::Value;
use crate::{Error, Result};

/// The value of a JSON text: integers become int64 (past 64 bits the low ones, as in Java), other
/// numbers float64, objects maps with string keys in the text's order. Text after the value is
/// ignored, as Java does; a blank text is null.
pub fn parse(text: &str) -> Result<Value> {
    let mut reader = Reader::new(text);
    if reader.is_at_end() {
        return Ok(Value::Null);
    }
    let read = |mut reader: Reader<'_>| {
        let token = reader.peek()?;
        let value = value(&mut reader)?;
        reader.finish(token).map(|_| value)
    };
    read(reader).map_err(|e| Error::data("value is not JSON").with_source(e))
}

fn value(reader: &mut Reader<'_>) -> Result<Value, SyntaxError> {
    Ok(match reader.peek()? {
        Token::Text => Value::String(reader.take_text()?.into()),
        Token::Number => {
            let number = reader.take_number()?;
            if number.is_integer() {
                Value::Int64(number.to_i64())
            } else {
                Value::Float64(number.to_f64())
            }
        }
        Token::Array => array(reader)?,
        Token::Object => object(reader)?,
        word => {
            reader.take_word(word)?;
            match word {
                Token::Null => Value::Null,
                word => Value::Boolean(word == Token::True),
            }
        }
    })
}

fn array(reader: &mut Reader<'_>) -> Result<Value, SyntaxError> {
    reader.enter()?;
    let mut items = Vec::new();
    let mut first = true;
    while reader.next_item(&mut first)? {
        items.push(value(reader)?);
    }
    Ok(Value::Array(items))
}

/// A name that comes again keeps its place and takes the later value.
fn object(reader: &mut Reader<'_>) -> Result<Value, SyntaxError> {
    /// From so many members on, looking a name up in a table is cheaper.
    const MANY: usize = 32;
    reader.enter()?;
    let mut entries: Vec<(Value, Value)> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    let mut first = true;
    while let Some(name) = reader.next_name(&mut first)? {
        let item = value(reader)?;
        if entries.len() == MANY {
            let names = entries.iter().map(|(name, _)| name).enumerate();
            places = names
                .filter_map(|(i, name)| match name {
                    Value::String(name) => Some((Arc::clone(name), i)),
                    _ => None,
                })
                .collect();
        }
        let is_name = |(key, _): &(Value, Value)| matches!(key, Value::String(k) if **k == *name);
        let place = if entries.len() < MANY {
            entries.iter().position(is_name)
        } else {
            places.get(&*name).copied()
        };
        match place {
            Some(place) => entries[place].1 = item,
            None => {
                let name: Arc<str> = name.into();
                if entries.len() >= MANY {
                    places.insert(Arc::clone(&name), entries.len());
                }
                entries.push((Value::String(name), item));
            }
        }
    }
    Ok(Value::Map(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        parse(json).map_or_else(|e| e.trace(), |v| format!("{} {v}", v.java_class()))
    }

    #[test]
    fn schemaless_values_are_javas() {
        let cases = [
            ("01", "java.lang.Long 1"),
            ("-0.0", "java.lang.Double 0.0"),
            ("1e400", "java.lang.Double Infinity"),
            ("123456789012345678901234567890", "java.lang.Long -4362896299872285998"),
            ("{\"a\":1,\"b\":[true,null],\"a\":2}x", "java.util.HashMap {a=2, b=[true, null]}"),
            ("", "null null"),
        ];
        for (json, expected) in cases {
            assert_eq!(text(json), expected);
        }
        assert_eq!(
            text("{1"),
            "org.apache.kafka.connect.errors.DataException: value is not JSON\n\
             Caused by: expected a name in quotes at byte 1"
        );
    }

    #[test]
    fn names_of_large_objects_stay_unique() {
        let members: Vec<String> = (0..200).map(|i| format!("\"k{}\":{i}", i % 100)).collect();
        let value = parse(&format!("{{{}}}", members.join(","))).unwrap();
        let Value::Map(entries) = value else { panic!("not a map") };
        assert_eq!(entries.len(), 100);
        assert_eq!(entries[7], (Value::from("k7"), Value::from(107)));
    }

    #[test]
    fn depth_fits_the_stack_of_a_worker_thread() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        let read = move || parse(&deep).map(|v| v.to_string().len());
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(read);
        assert_eq!(thread.unwrap().join().unwrap().unwrap(), 2000);
    }
}
