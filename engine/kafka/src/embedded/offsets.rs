//! Decides where committed offsets are kept: a compacted log of Kafka's own commit records.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use arrow::array::Array;
use bytes::{Buf, BufMut};
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::log::{Log, Read};
use super::now_ms;
use super::settings::{Isolation, Settings, TopicSettings};
use crate::lock::lock;
use crate::record_batch::{Columns, Compression, Record, Writer};

/// The topic Kafka keeps them in. Here it is no topic that can be read or written.
pub(super) const TOPIC: &str = "__consumer_offsets";

const READ_BYTES: usize = 1 << 20;

/// What a group has committed of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Committed {
    /// The next offset to read.
    pub(super) offset: i64,
    /// The epoch of the record before it; -1 where nobody said.
    pub(super) leader_epoch: i32,
    /// Whatever the group wanted to remember.
    pub(super) metadata: String,
}

impl From<i64> for Committed {
    fn from(offset: i64) -> Self {
        Self { offset, leader_epoch: -1, metadata: String::new() }
    }
}

type OfGroup = BTreeMap<TopicPartition, Committed>;

/// The committed offsets of all groups.
#[derive(Debug)]
pub(super) struct Offsets {
    log: Arc<Log>,
    groups: Mutex<HashMap<String, OfGroup>>,
}

impl Offsets {
    /// None yet. In files when there is a directory.
    pub(super) fn create(cluster: &Settings, directory: Option<&Directory>) -> Result<Self> {
        let (name, settings) = (TopicPartition::new(TOPIC, 0), TopicSettings::of_offsets());
        let log = match directory {
            None => Log::in_memory(name, settings, cluster),
            Some(directory) => Log::create(name, settings, cluster, directory)?,
        };
        Ok(Self { log: Arc::new(log), groups: Mutex::default() })
    }

    /// Those that were committed before.
    pub(super) fn open(cluster: &Settings, directory: &Directory) -> Result<Self> {
        let name = TopicPartition::new(TOPIC, 0);
        let log = Log::open(name, TopicSettings::of_offsets(), cluster, directory)?;
        let offsets = Self { log, groups: Mutex::default() };
        offsets.load()?;
        Ok(offsets)
    }

    /// What a group has committed of these partitions.
    pub(super) fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> BTreeMap<TopicPartition, i64> {
        let groups = lock(&self.groups);
        let Some(offsets) = groups.get(group) else {
            return BTreeMap::new();
        };
        partitions.iter().filter_map(|tp| Some((tp.clone(), offsets.get(tp)?.offset))).collect()
    }

    /// Everything that a group has committed, with all it said; none for one that never did.
    pub(super) fn of_group(&self, group: &str) -> Option<OfGroup> {
        lock(&self.groups).get(group).cloned()
    }

    /// The names of all groups that have committed.
    pub(super) fn groups(&self) -> Vec<String> {
        lock(&self.groups).keys().cloned().collect()
    }

