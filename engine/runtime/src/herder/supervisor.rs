//! Decides whether, and when, what has failed is restarted by itself (`errors.restart.*`).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_api::{Error, ErrorKind, Result};
use serde::Serialize;
use tokio::time::Instant;

use crate::config::restart::{RestartPolicy, Which};
use crate::failure::{Failure, RecordPlace};
use crate::metrics::ErrorClass;

/// The window of `errors.restart.max.per.hour`.
const HOUR: Duration = Duration::from_secs(3600);
/// After so long it is looked again whether a last run has given its memory back.
const HOLD: Duration = Duration::from_secs(1);
/// Failures that are remembered of a connector or task.
const HISTORY: usize = 20;

/// One failure, as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PastFailure {
    /// When, in milliseconds since 1970.
    pub failed_at: u64,
    /// `transient`, `data`, `config` or `bug`.
    pub class: &'static str,
    /// What went wrong.
    pub error: String,
    /// The record it was about, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordPlace>,
    /// When it was restarted, if it was, in milliseconds since 1970.
    pub restarted_at: Option<u64>,
    /// Whether that happened by itself.
    pub by_itself: bool,
}

/// A record at which a task has failed again and again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Obstacle {
    /// The record.
    pub record: RecordPlace,
    /// How often in a row.
    pub failures: u32,
}

/// The restarts of a connector itself, or of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartRestarts {
    /// The task's number; none for the connector itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<usize>,
    /// Whether its last run was given up for its memory and has not ended: before that it is not
    /// restarted by itself.
    pub keeps_memory: bool,
    /// In how many milliseconds it is restarted by itself; none when it is not.
    pub restarts_in_ms: Option<u64>,
    /// How often it was restarted by itself in the last hour.
    pub restarts_in_last_hour: usize,
    /// The record that keeps it from going on, if it is always the same.
    pub obstacle: Option<Obstacle>,
    /// The last failures, the oldest first.
    pub failures: Vec<PastFailure>,
}

/// What a connector's supervisor knows: `GET /ext/v1/connectors/C/restarts`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Restarts {
    /// The connector's name.
    pub name: String,
    /// `errors.restart.policy`
    pub policy: &'static str,
    /// `errors.restart.max.per.hour`
    pub max_per_hour: usize,
    /// The connector itself, then its tasks: those that have ever failed.
    pub parts: Vec<PartRestarts>,
}

/// The connector itself, or a task by its number.
pub(crate) type PartId = Option<usize>;

#[derive(Default)]
struct Part {
    /// The restarts of the last hour.
    attempts: VecDeque<Instant>,
    /// Failures that each came soon after a restart.
    in_a_row: u32,
    due: Option<Instant>,
    obstacle: Option<Obstacle>,
    failures: VecDeque<PastFailure>,
    /// Whether it is failed now.
    is_failed: bool,
}

impl Part {
    fn forget_old_attempts(&mut self, now: Instant) {
        self.attempts.retain(|attempt| now.duration_since(*attempt) < HOUR);
    }

    fn restarted(&mut self, by_itself: bool) {
        (self.due, self.is_failed) = (None, false);
        if let Some(last) = self.failures.back_mut() {
            (last.restarted_at, last.by_itself) = (Some(unix_millis()), by_itself);
        }
    }
}

/// Looks after one connector and its tasks.
pub(crate) struct Supervisor {
    name: String,
    policy: RestartPolicy,
    /// Nothing is restarted meanwhile.
    is_resting: bool,
    keeps_memory: KeepsMemory,
    parts: BTreeMap<PartId, Part>,
}

type KeepsMemory = Box<dyn Fn(PartId) -> bool + Send>;

impl Supervisor {
    /// `keeps_memory` says of what has failed whether its last run was given up for its memory and
    /// has not ended: another would take as much again.
    pub(crate) fn new(name: &str, keeps_memory: impl Fn(PartId) -> bool + Send + 'static) -> Self {
        Self {
            name: name.to_owned(),
            policy: RestartPolicy::default(),
            is_resting: false,
            keeps_memory: Box::new(keeps_memory),
            parts: BTreeMap::new(),
        }
    }

