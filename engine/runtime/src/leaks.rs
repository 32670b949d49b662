//! Decides which plugin is given up when the worker runs out of memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use millrace_api::Error;
use millrace_threads::processor::faults;
use tokio::runtime::Handle;

use crate::memory::resident;
use crate::plugin_runtime::{Jobs, Running};

/// Who touches less new memory than this between two looks takes part in what all do.
const LEAST_PAGES: u64 = 1024;

/// So many looks has one that was given up to end at an await; then its thread is held, where it is
/// the plugin's code that wants memory.
const GRACE: u32 = 5;

/// So many looks nobody else is blamed, should it neither end nor want memory.
const LONGEST: u32 = 50;

/// What runs, and its number.
type Listed = (u64, Arc<Running>);

/// Watches the memory of the process.
pub(crate) struct Leaks {
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
    pub(crate) fn new(limit: Option<usize>) -> Self {
        let (before, given_up) = (BTreeMap::new(), BTreeMap::new());
        Self { limit, floor: 0, before, given_up, handle: Handle::current() }
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
            && let Some(((number, job), pages)) = self.greediest(&all)
        {
            let error =
                Error::fatal("it takes more and more memory, and is given up for the others")
                    .context("callback", callback(job))
                    .context("pages since the last look", pages)
                    .context("bytes of the process", resident)
                    .context("plugin.memory.limit.bytes", limit)
                    .context(
                        "remedy",
                        "find out what it keeps; fewer tasks or smaller batches help",
                    );
            self.give_up(*number, job, error);
            // The next is not blamed for what this one has.
            self.floor = resident + limit / 16;
            self.before.clear();
        }
    }

    /// Who has touched most new memory since the last look, and how many pages: what it allocates
    /// and does not use is no memory yet.
    fn greediest<'a>(&mut self, all: &'a [Listed]) -> Option<(&'a Listed, u64)> {
        let touched = all.iter().map(|(number, job)| (*number, faults(job.thread())));
        let now: BTreeMap<u64, u64> = touched.collect();
        let grown = |(number, job): &Listed| {
            let before = self.before.get(number).filter(|_| !job.stands());
            before.map_or(0, |before| now[number].saturating_sub(*before))
        };
        let most = all.iter().map(|job| (job, grown(job))).max_by_key(|(_, grown)| *grown);
        let most = most.filter(|(_, grown)| *grown >= LEAST_PAGES);
        self.before = now;
        most
    }

    fn give_up(&mut self, number: u64, job: &Running, error: Error) {
        let whose = &job.activity.whose;
        tracing::error!("{whose}: {error}");
        // One that was given up before, as it did not stop, is nobody's any more.
        if !job.activity.fence.is_closed() {
            job.activity.fence.close();
            // First: who hears of the failure asks at once whether it keeps memory.
            job.mark_greedy();
            // Before it ends, which whoever waits for it hears of as well.
            job.fail(error);
            job.give_up();
        }
        job.restrain();
        let fence = job.activity.fence.clone();
        self.handle.spawn(async move { fence.settled().await });
        self.given_up.insert(number, GivenUp::default());
    }

    /// One that does not come to an await stands still where it wants more; not in the worker's own
    /// code, which may hold what others wait for.
    fn hold(&mut self, all: &[Listed]) {
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

/// Where it is now.
fn callback(job: &Running) -> String {
    let call = job.activity.seen(Instant::now()).call;
    call.map_or_else(|| "none: the worker's own code".to_owned(), |call| call.to_string())
}
