//! Avro payloads: whatever apache-avro takes for whole, ours must read the same, a row alone and in
//! a column.

use std::io::Read;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use millrace_converters::{Language, Payloads};

/// Rows of a column, so that it becomes one of Arrow.
const ROWS: usize = 16;

/// The first byte chooses among these. None has maps, whose order apache-avro forgets.
const SCHEMAS: [&str; 6] = [
    r#"{"type":"record","name":"Order","fields":[
        {"name":"id","type":"long"},{"name":"customer","type":"string"},
        {"name":"note","type":["null","string"]},{"name":"quantity","type":"int"},
        {"name":"price","type":"double"},{"name":"paid","type":"boolean"},
        {"name":"created","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"weight","type":["float","null"]}]}"#,
    r#"{"type":"array","items":{"type":"array","items":["null","int"]}}"#,
    r#"{"type":"record","name":"N","fields":[
        {"name":"a","type":{"type":"array","items":{"type":"record","name":"E","fields":[]}}},
        {"name":"b","type":"bytes"},{"name":"f","type":{"type":"fixed","name":"F","size":3}},
        {"name":"d","type":{"type":"int","logicalType":"date"}}]}"#,
    r#"["null","int",{"type":"enum","name":"C","symbols":["A","B","D"]},"string",
        {"type":"record","name":"R","fields":[{"name":"x","type":["null","long"]}]}]"#,
    r#""string""#,
    r#"{"type":"record","name":"U","fields":[{"name":"u","type":["int","string"]},
        {"name":"o","type":["null",{"type":"array","items":"string"}]}]}"#,
];

/// Takes any bytes and comes back.
pub(crate) fn avro(data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let schema = SCHEMAS[usize::from(*first) % SCHEMAS.len()];
    let mut ours = Payloads::of_schema(Language::Avro, schema).expect("the schema is one");
    let alone = rewritten(&mut ours, payload, 1);
    assert_eq!(rewritten(&mut ours, payload, ROWS), alone, "columns are read as values are");
    // It makes room for as many items as a payload says that it has.
    apache_avro::util::max_allocation_bytes(1 << 20);
    let schema = apache_avro::Schema::parse_str(schema).expect("the schema is one");
    let reader = GenericDatumReader::builder(&schema).build().expect("it can be read");
    let mut input = Input { rest: payload, is_cut: false };
    let value = reader.read_value(&mut input);
    let (Ok(value), false) = (value, input.is_cut) else {
        return;
    };
    if !input.rest.is_empty() {
        assert_eq!(alone, None, "what follows the value is an error");
        return;
    }
    let writer = GenericDatumWriter::builder(&schema).build().expect("it can be written");
    let theirs = writer.write_value_to_vec(value).expect("what was read can be written");
    match alone {
        // Null on its own is a tombstone.
        Some(None) => assert_eq!(theirs, [0]),
        alone => assert_eq!(alone, Some(Some(theirs))),
    }
}

/// What the first of so many such rows is when it is written again; none when it cannot be read.
fn rewritten(avro: &mut Payloads, payload: &[u8], rows: usize) -> Option<Option<Vec<u8>>> {
    let mut failed = Vec::new();
    let columns = avro.read(&vec![Some(payload); rows], &mut failed).expect("rows fail, not runs");
    if !failed.is_empty() {
        assert_eq!(failed.len(), rows, "equal rows fail alike");
        return None;
    }
    let written = avro.write(&columns[0], b"", &mut failed).expect("rows fail, not runs");
    assert!(failed.is_empty(), "what was read can be written");
    Some(written.iter().next().expect("there is a row").map(<[u8]>::to_vec))
}

/// A payload that notices when more is asked for than there is: apache-avro takes some of what is
/// cut for null.
struct Input<'a> {
    rest: &'a [u8],
    is_cut: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.rest.read(buffer)?;
        self.is_cut |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}
