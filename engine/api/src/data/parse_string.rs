//! Guesses what a text means, as `Values.parseString` does, odd guesses included.

mod literal;

use std::collections::HashMap;

use self::literal::{number, temporal};
use super::{Kind, MILLIS_A_DAY, Schema, SchemaRef, Value, logical};

/// How deep arrays and maps may nest; deeper text is just text.
const MAX_DEPTH: usize = 200;

/// A value with its schema; null has none.
type Guess = (Option<SchemaRef>, Value);

/// The text is not what it looked like: all of it is a string.
struct NoMatch;

/// A value and its schema, guessed from a text as Java does for header values
/// (`Values.parseString`).
///
/// ```
/// use millrace_api::data::{Value, parse_string};
///
/// assert_eq!(parse_string("300").1, Value::Int16(300));
/// assert_eq!(parse_string("[1, 2").1, Value::from("[1, 2"));
/// ```
pub fn parse_string(text: &str) -> (Option<SchemaRef>, Value) {
    if text.is_empty() {
        return (Some(Schema::string(false)), Value::from(""));
    }
    match text.trim_matches(|c| c <= ' ') {
        "null" => return (None, Value::Null),
        "true" => return (Some(boolean()), Value::Boolean(true)),
        "false" => return (Some(boolean()), Value::Boolean(false)),
        _ => {}
    }
    let mut tokens = Tokens::new(text);
    let guess = if tokens.take("[") {
        parse_array(&mut tokens, 0)
    } else if tokens.take("{") {
        parse_map(&mut tokens, 0)
    } else {
        parse_literal(&mut tokens)
    };
    guess.unwrap_or_else(|NoMatch| (Some(Schema::string(false)), Value::from(text)))
}

fn boolean() -> SchemaRef {
    Schema::builder(Kind::Boolean).build()
}

