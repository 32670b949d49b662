//! Decides what data property tests see: schemas, values, columns and runs of records that keep
//! Connect's rules, in all the forms the rules allow.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::buffer::ScalarBuffer;
use bytes::Bytes;
use millrace_api::data::json::JsonObjects;
use millrace_api::data::{
    Column, Decimal, Header, Headers, Kind, MILLIS_A_DAY, Records, Schema, SchemaBuilder,
    SchemaRef, Struct, Value, logical,
};
use num_bigint::BigInt;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Rows of a column: both sides of the length where Arrow begins to pay.
const ROWS: Range<usize> = 0..40;

/// The years 1 to 9999, which every format can write.
const DAYS: Range<i32> = -719_162..2_932_897;

/// Which schemas and values to make.
#[derive(Clone, Debug)]
pub struct Shape {
    depth: u32,
    finite: bool,
    attributes: bool,
    beyond_arrow: bool,
}

impl Default for Shape {
    /// Every kind nested two deep, with names, documentation and defaults, all floating point
    /// numbers, and nothing that Arrow cannot hold.
    fn default() -> Self {
        Self { depth: 2, finite: false, attributes: true, beyond_arrow: false }
    }
}

impl Shape {
    /// How many levels of structs, arrays and maps; 0 for primitives and logical types alone.
    #[must_use]
    pub fn depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }

    /// Leaves NaN and the infinities out.
    #[must_use]
    pub fn finite(mut self) -> Self {
        self.finite = true;
        self
    }

    /// Leaves names, versions, documentation and defaults out.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.attributes = false;
        self
    }

    /// Adds decimals that Arrow cannot hold.
    #[must_use]
    pub fn beyond_arrow(mut self) -> Self {
        self.beyond_arrow = true;
        self
    }

    /// Schemas of all kinds.
    pub fn schemas(&self) -> BoxedStrategy<SchemaRef> {
        self.schemas_at(self.depth)
    }

    /// Schemas of structs.
    pub fn structs(&self) -> BoxedStrategy<SchemaRef> {
        self.structs_at(self.depth.max(1))
    }

    /// Values that fit a schema; null as often as one in five where the schema allows it.
    pub fn values(&self, schema: &SchemaRef) -> BoxedStrategy<Value> {
        let present = self.present(schema);
        if schema.is_optional() {
            prop_oneof![1 => Just(Value::Null), 4 => present].boxed()
        } else {
            present
        }
    }

    /// Columns with a schema of any kind, 0 to 39 rows.
    pub fn columns(&self) -> BoxedStrategy<Column> {
        let shape = self.clone();
        self.schemas().prop_flat_map(move |schema| shape.columns_of(&schema)).boxed()
    }

    /// Columns of structs, 0 to 39 rows.
    pub fn struct_columns(&self) -> BoxedStrategy<Column> {
        let shape = self.clone();
        self.structs().prop_flat_map(move |schema| shape.columns_of(&schema)).boxed()
    }

    /// Columns of this schema, 0 to 39 rows.
    pub fn columns_of(&self, schema: &SchemaRef) -> BoxedStrategy<Column> {
        let schema = Arc::clone(schema);
        vec(self.values(&schema), ROWS)
            .prop_map(move |values| Column::from_values(Some(Arc::clone(&schema)), values))
            .boxed()
    }

    fn schemas_at(&self, depth: u32) -> BoxedStrategy<SchemaRef> {
        if depth == 0 {
            return self.leaves();
        }
        let (shape, inner) = (self.clone(), self.schemas_at(depth - 1));
        let arrays = (inner.clone(), self.attributes())
            .prop_map(|(item, attributes)| attributes.add_to(Schema::array_builder(item)).build());
        let maps = (shape.leaves(), inner, self.attributes())
            .prop_map(|(key, value, a)| a.add_to(Schema::map_builder(key, value)).build());
        prop_oneof![
            3 => self.leaves(),
            2 => self.structs_at(depth),
            1 => arrays,
            1 => maps,
        ]
        .boxed()
    }

    fn structs_at(&self, depth: u32) -> BoxedStrategy<SchemaRef> {
        let field = ("[a-zA-Z_ .\u{e9}\"]{0,6}", self.schemas_at(depth - 1));
        (vec(field, 0..5), self.attributes())
            .prop_map(|(fields, attributes)| {
                let mut builder = Schema::struct_builder();
                for (i, (name, schema)) in fields.into_iter().enumerate() {
                    // The number makes names unique.
                    builder = builder.field(format!("{name}{i}"), schema);
                }
                attributes.add_to(builder).build()
            })
            .boxed()
    }

    fn leaves(&self) -> BoxedStrategy<SchemaRef> {
        let scales = if self.beyond_arrow { -5..100 } else { 0..20 };
        let builders = prop_oneof![
            6 => select(Kind::PRIMITIVES).prop_map(Schema::builder),
            1 => scales.prop_map(Schema::decimal_builder),
            1 => Just(Schema::date_builder()),
            1 => Just(Schema::time_builder()),
            1 => Just(Schema::timestamp_builder()),
        ];
        let shape = self.clone();
        (builders, self.attributes())
            .prop_flat_map(move |(builder, attributes)| {
                shape.with_default(attributes.add_to(builder))
            })
            .boxed()
    }

    /// The schema, one time in six with a default.
    fn with_default(&self, builder: SchemaBuilder) -> BoxedStrategy<SchemaRef> {
        let schema = builder.clone().build();
        if !self.attributes {
            return Just(schema).boxed();
        }
        let defaults = option::weighted(0.16, self.present(&schema));
        defaults
            .prop_map(move |default| match default {
                Some(value) => builder
                    .clone()
                    .default_value(value)
                    .expect("the value was made for this schema")
                    .build(),
                None => Arc::clone(&schema),
            })
            .boxed()
    }

    fn attributes(&self) -> BoxedStrategy<Attributes> {
        let optional = any::<bool>();
        if !self.attributes {
            let bare = |optional| Attributes { optional, ..Attributes::default() };
            return optional.prop_map(bare).boxed();
        }
        let name = option::weighted(0.2, "[a-z]{1,4}(\\.[A-Z][a-z]{1,4})?");
        let version = option::weighted(0.2, 1..9);
        let doc = option::weighted(0.1, "\\PC{0,8}");
        let parameter = option::weighted(0.1, ("[a-z]{1,3}", "[a-z0-9]{0,3}"));
        (optional, name, version, doc, parameter)
            .prop_map(|(optional, name, version, doc, parameter)| Attributes {
                optional,
                name,
                version,
                doc,
                parameter,
            })
            .boxed()
    }

    /// Values that fit a schema and are not null.
    fn present(&self, schema: &SchemaRef) -> BoxedStrategy<Value> {
        match (schema.kind(), schema.name().unwrap_or("")) {
            (Kind::Int32, logical::DATE) => DAYS.prop_map(Value::Date).boxed(),
            (Kind::Int32, logical::TIME) => (0..MILLIS_A_DAY as i32).prop_map(Value::Time).boxed(),
            (Kind::Int64, logical::TIMESTAMP) => (DAYS, 0..MILLIS_A_DAY)
                .prop_map(|(day, millis)| Value::Timestamp(i64::from(day) * MILLIS_A_DAY + millis))
                .boxed(),
            (Kind::Bytes, logical::DECIMAL) => self.decimals(schema),
            (Kind::Int8, _) => any::<i8>().prop_map(Value::Int8).boxed(),
            (Kind::Int16, _) => any::<i16>().prop_map(Value::Int16).boxed(),
            (Kind::Int32, _) => any::<i32>().prop_map(Value::Int32).boxed(),
            (Kind::Int64, _) => any::<i64>().prop_map(Value::Int64).boxed(),
            (Kind::Float32, _) if self.finite => any::<f32>().prop_map(Value::Float32).boxed(),
            (Kind::Float32, _) => prop::num::f32::ANY.prop_map(Value::Float32).boxed(),
            (Kind::Float64, _) if self.finite => any::<f64>().prop_map(Value::Float64).boxed(),
            (Kind::Float64, _) => prop::num::f64::ANY.prop_map(Value::Float64).boxed(),
            (Kind::Boolean, _) => any::<bool>().prop_map(Value::Boolean).boxed(),
            (Kind::String, _) => texts().prop_map(|s| Value::from(&*s)).boxed(),
            (Kind::Bytes, _) => {
                vec(any::<u8>(), 0..24).prop_map(|bytes| Value::Bytes(Bytes::from(bytes))).boxed()
            }
            (Kind::Array, _) => {
                let item = schema.value_schema().expect("an array has one");
                vec(self.values(item), 0..4).prop_map(Value::Array).boxed()
            }
            (Kind::Map, _) => self.maps(schema),
            (Kind::Struct, _) => self.struct_values(schema),
        }
    }

    fn decimals(&self, schema: &SchemaRef) -> BoxedStrategy<Value> {
        let scale = schema.decimal_scale().unwrap_or(0);
        let unscaled = if self.beyond_arrow {
            vec(any::<u8>(), 1..48).prop_map(|bytes| BigInt::from_signed_bytes_be(&bytes)).boxed()
        } else {
            any::<i128>().prop_map(BigInt::from).boxed()
        };
        unscaled.prop_map(move |unscaled| Value::Decimal(Decimal { unscaled, scale })).boxed()
    }

    fn maps(&self, schema: &SchemaRef) -> BoxedStrategy<Value> {
        let keys = self.present(schema.key_schema().expect("a map has one"));
        let values = self.values(schema.value_schema().expect("a map has one"));
        vec((keys, values), 0..4).prop_map(|entries| Value::Map(unique(entries))).boxed()
    }

    fn struct_values(&self, schema: &SchemaRef) -> BoxedStrategy<Value> {
        let field = |schema: &SchemaRef| {
            let values = self.values(schema);
            if schema.default().is_some() && !schema.is_optional() {
                prop_oneof![1 => Just(Value::Null), 4 => values].boxed()
            } else {
                values
            }
        };
        let fields: Vec<_> = schema.fields().iter().map(|f| field(&f.schema)).collect();
        let schema = Arc::clone(schema);
        fields
            .prop_map(move |values| Value::Struct(Struct::new(Arc::clone(&schema), values)))
            .boxed()
    }
}

