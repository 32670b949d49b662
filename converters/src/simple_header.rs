//! x
use millrace_api::config::{ConfigDef, Props};
use millrace_api::{HeaderConverter, Result};
pub(crate) const CLASS: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";
pub(crate) fn config_def() -> ConfigDef { ConfigDef::default() }
pub(crate) fn header_converter(_props: &Props) -> Result<Box<dyn HeaderConverter>> { Err(millrace_api::Error::fatal("x")) }
