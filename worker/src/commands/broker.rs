//! `millrace broker`: serves an embedded cluster in a directory over Kafka's protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use millrace_api::config::nearest;
use millrace_api::{Error, Result};
use millrace_kafka::Properties;
use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use tokio::net::TcpListener;

use crate::commands::{print_line, told_to_end};

/// Serve a log in a directory over Kafka's protocol, on this machine only.
///
/// For development: one process, no replication, no retention, neither encryption nor
/// authentication. Clients and tools of Kafka work as with a cluster of one broker, with consumer
/// groups and transactions. What was acknowledged survives killing the process.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace broker --dir data
  millrace broker --dir data --port 0                     (any free port)
  millrace broker --dir data --property num.partitions=4

Then, in another terminal:
  kcat -b 127.0.0.1:9092 -L
  kafka-console-producer.sh --bootstrap-server 127.0.0.1:9092 --topic t

Exit codes: 0 when told to end, 2 when it cannot start.")]
pub struct Arguments {
    /// Where topics, groups and transactions are kept; made if need be.
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
    /// The port to listen on; 0 is any free one.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// The address to listen on. It has to be one of this machine's alone.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// A setting of the broker's: num.partitions, auto.create.topics.enable, log.segment.bytes,
    /// group.initial.rebalance.delay.ms, group.min.session.timeout.ms,
    /// group.max.session.timeout.ms, log.cleaner.dedupe.buffer.size.
    #[arg(long, value_name = "NAME=VALUE")]
    property: Vec<String>,
}

/// Serves until told to end.
pub async fn run(arguments: Arguments) -> ExitCode {
    match serve(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("the broker cannot run: {}", e.trace());
            ExitCode::from(2)
        }
    }
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let address = SocketAddr::new(loopback(&arguments.host)?, arguments.port);
    let settings = Settings::from_properties(&properties(&arguments.property)?)?;
    let end = told_to_end().map_err(|e| Error::fatal("cannot wait for signals").with_source(e))?;
    let listener = listen(address).await?;
    let at = listener.local_addr().unwrap_or(address);
    let cluster = EmbeddedCluster::open(&arguments.dir, settings)?;
    print_line(&format!(
        "Listening on {at}, for clients on this machine; the log is in {}\n\n  \
         kcat -b {at} -L\n  \
         kafka-console-producer.sh --bootstrap-server {at} --topic t\n  \
         kafka-console-consumer.sh --bootstrap-server {at} --topic t --from-beginning\n\n\
         Ctrl-C ends it.",
        arguments.dir.display()
    ));
    tokio::select! {
        served = cluster.serve(listener) => served,
        () = end => {
            print_line("Ended.");
            Ok(())
        }
    }
}

/// The address of this machine alone that a host stands for.
fn loopback(host: &str) -> Result<IpAddr> {
    let address = match host {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.trim_matches(['[', ']']).parse(),
    };
    match address {
        Ok(address) if address.is_loopback() => Ok(address),
        _ => Err(Error::config(
            "--host has to be localhost, 127.0.0.1 or ::1: the broker knows neither encryption nor \
             authentication, so other machines must not reach it",
        )
        .context("--host", host)),
    }
}

fn properties(pairs: &[String]) -> Result<Properties> {
    let pair = |pair: &String| match pair.split_once('=') {
        Some((name, value)) => {
            let name = name.trim();
            require_known(name)?;
            Ok((name.to_owned(), value.trim().to_owned()))
        }
        None => Err(Error::config("--property has to be NAME=VALUE").context("--property", pair)),
    };
    pairs.iter().map(pair).collect()
}

/// Kafka's brokers have many more settings: whoever sets one expects something of it.
fn require_known(name: &str) -> Result<()> {
    let known = Settings::KEYS.iter().copied();
    if known.clone().any(|key| key == name) {
        return Ok(());
    }
    let remedy = match nearest(name, known) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("leave it out; it has {}", Settings::KEYS.join(", ")),
    };
    Err(Error::config("this broker has no such setting")
        .context("--property", name)
        .context("remedy", remedy))
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Error::config("cannot listen: stop whatever has the port, or choose another by --port")
            .context("address", address)
            .with_source(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_listened_to() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"] {
            assert!(loopback(host).unwrap().is_loopback());
        }
        for host in ["0.0.0.0", "::", "192.168.1.1", "example.org", ""] {
            let error = loopback(host).unwrap_err().to_string();
            assert!(error.contains("--host"), "{error}");
        }
    }

    #[test]
    fn properties_have_a_name_and_a_value() {
        let read = properties(&["log.segment.bytes=b=c".to_owned(), "num.partitions = e".into()]);
        assert_eq!(
            read.unwrap().into_iter().collect::<Vec<_>>(),
            [
                ("log.segment.bytes".to_owned(), "b=c".to_owned()),
                ("num.partitions".to_owned(), "e".to_owned()),
            ]
        );
        properties(&["num.partitions".to_owned()]).unwrap_err();
    }

    #[test]
    fn what_the_broker_does_not_have_is_refused() {
        for (name, remedy) in [
            ("num.partition", "did you mean num.partitions?"),
            ("offsets.topic.replication.factor", "it has auto.create.topics.enable, "),
        ] {
            let error = properties(&[format!("{name}=1")]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(remedy), "{error}");
        }
    }
}
