//! The `millrace` binary: reads its arguments and runs one command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millrace::commands::{
    broker, dlq, jdbc, plugins, preview, quickstart, schema, standalone, transform, unit, version,
};
use millrace::{LogFormat, start_logging};

/// A plugin that allocates without end is stopped in it.
#[global_allocator]
static ALLOCATOR: millrace_threads::Allocator = millrace_threads::Allocator;

/// Kafka Connect in one binary: the same worker properties, connector configs and REST calls.
#[derive(Parser)]
#[command(name = "millrace", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    /// The form of log lines.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  See a database flow into a lake, with nothing installed:
    millrace quickstart
  Run what connect-standalone.sh runs:
    millrace standalone connect-standalone.properties connect-file-source.properties
  The same without a broker, on a log in a directory:
    set bootstrap.servers=embedded:/var/lib/millrace in the worker properties
  A broker for development, with Kafka's protocol:
    millrace broker --dir data
  What a database has, and connectors that copy it:
    millrace jdbc discover jdbc:postgresql://db/shop --user reader --password-file secret
  What a connector would do, without doing it:
    millrace preview orders.json
  What a connector's transformations make of sample records:
    millrace transform -f orders.json records.json
  The same held against what is expected:
    millrace unit tests.yaml
  What is in a dead letter queue, and why:
    millrace dlq --worker connect-standalone.properties ls orders-dlq
  What a schema registry has, and whether a change fits:
    millrace schema --url http://localhost:8081 check orders-value order.avsc

Environment:
  MILLRACE_LOG   levels of log lines, such as info or warn,millrace_kafka=debug
  NO_COLOR       no colours in log lines";

#[derive(Subcommand)]
enum Command {
    Standalone(standalone::Arguments),
    Quickstart(quickstart::Arguments),
    Broker(broker::Arguments),
    Plugins(plugins::Arguments),
    Dlq(dlq::Arguments),
    Schema(schema::Arguments),
    Jdbc(jdbc::Arguments),
    Preview(preview::Arguments),
    Transform(transform::Arguments),
    Unit(unit::Arguments),
    /// Print the version and what this binary was built with.
    Version,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            // Help and version were asked for; everything else is a usage error, 1 as in Java.
            let _ = e.print();
            return ExitCode::from(u8::from(e.use_stderr()));
        }
    };
    let level = match arguments.command {
        Command::Standalone(_) => "info",
        Command::Broker(_)
        | Command::Dlq(_)
        | Command::Schema(_)
        | Command::Jdbc(_)
        | Command::Preview(_)
        | Command::Transform(_)
        | Command::Unit(_) => "warn",
        _ => "error",
    };
    let loggers = start_logging(arguments.log_format, level);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!("cannot start threads: {e}");
            return ExitCode::from(2);
        }
    };
    let code = match arguments.command {
        Command::Standalone(arguments) => runtime.block_on(standalone::run(arguments, loggers)),
        Command::Quickstart(arguments) => runtime.block_on(quickstart::run(arguments, loggers)),
        Command::Broker(arguments) => runtime.block_on(broker::run(arguments)),
        Command::Plugins(arguments) => plugins::run(&arguments),
        Command::Schema(arguments) => runtime.block_on(schema::run(arguments)),
        Command::Jdbc(arguments) => runtime.block_on(jdbc::run(arguments)),
        Command::Dlq(arguments) => runtime.block_on(dlq::run(arguments)),
        Command::Preview(arguments) => runtime.block_on(preview::run(arguments)),
        Command::Transform(arguments) => runtime.block_on(transform::run(arguments)),
        Command::Unit(arguments) => runtime.block_on(unit::run(arguments)),
        Command::Version => version::run(),
    };
    // A plugin that blocks a thread must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}
