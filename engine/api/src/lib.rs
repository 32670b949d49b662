//! What plugins are written against: data, configuration, and the traits of connectors, converters
//! and transformations.
#![deny(missing_docs)]

pub mod config;
mod connector;
mod converter;
pub mod data;
mod error;
mod finding;
mod plugin;
mod topic_partition;
mod transform;

pub use config::{Config, ConfigDef, Props};
pub use connector::{
    Connector, ConnectorContext, ConnectorRequests, ErrantRecordReporter, OffsetReader, Offsets,
    Refused, SinkContext, SinkTask, SinkWishes, SourceContext, SourceTask,
};
pub use converter::{Converter, ConverterRole, HeaderConverter, RawHeaders, Serialized};
pub use error::{Error, ErrorKind, Result};
pub use finding::{Discovery, Verdict};
pub use plugin::{AlteredOffset, OffsetControl, Open, Plugin, PluginKind, Sink, Source};
pub use topic_partition::TopicPartition;
pub use transform::{Predicate, Transformation};
