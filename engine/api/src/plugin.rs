//! A plugin as the worker knows it: a class name, a configuration, and how to make one.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;

use crate::config::{Config, ConfigDef, ConfigError, Props};
use crate::data::{SinkRecords, SourceOffset, SourcePartition};
use crate::{
    Connector, ConnectorContext, Converter, ConverterRole, Discovery, Error, HeaderConverter,
    Predicate, Result, SinkContext, SinkTask, SourceContext, SourceTask, TopicPartition,
    Transformation, Verdict,
};

/// A source connector as its author writes it.
///
/// The class is what users put into `connector.class`. Constructors take the parsed configuration:
/// whatever is wrong with it was reported before.
#[async_trait]
pub trait Source: Send + 'static {
    /// The Java class name.
    const CLASS: &'static str;
    /// The configuration of connector and tasks.
    type Config: Config + Send;

    /// Starts the connector.
    async fn connector(
        config: Self::Config,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Box<dyn Connector>>;

    /// Starts a task from one of [`Connector::task_configs`].
    async fn task(props: Props, context: SourceContext) -> Result<Box<dyn SourceTask>>;

    /// Checks that reach past single keys. Pure: opens nothing.
    fn validate(config: &Self::Config) -> Vec<ConfigError> {
        let _ = config;
        Vec::new()
    }

    /// Checks that ask the system the connector is for: whether it lets the connector in and knows
    /// what is named. Called when nothing else is wrong, by somebody who waits for the answer: it
    /// ends by itself within 30 s, changes nothing, and names the key to change.
    async fn verify(config: Self::Config, props: &Props) -> Verdict {
        let _ = (config, props);
        Verdict::default()
    }

    /// Lists what the system has that this connector could copy, and suggests how; for a command of
    /// people. Of the configuration only where the system is has to be there. Changes nothing, and
    /// ends by itself within a minute.
    async fn discover(config: Self::Config, props: &Props) -> Result<Discovery> {
        let _ = (config, props);
        Err(Error::config("this connector cannot tell what there is to copy"))
    }

    /// Takes note that the offsets of some source partitions are being set, or deleted where there
    /// is none (KIP-875). Called while the connector is stopped, maybe before it was ever started,
    /// and maybe twice for one change. Values are as they will be read back.
    ///
    /// An error refuses the change: nothing was set then.
    async fn alter_offsets(
        config: Self::Config,
        offsets: &[AlteredOffset],
    ) -> Result<OffsetControl> {
        let _ = (config, offsets);
        Ok(OffsetControl::Unknown)
    }
}

/// A sink connector as its author writes it; see [`Source`].
#[async_trait]
pub trait Sink: Send + 'static {
    /// The Java class name.
    const CLASS: &'static str;
    /// The configuration of connector and tasks.
    type Config: Config + Send;

    /// Starts the connector.
    async fn connector(
        config: Self::Config,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Box<dyn Connector>>;

    /// Starts a task from one of [`Connector::task_configs`].
    async fn task(props: Props, context: SinkContext) -> Result<Box<dyn SinkTask>>;

    /// Checks that reach past single keys. Pure: opens nothing.
    fn validate(config: &Self::Config) -> Vec<ConfigError> {
        let _ = config;
        Vec::new()
    }

    /// Checks that ask the system the connector is for; see [`Source::verify`].
    async fn verify(config: Self::Config, props: &Props) -> Verdict {
        let _ = (config, props);
        Verdict::default()
    }

    /// What this sink would do with these records, in words such as the statements it would run;
    /// for a command of people. Changes nothing, and ends by itself within a minute.
    async fn preview(
        config: Self::Config,
        props: &Props,
        records: &[SinkRecords],
    ) -> Result<Vec<String>> {
        let _ = (config, props, records);
        Err(Error::config("this connector cannot show what it would do"))
    }

    /// Takes note that the group's offsets are being set, or deleted where there is none; see
    /// [`Source::alter_offsets`].
    async fn alter_offsets(
        config: Self::Config,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<OffsetControl> {
        let _ = (config, offsets);
        Ok(OffsetControl::Unknown)
    }
}

/// What a connector says when its offsets are changed from outside (what Java's `alterOffsets`
/// returns or throws).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetControl {
    /// The worker keeps all offsets of this connector (`true`).
    Complete,
    /// The connector does not say whether it keeps offsets elsewhere too (`false`).
    Unknown,
    /// Its offsets cannot be changed (`UnsupportedOperationException`).
    Refused,
}

/// A source partition and the offset it gets; none deletes. Java allows a partition to be null.
pub type AlteredOffset = (Option<SourcePartition>, Option<SourceOffset>);

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginKind {
    /// A source connector.
    Source,
    /// A sink connector.
    Sink,
    /// A converter.
    Converter,
    /// A header converter.
    HeaderConverter,
    /// A transformation.
    Transformation,
    /// A predicate.
    Predicate,
}

