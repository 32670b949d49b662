//! Shows what a connector would do first, and does none of it: nothing is sent, written or
//! committed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::data::{Records, SinkRecords, SourceOffset, SourcePartition};
use millrace_api::{
    ConnectorContext, ConnectorRequests, Error, OffsetReader, Open, Plugin, Props, Result,
    SourceContext, SourceTask, TopicPartition,
};
use millrace_kafka::{Consumer, Isolation, OffsetSpec, Polled, Subscription};
use tokio::time::{Instant, timeout_at};

use crate::catalog::Catalog;
use crate::config::clients;
use crate::config::connector::ConnectorConfig;
use crate::config::plugins;
use crate::config::variables::Resolved;
use crate::config::worker::WorkerConfig;
use crate::contain::contain;
use crate::task::TaskId;

/// Somebody waits. What has come by then is shown.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a task or consumer is waited for at a time.
const LOOK: Duration = Duration::from_secs(5);

/// How long before a task is asked again that was in passing trouble.
const PAUSE: Duration = Duration::from_millis(500);

/// A look at connectors, with a worker's plugins and properties.
pub struct Preview {
    config: WorkerConfig,
    catalog: Catalog,
}

/// What a connector would do first.
#[derive(Debug)]
pub enum Previewed {
    /// What a source would send, transformed.
    Records(Vec<Records>),
    /// What a sink would do with the first records of its topics, in words.
    Actions(Vec<String>),
}

impl Preview {
    /// Opens nothing.
    pub fn new(config: WorkerConfig, catalog: Catalog) -> Self {
        Self { config, catalog }
    }

    /// What a connector of this configuration would do with its first records, at most so many. It
    /// starts as if it had never run.
    pub async fn of(&self, raw: &Props, rows: usize) -> Result<Previewed> {
        let Resolved { props, redaction } = self.config.variables.resolve_aside(raw).await?;
        let shown = contain(Box::pin(self.shown(&props, rows))).await;
        shown.map_err(|e| redaction.error(e))
    }

    async fn shown(&self, props: &Props, rows: usize) -> Result<Previewed> {
        let plugin = self.catalog.connector_of(props)?;
        plugin.config_def().parse(props)?;
        let mut problems = plugin.validate(props);
        if problems.is_empty() {
            problems = plugin.verify(props.clone()).await?.errors;
        }
        if let Some(problem) = problems.into_iter().next() {
            return Err(Error::config(problem.message).context("key", problem.key));
        }
        let config = ConnectorConfig::parse(plugin.kind(), props)?;
        match plugin.open() {
            Open::Sink { .. } => {
                let records = self.consumed(&config, rows).await?;
                plugin.preview(props.clone(), records).await.map(Previewed::Actions)
            }
            _ => self.sent(plugin, &config, rows).await.map(Previewed::Records),
        }
    }

    /// What the source would send: from each of its tasks as much as from the others.
    async fn sent(
        &self,
        plugin: &Plugin,
        config: &ConnectorConfig,
        rows: usize,
    ) -> Result<Vec<Records>> {
        let Open::Source { connector, task: open, .. } = plugin.open() else {
            return Err(Error::config("only connectors can be previewed"));
        };
        let name: Arc<str> = config.props.get("name").map_or("preview", String::as_str).into();
        let context = ConnectorContext::new(Arc::clone(&name), Arc::new(Never), Arc::new(Never));
        let mut connector = connector(config.props.clone(), context).await?;
        let tasks = connector.task_configs(rows.max(1)).await?;
        let mut chain = plugins::chain(&self.catalog, &config.common, &config.props)?;
        let deadline = Instant::now() + PATIENCE;
        let mut sent = Vec::new();
        let mut missing = rows;
        let count = tasks.len();
        for (i, props) in tasks.into_iter().enumerate() {
            let share = missing.div_ceil(count - i);
            let context = SourceContext::new(Arc::clone(&name), Arc::new(Never));
            let mut task = open(props, context).await?;
            let polled = first_of(&mut *task, share, deadline).await;
            task.stop().await?;
            for run in polled? {
                missing -= run.len();
                let (transformed, failures) = chain.apply(run)?;
                if let Some(row) = failures.into_iter().flat_map(|f| f.rows).next() {
                    return Err(row.error);
                }
                sent.extend(transformed);
            }
        }
        connector.stop().await?;
        Ok(sent)
    }

