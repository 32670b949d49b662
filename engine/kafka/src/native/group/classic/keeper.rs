//! Decides when a member's requests are sent: to join and to sync on a connection of their own, as
//! their answers wait for others, and heartbeats beside them on time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use millrace_api::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::state::{Action, State};
use super::{Assignments, Command, MembershipSettings, Told, awaited, requests};
use crate::native::backoff::Backoff;
use crate::native::brokers::Lane;
use crate::native::client::{CallError, check};
use crate::native::group::{Coordinator, Identity};

/// How long a member waits for the answer when it leaves.
const LEAVING: Duration = Duration::from_secs(5);

type Asked<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Answer {
    Joined(Result<JoinGroupResponse, CallError>),
    Synced(Result<SyncGroupResponse, CallError>),
}

/// A member's life.
pub(super) struct Keeper {
    coordinator: Arc<Coordinator>,
    settings: Arc<MembershipSettings>,
    state: State,
    identity: watch::Sender<Identity>,
    /// What was asked that may take as long as a rebalance.
    asked: Option<Asked<Answer>>,
    /// A heartbeat, and the generation it was sent in.
    beat: Option<Asked<(i32, Result<(), CallError>)>>,
    next_beat: Instant,
    backoff: Backoff,
}

impl Keeper {
    pub(super) fn new(
        coordinator: Arc<Coordinator>,
        settings: MembershipSettings,
        identity: watch::Sender<Identity>,
    ) -> Self {
        let backoff = coordinator.client().backoff();
        let state = State::new(settings.instance.clone());
        let (settings, next_beat) = (Arc::new(settings), Instant::now());
        Self { coordinator, settings, state, identity, asked: None, beat: None, next_beat, backoff }
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Told>,
    ) {
        loop {
            let is_due = self.state.is_alive() && self.beat.is_none();
            let actions = tokio::select! {
                command = commands.recv() => match command {
                    None => return self.leave("the member is closed").await,
                    Some(Command::Leave { reason, done }) => {
                        self.leave(&reason).await;
                        // Who asked may not wait any more.
                        let _ = done.send(());
                        continue;
                    }
                    Some(Command::Join { offer, losses }) => self.state.join(offer, losses),
                    Some(Command::Assign(assignments)) => self.state.assign(assignments),
                },
                answer = awaited(&mut self.asked) => self.answered(answer),
                (generation, answer) = awaited(&mut self.beat) => self.beaten(generation, answer),
                () = sleep_until(self.next_beat), if is_due => {
                    self.beat = Some(self.heartbeat());
                    continue;
                }
            };
            for action in actions {
                let event = match action {
                    Action::Join { backs_off } => {
                        self.asked = Some(self.join(backs_off));
                        continue;
                    }
                    Action::Sync(assignments) => {
                        self.asked = Some(self.sync(assignments));
                        continue;
                    }
                    Action::Tell(event) => Ok(event),
                    Action::Fail(error) => Err(refusal(error, &self.settings)),
                };
                self.publish();
                let told = Told { event, joins: self.state.joins };
                if events.send(told).await.is_err() {
                    return self.leave("the member is closed").await;
                }
            }
            self.publish();
        }
    }

    /// Lets commits know who speaks, before the owner hears of a change.
    fn publish(&self) {
        let now = &self.state.identity;
        self.identity.send_if_modified(|known| {
            let differs = known != now;
            if differs {
                known.clone_from(now);
            }
            differs
        });
    }

    fn answered(&mut self, answer: Answer) -> Vec<Action> {
        let error = match &answer {
            Answer::Joined(Ok(answer)) => check(answer.error_code, None).err(),
            Answer::Synced(Ok(answer)) => check(answer.error_code, None).err(),
            Answer::Joined(Err(error)) | Answer::Synced(Err(error)) => Some(error.clone()),
        };
        match error {
            None => self.backoff.reset(),
            Some(error) => {
                self.coordinator.heed(&error);
                let error = error.doing("joining the group is tried again");
                tracing::debug!(group = self.settings.group, "{error}");
            }
        }
        self.next_beat = Instant::now() + self.settings.heartbeat_interval;
        match answer {
            Answer::Joined(answer) => self.state.joined(answer),
            Answer::Synced(answer) => self.state.synced(answer),
        }
    }

