//! What is in Parquet files: every value of every schema, in the types that readers expect.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use millrace_testkit::arbitrary::Shape;
use proptest::prelude::*;

use super::*;

/// What Parquet gives back, as Connect values.
fn value_of(schema: &SchemaRef, array: &ArrayRef, row: usize) -> Value {
    let plain = match schema.arrow_type().unwrap() {
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => Arc::clone(array),
        flat => cast(array, &flat).unwrap(),
    };
    if plain.is_null(row) {
        return Value::Null;
    }
    match schema.kind() {
        Kind::Array => {
            let items = plain.as_list::<i32>().value(row);
            let item = schema.value_schema().unwrap();
            Value::Array((0..items.len()).map(|i| value_of(item, &items, i)).collect())
        }
        Kind::Map => {
            let entries = plain.as_map().value(row);
            let (key, value) = (schema.key_schema().unwrap(), schema.value_schema().unwrap());
            let entry =
                |i| (value_of(key, entries.column(0), i), value_of(value, entries.column(1), i));
            Value::Map((0..entries.len()).map(entry).collect())
        }
        Kind::Struct => {
            let fields = schema.fields().iter().zip(plain.as_struct().columns());
            let values = fields.map(|(f, column)| value_of(&f.schema, column, row)).collect();
            Value::Struct(Struct::new(Arc::clone(schema), values))
        }
        _ => {
            let column = Column::Typed { schema: Arc::clone(schema), array: plain };
            column.value(row).unwrap()
        }
    }
}

