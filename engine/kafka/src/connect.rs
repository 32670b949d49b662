//! Decides which backend reaches a cluster: a log in this process, or one of the clients of Kafka's
//! protocol that are built in.

use std::path::Path;
use std::sync::Arc;

use millrace_api::{Error, Result};

use crate::embedded::{self, EmbeddedCluster};
use crate::native::NativeCluster;
use crate::{Cluster, Properties};

/// What `bootstrap.servers` begins with when it names no servers.
const EMBEDDED: &str = "embedded:";

/// Chooses the client of a Kafka cluster. Java has no such key.
const KEY: &str = "kafka.client";
const NATIVE: &str = "native";
const LIBRDKAFKA: &str = "librdkafka";

/// The client where nobody chooses.
const DEFAULT: &str = NATIVE;

/// The clients of Kafka's protocol that are built in, as `kafka.client` names them, the default
/// first.
pub const fn clients() -> &'static [&'static str] {
    match cfg!(feature = "rdkafka") {
        true => &[NATIVE, LIBRDKAFKA],
        false => &[NATIVE],
    }
}

/// Opens the cluster that `bootstrap.servers` names: `embedded:DIR` is an
/// [embedded cluster](embedded) in that directory, `embedded:` a new one in memory, and everything
/// else a Kafka cluster, which the client that `kafka.client` names reaches.
///
/// # Errors
///
/// [`ErrorKind::Config`](millrace_api::ErrorKind), naming the key.
pub fn connect(properties: &Properties) -> Result<Arc<dyn Cluster>> {
    let servers = properties.get("bootstrap.servers").map(|servers| servers.trim());
    let Some(servers) = servers.filter(|servers| !servers.is_empty()) else {
        return Err(Error::config(
            "Missing required configuration \"bootstrap.servers\": name a Kafka cluster's \
             host:port, or embedded:DIR for a log inside this process",
        ));
    };
    let client = properties.get(KEY).map_or(DEFAULT, |client| client.trim());
    if ![NATIVE, LIBRDKAFKA].contains(&client) {
        return Err(Error::config(format!(
            "Invalid value {client} for configuration {KEY}: String must be one of: {NATIVE}, \
             {LIBRDKAFKA}"
        )));
    }
    match servers.strip_prefix(EMBEDDED) {
        Some(directory) => open(directory, properties),
        None if client == NATIVE => Ok(Arc::new(NativeCluster::new(properties)?)),
        None => librdkafka(properties),
    }
}

fn open(directory: &str, properties: &Properties) -> Result<Arc<dyn Cluster>> {
    let settings = embedded::Settings::from_properties(properties)?;
    Ok(Arc::new(match directory {
        "" => EmbeddedCluster::in_memory_with(settings)?,
        directory => EmbeddedCluster::open(Path::new(directory), settings)?,
    }))
}

#[cfg(feature = "rdkafka")]
fn librdkafka(properties: &Properties) -> Result<Arc<dyn Cluster>> {
    Ok(Arc::new(crate::librdkafka::RdKafkaCluster::new(properties)?))
}

#[cfg(not(feature = "rdkafka"))]
fn librdkafka(_: &Properties) -> Result<Arc<dyn Cluster>> {
    Err(Error::config(format!(
        "Invalid value {LIBRDKAFKA} for configuration {KEY}: librdkafka is not built in"
    ))
    .context("remedy", "leave the key out, or build with `cargo build --features rdkafka`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(servers: &str, client: &str) -> String {
        let properties = [("bootstrap.servers", servers), (KEY, client)];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
        match connect(&properties.into()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn what_is_built_in_can_be_chosen() {
        assert_eq!(clients()[0], DEFAULT);
        for client in [NATIVE, LIBRDKAFKA] {
            let is_refused = !refused("h:1", client).is_empty();
            assert_eq!(is_refused, !clients().contains(&client), "{client}");
        }
    }

    #[tokio::test]
    async fn the_client_is_chosen_by_name() {
        let wrong = "Invalid value java for configuration kafka.client: String must be one of: \
                     native, librdkafka";
        assert_eq!(refused("h:1", "java"), wrong);
        assert_eq!(refused("embedded:", "java"), wrong);
        assert_eq!(refused("embedded:", LIBRDKAFKA), "");
        assert_eq!(refused("h:1", " native "), "");
        let absent = refused("h:1", LIBRDKAFKA);
        match cfg!(feature = "rdkafka") {
            true => assert_eq!(absent, ""),
            false => assert!(absent.contains("cargo build --features rdkafka"), "{absent}"),
        }
    }
}
