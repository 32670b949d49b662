//! Decides what an answer to a produce request means for a batch (Java's `Sender.completeBatch`).

use kafka_protocol::ResponseError as Code;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use millrace_api::Error;
use tokio::time::Instant;

use super::batch::Rejection;
use super::partition::Verdict;
use crate::native::error::{Failure, refused};

const WHAT: &str = "records were not written";

/// What a broker said of a batch. `retry_at` is when it may be sent again.
pub(super) fn of_answer(answer: &PartitionProduceResponse, retry_at: Instant) -> Verdict {
    let words = answer.error_message.as_deref();
    match Code::try_from_code(answer.error_code) {
        // The second says that it is there since long ago.
        None | Some(Code::DuplicateSequenceNumber) => Verdict::Appended,
        Some(code @ (Code::OutOfOrderSequenceNumber | Code::UnknownProducerId)) => {
            Verdict::OutOfOrder(rejection(code, answer))
        }
        Some(code @ (Code::MessageTooLarge | Code::RecordListTooLarge)) => {
            Verdict::TooLarge(rejection(code, answer))
        }
        Some(code) if is_passing(code) => {
            let why = refused(code, "the broker refused them", words);
            Verdict::Again(retry_at, why.message().to_owned())
        }
        Some(code) => Verdict::Rejected(rejection(code, answer)),
    }
}

/// What it means that there is no answer: the batch may be in the log or not.
pub(super) fn of_failure(failure: &Failure, retry_at: Instant) -> Verdict {
    match failure.is_passing() {
        true => Verdict::Again(retry_at, failure.to_string()),
        false => Verdict::Rejected(failure.clone().doing(WHAT).into()),
    }
}

/// Whether the same batch may be taken later.
fn is_passing(code: Code) -> bool {
    // In the second version of transactions the partition leader asks the coordinator (KIP-890).
    code.is_retriable() || code == Code::ConcurrentTransactions
}

/// Whether another broker has to be looked for.
pub(super) fn is_elsewhere(code: i16) -> bool {
    matches!(
        Code::try_from_code(code),
        Some(
            Code::NotLeaderOrFollower
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopicId
                | Code::InconsistentTopicId
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::KafkaStorageError
                | Code::ListenerNotFound
        )
    )
}

fn rejection(code: Code, answer: &PartitionProduceResponse) -> Rejection {
    let error =
        |words: Option<&str>| refused(code, WHAT, words.or(answer.error_message.as_deref()));
    let mut blamed: Vec<_> = answer.record_errors.iter().collect();
    if blamed.is_empty() {
        return Rejection { code: Some(code), ..error(None).into() };
    }
    blamed.sort_unstable_by_key(|one| one.batch_index);
    blamed.dedup_by_key(|one| one.batch_index);
    let records = blamed.into_iter().filter_map(|one| {
        let row = usize::try_from(one.batch_index).ok()?;
        Some((row, error(one.batch_index_error_message.as_deref())))
    });
    let of_others = Error::new(
        crate::native::error::kind(code),
        format!("{WHAT}: others of their batch were refused ({code:?})"),
    );
    Rejection { error: of_others, code: Some(code), records: records.collect() }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_response::BatchIndexAndErrorMessage;
    use kafka_protocol::protocol::StrBytes;
    use millrace_api::ErrorKind;

    use super::*;

    fn answer(code: Code) -> PartitionProduceResponse {
        PartitionProduceResponse::default().with_error_code(code.code())
    }

    #[tokio::test]
    async fn each_code_has_its_verdict() {
        let now = Instant::now();
        let verdict = |code| of_answer(&answer(code), now);
        let appended = of_answer(&PartitionProduceResponse::default(), now);
        assert!(matches!(appended, Verdict::Appended));
        assert!(matches!(verdict(Code::DuplicateSequenceNumber), Verdict::Appended));
        for code in [
            Code::NotLeaderOrFollower,
            Code::NotEnoughReplicas,
            Code::NotEnoughReplicasAfterAppend,
            Code::RequestTimedOut,
            Code::UnknownTopicId,
            Code::CorruptMessage,
            Code::KafkaStorageError,
            Code::ConcurrentTransactions,
            Code::UnknownTopicOrPartition,
        ] {
            assert!(matches!(verdict(code), Verdict::Again(..)), "{code:?}");
        }
        assert!(matches!(verdict(Code::OutOfOrderSequenceNumber), Verdict::OutOfOrder(_)));
        assert!(matches!(verdict(Code::MessageTooLarge), Verdict::TooLarge(_)));
        for code in [Code::TopicAuthorizationFailed, Code::InvalidRecord, Code::ProducerFenced] {
            assert!(matches!(verdict(code), Verdict::Rejected(_)), "{code:?}");
        }
    }

    #[tokio::test]
    async fn records_to_blame_are_named() {
        let blamed = |index, words: Option<&'static str>| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(index)
                .with_batch_index_error_message(words.map(StrBytes::from_static_str))
        };
        let answer = answer(Code::InvalidRecord)
            .with_error_message(Some(StrBytes::from_static_str("one is bad")))
            .with_record_errors(vec![blamed(4, None), blamed(2, Some("no key"))]);
        let Verdict::Rejected(rejection) = of_answer(&answer, Instant::now()) else {
            panic!("it is rejected");
        };
        assert_eq!(rejection.error.kind(), ErrorKind::Data);
        let told: Vec<_> =
            rejection.records.iter().map(|(row, e)| (*row, e.message().to_owned())).collect();
        let expected = [
            (2, "records were not written: no key (INVALID_RECORD)".to_owned()),
            (4, "records were not written: one is bad (INVALID_RECORD)".to_owned()),
        ];
        assert_eq!(told, expected);
    }
}
