//! Decides what a configuration is: keys with types, defaults, rules and documentation, read from
//! flat properties, with the wording and the quirks of Java's `ConfigDef`.
//!
//! Most code writes a struct and derives [`Config`]; `engine/derive/README.md` is the contract.
//! The derive expands to the builder calls of [`ConfigDef`] and [`ConfigKey`], which also serve
//! for keys that are only known at run time (`transforms.NAME.…`).
//!
//! ```
//! use millrace_api::config::{Config, Props, validators::non_empty_string};
//!
//! #[derive(Config)]
//! struct FileSourceConfig {
//!     /// Source filename. If not specified, the standard input will be used
//!     #[config(key = "file", importance = High)]
//!     file: Option<String>,
//!     /// The topic to publish data to
//!     #[config(key = "topic", importance = High, validate = non_empty_string)]
//!     topic: String,
//!     /// The maximum number of records that one poll returns
//!     #[config(key = "batch.size", importance = Low, default = 2000)]
//!     batch_size: i32,
//! }
//!
//! let props = Props::from([("topic".to_owned(), "lines".to_owned())]);
//! let config = FileSourceConfig::parse(&props)?;
//! assert_eq!((config.file, config.batch_size), (None, 2000));
//!
//! let error = FileSourceConfig::parse(&Props::new()).map(|_| ()).unwrap_err();
//! let message = r#"Missing required configuration "topic" which has no default value."#;
//! assert_eq!(error.message(), message);
//! # Ok::<(), millrace_api::Error>(())
//! ```

mod def;
mod hash_order;
pub mod java_regex;
pub mod properties;
mod setting;
mod unknown;
mod validate;
pub mod validators;

pub use def::{ConfigDef, ConfigKey, Importance, Recommender, Type, Width};
pub use hash_order::hash_map_order;
pub use millrace_derive::{Config, ConfigEnum};
pub use setting::{ClassName, ConfigEnum, ConfigType, Password, Setting, Values};
pub use unknown::{UnknownKey, nearest};
pub use validate::{
    ConfigInfo, ConfigInfos, ConfigKeyInfo, ConfigValue, ConfigValueInfo, invalid_value,
};
pub use validators::Validator;

use crate::Result;
use std::collections::BTreeMap;

/// A flat configuration, as users write it.
pub type Props = BTreeMap<String, String>;

/// What is wrong with one key, found by a check that reaches past single keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key to show the message at.
    pub key: String,
    /// What is wrong, and the way out.
    pub message: String,
}

/// A typed configuration. Made by `#[derive(Config)]`.
pub trait Config: Sized {
    /// Its keys, in the order in which `/validate` lists them.
    fn config_def() -> ConfigDef;

    /// Takes the fields out of values that [`ConfigDef::parse`] has checked.
    fn from_values(values: &Values) -> Result<Self>;

    /// Parses and checks. The first key that is wrong, in the order of definition, is the error.
    fn parse(props: &Props) -> Result<Self> {
        Self::from_values(&Self::config_def().parse(props)?)
    }
}

/// The examples of the derive's README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../derive/README.md")]
struct DeriveReadme;

#[cfg(test)]
mod tests;
