//! Kafka's predicates: which records a transformation is for.

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use millrace_api::config::validators::{all_of, non_empty_string, regex};
use millrace_api::config::{Config, Validator};
use millrace_api::data::Records;
use millrace_api::{Predicate, Props, Result};

use crate::pattern::Pattern;

fn same_for_all(records: &Records, answer: bool) -> BooleanArray {
    let bits = match answer {
        true => BooleanBuffer::new_set(records.len()),
        false => BooleanBuffer::new_unset(records.len()),
    };
    BooleanArray::new(bits, None)
}

#[derive(Config, Debug)]
pub(crate) struct HasHeaderKeyConfig {
    /// The header name.
    #[config(key = "name", validate = non_empty_string)]
    name: String,
}

/// True for records with at least one header of a name.
pub(crate) struct HasHeaderKey {
    name: String,
}

impl HasHeaderKey {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Predicate>> {
        Ok(Box::new(Self { name: HasHeaderKeyConfig::parse(props)?.name }))
    }
}

impl Predicate for HasHeaderKey {
    fn test(&mut self, records: &Records) -> Result<BooleanArray> {
        if records.headers.is_none() {
            return Ok(same_for_all(records, false));
        }
        let has = |row| records.headers.row(row).iter().any(|header| *header.key == *self.name);
        Ok((0..records.len()).map(has).collect::<Vec<bool>>().into())
    }
}

#[derive(Config, Debug)]
pub(crate) struct RecordIsTombstoneConfig {}

/// True for records without a value.
pub(crate) struct RecordIsTombstone;

impl RecordIsTombstone {
    pub(crate) fn open(_: &Props) -> Result<Box<dyn Predicate>> {
        Ok(Box::new(Self))
    }
}

impl Predicate for RecordIsTombstone {
    fn test(&mut self, records: &Records) -> Result<BooleanArray> {
        let is_null = |row| records.value.is_null(row);
        Ok((0..records.len()).map(is_null).collect::<Vec<bool>>().into())
    }
}

#[derive(Config, Debug)]
pub(crate) struct TopicNameMatchesConfig {
    /// A Java regular expression for matching against the name of a record's topic.
    #[config(key = "pattern", validate = non_empty_regex)]
    pattern: String,
}

fn non_empty_regex() -> Validator {
    all_of([non_empty_string(), regex()])
}

/// True for records whose topic a regular expression matches as a whole.
pub(crate) struct TopicNameMatches {
    pattern: Pattern,
}

impl TopicNameMatches {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Predicate>> {
        let pattern = TopicNameMatchesConfig::parse(props)?.pattern;
        Ok(Box::new(Self { pattern: Pattern::new("pattern", &pattern)? }))
    }
}

impl Predicate for TopicNameMatches {
    fn test(&mut self, records: &Records) -> Result<BooleanArray> {
        Ok(same_for_all(records, self.pattern.matches(&records.topic)))
    }
}
