//! Kafka's own file connectors: lines of a file become records, records become lines of a file.
//!
//! The README says what they do beyond Java's, and where they differ.

mod fault;
mod lines;
mod sink;
mod source;
mod standard_input;
mod tail;

use millrace_api::Plugin;

/// The connectors of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![Plugin::source::<source::FileStreamSource>(), Plugin::sink::<sink::FileStreamSink>()]
}
