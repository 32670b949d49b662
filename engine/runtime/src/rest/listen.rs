//! Decides where the server listens, and under which address others know it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use millrace_api::{Error, Result};
use millrace_tls::TlsSettings;
use tokio_rustls::TlsAcceptor;

use crate::config::rest::{Listener, RestConfig, TlsKeys};

/// A listener that is bound.
pub(super) struct Socket {
    pub(super) listener: Listener,
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
    /// For https.
    pub(super) tls: Option<TlsAcceptor>,
}

impl Socket {
    /// The listener's URL, with the port that the system chose if it was to choose one.
    pub(super) fn url(&self) -> String {
        let host = match self.listener.host.as_str() {
            "" => "*",
            host => host,
        };
        let authority = authority(host, self.address.port());
        format!("{}://{authority}/", self.listener.protocol())
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.listener.protocol(), self.address)
    }
}

/// Binds listeners. The files that https needs are read first, once for all of them; `key` is what
/// messages call the list.
pub(super) fn bind_all(
    key: &'static str,
    listeners: &[Listener],
    tls: &TlsKeys,
) -> Result<Vec<Socket>> {
    let acceptor = match listeners.iter().find(|listener| listener.https) {
        Some(listener) => Some(acceptor(tls).map_err(|e| e.context(key, listener.url()))?),
        None => None,
    };
    let bind = |listener: &Listener| {
        let failed = |e| failure(key, listener, e);
        let socket = bind(listener).map_err(failed)?;
        Ok(Socket {
            listener: listener.clone(),
            address: socket.local_addr().map_err(failed)?,
            socket,
            tls: acceptor.clone().filter(|_| listener.https),
        })
    };
    listeners.iter().map(bind).collect()
}

fn acceptor(tls: &TlsKeys) -> Result<TlsAcceptor> {
    let named = |error| millrace_tls::below(tls.prefix, &error);
    let settings = TlsSettings::read(&tls.props).map_err(named)?;
    if settings.identity.is_none() {
        return Err(Error::config("an https listener needs a key and a certificate").context(
            "remedy",
            "set listeners.https.ssl.keystore.location and …password, or ssl.keystore.key and \
             ssl.keystore.certificate.chain in PEM",
        ));
    }
    Ok(TlsAcceptor::from(settings.server_config(tls.client_auth).map_err(named)?))
}

/// Binds a listener. An empty host is all addresses: IPv6 and IPv4 where the machine has both.
fn bind(listener: &Listener) -> io::Result<TcpListener> {
    let bound = match listener.host.as_str() {
        "" => everywhere(listener.port),
        host => TcpListener::bind((host, listener.port)),
    };
    bound.and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    })
}

fn everywhere(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(e) if e.kind() != ErrorKind::AddrInUse && e.kind() != ErrorKind::PermissionDenied => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        bound => bound,
    }
}

fn failure(key: &'static str, listener: &Listener, cause: io::Error) -> Error {
    let remedy = match cause.kind() {
        ErrorKind::AddrInUse => {
            "end the process that uses the port, or choose another port, such as \
             http://localhost:8084"
        }
        ErrorKind::PermissionDenied => "choose a port from 1024 on, which needs no rights",
        _ => "choose a host name or address of this machine, or leave the host out",
    };
    let address = listener.url();
    Error::config(format!("cannot listen on {address}: {cause}"))
        .context(key, &address)
        .context("remedy", remedy)
        .with_source(cause)
}

/// `host:port` by which others reach the worker: what is configured, else where it listens for the
/// advertised protocol, else this machine's address.
pub(super) fn advertised(config: &RestConfig, sockets: &[Socket]) -> String {
    let fits = |socket: &&Socket| socket.listener.protocol() == config.advertised_protocol;
    let socket = sockets.iter().find(fits).or(sockets.first());
    let bound = socket.map_or(0, |socket| socket.address.port());
    let listener = socket.map(|socket| socket.listener.host.as_str());
    host_and_port(config.advertised_host.as_deref(), config.advertised_port, listener, bound)
}

fn host_and_port(
    host: Option<&str>,
    port: Option<u16>,
    listener: Option<&str>,
    bound: u16,
) -> String {
    let host = [host, listener].into_iter().flatten().map(str::trim);
    let host = host.filter(|host| !host.is_empty()).map(str::to_owned);
    let host = host.into_iter().next();
    let host = host.unwrap_or_else(|| own_address().to_string());
    authority(&host, port.unwrap_or(bound))
}

impl Listener {
    fn url(&self) -> String {
        format!("{}://{}", self.protocol(), authority(&self.host, self.port))
    }
}

fn authority(host: &str, port: u16) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The address this machine would speak from to the rest of the world; loopback without network.
fn own_address() -> IpAddr {
    // Connecting a UDP socket sends nothing: it only picks a route. Both addresses are reserved
    // for documentation, so that they are never near.
    let v4 = (IpAddr::from(Ipv4Addr::UNSPECIFIED), "192.0.2.1:9");
    let v6 = (IpAddr::from(Ipv6Addr::UNSPECIFIED), "[2001:db8::1]:9");
    let routed = |(from, to): (IpAddr, &str)| {
        let socket = UdpSocket::bind((from, 0))?;
        socket.connect(to)?;
        io::Result::Ok(socket.local_addr()?.ip())
    };
    let mut addresses = [v4, v6].into_iter().filter_map(|route| routed(route).ok());
    addresses.next().unwrap_or(Ipv4Addr::LOCALHOST.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind_one(host: &str, port: u16) -> Result<Vec<Socket>> {
        let listener = Listener { https: false, host: host.to_owned(), port };
        bind_all("listeners", &[listener], &TlsKeys::default())
    }

    #[test]
    fn a_port_in_use_is_named_with_the_way_out() {
        let first = bind_one("127.0.0.1", 0).unwrap();
        let port = first[0].address.port();
        for host in ["127.0.0.1", ""] {
            let error = bind_one(host, port).unwrap_err();
            assert_eq!(error.kind(), millrace_api::ErrorKind::Config);
            let text = error.to_string();
            let place = format!("listeners: http://{host}:{port}");
            assert!(text.contains(&place), "{text}");
            assert!(text.contains("in use") && text.contains("remedy"), "{text}");
        }
    }

    #[test]
    fn a_host_that_is_not_here_is_named() {
        let error = bind_one("192.0.2.1", 0).unwrap_err().to_string();
        assert!(error.contains("http://192.0.2.1:0"), "{error}");
        assert!(error.contains("of this machine"), "{error}");
    }

    #[test]
    fn https_without_a_certificate_is_refused() {
        let listener = Listener { https: true, host: "127.0.0.1".into(), port: 0 };
        let error = bind_all("listeners", &[listener], &TlsKeys::default()).unwrap_err();
        assert!(error.to_string().contains("https://127.0.0.1:0"), "{error}");
    }

    #[test]
    fn the_advertised_address_falls_back_step_by_step() {
        assert_eq!(host_and_port(Some("a"), Some(1), Some("b"), 2), "a:1");
        assert_eq!(host_and_port(None, None, Some("b"), 2), "b:2");
        assert_eq!(host_and_port(Some(""), None, Some("::1"), 2), "[::1]:2");
        let own = host_and_port(None, None, Some(""), 2);
        let host = own.strip_suffix(":2").unwrap();
        let address: IpAddr = host.trim_matches(['[', ']']).parse().unwrap();
        assert!(!address.is_unspecified());
    }
}
