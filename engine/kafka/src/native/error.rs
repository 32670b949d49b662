//! Decides what the worker does about a broker's error code, and about no answer at all.

use std::fmt;

use kafka_protocol::ResponseError;
use millrace_api::{Error, ErrorKind};

/// Why a request brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// There is no connection, or it broke: the request may have been carried out or not.
    Disconnected,
    /// No answer came in time: the request may have been carried out or not.
    TimedOut,
    /// The broker will not talk to us: certificates or credentials are wrong.
    Refused,
    /// The broker does not know the request.
    Unsupported,
    /// The answer cannot be read.
    Corrupt,
}

/// A request without an answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    why: String,
    broker: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), broker: None }
    }

    /// Names the broker, unless it is named already.
    pub(crate) fn of_broker(mut self, broker: impl fmt::Display) -> Self {
        self.broker.get_or_insert_with(|| broker.to_string());
        self
    }

    pub(crate) fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether the same request may find an answer later, here or elsewhere.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.kind, FailureKind::Disconnected | FailureKind::TimedOut)
    }

    /// The error for what was being done: `what` as in "records cannot be read".
    pub(crate) fn doing(self, what: &str) -> Error {
        let kind = if self.is_passing() { ErrorKind::Retriable } else { ErrorKind::Fatal };
        let error = Error::new(kind, format!("{what}: {}", self.why));
        match self.broker {
            Some(broker) => error.context("broker", broker),
            None => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broker {
            Some(broker) => write!(f, "broker {broker}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// The error for a code in a broker's answer: what was being done, and the broker's own words.
pub(crate) fn refused(code: ResponseError, what: &str, words: Option<&str>) -> Error {
    let meaning = code.to_string();
    let message = match words.filter(|words| !words.is_empty()) {
        Some(words) => format!("{what}: {words} ({code:?})"),
        None => format!("{what}: {meaning}"),
    };
    let error = Error::new(kind(code), message);
    match remedy(code) {
        Some(remedy) => error.context("remedy", remedy),
        None => error,
    }
}

/// What a user can do about it.
fn remedy(code: ResponseError) -> Option<&'static str> {
    Some(match code {
        ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge => {
            "raise the producer's max.request.size and the topic's max.message.bytes, or make the \
             records smaller"
        }
        ResponseError::TopicAuthorizationFailed => {
            "give the client's principal an ACL for the topic"
        }
        ResponseError::GroupAuthorizationFailed => {
            "give the client's principal an ACL for the group"
        }
        ResponseError::ClusterAuthorizationFailed => {
            "give the client's principal an ACL for the cluster"
        }
        ResponseError::TransactionalIdAuthorizationFailed => {
            "give the client's principal an ACL for the transactional id"
        }
        _ => return None,
    })
}

/// What the worker does about a code; as `librdkafka::error`, which names the same codes.
pub(crate) fn kind(code: ResponseError) -> ErrorKind {
    use ResponseError as Code;
    match code {
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch
        | Code::TopicAlreadyExists
        | Code::NonEmptyGroup
        | Code::GroupSubscribedToTopic => ErrorKind::Conflict,
        Code::InvalidTopicException
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::PolicyViolation => ErrorKind::Config,
        Code::MessageTooLarge | Code::InvalidRecord => ErrorKind::Data,
        Code::GroupIdNotFound => ErrorKind::NotFound,
        Code::BrokerNotAvailable => ErrorKind::Retriable,
        code if code.is_retriable() => ErrorKind::Retriable,
        _ => ErrorKind::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_kinds_the_worker_needs() {
        for (code, expected) in [
            (ResponseError::NotLeaderOrFollower, ErrorKind::Retriable),
            (ResponseError::UnknownTopicOrPartition, ErrorKind::Retriable),
            (ResponseError::IllegalGeneration, ErrorKind::Conflict),
            (ResponseError::MessageTooLarge, ErrorKind::Data),
            (ResponseError::TopicAuthorizationFailed, ErrorKind::Fatal),
            (ResponseError::Unknown(12_345), ErrorKind::Fatal),
        ] {
            assert_eq!(kind(code), expected, "{code:?}");
        }
    }
}
