//! Starts and stops connectors and tasks in this process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use millrace_api::{
    ConnectorContext, ConnectorRequests, Error, OffsetReader, Open, Plugin, PluginKind, Props,
    Result, SinkContext, SourceContext,
};
use millrace_kafka::{Cluster, Consumer, Footprint, Producer, Properties};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use crate::activity::{Whose, during, fence};
use crate::catalog::Catalog;
use crate::config::client_keys::Client;
use crate::config::connector::ConnectorConfig;
use crate::config::redaction::Redaction;
use crate::config::variables::Resolved;
use crate::config::worker::WorkerConfig;
use crate::config::{clients, plugins};
use crate::connector::RunningConnector;
use crate::contain::contain;
use crate::failure::Failure;
use crate::memory::{ClientKind, Share, TaskClient};
use crate::metrics::{Metrics, Registration, TaskMetrics};
use crate::plugin_runtime::{Job, PluginRuntime};
use crate::status::{State, Status, StatusStore, StatusWriter};
use crate::store::offsets::{ConnectorOffsets, OffsetStore};
use crate::task::converted::Originals;
use crate::task::errors::ErrorPolicy;
use crate::task::errors::last::LastLetters;
use crate::task::errors::letters::DeadLetters;
use crate::task::offsets::SubmittedRecords;
use crate::task::sink::{SinkPipeline, SinkState, SinkTaskLoop};
use crate::task::skipped::{SkippingConsumer, Skips};
use crate::task::source::{Committer, SourcePipeline, SourceTaskLoop};
use crate::task::topics::{TopicCreation, TopicGroup};
use crate::task::{self, TaskId, Wanted, Wishes};
use crate::topics::{ActiveTopics, TopicUses};
use crate::watched::Watched;

/// How long what tasks that were given up are storing is waited for before others start.
const LONGEST_SETTLING: Duration = Duration::from_secs(1);

/// What connectors and tasks share in this process.
pub(crate) struct Worker {
    pub(crate) id: String,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) config: WorkerConfig,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) offsets: Arc<dyn OffsetStore>,
    pub(crate) statuses: Arc<StatusStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) plugins: PluginRuntime,
}

/// What a task is started with.
pub(crate) struct TaskConfig {
    pub(crate) id: TaskId,
    /// The connector's configuration, as written.
    pub(crate) connector: Props,
    /// The task's own, as written.
    pub(crate) task: Props,
    /// Which topics the connector uses; none when they are not tracked.
    pub(crate) topics: Option<Arc<ActiveTopics>>,
    /// The records that it leaves out.
    pub(crate) skips: Arc<Skips>,
    /// What they have written as they failed.
    pub(crate) last_letters: Arc<LastLetters>,
    /// Told when the task has failed.
    pub(crate) failures: Arc<Notify>,
}

/// A task that was started; dropping it gives the task up.
pub(crate) struct RunningTask {
    wanted: watch::Sender<Wanted>,
    job: Option<Job<()>>,
    outcome: Outcome,
    _metrics: Registration,
}

/// What is said of one run of a task.
#[derive(Clone)]
struct Outcome {
    status: StatusWriter,
    failure: Arc<Mutex<Option<Failure>>>,
    /// Told when there is a failure.
    failures: Arc<Notify>,
}

impl Outcome {
    /// The status is last: who sees it may ask what is counted, or for the record to be skipped.
    fn fail(&self, error: &Error) {
        let failure = Failure::of(error);
        self.status.metrics().task_failed(failure.class);
        *lock(&self.failure) = Some(failure);
        self.status.write_failure(error);
        self.failures.notify_one();
    }
}

impl Worker {
    /// The status a connector or task of this worker is in.
    pub(crate) fn status(&self, plugin: Option<&Plugin>, state: State) -> Status {
        let version = plugin.map(|p| p.version().to_owned());
        Status { state, worker_id: self.id.clone(), version, trace: None }
    }

    pub(crate) fn connector_offsets(&self, name: &str) -> ConnectorOffsets {
        ConnectorOffsets::new(name, Arc::clone(&self.offsets))
    }

