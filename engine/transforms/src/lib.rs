//! Kafka's own single message transformations, and some of others, on columns where the data have
//! them.
//!
//! What a transformation does to one value is written down in its row form; its kernels for arrays
//! and JSON text must give the same, and a property test holds them to it.

mod cast;
mod confluent;
mod debezium;
mod each_value;
mod extract_field;
mod field_path;
mod filter;
mod flatten;
mod header_from;
mod headers;
mod hoist_field;
mod insert_field;
mod java_number;
mod json_object;
mod json_scan;
mod mask_field;
mod null_defaults;
mod pattern;
mod picked;
mod predicates;
mod put;
mod refused;
mod regex_router;
mod replace_field;
mod schema_cache;
mod schemas;
mod set_schema_metadata;
mod side;
mod simple_date_format;
mod struct_array;
mod timestamp_converter;
mod timestamp_router;
mod topics;
mod value_to_key;

use millrace_api::Plugin;
use millrace_api::config::Config;

use cast::{Cast, CastConfig};
use extract_field::{ExtractField, ExtractFieldConfig};
use filter::{Filter, FilterConfig};
use flatten::{Flatten, FlattenConfig};
use header_from::{HeaderFrom, HeaderFromConfig};
use headers::{DropHeaders, DropHeadersConfig, InsertHeader, InsertHeaderConfig};
use hoist_field::{HoistField, HoistFieldConfig};
use insert_field::{InsertField, InsertFieldConfig};
use mask_field::{MaskField, MaskFieldConfig};
use predicates::{
    HasHeaderKey, HasHeaderKeyConfig, RecordIsTombstone, RecordIsTombstoneConfig, TopicNameMatches,
    TopicNameMatchesConfig,
};
use regex_router::{RegexRouter, RegexRouterConfig};
use replace_field::{ReplaceField, ReplaceFieldConfig};
use set_schema_metadata::{SetSchemaMetadata, SetSchemaMetadataConfig};
use side::Side;
use timestamp_converter::{TimestampConverter, TimestampConverterConfig};
use timestamp_router::{TimestampRouter, TimestampRouterConfig};
use value_to_key::{ValueToKey, ValueToKeyConfig};

/// `$Key` and `$Value` of a transformation of Connect's.
macro_rules! key_and_value {
    ($name:literal, $config:ty, $open:path) => {
        [
            Plugin::transformation(
                concat!("org.apache.kafka.connect.transforms.", $name, "$Key"),
                <$config>::config_def,
                |props| $open(Side::Key, props),
            ),
            Plugin::transformation(
                concat!("org.apache.kafka.connect.transforms.", $name, "$Value"),
                <$config>::config_def,
                |props| $open(Side::Value, props),
            ),
        ]
    };
}

/// A transformation of Connect's that has one class.
macro_rules! transformation {
    ($name:literal, $config:ty, $open:path) => {
        Plugin::transformation(
            concat!("org.apache.kafka.connect.transforms.", $name),
            <$config>::config_def,
            $open,
        )
    };
}

/// A predicate of Connect's.
macro_rules! predicate {
    ($name:literal, $config:ty, $open:path) => {
        Plugin::predicate(
            concat!("org.apache.kafka.connect.transforms.predicates.", $name),
            <$config>::config_def,
            $open,
        )
    };
}

/// The transformations and predicates of this crate.
pub fn plugins() -> Vec<Plugin> {
    let mut plugins = vec![
        transformation!("DropHeaders", DropHeadersConfig, DropHeaders::open),
        transformation!("Filter", FilterConfig, Filter::open),
        transformation!("InsertHeader", InsertHeaderConfig, InsertHeader::open),
        transformation!("RegexRouter", RegexRouterConfig, RegexRouter::open),
        transformation!("TimestampRouter", TimestampRouterConfig, TimestampRouter::open),
        transformation!("ValueToKey", ValueToKeyConfig, ValueToKey::open),
        predicate!("HasHeaderKey", HasHeaderKeyConfig, HasHeaderKey::open),
        predicate!("RecordIsTombstone", RecordIsTombstoneConfig, RecordIsTombstone::open),
        predicate!("TopicNameMatches", TopicNameMatchesConfig, TopicNameMatches::open),
    ];
    plugins.extend(confluent::plugins());
    plugins.extend(key_and_value!("Cast", CastConfig, Cast::open));
    plugins.extend(key_and_value!("ExtractField", ExtractFieldConfig, ExtractField::open));
    plugins.extend(key_and_value!("HeaderFrom", HeaderFromConfig, HeaderFrom::open));
    plugins.extend(key_and_value!("Flatten", FlattenConfig, Flatten::open));
    plugins.extend(key_and_value!("HoistField", HoistFieldConfig, HoistField::open));
    plugins.extend(key_and_value!("InsertField", InsertFieldConfig, InsertField::open));
    plugins.extend(key_and_value!("MaskField", MaskFieldConfig, MaskField::open));
    plugins.extend(key_and_value!("ReplaceField", ReplaceFieldConfig, ReplaceField::open));
    plugins.extend(key_and_value!(
        "SetSchemaMetadata",
        SetSchemaMetadataConfig,
        SetSchemaMetadata::open
    ));
    plugins.extend(key_and_value!(
        "TimestampConverter",
        TimestampConverterConfig,
        TimestampConverter::open
    ));
    plugins.extend(debezium::plugins());
    plugins
}
