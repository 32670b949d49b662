//! Decides how connections are accepted, bounded and ended.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use millrace_api::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Limits;
use super::layers::Origin;
use super::listen::Socket;

/// How much of a request's head is kept, and how much of a body at a time.
const BUFFER: usize = 64 * 1024;
/// How long to wait when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(200);

/// A socket, and what is behind it.
pub(super) struct Door {
    pub(super) socket: Socket,
    pub(super) router: Router,
}

/// A door that is open.
struct Entrance {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
}

/// Serves until `shutdown`; then waits for requests under way as long as limits allow.
pub(super) async fn serve(
    doors: Vec<Door>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let open = |door: Door| {
        let listener = TcpListener::from_std(door.socket.socket)?;
        Ok(Entrance { listener, tls: door.socket.tls, router: door.router })
    };
    let entrances: Vec<_> = doors
        .into_iter()
        .map(open)
        .collect::<io::Result<_>>()
        .map_err(|e| Error::fatal("cannot listen for REST requests").with_source(e))?;
    let mut shutdown = pin!(shutdown);
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&entrances), if connections.len() < limits.connections => {
                match accepted {
                    Ok((entrance, stream, peer)) => {
                        let guest = Guest { stream, peer, limits, stopping: stopping.clone() };
                        let (tls, router) = (entrance.tls.clone(), entrance.router.clone());
                        connections.spawn(guest.receive(tls, router));
                    }
                    Err(e) => {
                        tracing::warn!("cannot accept a REST connection: {e}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
    drop(entrances);
    drop(stopping);
    let _ = stop.send(());
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.grace, rest).await.is_err() {
        let seconds = limits.grace.as_secs();
        tracing::warn!("REST requests did not end within {seconds} s: they are given up");
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection of any listener.
async fn accept(entrances: &[Entrance]) -> io::Result<(&Entrance, TcpStream, SocketAddr)> {
    poll_fn(|context| {
        for entrance in entrances {
            if let Poll::Ready(accepted) = entrance.listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, peer)| (entrance, stream, peer)));
            }
        }
        Poll::Pending
    })
    .await
}

/// A connection that was accepted.
struct Guest {
    stream: TcpStream,
    peer: SocketAddr,
    limits: Limits,
    stopping: watch::Receiver<()>,
}

impl Guest {
    /// Serves the connection to its end. A handshake that hangs or fails costs this connection
    /// alone.
    async fn receive(mut self, tls: Option<TlsAcceptor>, router: Router) {
        // Answers are small and whole: nothing is won by holding them back.
        let _ = self.stream.set_nodelay(true);
        let origin = Origin { peer: self.peer, https: tls.is_some() };
        let Some(tls) = tls else {
            return connection(self.stream, origin, router, (self.limits, self.stopping)).await;
        };
        let handshake = timeout(self.limits.handshake, tls.accept(self.stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            _ = self.stopping.changed() => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                connection(stream, origin, router, (self.limits, self.stopping)).await;
            }
            Ok(Err(e)) => tracing::debug!("TLS handshake of {} failed: {e}", self.peer),
            Err(_) => tracing::debug!("TLS handshake of {} took too long", self.peer),
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    origin: Origin,
    router: Router,
    (limits, mut stopping): (Limits, watch::Receiver<()>),
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(origin);
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER)
        // As Java writes them: scripts look for `Location:`.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        _ = stopping.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a REST connection broke: {e}");
    }
}
