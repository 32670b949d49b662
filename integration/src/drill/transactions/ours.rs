//! Decides how the drill's transactions map onto the trait.

use super::{CALL, Transactional, Trouble};
use crate::block_on;
use crate::client::Client;
use crate::topic::Record;
use crate::traffic;
use millrace_api::{Error, ErrorKind};
use millrace_kafka::Acknowledge;
use std::sync::Arc;

struct Producer(Box<dyn millrace_kafka::Producer>);

/// The commit tells what became of records.
struct Unheard;

impl Acknowledge for Unheard {
    fn acknowledged(&self, _records: usize) {}
    fn failed(&self, _records: usize, _error: &Error) {}
}

pub(super) fn open(
    client: Client,
    bootstrap: &str,
    id: &str,
) -> Result<Box<dyn Transactional>, Trouble> {
    let settings = [
        ("transactional.id", id),
        ("transaction.timeout.ms", "60000"),
        ("request.timeout.ms", "4000"),
        ("linger.ms", "1"),
        ("reconnect.backoff.max.ms", "500"),
        ("retry.backoff.max.ms", "500"),
        ("metadata.max.age.ms", "5000"),
    ];
    let cluster = client.connect(bootstrap, &[]);
    block_on(async {
        let mut producer =
            cluster.producer(&client.properties(&settings)).await.map_err(trouble)?;
        producer.init_transactions(CALL).await.map_err(trouble)?;
        Ok(Box::new(Producer(producer)) as _)
    })
}

impl Transactional for Producer {
    fn begin(&mut self) -> Result<(), Trouble> {
        self.0.begin_transaction().map_err(trouble)
    }

    fn send(&mut self, topic: &str, partition: i32, value: &str) -> Result<(), Trouble> {
        let record = Record { value: Some(value.into()), ..Record::default() };
        let run = traffic::pack(topic, Some(partition), &[record]);
        block_on(self.0.send(&run, Arc::new(Unheard))).map_err(trouble)
    }

    fn commit(&mut self) -> Result<(), Trouble> {
        block_on(self.0.commit_transaction(CALL)).map_err(trouble)
    }

    fn abort(&mut self) -> Result<(), Trouble> {
        block_on(self.0.abort_transaction(CALL)).map_err(trouble)
    }
}

fn trouble(error: Error) -> Trouble {
    let text = error.trace().to_string();
    match error.kind() {
        ErrorKind::Retriable => Trouble::Retry(text),
        ErrorKind::Conflict => Trouble::Abort(text),
        _ => Trouble::Fatal(text),
    }
}
