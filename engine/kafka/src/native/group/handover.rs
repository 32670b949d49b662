//! Decides how a rebalance is carried from the task that keeps a membership to the caller of
//! `poll`, and how that task learns what the caller does.
//!
//! The caller takes one event at a time and acknowledges it with its next poll. Meanwhile it may
//! work as long as it likes, within `max.poll.interval.ms`: nothing here waits for it but what has
//! to, such as giving up partitions that the caller still commits for.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_api::{Error, Result, TopicPartition};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// How many events wait for the caller before the membership does.
const WAITING: usize = 8;

/// What the group did to a consumer's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupEvent {
    /// These came on top of the others.
    Assigned(Vec<TopicPartition>),
    /// These are to be given up; the group waits for [`Events::acknowledge`].
    Revoked(Vec<TopicPartition>),
    /// These are gone already.
    Lost(Vec<TopicPartition>),
}

/// What the caller was last seen doing.
#[derive(Clone, Copy, Debug)]
struct Polling {
    is_polling: bool,
    since: Instant,
    /// How many events it is done with.
    acknowledged: u64,
}

/// An event, and how many losses came before it.
#[derive(Debug)]
struct Told {
    event: Result<GroupEvent>,
    losses: u64,
}

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Events {
    events: mpsc::Receiver<Told>,
    polling: Arc<watch::Sender<Polling>>,
    losses: Arc<AtomicU64>,
    /// How many events were handed to the caller.
    received: u64,
}

/// The membership's end.
#[derive(Debug)]
pub(super) struct Caller {
    events: mpsc::Sender<Told>,
    polling: watch::Receiver<Polling>,
    /// How often the member has lost everything.
    losses: Arc<AtomicU64>,
    told: u64,
}

/// Both ends. The time between polls counts from now on.
pub(super) fn handover() -> (Caller, Events) {
    let (sender, events) = mpsc::channel(WAITING);
    let now = Polling { is_polling: false, since: Instant::now(), acknowledged: 0 };
    let (polling, seen) = watch::channel(now);
    let (polling, losses) = (Arc::new(polling), Arc::new(AtomicU64::new(0)));
    let caller = Caller { events: sender, polling: seen, losses: losses.clone(), told: 0 };
    (caller, Events { events, polling, losses, received: 0 })
}

/// A poll that is going on, for as long as it lives.
#[derive(Debug)]
pub(crate) struct PollGuard(Arc<watch::Sender<Polling>>);

impl Events {
    /// Begins a poll: until the guard is dropped the caller counts as alive. Acknowledges the last
    /// event.
    pub(crate) fn poll(&mut self) -> PollGuard {
        self.acknowledge();
        self.set_polling(true);
        PollGuard(self.polling.clone())
    }

    /// The caller has done what the last event asks for: the group may go on.
    pub(crate) fn acknowledge(&mut self) {
        let received = self.received;
        self.polling.send_if_modified(|polling| {
            let is_news = polling.acknowledged < received;
            polling.acknowledged = received;
            is_news
        });
    }

    /// The next event, however long it takes. Cancel-safe. The one before must have been
    /// acknowledged. What was to be given up and is lost by now is told as lost: to flush it would
    /// be in vain (as Java's `onJoinPrepare` without a generation).
    ///
    /// # Errors
    ///
    /// When the membership has ended for good.
    pub(crate) async fn next(&mut self) -> Result<GroupEvent> {
        match self.events.recv().await {
            Some(Told { event, losses }) => {
                self.received += 1;
                let is_past = losses < self.losses.load(Ordering::Acquire);
                match event? {
                    GroupEvent::Revoked(partitions) if is_past => Ok(GroupEvent::Lost(partitions)),
                    event => Ok(event),
                }
            }
            None => Err(Error::fatal("the consumer is no member of its group any more")),
        }
    }

    fn set_polling(&self, is_polling: bool) {
        set_polling(&self.polling, is_polling);
    }
}

impl Drop for PollGuard {
    fn drop(&mut self) {
        set_polling(&self.0, false);
    }
}

fn set_polling(polling: &watch::Sender<Polling>, is_polling: bool) {
    let since = Instant::now();
    polling.send_modify(|polling| *polling = Polling { is_polling, since, ..*polling });
}

