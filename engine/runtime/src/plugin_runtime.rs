//! Where plugins run: each connector and task on a thread of its own, so that one that blocks its
//! thread, or never ends, keeps nobody else waiting (`docs/design/0019-containment.md`).

use std::collections::BTreeMap;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::{self, available_parallelism};
use std::time::Instant;

use futures_util::future::{AbortHandle, Abortable};
use millrace_api::{Error, Result};
use millrace_threads::allocator::{self, Place};
use millrace_threads::processor::{Doing, doing, make_idle, this_thread};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::activity::{Activity, Whose};
use crate::fence::Fence;

/// Fewer would let what one plugin spawns hold up the timers of all.
const FEWEST_DRIVERS: usize = 2;

/// Threads that plugins have not given back. With more of them a worker starts nothing: it should be
/// restarted, and what is the matter be seen to.
const MOST_STUCK: usize = 256;

/// Runs connectors and tasks. Dropping it gives up what runs, and waits for nothing: a thread that a
/// plugin blocks ends with the process.
pub(crate) struct PluginRuntime {
    driver: Arc<Driver>,
    jobs: Arc<Jobs>,
}

/// Timers and sockets of all plugins, and what they spawn. Here runs none of their callbacks.
struct Driver(Option<Runtime>);

impl Driver {
    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken when it is dropped").handle()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What runs now, whether anybody waits for it or not.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<(u64, BTreeMap<u64, Arc<Running>>)>);

type Failing = Arc<dyn Fn(&Error) + Send + Sync>;

/// One connector or task that runs.
pub(crate) struct Running {
    pub(crate) activity: Arc<Activity>,
    abort: AbortHandle,
    /// Its thread is idle, for good: it goes on with another, once it lets go.
    idle: AtomicBool,
    /// The number of its thread; 0 before it has one.
    thread: AtomicU32,
    /// By which its thread can be made to stand still.
    place: Option<Place>,
    /// It was given up for the memory it takes, and keeps that until it ends.
    is_greedy: AtomicBool,
    /// Who hears when it is made to fail from outside, until that is known to have ended;
    /// else whoever waits for it.
    failing: Mutex<Option<Failing>>,
    failed: Mutex<Option<oneshot::Sender<Error>>>,
}

impl Running {
    fn new(whose: Whose, abort: AbortHandle, failed: oneshot::Sender<Error>) -> Self {
        Self {
            activity: Activity::new(whose),
            abort,
            idle: AtomicBool::default(),
            thread: AtomicU32::default(),
            place: Place::take(),
            is_greedy: AtomicBool::default(),
            failing: Mutex::default(),
            failed: Mutex::new(Some(failed)),
        }
    }

    pub(crate) fn thread(&self) -> u32 {
        self.thread.load(Ordering::Acquire)
    }

    /// It ends at its next await, and writes nothing more.
    pub(crate) fn give_up(&self) {
        self.activity.fence.close();
        self.abort.abort();
    }