#[derive(Clone, Debug, Default)]
struct Attributes {
    optional: bool,
    name: Option<String>,
    version: Option<i32>,
    doc: Option<String>,
    parameter: Option<(String, String)>,
}

impl Attributes {
    /// Logical types keep the name and version that make them what they are.
    fn add_to(&self, mut builder: SchemaBuilder) -> SchemaBuilder {
        builder = builder.with_optional(self.optional);
        if builder.clone().build().name().is_none() {
            if let Some(name) = &self.name {
                builder = builder.name(&**name);
            }
            if let Some(version) = self.version {
                builder = builder.version(version);
            }
        }
        if let Some(doc) = &self.doc {
            builder = builder.doc(&**doc);
        }
        if let Some((name, value)) = &self.parameter {
            builder = builder.parameter(&**name, &**value);
        }
        builder
    }
}

/// The first entry of each key.
fn unique<V>(entries: Vec<(Value, V)>) -> Vec<(Value, V)> {
    let mut kept: Vec<(Value, V)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if kept.iter().all(|(k, _)| *k != key) {
            kept.push((key, value));
        }
    }
    kept
}

/// Texts: plain, with every printable character, with control characters.
pub fn texts() -> BoxedStrategy<String> {
    prop_oneof![
        3 => "[a-z0-9 ]{0,20}",
        2 => "\\PC{0,16}",
        1 => any::<String>(),
        1 => "[\"\\\\/\\x00-\\x1f{}\\[\\],:]{0,8}",
    ]
    .boxed()
}

