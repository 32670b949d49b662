//! `DirectoryConfigProvider`: `${NAME:DIRECTORY:FILE}` is what a file holds, as Kubernetes mounts
//! secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use millrace_api::{Error, Props, Result};

use super::{AllowedPaths, ConfigProvider, read_bounded};

pub(super) struct DirectoryConfigProvider {
    allowed: AllowedPaths,
}

impl DirectoryConfigProvider {
    pub(super) fn new(parameters: &Props) -> Result<Self> {
        Ok(Self { allowed: AllowedPaths::new(parameters)? })
    }
}

impl ConfigProvider for DirectoryConfigProvider {
    fn get(&self, path: &str, keys: &BTreeSet<&str>) -> Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        let Some(directory) =
            Some(path).filter(|p| !p.is_empty()).and_then(|p| self.allowed.permit(p))
        else {
            return Ok(values);
        };
        if !directory.is_dir() {
            return Ok(values);
        }
        for key in keys.iter().filter(|key| is_file_name(key)) {
            let file = directory.join(key);
            if !file.is_file() {
                continue;
            }
            let bytes = read_bounded(&file).map_err(|e| {
                let message = format!("Could not read file {} for property {key}", file.display());
                Error::fatal(message).context("remedy", "check that it may be read").with_source(e)
            })?;
            // As in Java, the line end of the last line is a part of the value.
            values.insert((*key).to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(values)
    }

    fn objection(&self, name: &str, path: &str) -> Option<String> {
        let is_directory = || Path::new(path).is_dir();
        let no_directory = || (!is_directory()).then(|| format!("{path} is not a directory"));
        self.allowed.objection(name, path).or_else(no_directory)
    }
}

/// A key names a file in the directory, never one elsewhere.
fn is_file_name(key: &str) -> bool {
    let mut components = Path::new(key).components();
    let first = components.next();
    matches!(first, Some(Component::Normal(name)) if name == key) && components.next().is_none()
}