    /// The cluster as a connector's admin client sees it.
    pub(crate) fn admin(&self, name: &str, connector: &Props) -> Result<Arc<dyn Cluster>> {
        if !clients::has_own_admin(&self.config, connector) {
            return Ok(Arc::clone(&self.cluster));
        }
        let client_id = format!("connector-worker-adminclient-{name}");
        millrace_kafka::connect(&clients::admin(&self.config, connector, client_id)?)
            .map_err(|e| clients::traced_back(e, &self.config, connector, Client::Admin))
    }

    async fn consumer(
        &self,
        id: &TaskId,
        connector: &Props,
        share: &Share,
    ) -> Result<Box<dyn Consumer>> {
        let properties = clients::consumer(&self.config, connector, id)?;
        let consumer = self.cluster.consumer(&properties).await.map(|consumer| {
            share.use_client(task_client(ClientKind::Consumer, &properties, consumer.footprint()));
            fence().consumer(consumer)
        });
        consumer.map_err(|e| clients::traced_back(e, &self.config, connector, Client::Consumer))
    }

    async fn producer(
        &self,
        properties: Properties,
        connector: &Props,
        share: &Share,
    ) -> Result<Box<dyn Producer>> {
        let producer = self.cluster.producer(&properties).await.map(|producer| {
            share.use_client(task_client(ClientKind::Producer, &properties, producer.footprint()));
            fence().producer(producer)
        });
        producer.map_err(|e| clients::traced_back(e, &self.config, connector, Client::Producer))
    }

    /// Starts a connector. Cancelled, it gives the connector up.
    pub(crate) async fn start_connector(
        &self,
        name: &str,
        raw: &Props,
        requests: Arc<dyn ConnectorRequests>,
    ) -> Result<RunningConnector> {
        self.plugins.jobs().forget_greed(&Whose::Connector(name.into()));
        let Resolved { props, redaction } = self.config.variables.resolve_aside(raw).await?;
        let plugin = self.catalog.connector_of(&props).map_err(|e| redaction.error(e))?;
        let (Open::Source { connector, .. } | Open::Sink { connector, .. }) = plugin.open() else {
            unreachable!("the catalog was asked for a connector")
        };
        if plugin.kind() == PluginKind::Source {
            // As in Java, what is wrong with them fails the connector before it starts.
            let checked = self.topic_groups(&props);
            checked.map_err(|e| redaction.error(Error::fatal(e.to_string())))?;
        }
        let offsets: Arc<dyn OffsetReader> = Arc::new(self.connector_offsets(name));
        let context = ConnectorContext::new(name, offsets, requests);
        let open = connector(props, context);
        RunningConnector::start((&self.plugins, name), redaction, opened(open)).await
    }

    /// Starts a task. It runs, and writes its status, until it ends or is stopped.
    pub(crate) fn start_task(self: &Arc<Self>, task: TaskConfig, wanted: Wanted) -> RunningTask {
        let id = task.id.clone();
        let plugin = self.catalog.connector_of(&task.connector).ok();
        let template = self.status(plugin, State::Unassigned);
        let state = if wanted == Wanted::Pause { State::Paused } else { State::Running };
        let metrics = self.metrics.register(&id, state);
        let (statuses, counted) = (Arc::clone(&self.statuses), Arc::clone(&metrics.task));
        let status = StatusWriter::new(id.clone(), statuses, template, counted);
        let (sender, receiver) = watch::channel(wanted);
        let failures = Arc::clone(&task.failures);
        let outcome = Outcome { status, failure: Arc::default(), failures };
        let (worker, told) = (Arc::clone(self), outcome.clone());
        let span = tracing::info_span!("task", connector = %id.connector, task = id.task);
        let life = async move {
            let ended = worker.run_resolved(task, receiver, &told.status).await;
            if fence().is_closed() {
                // Whoever has given it up has said why.
                return;
            }
            match ended {
                Ok(()) => told.status.write(State::Unassigned),
                Err(error) => {
                    tracing::error!("task {} failed: {}", told.status.task(), error.trace());
                    told.fail(&error);
                }
            }
        };
        let mut job = self.plugins.spawn(Whose::Task(id), life.instrument(span));
        if let Some(refusal) = job.refusal() {
            outcome.fail(&refusal);
        }
        let told = outcome.clone();
        job.on_failure(move |error| told.fail(error));
        RunningTask { wanted: sender, job: Some(job), outcome, _metrics: metrics }
    }

