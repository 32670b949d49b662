//! Holds the converters against what Java's made of the same values.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_api::data::{Column, SchemaRef, Value};
use millrace_api::{
    Converter, ConverterRole, HeaderConverter, Open, PluginKind, Props, Result, Serialized,
};

use crate::recorded::{cases, escaped, schema as describe_schema, value as describe_value};

const CLASSES: [(&str, &str); 7] = [
    ("string", "StringConverter"),
    ("boolean", "BooleanConverter"),
    ("short", "ShortConverter"),
    ("integer", "IntegerConverter"),
    ("long", "LongConverter"),
    ("float", "FloatConverter"),
    ("double", "DoubleConverter"),
];

struct Converters {
    json: [Box<dyn Converter>; 2],
    by_mode: BTreeMap<&'static str, Box<dyn Converter>>,
    header: Box<dyn HeaderConverter>,
}

fn converter(class: &str, props: &[(&str, &str)]) -> Box<dyn Converter> {
    let mut plugins = crate::plugins();
    plugins.retain(|p| p.kind() == PluginKind::Converter && p.answers_to(class));
    let plugin = plugins.remove(0);
    let Open::Converter(open) = plugin.open() else { panic!("not a converter") };
    let props: Props = props.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    open(&props, ConverterRole::Value).unwrap()
}

impl Converters {
    fn new() -> Self {
        let schemas = |on| converter("JsonConverter", &[("schemas.enable", on)]);
        Self {
            json: [schemas("true"), schemas("false")],
            by_mode: CLASSES.map(|(mode, class)| (mode, converter(class, &[]))).into(),
            header: crate::simple_header::header_converter(&Props::new()).unwrap(),
        }
    }

    /// What a mode writes, as the recorder printed it.
    fn written(&mut self, mode: &str, schema: Option<&SchemaRef>, value: &Value) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if mode == "header" {
            let bytes = self.header.from_connect_header("t", "h", schema, value).unwrap();
            return bytes.map_or("NULLBYTES".to_owned(), |bytes| text(&bytes));
        }
        let column = Column::Rows { schema: schema.cloned(), values: vec![value.clone()] };
        let mut failed = Vec::new();
        let converter = self.by_mode.get_mut(mode).unwrap();
        let rows = converter.from_connect_data("t", &column, &mut failed).unwrap();
        match (failed.pop(), rows.iter().next().unwrap()) {
            (Some(failed), _) => format!("error: {}", failed.error.message()),
            (None, None) => "NULLBYTES".to_owned(),
            (None, Some(bytes)) if mode == "string" => without_identities(&text(bytes)),
            (None, Some(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// What a mode reads, and what is written of that.
    fn read(&mut self, mode: &str, bytes: &[u8]) -> String {
        let rows = Serialized::from_iter([Some(bytes)]);
        let mut failed = Vec::new();
        let converter = self.by_mode.get_mut(mode).unwrap();
        let columns = converter.to_connect_data("t", &rows, &[], &mut failed).unwrap();
        if let Some(failed) = failed.pop() {
            let cause = failed.error.trace();
            let cause = cause.rsplit_once("SerializationException: ").unwrap().1;
            return format!("error: {}| {cause}", failed.error.message());
        }
        let (schema, value) = (columns[0].schema(), columns[0].value(0).unwrap());
        let written = [mode, "string", "header"].map(|mode| self.written(mode, schema, &value));
        let schema = describe_schema(schema.map(|s| &**s));
        format!("{schema} {}  => {}", describe_value(&value), written.join(" "))
    }

    fn parse(&mut self, text: &Bytes) -> Result<(Option<SchemaRef>, Value)> {
        let [with_schemas, without] = &mut self.json;
        let json = if text.starts_with(b"{\"schema\":") { with_schemas } else { without };
        let rows = Serialized::from_iter([Some(text)]);
        let columns = json.to_connect_data("t", &rows, &[], &mut Vec::new())?;
        Ok((columns[0].schema().cloned(), columns[0].value(0)?))
    }
}

/// Java's arrays print an identity, ours their length.
fn without_identities(text: &str) -> String {
    let mut parts = text.split("[B@");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        text + "[B@" + part.trim_start_matches(|c: char| c.is_ascii_hexdigit())
    })
}

#[test]
fn values_are_written_and_read_as_by_java() {
    let cases = cases(include_str!("../tests/data/values.tsv"));
    assert!(cases.len() > 600);
    let mut converters = Converters::new();
    let mut wrong = Vec::new();
    for case in cases {
        let answer = match case.mode.strip_suffix('x') {
            Some(mode) => converters.read(mode, &case.bytes),
            None => {
                let (schema, value) = converters.parse(&case.bytes.into()).unwrap();
                converters.written(case.mode, schema.as_ref(), &value)
            }
        };
        let answer = escaped(&answer);
        if answer != case.expected {
            let expected = case.expected;
            wrong
                .push(format!("{} {}\n  Java: {expected}\n  ours: {answer}", case.mode, case.text));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
