//! Decides how connections are accepted, bounded and ended.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use millrace_api::{Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Limits;

/// How much of a request's head is kept, and how much of a body at a time.
const BUFFER: usize = 64 * 1024;
/// How long to wait when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves `router` until `shutdown`; then waits for requests under way as long as limits allow.
pub(super) async fn serve(
    listeners: Vec<std::net::TcpListener>,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let listeners = listeners.into_iter().map(TcpListener::from_std);
    let listeners: Vec<_> = listeners
        .collect::<io::Result<_>>()
        .map_err(|e| Error::fatal("cannot listen for REST requests").with_source(e))?;
    let mut shutdown = pin!(shutdown);
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listeners), if connections.len() < limits.connections => {
                match accepted {
                    Ok(stream) => {
                        let serving = connection(stream, router.clone(), limits, stopping.clone());
                        connections.spawn(serving);
                    }
                    Err(e) => {
                        tracing::warn!("cannot accept a REST connection: {e}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
    drop(listeners);
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
async fn accept(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|context| {
        for listener in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    })
    .await
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) {
    // Answers are small and whole: nothing is won by holding them back.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
