//! The ways by values and by columns against each other, and both against apache-avro.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Theirs;
use apache_avro::writer::datum::GenericDatumWriter;
use millrace_testkit::arbitrary::{Shape, forms};
use proptest::prelude::*;

use super::*;

const SCRUB: [(&str, &str); 1] = [("scrub.invalid.names", "true")];

/// A column of any schema that Avro can describe.
fn columns() -> BoxedStrategy<Column> {
    let describable = |column: &Column| avro(&SCRUB).describe(column.schema()).is_ok();
    Shape::default().columns().prop_filter("two types of one name", describable).boxed()
}

/// Places, bytes, and whether to insert them, to cut there, or to put them in place of others.
fn edits() -> BoxedStrategy<Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_written_is_read_back(column in columns()) {
        let mut avro = avro(&SCRUB);
        let (schema, rows) = write(&mut avro, &column);
        let reader = avro.compile_reader(&schema, None).unwrap();
        let read_back = read(&mut avro, reader, &payloads(&rows));
        let ours = avro.readers[reader.0].schema.clone().unwrap();
        for (value, back) in column.rows().unwrap().iter().zip(read_back) {
            let written = bare(column.schema().map(|s| &**s), value);
            prop_assert_eq!(bare(Some(&ours), &back.unwrap()), written);
        }
    }

    #[test]
    fn schemas_survive(column in columns()) {
        let schema = column.schema().unwrap();
        let mut avro = avro(&SCRUB);
        let text = avro.describe(Some(schema)).unwrap().schema;
        let reader = avro.compile_reader(&text, None).unwrap();
        let back = avro.readers[reader.0].schema.clone().unwrap();
        let again = avro.describe(Some(&back)).unwrap().schema;
        let reader = avro.compile_reader(&again, None).unwrap();
        prop_assert_eq!(&back, avro.readers[reader.0].schema.as_ref().unwrap());
    }

    #[test]
    fn all_forms_are_written_the_same(column in columns()) {
        let mut avro = avro(&SCRUB);
        let written: Vec<_> = forms(&column).iter().map(|form| write(&mut avro, form).1).collect();
        for form in &written {
            prop_assert_eq!(form, &written[0]);
        }
        let middle = column.len() / 3;
        let slice = write(&mut avro, &column.slice(middle, column.len() - middle)).1;
        prop_assert_eq!(slice, written[0].slice(middle, column.len() - middle));
    }

    #[test]
    fn apache_avro_reads_what_we_write_and_writes_what_we_read(column in columns()) {
        let mut avro = avro(&SCRUB);
        let (schema, rows) = write(&mut avro, &column);
        // Where it refuses a default that Java takes, it has nothing to say.
        let Ok(theirs) = apache_avro::Schema::parse_str(&schema.text) else { return Ok(()) };
        use apache_avro::Schema::{Bytes, Decimal};
        prop_assume!(!matches!(theirs, Bytes | Decimal(_)));
        let datum_reader = GenericDatumReader::builder(&theirs).build().unwrap();
        let datum_writer = GenericDatumWriter::builder(&theirs).build().unwrap();
        let reader = avro.compile_reader(&schema, None).unwrap();
        for payload in payloads(&rows).into_iter().flatten() {
            let mut rest = payload;
            let value = datum_reader.read_value(&mut rest).unwrap();
            prop_assert!(rest.is_empty());
            let again = datum_writer.write_value_to_vec(value.clone()).unwrap();
            let ours = read(&mut avro, reader, &[Some(payload), Some(&again)]);
            let ours: Vec<Value> = ours.into_iter().map(std::result::Result::unwrap).collect();
            let schema = avro.readers[reader.0].schema.clone().unwrap();
            prop_assert_eq!(&sorted(&schema, &ours[0]), &sorted(&schema, &ours[1]));
            prop_assert!(same(&schema, &ours[0], &value), "{:?} is not {:?}", ours[0], value);
        }
    }

    #[test]
    fn any_bytes_give_both_ways_the_same(
        column in columns(),
        edits in edits(),
    ) {
        let mut avro = avro(&SCRUB);
        let (schema, rows) = write(&mut avro, &column);
        let reader = avro.compile_reader(&schema, None).unwrap();
        let good = payloads(&rows);
        let expected = read(&mut avro, reader, &good);
        let mut changed: Vec<Vec<u8>> = good.iter().map(|p| p.unwrap_or(b"").to_vec()).collect();
        for bytes in changed.iter_mut().skip(1).step_by(2) {
            for (at, byte, how) in &edits {
                let at = at.index(bytes.len() + 1);
                match how {
                    0 => bytes.insert(at, *byte),
                    1 => bytes.truncate(at),
                    _ if at < bytes.len() => bytes[at] = *byte,
                    _ => bytes.push(*byte),
                }
            }
        }
        let mut mixed = good.clone();
        for at in (1..mixed.len()).step_by(2) {
            mixed[at] = Some(&changed[at]);
        }
        let got = read(&mut avro, reader, &mixed);
        for at in (0..mixed.len()).step_by(2) {
            prop_assert_eq!(&got[at], &expected[at]);
        }
    }
}

