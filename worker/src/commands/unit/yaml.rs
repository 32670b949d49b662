//! Reads YAML as the JSON value that it stands for, by the core schema of YAML 1.2.
//!
//! What JSON cannot say is refused: keys that are no texts, numbers without end, a second document.

use std::borrow::Cow;
use std::collections::HashMap;

use millrace_api::{Error, Result};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

/// Aliases repeat what they stand for: a small file could stand for more than memory holds.
const MAX_NODES: usize = 1_000_000;
/// As deep as JSON may be.
const MAX_DEPTH: usize = 120;

/// The value of a text; nothing at all is null.
pub(super) fn parse(text: &str) -> Result<Value> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let (event, span) = event.map_err(|e| {
            let place = *e.marker();
            at(place.line(), Error::config(format!("this is no YAML: {}", e.info())))
        })?;
        reader.event(event, span)?;
    }
    Ok(reader.whole.unwrap_or_default())
}

fn at(line: usize, error: Error) -> Error {
    error.context("line", line)
}

/// A list or an object that is being read, and its anchor.
enum Open {
    List(Vec<Value>, usize),
    Object(Map<String, Value>, Option<String>, usize),
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    nodes: usize,
    whole: Option<Value>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<()> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) if self.whole.is_some() => {
                Err(at(line, Error::config("one document is expected, and here is another")))
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_key = matches!(self.open.last(), Some(Open::Object(_, None, _)));
                let value = match is_key {
                    true => Value::String(text.into_owned()),
                    false => scalar(text, style).map_err(|e| at(line, e))?,
                };
                self.add(value, anchor, line)
            }
            Event::SequenceStart(anchor, _) => self.begin(Open::List(Vec::new(), anchor), line),
            Event::MappingStart(anchor, _) => {
                self.begin(Open::Object(Map::new(), None, anchor), line)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items, anchor)) => self.add(Value::Array(items), anchor, line),
                Some(Open::Object(members, _, anchor)) => {
                    self.add(Value::Object(members), anchor, line)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let unknown = || at(line, Error::config("the alias is part of what it names"));
                let value = self.anchors.get(&anchor).ok_or_else(unknown)?;
                self.nodes += count(value);
                self.bound(line)?;
                let value = value.clone();
                self.add(value, 0, line)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, line: usize) -> Result<()> {
        if let Some(Open::Object(_, None, _)) = self.open.last() {
            return Err(at(line, Error::config("a key is a text")));
        }
        self.open.push(open);
        match self.open.len() > MAX_DEPTH {
            true => Err(at(line, Error::config("this is nested too deep"))),
            false => Ok(()),
        }
    }

    fn bound(&self, line: usize) -> Result<()> {
        match self.nodes > MAX_NODES {
            true => Err(at(line, Error::config("this stands for too many values"))),
            false => Ok(()),
        }
    }

    fn add(&mut self, value: Value, anchor: usize, line: usize) -> Result<()> {
        self.nodes += 1;
        self.bound(line)?;
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut() {
            None => self.whole = Some(value),
            Some(Open::List(items, _)) => items.push(value),
            Some(Open::Object(members, key @ None, _)) => match value {
                Value::String(name) if members.contains_key(&name) => {
                    let error = Error::config("the key is there already").context("key", name);
                    return Err(at(line, error));
                }
                Value::String(name) => *key = Some(name),
                _ => return Err(at(line, Error::config("a key is a text"))),
            },
            Some(Open::Object(members, key, _)) => {
                members.insert(key.take().unwrap_or_default(), value);
            }
        }
        Ok(())
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// What is not in quotes may be a word or a number.
fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Result<Value> {
    if style != ScalarStyle::Plain {
        return Ok(Value::String(text.into_owned()));
    }
    let based = |prefix: &str, base| {
        text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, base).ok())
    };
    Ok(match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        word => match based("0x", 16).or_else(|| based("0o", 8)) {
            Some(number) => Value::from(number),
            None if is_number(word) => number(word)?,
            None => Value::String(text.into_owned()),
        },
    })
}

/// `-1`, `1.5`, `.5`, `1.`, `1e3`; `.inf` and `.nan` are numbers of YAML, too.
fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let endless = [".inf", ".Inf", ".INF"].contains(&unsigned);
    let digits = unsigned.strip_prefix('.').unwrap_or(unsigned);
    let plain = |c: char| c.is_ascii_digit() || ".eE+-".contains(c);
    endless
        || [".nan", ".NaN", ".NAN"].contains(&word)
        || digits.starts_with(|c: char| c.is_ascii_digit())
            && unsigned.chars().all(plain)
            && unsigned.parse::<f64>().is_ok()
}

fn number(word: &str) -> Result<Value> {
    if let Ok(number) = word.parse::<i64>() {
        return Ok(Value::from(number));
    }
    if let Ok(number) = word.parse::<u64>() {
        return Ok(Value::from(number));
    }
    let number = word.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    number.map(Value::Number).ok_or_else(|| {
        Error::config("JSON has no such number")
            .context("number", word)
            .context("remedy", "write it in quotes to have a text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_yaml_1_2() {
        for (yaml, json) in [
            ("", "null"),
            ("a: 1\nb: [x, ~, yes]\n", r#"{"a":1,"b":["x",null,"yes"]}"#),
            ("- 'true'\n- true\n- \"1\"\n- 0x1f\n- 0o17", r#"["true",true,"1",31,15]"#),
            (
                "[-1, 1.5, .5, 1e3, 1., +2, 1-2, 1.2.3, e]",
                r#"[-1,1.5,0.5,1000.0,1.0,2,"1-2","1.2.3","e"]"#,
            ),
            ("[2026-11-22, 12:30, 0123]", r#"["2026-11-22","12:30",123]"#),
            ("18446744073709551615", "18446744073709551615"),
            ("a: |\n  x\n  y\nb: >\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y\n"}"#),
            ("a: &x {k: [1]}\nb: *x", r#"{"a":{"k":[1]},"b":{"k":[1]}}"#),
            ("1: a\ntrue: b", r#"{"1":"a","true":"b"}"#),
            (r#"{"a": {"b": [1, 2.5, null, "x\u0041"]}}"#, r#"{"a":{"b":[1,2.5,null,"xA"]}}"#),
            ("---\na: b\n...\n", r#"{"a":"b"}"#),
        ] {
            assert_eq!(parse(yaml).unwrap().to_string(), json, "{yaml}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused_with_its_line() {
        for (yaml, words) in [
            ("a: 1\na: 2", "the key is there already (key: a, line: 2)"),
            ("x: 1\n[1]: 2", "a key is a text"),
            (".inf", "JSON has no such number"),
            ("--- a\n--- b", "here is another"),
            ("a: &x [*x]", "part of what it names"),
            ("a: [1", "this is no YAML"),
        ] {
            let error = parse(yaml).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("line: "), "{yaml}: {error}");
        }
        let laughs: String = (1..10)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")))
            .collect();
        let error = parse(&format!("a0: &a0 lol\n{laughs}")).unwrap_err().to_string();
        assert!(error.contains("too many values"), "{error}");
        assert!(parse(&"[".repeat(1_000)).is_err());
    }
}
