//! Decides which topics a subscription means.

use std::collections::BTreeSet;

use millrace_api::{Error, Result};
use regex::Regex;

use crate::Subscription;

/// Which topics a member wants.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Topics(BTreeSet<String>),
    Pattern(Regex),
}

impl Matcher {
    /// # Errors
    ///
    /// When the pattern is none that we can use.
    pub(crate) fn new(subscription: &Subscription) -> Result<Self> {
        match subscription {
            Subscription::Topics(topics) => Ok(Self::Topics(topics.iter().cloned().collect())),
            Subscription::Pattern(pattern) => {
                let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
                    Error::config(
                        "the topic pattern is not a regular expression that can be used here (it \
                         may have neither look-around nor back-references)",
                    )
                    .context("pattern", pattern)
                    .with_source(e)
                })?;
                Ok(Self::Pattern(regex))
            }
        }
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.contains(topic),
            Self::Pattern(regex) => regex.is_match(topic),
        }
    }
}
