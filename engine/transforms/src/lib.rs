//! Kafka's own single message transformations, on columns where the data have them.
//!
//! What a transformation does to one value is written down in its row form; its kernels for arrays
//! and JSON text must give the same, and a property test holds them to it.

mod cast;
mod each_value;
mod extract_field;
mod field_path;
mod hoist_field;
mod insert_field;
mod java_number;
mod json_object;
mod mask_field;
mod null_defaults;
mod picked;
mod refused;
mod replace_field;
mod schema_cache;
mod schemas;
mod set_schema_metadata;
mod side;
#[allow(dead_code, reason = "the transformations of timestamps are to come")]
mod simple_date_format;
mod struct_array;
mod value_to_key;

use millrace_api::Plugin;
use millrace_api::config::Config;

use cast::{Cast, CastConfig};
use extract_field::{ExtractField, ExtractFieldConfig};
use hoist_field::{HoistField, HoistFieldConfig};
use insert_field::{InsertField, InsertFieldConfig};
use mask_field::{MaskField, MaskFieldConfig};
use replace_field::{ReplaceField, ReplaceFieldConfig};
use set_schema_metadata::{SetSchemaMetadata, SetSchemaMetadataConfig};
use side::Side;
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

/// The transformations of this crate.
pub fn plugins() -> Vec<Plugin> {
    let mut plugins = Vec::new();
    plugins.extend(key_and_value!("Cast", CastConfig, Cast::open));
    plugins.extend(key_and_value!("ExtractField", ExtractFieldConfig, ExtractField::open));
    plugins.extend(key_and_value!("HoistField", HoistFieldConfig, HoistField::open));
    plugins.extend(key_and_value!("InsertField", InsertFieldConfig, InsertField::open));
    plugins.extend(key_and_value!("MaskField", MaskFieldConfig, MaskField::open));
    plugins.extend(key_and_value!("ReplaceField", ReplaceFieldConfig, ReplaceField::open));
    plugins.extend(key_and_value!(
        "SetSchemaMetadata",
        SetSchemaMetadataConfig,
        SetSchemaMetadata::open
    ));
    plugins.push(Plugin::transformation(
        "org.apache.kafka.connect.transforms.ValueToKey",
        ValueToKeyConfig::config_def,
        ValueToKey::open,
    ));
    plugins
}
