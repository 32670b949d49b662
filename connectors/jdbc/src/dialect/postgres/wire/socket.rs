//! Carries bytes to and from a server: over TCP or a socket file, encrypted or not.

use std::future::Future as _;
use std::io::{self, ErrorKind, Read as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio::time::Sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection to a server.
pub(super) enum Socket {
    Plain(Line),
    Tls(Box<TlsStream<Line>>),
}

impl Socket {
    /// Connects; a host that begins with a slash is a folder with the server's socket in it.
    pub(super) async fn connect(host: &str, port: u16) -> io::Result<Self> {
        if host.starts_with('/') {
            let socket = UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await?;
            return Ok(Self::Plain(Line::File(socket)));
        }
        let mut failure = io::Error::new(ErrorKind::InvalidInput, "the host has no address");
        for address in lookup_host((host, port)).await? {
            match Self::connect_to(address).await {
                Ok(socket) => {
                    let state = State::Watched(socket);
                    return Ok(Self::Plain(Line::Tcp(Tcp { state, ..Tcp::default() })));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_nodelay(true)?;
        // A server that vanished says nothing, for which we would wait for ever.
        socket.set_keepalive(true)?;
        socket.connect(address).await
    }

    /// Goes on encrypted.
    pub(super) async fn encrypted(self, config: ClientConfig, host: &str) -> io::Result<Self> {
        let Self::Plain(line) = self else { return Ok(self) };
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, line).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Says whether much is going to come, or has come.
    pub(super) fn set_flowing(&mut self, is_flowing: bool) {
        let line = match self {
            Self::Plain(line) => line,
            Self::Tls(stream) => stream.get_mut().0,
        };
        if let Line::Tcp(tcp) = line {
            tcp.is_flowing = is_flowing;
        }
    }
}

/// What bytes go over.
pub(super) enum Line {
    Tcp(Tcp),
    File(UnixStream),
}

/// A TCP connection that is read in large parts while much is coming.
///
/// A server sends 8 KB at a time, and whoever waits for them is woken for each: that costs more
/// than reading them does. So while rows flow nobody is woken; what has come is fetched once in a
/// while.
#[derive(Default)]
pub(super) struct Tcp {
    state: State,
    is_flowing: bool,
    pause: Option<Pin<Box<Sleep>>>,
    /// How often in a row there was nothing.
    in_vain: u32,
    /// Whether the last read was so short that it pays to wait before the next.
    is_drained: bool,
}

#[derive(Default)]
enum State {
    /// The runtime wakes us when there is something to read.
    Watched(TcpStream),
    /// It does not.
    Unwatched(std::net::TcpStream),
    /// It failed to change over.
    #[default]
    Lost,
}

/// The timer's own grain. A server fills some hundred kilobytes in it, for which the kernel makes
/// room.
const PAUSE: Duration = Duration::from_millis(1);
/// A server that sent nothing for so many pauses is waited for.
const MOST_IN_VAIN: u32 = 4;
/// A read that gave less than this, and less than it could, has emptied the kernel's buffer.
const SHORT: usize = 64 << 10;

impl Tcp {
    fn watched(&mut self) -> io::Result<&mut TcpStream> {
        if let State::Unwatched(_) = self.state
            && let State::Unwatched(socket) = std::mem::take(&mut self.state)
        {
            self.state = State::Watched(TcpStream::from_std(socket)?);
        }
        match &mut self.state {
            State::Watched(socket) => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn unwatched(&mut self) -> io::Result<&mut std::net::TcpStream> {
        if let State::Watched(_) = self.state
            && let State::Watched(socket) = std::mem::take(&mut self.state)
        {
            (self.in_vain, self.is_drained) = (0, true);
            self.state = State::Unwatched(socket.into_std()?);
        }
        match &mut self.state {
            State::Unwatched(socket) => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.is_flowing && self.in_vain < MOST_IN_VAIN {
            if self.is_drained {
                let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            self.is_drained = true;
            let room = buf.initialize_unfilled();
            let most = room.len().min(SHORT);
            match self.unwatched()?.read(room) {
                Ok(count) => {
                    (self.in_vain, self.is_drained) = (0, count < most);
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.in_vain += 1,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        ready!(Pin::new(self.watched()?).poll_read(cx, buf))?;
        self.in_vain = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => tcp.poll_read(cx, buf),
            Self::File(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp.watched()?).poll_write(cx, buf),
            Self::File(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The kernel has it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp.watched()?).poll_shutdown(cx),
            Self::File(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