/// Schemaless values, as JSON text without a schema yields them, nested up to `depth` levels.
pub fn schemaless(depth: u32) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Int64),
        any::<f64>().prop_map(Value::Float64),
        texts().prop_map(|s| Value::from(&*s)),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        let entry = (texts().prop_map(|s| Value::from(&*s)), inner.clone());
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            vec(entry, 0..4).prop_map(|entries| Value::Map(unique(entries))),
        ]
    })
    .boxed()
}

/// JSON texts of any value, nested up to `depth` levels; some with blanks between the tokens.
pub fn json_texts(depth: u32) -> BoxedStrategy<String> {
    json_values(depth).prop_flat_map(spelled).boxed()
}

/// JSON texts of objects.
pub fn json_objects(depth: u32) -> BoxedStrategy<String> {
    vec((texts(), json_values(depth.saturating_sub(1))), 0..5)
        .prop_map(|members| serde_json::Value::Object(members.into_iter().collect()))
        .prop_flat_map(spelled)
        .boxed()
}

fn json_values(depth: u32) -> BoxedStrategy<serde_json::Value> {
    use serde_json::Value as Json;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        texts().prop_map(Json::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        let member = (texts(), inner.clone());
        prop_oneof![
            vec(inner, 0..4).prop_map(Json::from),
            vec(member, 0..4).prop_map(|m| Json::Object(m.into_iter().collect())),
        ]
    })
    .boxed()
}