    /// Runs a task with the values of its configuration's variables, which no error shows.
    async fn run_resolved(
        &self,
        task: TaskConfig,
        receiver: watch::Receiver<Wanted>,
        status: &StatusWriter,
    ) -> Result<()> {
        let variables = &self.config.variables;
        let connector = variables.resolve_aside(&task.connector).await?;
        let own = variables.resolve_aside(&task.task).await?;
        let redaction = connector.redaction.and(own.redaction);
        let task = TaskConfig { connector: connector.props, task: own.props, ..task };
        let ran = contain(Box::pin(self.run_task(task, &redaction, receiver, status))).await;
        ran.map_err(|e| redaction.error(e))
    }

    async fn run_task(
        &self,
        TaskConfig { id, connector, task, topics, skips, last_letters, .. }: TaskConfig,
        redaction: &Redaction,
        receiver: watch::Receiver<Wanted>,
        status: &StatusWriter,
    ) -> Result<()> {
        let (id, topics, metrics) = (&id, TopicUses::new(topics), status.metrics());
        let plugin = self.catalog.connector_of(&connector)?;
        let config = ConnectorConfig::parse(plugin.kind(), &connector)?;
        if let Ok(parts) = plugins::parts(&self.catalog, &self.config, &config, &task) {
            metrics.is_made_of(parts);
        }
        let mut wishes = Wishes::new(receiver);
        if wishes.now() == Wanted::Pause {
            // As in Java, a task that begins paused is not constructed before it is resumed.
            status.write(State::Paused);
            if wishes.other_than(Wanted::Pause).await == Wanted::Stop {
                return Ok(());
            }
        }
        let letters = self.dead_letters(id, &config, &wishes, metrics).await?;
        let letters = letters.map(|letters| letters.after(last_letters));
        let (policy, redaction) = (config.errors(), redaction.clone());
        let errors = ErrorPolicy::new(id.clone(), policy, redaction, letters, metrics);
        match plugin.open() {
            Open::Source { task: open, .. } => {
                let offsets: Arc<dyn OffsetReader> =
                    Arc::new(self.connector_offsets(&id.connector));
                let pipeline = self.source_pipeline(id, &config, topics, errors).await?;
                let context = SourceContext::new(Arc::clone(&id.connector), offsets);
                let task = Watched::new("", opened(open(task, context)).await?);
                let committer = self.committer(id, &config, metrics);
                let (status, metrics) = (status.clone(), Arc::clone(metrics));
                SourceTaskLoop { task, pipeline, committer, wishes, status, metrics }.run().await
            }
            Open::Sink { task: open, .. } => {
                let errors = Arc::new(errors);
                let context = SinkContext::new(Arc::clone(&id.connector), errors.reporter());
                let task = Watched::new("", opened(open(task, context.clone())).await?);
                let pipeline = self.sink_pipeline(&config, Arc::clone(&errors), topics, metrics)?;
                let consumer = self.consumer(id, &connector, metrics.share()).await?;
                let mut consumer = SkippingConsumer::around(consumer, skips, errors);
                consumer.subscribe(&config.subscription()?).await?;
                let (interval, timeout) = (self.config.commit_interval, self.config.commit_timeout);
                let (patience, retries) = (config.patience(), config.put_retries());
                let state = SinkState::new(interval, timeout, patience, retries);
                let (status, metrics) = (status.clone(), Arc::clone(metrics));
                SinkTaskLoop { task, context, pipeline, consumer, wishes, status, metrics, state }
                    .run()
                    .await
            }
            _ => unreachable!("the catalog was asked for a connector"),
        }
    }

