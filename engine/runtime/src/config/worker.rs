//! A worker's configuration: its variables resolved, its keys parsed (`StandaloneConfig` in Java).

use std::fmt;
use std::time::Duration;

use millrace_api::config::ClassName;
use millrace_api::{Config, Props, Result};
use millrace_kafka::Properties;

use super::keys::{self, StandaloneKeys};
use super::policy::OverridePolicy;
use super::rest::RestConfig;
use super::variables::Variables;
use super::{clients, shown};
use crate::memory::half_of_memory;

/// A standalone worker's configuration.
#[derive(Clone)]
pub struct WorkerConfig {
    /// As written, with variables resolved: prefixes, client settings and what plugins read are
    /// taken from here.
    pub(crate) props: Props,
    bootstrap_servers: Vec<String>,
    pub(crate) key_converter: ClassName,
    pub(crate) value_converter: ClassName,
    pub(crate) header_converter: ClassName,
    pub(crate) graceful_timeout: Duration,
    /// What a plugin does not return from for so long is reported.
    pub(crate) hang_report: Duration,
    /// With more bytes than this the process gives up the plugin that takes most; none: never.
    pub(crate) plugin_memory: Option<usize>,
    pub(crate) commit_interval: Duration,
    pub(crate) commit_timeout: Duration,
    /// `memory.budget.bytes`; none: what the machine has decides.
    pub(crate) memory_budget: Option<usize>,
    /// `metrics.sample.window.ms` and `metrics.num.samples`.
    pub(crate) metrics_windows: (i64, usize),
    /// Topics of sources may be created from `topic.creation.*` (KIP-158).
    pub(crate) topic_creation: bool,
    /// The topics that connectors use are remembered (KIP-558).
    pub(crate) topic_tracking: bool,
    /// REST may have them forgotten (KIP-558).
    pub(crate) topic_tracking_reset: bool,
    /// Which client settings connectors may override.
    pub(crate) policy: OverridePolicy,
    /// What variables in connectors' configurations stand for.
    pub(crate) variables: Variables,
    /// How the REST API is served.
    pub(crate) rest: RestConfig,
    /// Where source offsets are kept.
    pub offset_file: String,
}

impl WorkerConfig {
    /// Parses a standalone worker's properties, after it has put in what their variables stand for.
    /// Keys nobody knows are warned about, with the nearest name: they may be meant for a plugin.
    /// Blocks while config providers read their files.
    pub fn parse(raw: Props) -> Result<Self> {
        let def = StandaloneKeys::config_def();
        keys::warn(&def, &raw);
        tracing::debug!("worker configuration:{}", shown::lines(&def, &raw));
        let variables = Variables::new(&raw)?;
        let (apart, mut open) = apart(raw);
        let resolved = variables.resolve_and_warn("the worker's properties", &open)?;
        open = resolved.props;
        open.extend(apart);
        Self::from_resolved(open, variables).map_err(|e| resolved.redaction.error(e))
    }

    fn from_resolved(props: Props, variables: Variables) -> Result<Self> {
        let StandaloneKeys { worker, offset_storage_file_filename } =
            StandaloneKeys::parse(&props)?;
        let policy = OverridePolicy::new(&worker.override_policy, &props)?;
        let rest = RestConfig::new(worker.rest, &props)?;
        Ok(Self {
            props,
            bootstrap_servers: worker.bootstrap_servers,
            key_converter: worker.key_converter,
            value_converter: worker.value_converter,
            header_converter: worker.header_converter,
            graceful_timeout: millis(worker.task_shutdown_graceful_timeout_ms),
            hang_report: millis(worker.plugin_hang_report_ms),
            plugin_memory: plugin_memory(worker.plugin_memory_limit_bytes),
            // At 0 a task would do nothing but commit.
            commit_interval: millis(worker.offset_flush_interval_ms).max(Duration::from_millis(1)),
            commit_timeout: millis(worker.offset_flush_timeout_ms),
            memory_budget: usize::try_from(worker.memory_budget_bytes).ok().filter(|n| *n > 0),
            metrics_windows: (
                worker.metrics_sample_window_ms,
                usize::try_from(worker.metrics_num_samples).unwrap_or(1),
            ),
            topic_creation: worker.topic_creation_enable,
            topic_tracking: worker.topic_tracking_enable,
            topic_tracking_reset: worker.topic_tracking_allow_reset,
            policy,
            variables,
            rest,
            offset_file: offset_storage_file_filename,
        })
    }

    /// The settings of the worker's own Kafka client.
    pub fn client_properties(&self) -> Properties {
        clients::worker(self)
    }

    /// Where the Kafka cluster is first looked for.
    pub fn bootstrap_servers(&self) -> &[String] {
        &self.bootstrap_servers
    }
}

/// Properties, of `whose` configuration, with what their variables stand for, for whoever reads a
/// worker's without being one: the providers are those that the properties name. What is put in is
/// hidden in the log from then on. Blocks while providers read their files.
///
/// # Errors
///
/// When a provider cannot be used, or cannot read what it is asked for.
pub fn resolve_variables(whose: &str, raw: Props) -> Result<Props> {
    let variables = Variables::new(&raw)?;
    let (apart, open) = apart(raw);
    let mut props = variables.resolve_and_warn(whose, &open)?.props;
    props.extend(apart);
    Ok(props)
}

/// The properties without variables, and the others: providers cannot hide themselves, and Java
/// reads its plugin path before there are any.
fn apart(raw: Props) -> (Props, Props) {
    raw.into_iter().partition(|(key, _)| {
        matches!(key.as_str(), "plugin.path" | "config.providers")
            || key.starts_with("config.providers.")
    })
}

/// Shows nothing that may be a secret.
impl fmt::Debug for WorkerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WorkerConfig");
        shown.field("bootstrap_servers", &self.bootstrap_servers).finish_non_exhaustive()
    }
}

/// By default four fifths of what the process may have.
fn plugin_memory(bytes: i64) -> Option<usize> {
    let given = usize::try_from(bytes).ok()?;
    Some(match given {
        0 => half_of_memory().0.saturating_mul(2) / 5 * 4,
        bytes => bytes,
    })
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests;
