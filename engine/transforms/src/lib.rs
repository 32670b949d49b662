//! Kafka's own single message transformations, on columns where the data have them.
//!
//! What a transformation does to one value is written down in its row form; its kernels for arrays
//! and JSON text must give the same, and a property test holds them to it.

mod hoist_field;
mod insert_field;
mod json_object;
mod refused;
mod schema_cache;
mod side;
#[allow(dead_code, reason = "the transformations of timestamps are to come")]
mod simple_date_format;

use millrace_api::Plugin;
use millrace_api::config::Config;

use hoist_field::{HoistField, HoistFieldConfig};
use insert_field::{InsertField, InsertFieldConfig};
use side::Side;

/// The transformations of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::transformation(
            "org.apache.kafka.connect.transforms.HoistField$Key",
            HoistFieldConfig::config_def,
            |props| HoistField::open(Side::Key, props),
        ),
        Plugin::transformation(
            "org.apache.kafka.connect.transforms.HoistField$Value",
            HoistFieldConfig::config_def,
            |props| HoistField::open(Side::Value, props),
        ),
        Plugin::transformation(
            "org.apache.kafka.connect.transforms.InsertField$Key",
            InsertFieldConfig::config_def,
            |props| InsertField::open(Side::Key, props),
        ),
        Plugin::transformation(
            "org.apache.kafka.connect.transforms.InsertField$Value",
            InsertFieldConfig::config_def,
            |props| InsertField::open(Side::Value, props),
        ),
    ]
}
