//! `Filter`: drops every record that its predicate lets it see.

use millrace_api::config::Config;
use millrace_api::data::{Records, RowError};
use millrace_api::{Props, Result, Transformation};

#[derive(Config, Debug)]
pub(crate) struct FilterConfig {}

pub(crate) struct Filter;

impl Filter {
    pub(crate) fn open(_: &Props) -> Result<Box<dyn Transformation>> {
        Ok(Box::new(Self))
    }
}

impl Transformation for Filter {
    fn apply(&mut self, _: Records, _: &mut Vec<RowError>) -> Result<Vec<Records>> {
        Ok(Vec::new())
    }
}