    /// Commits, all or nothing.
    pub(super) fn commit(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<()> {
        let commits = |(tp, offset): (&TopicPartition, &i64)| (tp.clone(), Some((*offset).into()));
        self.change(&mut lock(&self.groups), group, offsets.iter().map(commits).collect())
    }

    /// The same, with all that is said, or none to delete.
    pub(super) fn write(
        &self,
        group: &str,
        changes: Vec<(TopicPartition, Option<Committed>)>,
    ) -> Result<()> {
        self.change(&mut lock(&self.groups), group, changes)
    }

    /// Everything that a group has committed.
    pub(super) fn all_committed(&self, group: &str) -> BTreeMap<TopicPartition, i64> {
        let all = self.of_group(group).unwrap_or_default();
        all.into_iter().map(|(tp, committed)| (tp, committed.offset)).collect()
    }

    /// Commits, and deletes where the offset is none; all or nothing.
    pub(super) fn alter(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        let mut groups = lock(&self.groups);
        let deletes_only = !offsets.is_empty() && offsets.values().all(Option::is_none);
        if deletes_only && !groups.contains_key(group) {
            return Err(unknown(group));
        }
        let changes = offsets.iter().map(|(tp, offset)| (tp.clone(), offset.map(Committed::from)));
        self.change(&mut groups, group, changes.collect())
    }

    /// Forgets a group.
    pub(super) fn delete(&self, group: &str) -> Result<()> {
        let mut groups = lock(&self.groups);
        let committed = groups.get(group).cloned().ok_or_else(|| unknown(group))?;
        let changes = committed.into_keys().map(|tp| (tp, None)).collect();
        self.change(&mut groups, group, changes)?;
        groups.remove(group);
        Ok(())
    }

    /// The lock is held over the append, so that memory and log agree on the order.
    fn change(
        &self,
        groups: &mut HashMap<String, OfGroup>,
        group: &str,
        changes: Vec<(TopicPartition, Option<Committed>)>,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let records = changes.iter().map(|(tp, committed)| (group, tp, committed.as_ref()));
        self.append(&records.collect::<Vec<_>>())?;
        let of_group = groups.entry(group.to_owned()).or_default();
        for (tp, committed) in changes {
            match committed {
                Some(committed) => drop(of_group.insert(tp, committed)),
                None => drop(of_group.remove(&tp)),
            }
        }
        Ok(())
    }

    /// Forgets what was committed for a topic that is deleted.
    pub(super) fn forget(&self, topic: &str) -> Result<()> {
        let mut groups = lock(&self.groups);
        let all = groups.iter().flat_map(|(group, offsets)| {
            let of_topic = offsets.keys().filter(|tp| &*tp.topic == topic);
            of_topic.map(|tp| (group.as_str(), tp, None))
        });
        let changes: Vec<_> = all.collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.append(&changes)?;
        for offsets in groups.values_mut() {
            offsets.retain(|tp, _| &*tp.topic != topic);
        }
        Ok(())
    }

    /// Says of every commit beyond the end of its partition that records were lost: recovery can
    /// only cut what was never acknowledged, so a disk or a person took them.
    pub(super) fn warn_of_lost_records(&self, end: impl Fn(&TopicPartition) -> Option<i64>) {
        let groups = lock(&self.groups).clone();
        for (group, offsets) in &groups {
            for (tp, Committed { offset, .. }) in offsets {
                if let Some(end) = end(tp).filter(|end| end < offset) {
                    tracing::error!(
                        group,
                        partition = %tp,
                        committed = offset,
                        log_end = end,
                        "records that were consumed are missing from the end of the log; the \
                         group will go on as auto.offset.reset says"
                    );
                }
            }
        }
    }

    fn append(&self, changes: &[(&str, &TopicPartition, Option<&Committed>)]) -> Result<()> {
        let now = now_ms();
        let mut writer = Writer::new(Compression::None);
        for (group, tp, committed) in changes {
            let key = encode_key(group, tp)?;
            let value = committed.map(|committed| encode_value(committed, now));
            writer.push(&Record::new(now, Some(&key), value.as_deref()))?;
        }
        self.log.append(writer.finish()?).map(drop)
    }

    fn load(&self) -> Result<()> {
        let (mut offset, end) = self.log.offsets();
        while offset < end {
            match self.log.read(offset, READ_BYTES, Isolation::Uncommitted, self.log.limits)? {
                Read::Nothing | Read::OutOfRange => break,
                Read::Records { columns, next_offset, .. } => {
                    self.apply(&columns)?;
                    offset = next_offset;
                }
            }
        }
        Ok(())
    }

    fn apply(&self, columns: &Columns) -> Result<()> {
        let mut groups = lock(&self.groups);
        for row in 0..columns.offsets.len() {
            let malformed = || {
                Error::fatal(
                    "a committed offset cannot be read: restore the log of committed offsets \
                     from a backup, or remove it to let every group begin anew",
                )
                .context("log", TOPIC)
                .context("offset", columns.offsets[row])
            };
            let (group, tp) = decode_key(columns.keys.value(row)).ok_or_else(malformed)?;
            let offsets = groups.entry(group).or_default();
            if columns.values.is_null(row) {
                offsets.remove(&tp);
            } else {
                let committed = decode_value(columns.values.value(row)).ok_or_else(malformed)?;
                offsets.insert(tp, committed);
            }
        }
        Ok(())
    }
}

fn unknown(group: &str) -> Error {
    Error::new(ErrorKind::NotFound, "the group does not exist").context("group.id", group)
}

const KEY_VERSION: i16 = 1;
const VALUE_VERSION: i16 = 3;

fn encode_key(group: &str, tp: &TopicPartition) -> Result<Vec<u8>> {
    let mut key = Vec::with_capacity(10 + group.len() + tp.topic.len());
    key.put_i16(KEY_VERSION);
    for text in [group, &tp.topic] {
        let length = i16::try_from(text.len())
            .map_err(|_| Error::config("group.id has more than 32767 bytes"))?;
        key.put_i16(length);
        key.put_slice(text.as_bytes());
    }
    key.put_i32(tp.partition);
    Ok(key)
}

fn decode_key(mut key: &[u8]) -> Option<(String, TopicPartition)> {
    if key.try_get_i16().ok()? != KEY_VERSION {
        return None;
    }
    let group = text(&mut key)?.to_owned();
    let topic = text(&mut key)?;
    let partition = key.try_get_i32().ok()?;
    Some((group, TopicPartition::new(topic, partition)))
}

fn text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(from.try_get_i16().ok()?).ok()?;
    let (text, rest) = from.split_at_checked(length)?;
    *from = rest;
    std::str::from_utf8(text).ok()
}

