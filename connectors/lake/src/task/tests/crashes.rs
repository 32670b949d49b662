//! What a crash or an error leaves: the same files as if nothing had happened.

use std::collections::BTreeMap;
use std::io::ErrorKind as Io;

use super::*;

/// The files of a run that nothing disturbs.
async fn undisturbed(lake: &Lake, batches: &[SinkRecords]) -> BTreeMap<String, Vec<i64>> {
    let calm = Lake { directory: tempfile::tempdir().unwrap(), ..Lake::new(&[]) };
    let url = format!("file://{}", calm.directory.path().display());
    let mut props = lake.props.clone();
    props.insert("store.url".into(), url);
    let calm = Lake { props, ..calm };
    let mut task = calm.task().await;
    for batch in batches {
        task.put(std::slice::from_ref(batch)).await.unwrap();
    }
    calm.files()
}

/// Puts batches and commits after each, as the worker would; at an error or after so many calls the
/// task is gone without a word, and another takes over from what was committed.
struct Crashing<'a> {
    lake: &'a Lake,
    committed: i64,
}

impl Crashing<'_> {
    async fn go(&mut self, task: &mut LakeSinkTask, batches: &[SinkRecords], mut calls: usize) {
        let mut consumed = self.committed;
        for batch in batches {
            let records = &batch.records;
            let from = batch.offsets().partition_point(|o| *o < self.committed);
            if from == records.len() {
                continue;
            }
            let mut rest = batch.clone();
            rest.records = records.slice(from, records.len() - from);
            for call in ["put", "pre_commit"] {
                if calls == 0 {
                    return;
                }
                calls -= 1;
                if call == "put" {
                    let put = task.put(std::slice::from_ref(&rest)).await;
                    if put.is_ok() {
                        consumed = rest.offsets().last().unwrap() + 1;
                    }
                    // The worker commits once more when a task fails.
                    if put.is_err() {
                        self.commit(task, consumed).await;
                        return;
                    }
                } else {
                    self.commit(task, consumed).await;
                }
            }
        }
    }

    async fn commit(&mut self, task: &mut LakeSinkTask, consumed: i64) {
        if let Some(safe) = committed(task, consumed).await {
            assert!(safe >= self.committed, "commits go forward");
            assert!(safe <= consumed, "and not past what was put");
            self.committed = safe;
        }
    }

    async fn finish(&mut self, batches: &[SinkRecords]) {
        let mut task = self.lake.task().await;
        self.go(&mut task, batches, usize::MAX).await;
    }
}

fn batches() -> Vec<SinkRecords> {
    let other = id_schema().to_builder().version(2).build();
    vec![
        run(0..3),
        run(3..9),
        run(9..10),
        run_of(&orders(), &other, &[10, 11, 12, 13, 14, 15]),
        run_of(&orders(), &other, &[17]),
        run(20..29),
    ]
}

#[tokio::test]
async fn a_crash_between_any_two_calls_changes_nothing() {
    let mut calls = 0;
    loop {
        let lake = Lake::new(&[]);
        let mut crashing = Crashing { lake: &lake, committed: 0 };
        let mut task = lake.task().await;
        crashing.go(&mut task, &batches(), calls).await;
        drop(task);
        crashing.finish(&batches()).await;
        assert_eq!(lake.files(), undisturbed(&lake, &batches()).await, "after {calls} calls");
        calls += 1;
        if calls > 2 * batches().len() {
            return;
        }
    }
}

#[tokio::test]
async fn an_error_at_any_step_at_the_store_changes_nothing() {
    for format in ["parquet", "json"] {
        let mut step = 0;
        loop {
            let lake = Lake::new(&[("format.class", format)]);
            let mut crashing = Crashing { lake: &lake, committed: 0 };
            let mut task = lake.task().await;
            task.out.store.faults.at(step, Io::StorageFull);
            let batches = if format == "json" { json_batches() } else { batches() };
            crashing.go(&mut task, &batches, usize::MAX).await;
            let steps = task.out.store.faults.steps();
            assert_eq!(lake.unfinished(), 0, "nothing lies about after an error");
            drop(task);
            crashing.finish(&batches).await;
            let expected = undisturbed(&lake, &batches).await;
            assert_eq!(lake.files(), expected, "{format}, step {step} went wrong");
            if step >= steps {
                break;
            }
            step += 1;
        }
    }
}

fn json_batches() -> Vec<SinkRecords> {
    let batch = |ids: std::ops::Range<i64>| {
        let texts: Vec<_> = ids.clone().map(|id| id.to_string()).collect();
        let column = Column::Json(texts.iter().map(|t| Some(t.as_str())).collect());
        put_together(&orders(), column, &ids.collect::<Vec<_>>())
    };
    vec![batch(0..3), batch(3..4), batch(4..11), batch(11..13)]
}