    async fn source_pipeline(
        &self,
        id: &TaskId,
        config: &ConnectorConfig,
        topics: TopicUses,
        errors: ErrorPolicy,
    ) -> Result<SourcePipeline> {
        let properties = clients::producer(&self.config, &config.props, id)?;
        let (catalog, common, props) = (&self.catalog, &config.common, &config.props);
        let share = Arc::clone(errors.metrics().share());
        let producer = self.producer(properties, &config.props, &share).await?;
        Ok(SourcePipeline {
            chain: plugins::chain(catalog, common, props)?,
            converters: plugins::converters(catalog, &self.config, common, props)?,
            metrics: Arc::clone(errors.metrics()),
            errors: Arc::new(errors),
            retries: config.retries(),
            patience: config.patience(),
            producer,
            topics,
            creation: self.topic_creation(id, config)?,
        })
    }

    /// How a source's topics are created; none when that is left to the broker.
    fn topic_groups(&self, props: &Props) -> Result<Option<Vec<TopicGroup>>> {
        match self.config.topic_creation {
            true => task::topics::groups(props),
            false => Ok(None),
        }
    }

    /// What creates the topics of a source task; none when it is left to the broker.
    fn topic_creation(
        &self,
        id: &TaskId,
        config: &ConnectorConfig,
    ) -> Result<Option<TopicCreation>> {
        let Some(groups) = self.topic_groups(&config.props)? else {
            return Ok(None);
        };
        let admin = self.admin(&id.connector, &config.props)?;
        Ok(Some(TopicCreation::new(admin, groups)))
    }

    fn committer(
        &self,
        id: &TaskId,
        config: &ConnectorConfig,
        metrics: &Arc<TaskMetrics>,
    ) -> Committer {
        let submitted = SubmittedRecords::new(config.errors().tolerate_all, metrics);
        let store = fence().offsets(Arc::clone(&self.offsets));
        let offsets = ConnectorOffsets::new(Arc::clone(&id.connector), store);
        let WorkerConfig { commit_interval, commit_timeout, .. } = self.config;
        Committer::new(submitted, offsets, commit_interval, commit_timeout)
    }

    fn sink_pipeline(
        &self,
        config: &ConnectorConfig,
        errors: Arc<ErrorPolicy>,
        topics: TopicUses,
        metrics: &Arc<TaskMetrics>,
    ) -> Result<SinkPipeline> {
        let (catalog, common, props) = (&self.catalog, &config.common, &config.props);
        Ok(SinkPipeline {
            chain: plugins::chain(catalog, common, props)?,
            converters: plugins::converters(catalog, &self.config, common, props)?,
            errors,
            metrics: Arc::clone(metrics),
            retries: config.retries(),
            originals: Originals::default(),
            topics,
        })
    }

    /// A task's way to its dead letter queue, if it has one.
    async fn dead_letters(
        &self,
        id: &TaskId,
        config: &ConnectorConfig,
        wishes: &Wishes,
        metrics: &Arc<TaskMetrics>,
    ) -> Result<Option<DeadLetters>> {
        let Some(keys) = config.dead_letters()? else { return Ok(None) };
        let cluster = self.admin(&id.connector, &config.props)?;
        create_dead_letter_queue(&*cluster, &keys.topic, keys.replication_factor).await?;
        let properties = clients::dead_letter_producer(&self.config, &config.props, id)?;
        let producer = self.producer(properties, &config.props, metrics.share()).await?;
        let wishes = wishes.clone();
        Ok(Some(DeadLetters::new(&keys.topic, keys.context, producer, metrics, wishes)))
    }
}

fn task_client(kind: ClientKind, properties: &Properties, footprint: Arc<Footprint>) -> TaskClient {
    let id = properties.get("client.id").cloned().unwrap_or_default();
    TaskClient { kind, id, footprint, start: SystemTime::now() }
}

/// A task as its constructor makes it, which is `start` in Java.
async fn opened<T>(open: impl Future<Output = Result<T>>) -> Result<T> {
    let _call = during("start", "");
    open.await
}