impl PluginKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Source,
        Self::Sink,
        Self::Converter,
        Self::HeaderConverter,
        Self::Transformation,
        Self::Predicate,
    ];

    /// The `type` that `GET /connector-plugins` shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Converter => "converter",
            Self::HeaderConverter => "header_converter",
            Self::Transformation => "transformation",
            Self::Predicate => "predicate",
        }
    }

    /// What Java cuts off the end of a class name to make an alias.
    fn suffix(self) -> &'static str {
        match self {
            Self::Source | Self::Sink => "Connector",
            Self::Converter => "Converter",
            Self::HeaderConverter => "HeaderConverter",
            Self::Transformation => "Transformation",
            Self::Predicate => "Predicate",
        }
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// How to make a plugin, its types erased.
pub enum Open {
    /// A source connector.
    Source {
        /// Starts the connector.
        connector: fn(Props, ConnectorContext) -> Boxed<Box<dyn Connector>>,
        /// Starts a task.
        task: fn(Props, SourceContext) -> Boxed<Box<dyn SourceTask>>,
        /// [`Source::alter_offsets`].
        alter_offsets: fn(Props, Vec<AlteredOffset>) -> Boxed<OffsetControl>,
    },
    /// A sink connector.
    Sink {
        /// Starts the connector.
        connector: fn(Props, ConnectorContext) -> Boxed<Box<dyn Connector>>,
        /// Starts a task.
        task: fn(Props, SinkContext) -> Boxed<Box<dyn SinkTask>>,
        /// [`Sink::alter_offsets`].
        alter_offsets: fn(Props, BTreeMap<TopicPartition, Option<i64>>) -> Boxed<OffsetControl>,
    },
    /// A converter: its keys come without prefix.
    Converter(fn(&Props, ConverterRole) -> Result<Box<dyn Converter>>),
    /// A header converter: its keys come without prefix.
    HeaderConverter(fn(&Props) -> Result<Box<dyn HeaderConverter>>),
    /// A transformation: its keys come without prefix.
    Transformation(fn(&Props) -> Result<Box<dyn Transformation>>),
    /// A predicate: its keys come without prefix.
    Predicate(fn(&Props) -> Result<Box<dyn Predicate>>),
}

/// A plugin: what it is called, how it is configured, how it is made.
pub struct Plugin {
    class: &'static str,
    config_def: fn() -> ConfigDef,
    validate: fn(&Props) -> Vec<ConfigError>,
    verify: fn(Props) -> Boxed<Verdict>,
    discover: fn(Props) -> Boxed<Discovery>,
    preview: fn(Props, Vec<SinkRecords>) -> Boxed<Vec<String>>,
    aliases: bool,
    log_target: Option<&'static str>,
    open: Open,
}

impl Plugin {
    /// A source connector.
    pub fn source<S: Source>() -> Self {
        let open = Open::Source {
            connector: |props, context| {
                Box::pin(async { S::connector(S::Config::parse(&props)?, props, context).await })
            },
            task: |props, context| S::task(props, context),
            alter_offsets: |props, offsets| {
                Box::pin(async move { S::alter_offsets(S::Config::parse(&props)?, &offsets).await })
            },
        };
        let validate = |props: &Props| S::Config::parse(props).map_or(vec![], |c| S::validate(&c));
        let verify = |props: Props| -> Boxed<_> {
            Box::pin(async move {
                // What validation lets pass and parsing does not is told when one is made.
                let Ok(config) = S::Config::parse(&props) else { return Ok(Verdict::default()) };
                Ok(S::verify(config, &props).await)
            })
        };
        let discover = |props: Props| -> Boxed<_> {
            Box::pin(async move { S::discover(S::Config::parse(&props)?, &props).await })
        };
        let plugin = Self::new(S::CLASS, S::Config::config_def, open).logs_as::<S>();
        Self { validate, verify, discover, ..plugin }
    }

    /// A sink connector.
    pub fn sink<S: Sink>() -> Self {
        let open = Open::Sink {
            connector: |props, context| {
                Box::pin(async { S::connector(S::Config::parse(&props)?, props, context).await })
            },
            task: |props, context| S::task(props, context),
            alter_offsets: |props, offsets| {
                Box::pin(async move { S::alter_offsets(S::Config::parse(&props)?, &offsets).await })
            },
        };
        let validate = |props: &Props| S::Config::parse(props).map_or(vec![], |c| S::validate(&c));
        let verify = |props: Props| -> Boxed<_> {
            Box::pin(async move {
                // What validation lets pass and parsing does not is told when one is made.
                let Ok(config) = S::Config::parse(&props) else { return Ok(Verdict::default()) };
                Ok(S::verify(config, &props).await)
            })
        };
        let preview = |props: Props, records: Vec<SinkRecords>| -> Boxed<_> {
            Box::pin(async move { S::preview(S::Config::parse(&props)?, &props, &records).await })
        };
        let plugin = Self::new(S::CLASS, S::Config::config_def, open).logs_as::<S>();
        Self { validate, verify, preview, ..plugin }
    }

