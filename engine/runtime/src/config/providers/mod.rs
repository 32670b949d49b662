//! Decides where the values of variables come from: Java's three `ConfigProvider`s, by class name.

mod allowed_paths;
mod directory;
mod environment;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use millrace_api::config::invalid_value;
use millrace_api::{Props, Result};

use allowed_paths::AllowedPaths;
use directory::DirectoryConfigProvider;
use environment::EnvVarConfigProvider;
use file::FileConfigProvider;

/// Looks values up (`ConfigProvider` in Java). None of the three has values that expire.
pub(super) trait ConfigProvider: Send + Sync {
    /// The values of those of the keys that there are. Nothing is kept: each call reads anew.
    /// Blocks. The error says what could not be read and never what it holds; it is
    /// [`Fatal`](millrace_api::ErrorKind), so that REST answers with 500 as Java does: it is not the
    /// request that is wrong.
    fn get(&self, path: &str, keys: &BTreeSet<&str>) -> Result<BTreeMap<String, String>>;

    /// Why nothing of a path is looked up, if that is so, for the log; `name` is the provider's.
    /// Blocks.
    fn objection(&self, _name: &str, _path: &str) -> Option<String> {
        None
    }
}

/// The largest file that a value is taken from. Java reads files of any size into memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

/// The provider that `config.providers.NAME.class` names, with its parameters.
pub(super) fn open(name: &str, class: &str, parameters: &Props) -> Result<Box<dyn ConfigProvider>> {
    let opened: Box<dyn ConfigProvider> = match class.strip_prefix(PACKAGE) {
        Some("FileConfigProvider") => Box::new(FileConfigProvider::new(parameters)?),
        Some("DirectoryConfigProvider") => Box::new(DirectoryConfigProvider::new(parameters)?),
        Some("EnvVarConfigProvider") => Box::new(EnvVarConfigProvider::new(parameters)?),
        _ => {
            let key = format!("config.providers.{name}.class");
            let reason = "Could not load config provider class or one of its dependencies";
            return Err(invalid_value(&key, class, reason).context(
                "remedy",
                format!("use FileConfigProvider, DirectoryConfigProvider or EnvVarConfigProvider, each with {PACKAGE} before it"),
            ));
        }
    };
    Ok(opened)
}

/// Reads a regular file of a bounded size. A pipe would have the worker wait for ever.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}