    /// It is given up for the memory it takes.
    pub(crate) fn mark_greedy(&self) {
        self.is_greedy.store(true, Ordering::Release);
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its thread keeps it for a moment; nothing may be left that others see, or that it may do.
    fn has_ended(&self) {
        self.failing().take();
        self.activity.fence.close();
    }

    /// Says that it has failed, where it cannot say so itself.
    pub(crate) fn fail(&self, error: Error) {
        if let Some(failing) = self.failing().clone() {
            return failing(&error);
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody hears when nobody waits.
        let _ = failed.map(|failed| failed.send(error));
    }

    /// Its thread stands still once it wants memory.
    pub(crate) fn stop_in_allocator(&self) {
        if let Some(place) = &self.place {
            place.stop();
        }
    }

    /// Whether its thread stands still, for good.
    pub(crate) fn stands(&self) -> bool {
        self.place.as_ref().is_some_and(Place::stands)
    }

    /// Its thread gets only what no other wants: it has computed for long without a pause, or what
    /// it does is of no use to anybody any more.
    pub(crate) fn restrain(&self) {
        if !self.is_idle() && make_idle(self.thread()) {
            self.idle.store(true, Ordering::Release);
            tracing::warn!("{}: its thread gets only what no other wants", self.activity.whose);
        }
    }

    fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Arc<Running>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<(u64, Arc<Running>)> {
        self.lock().1.iter().map(|(number, job)| (*number, Arc::clone(job))).collect()
    }

    /// Whether the last run of a connector, or of a task of it, was given up for its memory and has
    /// not ended.
    pub(crate) fn keeps_memory(&self, connector: &str, task: Option<usize>) -> bool {
        let keeps = |job: &Arc<Running>| {
            let whose = &job.activity.whose;
            job.is_greedy.load(Ordering::Acquire)
                && matches!(whose, Whose::Connector(_) | Whose::Task(_))
                && (whose.connector(), whose.task()) == (connector, task)
        };
        self.lock().1.values().any(keeps)
    }

    /// Whoever starts something anew, or another of its name, knows of its last run.
    pub(crate) fn forget_greed(&self, whose: &Whose) {
        forget_greed(&self.lock().1, whose);
    }

    fn add(&self, job: Arc<Running>) -> Result<u64> {
        let (next, all) = &mut *self.lock();
        let stuck = all.values().filter(|job| job.activity.fence.is_closed()).count();
        if stuck >= MOST_STUCK {
            return Err(Error::fatal("too many plugins have not given their threads back")
                .context("threads", stuck)
                .context("remedy", "GET /ext/v1/hung names them; restart the worker"));
        }
        forget_greed(all, &job.activity.whose);
        *next += 1;
        all.insert(*next, job);
        Ok(*next)
    }

    fn remove(&self, number: u64) {
        self.lock().1.remove(&number);
    }
}

fn forget_greed(all: &BTreeMap<u64, Arc<Running>>, whose: &Whose) {
    for last in all.values().filter(|last| last.activity.whose == *whose) {
        last.is_greedy.store(false, Ordering::Release);
    }
}

/// What a connector or task does, from its start to its end.
struct Life {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    running: Arc<Running>,
}

/// Forgets that something runs, when it is dropped.
struct Listed(Arc<Jobs>, u64);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.remove(self.1);
    }
}

/// The outcome of what runs. Dropped before, what runs is given up: it ends at its next await.
pub(crate) struct Job<T> {
    outcome: Result<Awaited<T>, Option<Error>>,
    running: Option<Arc<Running>>,
}

/// What is heard of what runs: its outcome, or why it was made to fail.
struct Awaited<T> {
    outcome: oneshot::Receiver<T>,
    failed: oneshot::Receiver<Error>,
}

impl<T> Awaited<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Option<Error>>> {
        if let Poll::Ready(Ok(error)) = Pin::new(&mut self.failed).poll(context) {
            return Poll::Ready(Err(Some(error)));
        }
        Pin::new(&mut self.outcome).poll(context).map_err(|_| None)
    }
}

impl<T> Job<T> {
    /// Why it was not even begun.
    pub(crate) fn refusal(&mut self) -> Option<Error> {
        self.outcome.as_mut().err().and_then(Option::take)
    }

    /// Whom to tell when it is made to fail from outside.
    pub(crate) fn on_failure(&self, failing: impl Fn(&Error) + Send + Sync + 'static) {
        if let Some(running) = &self.running {
            *running.failing() = Some(Arc::new(failing));
        }
    }

    /// What it writes through.
    pub(crate) fn fence(&self) -> Fence {
        self.running.as_ref().map(|running| running.activity.fence.clone()).unwrap_or_default()
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let given_up = || Error::fatal("it was given up before it had ended");
        let why = match &mut self.outcome {
            Ok(awaited) => match ready!(awaited.poll(context)) {
                Ok(outcome) => {
                    self.outcome = Err(None);
                    self.running.take().iter().for_each(|running| running.has_ended());
                    return Poll::Ready(Ok(outcome));
                }
                Err(why) => why,
            },
            Err(refusal) => refusal.take(),
        };
        self.outcome = Err(None);
        self.running.take().iter().for_each(|running| running.give_up());
        Poll::Ready(Err(why.unwrap_or_else(given_up)))
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.give_up();
        // In the worker's own code others may wait for it.
        let is_in_plugin = running.activity.seen(Instant::now()).call.is_some();
        if is_in_plugin && doing(running.thread()) == Doing::Computes {
            running.restrain();
        }
    }
}

