//! The names that `AvroData` gives to what only one of Connect and Avro has.

use std::sync::Arc;

use millrace_api::data::{Kind, Schema};

use crate::avro::config::AvroConfig;
use crate::avro::json::Json;
use crate::avro::schema::{Definition, Document, Named, Type, property, split};
use crate::scrub;

pub(crate) const NAMESPACE: &str = "io.confluent.connect.avro";
/// What records without a name are called; a number follows from the second on.
pub(crate) const DEFAULT_RECORD: &str = "io.confluent.connect.avro.ConnectDefault";
pub(crate) const MAP_ENTRY: &str = "MapEntry";
pub(crate) const UNION: &str = "io.confluent.connect.avro.Union";
pub(crate) const ENUM: &str = "io.confluent.connect.avro.Enum";
pub(crate) const ANYTHING: &str = "io.confluent.connect.avro.Anything";
pub(crate) const GENERALIZED_UNION: &str = "org.apache.kafka.connect.data.Union";
pub(crate) const GENERALIZED_ENUM: &str = "org.apache.kafka.connect.data.Enum";
pub(crate) const GENERALIZED_UNION_PREFIX: &str = "connect_union_";

// Properties of Avro schemas.
pub(crate) const NAME: &str = "connect.name";
pub(crate) const DOC: &str = "connect.doc";
pub(crate) const VERSION: &str = "connect.version";
pub(crate) const DEFAULT: &str = "connect.default";
pub(crate) const PARAMETERS: &str = "connect.parameters";
pub(crate) const TYPE: &str = "connect.type";
pub(crate) const INTERNAL_TYPE: &str = "connect.internal.type";

// Parameters of Connect schemas.
pub(crate) const RECORD_DOC: &str = "io.confluent.connect.avro.record.doc";
pub(crate) const FIELD_DOC: &str = "io.confluent.connect.avro.field.doc.";
pub(crate) const ENUM_DOC: &str = "io.confluent.connect.avro.enum.doc.";
pub(crate) const ENUM_DEFAULT: &str = "io.confluent.connect.avro.enum.default.";
pub(crate) const CONNECT_RECORD_DOC: &str = "connect.record.doc";
pub(crate) const CONNECT_ENUM_DOC: &str = "connect.enum.doc";
/// Says that a default is the field's and not the type's.
pub(crate) const FIELD_DEFAULT: &str = "io.confluent.connect.avro.field.default";
pub(crate) const FIXED_SIZE: &str = "connect.fixed.size";
pub(crate) const PRECISION: &str = "connect.decimal.precision";

/// The precision that is not worth a parameter.
pub(crate) const DEFAULT_PRECISION: i32 = 64;

/// Whether the items of an array are the entries of a map whose keys are no strings.
pub(crate) fn is_map_entry(named: &Named) -> bool {
    matches!(named.definition, Definition::Record(_))
        && (split(&named.name) == (Some(NAMESPACE), MAP_ENTRY)
            || property(&named.properties, INTERNAL_TYPE).and_then(Json::as_text)
                == Some(MAP_ENTRY))
}

/// Whether a struct stands for a union: one of its fields is set.
pub(crate) fn is_union(schema: &Schema) -> bool {
    schema.name() == Some(UNION) || schema.parameter(GENERALIZED_UNION).is_some()
}

/// Whether the schema of a union is a struct with a field for each member that is not null.
pub(crate) fn is_choice(schema: &Schema, members: &[Type]) -> bool {
    schema.kind() == Kind::Struct
        && is_union(schema)
        && members.iter().filter(|member| !member.is_null()).count() == schema.fields().len()
}

/// The parameter by which a string is an enum, if it is one.
pub(crate) fn enum_parameter(schema: &Schema, config: &AvroConfig) -> Option<&'static str> {
    let wanted = match (config.generalized_sum_types, config.enhanced) {
        (true, _) => GENERALIZED_ENUM,
        (false, true) => ENUM,
        (false, false) => return None,
    };
    (schema.kind() == Kind::String && schema.parameter(wanted).is_some()).then_some(wanted)
}

/// How many bytes each value has, where all have as many.
pub(crate) fn fixed_size(schema: &Schema) -> Option<&str> {
    let is_named = schema.kind() == Kind::Bytes && schema.name().is_some();
    schema.parameter(FIXED_SIZE).filter(|_| is_named)
}

/// The field that stands for a member of a union, which is the `i`th.
pub(crate) fn member_of_union(
    document: &Document,
    member: &Type,
    i: usize,
    config: &AvroConfig,
) -> String {
    if config.generalized_sum_types {
        return format!("{GENERALIZED_UNION_PREFIX}field_{i}");
    }
    match document.definition(member) {
        Some(named) if config.enhanced => named.name.to_string(),
        Some(named) => scrubbed(named.short_name(), config),
        None => member.unnamed().unwrap_or_default().to_owned(),
    }
}

/// A name of Connect's in namespace and name.
pub(crate) fn split_scrubbed(name: &str, config: &AvroConfig) -> (Option<String>, String) {
    // As in Java, dots at the end part nothing.
    let parts: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let mut parts: Vec<String> = parts.into_iter().map(|part| scrubbed(part, config)).collect();
    let last = parts.pop().unwrap_or_default();
    ((!parts.is_empty()).then(|| parts.join(".")), last)
}

/// A name without what Avro does not allow in one, if that is wished.
pub(crate) fn scrubbed(name: &str, config: &AvroConfig) -> String {
    match config.scrub_invalid_names {
        true => scrub::scrubbed(name, |c| c.is_ascii_digit()),
        false => name.to_owned(),
    }
}

/// Whether Avro allows a name (without dots).
pub(crate) fn is_valid(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// A property.
pub(crate) fn text_property(name: &str, value: &str) -> (Arc<str>, Json) {
    (name.into(), Json::text(value))
}