    /// The first records of the sink's topics, as its task would get them.
    async fn consumed(&self, config: &ConnectorConfig, rows: usize) -> Result<Vec<SinkRecords>> {
        let Subscription::Topics(topics) = config.subscription()? else {
            let message = "a preview needs topics: name one that topics.regex matches";
            return Err(Error::config(message).context("key", "topics"));
        };
        let cluster = millrace_kafka::connect(&self.config.client_properties())?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let there = cluster.describe_topics(Some(&topics)).await?;
        if let Some(missing) = topics.iter().find(|topic| !there.contains_key(**topic)) {
            return Err(Error::config("the topic is not there").context("topic", missing));
        }
        let numbers = |(topic, count): (&String, &i32)| {
            (0..*count).map(|n| TopicPartition::new(topic.as_str(), n)).collect::<Vec<_>>()
        };
        let partitions: Vec<TopicPartition> = there.iter().flat_map(numbers).collect();
        let first = OffsetSpec::Earliest;
        let first = cluster.list_offsets(&partitions, first, Isolation::Committed).await?;
        let ends = cluster.end_offsets(&partitions).await?;
        let left = ends.iter().map(|(p, end)| end - first.get(p).unwrap_or(end)).sum::<i64>();
        let name = config.props.get("name").map_or("preview", String::as_str);
        let id = TaskId { connector: name.into(), task: 0 };
        let properties = clients::consumer(&self.config, &config.props, &id)?;
        let mut consumer = cluster.consumer(&properties).await?;
        consumer.assign(&first.into_iter().collect::<Vec<_>>()).await?;
        let rows = rows.min(usize::try_from(left).unwrap_or(0));
        let consumed = self.read(&mut *consumer, config, rows).await;
        consumer.close().await?;
        consumed
    }

    async fn read(
        &self,
        consumer: &mut dyn Consumer,
        config: &ConnectorConfig,
        rows: usize,
    ) -> Result<Vec<SinkRecords>> {
        let (catalog, common, props) = (&self.catalog, &config.common, &config.props);
        let mut converters = plugins::converters(catalog, &self.config, common, props)?;
        let mut chain = plugins::chain(catalog, common, props)?;
        let deadline = Instant::now() + PATIENCE;
        let (mut read, mut missing) = (Vec::new(), rows);
        while missing > 0 && Instant::now() < deadline {
            let Polled::Records(runs) = consumer.poll(LOOK).await? else { continue };
            for run in runs {
                converters.prepare_to(&run).await?;
                let (parts, failures) = converters.deserialize(&run)?;
                if let Some(row) = failures.into_iter().flat_map(|f| f.rows).next() {
                    let topic = &run.topic_partition;
                    return Err(row.error.context("topic partition", topic));
                }
                for part in parts {
                    let part = part.slice(0, part.len().min(missing));
                    missing -= part.len();
                    let (transformed, failures) = chain.apply(part)?;
                    if let Some(row) = failures.into_iter().flat_map(|f| f.rows).next() {
                        return Err(row.error);
                    }
                    let sunk = |records| SinkRecords::new(records, run.topic_partition.clone());
                    read.extend(transformed.into_iter().map(sunk));
                }
            }
        }
        read.retain(|run| !run.records.is_empty());
        Ok(read)
    }
}

/// A task's first records. One that has none for now is not waited for.
async fn first_of(
    task: &mut dyn SourceTask,
    rows: usize,
    deadline: Instant,
) -> Result<Vec<Records>> {
    let (mut first, mut missing) = (Vec::new(), rows);
    while missing > 0 {
        let polled = match timeout_at(deadline.min(Instant::now() + LOOK), task.poll()).await {
            Ok(Err(error)) if error.is_retriable() && Instant::now() < deadline => {
                tracing::warn!("{error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Ok(polled) => polled?,
            Err(_) => break,
        };
        if polled.is_empty() {
            break;
        }
        for run in polled {
            let run = run.records.slice(0, run.records.len().min(missing));
            missing -= run.len();
            first.push(run);
        }
    }
    first.retain(|run| !run.is_empty());
    Ok(first)
}

/// No offset was ever stored, and nobody listens.
struct Never;

#[async_trait]
impl OffsetReader for Never {
    async fn offsets(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        Ok(vec![None; partitions.len()])
    }
}

impl ConnectorRequests for Never {
    fn request_task_reconfiguration(&self) {}

    fn raise_error(&self, error: Error) {
        tracing::warn!("the connector complains: {error}");
    }
}
