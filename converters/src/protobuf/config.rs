//! The keys of the format; those of the registry are beside it.

use millrace_api::config::{ClassName, Config};

#[derive(Config)]
pub(crate) struct ProtobufConfig {
    /// Whether enums and unions are described in a way that other schema formats share.
    #[config(key = "generalized.sum.type.support", importance = Medium, default = false)]
    generalized_sum_type_support: bool,
    /// Whether the null of a field that has a default is written as null. Else the default is.
    #[config(key = "ignore.default.for.nullables", importance = Medium, default = false)]
    ignore_default_for_nullables: bool,
    /// How many converted schemas Java keeps. Here all are kept that a converter has met.
    #[config(key = "schemas.cache.config", importance = Low, default = 1000)]
    _schemas_cache_config: i32,
    /// Whether names of schemas keep the package that they are in.
    #[config(key = "enhanced.protobuf.schema.support", importance = Medium, default = false)]
    enhanced_protobuf_schema_support: bool,
    /// Whether names that Protobuf does not allow are made valid, by replacing what is wrong in
    /// them.
    #[config(key = "scrub.invalid.names", importance = Medium, default = false)]
    scrub_invalid_names: bool,
    /// Whether an enum is read as its number. Else it is read as the name of its symbol.
    #[config(key = "int.for.enums", importance = Medium, default = false)]
    int_for_enums: bool,
    /// Whether fields that may be null are written as optional ones, so that null is not zero.
    #[config(key = "optional.for.nullables", importance = Medium, default = false)]
    optional_for_nullables: bool,
    /// Whether optional fields of proto2 may be null.
    #[config(key = "optional.for.proto2", importance = Medium, default = true)]
    optional_for_proto2: bool,
    /// Whether fields that may be null are written as wrapper messages, so that null is not zero.
    #[config(key = "wrapper.for.nullables", importance = Medium, default = false)]
    wrapper_for_nullables: bool,
    /// Whether a wrapper message as a whole key or value is the primitive in it.
    #[config(key = "wrapper.for.raw.primitives", importance = Medium, default = true)]
    wrapper_for_raw_primitives: bool,
    /// Whether a message that is not there is read as a struct of defaults. Else it is null.
    #[config(key = "generate.struct.for.nulls", importance = Medium, default = false)]
    generate_struct_for_nulls: bool,
    /// Whether names of unions end in an underscore and a number.
    #[config(key = "generate.index.for.unions", importance = Low, default = true)]
    generate_index_for_unions: bool,
    /// Whether members of a oneof are fields of the message around it.
    #[config(key = "flatten.unions", importance = Low, default = false)]
    flatten_unions: bool,
    /// Whether schemas that others refer to are only looked up. Without effect: schemas of Connect
    /// data refer only to files that every converter knows.
    #[config(key = "reference.lookup.only", importance = Medium, default = false)]
    _reference_lookup_only: bool,
    /// Whether well-known files are not registered. Without effect: they never are.
    #[config(key = "skip.known.types", importance = Low, default = true)]
    _skip_known_types: bool,
    /// How subjects of such files are named. Without effect.
    #[config(key = "reference.subject.name.strategy", importance = Low)]
    #[config(
        default = "io.confluent.kafka.serializers.subject.DefaultReferenceSubjectNameStrategy"
    )]
    _reference_subject_name_strategy: ClassName,
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
