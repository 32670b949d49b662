//! Debezium's transformations on change events of any tables: rows ≡ columns. What they make of
//! events is recorded in `tests/golden/debezium`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use millrace_api::data::{Column, Decimal, Kind, Records, Schema, SchemaRef, Struct, Value};
use millrace_api::{Plugin, Props};
use millrace_testkit::arbitrary::{Shape, records, records_by_key};
use millrace_testkit::plugin_host::{props, transformation};
use millrace_testkit::transform_suite;
use millrace_testkit::transform_suite::TransformFixture;
use num_bigint::BigInt;
use proptest::prelude::*;

struct Fixture {
    name: &'static str,
    props: Props,
    by_key: bool,
}

impl TransformFixture for Fixture {
    fn plugin(&self) -> Plugin {
        let mut plugins = millrace_transforms::plugins().into_iter();
        plugins.find(|plugin| plugin.class().ends_with(self.name)).expect("the plugin is there")
    }

    fn props(&self) -> Props {
        self.props.clone()
    }

    fn records(&self) -> BoxedStrategy<Records> {
        let data = prop_oneof![
            4 => with_nulls(events(Shape::default().structs())),
            2 => with_nulls(events(Just(outbox()).boxed())),
            1 => events(Shape::default().beyond_arrow().structs()),
            1 => Shape::default().columns(),
        ];
        match self.by_key {
            true => records_by_key(data.boxed()),
            false => records(data.boxed()),
        }
    }
}

fn optional(kind: Kind) -> SchemaRef {
    Schema::builder(kind).optional().build()
}

/// Change events of tables with these rows.
fn events(rows: BoxedStrategy<SchemaRef>) -> BoxedStrategy<Column> {
    let events = |(row, source_is_optional, has_transactions): (SchemaRef, bool, bool)| {
        let row = row.to_builder().optional().build();
        let source = Schema::struct_builder()
            .field("table", Schema::string(false))
            .field("lsn", optional(Kind::Int64));
        let mut event = Schema::struct_builder()
            .name("shop.orders.Envelope")
            .field("before", Arc::clone(&row))
            .field("after", row)
            .field("source", source.with_optional(source_is_optional).build());
        if has_transactions {
            let block = Schema::struct_builder().field("id", Schema::string(false)).optional();
            event = event.field("transaction", block.build());
        }
        let event = event.field("op", Schema::string(false));
        Shape::default().columns_of(&event.field("ts_ms", optional(Kind::Int64)).build())
    };
    (rows, any::<bool>(), any::<bool>()).prop_flat_map(events).boxed()
}

fn outbox() -> SchemaRef {
    Schema::struct_builder()
        .name("shop.outbox.Value")
        .field("id", Schema::string(false))
        .field("aggregatetype", Schema::string(false))
        .field("aggregateid", optional(Kind::Int32))
        .field("type", Schema::string(true))
        .field("payload", Schema::string(true))
        .field("part", optional(Kind::Int32))
        .build()
}

/// Nulls where the schema forbids them too: as events, in their fields, and in rows.
fn with_nulls(columns: BoxedStrategy<Column>) -> BoxedStrategy<Column> {
    (columns, any::<u64>())
        .prop_map(|(column, bits)| {
            let mut values = column.rows().unwrap().into_owned();
            for (row, value) in values.iter_mut().enumerate() {
                match (bits >> (row % 16 * 4)) & 15 {
                    0 => *value = Value::Null,
                    n @ 1..3 => without_field(value, n as usize),
                    3 => within(value, 1, |after| without_field(after, 0)),
                    4 => within(value, 0, |before| without_field(before, 1)),
                    _ => {}
                }
            }
            Column::from_values(column.schema().cloned(), values)
        })
        .boxed()
}

fn within(value: &mut Value, place: usize, change: impl Fn(&mut Value)) {
    if let Value::Struct(s) = value {
        let mut fields = s.values().to_vec();
        fields.get_mut(place).map(change);
        *value = Value::Struct(Struct::new(Arc::clone(s.schema()), fields));
    }
}

fn without_field(value: &mut Value, place: usize) {
    within(value, place, |field| *field = Value::Null);
}

fn fixture<const N: usize>(name: &'static str, pairs: [(&str, &str); N]) -> Fixture {
    Fixture { name, props: props(pairs), by_key: false }
}

fn extract<const N: usize>(pairs: [(&str, &str); N]) -> Fixture {
    fixture(".ExtractNewRecordState", pairs)
}

