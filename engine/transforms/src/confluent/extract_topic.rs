//! `ExtractTopic`: takes the name of the topic out of the record.

use std::sync::Arc;

use millrace_api::config::{Config, ConfigEnum, invalid_value};
use millrace_api::data::{Header, Records, RowError, Value};
use millrace_api::{Error, Props, Result, Transformation};

use super::json_path::{JsonPath, member};
use crate::side::Side;
use crate::topics::route;

#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum FieldFormat {
    #[config(name = "PLAIN")]
    Plain,
    #[config(name = "JSON_PATH")]
    JsonPath,
}

#[derive(Config, Debug)]
pub(crate) struct ExtractTopicConfig {
    /// The field, or the header, that holds the topic. If empty the whole key or value does.
    #[config(key = "field", default = "")]
    field: String,
    /// How the field is written: <code>PLAIN</code> is the name of a field at the root,
    /// <code>JSON_PATH</code> a path such as <code>$.f1.f2</code>.
    #[config(key = "field.format", default = FieldFormat::Plain)]
    field_format: FieldFormat,
    /// Whether a record keeps its topic when what holds the new one is missing or null. If not it
    /// is refused.
    #[config(key = "skip.missing.or.null", default = false)]
    skip_missing_or_null: bool,
}

/// What holds the topic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    Header,
    Side(Side),
}

enum Place {
    Whole,
    Field(String),
    Path(JsonPath),
}

pub(crate) struct ExtractTopic {
    from: From,
    place: Place,
    field: String,
    skips: bool,
    /// Of many records in a row the topic is the same.
    last: Arc<str>,
}

impl ExtractTopic {
    pub(crate) fn open(from: From, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = ExtractTopicConfig::parse(props)?;
        let field = config.field;
        let place = match (from, config.field_format) {
            (From::Header, _) if field.is_empty() => {
                let reason = "the name of a header is needed";
                return Err(invalid_value("field", field, reason.to_owned()));
            }
            (From::Header, FieldFormat::JsonPath) => {
                let reason = "headers are named, not searched: PLAIN is the only format";
                return Err(invalid_value("field.format", "JSON_PATH", reason.to_owned()));
            }
            _ if field.is_empty() => Place::Whole,
            (_, FieldFormat::JsonPath) => Place::Path(JsonPath::parse("field", &field)?),
            _ => Place::Field(field.clone()),
        };
        let skips = config.skip_missing_or_null;
        Ok(Box::new(Self { from, place, field, skips, last: "".into() }))
    }

    fn topic(&mut self, value: Option<&Value>) -> Result<Option<Arc<str>>> {
        match value {
            Some(Value::String(topic)) if topic.is_empty() => Err(self.wrong("an empty text")),
            Some(Value::String(topic)) => {
                if *self.last != **topic {
                    self.last = Arc::clone(topic);
                }
                Ok(Some(Arc::clone(&self.last)))
            }
            Some(Value::Null) | None if self.skips => Ok(None),
            Some(Value::Null) | None => Err(Error::data(
                "what holds the topic is missing or null; set skip.missing.or.null to keep the \
                 topic then",
            )
            .context("field", &self.field)),
            Some(other) => Err(self.wrong(other.java_class())),
        }
    }

    fn wrong(&self, found: &str) -> Error {
        Error::data(format!("a topic is named by a text, found: {found}"))
            .context("field", &self.field)
    }

    fn in_value(&mut self, value: &Value) -> Result<Option<Arc<str>>> {
        let found = match &self.place {
            Place::Whole => Some(value),
            Place::Field(name) => match (member(value, name), value) {
                (Some(found), _) => found,
                (None, Value::Null) => None,
                (None, other) => {
                    let found = other.java_class();
                    return Err(Error::data(format!(
                        "only maps and structs have fields, found: {found}"
                    )));
                }
            },
            Place::Path(path) => match path.select(value) {
                Ok(found) if found.len() > 1 => {
                    let error = Error::data("the path leads to more than one field");
                    return Err(error.context("field", &self.field));
                }
                found => found.ok().and_then(|found| found.first().copied()),
            },
        };
        self.topic(found)
    }
}

impl Transformation for ExtractTopic {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        match self.from {
            From::Header => {
                let headers = records.headers.clone();
                Ok(route(records, failed, |row| {
                    let is = |header: &&Header| *header.key == *self.field;
                    let header = headers.row(row).iter().rev().find(is);
                    self.topic(header.map(|header| &header.value))
                }))
            }
            From::Side(side) => {
                let values = side.column(&records).rows()?.into_owned();
                Ok(route(records, failed, |row| self.in_value(&values[row])))
            }
        }
    }
}
