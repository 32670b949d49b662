//! Decides which of Kafka's error codes an error becomes.

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use millrace_api::{Error, ErrorKind};

use crate::embedded::log::NotAppended;
use crate::embedded::producers::Refusal;

/// A code, and words for people where the protocol has room for them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) code: ResponseError,
    message: Option<String>,
}

impl Refused {
    pub(super) fn new(code: ResponseError, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    pub(super) fn message(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from_string)
    }
}

impl From<ResponseError> for Refused {
    fn from(code: ResponseError) -> Self {
        Self { code, message: None }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::NotFound => ResponseError::UnknownTopicOrPartition,
            ErrorKind::Conflict => ResponseError::TopicAlreadyExists,
            ErrorKind::Config => ResponseError::InvalidRequest,
            ErrorKind::Data => ResponseError::InvalidRecord,
            _ => {
                tracing::error!(%error, "the embedded cluster cannot answer a request");
                ResponseError::KafkaStorageError
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OutOfOrder { expected, found } => Self::new(
                ResponseError::OutOfOrderSequenceNumber,
                format!("the batch's sequence number is {found}; {expected} was to come next"),
            ),
            Refusal::Fenced { current, found } => Self::new(
                ResponseError::InvalidProducerEpoch,
                format!("the producer's epoch is {found}, and {current} has written already"),
            ),
            Refusal::WrongTransaction => Self::new(
                ResponseError::InvalidTxnState,
                "the producer's transaction does not allow this batch",
            ),
        }
    }
}

impl From<NotAppended> for Refused {
    fn from(error: NotAppended) -> Self {
        match error {
            NotAppended::Refused(refusal) => refusal.into(),
            NotAppended::Failed(error) => error.into(),
        }
    }
}

/// The code of a result: 0 where it is good.
pub(super) fn code<T>(result: &Result<T, Refused>) -> i16 {
    result.as_ref().err().map_or(0, |refused| refused.code.code())
}
