//! Source offsets by connector: how they are named in the store, and how connectors read them.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use millrace_api::data::{SourceOffset, SourcePartition};
use millrace_api::{Error, OffsetReader, Result};
use serde_json::Value as Json;

/// A source partition and the offset to store for it; none deletes what was stored.
pub(crate) type Committable = (Arc<SourcePartition>, Option<SourceOffset>);

/// Keeps source offsets: JSON bytes under JSON bytes, as in Connect's offset topic and file.
#[async_trait]
pub trait OffsetStore: Send + Sync {
    /// The value of each of these keys. A key is found whatever the order of its members.
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>>;

    /// Stores these entries, durably once it returns; a missing value deletes.
    async fn set(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<()>;
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

    /// `["connector",{partition}]`, without blanks as Java writes it.
    fn key(&self, partition: &SourcePartition) -> Vec<u8> {
        let key = (&*self.connector, partition);
        serde_json::to_vec(&key).expect("a string and a map of JSON values are JSON")
    }

    /// Stores offsets durably.
    pub(crate) async fn write(
        &self,
        offsets: &HashMap<Arc<SourcePartition>, Option<SourceOffset>>,
    ) -> Result<()> {
        let bytes = |o: &SourceOffset| serde_json::to_vec(o).expect("a map of JSON values is JSON");
        let entry = |(p, o): (&Arc<SourcePartition>, &Option<SourceOffset>)| {
            (self.key(p), o.as_ref().map(bytes))
        };
        self.store.set(offsets.iter().map(entry).collect()).await
    }
}

#[async_trait]
impl OffsetReader for ConnectorOffsets {
    async fn offsets(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let keys: Vec<_> = partitions.iter().map(|p| self.key(p)).collect();
        let values = self.store.get(keys).await?;
        let parse = |(value, partition): (Option<Vec<u8>>, &SourcePartition)| {
            let Some(value) = value else { return Ok(None) };
            serde_json::from_slice::<Option<SourceOffset>>(&value).map_err(|e| {
                Error::fatal("stored source offset is not a JSON object")
                    .context("connector", &self.connector)
                    .context("source partition", Json::Object(partition.clone()))
                    .with_source(e)
            })
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
