//! `millrace version`.

use std::process::ExitCode;

use millrace_api::PluginKind;

use crate::catalog::catalog;

/// Prints the version and the connectors that were built in.
#[allow(clippy::print_stdout, reason = "this is the command's answer")]
pub fn run() -> ExitCode {
    println!("millrace {}", env!("CARGO_PKG_VERSION"));
    println!("REST API and configurations of Kafka Connect 4.3.1");
    let connectors = [PluginKind::Source, PluginKind::Sink];
    for plugin in catalog().plugins().iter().filter(|p| connectors.contains(&p.kind())) {
        println!("{:6}  {}", plugin.kind().name(), plugin.class());
    }
    ExitCode::SUCCESS
}
