//! Rows of `JsonConverter`: a row is read alone as among others, behind one whose envelope begins
//! alike too, and what is written of it means the same.

use arrow::array::BinaryViewArray;
use millrace_api::data::Value;
use millrace_api::{Converter, ConverterRole, Open, PluginKind, Props};

use crate::plain::is_plain;

/// Rows of a column, so that it becomes one of Arrow.
const ROWS: usize = 16;
const TOPIC: &str = "fuzzed";

/// The first byte chooses among these envelopes, or whole rows.
const SCHEMAS: [&str; 4] = [
    r#"{"type":"struct","fields":[{"field":"a","type":"int32"},
        {"field":"b","type":"string","optional":true},
        {"field":"c","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,
         "parameters":{"scale":"2"}},{"field":"d","type":"boolean","default":true}]}"#,
    r#"{"type":"map","keys":{"type":"string"},"values":{"type":"double","optional":true}}"#,
    r#"{"type":"map","keys":{"type":"int8"},"values":{"type":"array",
        "items":{"type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1}}}"#,
    r#"{"type":"float","optional":true}"#,
];

/// Takes any bytes and comes back.
pub(crate) fn json(data: &[u8]) {
    let Some((first, text)) = data.split_first() else {
        return;
    };
    let schemas = usize::from(*first);
    let row = match SCHEMAS.get(schemas % (SCHEMAS.len() + 1)) {
        Some(schema) => {
            [br#"{"schema":"#, schema.as_bytes(), br#","payload":"#, text, b"}"].concat()
        }
        None => text.to_vec(),
    };
    for enveloped in ["true", "false"] {
        read_and_written(&row, enveloped);
    }
}

fn read_and_written(row: &[u8], enveloped: &str) {
    let alone = read(&mut *converter(enveloped), &[row]);
    let mut converter = converter(enveloped);
    for rows in [vec![row; ROWS], vec![row]] {
        let among = read(&mut *converter, &rows);
        assert_eq!(among.len(), rows.len());
        assert!(among.iter().all(|value| *value == alone[0]), "{among:?} {alone:?}");
    }
    let columns = converter.to_connect_data(TOPIC, &serialized(&[row]), &[], &mut Vec::new());
    let (Some(value), Ok(columns)) = (&alone[0], columns) else {
        return;
    };
    let mut failed = Vec::new();
    let rows = converter.from_connect_data(TOPIC, &columns[0], &mut failed);
    let rows = rows.expect("rows fail alone");
    if failed.is_empty() && is_plain(value) {
        let rows: Vec<&[u8]> = rows.iter().map(Option::unwrap_or_default).collect();
        assert_eq!(read(&mut *converter, &rows)[0].as_ref(), Some(value));
    }
}

/// What each row is; none where it fails.
fn read(converter: &mut dyn Converter, rows: &[&[u8]]) -> Vec<Option<Value>> {
    let mut failed = Vec::new();
    let columns = converter.to_connect_data(TOPIC, &serialized(rows), &[], &mut failed);
    let columns = columns.expect("rows fail alone");
    let values = columns.iter().flat_map(|column| (0..column.len()).map(|i| column.value(i)));
    let mut values: Vec<_> =
        values.map(|value| Some(value.expect("the column is whole"))).collect();
    for failure in failed {
        values[failure.row] = None;
    }
    values
}

fn serialized(rows: &[&[u8]]) -> BinaryViewArray {
    BinaryViewArray::from_iter_values(rows)
}

fn converter(enveloped: &str) -> Box<dyn Converter> {
    let mut plugins = millrace_converters::plugins();
    plugins.retain(|p| p.kind() == PluginKind::Converter && p.answers_to("JsonConverter"));
    let props = Props::from([("schemas.enable".to_owned(), enveloped.to_owned())]);
    match plugins[0].open() {
        Open::Converter(open) => open(&props, ConverterRole::Value).expect("the keys are right"),
        _ => unreachable!("converters open as such"),
    }
}