/// The value with the defaults of struct fields in place of their nulls, as `Struct.get` gives it.
fn with_defaults(value: &Value) -> Value {
    match value {
        Value::Struct(s) => {
            let field = |f: &millrace_api::data::Field| with_defaults(s.get(&f.name).unwrap());
            let values = s.schema().fields().iter().map(field).collect();
            Value::Struct(Struct::new(Arc::clone(s.schema()), values))
        }
        Value::Array(items) => Value::Array(items.iter().map(with_defaults).collect()),
        Value::Map(entries) => {
            let entry = |(k, v): &(Value, Value)| (with_defaults(k), with_defaults(v));
            Value::Map(entries.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

fn has_empty_struct(schema: &Schema) -> bool {
    schema.kind() == Kind::Struct && schema.fields().is_empty()
        || schema.fields().iter().any(|f| has_empty_struct(&f.schema))
        || [schema.key_schema(), schema.value_schema()]
            .into_iter()
            .flatten()
            .any(|s| has_empty_struct(s))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every value of every schema comes back from Parquet.
    #[test]
    fn parquet_gives_back_what_was_put(
        column in Shape::default().columns(),
        codec in prop::sample::select(&["none", "snappy", "gzip", "lz4", "lz4_raw", "zstd"][..]),
    ) {
        let schema = Arc::clone(column.schema().unwrap());
        prop_assume!(!has_empty_struct(&schema));
        let present: Vec<Value> =
            column.rows().unwrap().iter().filter(|v| !v.is_null()).map(with_defaults).collect();
        let lake = Lake::new(&[
            ("behavior.on.null.values", "ignore"),
            ("parquet.decimal.precision", "60"),
            ("parquet.codec", codec),
            ("rotate.interval.ms", "1"),
            ("flush.size", "1000"),
        ]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut task = lake.task().await;
            let offsets: Vec<i64> = (0..column.len() as i64).collect();
            task.put(&[put_together(&orders(), column.clone(), &offsets)]).await.unwrap();
            lake.later(1);
            task.put(&[]).await.unwrap();
        });
        let files = walk(lake.directory.path());
        prop_assert_eq!(files.len(), usize::from(!present.is_empty()));
        let Some(file) = files.first() else { return Ok(()) };
        let batch = read(file);
        let array: ArrayRef = if schema.kind() == Kind::Struct {
            Arc::new(arrow::array::StructArray::from(batch))
        } else {
            Arc::clone(batch.column_by_name("value").unwrap())
        };
        let found = (0..array.len()).map(|row| value_of(&schema, &array, row));
        let found: Vec<Value> = found.collect();
        prop_assert_eq!(found, present);
    }
}

/// A struct with a field of many a type, and a row of it.
fn many_types() -> (SchemaRef, Value) {
    let optional = |b: millrace_api::data::SchemaBuilder| b.optional().build();
    let tags = Schema::array_builder(Schema::string(false)).build();
    let counts = Schema::map_builder(Schema::string(false), Schema::string(true)).build();
    let schema = Schema::struct_builder()
        .field("id", Schema::builder(Kind::Int64).build())
        .field("tiny", Schema::builder(Kind::Int8).build())
        .field("day", optional(Schema::date_builder()))
        .field("time", optional(Schema::time_builder()))
        .field("at", optional(Schema::timestamp_builder()))
        .field("price", optional(Schema::decimal_builder(2)))
        .field(
            "exact",
            Schema::decimal_builder(2).parameter("connect.decimal.precision", "9").build(),
        )
        .field("tags", tags)
        .field("counts", counts)
        .build();
    let decimal = Value::Decimal(millrace_api::data::Decimal { unscaled: 5.into(), scale: 2 });
    let row = vec![
        Value::Int64(0),
        Value::Int8(1),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        decimal,
        Value::Array(vec![]),
        Value::Map(vec![]),
    ];
    let value = Value::Struct(Struct::new(Arc::clone(&schema), row));
    (schema, value)
}

#[tokio::test]
async fn parquet_types_are_those_that_readers_expect() {
    let (schema, value) = many_types();
    let lake = Lake::new(&[("flush.size", "1")]);
    let mut task = lake.task().await;
    let column = Column::from_values(Some(schema), vec![value]);
    task.put(&[put_together(&orders(), column, &[0])]).await.unwrap();
    let file = File::open(lake.directory.path().join(key(0))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, reader.parquet_schema().root_schema());
    let expected = "\
message arrow_schema {
  REQUIRED INT64 id;
  REQUIRED INT32 tiny (INTEGER(8,true));
  OPTIONAL INT32 day (DATE);
  OPTIONAL INT32 time (TIME(MILLIS,false));
  OPTIONAL INT64 at (TIMESTAMP(MILLIS,true));
  OPTIONAL FIXED_LEN_BYTE_ARRAY (16) price (DECIMAL(38,2));
  REQUIRED INT32 exact (DECIMAL(9,2));
  REQUIRED group tags (LIST) {
    REPEATED group list {
      REQUIRED BYTE_ARRAY element (STRING);
    }
  }
  REQUIRED group counts (MAP) {
    REPEATED group key_value {
      REQUIRED BYTE_ARRAY key (STRING);
      OPTIONAL BYTE_ARRAY value (STRING);
    }
  }
}
";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    let metadata = reader.metadata().file_metadata();
    assert!(metadata.key_value_metadata().is_none(), "no Arrow types that readers may not know");
}

#[tokio::test]
async fn numbers_too_long_for_their_column_are_named() {
    let price = Schema::decimal_builder(0).build();
    let schema = Schema::struct_builder().field("price", price).build();
    let unscaled = "9".repeat(39).parse().unwrap();
    let number = Value::Decimal(millrace_api::data::Decimal { unscaled, scale: 0 });
    let value = Value::Struct(Struct::new(Arc::clone(&schema), vec![number]));
    let column = Column::from_values(Some(schema), vec![value]);
    let lake = Lake::new(&[("flush.size", "1")]);
    let run = put_together(&orders(), column, &[5]);
    let error = lake.task().await.put(std::slice::from_ref(&run)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("parquet.decimal.precision"), "{text}");
    assert!(text.contains("field: price") && text.contains("offset: 5"), "{text}");
    let lake = Lake::new(&[("flush.size", "1"), ("parquet.decimal.precision", "39")]);
    lake.task().await.put(&[run]).await.unwrap();
    assert_eq!(walk(lake.directory.path()).len(), 1);
}
