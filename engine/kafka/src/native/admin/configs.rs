//! Decides how the configs of topics are read and changed.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use millrace_api::Result;

use super::super::client::{CallError, Client, check};
use super::super::error::{Permission, Resource};
use super::{Question, controller, missing_topic, text};

/// The type of a topic among resources with configs.
const TOPIC: i8 = 2;

/// What a config becomes, as the request numbers it (KIP-339).
const SET: i8 = 0;
const DELETE: i8 = 1;

/// The configs of a topic with their defaults; secret ones are left out.
pub(in super::super) async fn topic_configs(
    client: &Client,
    topic: &str,
) -> Result<BTreeMap<String, String>> {
    const WHAT: &str = "the topic's configs cannot be described";
    let needed = [Permission::new("DescribeConfigs", Resource::Topic(topic))];
    let described = Question::new(client, WHAT, &needed).ask(|| async {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configuration_keys(None);
        let answer = client
            .call_any(|_| DescribeConfigsRequest::default().with_resources(vec![resource]))
            .await?;
        let mut configs = BTreeMap::new();
        for result in &answer.results {
            if !exists(check(result.error_code, result.error_message.as_ref()))? {
                return Ok(None);
            }
            configs.extend(result.configs.iter().filter_map(|config| {
                let value = config.value.as_ref().filter(|_| !config.is_sensitive)?;
                Some((config.name.to_string(), value.to_string()))
            }));
        }
        Ok(Some(configs))
    });
    let described = described.await.map_err(|e| e.context("topic", topic))?;
    described.ok_or_else(|| missing_topic(WHAT).context("topic", topic))
}

/// Sets configs of a topic, and takes those back to the default that have no value.
pub(in super::super) async fn alter_topic_configs(
    client: &Client,
    topic: &str,
    changes: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    const WHAT: &str = "the topic's configs cannot be altered";
    let needed = [Permission::new("AlterConfigs", Resource::Topic(topic))];
    let altered = Question::new(client, WHAT, &needed).ask(|| async {
        let configs = changes.iter().map(|(name, value)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(text))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(configs.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let connection = controller(client).await?;
        let answer = connection.call(|_| request).await?;
        connection.throttle(answer.throttle_time_ms);
        for result in &answer.responses {
            if !exists(check(result.error_code, result.error_message.as_ref()))? {
                return Ok(false);
            }
        }
        Ok(true)
    });
    match altered.await.map_err(|e| e.context("topic", topic))? {
        true => Ok(()),
        false => Err(missing_topic(WHAT).context("topic", topic)),
    }
}

/// Whether there is such a topic. Waiting does not bring one, so that error ends the question.
pub(super) fn exists(result: Result<(), CallError>) -> Result<bool, CallError> {
    match result {
        Err(error) if error.code() == Some(ResponseError::UnknownTopicOrPartition) => Ok(false),
        other => other.map(|()| true),
    }
}
