//! Decides which subject keeps a schema (`SubjectNameStrategy` in Java).

use std::sync::Arc;

use millrace_api::config::ClassName;
use millrace_api::{ConverterRole, Error, Result};

/// How subjects are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubjectName {
    /// After the topic.
    Topic,
    /// After the record.
    Record,
    /// After both.
    TopicRecord,
}

impl SubjectName {
    /// By the name of Java's class.
    pub(super) fn by_class(key: &str, class: &ClassName) -> Result<Self> {
        let name = class.as_str();
        match name.rsplit('.').next().unwrap_or(name) {
            // Without associations a subject is named after its topic.
            "TopicNameStrategy" | "AssociatedNameStrategy" => Ok(Self::Topic),
            "RecordNameStrategy" => Ok(Self::Record),
            "TopicRecordNameStrategy" => Ok(Self::TopicRecord),
            _ => Err(unknown(
                key,
                name,
                "TopicNameStrategy, RecordNameStrategy, TopicRecordNameStrategy and \
                 AssociatedNameStrategy",
            )),
        }
    }

    /// The subject of a schema; none when the schema has to have a name and that is not known.
    pub(super) fn subject(
        self,
        topic: &str,
        role: ConverterRole,
        record: Option<&str>,
    ) -> Option<Arc<str>> {
        let suffix = if role == ConverterRole::Key { "key" } else { "value" };
        match (self, record) {
            (Self::Topic, _) => Some(format!("{topic}-{suffix}").into()),
            (Self::Record, Some(record)) => Some(record.into()),
            (Self::TopicRecord, Some(record)) => Some(format!("{topic}-{record}").into()),
            (_, None) => None,
        }
    }
}

/// A class of Java's that nothing here stands for.
pub(super) fn unknown(key: &str, class: &str, known: &str) -> Error {
    Error::config(format!(
        "Invalid value {class} for configuration {key}: Java code cannot be loaded"
    ))
    .context("known", known)
}