/// The value as text, compact or spread over lines.
fn spelled(value: serde_json::Value) -> BoxedStrategy<String> {
    any::<bool>()
        .prop_map(move |compact| if compact { value.to_string() } else { format!(" {value:#}\n") })
        .boxed()
}

/// Columns of JSON text, 0 to 39 rows; one row in six has no value at all. In half of them all rows
/// are objects, with their members in the order of the names.
pub fn json_columns(texts: BoxedStrategy<String>) -> BoxedStrategy<Column> {
    (vec(option::weighted(0.84, texts), ROWS), any::<bool>())
        .prop_map(|(rows, in_order)| {
            let row = |row: Option<String>| if in_order { ordered(&row?) } else { row };
            Column::Json(rows.into_iter().map(row).collect::<StringViewArray>())
        })
        .boxed()
}

/// An object with its members in the order of their names; none of what is no object.
fn ordered(text: &str) -> Option<String> {
    let mut members: Vec<_> =
        serde_json::from_str::<serde_json::Map<_, _>>(text).ok()?.into_iter().collect();
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(serde_json::Value::Object(members.into_iter().collect()).to_string())
}

/// Columns of schemaless rows, 0 to 39 of them.
pub fn schemaless_columns(depth: u32) -> BoxedStrategy<Column> {
    vec(schemaless(depth), ROWS).prop_map(|values| Column::from_values(None, values)).boxed()
}

/// Runs with these values, and with any keys, partition, timestamps, headers and offsets.
///
/// Offsets grow, so they tell the records apart when some are dropped.
pub fn records(values: BoxedStrategy<Column>) -> BoxedStrategy<Records> {
    values.prop_flat_map(records_of).boxed()
}

/// Runs of [`records`], keys and values exchanged: for what works on keys.
pub fn records_by_key(keys: BoxedStrategy<Column>) -> BoxedStrategy<Records> {
    records(keys)
        .prop_map(|mut records| {
            std::mem::swap(&mut records.key, &mut records.value);
            records
        })
        .boxed()
}

