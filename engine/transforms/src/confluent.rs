//! Confluent's transformations that are used the most, under their own names.

mod drop;
mod extract_topic;
mod filter;
mod gzip_decompress;
mod json_path;
mod message_timestamp_router;
mod tombstone_handler;

use millrace_api::Plugin;
use millrace_api::config::Config;

use crate::side::Side;

use self::drop::{Drop, DropConfig};
use self::extract_topic::{ExtractTopic, ExtractTopicConfig, From};
use self::filter::{Filter, FilterConfig};
use self::gzip_decompress::{GzipDecompress, GzipDecompressConfig};
use self::message_timestamp_router::{MessageTimestampRouter, MessageTimestampRouterConfig};
use self::tombstone_handler::{TombstoneHandler, TombstoneHandlerConfig};

macro_rules! transformation {
    ($name:literal, $config:ty, $open:expr) => {
        // Short names such as `Filter` are Kafka's.
        Plugin::transformation(
            concat!("io.confluent.connect.transforms.", $name),
            <$config>::config_def,
            $open,
        )
        .without_aliases()
    };
}

pub(crate) fn plugins() -> Vec<Plugin> {
    vec![
        transformation!("Drop$Key", DropConfig, |props| Drop::open(Side::Key, props)),
        transformation!("Drop$Value", DropConfig, |props| Drop::open(Side::Value, props)),
        transformation!("ExtractTopic$Header", ExtractTopicConfig, |props| {
            ExtractTopic::open(From::Header, props)
        }),
        transformation!("ExtractTopic$Key", ExtractTopicConfig, |props| {
            ExtractTopic::open(From::Side(Side::Key), props)
        }),
        transformation!("ExtractTopic$Value", ExtractTopicConfig, |props| {
            ExtractTopic::open(From::Side(Side::Value), props)
        }),
        transformation!("Filter$Key", FilterConfig, |props| Filter::open(Side::Key, props)),
        transformation!("Filter$Value", FilterConfig, |props| Filter::open(Side::Value, props)),
        transformation!("GzipDecompress$Key", GzipDecompressConfig, |props| {
            GzipDecompress::open(Side::Key, props)
        }),
        transformation!("GzipDecompress$Value", GzipDecompressConfig, |props| {
            GzipDecompress::open(Side::Value, props)
        }),
        transformation!(
            "MessageTimestampRouter",
            MessageTimestampRouterConfig,
            MessageTimestampRouter::open
        ),
        transformation!("TombstoneHandler", TombstoneHandlerConfig, TombstoneHandler::open),
    ]
}
