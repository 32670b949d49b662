//! What every source must do: read everything in order, go on from any committed offset, wait
//! without blocking, and lose nothing when a poll is dropped.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::data::{Records, SourceRecords};
use millrace_api::{Plugin, Props, SourceTask};
use tokio::time::timeout;

use crate::plugin_host::{MemoryOffsets, connector, run, source_task};

/// One configured source, empty at first. Each check gets one of its own.
#[async_trait]
pub trait SourceFixture: Send + Sync {
    /// The source.
    fn plugin(&self) -> Plugin;
    /// Its configuration. A poll should give a few records only, so that there are several runs.
    fn props(&self) -> Props;
    /// Adds the records of these numbers; numbers come in order, each once.
    async fn add(&self, numbers: Range<usize>);
    /// The number of a record that was read.
    fn number(&self, records: &Records, row: usize) -> usize;
}

/// Makes a module of tests, one a check of [`source_suite`](mod@crate::source_suite):
/// `source_suite!(module_name, fixture)`.
#[macro_export]
macro_rules! source_suite {
    ($name:ident, $fixture:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "a fixture may be named by its full path")]
            use super::*;

            $crate::suite_checks! { source_suite, $fixture,
                everything_is_read_in_order
                reading_goes_on_from_any_committed_offset
                a_poll_without_news_is_empty
                a_dropped_poll_has_read_nothing
                a_task_stops_while_it_waits
                there_are_no_more_tasks_than_allowed
            }
        }
    };
}

/// How long a task may take to answer when there is nothing to read, or to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many polls in a row without a record mean that records are missing.
const EMPTY_POLLS: usize = 5;

async fn start(fixture: &impl SourceFixture, offsets: &Arc<MemoryOffsets>) -> Box<dyn SourceTask> {
    source_task(&fixture.plugin(), fixture.props(), offsets).await.expect("the source starts")
}

fn numbers(fixture: &impl SourceFixture, runs: &[SourceRecords]) -> Vec<usize> {
    let of_run = |run: &SourceRecords| {
        let records = &run.records;
        assert_eq!(records.key.len(), records.len(), "a key a record");
        assert!(!records.is_empty(), "a run is never empty");
        let number = |row| fixture.number(records, row);
        (0..records.len()).map(number).collect::<Vec<_>>()
    };
    runs.iter().flat_map(of_run).collect()
}

/// Polls until there are so many records, or none come any more.
async fn read(
    fixture: &impl SourceFixture,
    task: &mut dyn SourceTask,
    count: usize,
) -> Vec<SourceRecords> {
    let mut runs: Vec<SourceRecords> = Vec::new();
    let mut empty = 0;
    while numbers(fixture, &runs).len() < count && empty < EMPTY_POLLS {
        let polled = task.poll().await.expect("the source can be read");
        empty = if polled.is_empty() { empty + 1 } else { 0 };
        runs.extend(polled);
    }
    runs
}

/// Twice: what is added while the task runs comes after what was there.
pub fn everything_is_read_in_order(fixture: &impl SourceFixture) {
    run(async {
        let mut task = start(fixture, &MemoryOffsets::new()).await;
        for batch in [0..50, 50..80] {
            fixture.add(batch.clone()).await;
            let runs = read(fixture, &mut *task, batch.len()).await;
            assert_eq!(numbers(fixture, &runs), batch.collect::<Vec<_>>());
        }
        task.stop().await.expect("the task stops");
    });
}

/// A crash after any run, committed up to there: the next task reads all the others.
pub fn reading_goes_on_from_any_committed_offset(fixture: &impl SourceFixture) {
    const COUNT: usize = 40;
    run(async {
        fixture.add(0..COUNT).await;
        let offsets = MemoryOffsets::new();
        let mut task = start(fixture, &offsets).await;
        let runs = read(fixture, &mut *task, COUNT).await;
        drop(task);
        assert!(runs.len() > 1, "the fixture must give more than one run");
        for committed in 0..=runs.len() {
            if let Some(last) = committed.checked_sub(1) {
                offsets.commit(&runs[last]);
            }
            let mut expected = numbers(fixture, &runs[committed..]);
            let mut task = start(fixture, &offsets).await;
            let rest = read(fixture, &mut *task, expected.len()).await;
            let mut found = numbers(fixture, &rest);
            // Source partitions may take turns differently.
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "after {committed} runs");
            task.stop().await.expect("the task stops");
        }
    });
}

/// It comes back by itself, and sees what is added afterwards.
pub fn a_poll_without_news_is_empty(fixture: &impl SourceFixture) {
    run(async {
        let mut task = start(fixture, &MemoryOffsets::new()).await;
        for batch in [0..3, 3..6] {
            let polled = timeout(PATIENCE, task.poll()).await;
            let polled = polled.expect("a poll returns").expect("the source can be read");
            assert_eq!(numbers(fixture, &polled), [0_usize; 0]);
            fixture.add(batch.clone()).await;
            let runs = read(fixture, &mut *task, batch.len()).await;
            assert_eq!(numbers(fixture, &runs), batch.collect::<Vec<_>>());
        }
        task.stop().await.expect("the task stops");
    });
}

/// Polls are dropped after all sorts of times; nothing is lost, nothing comes twice.
pub fn a_dropped_poll_has_read_nothing(fixture: &impl SourceFixture) {
    const COUNT: usize = 120;
    run(async {
        let mut task = start(fixture, &MemoryOffsets::new()).await;
        let mut found = Vec::new();
        let (mut polls, mut empty) = (0_u64, 0);
        for batch in [0..COUNT / 2, COUNT / 2..COUNT] {
            if let Ok(polled) = timeout(Duration::from_millis(3), task.poll()).await {
                let polled = polled.expect("the source can be read");
                assert!(polled.is_empty(), "everything was read before");
            }
            fixture.add(batch.clone()).await;
            while found.len() < batch.end && empty < EMPTY_POLLS {
                polls += 1;
                // One in five may take as long as it wants, so that the test goes on.
                let patience = match polls % 5 {
                    0 => PATIENCE,
                    n => Duration::from_micros((n - 1) * polls % 700),
                };
                if let Ok(polled) = timeout(patience, task.poll()).await {
                    let polled = polled.expect("the source can be read");
                    empty = if polled.is_empty() { empty + 1 } else { 0 };
                    found.extend(numbers(fixture, &polled));
                }
            }
        }
        assert_eq!(found, (0..COUNT).collect::<Vec<_>>());
        task.stop().await.expect("the task stops");
    });
}

/// The worker drops the poll and calls `stop`, which must not wait for news.
pub fn a_task_stops_while_it_waits(fixture: &impl SourceFixture) {
    run(async {
        let mut task = start(fixture, &MemoryOffsets::new()).await;
        let _ = timeout(Duration::from_millis(30), task.poll()).await;
        let stopped = timeout(PATIENCE, task.stop()).await;
        stopped.expect("stop returns").expect("the task stops");
    });
}

/// `tasks.max` is a promise.
pub fn there_are_no_more_tasks_than_allowed(fixture: &impl SourceFixture) {
    run(async {
        fixture.add(0..4).await;
        let offsets = MemoryOffsets::new();
        let mut connector = connector(&fixture.plugin(), fixture.props(), &offsets)
            .await
            .expect("the connector starts");
        for tasks_max in 1..=4 {
            let configs = connector.task_configs(tasks_max).await.expect("it has tasks");
            assert!((1..=tasks_max).contains(&configs.len()), "{tasks_max}: {}", configs.len());
        }
        connector.stop().await.expect("the connector stops");
    });
}
