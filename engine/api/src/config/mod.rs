//! Interim: replaced by the configuration module in the making.
use crate::Result;
use std::collections::BTreeMap;
/// A flat configuration.
pub type Props = BTreeMap<String, String>;
/// The keys of a configuration.
#[derive(Default)]
pub struct ConfigDef;
/// What is wrong with one key, found by a check that reaches past single keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key to show the message at.
    pub key: String,
    /// What is wrong, and the way out.
    pub message: String,
}
/// A typed configuration.
pub trait Config: Sized {
    /// Its keys.
    fn config_def() -> ConfigDef;
    /// Parses it.
    fn parse(props: &Props) -> Result<Self>;
}
