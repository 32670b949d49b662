//! `millrace version`.

use std::process::ExitCode;

use millrace_api::PluginKind;

use super::print_line;
use crate::catalog::catalog;

/// Prints the version, and the Kafka clients and connectors that were built in.
pub fn run() -> ExitCode {
    print_line(concat!("millrace ", env!("CARGO_PKG_VERSION")));
    print_line("REST API and configurations of Kafka Connect 4.3.1");
    print_line(&format!("Kafka clients (kafka.client): {}", millrace_kafka::clients().join(", ")));
    let connectors = [PluginKind::Source, PluginKind::Sink];
    for plugin in catalog().plugins().iter().filter(|p| connectors.contains(&p.kind())) {
        print_line(&format!("{:6}  {}", plugin.kind().name(), plugin.class()));
    }
    ExitCode::SUCCESS
}
