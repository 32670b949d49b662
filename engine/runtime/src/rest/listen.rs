//! Decides where the server listens, and under which address others know it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

use millrace_api::{Error, Result};

use crate::config::rest::Listener;

/// Binds a listener. An empty host is all addresses: IPv6 and IPv4 where the machine has both.
pub(super) fn bind(listener: &Listener) -> Result<TcpListener> {
    let bound = match listener.host.as_str() {
        "" => everywhere(listener.port),
        host => TcpListener::bind((host, listener.port)),
    };
    let ready = bound.and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    ready.map_err(|e| failure(listener, e))
}

fn everywhere(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(e) if e.kind() != ErrorKind::AddrInUse && e.kind() != ErrorKind::PermissionDenied => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        bound => bound,
    }
}

fn failure(listener: &Listener, cause: io::Error) -> Error {
    let remedy = match cause.kind() {
        ErrorKind::AddrInUse => {
            "end the process that uses the port, or set listeners to another port, such as \
             http://localhost:8084"
        }
        ErrorKind::PermissionDenied => {
            "set listeners to a port from 1024 on, which needs no rights"
        }
        _ => "set listeners to a host name or address of this machine, or leave the host out",
    };
    let address = format!("http://{}", authority(&listener.host, listener.port));
    Error::config(format!("cannot listen on {address}: {cause}"))
        .context("listeners", &address)
        .context("remedy", remedy)
        .with_source(cause)
}

/// `host:port` by which others reach the worker: what is configured, else the listener's host, else
/// this machine's address.
pub(super) fn advertised(
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

    fn listener(host: &str, port: u16) -> Listener {
        let host = host.to_owned();
        Listener { host, port }
    }

    #[test]
    fn a_port_in_use_is_named_with_the_way_out() {
        let first = bind(&listener("127.0.0.1", 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        for host in ["127.0.0.1", ""] {
            let error = bind(&listener(host, port)).unwrap_err();
            assert_eq!(error.kind(), millrace_api::ErrorKind::Config);
            let text = error.to_string();
            let place = format!("listeners: http://{host}:{port}");
            assert!(text.contains(&place), "{text}");
            assert!(text.contains("in use") && text.contains("remedy"), "{text}");
        }
    }

    #[test]
    fn a_host_that_is_not_here_is_named() {
        let error = bind(&listener("192.0.2.1", 0)).unwrap_err().to_string();
        assert!(error.contains("http://192.0.2.1:0"), "{error}");
        assert!(error.contains("of this machine"), "{error}");
    }

    #[test]
    fn the_advertised_address_falls_back_step_by_step() {
        assert_eq!(advertised(Some("a"), Some(1), Some("b"), 2), "a:1");
        assert_eq!(advertised(None, None, Some("b"), 2), "b:2");
        assert_eq!(advertised(Some(""), None, Some("::1"), 2), "[::1]:2");
        let own = advertised(None, None, Some(""), 2);
        let host = own.strip_suffix(":2").unwrap();
        let address: IpAddr = host.trim_matches(['[', ']']).parse().unwrap();
        assert!(!address.is_unspecified());
    }
}
