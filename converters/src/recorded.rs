//! Reads what was recorded from Java, and prints our data the way the recorder printed Java's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use millrace_api::data::{Kind, MILLIS_A_DAY, Schema, Value};

/// One recorded line: the mode, the bytes that went in, and what came out.
pub(crate) struct Case {
    pub(crate) mode: &'static str,
    pub(crate) text: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: &'static str,
}

/// All lines of a file. A mode that ends in `x` has its bytes in hexadecimal digits.
pub(crate) fn cases(file: &'static str) -> Vec<Case> {
    let case = |line: &'static str| {
        let mut parts = line.split('\t');
        let (mode, text) = (parts.next().unwrap(), parts.next().unwrap());
        let bytes = match mode.strip_suffix('x') {
            Some(_) => hex(text),
            None => text.replace("\\n", "\n").into_bytes(),
        };
        Case { mode, text, bytes, expected: parts.next().unwrap() }
    };
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines.map(case).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|d| (d[0] * 16 + d[1]) as u8).collect()
}

/// Printable ASCII as it is, all else as `\uXXXX`.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match char::from_u32(unit.into()) {
            Some('\\') => out.push_str("\\\\"),
            Some(c @ ' '..='~') => out.push(c),
            _ => write!(out, "\\u{unit:04x}").unwrap(),
        }
    }
    out
}

/// A schema with its attributes that matter here.
pub(crate) fn schema(schema: Option<&Schema>) -> String {
    let Some(s) = schema else {
        return "null".to_owned();
    };
    let inner = |s: Option<&std::sync::Arc<Schema>>| self::schema(s.map(|s| &**s));
    let mut text = s.kind().name().to_owned();
    if let Some(name) = s.name() {
        write!(text, "({})", name.rsplit('.').next().unwrap()).unwrap();
    }
    if s.is_optional() {
        text.push('?');
    }
    if !s.parameters().is_empty() {
        let pairs = s.parameters().iter().map(|(k, v)| format!("{k}={v}"));
        write!(text, "{{{}}}", pairs.collect::<Vec<_>>().join(", ")).unwrap();
    }
    match s.kind() {
        Kind::Array => write!(text, "<{}>", inner(s.value_schema())).unwrap(),
        Kind::Map => {
            let (key, value) = (inner(s.key_schema()), inner(s.value_schema()));
            write!(text, "<{key},{value}>").unwrap();
        }
        Kind::Struct => {
            for field in s.fields() {
                write!(text, "|{}:{}", field.name, inner(Some(&field.schema))).unwrap();
            }
        }
        _ => {}
    }
    if let Some(default) = s.default() {
        write!(text, "={}", value(default)).unwrap();
    }
    text
}

/// A value with the class that Java holds it in.
pub(crate) fn value(v: &Value) -> String {
    match v {
        Value::Null => "null".to_owned(),
        Value::Bytes(bytes) => {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            format!("bytes:{text}")
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(value).collect();
            format!("list[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let sorted: BTreeMap<_, _> =
                entries.iter().map(|(k, v)| (value(k), value(v))).collect();
            let pairs: Vec<String> = sorted.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("map{{{}}}", pairs.join(", "))
        }
        Value::Struct(s) => s.to_string(),
        Value::Decimal(d) => format!("BigDecimal:{}/{}", d.unscaled, d.scale),
        Value::Date(days) => format!("Date:{}", i64::from(*days) * MILLIS_A_DAY),
        Value::Time(millis) => format!("Date:{millis}"),
        Value::Timestamp(millis) => format!("Date:{millis}"),
        v => format!("{}:{v}", v.java_class().rsplit('.').next().unwrap()),
    }
}