fn records_of(value: Column) -> BoxedStrategy<Records> {
    let rows = value.len();
    let key = option::of(vec(option::of("[a-z]{0,14}"), rows));
    let timestamp = prop_oneof![1 => Just(Records::NO_TIMESTAMP), 4 => 0..4_102_444_800_000_i64];
    let timestamps = option::of(vec(timestamp, rows));
    let steps = option::weighted(0.8, vec(1_i64..4, rows));
    let header = ("[a-z]{1,3}", texts()).prop_map(|(key, text)| Header {
        key: key.into(),
        schema: Some(Schema::string(false)),
        value: Value::from(&*text),
    });
    let headers = option::weighted(0.3, vec(vec(header, 0..3), rows));
    (key, option::of(0..3), timestamps, headers, steps)
        .prop_map(move |(key, partition, timestamps, headers, steps)| {
            let mut records = Records::new("topic", value.clone());
            if let Some(keys) = key {
                let text = |key: Option<String>| key.map_or(Value::Null, |k| Value::from(&*k));
                let keys = keys.into_iter().map(text).collect();
                records.key = Column::from_values(Some(Schema::string(true)), keys);
            }
            records.partition = partition;
            records.timestamps = timestamps.map(ScalarBuffer::from);
            records.headers = headers.map_or_else(Headers::none, Headers::from_rows);
            records.offsets = steps.map(|steps| {
                let offset = |at: &mut i64, step| {
                    *at += step;
                    Some(*at)
                };
                steps.into_iter().scan(0, offset).collect()
            });
            records
        })
        .boxed()
}

/// The same rows in every form that can hold them, the row form first.
pub fn forms(column: &Column) -> Vec<Column> {
    let values = column.rows().expect("a column can be read").into_owned();
    let rows = Column::Rows { schema: column.schema().cloned(), values };
    let mut forms = vec![rows.clone()];
    match (column, column.schema()) {
        (Column::Json(_), _) => {
            forms.push(column.clone());
            forms.extend(by_member(column));
        }
        (_, Some(schema)) => {
            if let Ok(Some(array)) = rows.to_array() {
                forms.push(Column::Typed { schema: Arc::clone(schema), array });
            }
        }
        _ => {}
    }
    forms
}

/// JSON texts by member, if they are objects that can be.
pub fn by_member(column: &Column) -> Option<Column> {
    match column {
        Column::Json(texts) => {
            JsonObjects::read(texts, |_, _| unreachable!("a column has valid JSON"))
                .map(Column::Objects)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn values_fit_their_schema_and_all_forms_hold_the_same(
            column in Shape::default().columns()
        ) {
            let schema = column.schema().expect("made with one").clone();
            let rows = column.rows().unwrap();
            for value in rows.iter() {
                value.validate(&schema).unwrap();
            }
            for form in forms(&column) {
                prop_assert_eq!(form.rows().unwrap(), rows.clone());
            }
        }

        #[test]
        fn columns_print_as_their_values_do(
            typed in Shape::default().columns(),
            json in json_columns(json_texts(2)),
        ) {
            for column in [typed, json] {
                for form in forms(&column) {
                    let printer = form.printer().unwrap();
                    for (row, value) in column.rows().unwrap().iter().enumerate() {
                        let mut text = Vec::new();
                        printer.append(row, &mut text).unwrap();
                        prop_assert_eq!(String::from_utf8(text).unwrap(), value.to_string());
                    }
                }
            }
        }

        #[test]
        fn decimals_beyond_arrow_stay_rows(
            column in Shape::default().beyond_arrow().depth(0).columns()
        ) {
            for form in forms(&column) {
                prop_assert_eq!(form.rows().unwrap(), column.rows().unwrap());
            }
        }

        #[test]
        fn json_can_be_read(column in json_columns(json_texts(3))) {
            for form in forms(&column) {
                prop_assert_eq!(form.rows().unwrap(), column.rows().unwrap());
            }
        }

        #[test]
        fn runs_are_aligned(records in records(Shape::default().depth(1).columns())) {
            let rows = records.len();
            prop_assert_eq!(records.key.len(), rows);
            prop_assert!(records.timestamps.as_ref().is_none_or(|t| t.len() == rows));
            prop_assert!(records.offsets.as_ref().is_none_or(|o| o.is_sorted() && o.len() == rows));
        }
    }
}