impl PluginRuntime {
    pub(crate) fn start() -> Result<Self> {
        let threads = available_parallelism().map_or(FEWEST_DRIVERS, NonZero::get);
        let driver = Builder::new_multi_thread()
            .worker_threads(threads.max(FEWEST_DRIVERS))
            .thread_name("plugins")
            .enable_all()
            .build();
        let driver = driver.map_err(|e| Error::fatal("cannot start threads").with_source(e))?;
        Ok(Self { driver: Arc::new(Driver(Some(driver))), jobs: Arc::default() })
    }

    pub(crate) fn jobs(&self) -> &Arc<Jobs> {
        &self.jobs
    }

    /// Runs something of a plugin on a thread of its own.
    pub(crate) fn spawn<F>(&self, whose: Whose, future: F) -> Job<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        let (failing, failed) = oneshot::channel();
        let (abort, registration) = AbortHandle::new_pair();
        let running = Arc::new(Running::new(whose, abort, failing));
        let begun = self.jobs.add(Arc::clone(&running)).and_then(|number| {
            let entry = Listed(Arc::clone(&self.jobs), number);
            let telling = async move {
                let outcome = future.await;
                // Whoever hears of its end finds it among those that run no more.
                drop(entry);
                let _ = sender.send(outcome);
            };
            let telling = Abortable::new(telling, registration);
            let future = Box::pin(async move {
                let _ = telling.await;
            });
            let life = Life { future, running: Arc::clone(&running) };
            match begin(life, Arc::clone(&self.driver)) {
                Ok(()) => Ok(()),
                Err((e, _)) => Err(Error::fatal("cannot start a thread").with_source(e)),
            }
        });
        let awaited = Awaited { outcome, failed };
        Job { outcome: begun.map(|()| awaited).map_err(Some), running: Some(running) }
    }
}

impl Drop for PluginRuntime {
    fn drop(&mut self) {
        self.jobs.all().iter().for_each(|(_, job)| job.abort.abort());
    }
}

type Slot = Arc<Mutex<Option<Life>>>;

/// Starts a thread for a life, which comes back if there is none.
fn begin(life: Life, driver: Arc<Driver>) -> Result<(), (std::io::Error, Option<Life>)> {
    let whose = &life.running.activity.whose;
    // Linux shows 15 bytes of it.
    let name = match whose {
        Whose::Connector(name) | Whose::Asked(name) => name.to_string(),
        Whose::Task(id) => id.to_string(),
    };
    let name = name.replace('\0', "");
    let slot: Slot = Arc::new(Mutex::new(Some(life)));
    let taken = Arc::clone(&slot);
    let taken = move || {
        let life = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        live(life, &driver);
    };
    match thread::Builder::new().name(name).spawn(taken) {
        Ok(_) => Ok(()),
        Err(e) => Err((e, slot.lock().unwrap_or_else(PoisonError::into_inner).take())),
    }
}

