//! The keys of the format; those of the registry are beside it.

use millrace_api::config::Config;

#[derive(Config)]
pub(crate) struct ProtobufConfig {
    /// Toggle for enabling/disabling generalized sum type support: interoperability of enum/union
    /// with other schema formats
    #[config(key = "generalized.sum.type.support", importance = Medium, default = false)]
    generalized_sum_type_support: bool,
    /// Whether to ignore the default for nullable fields when the value is null
    #[config(key = "ignore.default.for.nullables", importance = Medium, default = false)]
    ignore_default_for_nullables: bool,
    /// Size of the converted schemas cache
    #[config(key = "schemas.cache.config", importance = Low, default = 1000)]
    _schemas_cache_config: i32,
    /// Toggle for enabling/disabling enhanced protobuf schema support: package name preservation
    #[config(key = "enhanced.protobuf.schema.support", importance = Medium, default = false)]
    enhanced_protobuf_schema_support: bool,
    /// Whether to scrub invalid names by replacing invalid characters with valid ones
    #[config(key = "scrub.invalid.names", importance = Medium, default = false)]
    scrub_invalid_names: bool,
    /// Whether to represent enums as integers
    #[config(key = "int.for.enums", importance = Medium, default = false)]
    int_for_enums: bool,
    /// Whether nullable fields should be specified with an optional label
    #[config(key = "optional.for.nullables", importance = Medium, default = false)]
    optional_for_nullables: bool,
    /// Whether proto2 optionals are supported
    #[config(key = "optional.for.proto2", importance = Medium, default = true)]
    optional_for_proto2: bool,
    /// Whether nullable fields should use primitive wrapper messages
    #[config(key = "wrapper.for.nullables", importance = Medium, default = false)]
    wrapper_for_nullables: bool,
    /// Whether a wrapper message should be interpreted as a raw primitive at the root level
    #[config(key = "wrapper.for.raw.primitives", importance = Medium, default = true)]
    wrapper_for_raw_primitives: bool,
    /// Whether to generate a default struct for null messages
    #[config(key = "generate.struct.for.nulls", importance = Medium, default = false)]
    generate_struct_for_nulls: bool,
    /// Whether to suffix unionnames with an underscore followed by an index
    #[config(key = "generate.index.for.unions", importance = Low, default = true)]
    generate_index_for_unions: bool,
    /// Whether to flatten unions (oneofs)
    #[config(key = "flatten.unions", importance = Low, default = false)]
    flatten_unions: bool,
}

/// What the configuration decides about schemas and data.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) generalized_sum_types: bool,
    pub(crate) ignore_default_for_nullables: bool,
    /// Names keep their package.
    pub(crate) enhanced: bool,
    pub(crate) scrub_invalid_names: bool,
    pub(crate) int_for_enums: bool,
    pub(crate) optional_for_nullables: bool,
    pub(crate) optional_for_proto2: bool,
    pub(crate) wrapper_for_nullables: bool,
    pub(crate) wrapper_for_raw_primitives: bool,
    pub(crate) generate_struct_for_nulls: bool,
    pub(crate) generate_index_for_unions: bool,
    pub(crate) flatten_unions: bool,
}

impl From<&ProtobufConfig> for Settings {
    fn from(config: &ProtobufConfig) -> Self {
        Self {
            generalized_sum_types: config.generalized_sum_type_support,
            ignore_default_for_nullables: config.ignore_default_for_nullables,
            enhanced: config.enhanced_protobuf_schema_support,
            scrub_invalid_names: config.scrub_invalid_names,
            int_for_enums: config.int_for_enums,
            optional_for_nullables: config.optional_for_nullables,
            optional_for_proto2: config.optional_for_proto2,
            wrapper_for_nullables: config.wrapper_for_nullables,
            wrapper_for_raw_primitives: config.wrapper_for_raw_primitives,
            generate_struct_for_nulls: config.generate_struct_for_nulls,
            generate_index_for_unions: config.generate_index_for_unions,
            flatten_unions: config.flatten_unions,
        }
    }
}
