//! What is known of the failure of a connector or task: what kind of trouble, at which record.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use millrace_api::Error;
use serde::{Deserialize, Serialize};

use crate::metrics::ErrorClass;

/// What of an error's text is remembered, in characters.
const WORDS: usize = 1000;

/// A record, by its place: what an error's context names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordPlace {
    /// Of a topic.
    Topic {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// Of a source.
    Source {
        /// The source partition, as JSON.
        source_partition: String,
        /// The source offset, as JSON.
        source_offset: String,
    },
}

impl fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic { topic, partition, offset } => {
                write!(f, "topic {topic}, partition {partition}, offset {offset}")
            }
            Self::Source { source_partition, source_offset } => {
                write!(f, "source partition {source_partition}, source offset {source_offset}")
            }
        }
    }
}

impl RecordPlace {
    /// The record that an error, or one of its causes, names.
    fn of(error: &Error) -> Option<Self> {
        chain(error).filter_map(|cause| cause.downcast_ref::<Error>()).find_map(|error| {
            let value = |name| error.value(name);
            if let (Some(partition), Some(offset)) =
                (value("source partition"), value("source offset"))
            {
                let (source_partition, source_offset) = (partition.into(), offset.into());
                return Some(Self::Source { source_partition, source_offset });
            }
            let (partition, offset) = (value("partition")?, value("offset")?.parse().ok()?);
            let (topic, partition) = match value("topic") {
                Some(topic) => (topic, partition),
                None => partition.rsplit_once('-')?,
            };
            Some(Self::Topic { topic: topic.into(), partition: partition.parse().ok()?, offset })
        })
    }
}

fn chain<'a>(error: &'a Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let first: &'a (dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

/// What kind of trouble is behind an error: the first of its causes that says so.
fn class(error: &Error) -> ErrorClass {
    let told = chain(error).find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return Some(ErrorClass::of(error)).filter(|class| *class != ErrorClass::Bug);
        }
        cause.downcast_ref().and_then(class_of_io)
    });
    told.unwrap_or(ErrorClass::Bug)
}

/// The other side is away or the disk is full; or a path is not what somebody believes it to be.
fn class_of_io(error: &io::Error) -> Option<ErrorClass> {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::BrokenPipe
        | Kind::ConnectionAborted
        | Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::HostUnreachable
        | Kind::NetworkDown
        | Kind::NetworkUnreachable
        | Kind::NotConnected
        | Kind::QuotaExceeded
        | Kind::StorageFull
        | Kind::TimedOut
        | Kind::UnexpectedEof => Some(ErrorClass::Transient),
        Kind::IsADirectory
        | Kind::NotADirectory
        | Kind::NotFound
        | Kind::PermissionDenied
        | Kind::ReadOnlyFilesystem => Some(ErrorClass::Config),
        _ => None,
    }
}

/// What is known of a failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    /// What went wrong, in one line.
    pub(crate) words: String,
    /// The record it was about.
    pub(crate) record: Option<RecordPlace>,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        let words = error.copied().to_string().chars().take(WORDS).collect();
        Self { class: class(error), words, record: RecordPlace::of(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_away_is_told_from_what_stays() {
        let io = |kind| io::Error::from(kind);
        for (error, expected) in [
            (Error::retriable("away"), ErrorClass::Transient),
            (Error::fatal("in vain").with_source(Error::retriable("away")), ErrorClass::Transient),
            (
                Error::fatal("in vain").with_source(io(io::ErrorKind::ConnectionRefused)),
                ErrorClass::Transient,
            ),
            (Error::fatal("no file").with_source(io(io::ErrorKind::NotFound)), ErrorClass::Config),
            (Error::fatal("x").with_source(io(io::ErrorKind::StorageFull)), ErrorClass::Transient),
            (Error::fatal("x").with_source(io(io::ErrorKind::InvalidData)), ErrorClass::Bug),
            (Error::fatal("the plugin panicked"), ErrorClass::Bug),
            (Error::data("poison").with_source(Error::retriable("x")), ErrorClass::Data),
            (Error::fatal("Tolerance exceeded").with_source(Error::data("x")), ErrorClass::Data),
            (Error::config("wrong"), ErrorClass::Config),
        ] {
            assert_eq!(class(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn a_record_is_named_by_its_topic_or_its_source() {
        let joined = Error::fatal("x").context("partition", "a-b-3").context("offset", 7);
        let place = RecordPlace::Topic { topic: "a-b".into(), partition: 3, offset: 7 };
        assert_eq!(RecordPlace::of(&joined), Some(place));
        let source =
            Error::fatal("x").context("source partition", "p").context("source offset", "o");
        let (source_partition, source_offset) = ("p".to_owned(), "o".to_owned());
        let place = RecordPlace::Source { source_partition, source_offset };
        assert_eq!(RecordPlace::of(&source), Some(place));
        assert_eq!(RecordPlace::of(&Error::fatal("x")), None);
    }
}
