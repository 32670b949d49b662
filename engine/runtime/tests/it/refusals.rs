//! Records that a sink refuses at awkward moments: each is delivered, a letter once, or read again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::config::Config;
use millrace_api::data::SinkRecords;
use millrace_api::{
    Connector, ConnectorContext, Error, Offsets, Props, Result, Sink, SinkContext, SinkTask,
};
use millrace_runtime::State;

use crate::errors::{letters, values};
use crate::fixture::{Fixture, until};
use crate::plugins::{Event, Fault, Shared, Splitter, TestConfig, lock, shared};

/// What it does with a record, the last figure of its value says:
///
/// - 3: keeps it until a commit comes while `late` faults are left, then refuses it: for a passing
///   reason where these are retriable.
/// - 5: refuses it, with a put that is else successful.
/// - 7: cannot be written; the whole put fails.
/// - 8: the whole put fails for a passing reason, for as long as `put` faults are left.
///
/// A put of nothing fails for as long as `empty` faults are left.
///
/// A put takes a tenth of a second for as long as `slow` faults are left.
pub(crate) struct WaveringSink;

#[async_trait]
impl Sink for WaveringSink {
    const CLASS: &'static str = "test.WaveringSinkConnector";
    type Config = TestConfig;

    async fn connector(
        config: TestConfig,
        props: Props,
        _context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        let shared = shared(&config.name);
        Ok(Box::new(Splitter { props, shared, sink: true }))
    }

    async fn task(props: Props, context: SinkContext) -> Result<Box<dyn SinkTask>> {
        let config = TestConfig::parse(&props)?;
        Ok(Box::new(WaveringTask { shared: shared(&config.name), context, kept: Vec::new() }))
    }
}

struct WaveringTask {
    shared: Arc<Mutex<Shared>>,
    context: SinkContext,
    kept: Vec<SinkRecords>,
}

#[async_trait]
impl SinkTask for WaveringTask {
    async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        let is_slow = !records.is_empty() && lock(&self.shared).fault("slow").is_some();
        if is_slow {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if records.is_empty() && lock(&self.shared).fault("empty").is_some() {
            return Err(Error::data("the file cannot be written"));
        }
        let mut put = Vec::new();
        let (mut fails, mut kept) = (None, Vec::new());
        for run in records {
            for (row, offset) in run.offsets().iter().enumerate() {
                let value = run.records.value.value(row)?.to_string();
                match value.as_bytes().last() {
                    Some(b'3') if lock(&self.shared).faults.contains_key("late") => {
                        kept.push(run.slice(row, 1));
                        continue;
                    }
                    Some(b'5') => {
                        self.context.refuse(run, row, Error::data("five is refused"));
                        continue;
                    }
                    Some(b'7') => fails = Some(Error::data("seven is poison")),
                    Some(b'8') if fails.is_none() => {
                        let fault = lock(&self.shared).fault("put");
                        fails = fault.map(|_| Error::retriable("eight has to wait"));
                    }
                    _ => {}
                }
                put.push((run.topic_partition.clone(), *offset, value));
            }
        }
        if let Some(error) = fails {
            return Err(error);
        }
        self.kept.append(&mut kept);
        lock(&self.shared).events.push(Event::Put(0, put));
        Ok(())
    }

    fn puts_all_or_nothing(&self) -> bool {
        true
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        if self.kept.is_empty() {
            return Ok(consumed.clone());
        }
        let late = lock(&self.shared).fault("late");
        for record in self.kept.drain(..).filter(|_| late.is_some()) {
            let error = match late {
                Some(Fault::Retriable) => Error::retriable("three comes again"),
                _ => Error::data("three is refused"),
            };
            self.context.refuse(&record, 0, error);
        }
        match lock(&self.shared).fault("pre_commit") {
            None => Ok(consumed.clone()),
            Some(_) => Err(Error::retriable("not now")),
        }
    }
}

/// Starts one over so many records that end in 0 to 9.
async fn start(fixture: &Fixture, name: &str, count: i64) {
    fixture.source("all", "all", count, &[]).await;
    until("all", async || fixture.end_offset("all").await == count).await;
    sink(fixture, name).await;
}

async fn sink(fixture: &Fixture, name: &str) {
    let extra = letters(&[("connector.class", "WaveringSink")]);
    fixture.sink(name, "all", &extra).await;
}

async fn wait_for_commit(fixture: &Fixture, name: &str, offset: i64) {
    let group = format!("connect-{name}");
    until("a commit", async || fixture.committed(&group, "all").await == Some(offset)).await;
}

