//! What every sink must do: hold what it says may be committed, whatever comes between: empty
//! puts, crashes, rebalances, nulls, a target that is away for a while.

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;
use millrace_api::data::{Column, Records, Schema, SinkRecords, Value};
use millrace_api::{Offsets, Plugin, Props, Result, SinkContext, SinkTask, TopicPartition};

use crate::plugin_host::{run, sink_task};

/// Numbers of partition 1 start here; in partition 0 a record's number is its offset.
const PARTITION_1: usize = 1000;

/// What a sink does with a record without value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstones {
    /// It takes them: stores, deletes by key, or leaves them out.
    Taken,
    /// It refuses them, with a message.
    Refused,
}

/// One configured sink with an empty target. Each check gets one of its own.
#[async_trait]
pub trait SinkFixture: Send + Sync {
    /// The sink.
    fn plugin(&self) -> Plugin;
    /// Its configuration. It should store after a few records, where it can choose.
    fn props(&self) -> Props;
    /// The values of the records of these numbers.
    fn values(&self, numbers: Range<usize>) -> Column {
        let text = |number| Value::from(&*format!("record {number}"));
        Column::from_values(Some(Schema::string(false)), numbers.map(text).collect())
    }
    /// The numbers of all records that others can see in the target, in its order.
    async fn stored(&self) -> Vec<usize>;
    /// What it does with records without value.
    fn tombstones(&self) -> Tombstones;
    /// Whether a record that comes again after a crash is stored once.
    fn stores_once(&self) -> bool {
        false
    }
    /// Makes the target fail until [`SinkFixture::mend_target`]; false when that cannot be had.
    async fn break_target(&self) -> bool {
        false
    }
    /// Undoes [`SinkFixture::break_target`].
    async fn mend_target(&self) {}
}

/// Makes a module of tests, one a check of [`sink_suite`](mod@crate::sink_suite):
/// `sink_suite!(module_name, fixture)`.
#[macro_export]
macro_rules! sink_suite {
    ($name:ident, $fixture:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "a fixture may be named by its full path")]
            use super::*;

            $crate::suite_checks! { sink_suite, $fixture,
                a_task_opens_closes_and_stops_without_records
                empty_puts_change_nothing
                what_is_committed_is_stored
                records_come_again_after_a_crash
                records_come_again_to_the_same_task
                a_partition_moves_away_and_back
                a_partition_is_lost
                tombstones_are_taken_or_refused
                keys_may_be_null_or_not
                a_broken_target_loses_nothing
            }
        }
    };
}

/// The worker's side: delivers records and remembers what was committed.
struct Driver<'a, F> {
    fixture: &'a F,
    task: Box<dyn SinkTask>,
    consumed: Offsets,
    committed: Offsets,
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("topic", number)
}

fn first_number(partition: &TopicPartition) -> usize {
    usize::try_from(partition.partition).expect("partitions count from 0") * PARTITION_1
}

async fn start(fixture: &impl SinkFixture) -> Box<dyn SinkTask> {
    sink_task(&fixture.plugin(), fixture.props(), SinkContext::new("suite", None))
        .await
        .expect("the sink starts")
}

impl<'a, F: SinkFixture> Driver<'a, F> {
    async fn start(fixture: &'a F, partitions: &[i32]) -> Self {
        let mut driver = Self {
            fixture,
            task: start(fixture).await,
            consumed: Offsets::new(),
            committed: Offsets::new(),
        };
        driver.open(partitions).await;
        driver
    }

    async fn open(&mut self, partitions: &[i32]) {
        let partitions: Vec<_> = partitions.iter().copied().map(partition).collect();
        self.task.open(&partitions).await.expect("partitions open");
    }

    async fn close(&mut self, number: i32) {
        let partition = partition(number);
        self.task.close(std::slice::from_ref(&partition)).await.expect("a partition closes");
        self.consumed.remove(&partition);
    }

    /// A new task in place of one that died with all it had in memory.
    async fn crash(&mut self, partitions: &[i32]) {
        self.task = start(self.fixture).await;
        self.consumed.clear();
        self.open(partitions).await;
    }

    fn records(&self, number: i32, offsets: Range<usize>) -> SinkRecords {
        let topic_partition = partition(number);
        let first = first_number(&topic_partition);
        let values = self.fixture.values(first + offsets.start..first + offsets.end);
        let mut records = Records::new("topic", values);
        records.partition = Some(number);
        records.timestamps = Some(vec![1_700_000_000_000; offsets.len()].into());
        records.offsets = Some(offsets.map(|o| o as i64).collect());
        SinkRecords::new(records, topic_partition)
    }

