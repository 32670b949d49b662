//! Decides what tasks are given: all the same, since Kafka shares the partitions out.

use async_trait::async_trait;
use millrace_api::config::{Config, ConfigError, Props};
use millrace_api::{Connector, ConnectorContext, Result, Sink, SinkContext, SinkTask};

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
