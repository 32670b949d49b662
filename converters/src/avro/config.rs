//! The keys of Confluent's `AvroDataConfig`.

use millrace_api::config::Config;

#[derive(Clone, Copy, Debug, Config)]
pub(crate) struct AvroConfig {
    /// Whether enums and unions are described in a way that other schema formats share.
    #[config(key = "generalized.sum.type.support", default = false)]
    pub(crate) generalized_sum_types: bool,
    /// Whether the null of a field that has a default is written as null. Else the default is.
    #[config(key = "ignore.default.for.nullables", default = false)]
    pub(crate) ignore_default_for_nullables: bool,
    /// How many converted schemas Java keeps. Here all are kept that a converter has met.
    #[config(key = "schemas.cache.config", importance = Low, default = 1000)]
    pub(crate) _schemas_cache: i32,
    /// Whether enums stay enums when they are written again, and members of unions are told apart
    /// by their full names.
    #[config(key = "enhanced.avro.schema.support", default = false)]
    pub(crate) enhanced: bool,
    /// Whether names that Avro does not allow are made valid, by replacing what is wrong in them.
    #[config(key = "scrub.invalid.names", default = false)]
    pub(crate) scrub_invalid_names: bool,
    /// Whether Avro schemas carry what only Connect knows, in properties `connect.…`.
    #[config(key = "connect.meta.data", importance = Low, default = true)]
    pub(crate) connect_meta_data: bool,
    /// Whether documentation and defaults are taken from fields alone, and not from their types.
    #[config(key = "discard.type.doc.default", importance = Low, default = false)]
    pub(crate) discard_type_doc_default: bool,
    /// Whether a map with optional strings as keys is an Avro map. Else it is an array of pairs.
    #[config(key = "allow.optional.map.keys", importance = Low, default = false)]
    pub(crate) allow_optional_map_keys: bool,
    /// Whether a union of one type is that type.
    #[config(key = "flatten.singleton.unions", importance = Low, default = true)]
    pub(crate) flatten_singleton_unions: bool,
    /// Whether a payload may not be longer than its value. Without effect: it never may.
    #[config(key = "avro.fail.on.trailing.data", default = false)]
    pub(crate) _fail_on_trailing_data: bool,
    /// Whether schemas lose properties that only Java reads. Without effect: they stay.
    #[config(key = "avro.remove.java.properties", default = false)]
    pub(crate) _remove_java_properties: bool,
    /// Whether Java's serializer turns logical types into objects of its own. Without effect.
    #[config(key = "avro.use.logical.type.converters", default = false)]
    pub(crate) _use_logical_type_converters: bool,
    /// Whether null may be in fields that Java reads by reflection. Without effect.
    #[config(key = "avro.reflection.allow.null", default = false)]
    pub(crate) _reflection_allow_null: bool,
}