    async fn try_put(&mut self, batches: &[SinkRecords]) -> Result<()> {
        self.task.put(batches).await?;
        for batch in batches {
            let next = batch.offsets().last().expect("batches are not empty") + 1;
            self.consumed.insert(batch.topic_partition.clone(), next);
        }
        Ok(())
    }

    async fn put(&mut self, number: i32, offsets: Range<usize>) {
        let batch = self.records(number, offsets);
        self.try_put(&[batch]).await.expect("records are taken");
    }

    /// Commits what the task says, and checks that the target holds it.
    async fn commit(&mut self) {
        let offsets = self.task.pre_commit(&self.consumed).await.expect("commits work");
        for (partition, offset) in offsets {
            let consumed = self.consumed.get(&partition).copied().unwrap_or(0);
            let before = self.committed.insert(partition.clone(), offset).unwrap_or(0);
            assert!(offset <= consumed, "{partition}: {offset} committed of {consumed} put");
            assert!(offset >= before, "{partition}: {offset} committed after {before}");
        }
        self.check().await;
    }

    /// Puts one record after the other from the committed offset on until everything up to `end` is
    /// committed, as more records make a task that gathers them store what it has.
    async fn finish(&mut self, number: i32, end: usize) {
        let from = self.committed.get(&partition(number)).copied().unwrap_or(0);
        let mut next = usize::try_from(from).expect("offsets count from 0");
        let consumed = self.consumed.get(&partition(number)).copied().unwrap_or(from);
        next = next.max(usize::try_from(consumed).expect("offsets count from 0"));
        for offset in next..end + 100 {
            self.commit().await;
            if self.committed.get(&partition(number)).is_some_and(|&c| c >= end as i64) {
                return;
            }
            self.put(number, offset..offset + 1).await;
        }
        panic!("offset {end} is never committed, though 100 more records came");
    }

    async fn check(&self) {
        let stored = self.fixture.stored().await;
        let distinct: BTreeSet<usize> = stored.iter().copied().collect();
        for (partition, offset) in &self.committed {
            let first = first_number(partition);
            for number in first..first + usize::try_from(*offset).expect("offsets count from 0") {
                assert!(distinct.contains(&number), "record {number} is committed, not stored");
            }
        }
        if self.fixture.stores_once() {
            assert_eq!(distinct.len(), stored.len(), "a record is stored twice: {stored:?}");
        }
    }

    async fn stop(mut self) {
        self.task.stop().await.expect("the task stops");
        self.check().await;
    }
}

/// A task without records leaves nothing behind.
pub fn a_task_opens_closes_and_stops_without_records(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[0, 1]).await;
        driver.commit().await;
        driver.close(0).await;
        driver.close(1).await;
        driver.stop().await;
        assert_eq!(fixture.stored().await, [0_usize; 0]);
    });
}

/// The worker calls `put` in every loop, records or not, before `open` too.
pub fn empty_puts_change_nothing(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[]).await;
        driver.try_put(&[]).await.expect("nothing is taken");
        driver.open(&[0]).await;
        for offsets in [0..1, 1..20] {
            driver.try_put(&[]).await.expect("nothing is taken");
            driver.put(0, offsets).await;
            driver.try_put(&[]).await.expect("nothing is taken");
            driver.commit().await;
        }
        driver.finish(0, 20).await;
        driver.stop().await;
    });
}

/// Runs of all lengths, two partitions in one put.
pub fn what_is_committed_is_stored(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[0, 1]).await;
        let mut next = 0;
        for length in [1, 2, 40, 3, 17, 100] {
            let end = next + length;
            let batches = [driver.records(0, next..end), driver.records(1, next..end)];
            driver.try_put(&batches).await.expect("records are taken");
            driver.commit().await;
            next = end;
        }
        driver.finish(0, next).await;
        driver.finish(1, next).await;
        driver.stop().await;
    });
}

/// A task dies; its successor gets everything from the last commit on.
pub fn records_come_again_after_a_crash(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[0]).await;
        for end in [5, 30, 43] {
            let from = driver.committed.get(&partition(0)).copied().unwrap_or(0) as usize;
            driver.put(0, from..end).await;
            if end != 30 {
                driver.commit().await;
            }
            let from = driver.committed.get(&partition(0)).copied().unwrap_or(0) as usize;
            driver.crash(&[0]).await;
            if from < end {
                driver.put(0, from..end).await;
            }
        }
        driver.finish(0, 43).await;
        driver.stop().await;
    });
}

