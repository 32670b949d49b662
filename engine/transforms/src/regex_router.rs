//! `RegexRouter`: gives records another topic where a regular expression matches their topic.

use std::sync::Arc;

use millrace_api::config::Config;
use millrace_api::config::validators::regex;
use millrace_api::data::{Records, RowError};
use millrace_api::{Props, Result, Transformation};

use crate::pattern::{Pattern, Replacement};

#[derive(Config, Debug)]
pub(crate) struct RegexRouterConfig {
    /// Regular expression to use for matching.
    #[config(key = "regex", importance = High, validate = regex)]
    regex: String,
    /// Replacement string.
    #[config(key = "replacement", importance = High)]
    replacement: String,
}

pub(crate) struct RegexRouter {
    pattern: Pattern,
    replacement: Replacement,
}

impl RegexRouter {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = RegexRouterConfig::parse(props)?;
        let pattern = Pattern::new("regex", &config.regex)?;
        let replacement = Replacement::new(&pattern, &config.replacement)?;
        Ok(Box::new(Self { pattern, replacement }))
    }
}

impl Transformation for RegexRouter {
    fn apply(&mut self, mut records: Records, _: &mut Vec<RowError>) -> Result<Vec<Records>> {
        if self.pattern.matches(&records.topic)
            && let Some(topic) = self.pattern.replace_first(&records.topic, &self.replacement)
        {
            records.topic = Arc::from(topic);
        }
        Ok(vec![records])
    }
}
