//! Source offsets by connector: how they are named in the store, and how connectors read them.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use millrace_api::data::{SourceOffset, SourcePartition, in_hash_map_order, java_string_hash};
use millrace_api::{Error, OffsetReader, Result};
use serde_json::Value as Json;

/// A source partition and the offset to store for it; none deletes what was stored.
pub(crate) type Committable = (Arc<SourcePartition>, Option<SourceOffset>);

/// Keeps source offsets: JSON bytes under JSON bytes, as in Connect's offset topic and file.
#[async_trait]
pub trait OffsetStore: Send + Sync {
    /// The value of each of these keys. A key is found whatever the order of its members.
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>>;

    /// Every entry of a connector.
    async fn of_connector(&self, connector: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;

    /// Stores these entries, durably once it returns; a missing value deletes.
    async fn set(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<()>;
}

/// Whose offset is stored below a key, and of which source partition; none for a key that is not
/// Connect's, or of no partition (`OffsetUtils.processPartitionKey`).
pub(super) fn parse_key(key: &[u8]) -> Option<(String, SourcePartition)> {
    serde_json::from_slice(key).ok()
}

/// The offsets of one connector.
#[derive(Clone)]
pub(crate) struct ConnectorOffsets {
    connector: Arc<str>,
    store: Arc<dyn OffsetStore>,
}

impl ConnectorOffsets {
    pub(crate) fn new(connector: impl Into<Arc<str>>, store: Arc<dyn OffsetStore>) -> Self {
        Self { connector: connector.into(), store }
    }

    /// `["connector",{partition}]`, without blanks as Java writes it, and with the members in the
    /// order of a `HashMap`: connectors for Java hold partitions in one, and Java finds keys by
    /// their bytes.
    fn key(&self, partition: &SourcePartition) -> Vec<u8> {
        let members: Vec<(&String, &Json)> = partition.iter().collect();
        let ordered = in_hash_map_order(&members, |(name, _)| Some(java_string_hash(name)));
        let ordered: SourcePartition =
            ordered.into_iter().map(|(name, value)| ((*name).clone(), (*value).clone())).collect();
        let key = (&*self.connector, ordered);
        serde_json::to_vec(&key).expect("a string and a map of JSON values are JSON")
    }

    /// One text for all orders of a partition's members.
    pub(crate) fn canonical(partition: &SourcePartition) -> Vec<u8> {
        canonical(&serde_json::to_vec(partition).expect("a map of JSON values is JSON"))
    }

    /// Everything that is stored.
    pub(crate) async fn all(&self) -> Result<Vec<(SourcePartition, Option<SourceOffset>)>> {
        let entries = self.store.of_connector(&self.connector).await?;
        let parsed = entries.into_iter().filter_map(|(key, value)| {
            let (_, partition) = parse_key(&key)?;
            Some(self.parse(&partition, &value).map(|offset| (partition, offset)))
        });
        parsed.collect()
    }

    /// Stores offsets durably.
    pub(crate) async fn write(
        &self,
        offsets: &HashMap<Arc<SourcePartition>, Option<SourceOffset>>,
    ) -> Result<()> {
        let entries = offsets.iter().map(|(partition, offset)| self.entry(partition, offset));
        self.store.set(entries.collect()).await
    }

    /// Stores these offsets durably, and deletes those that are none.
    pub(crate) async fn set(
        &self,
        offsets: Vec<(SourcePartition, Option<SourceOffset>)>,
    ) -> Result<()> {
        let entries = offsets.iter().map(|(partition, offset)| self.entry(partition, offset));
        self.store.set(entries.collect()).await
    }

    fn entry(
        &self,
        partition: &SourcePartition,
        offset: &Option<SourceOffset>,
    ) -> (Vec<u8>, Option<Vec<u8>>) {
        let bytes = |o: &SourceOffset| serde_json::to_vec(o).expect("a map of JSON values is JSON");
        (self.key(partition), offset.as_ref().map(bytes))
    }

    fn parse(&self, partition: &SourcePartition, value: &[u8]) -> Result<Option<SourceOffset>> {
        serde_json::from_slice(value).map_err(|e| {
            Error::fatal("stored source offset is not a JSON object")
                .context("connector", &self.connector)
                .context("source partition", Json::Object(partition.clone()))
                .with_source(e)
        })
    }
}

#[async_trait]
impl OffsetReader for ConnectorOffsets {
    async fn offsets(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let keys: Vec<_> = partitions.iter().map(|p| self.key(p)).collect();
        let values = self.store.get(keys).await?;
        let parse = |(value, partition): (Option<Vec<u8>>, &SourcePartition)| match value {
            Some(value) => self.parse(partition, &value),
            None => Ok(None),
        };
        values.into_iter().zip(partitions).map(parse).collect()
    }
}

/// One text for all orders of an object's members, so that keys written by Java are found.
pub(super) fn canonical(key: &[u8]) -> Vec<u8> {
    fn sorted(value: &mut Json) {
        match value {
            Json::Object(members) => {
                members.sort_keys();
                members.values_mut().for_each(sorted);
            }
            Json::Array(items) => items.iter_mut().for_each(sorted),
            _ => {}
        }
    }
    let Ok(mut value) = serde_json::from_slice::<Json>(key) else {
        return key.to_vec();
    };
    sorted(&mut value);
    serde_json::to_vec(&value).expect("JSON values are JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::offset_file::OffsetFile;

    #[test]
    fn keys_have_the_order_of_javas_hash_map() {
        let store = OffsetFile::open(tempfile::tempdir().unwrap().path().join("x"));
        let offsets = ConnectorOffsets::new("c", Arc::new(store.unwrap()));
        for (partition, key) in [
            (json!({"table": "t", "protocol": "1"}), r#"["c",{"protocol":"1","table":"t"}]"#),
            (
                json!({"cluster": "a", "partition": 0, "topic": "t"}),
                r#"["c",{"cluster":"a","partition":0,"topic":"t"}]"#,
            ),
            (
                json!({"schema": null, "server": "s", "database": "d", "zone": true}),
                r#"["c",{"schema":null,"server":"s","database":"d","zone":true}]"#,
            ),
            (json!({}), r#"["c",{}]"#),
        ] {
            let partition = partition.as_object().unwrap();
            assert_eq!(String::from_utf8(offsets.key(partition)).unwrap(), key);
        }
    }
}
