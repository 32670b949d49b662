//! Connections to brokers: decides how a request's bytes reach one broker and its answer comes
//! back. `dial` opens streams, `tls` encrypts and `counted` counts them, `versions` says what both
//! sides speak, `sasl` proves who the client is and `reauthentication` proves it again,
//! `connection` keeps requests in flight.

use std::fmt;

mod connection;
mod counted;
mod dial;
mod frame;
mod reauthentication;
mod sasl;
mod security;
mod tls;
mod versions;

pub(crate) use connection::{Connection, ConnectionSettings, Pending};
pub(crate) use counted::Counted;
pub(crate) use dial::{BoxedStream, Dialer, SocketSettings, TcpDialer};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use frame::FrameReader;
pub(crate) use security::Security;
pub(crate) use versions::{ApiVersions, Features};

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
