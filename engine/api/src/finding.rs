//! What a connector has to tell people about the system it is for.

use std::collections::BTreeMap;

use crate::config::{ConfigError, Props};

/// What the system says of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub errors: Vec<ConfigError>,
    /// Values that keys may have, such as the tables there are.
    pub recommended: BTreeMap<&'static str, Vec<String>>,
}

/// What there is to copy, and how one would.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// What the columns of `found` are.
    pub headings: Vec<&'static str>,
    /// A row each thing that was found, in words.
    pub found: Vec<Vec<String>>,
    /// What to do first, or to keep in mind.
    pub notes: Vec<String>,
    /// Configurations that would copy it; secrets are left as variables.
    pub suggested: Vec<Props>,
}