/// The most bytes of what a group wants to remember (`offset.metadata.max.bytes`).
pub(super) const MAX_METADATA: usize = 4096;

fn encode_value(committed: &Committed, now: i64) -> Vec<u8> {
    let metadata = committed.metadata.as_bytes();
    let metadata = &metadata[..metadata.len().min(MAX_METADATA)];
    let mut value = Vec::with_capacity(24 + metadata.len());
    value.put_i16(VALUE_VERSION);
    value.put_i64(committed.offset);
    value.put_i32(committed.leader_epoch);
    value.put_i16(metadata.len() as i16);
    value.put_slice(metadata);
    value.put_i64(now);
    value
}

fn decode_value(mut value: &[u8]) -> Option<Committed> {
    if value.try_get_i16().ok()? != VALUE_VERSION {
        return None;
    }
    let offset = value.try_get_i64().ok()?;
    let leader_epoch = value.try_get_i32().ok()?;
    Some(Committed { offset, leader_epoch, metadata: text(&mut value)?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_survive_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let settings = Settings::default();
        let (a, b) = (TopicPartition::new("a", 0), TopicPartition::new("b", 7));
        let offsets = Offsets::create(&settings, Some(&directory)).unwrap();
        for offset in 0..50 {
            offsets.commit("g", &BTreeMap::from([(a.clone(), offset)])).unwrap();
        }
        offsets.commit("h", &BTreeMap::from([(a.clone(), 3), (b.clone(), 4)])).unwrap();
        offsets.forget("b").unwrap();
        let change = BTreeMap::from([(a.clone(), None), (b.clone(), Some(5))]);
        offsets.commit("i", &BTreeMap::from([(a.clone(), 3)])).unwrap();
        offsets.alter("i", &change).unwrap();
        offsets.alter("j", &change).unwrap();
        offsets.delete("j").unwrap();
        let told =
            Committed { offset: 7, leader_epoch: 0, metadata: "what is to be remembered".into() };
        offsets.write("k", vec![(a.clone(), Some(told.clone()))]).unwrap();
        assert_eq!(offsets.delete("j").unwrap_err().kind(), ErrorKind::NotFound);
        drop(offsets);

        let offsets = Offsets::open(&settings, &directory).unwrap();
        let both = [a.clone(), b.clone()];
        assert_eq!(offsets.committed("g", &both), BTreeMap::from([(a.clone(), 49)]));
        assert_eq!(offsets.committed("h", &both), BTreeMap::from([(a.clone(), 3)]));
        assert_eq!(offsets.committed("none", &both), BTreeMap::new());
        assert_eq!(offsets.of_group("k").unwrap().values().collect::<Vec<_>>(), [&told]);
        assert_eq!(offsets.all_committed("i"), BTreeMap::from([(b, 5)]));
        assert_eq!(offsets.all_committed("j"), BTreeMap::new());
    }

    #[test]
    fn keys_are_kafkas() {
        let key = encode_key("g", &TopicPartition::new("t", 2)).unwrap();
        assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2]);
        assert_eq!(decode_key(&key[..11]), None);
    }
}
