//! The sink connector, under the names that configurations call it by.

mod batch;
mod config;
mod debezium;
mod events;
mod ledger;
mod moments;
mod naming;
mod preview;
mod rows;
mod shape;
mod tables;
mod task;
mod writer;

use std::collections::BTreeMap;

use async_trait::async_trait;
use millrace_api::config::{Config, ConfigError, Props};
use millrace_api::data::SinkRecords;
use millrace_api::{
    Connector, ConnectorContext, Error, OffsetControl, Result, Sink, SinkContext, SinkTask,
    TopicPartition,
};

use self::config::{ExactlyOnce, SinkConfig};
use self::debezium::DebeziumConfig;
use self::task::JdbcSinkTask;
use crate::settings::refuse;

/// Confluent's name.
pub(crate) struct Confluent;

/// The name in Aiven's fork.
pub(crate) struct Aiven;

/// The name of Debezium's own sink.
pub(crate) struct Debezium;

#[async_trait]
impl Sink for Confluent {
    const CLASS: &'static str = "io.confluent.connect.jdbc.JdbcSinkConnector";
    type Config = SinkConfig;

    async fn connector(
        config: SinkConfig,
        props: Props,
        _context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        config.check()?;
        Ok(Box::new(JdbcSinkConnector { props }))
    }

    async fn task(props: Props, context: SinkContext) -> Result<Box<dyn SinkTask>> {
        let config = SinkConfig::parse(&props)?;
        Ok(Box::new(JdbcSinkTask::start(config, &props, context)?))
    }

    fn validate(config: &SinkConfig) -> Vec<ConfigError> {
        config.problems()
    }

    async fn preview(
        config: SinkConfig,
        props: &Props,
        records: &[SinkRecords],
    ) -> Result<Vec<String>> {
        preview::preview(config, props, records).await
    }

    async fn alter_offsets(
        config: SinkConfig,
        _offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<OffsetControl> {
        if config.exactly_once == ExactlyOnce::Off {
            return Ok(OffsetControl::Complete);
        }
        let message = "with exactly.once=transactional the offsets that count are in the \
                       database: change or delete them in the table exactly.once.table";
        Err(Error::config(message).context("exactly.once.table", config.offsets_table()))
    }
}

#[async_trait]
impl Sink for Aiven {
    const CLASS: &'static str = "io.aiven.connect.jdbc.JdbcSinkConnector";
    type Config = SinkConfig;

    async fn connector(
        config: SinkConfig,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Confluent::connector(config, props, context).await
    }

    async fn task(props: Props, context: SinkContext) -> Result<Box<dyn SinkTask>> {
        Confluent::task(props, context).await
    }

    fn validate(config: &SinkConfig) -> Vec<ConfigError> {
        config.problems()
    }

    async fn preview(
        config: SinkConfig,
        props: &Props,
        records: &[SinkRecords],
    ) -> Result<Vec<String>> {
        preview::preview(config, props, records).await
    }

    async fn alter_offsets(
        config: SinkConfig,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<OffsetControl> {
        Confluent::alter_offsets(config, offsets).await
    }
}

#[async_trait]
impl Sink for Debezium {
    const CLASS: &'static str = "io.debezium.connector.jdbc.JdbcSinkConnector";
    type Config = DebeziumConfig;

    async fn connector(
        config: DebeziumConfig,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        refuse(config.problems())?;
        Confluent::connector(config.sink, props, context).await
    }

    async fn task(props: Props, context: SinkContext) -> Result<Box<dyn SinkTask>> {
        let config = DebeziumConfig::parse(&props)?;
        Ok(Box::new(JdbcSinkTask::start(config.sink, &props, context)?))
    }

    fn validate(config: &DebeziumConfig) -> Vec<ConfigError> {
        config.problems()
    }

    async fn preview(
        config: DebeziumConfig,
        props: &Props,
        records: &[SinkRecords],
    ) -> Result<Vec<String>> {
        preview::preview(config.sink, props, records).await
    }

    async fn alter_offsets(
        config: DebeziumConfig,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<OffsetControl> {
        Confluent::alter_offsets(config.sink, offsets).await
    }
}

struct JdbcSinkConnector {
    props: Props,
}

#[async_trait]
impl Connector for JdbcSinkConnector {
    /// Kafka deals the partitions to tasks that are all alike.
    async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>> {
        Ok(vec![self.props.clone(); tasks_max])
    }
}
