//! Decides what tasks are given: all the same, since Kafka shares the partitions out.

use std::collections::BTreeMap;

use async_trait::async_trait;
use millrace_api::config::{Config, ConfigError, Props};
use millrace_api::{
    Connector, ConnectorContext, OffsetControl, Result, Sink, SinkContext, SinkTask, TopicPartition,
};

use crate::clock::Clock;
use crate::config::LakeSinkConfig;
use crate::settings::{Settings, check};
use crate::task::LakeSinkTask;

/// The sink as a plugin.
pub(crate) struct LakeSink;

#[async_trait]
impl Sink for LakeSink {
    const CLASS: &'static str = "io.millrace.connect.lake.LakeSinkConnector";
    type Config = LakeSinkConfig;

    async fn connector(
        config: LakeSinkConfig,
        props: Props,
        _context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Settings::new(&config)?;
        Ok(Box::new(LakeSinkConnector { props }))
    }

    async fn task(props: Props, context: SinkContext) -> Result<Box<dyn SinkTask>> {
        let settings = Settings::new(&LakeSinkConfig::parse(&props)?)?;
        let task = LakeSinkTask::new(settings, &context, Clock::system()).await?;
        Ok(Box::new(task))
    }

    fn validate(config: &LakeSinkConfig) -> Vec<ConfigError> {
        check(config)
    }

    /// What is written goes by the group's offsets alone.
    async fn alter_offsets(
        _config: LakeSinkConfig,
        _offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<OffsetControl> {
        Ok(OffsetControl::Complete)
    }
}

struct LakeSinkConnector {
    props: Props,
}

#[async_trait]
impl Connector for LakeSinkConnector {
    async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>> {
        Ok(vec![self.props.clone(); tasks_max])
    }
}
