//! Decides how a stream to a broker is opened: names become addresses, addresses sockets.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use millrace_tls::ClientTls;

use super::{Address, tls};
use crate::native::error::{Failure, FailureKind};

/// What bytes to and from a broker go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) type BoxedStream = Box<dyn Stream>;

/// Opens streams to brokers. Real ones go over TCP; tests put the broker into the same process.
#[async_trait]
pub(crate) trait Dialer: fmt::Debug + Send + Sync {
    /// A stream to this broker, encrypted if settings say so.
    async fn dial(&self, address: &Address) -> Result<BoxedStream, Failure>;
}

/// What a socket is set to.
#[derive(Clone, Debug)]
pub(crate) struct SocketSettings {
    /// `send.buffer.bytes`; none: the system's default.
    pub(crate) send_buffer: Option<u32>,
    /// `receive.buffer.bytes`
    pub(crate) receive_buffer: Option<u32>,
    /// `socket.connection.setup.timeout.ms`, for each address of a name.
    pub(crate) setup_timeout: Duration,
}

/// Dials over TCP, and encrypts if there are settings for it.
#[derive(Debug)]
pub(crate) struct TcpDialer {
    settings: SocketSettings,
    tls: Option<Arc<ClientTls>>,
}

impl TcpDialer {
    pub(crate) fn new(settings: SocketSettings, tls: Option<Arc<ClientTls>>) -> Self {
        Self { settings, tls }
    }

    /// A connected socket as requests want it: encrypted or not.
    async fn secured(&self, address: &Address, stream: TcpStream) -> Result<BoxedStream, Failure> {
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let encrypted = tls::encrypted(tls, &address.host, stream);
        match timeout(self.settings.setup_timeout, encrypted).await {
            Ok(stream) => Ok(Box::new(stream?)),
            Err(_) => Err(Failure::new(
                FailureKind::TimedOut,
                "it accepts connections, but does not agree on TLS: see security.protocol",
            )),
        }
    }

    async fn connect(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = self.settings.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.settings.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(to).await?;
        // Requests are written whole.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A name comes from our properties, or from a broker's.
fn unresolved(why: &dyn fmt::Display) -> String {
    format!(
        "its name cannot be resolved: {why} (see bootstrap.servers, or advertised.listeners of the \
         brokers)"
    )
}

#[async_trait]
impl Dialer for TcpDialer {
    async fn dial(&self, address: &Address) -> Result<BoxedStream, Failure> {
        let failed = |why: String| Failure::new(FailureKind::Disconnected, why);
        let named = lookup_host((address.host.as_str(), address.port));
        let named: Vec<_> = match timeout(self.settings.setup_timeout, named).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(e)) => return Err(failed(unresolved(&e))),
            Err(_) => return Err(failed(unresolved(&"no name server answers"))),
        };
        let mut last = failed(unresolved(&"it stands for no address"));
        for to in named {
            match timeout(self.settings.setup_timeout, self.connect(to)).await {
                Ok(Ok(stream)) => return self.secured(address, stream).await,
                Ok(Err(e)) => last = failed(format!("cannot connect to {to}: {e}")),
                Err(_) => last = failed(format!("cannot connect to {to}: it does not answer")),
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a name server says no or nothing at all.
    #[tokio::test]
    async fn who_has_a_name_that_nobody_knows_is_told_soon_where_it_stands() {
        let setup_timeout = Duration::from_secs(1);
        let settings = SocketSettings { send_buffer: None, receive_buffer: None, setup_timeout };
        let address = Address { host: "nobody.invalid".to_owned(), port: 9092 };
        let dialer = TcpDialer::new(settings, None);
        let failure = match timeout(Duration::from_secs(5), dialer.dial(&address)).await {
            Ok(Ok(_)) => panic!("RFC 2606 keeps the name free"),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => panic!("it waits for ever"),
        };
        for words in ["its name cannot be resolved", "bootstrap.servers"] {
            assert!(failure.contains(words), "{failure}");
        }
    }
}