async fn create_dead_letter_queue(
    cluster: &dyn Cluster,
    topic: &str,
    replication_factor: i16,
) -> Result<()> {
    if cluster.describe_topics(Some(&[topic])).await?.contains_key(topic) {
        return Ok(());
    }
    let topic = millrace_kafka::NewTopic {
        name: topic.to_owned(),
        partitions: Some(1),
        replication_factor: Some(replication_factor),
        configs: Default::default(),
    };
    match cluster.create_topic(&topic).await {
        Err(e) if e.kind() != millrace_api::ErrorKind::Conflict => {
            let error = Error::fatal("Could not initialize dead letter queue topic")
                .context("topic", topic.name);
            let remedied = match replication_factor > 1 && is_of_replication(&e) {
                true => error.context("remedy", MANY_REPLICAS),
                false => error,
            };
            Err(remedied.with_source(e))
        }
        _ => Ok(()),
    }
}

const MANY_REPLICAS: &str = "set errors.deadletterqueue.topic.replication.factor, by default 3, to \
                             no more than there are brokers: 1 for a single one";

/// Kafka's words are in the error, or the name of its code.
fn is_of_replication(error: &Error) -> bool {
    error.copied().to_string().to_lowercase().replace([' ', '_'], "").contains("replicationfactor")
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunningTask {
    /// Why it has failed, once.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        lock(&self.outcome.failure).take()
    }

    pub(crate) fn want(&self, wanted: Wanted) {
        self.wanted.send_replace(wanted);
    }

    /// Waits until `deadline` for a task that was told to stop, then gives it up: it is cancelled at
    /// its next await, writes nothing any more, and leaves its group whatever it does. The answer
    /// ends when it has.
    async fn stopped(&mut self, deadline: Instant) -> Option<JoinHandle<()>> {
        let mut job = self.job.take()?;
        if tokio::time::timeout_at(deadline, &mut job).await.is_err() {
            tracing::error!(
                "{} did not stop within task.shutdown.graceful.timeout.ms and is given up",
                self.outcome.status.task()
            );
            self.outcome.status.cancel();
            let fence = job.fence();
            drop(job);
            return Some(tokio::spawn(async move { fence.settled().await }));
        }
        None
    }
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        if self.job.take().is_some() {
            self.outcome.status.cancel();
        }
    }
}

/// Stops tasks: all are told first, then waited for; the time is one budget for all of them.
pub(crate) async fn stop_tasks<'a>(
    tasks: impl IntoIterator<Item = &'a mut RunningTask>,
    budget: Duration,
) {
    let deadline = Instant::now() + budget;
    let tasks: Vec<_> = tasks.into_iter().collect();
    for task in &tasks {
        task.want(Wanted::Stop);
    }
    let mut settling = Vec::new();
    for task in tasks {
        settling.extend(task.stopped(deadline).await);
    }
    // Successors should see what those that were given up are storing now.
    let settled = async {
        for one in settling {
            let _ = one.await;
        }
    };
    let _ = tokio::time::timeout(LONGEST_SETTLING, settled).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who sees it may restart the task at once, or ask for the record to be skipped.
    #[test]
    fn a_task_is_seen_to_have_failed_when_it_is_known_why() {
        for _ in 0..200 {
            let statuses = Arc::new(StatusStore::default());
            let id = TaskId { connector: "c".into(), task: 0 };
            let (state, worker_id) = (State::Unassigned, "w:0".to_owned());
            let template = Status { state, worker_id, version: None, trace: None };
            let metrics = TaskMetrics::apart();
            let status = StatusWriter::new(id, Arc::clone(&statuses), template, metrics);
            let outcome = Outcome { status, failure: Arc::default(), failures: Arc::default() };
            let told = outcome.clone();
            let failing = std::thread::spawn(move || told.fail(&Error::fatal("it is broken")));
            while statuses.of("c").is_none() && !failing.is_finished() {
                std::hint::spin_loop();
            }
            assert!(lock(&outcome.failure).is_some());
            failing.join().unwrap();
        }
    }
}
