//! Decides how much memory records may take: one budget for the process, with an equal share for
//! each task that runs. Clients fetch no more than their task's share allows, and a sink that has
//! used up its own fetches nothing until something of it is done with.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use millrace_kafka::Footprint;
use serde::Serialize;

use crate::task::TaskId;

/// Where there is no limit to be found.
const UNKNOWN: usize = 2 << 30;

/// Where records are that a task's loop holds. Its clients tell of theirs themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Fetched, and waiting for converters that ask others.
    Waiting,
    /// On their way through converters and transformations, or in put: by the size they had in
    /// Kafka.
    Putting,
    /// Kept as they came, in case a record is refused.
    Originals,
    /// Serialized, and offered to the producer.
    Sending,
}

impl Place {
    pub(crate) const ALL: [Self; 4] =
        [Self::Waiting, Self::Putting, Self::Originals, Self::Sending];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Putting => "putting",
            Self::Originals => "originals",
            Self::Sending => "sending",
        }
    }
}

/// What a Kafka client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Consumer,
    Producer,
}

/// A Kafka client of a task.
#[derive(Clone, Debug)]
pub(crate) struct TaskClient {
    pub(crate) kind: ClientKind,
    /// `client.id`
    pub(crate) id: String,
    pub(crate) footprint: Arc<Footprint>,
    pub(crate) start: SystemTime,
}

/// What all tasks may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
    source: &'static str,
    shares: Mutex<Vec<Weak<Share>>>,
}

/// What one task may hold, and does.
#[derive(Debug)]
pub(crate) struct Share {
    id: TaskId,
    budget: Arc<Budget>,
    allowed: AtomicUsize,
    has_ended: AtomicBool,
    places: [AtomicUsize; Place::ALL.len()],
    clients: Mutex<Vec<TaskClient>>,
}

impl Budget {
    /// A budget of so many bytes; none: half of what the process may have.
    pub(crate) fn new(bytes: Option<usize>) -> Arc<Self> {
        let (bytes, source) = match bytes {
            Some(bytes) => (bytes, "memory.budget.bytes"),
            None => half_of_memory(),
        };
        Arc::new(Self { bytes, source, shares: Mutex::default() })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Share>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of a task that begins. The others' become smaller.
    pub(crate) fn share(self: &Arc<Self>, id: &TaskId) -> Arc<Share> {
        let share = Arc::new(Share {
            id: id.clone(),
            budget: Arc::clone(self),
            allowed: AtomicUsize::new(0),
            has_ended: AtomicBool::new(false),
            places: Default::default(),
            clients: Mutex::default(),
        });
        self.lock().push(Arc::downgrade(&share));
        self.divide();
        share
    }

    /// Collected first: a share that ends where the lock is held would wait for it.
    fn all(&self) -> Vec<Arc<Share>> {
        let mut shares = self.lock();
        shares.retain(|share| share.strong_count() > 0);
        shares.iter().filter_map(Weak::upgrade).collect()
    }

    /// The shares of all tasks that hold something or may: one that did not stop, was given up and
    /// hangs is among them. What the thread of one that has failed keeps is nobody's.
    pub(crate) fn shares(&self) -> Vec<Arc<Share>> {
        let mut shares = self.all();
        shares.retain(|share| !share.has_ended());
        shares.sort_by(|a, b| a.id.cmp(&b.id));
        shares
    }

    fn divide(&self) {
        // Let go of after the lock: the last of its kind divides anew.
        let all: Vec<Arc<Share>>;
        let shares = self.lock();
        all = shares.iter().filter_map(Weak::upgrade).collect();
        let running = || all.iter().filter(|share| !share.has_ended());
        let each = self.bytes / running().count().max(1);
        running().for_each(|share| share.allow(each));
    }
}

impl Share {
    fn clients_mut(&self) -> MutexGuard<'_, Vec<TaskClient>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allow(&self, bytes: usize) {
        self.allowed.store(bytes, Ordering::Relaxed);
        self.clients_mut().iter().for_each(|client| self.limit(client));
    }

