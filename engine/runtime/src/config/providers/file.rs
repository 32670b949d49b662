//! `FileConfigProvider`: `${NAME:FILE:KEY}` is the value of a key in a `.properties` file.

use std::collections::{BTreeMap, BTreeSet};

use millrace_api::config::properties;
use millrace_api::{Error, Props, Result};

use super::{AllowedPaths, ConfigProvider, read_bounded};

pub(super) struct FileConfigProvider {
    allowed: AllowedPaths,
}

impl FileConfigProvider {
    pub(super) fn new(parameters: &Props) -> Result<Self> {
        Ok(Self { allowed: AllowedPaths::new(parameters)? })
    }
}

impl ConfigProvider for FileConfigProvider {
    fn get(&self, path: &str, keys: &BTreeSet<&str>) -> Result<BTreeMap<String, String>> {
        let Some(file) = Some(path).filter(|p| !p.is_empty()).and_then(|p| self.allowed.permit(p))
        else {
            return Ok(BTreeMap::new());
        };
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::fatal(format!("Could not read properties from file {path}"))
                .context("remedy", "check that it exists, that it may be read, and its form")
                .with_source(e)
        };
        let bytes = read_bounded(&file).map_err(|e| failed(e.into()))?;
        // Unlike the worker's own properties, these are UTF-8. The cause would show the bytes.
        let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".into()))?;
        let mut values = properties::parse(&text, path).map_err(|e| failed(e.into()))?;
        values.retain(|key, _| keys.contains(key.as_str()));
        Ok(values)
    }

    fn objection(&self, name: &str, path: &str) -> Option<String> {
        self.allowed.objection(name, path)
    }
}