    /// A converter for keys and values.
    pub fn converter(
        class: &'static str,
        config_def: fn() -> ConfigDef,
        open: fn(&Props, ConverterRole) -> Result<Box<dyn Converter>>,
    ) -> Self {
        Self::new(class, config_def, Open::Converter(open))
    }

    /// A converter for header values.
    pub fn header_converter(
        class: &'static str,
        config_def: fn() -> ConfigDef,
        open: fn(&Props) -> Result<Box<dyn HeaderConverter>>,
    ) -> Self {
        Self::new(class, config_def, Open::HeaderConverter(open))
    }

    /// A transformation.
    pub fn transformation(
        class: &'static str,
        config_def: fn() -> ConfigDef,
        open: fn(&Props) -> Result<Box<dyn Transformation>>,
    ) -> Self {
        Self::new(class, config_def, Open::Transformation(open))
    }

    /// A predicate.
    pub fn predicate(
        class: &'static str,
        config_def: fn() -> ConfigDef,
        open: fn(&Props) -> Result<Box<dyn Predicate>>,
    ) -> Self {
        Self::new(class, config_def, Open::Predicate(open))
    }

    fn new(class: &'static str, config_def: fn() -> ConfigDef, open: Open) -> Self {
        Self {
            class,
            config_def,
            validate: |_| Vec::new(),
            verify: |_| Box::pin(async { Ok(Verdict::default()) }),
            preview: |_, _| {
                Box::pin(async { Err(Error::config("only a sink does something with records")) })
            },
            discover: |_| {
                Box::pin(async {
                    Err(Error::config("only a source can tell what there is to copy"))
                })
            },
            aliases: true,
            log_target: None,
            open,
        }
    }

    /// Its crate is where its type comes from.
    fn logs_as<T>(mut self) -> Self {
        self.log_target = std::any::type_name::<T>().split("::").next();
        self
    }

    /// Answers to the full class name only: another plugin has the short ones.
    #[must_use]
    pub fn without_aliases(mut self) -> Self {
        self.aliases = false;
        self
    }

    /// What the targets of a connector's log lines begin with: its crate. None for other plugins.
    pub fn log_target(&self) -> Option<&'static str> {
        self.log_target
    }

    /// The Java class name.
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// The version that REST shows: all plugins are built in, so it is this project's.
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// What it is.
    pub fn kind(&self) -> PluginKind {
        match self.open {
            Open::Source { .. } => PluginKind::Source,
            Open::Sink { .. } => PluginKind::Sink,
            Open::Converter(_) => PluginKind::Converter,
            Open::HeaderConverter(_) => PluginKind::HeaderConverter,
            Open::Transformation(_) => PluginKind::Transformation,
            Open::Predicate(_) => PluginKind::Predicate,
        }
    }

    /// Its configuration keys.
    pub fn config_def(&self) -> ConfigDef {
        (self.config_def)()
    }

    /// Its checks that reach past single keys; nothing while single keys are wrong.
    pub fn validate(&self, props: &Props) -> Vec<ConfigError> {
        (self.validate)(props)
    }

    /// Its checks that ask the system it is for; see [`Source::verify`].
    pub async fn verify(&self, props: Props) -> Result<Verdict> {
        (self.verify)(props).await
    }

    /// What there is to copy; see [`Source::discover`].
    pub async fn discover(&self, props: Props) -> Result<Discovery> {
        (self.discover)(props).await
    }

    /// What a sink would do with these records; see [`Sink::preview`].
    pub async fn preview(&self, props: Props, records: Vec<SinkRecords>) -> Result<Vec<String>> {
        (self.preview)(props, records).await
    }

    /// How to make one.
    pub fn open(&self) -> &Open {
        &self.open
    }

    /// Whether a user may mean this plugin by `name`: the full class name, the simple one, or the
    /// simple one without the suffix of its kind (`PluginUtils.simpleName` and `prunedName`).
    pub fn answers_to(&self, name: &str) -> bool {
        let simple = self.class.rsplit(['.', '$']).next().unwrap_or(self.class);
        let mut pruned = simple.strip_suffix(self.kind().suffix());
        if self.kind() == PluginKind::HeaderConverter {
            // Java knows no alias by kind: what is a converter as well has that one's.
            pruned = pruned.or_else(|| simple.strip_suffix(PluginKind::Converter.suffix()));
        }
        let pruned = pruned.filter(|p| !p.is_empty());
        name == self.class || self.aliases && (name == simple || Some(name) == pruned)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind().name(), self.class)
    }
}
