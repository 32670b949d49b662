//! `TimestampRouter`: puts the date of a record into the name of its topic.

use std::sync::Arc;

use millrace_api::config::Config;
use millrace_api::data::{Records, RowError};
use millrace_api::{Error, Props, Result, Transformation};

use crate::simple_date_format::SimpleDateFormat;
use crate::topics::route;

#[derive(Config, Debug)]
pub(crate) struct TimestampRouterConfig {
    /// Format string which can contain <code>${topic}</code> and <code>${timestamp}</code> as
    /// placeholders for the topic and timestamp, respectively.
    #[config(key = "topic.format", importance = High, default = "${topic}-${timestamp}")]
    topic_format: String,
    /// Format string for the timestamp that is compatible with
    /// <code>java.text.SimpleDateFormat</code>.
    #[config(key = "timestamp.format", importance = High, default = "yyyyMMdd")]
    timestamp_format: String,
}

pub(crate) struct TimestampRouter {
    topics: DatedTopics,
}

impl TimestampRouter {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = TimestampRouterConfig::parse(props)?;
        let format = SimpleDateFormat::new(&config.timestamp_format)?;
        Ok(Box::new(Self { topics: DatedTopics::new(config.topic_format, format) }))
    }
}

impl Transformation for TimestampRouter {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let topic = Arc::clone(&records.topic);
        let timestamps = records.timestamps.clone();
        Ok(route(records, failed, |row| {
            let at = timestamps.as_ref().map(|t| t[row]).filter(|t| *t != Records::NO_TIMESTAMP);
            let at = at.ok_or_else(|| Error::data("Timestamp missing on record"))?;
            Ok(Some(self.topics.at(&topic, at)))
        }))
    }
}

/// Names of topics with a date in them; the last one is remembered for as long as it holds.
pub(crate) struct DatedTopics {
    topic_format: String,
    format: SimpleDateFormat,
    /// A topic, the period of time, and the name.
    last: Option<(Arc<str>, i64, Arc<str>)>,
}

impl DatedTopics {
    pub(crate) fn new(topic_format: String, format: SimpleDateFormat) -> Self {
        Self { topic_format, format, last: None }
    }

    /// The name for a topic at a moment.
    pub(crate) fn at(&mut self, topic: &Arc<str>, millis: i64) -> Arc<str> {
        let period = millis.div_euclid(self.format.period());
        match &self.last {
            Some((known, of, name)) if *of == period && known == topic => Arc::clone(name),
            _ => {
                let date = self.format.format(millis);
                // As in Java, a topic's name may bring a placeholder of its own.
                let name = self.topic_format.replace("${topic}", topic);
                let name: Arc<str> = name.replace("${timestamp}", &date).into();
                self.last = Some((Arc::clone(topic), period, Arc::clone(&name)));
                name
            }
        }
    }
}
