//! Makes schemas of others as Java does, and refuses what its builder refuses.

use std::sync::Arc;

use millrace_api::data::{Schema, SchemaBuilder, SchemaRef, Value};
use millrace_api::{Error, Result};

use crate::put;

const BUILDER_EXCEPTION: &str = "org.apache.kafka.connect.errors.SchemaBuilderException";

/// Name, version, documentation and parameters, and nothing else (`SchemaUtil.copySchemaBasics`).
pub(crate) fn with_basics(mut builder: SchemaBuilder, source: &Schema) -> SchemaBuilder {
    if let Some(name) = source.name() {
        builder = builder.name(name);
    }
    if let Some(version) = source.version() {
        builder = builder.version(version);
    }
    if let Some(doc) = source.doc() {
        builder = builder.doc(doc);
    }
    for (name, value) in source.parameters() {
        builder = builder.parameter(Arc::clone(name), Arc::clone(value));
    }
    builder
}

/// Java takes a name without letters for none.
pub(crate) fn empty_name() -> Error {
    Error::data("fieldName cannot be null.").as_java(BUILDER_EXCEPTION)
}

/// A schema with a default, which must fit.
pub(crate) fn with_default(builder: SchemaBuilder, default: Value) -> Result<SchemaBuilder> {
    // The name of a logical type asks for Java's class, whatever the schema's type is.
    put::check_value(&builder.clone().build(), &default)
        .map_err(|e| Error::data("Invalid default value").with_source(e))
        .and_then(|()| builder.default_value(default))
        .map_err(|e| e.as_java(BUILDER_EXCEPTION))
}

/// Collects the fields of a struct's schema.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(Arc<str>, SchemaRef)>);

impl Fields {
    /// Adds a field, which must have a name that is new.
    pub(crate) fn push(&mut self, name: Arc<str>, schema: SchemaRef) -> Result<()> {
        if name.is_empty() {
            return Err(empty_name());
        }
        if self.0.iter().any(|(known, _)| *known == name) {
            let message = format!("Cannot create field because of field name duplication {name}");
            return Err(Error::data(message).as_java(BUILDER_EXCEPTION));
        }
        self.0.push((name, schema));
        Ok(())
    }

    /// A struct of these fields.
    pub(crate) fn into_struct(self) -> SchemaBuilder {
        let add = |builder: SchemaBuilder, (name, schema)| builder.field(name, schema);
        self.0.into_iter().fold(Schema::struct_builder(), add)
    }
}
