//! What a plugin is doing now, and since when: what is said of one that does not return.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fence::Fence;
use crate::task::TaskId;

/// Whose plugin it is. Prints as in `task orders-0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Connector(Arc<str>),
    Task(TaskId),
    /// What is asked of a connector's plugin, whether the connector runs or not: to validate a
    /// configuration, to alter offsets.
    Asked(Arc<str>),
}

impl Whose {
    pub(crate) fn connector(&self) -> &str {
        match self {
            Self::Connector(name) | Self::Asked(name) => name,
            Self::Task(id) => &id.connector,
        }
    }

    pub(crate) fn task(&self) -> Option<usize> {
        match self {
            Self::Connector(_) | Self::Asked(_) => None,
            Self::Task(id) => Some(id.task),
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connector(name) | Self::Asked(name) => write!(f, "connector {name}"),
            Self::Task(id) => write!(f, "task {id}"),
        }
    }
}

/// What one connector or task is doing.
pub(crate) struct Activity {
    pub(crate) whose: Whose,
    now: Mutex<Now>,
    /// Closed once nobody waits for it any more.
    pub(crate) fence: Fence,
}

#[derive(Default)]
struct Now {
    call: Option<Call>,
    /// The thread that works on it, and since when it has not let go.
    held: Option<(u32, Instant)>,
    /// The last call that panicked.
    panicked: Option<&'static str>,
}

/// A callback of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// As in `put`.
    pub(crate) name: &'static str,
    /// The plugin's, where a task has several.
    pub(crate) class: &'static str,
    pub(crate) since: Instant,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            "" => write!(f, "{}()", self.name),
            class => write!(f, "{}() of {class}", self.name),
        }
    }
}

/// What somebody else sees of an activity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// None while the worker's own code runs.
    pub(crate) call: Option<Call>,
    /// The thread that does not let go, and for how long; none while the plugin waits for
    /// something as it should.
    pub(crate) held: Option<(u32, Duration)>,
}

impl Seen {
    /// Since when nothing was heard of the plugin: in one call, or on its thread.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        let call = self.call.map(|call| now.saturating_duration_since(call.since));
        let held = self.held.map(|(_, held)| held);
        call.into_iter().chain(held).max().unwrap_or_default()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Activity>>> = const { RefCell::new(None) };
}

impl Activity {
    pub(crate) fn new(whose: Whose) -> Arc<Self> {
        Arc::new(Self { whose, now: Mutex::default(), fence: Fence::default() })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens on this thread from here on is this activity.
    pub(crate) fn enter(self: &Arc<Self>) {
        CURRENT.set(Some(Arc::clone(self)));
    }

    /// The thread takes hold of it, until it lets go.
    pub(crate) fn hold(&self, thread: u32) {
        self.now().held = Some((thread, Instant::now()));
    }

    pub(crate) fn let_go(&self) {
        self.now().held = None;
    }

    pub(crate) fn seen(&self, at: Instant) -> Seen {
        let now = self.now();
        let held = now.held.map(|(thread, since)| (thread, at.saturating_duration_since(since)));
        Seen { call: now.call, held }
    }
}

/// What everything that is written from this thread goes through.
pub(crate) fn fence() -> Fence {
    let fence = |current: &Option<Arc<Activity>>| Some(current.as_ref()?.fence.clone());
    CURRENT.with_borrow(fence).unwrap_or_default()
}

/// The callback that panicked last on this thread, which is told once.
pub(crate) fn panicked() -> Option<&'static str> {
    CURRENT.with_borrow(|current| current.as_ref()?.now().panicked.take())
}

/// A callback begins, which lasts as long as what is returned. Nothing happens on threads that are
/// nobody's.
pub(crate) fn during(name: &'static str, class: &'static str) -> During {
    let activity = CURRENT.with_borrow(Clone::clone);
    let call = Call { name, class, since: Instant::now() };
    let before = activity.as_ref().and_then(|activity| activity.now().call.replace(call));
    During { activity, before, name }
}

/// See [`during`].
pub(crate) struct During {
    activity: Option<Arc<Activity>>,
    before: Option<Call>,
    name: &'static str,
}

impl Drop for During {
    fn drop(&mut self) {
        if let Some(activity) = &self.activity {
            let mut now = activity.now();
            now.call = self.before;
            if std::thread::panicking() {
                now.panicked.get_or_insert(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_seen_until_it_ends() {
        let whose = Whose::Task(TaskId { connector: "orders".into(), task: 0 });
        let activity = Activity::new(whose);
        assert_eq!(activity.whose.to_string(), "task orders-0");
        let seen = |activity: &Activity| activity.seen(Instant::now()).call.map(|c| c.to_string());
        drop(during("put", ""));
        activity.enter();
        let put = during("put", "");
        assert_eq!(seen(&activity).as_deref(), Some("put()"));
        let apply = during("apply", "x.Cast");
        assert_eq!(seen(&activity).as_deref(), Some("apply() of x.Cast"));
        drop(apply);
        assert_eq!(seen(&activity).as_deref(), Some("put()"));
        drop(put);
        assert_eq!(seen(&activity), None);
        let panicked_in = || {
            std::panic::catch_unwind(|| {
                let _call = during("open", "");
                panic!("no");
            })
        };
        assert!(panicked_in().is_err());
        assert_eq!((panicked(), panicked()), (Some("open"), None));
    }
}