/// A commit failed, so the worker goes back without closing anything.
pub fn records_come_again_to_the_same_task(fixture: &impl SinkFixture) {
    if fixture.stores_once() {
        // Such a sink asks for what it wants again; it cannot be told otherwise.
        return;
    }
    run(async {
        let mut driver = Driver::start(fixture, &[0]).await;
        driver.put(0, 0..10).await;
        driver.put(0, 0..10).await;
        driver.put(0, 10..25).await;
        driver.finish(0, 25).await;
        driver.stop().await;
    });
}

/// A rebalance in the middle: one partition is committed, closed, and comes back later.
pub fn a_partition_moves_away_and_back(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[0, 1]).await;
        driver.put(0, 0..7).await;
        driver.put(1, 0..7).await;
        driver.commit().await;
        driver.close(0).await;
        driver.put(1, 7..30).await;
        driver.commit().await;
        driver.open(&[0]).await;
        let from = driver.committed.get(&partition(0)).copied().unwrap_or(0) as usize;
        driver.put(0, from..20).await;
        driver.finish(0, 20).await;
        driver.finish(1, 30).await;
        driver.stop().await;
    });
}

/// A rebalance that came too late: the partition is closed without a commit.
pub fn a_partition_is_lost(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[0, 1]).await;
        driver.put(0, 0..7).await;
        driver.put(1, 0..7).await;
        driver.close(0).await;
        driver.put(1, 7..9).await;
        driver.commit().await;
        driver.open(&[0]).await;
        driver.put(0, 0..20).await;
        driver.finish(0, 20).await;
        driver.finish(1, 9).await;
        driver.stop().await;
    });
}

/// Records without value, with and without a schema, at the beginning, alone and between others.
pub fn tombstones_are_taken_or_refused(fixture: &impl SinkFixture) {
    run(async {
        let nulls = |rows| vec![Value::Null; rows];
        let columns = [
            Column::nulls(3),
            Column::from_values(Some(Schema::string(true)), nulls(3)),
            Column::from_values(Some(Schema::string(true)), nulls(30)),
        ];
        for column in columns {
            let mut driver = Driver::start(fixture, &[0]).await;
            driver.put(0, 0..3).await;
            let rows = column.len();
            let mut batch = driver.records(0, 3..3 + rows);
            batch.records.value = column;
            batch.records.key = keys(rows);
            let taken = driver.try_put(&[batch]).await;
            match (taken, fixture.tombstones()) {
                (Ok(()), Tombstones::Taken) => {
                    driver.put(0, 3 + rows..6 + rows).await;
                    let offsets = driver.task.pre_commit(&driver.consumed).await;
                    offsets.expect("commits work");
                }
                (Err(e), Tombstones::Refused) => assert!(!e.message().is_empty(), "{e:?}"),
                (taken, expected) => panic!("tombstones: {expected:?} expected, got {taken:?}"),
            }
            driver.task.stop().await.expect("the task stops");
        }
    });
}

fn keys(rows: usize) -> Column {
    let text = |row| Value::from(&*format!("key {row}"));
    Column::from_values(Some(Schema::string(true)), (0..rows).map(text).collect())
}

/// Runs without keys, with keys, and with both kinds.
pub fn keys_may_be_null_or_not(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[0]).await;
        driver.put(0, 0..20).await;
        let mut batch = driver.records(0, 20..40);
        batch.records.key = keys(20);
        driver.try_put(&[batch]).await.expect("records with keys are taken");
        let mut batch = driver.records(0, 40..43);
        let mixed = vec![Value::from("key"), Value::Null, Value::Null];
        batch.records.key = Column::from_values(Some(Schema::string(true)), mixed);
        driver.try_put(&[batch]).await.expect("records with keys are taken");
        driver.finish(0, 43).await;
        driver.stop().await;
    });
}

/// A retriable error brings the same records to the same task, any other to the next one.
pub fn a_broken_target_loses_nothing(fixture: &impl SinkFixture) {
    run(async {
        let mut driver = Driver::start(fixture, &[0]).await;
        driver.put(0, 0..5).await;
        driver.commit().await;
        if !fixture.break_target().await {
            return;
        }
        let batch = [driver.records(0, 5..25)];
        let error = match driver.try_put(&batch).await {
            Err(error) => Some(error),
            Ok(()) => driver.task.pre_commit(&driver.consumed).await.err(),
        };
        let error = error.expect("a broken target is an error, in put or in pre_commit");
        assert!(!error.message().is_empty(), "{error:?}");
        fixture.mend_target().await;
        if !error.is_retriable() {
            driver.crash(&[0]).await;
        }
        let from = driver.committed.get(&partition(0)).copied().unwrap_or(0) as usize;
        driver.put(0, from..25).await;
        driver.finish(0, 25).await;
        driver.stop().await;
    });
}
