//! Decides how the drill's transactions map onto librdkafka, which the trait's backend does not
//! offer them of.

use super::{CALL, Transactional, Trouble};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use std::time::Duration;

struct Producer(ThreadedProducer<DefaultProducerContext>);

pub(super) fn open(bootstrap: &str, id: &str) -> Result<Box<dyn Transactional>, Trouble> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "60000")
        .set("socket.timeout.ms", "4000")
        .set("linger.ms", "1")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.max.ms", "500")
        .create()
        .expect("the client's settings are right");
    producer.init_transactions(CALL).map_err(trouble)?;
    Ok(Box::new(Producer(producer)))
}

impl Transactional for Producer {
    fn begin(&mut self) -> Result<(), Trouble> {
        self.0.begin_transaction().map_err(trouble)
    }

    fn send(&mut self, topic: &str, partition: i32, value: &str) -> Result<(), Trouble> {
        let mut next = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
        while let Err((error, same)) = self.0.send(next) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(trouble(error));
            }
            let _ = self.0.flush(Duration::from_millis(100));
            next = same;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Trouble> {
        self.0.commit_transaction(CALL).map_err(trouble)
    }

    fn abort(&mut self) -> Result<(), Trouble> {
        self.0.abort_transaction(CALL).map_err(trouble)
    }
}

fn trouble(error: KafkaError) -> Trouble {
    let text = error.to_string();
    match error {
        KafkaError::Transaction(error) if error.is_fatal() => Trouble::Fatal(text),
        KafkaError::Transaction(error) if error.txn_requires_abort() => Trouble::Abort(text),
        KafkaError::Transaction(error) if error.is_retriable() => Trouble::Retry(text),
        // A commit flushes first.
        KafkaError::Flush(_) => Trouble::Retry(text),
        // A record that is refused is one of a transaction that has to be aborted, or of a producer
        // that is fenced; the next call tells which.
        KafkaError::MessageProduction(_) => Trouble::Abort(text),
        _ => Trouble::Fatal(text),
    }
}
