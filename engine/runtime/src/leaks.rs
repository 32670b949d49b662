//! Decides which plugin is given up when the worker runs out of memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use millrace_api::Error;
use tokio::runtime::Handle;

use crate::memory::resident;
use crate::plugin_runtime::{Jobs, Running};
use crate::processor::faults;
use crate::status::StatusStore;

/// Who touches less new memory than this between two looks takes part in what all do.
const LEAST_PAGES: u64 = 1024;

/// So many looks has one that was given up to end at an await; then its thread is held, where it is
/// the plugin's code that wants memory.
const GRACE: u32 = 5;

/// So many looks nobody else is blamed, should it neither end nor want memory.
const LONGEST: u32 = 50;

/// Watches the memory of the process.
pub(crate) struct Leaks {
    statuses: Arc<StatusStore>,
    /// How many bytes the process may have before somebody has to go; none: nobody looks.
    limit: Option<usize>,
    /// What is held by threads that stand still cannot be had back: the limit from there on.
    floor: usize,
    /// How much new memory each had touched at the last look.
    before: BTreeMap<u64, u64>,
    given_up: BTreeMap<u64, GivenUp>,
    /// Where those that were given up are taken out of their groups.
    handle: Handle,
}

#[derive(Default)]
struct GivenUp {
    looks: u32,
    is_held: bool,
}

impl Leaks {
    /// `limit` in bytes. Called within a runtime.
    pub(crate) fn new(statuses: Arc<StatusStore>, limit: Option<usize>) -> Self {
        let (before, given_up) = (BTreeMap::new(), BTreeMap::new());
        Self { statuses, limit, floor: 0, before, given_up, handle: Handle::current() }
    }

    /// Looks whether there is too much, and who takes it.
    pub(crate) fn look(&mut self, jobs: &Jobs) {
        let (Some(limit), Some(resident)) = (self.limit, resident()) else { return };
        if resident <= limit {
            self.floor = 0;
            self.before.clear();
            if self.given_up.is_empty() {
                return;
            }
        }
        let all = jobs.all();
        let ended = !self.given_up.is_empty();
        self.hold(&all);
        if !self.given_up.is_empty() || ended {
            // What it has taken until it ended is nobody else's.
            self.floor = resident + limit / 16;
            self.before.clear();
            return;
        }
        if resident > limit.max(self.floor)
            && let Some((number, job)) = self.greediest(&all)
        {
            self.give_up(*number, job, (resident, limit));
            // The next is not blamed for what this one has.
            self.floor = resident + limit / 16;
            self.before.clear();
        }
    }

    /// Who has touched most new memory since the last look: what it allocates and does not use is
    /// no memory yet.
    fn greediest<'a>(&mut self, all: &'a [(u64, Arc<Running>)]) -> Option<&'a (u64, Arc<Running>)> {
        let touched = all.iter().map(|(number, job)| (*number, faults(job.thread())));
        let now: BTreeMap<u64, u64> = touched.collect();
        let grown = |(number, job): &(u64, Arc<Running>)| {
            let before = self.before.get(number).filter(|_| !job.activity.fence.is_closed());
            before.map_or(0, |before| now[number].saturating_sub(*before))
        };
        let most = all.iter().max_by_key(|job| grown(job));
        let most = most.filter(|job| grown(job) >= LEAST_PAGES);
        self.before = now;
        most
    }

    fn give_up(&mut self, number: u64, job: &Running, (resident, limit): (usize, usize)) {
        let error = Error::fatal("it takes more and more memory, and is given up for the others")
            .context("bytes of the process", resident)
            .context("plugin.memory.limit.bytes", limit)
            .context("remedy", "find out what it keeps; fewer tasks or smaller batches need less");
        let whose = &job.activity.whose;
        tracing::error!("{whose}: {error}");
        job.give_up();
        let fence = job.activity.fence.clone();
        self.handle.spawn(async move { fence.settled().await });
        if !job.fail(&error) {
            self.statuses.fail(whose.connector(), whose.task(), error.trace());
        }
        self.given_up.insert(number, GivenUp::default());
    }

    /// One that does not come to an await stands still where it wants more; not in the worker's own
    /// code, which may hold what others wait for.
    fn hold(&mut self, all: &[(u64, Arc<Running>)]) {
        let now = Instant::now();
        self.given_up.retain(|number, given_up| {
            let Some((_, job)) = all.iter().find(|(n, _)| n == number) else { return false };
            given_up.looks += 1;
            let is_in_plugin = || job.activity.seen(now).call.is_some();
            if given_up.looks >= GRACE && !given_up.is_held && is_in_plugin() {
                given_up.is_held = true;
                tracing::error!("{} does not end: its thread is held", job.activity.whose);
                job.stop_in_allocator();
            }
            !job.stands() && given_up.looks < LONGEST
        });
    }
}
