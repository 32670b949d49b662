//! `MessageTimestampRouter`: puts the date that a field holds into the name of the topic.

use std::sync::Arc;

use millrace_api::config::Config;
use millrace_api::config::validators::non_empty_list;
use millrace_api::data::{MILLIS_A_DAY, Records, RowError, Value};
use millrace_api::{Error, Props, Result, Transformation};

use super::json_path::member;
use crate::simple_date_format::SimpleDateFormat;
use crate::timestamp_router::DatedTopics;
use crate::topics::route;

#[derive(Config, Debug)]
pub(crate) struct MessageTimestampRouterConfig {
    /// The new topic. <code>${topic}</code> stands for the old one, <code>${timestamp}</code> for
    /// the date.
    #[config(key = "topic.format", importance = High, default = "${topic}-${timestamp}")]
    topic_format: String,
    /// How the date is written in the value, as <code>java.text.SimpleDateFormat</code> has it.
    /// Numbers are milliseconds since 1970 in any case.
    #[config(key = "message.timestamp.format", importance = High)]
    message_timestamp_format: String,
    /// How the date is written in the topic, as <code>java.text.SimpleDateFormat</code> has it.
    #[config(key = "topic.timestamp.format", importance = High, default = "yyyyMMdd")]
    topic_timestamp_format: String,
    /// The fields that may hold the date: the first that is there counts.
    #[config(key = "message.timestamp.keys", importance = High, validate = non_empty_list)]
    message_timestamp_keys: Vec<String>,
}

pub(crate) struct MessageTimestampRouter {
    keys: Vec<String>,
    format: SimpleDateFormat,
    pattern: String,
    topics: DatedTopics,
}

impl MessageTimestampRouter {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = MessageTimestampRouterConfig::parse(props)?;
        let format = SimpleDateFormat::new(&config.topic_timestamp_format)?;
        Ok(Box::new(Self {
            keys: config.message_timestamp_keys,
            format: SimpleDateFormat::new(&config.message_timestamp_format)?,
            pattern: config.message_timestamp_format,
            topics: DatedTopics::new(config.topic_format, format),
        }))
    }

    fn millis(&self, value: &Value) -> Result<i64> {
        if !matches!(value, Value::Struct(_) | Value::Map(_)) {
            return Err(Error::data(format!(
                "only maps and structs have a field with a timestamp, found: {}",
                value.java_class()
            )));
        }
        let mut fields = self.keys.iter().filter_map(|key| member(value, key)?);
        let found = fields.find(|value| !value.is_null());
        match found {
            Some(Value::Int64(millis) | Value::Timestamp(millis)) => Ok(*millis),
            Some(Value::Int32(millis)) => Ok((*millis).into()),
            Some(Value::Date(days)) => Ok(i64::from(*days) * MILLIS_A_DAY),
            Some(Value::String(text)) => self.format.parse(text).ok_or_else(|| {
                Error::data("a timestamp does not have the form of message.timestamp.format")
                    .context("format", &self.pattern)
            }),
            Some(other) => Err(Error::data(format!(
                "a timestamp is a number of milliseconds or a text, found: {}",
                other.java_class()
            ))),
            None => Err(Error::data("none of the fields of message.timestamp.keys is there")
                .context("fields", self.keys.join(", "))),
        }
    }
}

impl Transformation for MessageTimestampRouter {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let values = records.value.rows()?.into_owned();
        let topic = Arc::clone(&records.topic);
        Ok(route(records, failed, |row| {
            let millis = self.millis(&values[row])?;
            Ok(Some(self.topics.at(&topic, millis)))
        }))
    }
}
