//! Plugins whose every callback is [noted](crate::activity): one that does not return has a name.

use std::sync::Arc;

use arrow::array::BooleanArray;
use async_trait::async_trait;
use bytes::Bytes;
use millrace_api::data::{Column, Records, RowError, SinkRecords, SourceRecords};
use millrace_api::{
    Connector, Converter, Offsets, Predicate, Props, RawHeaders, Result, Serialized, SinkTask,
    SourceTask, TopicPartition, Transformation,
};

use crate::activity::during;

/// A plugin, and its class where a task has several of its kind.
pub(crate) struct Watched<P: ?Sized> {
    class: &'static str,
    plugin: Box<P>,
}

impl<P: ?Sized> Watched<P> {
    pub(crate) fn new(class: &'static str, plugin: Box<P>) -> Box<Self> {
        Box::new(Self { class, plugin })
    }
}

#[async_trait]
impl Connector for Watched<dyn Connector> {
    async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>> {
        let _call = during("taskConfigs", self.class);
        self.plugin.task_configs(tasks_max).await
    }

    async fn stop(&mut self) -> Result<()> {
        let _call = during("stop", self.class);
        self.plugin.stop().await
    }
}

#[async_trait]
impl SourceTask for Watched<dyn SourceTask> {
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        let _call = during("poll", self.class);
        self.plugin.poll().await
    }

    async fn commit(&mut self) -> Result<()> {
        let _call = during("commit", self.class);
        self.plugin.commit().await
    }

    async fn stop(&mut self) -> Result<()> {
        let _call = during("stop", self.class);
        self.plugin.stop().await
    }
}

#[async_trait]
impl SinkTask for Watched<dyn SinkTask> {
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let _call = during("open", self.class);
        self.plugin.open(partitions).await
    }

    async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        let _call = during("put", self.class);
        self.plugin.put(records).await
    }

    fn puts_all_or_nothing(&self) -> bool {
        self.plugin.puts_all_or_nothing()
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        let _call = during("preCommit", self.class);
        self.plugin.pre_commit(consumed).await
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let _call = during("close", self.class);
        self.plugin.close(partitions).await
    }

    async fn stop(&mut self) -> Result<()> {
        let _call = during("stop", self.class);
        self.plugin.stop().await
    }
}

impl Transformation for Watched<dyn Transformation> {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let _call = during("apply", self.class);
        self.plugin.apply(records, failed)
    }
}

impl Predicate for Watched<dyn Predicate> {
    fn test(&mut self, records: &Records) -> Result<BooleanArray> {
        let _call = during("test", self.class);
        self.plugin.test(records)
    }
}

#[async_trait]
impl Converter for Watched<dyn Converter> {
    async fn prepare_from(&mut self, topic: &str, column: &Column) -> Result<()> {
        let _call = during("prepareFrom", self.class);
        self.plugin.prepare_from(topic, column).await
    }

    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let _call = during("fromConnectData", self.class);
        self.plugin.from_connect_data(topic, column, failed)
    }

    fn schema_header(&self) -> Option<(Arc<str>, Bytes)> {
        self.plugin.schema_header()
    }

    async fn prepare_to(
        &mut self,
        topic: &str,
        rows: &Serialized,
        headers: &[RawHeaders],
    ) -> Result<()> {
        let _call = during("prepareTo", self.class);
        self.plugin.prepare_to(topic, rows, headers).await
    }

    fn to_connect_data(
        &mut self,
        topic: &str,
        rows: &Serialized,
        headers: &[RawHeaders],
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        let _call = during("toConnectData", self.class);
        self.plugin.to_connect_data(topic, rows, headers, failed)
    }
}
