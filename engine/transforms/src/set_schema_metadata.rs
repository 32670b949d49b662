//! `SetSchemaMetadata`: gives a struct's schema another name or version.

use std::sync::Arc;

use arrow::array::ArrayRef;
use millrace_api::config::Config;
use millrace_api::data::{Kind, SchemaRef, Value};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls};
use crate::null_defaults::NullDefaults;
use crate::picked::Picked;
use crate::refused::Refused;
use crate::side::Side;

#[derive(Config, Debug)]
pub(crate) struct SetSchemaMetadataConfig {
    /// Schema name to set.
    #[config(key = "schema.name", importance = High)]
    name: Option<String>,
    /// Schema version to set.
    #[config(key = "schema.version", importance = High)]
    version: Option<i32>,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
}

pub(crate) struct SetSchemaMetadata {
    name: Option<Arc<str>>,
    version: Option<i32>,
    defaults: NullDefaults,
}

impl SetSchemaMetadata {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = SetSchemaMetadataConfig::parse(props)?;
        if config.name.is_none() && config.version.is_none() {
            return Err(Error::config("Neither schema name nor version configured"));
        }
        let of = Self {
            name: config.name.map(Arc::from),
            version: config.version,
            defaults: NullDefaults(config.replace_null_with_default),
        };
        Ok(Box::new(Each::new(side, of)))
    }
}

impl EachValue for SetSchemaMetadata {
    type Plan = Picked;

    fn nulls(&self) -> Nulls {
        Nulls::Change
    }

    fn purpose(&self) -> Option<&'static str> {
        None
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Picked)> {
        if schema.kind() != Kind::Struct {
            return Err(Error::data("Cannot list fields on non-struct type"));
        }
        let mut builder = schema.to_builder();
        if let Some(name) = &self.name {
            builder = builder.name(Arc::clone(name));
        }
        if let Some(version) = self.version {
            builder = builder.version(version);
        }
        let places = (0..schema.fields().len()).collect();
        Ok((builder.build(), Picked { places, defaults: self.defaults }))
    }

    fn value(&self, picked: &Picked, made: &SchemaRef, value: &Value) -> Result<Value> {
        picked.value(made, value)
    }

    fn array(
        &self,
        picked: &Picked,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        picked.array(made, array, refused).map(Some)
    }

    fn schemaless(&self, _: Value) -> Result<Value> {
        Err(Error::data("Schema required for [updating schema metadata]"))
    }
}