impl Caller {
    /// Hands an event over. Who has gone hears nothing.
    pub(super) async fn tell(&mut self, event: Result<GroupEvent>) {
        self.told += 1;
        let told = Told { event, losses: self.losses.load(Ordering::Relaxed) };
        // Nobody to tell is no reason to stop: the membership ends by `gone`.
        let _ = self.events.send(told).await;
    }

    /// The member has lost everything, this too, and what the caller has not heard yet that it is
    /// to give up.
    pub(super) async fn lose(&mut self, partitions: Vec<TopicPartition>) {
        self.losses.fetch_add(1, Ordering::Release);
        if !partitions.is_empty() {
            self.tell(Ok(GroupEvent::Lost(partitions))).await;
        }
    }

    /// Whether the caller has acknowledged everything it was told.
    pub(super) fn has_acknowledged(&self) -> bool {
        self.polling.borrow().acknowledged >= self.told
    }

    /// Waits until it has.
    pub(super) fn acknowledged(&self) -> impl Future<Output = ()> + use<> {
        let (told, polling) = (self.told, self.polling.clone());
        until(polling, move |polling| polling.acknowledged >= told)
    }

    /// Waits for a poll that is going on or begins.
    pub(super) fn polls(&self) -> impl Future<Output = ()> + use<> {
        until(self.polling.clone(), |polling| polling.is_polling)
    }

    /// Waits until the caller has not polled for so long.
    pub(super) fn silent_for(&self, longest: Duration) -> impl Future<Output = ()> + use<> {
        let mut polling = self.polling.clone();
        async move {
            loop {
                let seen = *polling.borrow_and_update();
                let expired = async {
                    match seen.is_polling {
                        true => pending().await,
                        false => sleep_until(seen.since + longest).await,
                    }
                };
                tokio::select! {
                    () = expired => return,
                    changed = polling.changed() => {
                        if changed.is_err() {
                            pending::<()>().await;
                        }
                    }
                }
            }
        }
    }

    /// Waits until the caller has gone.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let events = self.events.clone();
        async move { events.closed().await }
    }
}

/// Says that a member leaves because its caller was [silent](Caller::silent_for) for so long.
pub(super) fn warn_of_silence(longest: Duration) {
    tracing::warn!(
        "the consumer has not polled for max.poll.interval.ms={}: it leaves its group until it \
         polls again. Raise the interval, or let it have fewer records at once \
         (max.poll.records)",
        longest.as_millis()
    );
}

/// Waits for the caller to do something; for ever when it has gone.
async fn until(mut polling: watch::Receiver<Polling>, does: impl FnMut(&Polling) -> bool) {
    if polling.wait_for(does).await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> GroupEvent {
        GroupEvent::Lost(vec![TopicPartition::new("t", 0)])
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_acknowledged_by_the_next_poll() {
        let (mut caller, mut events) = handover();
        caller.tell(Ok(lost())).await;
        assert_eq!(events.next().await.unwrap(), lost());
        assert!(!caller.has_acknowledged());
        drop(events.poll());
        caller.acknowledged().await;
        assert!(caller.has_acknowledged());
        // What is told afterwards needs an acknowledgement of its own.
        caller.tell(Ok(lost())).await;
        drop(events.poll());
        assert!(!caller.has_acknowledged());
        drop(events);
        caller.gone().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_to_be_given_up_before_a_loss_is_lost() {
        let (mut caller, mut events) = handover();
        let partitions = |number| vec![TopicPartition::new("t", number)];
        caller.tell(Ok(GroupEvent::Revoked(partitions(0)))).await;
        caller.lose(partitions(1)).await;
        caller.tell(Ok(GroupEvent::Revoked(partitions(2)))).await;
        assert_eq!(events.next().await.unwrap(), GroupEvent::Lost(partitions(0)));
        assert_eq!(events.next().await.unwrap(), GroupEvent::Lost(partitions(1)));
        assert_eq!(events.next().await.unwrap(), GroupEvent::Revoked(partitions(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_between_polls_counts() {
        let longest = Duration::from_secs(10);
        let (caller, mut events) = handover();
        let began = Instant::now();
        let poll = events.poll();
        let silent = tokio::spawn(async move {
            caller.silent_for(longest).await;
            Instant::now()
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(poll);
        tokio::time::sleep(Duration::from_secs(6)).await;
        drop(events.poll());
        assert_eq!(silent.await.unwrap() - began, Duration::from_secs(76));
    }
}