    /// A new configuration begins anew.
    pub(crate) fn configure(&mut self, policy: RestartPolicy) {
        self.policy = policy;
        self.begin_anew();
    }

    /// What has failed before does not matter any more.
    pub(crate) fn begin_anew(&mut self) {
        self.parts.clear();
    }

    /// While a connector rests nothing is restarted.
    pub(crate) fn rest(&mut self, is_resting: bool) {
        self.is_resting = is_resting;
    }

    /// These tasks are others now, of which there are so many: that the last ones had failed is no
    /// reason to restart them, nor an obstacle of theirs.
    pub(crate) fn replaced(&mut self, tasks: &[usize], count: usize) {
        self.parts.retain(|part, _| part.is_none_or(|task| task < count));
        for task in tasks {
            if let Some(part) = self.parts.get_mut(&Some(*task)).filter(|part| part.is_failed) {
                part.restarted(false);
            }
        }
    }

    /// Something has failed. The answer is whether it will be restarted.
    pub(crate) fn failed(&mut self, part: PartId, failure: Failure, now: Instant) -> bool {
        let policy = self.policy;
        let restarts = match policy.which {
            Which::Off => false,
            Which::Transient => failure.class == ErrorClass::Transient,
            Which::Always => true,
        };
        let known = self.parts.entry(part).or_default();
        known.is_failed = true;
        known.obstacle = failure.record.clone().map(|record| {
            let before = known.obstacle.take().filter(|before| before.record == record);
            Obstacle { record, failures: before.map_or(0, |before| before.failures) + 1 }
        });
        if known.failures.len() == HISTORY {
            known.failures.pop_front();
        }
        known.failures.push_back(PastFailure {
            failed_at: unix_millis(),
            class: failure.class.name(),
            error: failure.words,
            record: failure.record,
            restarted_at: None,
            by_itself: false,
        });
        known.forget_old_attempts(now);
        // One that has worked for longer than the longest wait has recovered from what was before.
        let settled = policy.longest.max(policy.backoff) * 2;
        let soon = known.attempts.back().is_some_and(|last| now.duration_since(*last) < settled);
        known.in_a_row = if soon { known.in_a_row.saturating_add(1) } else { 0 };
        known.due = restarts.then(|| {
            let times = 1u32.checked_shl(known.in_a_row).unwrap_or(u32::MAX);
            let wait = policy.backoff.saturating_mul(times).min(policy.longest);
            let due = now + spread(wait, &self.name, part);
            let full = known.attempts.len() >= policy.per_hour;
            let free = known.attempts.front().filter(|_| full).map(|first| *first + HOUR);
            free.map_or(due, |free| free.max(due))
        });
        restarts
    }

