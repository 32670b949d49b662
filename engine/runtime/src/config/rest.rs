//! How the REST API is served: the worker's keys for it (`RestServerConfig` in Java).

use millrace_api::{Config, Error, Props, Result};

#[derive(Clone, Debug, Config)]
pub(crate) struct RestKeys {
    /// List of comma-separated URIs the REST API will listen on. The supported protocols are HTTP and HTTPS.
    #[config(key = "listeners", importance = Low, default = "http://:8083")]
    listeners: Vec<String>,
    /// If this is set, this is the hostname that will be given out to other workers to connect to.
    #[config(key = "rest.advertised.host.name", importance = Low)]
    rest_advertised_host_name: Option<String>,
    /// If this is set, this is the port that will be given out to other workers to connect to.
    #[config(key = "rest.advertised.port", importance = Low)]
    rest_advertised_port: Option<i32>,
}

/// How the REST API is served.
#[derive(Clone, Debug)]
pub(crate) struct RestConfig {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) advertised_host: Option<String>,
    pub(crate) advertised_port: Option<u16>,
}

impl RestConfig {
    /// `props` are the worker's, for what stands under prefixes.
    pub(crate) fn new(keys: RestKeys, props: &Props) -> Result<Self> {
        let _ = props;
        let listeners = keys.listeners.iter().map(|l| parse_listener(l)).collect::<Result<_>>()?;
        Ok(Self {
            listeners,
            advertised_host: keys.rest_advertised_host_name,
            advertised_port: keys.rest_advertised_port.and_then(|p| u16::try_from(p).ok()),
        })
    }
}

/// Where the REST API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The host; empty listens on all addresses.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
}

/// `http://host:port`; the host may be left out, or be an address in brackets.
fn parse_listener(text: &str) -> Result<Listener> {
    let wrong = |reason: &str| {
        Error::config(format!("Invalid value {text} for configuration listeners: {reason}"))
    };
    let (protocol, rest) = text
        .split_once("://")
        .ok_or_else(|| wrong("expected protocol://host:port, such as http://localhost:8083"))?;
    match protocol.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => return Err(wrong("https listeners are not supported yet, use http")),
        _ => return Err(wrong("the protocol must be http")),
    }
    let (host, port) = rest
        .trim_end_matches('/')
        .rsplit_once(':')
        .ok_or_else(|| wrong("the port is missing, such as http://localhost:8083"))?;
    let port = port.parse().map_err(|_| wrong("the port must be a number from 0 to 65535"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Listener { host, port })
}
