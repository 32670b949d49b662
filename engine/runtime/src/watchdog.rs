//! Finds plugins that do not return, says so, and keeps them from taking the processor from others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use millrace_api::{Error, Result};
use millrace_threads::processor::{Doing, doing};
use serde::Serialize;

use crate::activity::Seen;
use crate::leaks::Leaks;
use crate::plugin_runtime::{Jobs, Running};
use crate::status::StatusStore;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How often memory is looked at: a loop that allocates takes a gigabyte in a second.
const LOOK_AT_MEMORY: Duration = Duration::from_millis(100);

/// A plugin that does not return.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hung {
    /// The connector's name.
    pub connector: String,
    /// The task's number; none for the connector itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<usize>,
    /// The callback it is in; none in the worker's own code.
    pub callback: Option<String>,
    /// For how many seconds nothing was heard of it.
    pub seconds: u64,
    /// What its thread does: `sleeps`, `computes`, `waits` where it can be stopped, or `stands`
    /// where it is held for having taken too much memory.
    pub thread: &'static str,
    /// Whether nobody waits for it any more: what it writes is refused.
    pub given_up: bool,
}

impl Hung {
    fn new(job: &Running, seen: &Seen, now: Instant) -> Self {
        let whose = &job.activity.whose;
        Self {
            connector: whose.connector().to_owned(),
            task: whose.task(),
            callback: seen.call.map(|call| call.to_string()),
            seconds: seen.silence(now).as_secs(),
            thread: match seen.held.map(|(thread, _)| doing(thread)) {
                _ if job.stands() => "stands",
                None => "waits",
                Some(Doing::Computes) => "computes",
                Some(Doing::Sleeps | Doing::Unknown) => "sleeps",
            },
            given_up: job.activity.fence.is_closed(),
        }
    }
}

impl fmt::Display for Hung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.callback.as_deref().unwrap_or("the worker's own code");
        write!(f, "has not returned from {place} for {} s: ", self.seconds)?;
        f.write_str(match self.thread {
            "computes" => "its thread computes, where no other wants to",
            "stands" => "its thread is held, since it wanted too much memory",
            "waits" => "it waits for something, and can be stopped",
            _ => "its thread is blocked",
        })
    }
}

/// What does not return for so long, and what was given up and is still there.
pub(crate) fn hung(jobs: &Jobs, least: Duration) -> Vec<Hung> {
    let now = Instant::now();
    let all = jobs.all().into_iter();
    let hung = all.filter_map(|(_, job)| {
        let seen = job.activity.seen(now);
        let is_hung = seen.silence(now) >= least || job.activity.fence.is_closed();
        is_hung.then(|| Hung::new(&job, &seen, now))
    });
    hung.collect()
}

/// Looks after all plugins, for as long as there is a runtime of theirs. Called within a runtime.
pub(crate) fn watch(
    jobs: &Arc<Jobs>,
    statuses: Arc<StatusStore>,
    report_after: Duration,
    memory: Option<usize>,
) -> Result<()> {
    let jobs = Arc::downgrade(jobs);
    let mut leaks = Leaks::new(memory);
    let mut watchdog = Watchdog { statuses, report_after, told: BTreeMap::new() };
    let often = LOOK.min(report_after / 4);
    let mut last = Instant::now();
    let watching = move || {
        while let Some(jobs) = Weak::upgrade(&jobs) {
            leaks.look(&jobs);
            if last.elapsed() >= often {
                last = Instant::now();
                watchdog.look(&jobs);
            }
            drop(jobs);
            thread::park_timeout(LOOK_AT_MEMORY.min(often));
        }
    };
    let started = thread::Builder::new().name("watchdog".into()).spawn(watching);
    started.map(drop).map_err(|e| Error::fatal("cannot start threads").with_source(e))
}

struct Watchdog {
    statuses: Arc<StatusStore>,
    report_after: Duration,
    /// After which silence to tell again.
    told: BTreeMap<u64, Duration>,
}

impl Watchdog {
    fn look(&mut self, jobs: &Jobs) {
        let now = Instant::now();
        let all = jobs.all();
        self.told.retain(|number, _| all.iter().any(|(n, _)| n == number));
        for (number, job) in all {
            let seen = job.activity.seen(now);
            let silence = seen.silence(now);
            if let Some((thread, held)) = seen.held
                && (held >= self.report_after / 3 || job.activity.fence.is_closed())
                && doing(thread) == Doing::Computes
            {
                job.restrain();
            }
            if silence >= self.report_after {
                self.tell(number, &job, Hung::new(&job, &seen, now), silence);
            } else if self.told.remove(&number).is_some() {
                tracing::info!("{} goes on", job.activity.whose);
                self.show(&job, None);
            }
        }
    }

    /// Says it at first, then ever more rarely.
    fn tell(&mut self, number: u64, job: &Running, hung: Hung, silence: Duration) {
        let next = self.told.entry(number).or_insert(self.report_after);
        let whose = &job.activity.whose;
        if silence >= *next {
            *next = silence.saturating_mul(2);
            match hung.given_up {
                true => tracing::warn!("{whose} was given up, and {hung}"),
                false => tracing::warn!("{whose} {hung}"),
            }
        }
        self.show(job, Some(format!("{whose} {hung}")));
    }

    /// In the status, unless that is its successor's by now.
    fn show(&self, job: &Running, trace: Option<String>) {
        let whose = &job.activity.whose;
        if !job.activity.fence.is_closed() {
            self.statuses.remark(whose.connector(), whose.task(), trace);
        }
    }
}