    /// A consumer knows that what it hands out is to become something larger; of what a source has,
    /// the producer holds one half.
    fn limit(&self, client: &TaskClient) {
        let all = self.allowed();
        client.footprint.allow(match client.kind {
            ClientKind::Consumer => all,
            ClientKind::Producer => all / 2,
        });
    }

    pub(crate) fn allowed(&self) -> usize {
        self.allowed.load(Ordering::Relaxed)
    }

    pub(crate) fn id(&self) -> &TaskId {
        &self.id
    }

    /// The task uses this client.
    pub(crate) fn use_client(&self, client: TaskClient) {
        let mut clients = self.clients_mut();
        self.limit(&client);
        clients.push(client);
    }

    pub(crate) fn clients(&self) -> Vec<TaskClient> {
        self.clients_mut().clone()
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// The task runs no more: what it could have is the others'.
    pub(crate) fn end(&self) {
        if !self.has_ended.swap(true, Ordering::AcqRel) {
            self.clients_mut().clear();
            self.places.iter().for_each(|place| place.store(0, Ordering::Relaxed));
            self.budget.divide();
        }
    }

    /// So many bytes are in a place now.
    pub(crate) fn set(&self, place: Place, bytes: usize) {
        self.places[place as usize].store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn held_in(&self, place: Place) -> usize {
        self.places[place as usize].load(Ordering::Relaxed)
    }

    /// What the task's clients of a kind hold.
    pub(crate) fn held_by(&self, kind: ClientKind) -> usize {
        let clients = self.clients_mut();
        clients.iter().filter(|c| c.kind == kind).map(|c| c.footprint.held()).sum()
    }

    /// All that is known to be held. Originals are parts of what was fetched, and no more of it.
    pub(crate) fn held(&self) -> usize {
        let places = [Place::Waiting, Place::Putting, Place::Sending];
        let loops: usize = places.into_iter().map(|place| self.held_in(place)).sum();
        loops + self.held_by(ClientKind::Consumer) + self.held_by(ClientKind::Producer)
    }

    /// Whether a sink's loop holds as much as it may: the other half of the share is for what is
    /// fetched meanwhile, and for what records become.
    pub(crate) fn is_used_up(&self) -> bool {
        let held = self.held_in(Place::Waiting) + self.held_in(Place::Putting);
        held > self.allowed() / 2
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.divide();
    }
}

/// `GET /ext/v1/memory`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryReport {
    /// What all tasks may hold together.
    pub budget_bytes: usize,
    /// Where that comes from.
    pub budget_from: &'static str,
    /// What is known to be held.
    pub held_bytes: usize,
    /// The process's resident memory; none where the system does not tell.
    pub resident_bytes: Option<usize>,
    /// Who holds it, the most first.
    pub tasks: Vec<TaskMemory>,
}

/// What one task holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskMemory {
    /// Its connector's name.
    pub connector: String,
    /// Its number.
    pub task: usize,
    /// What it may hold.
    pub share_bytes: usize,
    /// What is known to be held.
    pub held_bytes: usize,
    /// How much of its share that is.
    pub percent: usize,
    /// Fetched and not polled yet.
    pub fetched_bytes: usize,
    /// Polled, and waiting for converters.
    pub waiting_bytes: usize,
    /// Being converted, transformed or put, by their size in Kafka.
    pub putting_bytes: usize,
    /// Kept for the dead letter queue: parts of the above.
    pub original_bytes: usize,
    /// Waiting for room in the producer.
    pub sending_bytes: usize,
    /// In the producer's buffer.
    pub produced_bytes: usize,
}

impl Budget {
    pub(crate) fn report(&self) -> MemoryReport {
        let mut tasks: Vec<_> = self.shares().iter().map(|share| share.report()).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.held_bytes));
        MemoryReport {
            budget_bytes: self.bytes,
            budget_from: self.source,
            held_bytes: tasks.iter().map(|task| task.held_bytes).sum(),
            resident_bytes: resident(),
            tasks,
        }
    }
}