transform_suite!(extract_new_record_state, extract([]));
transform_suite!(
    extract_with_fields,
    extract([("add.fields", "op,table,source.lsn:at,transaction.id,ts_ms")])
);
transform_suite!(
    extract_rewriting,
    extract([
        ("delete.tombstone.handling.mode", "rewrite-with-tombstone"),
        ("add.fields", "op,lsn"),
    ])
);
transform_suite!(
    extract_rewriting_without_defaults,
    extract([
        ("delete.tombstone.handling.mode", "rewrite"),
        ("replace.null.with.default", "false"),
    ])
);
transform_suite!(
    extract_with_headers,
    extract([
        ("delete.tombstone.handling.mode", "delete-to-tombstone"),
        ("add.headers", "op,source.table"),
    ])
);
transform_suite!(
    by_logical_table_router,
    fixture(
        ".ByLogicalTableRouter",
        [("topic.regex", "(.*)"), ("topic.replacement", "all-$1"), ("key.field.name", "a table")]
    )
);
transform_suite!(
    by_logical_table_router_with_struct_keys,
    Fixture {
        by_key: true,
        ..fixture(
            ".ByLogicalTableRouter",
            [("topic.regex", "(.*)"), ("topic.replacement", "all-$1")]
        )
    }
);
transform_suite!(event_router, fixture(".EventRouter", []));
transform_suite!(
    event_router_with_columns,
    fixture(
        ".EventRouter",
        [
            ("table.fields.additional.placement", "type:envelope:kind,part:partition,type:header"),
            ("table.field.additional.missing", "ignore"),
            ("route.tombstone.on.empty.payload", "true"),
            ("table.expand.json.payload", "true"),
        ]
    )
);

#[test]
fn rows_come_out_of_arrays_as_arrays() {
    let row = Schema::struct_builder().field("id", optional(Kind::Int32)).optional().build();
    let event = Schema::struct_builder()
        .name("t.Envelope")
        .field("before", Arc::clone(&row))
        .field("after", Arc::clone(&row))
        .field("op", Schema::string(false))
        .build();
    let row = |id| Value::Struct(Struct::new(Arc::clone(&row), vec![Value::Int32(id)]));
    let value = |id: i32| {
        let fields = match id % 10 {
            0 => vec![row(id), Value::Null, "d".into()],
            _ => vec![Value::Null, row(id), "c".into()],
        };
        Value::Struct(Struct::new(Arc::clone(&event), fields))
    };
    let values = Column::from_values(Some(Arc::clone(&event)), (0..40).map(value).collect());
    assert!(matches!(values, Column::Typed { .. }));
    for fixture in [
        extract([("add.fields", "op")]),
        extract([("delete.tombstone.handling.mode", "rewrite")]),
        fixture(".ByLogicalTableRouter", [("topic.regex", ".*"), ("topic.replacement", "t")]),
    ] {
        let mut transformation = transformation(&fixture.plugin(), &fixture.props()).unwrap();
        let runs = transformation.apply(Records::new("t", values.clone()), &mut Vec::new());
        let runs = runs.unwrap();
        assert_eq!(runs.iter().map(Records::len).sum::<usize>(), 40, "{}", fixture.name);
        assert!(runs.iter().all(|run| matches!(run.value, Column::Typed { .. })));
    }
}

/// Arrow has no decimal of more than 76 digits, so the column cannot hold its own default.
#[test]
fn a_default_that_no_array_holds_is_used_all_the_same() {
    let long = Value::Decimal(Decimal { unscaled: BigInt::from(10).pow(80), scale: 2 });
    let amount = Schema::decimal_builder(2).optional().default_value(long.clone()).unwrap();
    let amount = amount.build();
    let row = Schema::struct_builder()
        .optional()
        .field("n", Schema::builder(Kind::Int32).build())
        .field("amount", Arc::clone(&amount))
        .build();
    let event = Schema::struct_builder()
        .name("t.Envelope")
        .field("before", Arc::clone(&row))
        .field("after", Arc::clone(&row))
        .field("op", Schema::string(false))
        .field("amount", amount)
        .build();
    // The fourth has null where none may be.
    let value = |n: i32| {
        let n = if n == 3 { Value::Null } else { Value::Int32(n) };
        let row = Value::Struct(Struct::new(Arc::clone(&row), vec![n, Value::Null]));
        let fields = vec![Value::Null, row, "c".into(), Value::Null];
        Value::Struct(Struct::new(Arc::clone(&event), fields))
    };
    let values = Column::from_values(Some(Arc::clone(&event)), (0..40).map(value).collect());
    assert!(matches!(values, Column::Typed { .. }));
    for (fixture, place) in [
        (extract([("delete.tombstone.handling.mode", "rewrite")]), 1),
        (fixture(".ByLogicalTableRouter", [("topic.regex", ".*"), ("topic.replacement", "t")]), 3),
    ] {
        let mut transformation = transformation(&fixture.plugin(), &fixture.props()).unwrap();
        let mut failed = Vec::new();
        let runs = transformation.apply(Records::new("t", values.clone()), &mut failed).unwrap();
        assert_eq!(failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), [3]);
        assert_eq!(runs.iter().map(Records::len).sum::<usize>(), 39, "{}", fixture.name);
        let Value::Struct(first) = runs[0].value.value(0).unwrap() else { panic!("a struct") };
        assert_eq!(first.values()[place], long, "{}", fixture.name);
    }
}
