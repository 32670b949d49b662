//! Decides what data are moved: the same in every run, and neither constant nor noise, so that
//! codecs find something to do.

use std::sync::Arc;

use arrow::array::{BinaryViewArray, StringViewArray};
use millrace_api::TopicPartition;
use millrace_api::data::{
    Column, Kind, Records, Schema, SchemaBuilder, SchemaRef, SinkRecords, Struct, Value,
};

/// The topic everything belongs to.
pub const TOPIC: &str = "orders";

/// The time of the first record.
pub const EPOCH_MS: i64 = 1_763_700_000_000;

/// Numbers that look random and are the same each time (splitmix64).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence with this name.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

const WORDS: [&str; 16] = [
    "river", "mill", "wheel", "stone", "flour", "harvest", "ferry", "bridge", "lock", "barge",
    "weir", "grain", "sluice", "meadow", "canal", "race",
];

/// A text of exactly so many ASCII characters: words and numbers.
pub fn text(numbers: &mut Numbers, length: usize) -> String {
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        let word = WORDS[numbers.below(WORDS.len() as u64) as usize];
        text += &format!("{word} {} ", numbers.below(1000));
    }
    text.truncate(length);
    text
}

/// So many texts of so many characters.
pub fn texts(count: usize, length: usize) -> Vec<String> {
    let mut numbers = Numbers::new(1);
    (0..count).map(|_| text(&mut numbers, length)).collect()
}

/// Texts as a column of strings.
pub fn strings(count: usize, length: usize) -> Column {
    let array = StringViewArray::from_iter_values(texts(count, length));
    Column::Typed { schema: Schema::string(false), array: Arc::new(array) }
}

/// Texts as Kafka holds them.
pub fn bytes(count: usize, length: usize) -> BinaryViewArray {
    BinaryViewArray::from_iter_values(texts(count, length))
}

/// The schema of an order: eight fields, an optional one and a logical type among them.
pub fn order_schema() -> SchemaRef {
    let of = |kind| Schema::builder(kind).build();
    Schema::struct_builder()
        .name("shop.Order")
        .field("id", of(Kind::Int64))
        .field("customer", of(Kind::String))
        .field("note", Schema::string(true))
        .field("quantity", of(Kind::Int32))
        .field("price", of(Kind::Float64))
        .field("paid", of(Kind::Boolean))
        .field("created", SchemaBuilder::build(Schema::timestamp_builder()))
        .field("sku", of(Kind::String))
        .build()
}

/// So many orders, a value each.
pub fn orders(count: usize) -> Vec<Value> {
    let schema = order_schema();
    let mut numbers = Numbers::new(2);
    (0..count as i64).map(|id| order(&schema, id, &mut numbers)).collect()
}

fn order(schema: &SchemaRef, id: i64, numbers: &mut Numbers) -> Value {
    let customer = format!("customer-{:08}", numbers.below(20_000));
    let note = match numbers.below(2) {
        0 => Value::Null,
        _ => Value::from(text(numbers, 24).as_str()),
    };
    let fields = vec![
        Value::Int64(1_000_000 + id),
        Value::from(customer.as_str()),
        note,
        Value::Int32(1 + numbers.below(20) as i32),
        Value::Float64(numbers.below(100_000) as f64 / 100.0),
        Value::Boolean(numbers.below(4) > 0),
        Value::Timestamp(EPOCH_MS + 250 * id),
        Value::from(format!("sku-{:05}", numbers.below(3_000)).as_str()),
    ];
    Value::Struct(Struct::new(Arc::clone(schema), fields))
}

/// So many orders in an Arrow array.
pub fn order_columns(count: usize) -> Column {
    let rows = Column::Rows { schema: Some(order_schema()), values: orders(count) };
    let array = rows.to_array().expect("orders fit their schema").expect("they have one");
    Column::Typed { schema: order_schema(), array }
}

/// The partition that sinks read.
pub fn partition() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

/// Values as a consumer brings them: in runs of at most so many, with offsets from 0.
pub fn sink_runs(values: &Column, rows_a_run: usize) -> Vec<SinkRecords> {
    let starts = (0..values.len()).step_by(rows_a_run);
    starts
        .map(|start| {
            let rows = rows_a_run.min(values.len() - start);
            let mut records = Records::new(TOPIC, values.slice(start, rows));
            let range = start as i64..(start + rows) as i64;
            records.partition = Some(0);
            records.timestamps = Some(range.clone().map(|n| EPOCH_MS + n).collect());
            records.offsets = Some(range.collect());
            SinkRecords::new(records, partition())
        })
        .collect()
}