/// Works on a life to its end, or until it lets go after its thread was made idle.
fn live(mut life: Option<Life>, driver: &Arc<Driver>) {
    let handle = driver.handle().clone();
    // What is dropped at the end may need it.
    let _context = handle.enter();
    let thread = this_thread();
    while let Some(mut living) = life.take() {
        living.running.activity.enter();
        living.running.thread.store(thread, Ordering::Release);
        if let Some(place) = &living.running.place {
            place.enter();
        }
        let ended = handle.block_on(std::future::poll_fn(|context| {
            let activity = &living.running.activity;
            activity.hold(thread);
            let polled = living.future.as_mut().poll(context);
            activity.let_go();
            match polled {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending if living.running.is_idle() => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        }));
        allocator::leave();
        // The number may be another thread's from here on.
        living.running.thread.store(0, Ordering::Release);
        if ended {
            return;
        }
        living.running.idle.store(false, Ordering::Release);
        // Without another thread it goes on with this one.
        life = begin_anew(living, driver);
    }
}

/// Starts a thread for a life whose own is idle; the life comes back if there is none.
fn begin_anew(life: Life, driver: &Arc<Driver>) -> Option<Life> {
    let (back, came_back) = std::sync::mpsc::sync_channel(1);
    let next = Arc::clone(driver);
    // A thread is idle if the one that starts it is.
    driver.handle().spawn(async move {
        let _ = back.send(begin(life, next).err().and_then(|(_, life)| life));
    });
    came_back.recv().ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millrace_threads::processor::is_idle;

    use super::*;

    fn whose() -> Whose {
        Whose::Connector("c".into())
    }

    #[tokio::test]
    async fn timers_and_what_is_spawned_work() {
        let plugins = PluginRuntime::start().unwrap();
        let job = plugins.spawn(whose(), async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tokio::spawn(async { 7 }).await.unwrap()
        });
        assert_eq!(job.await.unwrap(), 7);
        while !plugins.jobs().all().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn memory_is_kept_by_the_last_run_alone() {
        let plugins = PluginRuntime::start().unwrap();
        let greedy = |whose: Whose| {
            let job = plugins.spawn(whose, std::future::pending::<()>());
            job.running.as_ref().unwrap().mark_greedy();
            job
        };
        let keeps_memory = || plugins.jobs().keeps_memory("c", None);
        let asked = greedy(Whose::Asked("c".into()));
        assert!(!keeps_memory(), "a validation is no run");
        let first = greedy(whose());
        assert!(keeps_memory() && !plugins.jobs().keeps_memory("c", Some(0)));
        let second = plugins.spawn(whose(), std::future::pending::<()>());
        assert!(!keeps_memory());
        second.running.as_ref().unwrap().mark_greedy();
        assert!(keeps_memory());
        plugins.jobs().forget_greed(&whose());
        assert!(!keeps_memory());
        drop((asked, first, second));
    }

    #[tokio::test]
    async fn what_is_given_up_ends_at_its_next_await() {
        let plugins = PluginRuntime::start().unwrap();
        let (alive, dropped) = oneshot::channel::<()>();
        let job = plugins.spawn(whose(), async move {
            std::future::pending::<()>().await;
            drop(alive);
        });
        drop(job);
        assert!(dropped.await.is_err());
        let panics = plugins.spawn(whose(), async { panic!("no") });
        let outcome: Result<()> = panics.await;
        assert!(outcome.is_err());
    }

    /// Who waits hears why it was made to fail, whether its thread comes back or not.
    #[tokio::test]
    async fn what_is_made_to_fail_is_waited_for_no_more() {
        let plugins = PluginRuntime::start().unwrap();
        let mut job = plugins.spawn(whose(), std::future::pending::<()>());
        plugins.jobs().all()[0].1.fail(Error::fatal("it takes too much"));
        let failed = (&mut job).await.unwrap_err();
        assert_eq!(failed.to_string(), "it takes too much");
        assert!(job.await.is_err(), "it can be asked again");
    }

    /// Else metrics would show a task for a moment after it was deleted.
    #[tokio::test]
    async fn nothing_is_left_of_what_has_ended() {
        let plugins = PluginRuntime::start().unwrap();
        for _ in 0..1000 {
            let told = Arc::new(());
            let hears = Arc::clone(&told);
            let (begin, begun) = oneshot::channel::<()>();
            let mut job = plugins.spawn(whose(), async { begun.await.is_ok() });
            job.on_failure(move |_| drop(Arc::clone(&hears)));
            begin.send(()).unwrap();
            assert!((&mut job).await.unwrap());
            assert_eq!(Arc::strong_count(&told), 1);
            assert!(plugins.jobs().all().is_empty());
        }
    }

    /// One whose thread was made idle goes on with a thread that is not.
    #[tokio::test]
    async fn an_idle_thread_is_replaced() {
        let plugins = PluginRuntime::start().unwrap();
        let job = plugins.spawn(whose(), async {
            let first = this_thread();
            // It changes when it waits, after it was made idle.
            for _ in 0..1000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if this_thread() != first {
                    break;
                }
            }
            (first, this_thread(), is_idle(this_thread()))
        });
        let running = Arc::clone(&plugins.jobs().all()[0].1);
        while running.thread() == 0 {
            tokio::task::yield_now().await;
        }
        running.restrain();
        let (first, second, idle) = job.await.unwrap();
        assert_ne!(first, second);
        assert!(!idle);
    }

    #[tokio::test]
    async fn threads_that_never_come_back_are_bounded() {
        let plugins = PluginRuntime::start().unwrap();
        for _ in 0..MOST_STUCK {
            let (abort, _) = AbortHandle::new_pair();
            let running = Running::new(whose(), abort, oneshot::channel().0);
            running.give_up();
            plugins.jobs.add(Arc::new(running)).unwrap();
        }
        let refused = plugins.spawn(whose(), async {}).await.unwrap_err();
        assert!(refused.to_string().contains("restart the worker"), "{refused}");
    }
}
