//! Decides which topics a member subscribes to at this moment, and when it looks for topics again:
//! those of a pattern as often as metadata age, missing ones every few seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, Result};
use tokio::time::{Instant, sleep_until};

use super::assignor::Topics;
use crate::Subscription;
use crate::matcher::Matcher;
use crate::native::backoff::{Backoff, BackoffSettings};
use crate::native::client::Client;
use crate::native::error::{Permission, Resource, refused_for};
use crate::native::metadata::Metadata;

/// How soon a missing topic is looked for.
const MISSING: BackoffSettings =
    BackoffSettings { first: Duration::from_millis(500), longest: Duration::from_secs(10) };

/// What a member wants to read.
#[derive(Debug)]
pub(super) struct Subscribed {
    matcher: Matcher,
    excludes_internal: bool,
}

impl Subscribed {
    pub(super) fn new(subscription: &Subscription, excludes_internal: bool) -> Result<Self> {
        Ok(Self { matcher: Matcher::new(subscription)?, excludes_internal })
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        self.matcher.matches(topic)
    }

    /// Lets the client ask for these topics from now on; for all of them if they are not known by
    /// name.
    pub(super) fn follow(&self, client: &Client) {
        match &self.matcher {
            Matcher::Topics(names) => {
                let names = names.iter().map(|name| Arc::from(name.as_str()));
                client.follow_only(Some(names.collect()));
            }
            Matcher::Pattern(_) => client.follow_only(None),
        }
    }

    /// The topics by name: those that were named, whether they exist or not, or those that match.
    pub(super) fn topics(&self, metadata: &Metadata) -> BTreeSet<Arc<str>> {
        match &self.matcher {
            Matcher::Topics(names) => names.iter().map(|name| name.as_str().into()).collect(),
            Matcher::Pattern(pattern) => {
                let exist = metadata.topics.iter().filter(|(name, topic)| {
                    let is_wanted = !(self.excludes_internal && topic.is_internal);
                    topic.error.is_none() && is_wanted && pattern.is_match(name)
                });
                exist.map(|(name, _)| name.clone()).collect()
            }
        }
    }

    /// Waits until topics are known of which a pattern can match some.
    ///
    /// # Errors
    ///
    /// When brokers refuse the client.
    pub(super) async fn found(&self, client: &Client) -> Result<()> {
        if matches!(self.matcher, Matcher::Topics(_)) {
            return Ok(());
        }
        let mut backoff = client.backoff();
        loop {
            match client.refresh().await {
                Ok(_) => return Ok(()),
                Err(failure) if failure.is_passing() => {
                    sleep_until(Instant::now() + backoff.next()).await;
                }
                Err(failure) => return Err(failure.doing("the cluster's topics cannot be listed")),
            }
        }
    }

    /// Refreshes metadata when they are due, until brokers refuse the client.
    pub(super) async fn keep_fresh(&self, client: &Client) -> Error {
        let mut missing = Backoff::new(MISSING);
        loop {
            let metadata = client.metadata();
            let now = Instant::now();
            let age = client.settings().metadata_max_age;
            let due = metadata.fetched_at.map_or(now, |at| at + age);
            if self.is_complete(&metadata) {
                missing.reset();
                sleep_until(due).await;
            } else {
                sleep_until((now + missing.next()).min(due.max(now + MISSING.first))).await;
            }
            match client.refresh().await {
                Ok(metadata) => {
                    if let Some(error) = self.forbidden(&metadata) {
                        return error;
                    }
                }
                Err(failure) if failure.is_passing() => {
                    tracing::debug!("metadata cannot be refreshed: {failure}");
                    sleep_until(Instant::now() + missing.next()).await;
                }
                Err(failure) => return failure.doing("metadata cannot be refreshed"),
            }
        }
    }

    /// What keeps a topic of the subscription away for good, such as a permission that is missing.
    fn forbidden(&self, metadata: &Metadata) -> Option<Error> {
        let Matcher::Topics(names) = &self.matcher else {
            // A pattern matches what the client may see.
            return None;
        };
        names.iter().find_map(|name| {
            let code = metadata.topics.get(name.as_str())?.error?;
            if code.is_retriable() {
                return None;
            }
            let needed = [Permission::new("Describe", Resource::Topic(name))];
            let error = refused_for(code, "records cannot be read", None, &needed);
            Some(error.context("topic", name))
        })
    }

    fn is_complete(&self, metadata: &Metadata) -> bool {
        let exists = |name: &str| {
            metadata.topics.get(name).is_some_and(|topic| !topic.partitions.is_empty())
        };
        match &self.matcher {
            Matcher::Topics(names) => names.iter().all(|name| exists(name)),
            Matcher::Pattern(_) => metadata.fetched_at.is_some(),
        }
    }
}

/// What is known of these topics: of each partition the racks of its replicas. Those that do not
/// exist are left out.
pub(super) fn partitions<'a>(
    metadata: &Metadata,
    topics: impl IntoIterator<Item = &'a Arc<str>>,
) -> Topics {
    let rack = |broker: &i32| metadata.brokers.get(broker)?.rack.as_deref().map(Arc::from);
    let known = topics.into_iter().filter_map(|name| {
        let topic = metadata.topics.get(name).filter(|topic| !topic.partitions.is_empty())?;
        let racks = topic.partitions.iter().map(|p| p.replicas.iter().filter_map(rack).collect());
        Some((name.clone(), racks.collect()))
    });
    known.collect()
}
