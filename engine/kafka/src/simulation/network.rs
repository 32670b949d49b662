//! Decides the fate of each request: the script's if there is one, else chance's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;

use super::{Chances, Fate, Request};
use crate::lock::lock;

/// The longest that chance makes an answer late.
const LATEST_MS: u64 = 1_000;

/// What lies between clients and nodes.
pub(super) struct Network {
    state: Mutex<State>,
    /// Changes whenever a node is killed.
    killed: watch::Sender<HashSet<i32>>,
    seed: u64,
}

struct State {
    rng: Rng,
    chances: Chances,
    scripts: HashMap<i16, VecDeque<Fate>>,
    faults: usize,
}

/// The life of a node, as one connection to it sees it.
pub(super) struct Alive {
    node: i32,
    killed: watch::Receiver<HashSet<i32>>,
}

impl Alive {
    /// Waits until the node is killed.
    pub(super) async fn killed(mut self) {
        let node = self.node;
        if self.killed.wait_for(|killed| killed.contains(&node)).await.is_err() {
            // The network is gone, and nobody can kill any more.
            std::future::pending().await
        }
    }
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let (rng, chances) = (Rng::with_seed(seed), Chances::default());
        let state = State { rng, chances, scripts: HashMap::new(), faults: 0 };
        let (killed, _) = watch::channel(HashSet::new());
        Self { state: Mutex::new(state), killed, seed }
    }

    pub(super) fn script(&self, request: Request, fates: impl IntoIterator<Item = Fate>) {
        self.state().scripts.entry(request as i16).or_default().extend(fates);
    }

    pub(super) fn set_chances(&self, chances: Chances) {
        self.state().chances = chances;
    }

    pub(super) fn faults(&self) -> usize {
        self.state().faults
    }

    pub(super) fn kill(&self, node: i32) {
        self.killed.send_modify(|killed| _ = killed.insert(node));
    }

    pub(super) fn restart(&self, node: i32) {
        self.killed.send_modify(|killed| _ = killed.remove(&node));
    }

    /// None while the node is dead.
    pub(super) fn alive(&self, node: i32) -> Option<Alive> {
        let killed = self.killed.subscribe();
        let is_dead = killed.borrow().contains(&node);
        (!is_dead).then_some(Alive { node, killed })
    }

    /// What becomes of a request with this API key.
    pub(super) fn fate(&self, api_key: i16) -> Fate {
        let mut state = self.state();
        let scripted = state.scripts.get_mut(&api_key).and_then(VecDeque::pop_front);
        let fate = scripted.unwrap_or_else(|| state.chance());
        state.faults += usize::from(fate != Fate::Arrives);
        fate
    }

    /// A number below this one.
    pub(super) fn below(&self, most: usize) -> usize {
        self.state().rng.usize(..most.max(1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn chance(&mut self) -> Fate {
        let late = Fate::Late(Duration::from_millis(self.rng.u64(1..=LATEST_MS)));
        let Chances { late: of_late, request_lost, answer_lost, cut_short, stalls, trickles } =
            self.chances;
        let mut drawn = self.rng.u32(..1_000);
        for (chance, fate) in [
            (of_late, late),
            (request_lost, Fate::RequestLost),
            (answer_lost, Fate::AnswerLost),
            (cut_short, Fate::CutShort),
            (stalls, Fate::Stalls),
            (trickles, Fate::Trickles),
        ] {
            if drawn < chance {
                return fate;
            }
            drawn -= chance;
        }
        Fate::Arrives
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.seed).finish_non_exhaustive()
    }
}