/// With the entries of maps by their keys: apache-avro's are in no order.
fn sorted(schema: &SchemaRef, value: &Value) -> Value {
    match value {
        Value::Map(entries) => {
            let inner = schema.value_schema().unwrap();
            let pair = |(k, v): &(Value, Value)| (k.clone(), sorted(inner, v));
            let mut entries: Vec<_> = entries.iter().map(pair).collect();
            entries.sort_by_key(|(key, _)| key.to_string());
            Value::Map(entries)
        }
        Value::Array(items) => {
            let inner = schema.value_schema().unwrap();
            Value::Array(items.iter().map(|item| sorted(inner, item)).collect())
        }
        Value::Struct(s) => {
            let fields = schema.fields().iter().zip(s.values());
            record(schema, fields.map(|(f, v)| sorted(&f.schema, v)).collect())
        }
        value => value.clone(),
    }
}

/// Whether apache-avro has read the same.
pub(super) fn same(schema: &SchemaRef, ours: &Value, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Value::Struct(ours), Theirs::Union(_, theirs)) if names::is_union(schema) => {
            let mut set = schema.fields().iter().zip(ours.values()).filter(|(_, v)| !v.is_null());
            matches!((set.next(), set.next()), (Some((f, v)), None) if same(&f.schema, v, theirs))
        }
        (ours, Theirs::Union(_, theirs)) => same(schema, ours, theirs),
        (Value::Null, Theirs::Null) => true,
        (Value::Int8(a), Theirs::Int(b)) => i32::from(*a) == *b,
        (Value::Int16(a), Theirs::Int(b)) => i32::from(*a) == *b,
        (Value::Int32(a), Theirs::Int(b)) => a == b,
        (Value::Date(a), Theirs::Date(b)) | (Value::Time(a), Theirs::TimeMillis(b)) => a == b,
        (Value::Int64(a), Theirs::Long(b)) | (Value::Timestamp(a), Theirs::TimestampMillis(b)) => {
            a == b
        }
        (Value::Float32(a), Theirs::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Float64(a), Theirs::Double(b)) => a.to_bits() == b.to_bits(),
        (Value::Boolean(a), Theirs::Boolean(b)) => a == b,
        (Value::String(a), Theirs::String(b) | Theirs::Enum(_, b)) => **a == **b,
        (Value::Bytes(a), Theirs::Bytes(b) | Theirs::Fixed(_, b)) => a == b,
        (Value::Decimal(a), Theirs::Decimal(b)) => {
            let theirs: Vec<u8> = b.try_into().unwrap();
            a.unscaled == num_bigint::BigInt::from_signed_bytes_be(&theirs)
        }
        (Value::Array(a), Theirs::Array(b)) => {
            let inner = schema.value_schema().unwrap();
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(inner, a, b))
        }
        (Value::Map(a), Theirs::Map(b)) => {
            let inner = schema.value_schema().unwrap();
            let has = |(key, value): &(Value, Value)| {
                b.get(&key.to_string()).is_some_and(|theirs| same(inner, value, theirs))
            };
            a.len() == b.len() && a.iter().all(has)
        }
        (Value::Map(a), Theirs::Array(b)) => {
            let (keys, values) = (schema.key_schema().unwrap(), schema.value_schema().unwrap());
            let is = |((key, value), entry): (&(Value, Value), &Theirs)| match entry {
                Theirs::Record(parts) => {
                    same(keys, key, &parts[0].1) && same(values, value, &parts[1].1)
                }
                _ => false,
            };
            a.len() == b.len() && a.iter().zip(b).all(is)
        }
        (Value::Struct(a), Theirs::Record(b)) => {
            let fields = a.schema().fields().iter().zip(a.values());
            b.len() == a.values().len()
                && fields
                    .zip(b)
                    .all(|((f, a), (name, b))| *f.name == **name && same(&f.schema, a, b))
        }
        _ => false,
    }
}
