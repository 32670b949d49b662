//! `DropHeaders` and `InsertHeader`: take headers from all records, or give them one more.

use std::collections::HashSet;
use std::sync::Arc;

use millrace_api::config::Config;
use millrace_api::config::validators::{non_empty_list, non_null};
use millrace_api::data::{Header, Headers, Records, RowError, parse_string};
use millrace_api::{Props, Result, Transformation};

#[derive(Config, Debug)]
pub(crate) struct DropHeadersConfig {
    /// The name of the headers to be removed.
    #[config(key = "headers", importance = High, validate = non_empty_list)]
    headers: Vec<String>,
}

pub(crate) struct DropHeaders {
    names: HashSet<String>,
}

impl DropHeaders {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = DropHeadersConfig::parse(props)?;
        Ok(Box::new(Self { names: config.headers.into_iter().collect() }))
    }
}

impl Transformation for DropHeaders {
    fn apply(&mut self, mut records: Records, _: &mut Vec<RowError>) -> Result<Vec<Records>> {
        if !records.headers.is_none() {
            let is_kept = |header: &&Header| !self.names.contains(&*header.key);
            let kept = |row| records.headers.row(row).iter().filter(is_kept).cloned().collect();
            records.headers = Headers::from_rows((0..records.len()).map(kept).collect());
        }
        Ok(vec![records])
    }
}

#[derive(Config, Debug)]
pub(crate) struct InsertHeaderConfig {
    /// The name of the header.
    #[config(key = "header", importance = High, validate = non_null)]
    header: String,
    /// The literal value that is to be set as the header value on all records.
    #[config(key = "value.literal", importance = High, validate = non_null)]
    value_literal: String,
}

pub(crate) struct InsertHeader {
    header: Header,
}

impl InsertHeader {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = InsertHeaderConfig::parse(props)?;
        let (schema, value) = parse_string(&config.value_literal);
        Ok(Box::new(Self { header: Header { key: Arc::from(config.header), schema, value } }))
    }
}

impl Transformation for InsertHeader {
    fn apply(&mut self, mut records: Records, _: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let more = |row| [records.headers.row(row), std::slice::from_ref(&self.header)].concat();
        records.headers = Headers::from_rows((0..records.len()).map(more).collect());
        Ok(vec![records])
    }
}
