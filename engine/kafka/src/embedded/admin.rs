//! Decides what the embedded cluster answers to administration.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_api::{Error, Result, TopicPartition};

use super::server::configs;
use super::settings::TopicSettings;
use super::{Shared, search};
use crate::{ClusterDescription, Isolation, OffsetSpec};

impl Shared {
    pub(super) fn describe(&self) -> ClusterDescription {
        ClusterDescription { id: self.cluster_id.clone(), controller: None, nodes: Vec::new() }
    }

    /// The configs of a topic with their defaults.
    pub(super) fn topic_configs(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let topic = self.topic(topic)?;
        let configs = configs::of_topic(&topic.configs).filter_map(|config| {
            let value = config.value?;
            Some((config.name.to_string(), value.to_string()))
        });
        Ok(configs.collect())
    }

    /// Sets configs of a topic, and takes those back to the default that have no value.
    pub(super) fn alter_topic_configs(
        &self,
        topic: &str,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        let mut new = self.topic(topic)?.configs.clone();
        for (name, value) in changes {
            match value {
                Some(value) => drop(new.insert(name.clone(), value.clone())),
                None => drop(new.remove(name)),
            }
        }
        configs::check_names(&new).map_err(|why| Error::config(why).context("topic", topic))?;
        let settings =
            TopicSettings::new(&new, &self.settings).map_err(|e| e.context("topic", topic))?;
        self.configure(topic, new, settings)
    }

    pub(super) fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let mut offsets = BTreeMap::new();
        for partition in partitions {
            let log = self.log(partition)?;
            let bounds = log.bounds();
            let found = match (spec, isolation) {
                (OffsetSpec::Earliest, _) => Some(bounds.start),
                (OffsetSpec::Latest, Isolation::Uncommitted) => Some(bounds.end),
                (OffsetSpec::Latest, Isolation::Committed) => Some(bounds.stable),
                (OffsetSpec::MaxTimestamp, _) => {
                    search::latest(&log, isolation)?.map(|found| found.offset)
                }
                (OffsetSpec::Timestamp(time), _) => {
                    search::first_at(&log, time, isolation)?.map(|found| found.offset)
                }
            };
            if let Some(offset) = found {
                offsets.insert(partition.clone(), offset);
            }
        }
        Ok(offsets)
    }

    /// Ends what the producer of this transactional id has begun, and takes nothing more from it.
    pub(super) fn fence(&self, transactional_id: &str) -> Result<()> {
        /// What the transactions of a later producer may take, until it says so itself.
        const TIMEOUT: Duration = Duration::from_secs(60);
        let fenced = self.init_transactions(transactional_id, TIMEOUT, None);
        fenced.map(drop).map_err(|code| {
            Error::fatal("the producer cannot be fenced")
                .context("transactional.id", transactional_id)
                .context("cause", code)
        })
    }

    /// Deletes the records before these offsets; -1 is the end.
    pub(super) fn delete_records(&self, before: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        for (partition, offset) in before {
            let log = self.log(partition)?;
            let end = log.bounds().stable;
            let offset = if *offset == -1 { end } else { *offset };
            if !(0..=end).contains(&offset) {
                return Err(Error::fatal("records cannot be deleted beyond the end")
                    .context("partition", partition)
                    .context("offset", offset)
                    .context("end", end));
            }
            log.delete_before(offset)?;
        }
        Ok(())
    }
}
