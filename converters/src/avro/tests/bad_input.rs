//! Payloads that nobody should have written: each costs itself, and says what is wrong.

use super::*;

/// Bytes of a varint.
fn long(number: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::append_long(number, &mut bytes);
    bytes
}

#[test]
fn what_is_wrong_is_said() {
    let order = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"}]}}}]}"#;
    let ints = r#"{"type":"array","items":"int"}"#;
    let texts = r#"{"type":"map","values":"string"}"#;
    let nothings = r#"{"type":"array","items":{"type":"array","items":{"type":"record","name":"N","fields":[]}}}"#;
    let many = [long(1 << 31), vec![0; 8]].concat();
    let blocks: Vec<u8> = [long(3), long(60_000), vec![0], long(60_000), vec![0], long(1)].concat();
    let cases: [(&str, &[u8], &str); 23] = [
        (order, &[2, 2, 10, b'a'], "ends within a value (field: lines.sku)"),
        (order, &[2, 2, 4, 0xff, 0xfe, 0], "a string is not UTF-8 (field: lines.sku)"),
        (order, &[2, 0, 0], "goes on after its value"),
        (order, &[], "ends within a value (field: id)"),
        (order, &[2, 2, 1], "a length is negative (field: lines.sku)"),
        (ints, &many, "more items than its payload has bytes"),
        (ints, &[&long(i64::MAX)[..], &[0; 4]].concat(), "more items than its payload"),
        (ints, &[&long(i64::MIN)[..], &[2, 2, 0]].concat(), "more items than its payload"),
        (ints, &[1, 40], "more items than its payload"),
        (ints, &[2, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0], "an int is longer than 32 bits"),
        (ints, &[2, 0x80], "ends within a value"),
        (nothings, &[&long(1)[..], &long(1 << 31), &[0, 0]].concat(), "without content"),
        (nothings, &blocks, "without content"),
        (texts, &[2, 2, b'k', 0xfe, 0xff, 0xff, 0xff, 0x0f], "ends within a value"),
        (r#""long""#, &[0xff; 10], "a number is longer than 64 bits"),
        (r#""long""#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "64 bits"),
        (r#""boolean""#, &[2], "neither 0 nor 1"),
        (r#""float""#, &[1, 2, 3], "ends within a value"),
        (r#"["null","int"]"#, &[4, 0], "a union has no such branch"),
        (r#"["int","string","null"]"#, &[1], "a union has no such branch"),
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[2], "an enum has no such symbol"),
        (r#"{"type":"int","logicalType":"time-millis"}"#, &[1], "a time is not within a day"),
        (r#"["null",{"type":"bytes","logicalType":"decimal","scale":2}]"#, &[2, 0], "no digits"),
    ];
    for (schema, payload, complaint) in cases {
        let error = read_one(schema, payload).unwrap_err();
        assert!(error.contains(complaint), "{schema} {payload:?}: {error}");
    }
}

#[test]
fn a_poison_row_leaves_no_trace() {
    let text = r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"]},{"name":"b","type":{"type":"array","items":{"type":"map","values":["null","bytes"]}}},{"name":"c","type":["null","int",{"type":"record","name":"C","fields":[{"name":"d","type":"double"}]}]},{"name":"e","type":"boolean"}]}"#;
    let mut avro = avro(&[]);
    let schema = avro.compile_reader(&schema_text(text), None).unwrap();
    let good: Vec<u8> = [
        &[2, 6, b'a', b'b', b'c', 2, 4, 2, b'k', 2, 4, 1, 2, 2, b'l', 0, 0, 0, 4][..],
        &1.5_f64.to_le_bytes(),
        &[1],
    ]
    .concat();
    let alone = read(&mut avro, schema, &[Some(&good)]).swap_remove(0).unwrap();
    // Cut anywhere, it fails there; and nothing of it is left in any column.
    for cut in 0..good.len() {
        let rows = [Some(&good[..]), Some(&good[..cut]), None, Some(&good)].repeat(5);
        let values = read(&mut avro, schema, &rows);
        for (at, value) in values.into_iter().enumerate() {
            match at % 4 {
                1 => assert!(value.unwrap_err().contains("payload"), "{cut}"),
                2 => assert_eq!(value, Ok(Value::Null)),
                _ => assert_eq!(value.as_ref(), Ok(&alone)),
            }
        }
    }
}

#[test]
fn blocks_may_tell_their_size() {
    let expected = Value::Array([1, 2, 3].map(Value::Int32).to_vec());
    for size in [4, 5, 100] {
        let payload = [3, size, 2, 4, 2, 6, 0];
        assert_eq!(read_one(r#"{"type":"array","items":"int"}"#, &payload).as_ref(), Ok(&expected));
    }
}

#[test]
fn of_a_key_that_comes_again_the_later_value_counts() {
    let text = r#"{"type":"map","values":"int"}"#;
    let entries = |n: u8| (0..n).flat_map(|i| [2, b'a' + i % 20, 2 * i]).collect::<Vec<_>>();
    for n in [2, 21, 40_u8] {
        let payload = [&long(n.into())[..], &entries(n), &[2, 2, b'a', 100, 0]].concat();
        let Value::Map(map) = read_one(text, &payload).unwrap() else { panic!("not a map") };
        assert_eq!(map.len(), usize::from(n).min(20));
        assert_eq!(map[0], (Value::from("a"), Value::Int32(50)));
    }
}

/// So many fields `f0`, `f1` and so on of one type.
fn fields(count: usize, of: &str) -> String {
    let fields: Vec<_> = (0..count).map(|n| format!(r#"{{"name":"f{n}","type":{of}}}"#)).collect();
    fields.join(",")
}

#[test]
fn nulls_of_wide_structs_go_as_values() {
    let wide = format!(r#"{{"type":"record","name":"W","fields":[{}]}}"#, fields(2000, r#""int""#));
    let text = format!(r#"{{"type":"array","items":["null",{wide}]}}"#);
    let mut avro = avro(&[]);
    let schema = avro.compile_reader(&schema_text(&text), None).unwrap();
    let read = |avro: &mut Avro, items: usize| {
        let payload = [long(items as i64), vec![0; items + 1]].concat();
        let rows = vec![Row { schema, payload: Some(&payload) }; 20];
        let column = avro.read(&rows, &mut Vec::new()).unwrap().remove(0);
        let Value::Array(values) = column.value(19).unwrap() else { panic!("it is an array") };
        assert!(values.len() == items && values.iter().all(Value::is_null));
        column
    };
    assert!(matches!(read(&mut avro, 50), Column::Typed { .. }));
    assert!(matches!(read(&mut avro, 400), Column::Rows { .. }));
}

#[test]
fn a_payload_that_unfolds_without_end_is_refused() {
    let nothing = r#"{"type":"record","name":"N","fields":[]}"#;
    let empty = format!(
        r#"{{"type":"array","items":{{"type":"record","name":"R","fields":[{{"name":"n","type":{nothing}}},{}]}}}}"#,
        fields(999, r#""N""#)
    );
    let members: Vec<_> = (0..1000).map(|n| nothing.replace('N', &format!("N{n}"))).collect();
    let union = format!(r#"{{"type":"array","items":[{}]}}"#, members.join(","));
    let item_bytes = [0, 1];
    for (text, bytes) in [empty, union].into_iter().zip(item_bytes) {
        let mut avro = avro(&[]);
        let schema = avro.compile_reader(&schema_text(&text), None).unwrap();
        let payload = |items: usize| [long(items as i64), vec![0; items * bytes + 1]].concat();
        let (small, large) = (payload(3), payload(5_000));
        let mut rows = vec![Row { schema, payload: Some(&small) }; 20];
        rows[9].payload = Some(&large);
        let values = read_rows(&mut avro, &rows);
        let error = values[9].as_ref().unwrap_err();
        assert!(error.contains("unfolds to far more values"), "{error}");
        assert_eq!(values.iter().filter(|value| value.is_ok()).count(), 19);
    }
}

#[test]
fn keys_of_any_type_are_told_apart_in_time() {
    let entry = r#"{"type":"record","name":"io.confluent.connect.avro.MapEntry","fields":[{"name":"key","type":"double"},{"name":"value","type":"int"}]}"#;
    let mut avro = avro(&[]);
    let text = format!(r#"{{"type":"array","items":{entry}}}"#);
    let schema = avro.compile_reader(&schema_text(&text), None).unwrap();
    let keys = 0..100_000;
    let mut payload = long(keys.len() as i64 + 3);
    for key in keys.clone().map(f64::from).chain([f64::NAN, f64::NAN, 7.0]) {
        payload.extend(key.to_le_bytes());
        payload.push(if key.is_nan() || payload.len() > 900_000 { 8 } else { 2 });
    }
    payload.push(0);
    let start = std::time::Instant::now();
    let Ok(Value::Map(map)) =
        read_rows(&mut avro, &[Row { schema, payload: Some(&payload) }]).remove(0)
    else {
        panic!("it is a map")
    };
    // Comparing each with each takes minutes.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(map.len(), keys.len() + 1);
    assert_eq!(map[7], (Value::Float64(7.0), Value::Int32(4)));
}

#[test]
fn decimals_that_arrow_cannot_hold_go_as_values() {
    let text = r#"{"type":"bytes","logicalType":"decimal","scale":1}"#;
    let text = format!(r#"["null",{text}]"#);
    let mut avro = avro(&[]);
    let schema = avro.compile_reader(&schema_text(&text), None).unwrap();
    let wide = [&[2, 80][..], &[0x7f; 40]].concat();
    let mut rows: Vec<Option<&[u8]>> = vec![Some(&[2, 2, 5]); 30];
    rows[20] = Some(&wide);
    rows[25] = Some(&[4]);
    let values = read(&mut avro, schema, &rows);
    let Ok(Value::Decimal(number)) = &values[20] else { panic!("{:?}", values[20]) };
    assert_eq!(number.unscaled.bits(), 319);
    assert!(values[25].is_err());
    assert_eq!(values.iter().filter(|value| value.is_err()).count(), 1);
}

#[test]
fn depth_and_size_of_schemas_are_bounded() {
    let field = |name: &str, of: &str| format!(r#"{{"name":"{name}","type":{of}}}"#);
    // Each record holds the next twice.
    let mut references = vec![(
        "r0".into(),
        r#"{"type":"record","name":"R0","fields":[{"name":"x","type":"int"}]}"#.into(),
    )];
    for level in 1..40 {
        let of = format!(r#""R{}""#, level - 1);
        let fields = format!("{},{}", field("a", &of), field("b", &of));
        let text = format!(r#"{{"type":"record","name":"R{level}","fields":[{fields}]}}"#);
        references.push((format!("r{level}").into(), text.into()));
    }
    let bomb = SchemaText { text: r#""R39""#.into(), references };
    let error = avro(&[]).compile_reader(&bomb, None).unwrap_err().to_string();
    assert!(error.contains("too large"), "{error}");
    let recursive =
        r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let error = connect_with(&[], recursive).unwrap_err().to_string();
    assert!(
        error.contains("holds itself") && error.contains("(record: L, field: next)"),
        "{error}"
    );
    let mut deep = Schema::string(false);
    for _ in 0..100 {
        deep = Schema::array_builder(deep).build();
    }
    let error = avro(&[]).describe(Some(&deep)).unwrap_err().to_string();
    assert!(error.contains("too deep"), "{error}");
}

#[test]
fn data_without_schema_are_bounded_too() {
    let mut avro = avro(&[]);
    let text = avro.describe(None).unwrap().schema;
    let schema = avro.compile_reader(&text, None).unwrap();
    let deep = [0, 0, 0, 0, 0, 0, 0, 2, 2].repeat(100_000);
    let many = [&[0, 0, 0, 0, 0, 0, 0, 2][..], &long(1 << 31), &[0; 40]].concat();
    let failed = read(&mut avro, schema, &[Some(&deep), Some(&many), Some(&[0; 9])]);
    assert!(failed[0].as_ref().unwrap_err().contains("too deep"));
    assert!(failed[1].as_ref().unwrap_err().contains("more items"));
    assert_eq!(failed[2], Ok(Value::Null));
    let mut nested = Value::Null;
    for _ in 0..300 {
        nested = Value::Array(vec![nested]);
    }
    let writer = avro.compile_writer(None, &text).unwrap();
    let column = Column::Rows { schema: None, values: vec![nested, Value::Boolean(true)] };
    let mut errors = Vec::new();
    let rows = avro.write(writer, &column, b"", &mut errors).unwrap();
    assert_eq!((errors.len(), errors[0].row), (1, 0));
    assert_eq!(rows.value(1), [2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// A record that holds itself by a default, and one whose defaults double with each level.
#[test]
fn defaults_without_end_are_refused() {
    let itself = r#"{"name":"R","type":"record","fields":[{"name":"f","type":"R","default":{}}]}"#;
    let mut doubling = r#"{"name":"L0","type":"record","fields":[]}"#.to_owned();
    for level in 1..40 {
        doubling = format!(
            r#"{{"name":"L{level}","type":"record","fields":[{{"name":"a","type":{doubling},"default":{{}}}},{{"name":"b","type":"L{}","default":{{}}}}]}}"#,
            level - 1
        );
    }
    let data = Schema::struct_builder()
        .name("A")
        .field("x", Schema::builder(millrace_api::data::Kind::Int32).build())
        .build();
    for record in [itself, &doubling] {
        let text = format!(
            r#"{{"name":"A","type":"record","fields":[{{"name":"x","type":"int"}},{{"name":"r","type":{record},"default":{{}}}}]}}"#
        );
        let error = avro(&[]).compile_writer(Some(&data), &schema_text(&text)).unwrap_err();
        assert!(error.message().contains("a field without default"), "{error}");
    }
}

#[test]
fn records_of_nothing_that_nobody_wants_take_no_time() {
    let mut inner = r#"{"type":"record","name":"A0","fields":[]}"#.to_owned();
    for depth in 1..50 {
        let last = depth - 1;
        inner = format!(
            r#"{{"type":"record","name":"A{depth}","fields":[{{"name":"l","type":{inner}}},{{"name":"r","type":"A{last}"}}]}}"#
        );
    }
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let id = r#"{"name":"id","type":"int"}"#;
    let written = schema_text(&record(&format!(r#"{{"name":"x","type":{inner}}},{id}"#)));
    let wanted = schema_text(&record(id));
    let mut avro = avro(&[]);
    let schema = avro.compile_resolver(&written, &wanted, None).unwrap();
    let rows = [Row { schema, payload: Some(&[14]) }];
    assert!(read_rows(&mut avro, &rows)[0].is_ok());
}
