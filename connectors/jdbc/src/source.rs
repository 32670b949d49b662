//! The source connector, under the two names that configurations call it by.

mod aiven;
mod altered;
mod columns;
mod config;
mod connector;
mod deal;
mod discover;
mod job;
mod patterns;
mod progress;
mod read;
mod reading;
mod snapshot;
mod task;
mod verify;

use async_trait::async_trait;
use millrace_api::config::{Config, ConfigError, Props};
use millrace_api::{
    AlteredOffset, Connector, ConnectorContext, Discovery, OffsetControl, Result, Source,
    SourceContext, SourceTask, Verdict,
};

use self::aiven::AivenConfig;
use self::config::SourceConfig;
use self::connector::JdbcConnector;
use self::task::JdbcTask;

/// Confluent's name.
pub(crate) struct Confluent;

/// The name in Aiven's fork.
pub(crate) struct Aiven;

#[async_trait]
impl Source for Confluent {
    const CLASS: &'static str = "io.confluent.connect.jdbc.JdbcSourceConnector";
    type Config = SourceConfig;

    async fn connector(
        config: SourceConfig,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Ok(Box::new(JdbcConnector::start(config, props, context).await?))
    }

    async fn task(props: Props, context: SourceContext) -> Result<Box<dyn SourceTask>> {
        Ok(Box::new(JdbcTask::start(SourceConfig::parse(&props)?, &props, context).await?))
    }

    fn validate(config: &SourceConfig) -> Vec<ConfigError> {
        config.problems()
    }

    async fn verify(config: SourceConfig, props: &Props) -> Verdict {
        verify::verify(&config, props).await
    }

    async fn discover(config: SourceConfig, props: &Props) -> Result<Discovery> {
        discover::discover(&config, props).await
    }

    async fn alter_offsets(
        _config: SourceConfig,
        offsets: &[AlteredOffset],
    ) -> Result<OffsetControl> {
        altered::check(offsets)
    }
}

#[async_trait]
impl Source for Aiven {
    const CLASS: &'static str = "io.aiven.connect.jdbc.JdbcSourceConnector";
    type Config = AivenConfig;

    async fn connector(
        config: AivenConfig,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Confluent::connector(config.0, props, context).await
    }

    async fn task(props: Props, context: SourceContext) -> Result<Box<dyn SourceTask>> {
        Ok(Box::new(JdbcTask::start(AivenConfig::parse(&props)?.0, &props, context).await?))
    }

    fn validate(config: &AivenConfig) -> Vec<ConfigError> {
        config.0.problems()
    }

    async fn verify(config: AivenConfig, props: &Props) -> Verdict {
        verify::verify(&config.0, props).await
    }

    async fn alter_offsets(
        _config: AivenConfig,
        offsets: &[AlteredOffset],
    ) -> Result<OffsetControl> {
        altered::check(offsets)
    }
}