/// The text in pieces: delimiters that are not escaped, and what is between them.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn has_next(&self) -> bool {
        self.at < self.text.len()
    }

    fn token_at(&self, at: usize) -> &'a str {
        let rest = &self.text[at..];
        let mut escaped = false;
        for (i, byte) in rest.bytes().enumerate() {
            match byte {
                b'\\' => escaped = !escaped,
                b':' | b',' | b'{' | b'}' | b'[' | b']' | b'"' if !escaped => {
                    return &rest[..i.max(1)];
                }
                _ => escaped = false,
            }
        }
        rest
    }

    fn next(&mut self) -> &'a str {
        let token = self.token_at(self.at);
        self.at += token.len();
        token
    }

    /// Skips blank tokens unless nothing else is left.
    fn skip_blank(&mut self) {
        while self.has_next() {
            let end = self.at + self.token_at(self.at).len();
            if end == self.text.len() || !trim(&self.text[self.at..end]).is_empty() {
                return;
            }
            self.at = end;
        }
    }

    /// Takes the next token if that is it, blanks around it aside.
    fn take(&mut self, expected: &str) -> bool {
        self.skip_blank();
        let token = self.token_at(self.at);
        let found = self.has_next() && trim(token) == expected;
        if found {
            self.at += token.len();
        }
        found
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// A number, date, time or timestamp. Times hold colons, so they span five tokens.
fn parse_literal(tokens: &mut Tokens<'_>) -> Result<Guess, NoMatch> {
    let token = trim(tokens.next());
    let first = token.chars().next().ok_or(NoMatch)?;
    if first.is_ascii_digit() {
        let after = tokens.at;
        let mut remainder = 0;
        while remainder < 4 && tokens.has_next() {
            tokens.next();
            remainder += 1;
        }
        let whole = format!("{token}{}", &tokens.text[after..tokens.at]);
        if remainder == 4
            && let Some((schema, value)) = temporal(&whole)
        {
            return Ok((Some(schema), value));
        }
        tokens.at = after;
        if let Some((schema, value)) = temporal(token) {
            return Ok((Some(schema), value));
        }
    }
    if (first.is_ascii_digit() || matches!(first, '+' | '-'))
        && let Some((schema, value)) = number(token)
    {
        return Ok((Some(schema), value));
    }
    Err(NoMatch)
}

/// A value within an array or a map.
fn parse_embedded(tokens: &mut Tokens<'_>, depth: usize) -> Result<Guess, NoMatch> {
    if !tokens.has_next() {
        return Ok((None, Value::Null));
    }
    if tokens.take("\"") {
        return Ok(parse_quoted(tokens));
    }
    if tokens.take("null") {
        return Ok((None, Value::Null));
    }
    if tokens.take("true") {
        return Ok((Some(boolean()), Value::Boolean(true)));
    }
    if tokens.take("false") {
        return Ok((Some(boolean()), Value::Boolean(false)));
    }
    if depth == MAX_DEPTH {
        return Err(NoMatch);
    }
    if tokens.take("[") {
        return parse_array(tokens, depth + 1);
    }
    if tokens.take("{") {
        return parse_map(tokens, depth + 1);
    }
    parse_literal(tokens)
}

/// Escapes stay as they are; blank pieces get lost.
fn parse_quoted(tokens: &mut Tokens<'_>) -> Guess {
    let mut text = String::new();
    while tokens.has_next() && !tokens.take("\"") {
        text.push_str(tokens.next());
    }
    match temporal(&text) {
        Some((schema, value)) => (Some(schema), value),
        None => (Some(Schema::string(false)), Value::from(&*text)),
    }
}

fn parse_array(tokens: &mut Tokens<'_>, depth: usize) -> Result<Guess, NoMatch> {
    let mut merger = Merger::default();
    let mut items = Vec::new();
    while tokens.has_next() {
        if tokens.take("]") {
            let items = merger.align(items)?;
            let schema = match merger.common {
                Some(item) => Schema::array_builder(item),
                None => Schema::builder(Kind::Array),
            };
            return Ok((Some(schema.build()), Value::Array(items)));
        }
        if tokens.take(",") {
            return Err(NoMatch);
        }
        let (schema, value) = parse_embedded(tokens, depth)?;
        merger.merge(schema);
        items.push(value);
        let after = tokens.at;
        if tokens.take("]") {
            tokens.at = after;
        } else if !tokens.take(",") {
            return Err(NoMatch);
        }
    }
    Err(NoMatch)
}

fn parse_map(tokens: &mut Tokens<'_>, depth: usize) -> Result<Guess, NoMatch> {
    let (mut key_merger, mut value_merger) = (Merger::default(), Merger::default());
    let (mut keys, mut values): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    // Values have no hash; their debug text tells the same apart as their equality.
    let mut places: HashMap<String, usize> = HashMap::new();
    while tokens.has_next() {
        if tokens.take("}") {
            return finish_map((key_merger, keys), (value_merger, values));
        }
        if tokens.take(",") {
            return Err(NoMatch);
        }
        let (schema, key) = parse_embedded(tokens, depth)?;
        if key.is_null() || !tokens.take(":") {
            return Err(NoMatch);
        }
        key_merger.merge(schema);
        let (schema, value) = parse_embedded(tokens, depth)?;
        value_merger.merge(schema);
        let place = *places.entry(format!("{key:?}")).or_insert(keys.len());
        match values.get_mut(place) {
            Some(old) => *old = value,
            None => {
                keys.push(key);
                values.push(value);
            }
        }
        // Java does not insist on the comma.
        tokens.take(",");
    }
    Err(NoMatch)
}

/// Without a schema that fits all keys there is none for the values either.
fn finish_map(
    (key_merger, keys): (Merger, Vec<Value>),
    (value_merger, values): (Merger, Vec<Value>),
) -> Result<Guess, NoMatch> {
    let keys = key_merger.align(keys)?;
    let (schema, values) = match (key_merger.common, &value_merger.common) {
        (Some(key), Some(value)) => {
            let schema = Schema::map_builder(key, std::sync::Arc::clone(value));
            (schema, value_merger.align(values)?)
        }
        (Some(key), None) => (Schema::map_without_value_schema(key), values),
        (None, _) => (Schema::builder(Kind::Map), values),
    };
    let entries = keys.into_iter().zip(values).collect();
    Ok((Some(schema.build()), Value::Map(entries)))
}

/// Finds the schema that all items of an array, keys or values of a map can take.
#[derive(Default)]
struct Merger {
    common: Option<SchemaRef>,
    is_incompatible: bool,
}

impl Merger {
    fn merge(&mut self, schema: Option<SchemaRef>) {
        let (Some(schema), false) = (schema, self.is_incompatible) else {
            return;
        };
        self.common = match self.common.take() {
            None => Some(schema),
            Some(common) => wider(common, schema),
        };
        self.is_incompatible = self.common.is_none();
    }

    /// The values in the common schema; as they are when there is none.
    fn align(&self, values: Vec<Value>) -> Result<Vec<Value>, NoMatch> {
        match &self.common {
            None => Ok(values),
            Some(schema) => values.into_iter().map(|v| align(schema, v)).collect(),
        }
    }
}

/// Of two numeric schemas the wider, of two of the same type the later.
fn wider(a: SchemaRef, b: SchemaRef) -> Option<SchemaRef> {
    let rank = |schema: &Schema| match schema.kind() {
        Kind::Int8 => Some(0),
        Kind::Int16 => Some(1),
        Kind::Int32 => Some(2),
        Kind::Int64 => Some(3),
        Kind::Float32 => Some(4),
        Kind::Float64 => Some(5),
        _ => None,
    };
    if a.kind() == b.kind() {
        return Some(b);
    }
    Some(if rank(&a)? > rank(&b)? { a } else { b })
}

/// A value as the schema wants it. Dates are left alone wherever they stand among dates: Java has
/// one class for all of them.
fn align(schema: &Schema, value: Value) -> Result<Value, NoMatch> {
    let is_date = matches!(value, Value::Date(_) | Value::Time(_) | Value::Timestamp(_));
    Ok(match (schema.kind(), schema.name()) {
        (Kind::Int32, Some(logical::DATE | logical::TIME))
        | (Kind::Int64, Some(logical::TIMESTAMP))
            if is_date =>
        {
            value
        }
        (Kind::Int32, Some(logical::DATE)) => Value::Date(integer(&value)? as i32),
        (Kind::Int32, Some(logical::TIME)) => match integer(&value)? {
            millis @ 0..=MILLIS_A_DAY => Value::Time(millis as i32),
            _ => return Err(NoMatch),
        },
        (Kind::Int64, Some(logical::TIMESTAMP)) => Value::Timestamp(integer(&value)?),
        (Kind::Int8, _) => Value::Int8(integer(&value)? as i8),
        (Kind::Int16, _) => Value::Int16(integer(&value)? as i16),
        (Kind::Int32, _) => Value::Int32(integer(&value)? as i32),
        (Kind::Int64, _) => Value::Int64(integer(&value)?),
        (Kind::Float32, _) => match value {
            Value::Float32(n) => Value::Float32(n),
            value => Value::Float32(integer(&value)? as f32),
        },
        (Kind::Float64, _) => match value {
            Value::Float64(n) => Value::Float64(n),
            Value::Float32(n) => Value::Float64(f64::from(n)),
            value => Value::Float64(integer(&value)? as f64),
        },
        _ if value.is_null() => return Err(NoMatch),
        _ => value,
    })
}

fn integer(value: &Value) -> Result<i64, NoMatch> {
    match value {
        Value::Int8(n) => Ok(i64::from(*n)),
        Value::Int16(n) => Ok(i64::from(*n)),
        Value::Int32(n) => Ok(i64::from(*n)),
        Value::Int64(n) => Ok(*n),
        _ => Err(NoMatch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_is_just_text() {
        let text = "[".repeat(100_000);
        let (schema, value) = parse_string(&text);
        assert_eq!(schema, Some(Schema::string(false)));
        assert_eq!(value, Value::from(&*text));
    }

    /// Java counts on with what is left of it in 64 bits.
    #[test]
    fn a_time_that_is_too_far_away_is_text() {
        let text = "99999999999-1-1T0:0:0.0Z";
        assert_eq!(parse_string(text), (Some(Schema::string(false)), text.into()));
        let (_, value) = parse_string("99999999-1-1T00:0:00.00Z");
        assert!(matches!(value, Value::Timestamp(_)), "{value}");
    }
}