impl Share {
    fn report(&self) -> TaskMemory {
        let (share, held) = (self.allowed(), self.held());
        TaskMemory {
            connector: self.id.connector.to_string(),
            task: self.id.task,
            share_bytes: share,
            held_bytes: held,
            percent: held.saturating_mul(100) / share.max(1),
            fetched_bytes: self.held_by(ClientKind::Consumer),
            waiting_bytes: self.held_in(Place::Waiting),
            putting_bytes: self.held_in(Place::Putting),
            original_bytes: self.held_in(Place::Originals),
            sending_bytes: self.held_in(Place::Sending),
            produced_bytes: self.held_by(ClientKind::Producer),
        }
    }
}

/// The bytes of memory that the process has; none where the system does not say.
pub(crate) fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kib(&status, "VmRSS:")
}

/// A line of kibibytes, in bytes.
fn kib(text: &str, name: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<usize>().ok()?.checked_mul(1024)
}

/// Half of what the process may have: of its control group's limit, or of the machine's memory.
pub(crate) fn half_of_memory() -> (usize, &'static str) {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kib(&text, "MemTotal:"));
    let group = group_limits().into_iter().min();
    match (group, machine) {
        (Some(group), machine) if machine.is_none_or(|machine| group < machine) => {
            (group / 2, "half of the control group's limit")
        }
        (_, Some(machine)) => (machine / 2, "half of the machine's memory"),
        _ => (UNKNOWN / 2, "the machine does not tell what it has"),
    }
}

/// The limits of this process's control group, and of those above it.
fn group_limits() -> Vec<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (root, file) = match parts.next() {
            Some("") => ("/sys/fs/cgroup", "memory.max"),
            Some("memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container its own group is mounted as if it were the root.
        let path = parts.next().unwrap_or_default();
        let above = std::path::Path::new(path).ancestors().map(|path| path.display().to_string());
        for path in above.chain(["/".to_owned()]) {
            let text = fs::read_to_string(format!("{root}{path}/{file}")).unwrap_or_default();
            limits.extend(text.trim().parse::<usize>());
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(task: usize) -> TaskId {
        TaskId { connector: "c".into(), task }
    }

    fn client(kind: ClientKind) -> TaskClient {
        TaskClient { kind, id: "c".to_owned(), footprint: Arc::default(), start: SystemTime::now() }
    }

    #[test]
    fn tasks_have_equal_shares_of_what_there_is() {
        let budget = Budget::new(Some(1200));
        let first = budget.share(&id(0));
        let (consumer, producer) = (client(ClientKind::Consumer), client(ClientKind::Producer));
        first.use_client(consumer.clone());
        first.use_client(producer.clone());
        let allowed = || (consumer.footprint.allowed(), producer.footprint.allowed());
        assert_eq!(allowed(), (1200, 600));
        let second = budget.share(&id(1));
        let third = budget.share(&id(2));
        assert_eq!((allowed(), third.allowed()), ((400, 200), 400));
        drop(second);
        assert_eq!(allowed(), (600, 300));
        third.end();
        assert_eq!(allowed(), (1200, 600));
    }

    /// Its thread may keep it for a moment after whoever waited has heard of its end.
    #[test]
    fn nothing_is_told_of_a_task_that_has_ended() {
        let budget = Budget::new(Some(1200));
        let (ended, hung) = (budget.share(&id(0)), budget.share(&id(1)));
        hung.set(Place::Putting, 1);
        ended.end();
        let told: Vec<_> = budget.report().tasks.iter().map(|task| task.task).collect();
        assert_eq!(told, [1]);
    }

    #[test]
    fn what_is_held_is_told() {
        let budget = Budget::new(Some(1000));
        let (quiet, busy) = (budget.share(&id(0)), budget.share(&id(1)));
        busy.set(Place::Waiting, 100);
        busy.set(Place::Originals, 70);
        assert!(!busy.is_used_up());
        busy.set(Place::Putting, 151);
        assert!(busy.is_used_up());
        let report = budget.report();
        assert_eq!((report.budget_bytes, report.held_bytes), (1000, 251));
        let first = &report.tasks[0];
        assert_eq!((first.task, first.held_bytes, first.percent), (1, 251, 50));
        assert_eq!((first.waiting_bytes, first.original_bytes), (100, 70));
        drop(quiet);
    }

    #[test]
    fn a_default_is_found() {
        let (bytes, source) = half_of_memory();
        assert!(bytes > 1 << 20, "{bytes}: {source}");
    }
}
