//! The converters that ship with Connect: strings, bytes, numbers, JSON, and the default of
//! headers.
#![deny(missing_docs)]

mod avro;
mod byte_array;
mod cells;
mod charset;
#[cfg(test)]
mod confluent;
mod json;
mod json_schema;
#[cfg(test)]
mod oracle;
mod payloads;
mod primitive;
mod protobuf;
#[cfg(test)]
mod python;
#[cfg(test)]
mod recorded;
mod registry;
mod role;
mod room;
mod row_buffer;
mod scrub;
mod simple_header;
mod string;
mod texts;
mod varint;

pub use json::{DecimalFormat, JsonOptions, JsonWriter};
pub use payloads::{Language, Payloads};
pub use registry::registry_client;

use millrace_api::Plugin;

/// All plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    let mut plugins = vec![
        Plugin::converter(string::CLASS, string::config_def, string::converter),
        Plugin::header_converter(string::CLASS, string::config_def, string::header_converter),
        Plugin::converter(byte_array::CLASS, byte_array::config_def, byte_array::converter),
        Plugin::header_converter(
            byte_array::CLASS,
            byte_array::config_def,
            byte_array::header_converter,
        ),
        Plugin::converter(json::CLASS, json::config_def, json::converter),
        Plugin::header_converter(json::CLASS, json::config_def, json::header_converter),
        Plugin::converter(avro::CLASS, avro::config_def, avro::converter),
        Plugin::converter(json_schema::CLASS, json_schema::config_def, json_schema::converter),
        Plugin::converter(protobuf::CLASS, protobuf::config_def, protobuf::converter),
        Plugin::header_converter(
            simple_header::CLASS,
            simple_header::config_def,
            simple_header::header_converter,
        ),
    ];
    plugins.extend(primitive::plugins());
    plugins
}
