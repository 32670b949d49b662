//! Data that were written with one schema and are read as another.

use apache_avro::reader::datum::GenericDatumReader;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn resolver(avro: &mut Avro, written: &str, wanted: &str) -> Result<Compiled> {
    avro.compile_resolver(&schema_text(written), &schema_text(wanted), None)
}

fn record_of(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"n.R","fields":[{fields}]}}"#)
}

/// What is read of a payload, printed.
fn resolved(written: &str, wanted: &str, payload: &[u8]) -> std::result::Result<String, String> {
    let mut avro = avro(&[]);
    let schema = resolver(&mut avro, written, wanted).map_err(|error| error.trace())?;
    let read = read(&mut avro, schema, &[Some(payload); 20]).swap_remove(7);
    read.map(|value| value.to_string())
}

/// The same for a record of one field, which is printed.
fn field(written: &str, wanted: &str, payload: &[u8]) -> std::result::Result<String, String> {
    let one = |value: &str| record_of(&format!(r#"{{"name":"f","type":{value}}}"#));
    let read = resolved(&one(written), &one(wanted), payload)?;
    Ok(read.strip_prefix("Struct{f=").unwrap_or("").trim_end_matches('}').to_owned())
}

#[test]
fn numbers_widen_and_bytes_are_texts() {
    let half = 0.5_f32.to_le_bytes();
    let cases: [(&str, &str, &[u8], &str); 12] = [
        (r#""int""#, r#""long""#, &[3], "-2"),
        (r#""int""#, r#""float""#, &[3], "-2.0"),
        (r#""int""#, r#""double""#, &[3], "-2.0"),
        (r#""long""#, r#""float""#, &[3], "-2.0"),
        (r#""long""#, r#""double""#, &[3], "-2.0"),
        (r#""float""#, r#""double""#, &half, "0.5"),
        (r#""string""#, r#""string""#, &[4, b'h', b'i'], "hi"),
        (r#""bytes""#, r#""string""#, &[4, b'h', b'i'], "hi"),
        (r#"["null","int"]"#, r#"["long","null"]"#, &[2, 3], "-2"),
        (r#"["int","null"]"#, r#"["null","int"]"#, &[2], ""),
        (r#""int""#, r#"["null","long"]"#, &[3], "-2"),
        (
            r#"{"type":"array","items":"int"}"#,
            r#"{"type":"array","items":"long"}"#,
            &[2, 3, 0],
            "[-2]",
        ),
    ];
    for (written, wanted, payload, expected) in cases {
        assert_eq!(field(written, wanted, payload).as_deref(), Ok(expected), "{written} {wanted}");
    }
}

#[test]
fn fields_go_by_name_and_alias_and_missing_ones_have_defaults() {
    let written = record_of(
        r#"{"name":"gone","type":{"type":"map","values":["null","n.R","string"]}},
           {"name":"b","type":"string"},{"name":"old","type":"int"}"#,
    );
    let wanted = record_of(
        r#"{"name":"new","type":"long","aliases":["old"]},{"name":"b","type":"string"},
           {"name":"c","type":["null","string"],"default":null},
           {"name":"d","type":{"type":"array","items":"int"},"default":[1,2]},
           {"name":"e","type":{"type":"record","name":"E","fields":[{"name":"x","type":"int","default":7}]},"default":{}}"#,
    );
    // The map has a record that holds another map, and a text.
    let inner: &[u8] = &[0, 2, b'x', 5];
    let payload =
        [&[4, 2, b'k', 2], inner, &[2, b'l', 4, 2, b'y', 0], &[4, b'h', b'i', 8]].concat();
    let read = resolved(&written, &wanted, &payload);
    assert_eq!(read.as_deref(), Ok("Struct{new=4,b=hi,d=[1, 2],e=Struct{x=7}}"));
    let cut = resolved(&written, &wanted, &payload[..6]).unwrap_err();
    assert!(cut.contains("ends within a value"), "{cut}");
}

#[test]
fn a_symbol_or_branch_that_is_not_wanted_costs_its_row() {
    let symbols = |symbols: &str, more: &str| {
        format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{more}}}"#)
    };
    let written = symbols(r#""A","B""#, "");
    let wanted = symbols(r#""X","B""#, "");
    let with_default = symbols(r#""X","B""#, r#","default":"X""#);
    assert_eq!(field(&written, &wanted, &[2]).as_deref(), Ok("B"));
    assert!(
        field(&written, &wanted, &[0])
            .unwrap_err()
            .contains("none that the schema to read with has")
    );
    assert_eq!(field(&written, &with_default, &[0]).as_deref(), Ok("X"));
    assert!(field(r#"["null","int"]"#, r#""int""#, &[0]).unwrap_err().contains("written: null"));
    assert_eq!(field(r#"["null","int"]"#, r#""int""#, &[2, 2]).as_deref(), Ok("1"));
    let read = field(r#""int""#, r#"["string","long","double"]"#, &[2]).unwrap();
    assert_eq!(read, "Struct{long=1");
}

#[test]
fn what_can_never_be_read_is_said_before_any_row() {
    let decimal = |scale: i32| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#)
    };
    let fixed =
        |name: &str, size: i32| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    let cases = [
        (r#""long""#.to_owned(), r#""int""#.to_owned(), "(written: long, wanted: int, field: f"),
        (decimal(2), decimal(3), "another scale (written: 2, wanted: 3"),
        (fixed("F", 2), fixed("F", 3), "(written: fixed n.F, wanted: fixed n.F"),
        (fixed("F", 2), fixed("G", 2), "wanted: fixed n.G"),
    ];
    for (written, wanted, complaint) in cases {
        let error = field(&written, &wanted, &[2, 2]).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
    let error = resolved(&record_of(""), &record_of(r#"{"name":"f","type":"int"}"#), &[]);
    assert!(error.unwrap_err().contains("no default for it (field: f"));
    let error = resolved(r#""bytes""#, r#""string""#, b"x").unwrap_err();
    assert!(error.contains("nothing but bytes"), "{error}");
}

#[test]
fn unions_in_unions_have_an_end() {
    let mut written = r#""null""#.to_owned();
    let mut wanted = r#""int""#.to_owned();
    for level in 0..20 {
        let record = |name: &str, value: &str| {
            format!(
                r#"{{"type":"record","name":"{name}{level}","fields":[{{"name":"f","type":{value}}}]}}"#
            )
        };
        written =
            format!(r#"[{},{}]"#, record("A", &written), record("B", &format!("\"A{level}\"")));
        wanted = record("W", &wanted);
    }
    let error = resolved(&written, &wanted, &[0; 40]).unwrap_err();
    assert!(error.contains("too many types"), "{error}");
}

#[test]
fn rows_of_all_schemas_that_become_one_are_one_column() {
    let versions = [
        record_of(r#"{"name":"a","type":"int"}"#),
        record_of(r#"{"name":"a","type":"long"},{"name":"b","type":"string","default":"-"}"#),
    ];
    let mut avro = avro(&[]);
    let wanted = schema_text(&versions[1]);
    let readers = versions
        .each_ref()
        .map(|version| avro.compile_resolver(&schema_text(version), &wanted, Some(2)).unwrap());
    let payloads: [&[u8]; 2] = [&[2], &[4, 2, b'x']];
    let rows: Vec<Row<'_>> =
        (0..100).map(|i| Row { schema: readers[i % 2], payload: Some(payloads[i % 2]) }).collect();
    let columns = avro.read(&rows, &mut Vec::new()).unwrap();
    assert_eq!(columns.len(), 1);
    assert_eq!(columns[0].schema().unwrap().version(), Some(2));
    assert_eq!(columns[0].value(50).unwrap().to_string(), "Struct{a=1,b=-}");
    assert_eq!(columns[0].value(51).unwrap().to_string(), "Struct{a=2,b=x}");
}

#[test]
fn long_defaults_are_not_copied_without_end() {
    let written = record_of("");
    let long = "x".repeat(1 << 20);
    let wanted = record_of(&format!(r#"{{"name":"f","type":"string","default":"{long}"}}"#));
    let mut avro = avro(&[]);
    let schema = resolver(&mut avro, &written, &wanted).unwrap();
    let read = |avro: &mut Avro, rows: usize| {
        let rows = vec![Row { schema, payload: Some(&[]) }; rows];
        let mut failed = Vec::new();
        let column = avro.read(&rows, &mut failed).unwrap().remove(0);
        assert!(failed.is_empty() && column.len() == rows.len());
        column
    };
    assert!(matches!(read(&mut avro, 20), Column::Typed { .. }));
    // As values they are one text.
    assert!(matches!(read(&mut avro, 100), Column::Rows { .. }));
}

/// A type as it was written and as it is wanted.
#[derive(Clone, Debug)]
enum Pair {
    Plain(&'static str, &'static str),
    Enum(usize, usize, bool),
    Fixed(usize),
    Array(Box<Pair>),
    Map(Box<Pair>),
    /// Null may have been written, and may be wanted, and stands first in these.
    Optional(Box<Pair>, [bool; 4]),
    /// One of several types, and those wanted.
    Union(Vec<usize>, Vec<usize>),
    Record(Vec<Field>, usize),
}

#[derive(Clone, Debug)]
struct Field {
    pair: Pair,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Same,
    Renamed,
    Dropped,
    Added,
}

const PLAIN: [(&str, &str); 16] = [
    ("boolean", "boolean"),
    ("int", "int"),
    ("long", "long"),
    ("float", "float"),
    ("double", "double"),
    ("string", "string"),
    ("bytes", "bytes"),
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("bytes", "string"),
    ("string", "bytes"),
    ("int", "long"),
];
const SYMBOLS: [&str; 4] = ["A", "B", "C", "D"];
const MEMBERS: [&str; 6] = ["null", "boolean", "int", "double", "string", "bytes"];

fn pairs() -> BoxedStrategy<Pair> {
    let members = || prop::sample::subsequence((0..MEMBERS.len()).collect::<Vec<_>>(), 2..5);
    let leaf = prop_oneof![
        4 => prop::sample::select(&PLAIN[..]).prop_map(|(a, b)| Pair::Plain(a, b)),
        1 => (1..5_usize, 1..5_usize, any::<bool>()).prop_map(|(a, b, d)| Pair::Enum(a, b, d)),
        1 => (0..5_usize).prop_map(Pair::Fixed),
        1 => (members(), members()).prop_map(|(a, b)| Pair::Union(a, b)),
    ];
    let how =
        prop::sample::select(&[How::Same, How::Same, How::Renamed, How::Dropped, How::Added][..]);
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let field = (inner.clone(), how.clone()).prop_map(|(pair, how)| Field { pair, how });
        prop_oneof![
            1 => inner.clone().prop_map(|pair| Pair::Array(Box::new(pair))),
            1 => inner.clone().prop_map(|pair| Pair::Map(Box::new(pair))),
            2 => (inner, any::<[bool; 4]>()).prop_map(|(pair, how)| match pair {
                Pair::Union(..) | Pair::Optional(..) => pair,
                pair => Pair::Optional(Box::new(pair), how),
            }),
            3 => (prop::collection::vec(field, 0..5), 0..5_usize)
                .prop_map(|(fields, turn)| Pair::Record(fields, turn)),
        ]
    })
    .boxed()
}

/// Both schemas; named types are counted.
fn schemas(pair: &Pair, named: &mut usize) -> [Json; 2] {
    *named += 1;
    let name = format!("N{named}");
    match pair {
        Pair::Plain(written, wanted) => [json!(written), json!(wanted)],
        Pair::Enum(written, wanted, has_default) => {
            let of = |symbols| json!({"type": "enum", "name": name, "symbols": symbols});
            let mut wanted = of(&SYMBOLS[SYMBOLS.len() - wanted..]);
            if *has_default {
                wanted["default"] = json!("D");
            }
            [of(&SYMBOLS[..*written]), wanted]
        }
        Pair::Fixed(size) => {
            let one = json!({"type": "fixed", "name": name, "size": size});
            [one.clone(), one]
        }
        Pair::Array(items) => {
            schemas(items, named).map(|items| json!({"type": "array", "items": items}))
        }
        Pair::Map(values) => {
            schemas(values, named).map(|values| json!({"type": "map", "values": values}))
        }
        Pair::Optional(pair, [written, wanted, first, second]) => {
            let [a, b] = schemas(pair, named);
            let optional = |is: bool, first: bool, value| match (is, first) {
                (false, _) => value,
                (true, true) => json!(["null", value]),
                (true, false) => json!([value, "null"]),
            };
            [optional(*written, *first, a), optional(*wanted, *second, b)]
        }
        Pair::Union(written, wanted) => {
            [written, wanted].map(|of| of.iter().map(|at| MEMBERS[*at]).collect())
        }
        Pair::Record(fields, turn) => {
            let (mut written, mut wanted) = (Vec::new(), Vec::new());
            for (i, field) in fields.iter().enumerate() {
                let [mut a, mut b] =
                    schemas(&field.pair, named).map(|value| json!({"type": value}));
                (a["name"], b["name"]) = (json!(format!("f{i}")), json!(format!("f{i}")));
                match field.how {
                    How::Same => {}
                    How::Renamed => {
                        a["name"] = json!(format!("old{i}"));
                        b["name"] = json!(format!("new{i}"));
                        b["aliases"] = json!([a["name"]]);
                    }
                    How::Dropped => {
                        written.push(a);
                        continue;
                    }
                    How::Added => {
                        b["type"] = json!(["null", "int"]);
                        b["default"] = Json::Null;
                        wanted.push(b);
                        continue;
                    }
                }
                written.push(a);
                wanted.push(b);
            }
            let turn = turn % wanted.len().max(1);
            wanted.rotate_left(turn);
            [written, wanted]
                .map(|fields| json!({"type": "record", "name": name, "fields": fields}))
        }
    }
}

/// Appends a datum of a schema, chosen by the bytes of a seed.
fn datum(schema: &Json, seed: &mut impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let mut next = || seed.next().unwrap_or(0);
    let kind = if schema.is_object() { &schema["type"] } else { schema };
    if let Json::Array(members) = kind {
        let branch = usize::from(next()) % members.len();
        encode::append_long(branch as i64, out);
        return datum(&members[branch], seed, out);
    }
    match kind.as_str().unwrap() {
        "null" => {}
        "boolean" => out.push(next() & 1),
        "int" | "long" => encode::append_long(i64::from(next() as i8) * 70_001, out),
        "float" => out.extend((f32::from(next()) / 8.0).to_le_bytes()),
        "double" => out.extend((f64::from(next()) / 8.0).to_le_bytes()),
        "string" | "bytes" => encode::append_bytes(&b"text"[..usize::from(next() % 5)], out),
        "enum" => {
            let symbols = schema["symbols"].as_array().unwrap().len();
            encode::append_long((usize::from(next()) % symbols) as i64, out);
        }
        "fixed" => out.extend((0..schema["size"].as_u64().unwrap()).map(|_| next())),
        "record" => {
            for field in schema["fields"].as_array().unwrap() {
                datum(&field["type"], seed, out);
            }
        }
        kind => {
            let count = next() % 3;
            if count > 0 {
                encode::append_long(count.into(), out);
            }
            for i in 0..count {
                if kind == "map" {
                    encode::append_bytes(&[b'k' + i], out);
                }
                datum(&schema[if kind == "map" { "values" } else { "items" }], seed, out);
            }
            out.push(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn apache_avro_resolves_the_same(
        pair in pairs(),
        seed in prop::collection::vec(any::<u8>(), 40),
    ) {
        // A payload of bytes alone has no length before it.
        let pair = Pair::Record(vec![Field { pair, how: How::Same }], 0);
        let [written, wanted] = schemas(&pair, &mut 0);
        let mut payload = Vec::new();
        datum(&written, &mut seed.iter().copied().cycle().take(4_000), &mut payload);
        let theirs = {
            let parse = |text: &str| apache_avro::Schema::parse_str(text).unwrap();
            // It does not look at aliases.
            let written = parse(&written.to_string().replace("\"old", "\"new"));
            let wanted = parse(&wanted.to_string());
            let reader = GenericDatumReader::builder(&written).reader_schema(&wanted).build();
            reader.and_then(|reader| reader.read_value(&mut payload.as_slice()))
        };
        let mut avro = avro(&[]);
        let ours = resolver(&mut avro, &written.to_string(), &wanted.to_string());
        let ours = ours.map_err(|error| error.trace()).and_then(|schema| {
            let mut rows = [Some(&payload[..]); 20];
            // What is cut short, or anything at all, leaves no trace in its neighbours.
            rows[2] = Some(&payload[..payload.len() / 2]);
            rows[5] = Some(&seed);
            let read = read(&mut avro, schema, &rows).swap_remove(3)?;
            Ok((avro.readers[schema.0].schema.clone().unwrap(), read))
        });
        match (&ours, &theirs) {
            (Ok((schema, ours)), Ok(theirs)) => {
                prop_assert!(differential::same(schema, ours, theirs), "{ours} is not {theirs:?}");
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "ours {ours:?}\ntheirs {theirs:?}"),
        }
    }
}
