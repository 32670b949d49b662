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

    #[cfg(test)]
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

/// What the client's user has to be allowed for a request, in the words of Kafka's ACLs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permission<'a> {
    /// As `kafka-acls.sh --operation` takes it, such as `Describe`.
    pub(crate) operation: &'static str,
    pub(crate) resource: Resource<'a>,
}

/// What an ACL is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    TransactionalId(&'a str),
    Cluster,
}

impl<'a> Permission<'a> {
    pub(crate) fn new(operation: &'static str, resource: Resource<'a>) -> Self {
        Self { operation, resource }
    }

    /// The ACL to add, if it is the lack of this permission that a code tells of.
    fn remedy(&self, code: ResponseError) -> Option<String> {
        let resource = match (self.resource, code) {
            (Resource::Topic(topic), ResponseError::TopicAuthorizationFailed) => {
                format!("--topic {topic}")
            }
            (Resource::Group(group), ResponseError::GroupAuthorizationFailed) => {
                format!("--group {group}")
            }
            (Resource::TransactionalId(id), ResponseError::TransactionalIdAuthorizationFailed) => {
                format!("--transactional-id {id}")
            }
            (Resource::Cluster, ResponseError::ClusterAuthorizationFailed) => {
                "--cluster".to_owned()
            }
            _ => return None,
        };
        Some(format!(
            "allow it to the client's user: kafka-acls.sh --add --allow-principal User:NAME \
             --operation {} {resource}",
            self.operation
        ))
    }
}

/// The error for a code in a broker's answer: what was being done, and the broker's own words.
pub(crate) fn refused(code: ResponseError, what: &str, words: Option<&str>) -> Error {
    refused_for(code, what, words, &[])
}

/// The same where it is known what the request needs permission for.
pub(crate) fn refused_for(
    code: ResponseError,
    what: &str,
    words: Option<&str>,
    needed: &[Permission<'_>],
) -> Error {
    let (meaning, name) = names(code);
    let words = words.filter(|words| !words.is_empty()).unwrap_or(&meaning);
    let error = Error::new(kind(code), format!("{what}: {words} ({name})"));
    let acl = needed.iter().find_map(|permission| permission.remedy(code));
    match acl.or_else(|| remedy(code).map(str::to_owned)) {
        Some(remedy) => error.context("remedy", remedy),
        None => error,
    }
}

/// A code in words, and its name in Kafka's documentation: `TOPIC_ALREADY_EXISTS`.
fn names(code: ResponseError) -> (String, String) {
    if let ResponseError::Unknown(number) = code {
        return ("an error that this client does not know".to_owned(), number.to_string());
    }
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    (name.to_ascii_lowercase().replace('_', " "), name)
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
        ResponseError::InvalidSessionTimeout => {
            "set session.timeout.ms to what the brokers allow: from group.min.session.timeout.ms \
             (6000 unless it was changed there) to group.max.session.timeout.ms (1800000)"
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
    fn a_missing_permission_is_named() {
        let needed = [
            Permission::new("Read", Resource::Group("g")),
            Permission::new("Describe", Resource::Topic("t")),
        ];
        let code = ResponseError::TopicAuthorizationFailed;
        let error = refused_for(code, "offsets cannot be listed", Some(""), &needed).to_string();
        let expected = "offsets cannot be listed: topic authorization failed \
                        (TOPIC_AUTHORIZATION_FAILED) (remedy: allow it to the client's user: \
                        kafka-acls.sh --add --allow-principal User:NAME --operation Describe \
                        --topic t)";
        assert_eq!(error, expected);
        let error = refused(ResponseError::Unknown(999), "it fails", None).to_string();
        assert_eq!(error, "it fails: an error that this client does not know (999)");
    }

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