    fn beaten(&mut self, generation: i32, answer: Result<(), CallError>) -> Vec<Action> {
        let wait = match &answer {
            Err(error) if error.is_passing() => {
                self.coordinator.heed(error);
                self.backoff.next().min(self.settings.heartbeat_interval)
            }
            _ => {
                self.backoff.reset();
                self.settings.heartbeat_interval
            }
        };
        self.next_beat = Instant::now() + wait;
        self.state.beaten(generation, answer)
    }

    fn join(&mut self, backs_off: bool) -> Asked<Answer> {
        let wait = if backs_off { self.backoff.next() } else { Duration::ZERO };
        let (coordinator, settings) = (self.coordinator.clone(), self.settings.clone());
        let (identity, offer) = (self.state.identity.clone(), self.state.offer.clone());
        let longest = self.longest();
        Box::pin(async move {
            sleep(wait).await;
            let build = |version| requests::join(&settings, &identity, &offer, version);
            Answer::Joined(coordinator.call(Lane::Rebalance, longest, build).await)
        })
    }

    fn sync(&self, assignments: Assignments) -> Asked<Answer> {
        let (coordinator, settings) = (self.coordinator.clone(), self.settings.clone());
        let (identity, protocol) = (self.state.identity.clone(), self.state.protocol.clone());
        let longest = self.longest();
        Box::pin(async move {
            let build =
                |version| requests::sync(&settings, &identity, &protocol, &assignments, version);
            Answer::Synced(coordinator.call(Lane::Rebalance, longest, build).await)
        })
    }

    /// The coordinator answers when the others have come, or time is up for them.
    fn longest(&self) -> Duration {
        const MORE: Duration = Duration::from_secs(5);
        let rebalance = self.settings.rebalance_timeout.saturating_add(MORE);
        self.coordinator.client().request_timeout().max(rebalance)
    }

    fn heartbeat(&self) -> Asked<(i32, Result<(), CallError>)> {
        let coordinator = self.coordinator.clone();
        let identity = self.state.identity.clone();
        // One that hangs must leave time for another.
        let longest = coordinator.client().request_timeout().min(self.settings.session_timeout / 2);
        Box::pin(async move {
            let build = |version| requests::heartbeat(coordinator.group(), &identity, version);
            let answer = coordinator.call(Lane::Coordinator, longest, build).await;
            let answer = answer.and_then(|answer| check(answer.error_code, None));
            (identity.generation, answer)
        })
    }

    /// Static members keep their place until the session ends.
    async fn leave(&mut self, reason: &str) {
        (self.asked, self.beat) = (None, None);
        let identity = self.state.leave();
        self.publish();
        if identity.member_id.is_empty() || identity.instance.is_some() {
            return;
        }
        let group = self.coordinator.group();
        let build = |version| requests::leave(group, &identity, reason, version);
        let left = timeout(LEAVING, self.coordinator.call(Lane::Coordinator, LEAVING, build));
        if !matches!(left.await, Ok(Ok(_))) {
            tracing::debug!(group, "the member could not leave; the group notices by itself");
        }
    }
}

/// What the owner of a member is told that the group will not have.
pub(super) fn refusal(error: CallError, settings: &MembershipSettings) -> Error {
    let code = error.code();
    let error =
        error.doing("the member cannot join its group").context("group.id", &settings.group);
    match code {
        Some(ResponseError::InvalidSessionTimeout) => {
            error.context("session.timeout.ms", settings.session_timeout.as_millis())
        }
        _ => error,
    }
}