#[tokio::test]
async fn what_is_refused_by_the_last_commit_is_read_again() {
    let name = "refuses-last";
    let mut fixture = Fixture::start_without_timer().await;
    lock(&shared(name)).faults.insert("late", (1, Fault::Retriable));
    start(&fixture, name, 5).await;
    until("a put", async || lock(&shared(name)).put_values().len() == 4).await;
    fixture.stop_worker().await;
    assert_eq!(fixture.committed(&format!("connect-{name}"), "all").await, Some(3));
    lock(&shared(name)).faults.clear();
    fixture.start_worker().await;
    sink(&fixture, name).await;
    until("the rest", async || {
        let put: BTreeSet<_> = lock(&shared(name)).put_values().into_iter().collect();
        put.len() == 5
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_by_a_commit_that_fails_is_judged_once() {
    let name = "refuses-in-vain";
    let fixture = Fixture::start().await;
    lock(&shared(name)).faults.insert("late", (2, Fault::Fatal));
    lock(&shared(name)).faults.insert("pre_commit", (1, Fault::Retriable));
    start(&fixture, name, 5).await;
    wait_for_commit(&fixture, name, 5).await;
    assert_eq!(values(&fixture, "letters").await, ["all-0-3"]);
}

/// Nobody has a record that the task fails with, so that it is read again.
#[tokio::test]
async fn what_is_refused_and_not_tolerated_is_not_passed() {
    let name = "refuses-untolerated";
    let fixture = Fixture::start().await;
    lock(&shared(name)).faults.insert("late", (1, Fault::Fatal));
    fixture.source("all", "all", 5, &[]).await;
    until("all", async || fixture.end_offset("all").await == 5).await;
    fixture.sink(name, "all", &[("connector.class", "WaveringSink")]).await;
    fixture.wait_for_task(name, 0, State::Failed).await;
    let group = format!("connect-{name}");
    until("an end", async || fixture.committed(&group, "all").await.is_some()).await;
    assert_eq!(fixture.committed(&group, "all").await, Some(3));
}

#[tokio::test]
async fn the_failure_of_a_put_of_nothing_is_no_records_fault() {
    let name = "fails-empty";
    let fixture = Fixture::start().await;
    lock(&shared(name)).faults.insert("empty", (1, Fault::Fatal));
    start(&fixture, name, 5).await;
    fixture.wait_for_task(name, 0, State::Failed).await;
}

/// The batch fails with 7; the part before it is put, and refuses 5; then 8 has to wait.
#[tokio::test]
async fn what_a_part_of_a_batch_has_refused_is_not_forgotten_with_the_others() {
    let name = "refuses-a-part";
    let fixture = Fixture::start().await;
    lock(&shared(name)).faults.insert("put", (2, Fault::Retriable));
    start(&fixture, name, 20).await;
    wait_for_commit(&fixture, name, 20).await;
    let put: BTreeSet<_> = lock(&shared(name)).put_values().into_iter().collect();
    assert_eq!(put.len(), 16, "{put:?}");
    let mut dead = values(&fixture, "letters").await;
    dead.sort();
    assert_eq!(dead, ["all-0-15", "all-0-17", "all-0-5", "all-0-7"]);
}

/// Ten records of a hundred are poison: about sixty puts.
#[tokio::test]
async fn a_stop_ends_the_search_for_the_records_at_fault() {
    let name = "searches";
    let mut fixture = Fixture::start().await;
    lock(&shared(name)).faults.insert("slow", (1_000, Fault::Hang));
    start(&fixture, name, 100).await;
    let shared = shared(name);
    let left = |call: &str| lock(&shared).faults[call].0;
    until("a few puts", async || left("slow") <= 996).await;
    // The connector is stopped with its tasks.
    lock(&shared).faults.insert("connector-stop", (1, Fault::Retriable));
    let told = async {
        until("word of the stop", async || left("connector-stop") == 0).await;
        left("slow")
    };
    let (at_the_stop, ()) = tokio::join!(told, fixture.stop_worker());
    assert!(at_the_stop - left("slow") <= 1, "{} puts after it", at_the_stop - left("slow"));
    assert_eq!(fixture.committed(&format!("connect-{name}"), "all").await.unwrap_or(0), 0);
}

/// The consumer hears of its group meanwhile, and no record is put or buried twice.
#[tokio::test]
async fn a_long_search_is_gone_on_with() {
    let name = "searches-long";
    let fixture = Fixture::start().await;
    lock(&shared(name)).faults.insert("slow", (20, Fault::Hang));
    start(&fixture, name, 100).await;
    wait_for_commit(&fixture, name, 100).await;
    let put = lock(&shared(name)).put_values();
    let once: BTreeSet<_> = put.iter().cloned().collect();
    assert_eq!((put.len(), once.len()), (80, 80));
    assert_eq!(values(&fixture, "letters").await.len(), 20);
}