    /// When something is to be restarted next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let due = self.parts.values().filter_map(|part| part.due).min();
        due.filter(|_| !self.is_resting)
    }

    /// What is to be restarted now, and counts as restarted from here on. A connector goes before
    /// its tasks, which it may replace; what [keeps memory](Self::new) waits.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<PartId> {
        let mut due = Vec::new();
        for (id, part) in &mut self.parts {
            if !self.is_resting && part.due.is_some_and(|at| at <= now) {
                if (self.keeps_memory)(*id) {
                    part.due = Some(now + HOLD);
                    continue;
                }
                part.attempts.push_back(now);
                part.restarted(true);
                match id {
                    Some(task) => tracing::info!("restarting task {}-{task}", self.name),
                    None => tracing::info!("restarting connector {}", self.name),
                }
                due.push(*id);
                if id.is_none() {
                    break;
                }
            }
        }
        due
    }

    /// Somebody has restarted it: what happened before does not count, but for the record at which
    /// it fails.
    pub(crate) fn restarted_by_hand(&mut self, part: PartId) {
        if let Some(part) = self.parts.get_mut(&part) {
            part.attempts.clear();
            part.in_a_row = 0;
            if part.is_failed {
                part.restarted(false);
            }
        }
    }

    /// Why a task has failed at a record. `Conflict` unless it is failed now, and there.
    pub(crate) fn obstacle(&self, task: usize, record: &RecordPlace) -> Result<String> {
        let part = self.parts.get(&Some(task)).filter(|part| part.is_failed);
        let last = part.and_then(|part| part.failures.back());
        match last.and_then(|last| Some((last.record.as_ref()?, &last.error))) {
            Some((at, why)) if at == record => Ok(why.clone()),
            at => {
                let error = Error::new(
                    ErrorKind::Conflict,
                    format!("task {}-{task} has not failed at this record", self.name),
                );
                let error = error.context("record", record);
                Err(match at {
                    Some((at, _)) => error.context("it has failed at", at),
                    None => error,
                })
            }
        }
    }

    /// What is to be added to the trace of what has failed.
    pub(crate) fn remark(&self, part: PartId, now: Instant) -> Option<String> {
        let known = self.parts.get(&part).filter(|part| part.is_failed)?;
        let mut lines = Vec::new();
        let path = match part {
            Some(task) => format!("/connectors/{}/tasks/{task}/restart", self.name),
            None => format!("/connectors/{}/restart", self.name),
        };
        if (self.keeps_memory)(part) {
            let waits = match known.due {
                Some(_) => {
                    ", and Millrace does not restart it by itself before that thread has ended"
                }
                None => "",
            };
            lines.push(format!(
                "The thread of its last run keeps the memory it has taken (GET /ext/v1/hung; one \
                 that stands does so until the worker is restarted){waits}. Mend the cause, then \
                 POST {path} restarts it beside that thread"
            ));
        } else if let Some(due) = known.due {
            let attempt = known.attempts.len().min(self.policy.per_hour - 1) + 1;
            let when = match self.is_resting {
                true => "once it is resumed".to_owned(),
                false => format!("in {} s", due.saturating_duration_since(now).as_secs()),
            };
            lines.push(format!(
                "Millrace restarts it by itself {when} (attempt {attempt} of {} within an hour; \
                 errors.restart.policy={})",
                self.policy.per_hour,
                self.policy.name()
            ));
            if known.attempts.len() >= self.policy.per_hour {
                lines.push(format!(
                    "It was restarted as often as errors.restart.max.per.hour allows: mend the \
                     cause, then POST {path} restarts it at once"
                ));
            }
        }
        if let (Some(task), Some(Obstacle { record, failures })) = (part, &known.obstacle)
            && *failures > 1
        {
            let way_out = match record {
                RecordPlace::Topic { .. } => format!(
                    "POST /ext/v1/connectors/{}/tasks/{task}/skip with {} skips it",
                    self.name,
                    serde_json::to_string(record).unwrap_or_default()
                ),
                RecordPlace::Source { .. } => {
                    "mend it in the source, or have such records skipped by errors.tolerance=all"
                        .to_owned()
                }
            };
            lines.push(format!("It has failed {failures} times at {record}: {way_out}"));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    pub(crate) fn restarts(&self, now: Instant) -> Restarts {
        let in_ms = |due: Instant| {
            u64::try_from(due.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX)
        };
        let part = |(id, part): (&PartId, &Part)| {
            let keeps_memory = part.is_failed && (self.keeps_memory)(*id);
            let due = part.due.filter(|_| !self.is_resting && !keeps_memory);
            PartRestarts {
                task: *id,
                keeps_memory,
                restarts_in_ms: due.map(in_ms),
                restarts_in_last_hour: part
                    .attempts
                    .iter()
                    .filter(|attempt| now.duration_since(**attempt) < HOUR)
                    .count(),
                obstacle: part.obstacle.clone(),
                failures: part.failures.iter().cloned().collect(),
            }
        };
        Restarts {
            name: self.name.clone(),
            policy: self.policy.name(),
            max_per_hour: self.policy.per_hour,
            parts: self.parts.iter().map(part).collect(),
        }
    }
}

/// Up to a tenth less: what failed together need not come back together.
fn spread(wait: Duration, name: &str, part: PartId) -> Duration {
    let letters = name.bytes().map(u32::from).fold(0u32, |sum, b| sum.wrapping_mul(31) + b % 31);
    let number = part.map_or(0, |task| u32::try_from(task % 64).unwrap_or(0) + 1);
    let share = (letters.wrapping_add(number.wrapping_mul(37))) % 64;
    wait - wait / 640 * share
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
