//! Decides when an open connection proves again who the client is (KIP-368), so that the broker
//! does not close it: requests that are on their way stay so, and new ones wait until it is done.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::protocol::Request;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::time::sleep;

use super::ApiVersions;
use super::connection::{ConnectionSettings, Frame, OF_SETUP, decode, head};
use super::sasl::{self, Asking, Sasl};
use crate::native::error::{Failure, FailureKind};

/// A session that ends unless the client authenticates again.
pub(super) struct Session {
    pub(super) sasl: Sasl,
    /// What is left of it when the connection begins.
    pub(super) lifetime: Duration,
    pub(super) versions: ApiVersions,
    pub(super) settings: ConnectionSettings,
}

/// Authenticates again, as often as it takes. Ends only when that fails.
///
/// `gate` is held meanwhile: the broker takes nothing else between the requests of an exchange.
pub(super) async fn keep(
    session: Option<Session>,
    frames: mpsc::WeakSender<Frame>,
    gate: Arc<AsyncMutex<()>>,
) -> Failure {
    let Some(Session { sasl, mut lifetime, versions, settings }) = session else {
        return std::future::pending().await;
    };
    loop {
        // As Java: late enough to be rare, early enough for what is in flight, and not all at once.
        sleep(lifetime.mul_f64(0.85 + 0.1 * fastrand::f64())).await;
        let mechanism = sasl.mechanism();
        // A token may have to be fetched: nobody should wait for that.
        let exchange = match sasl.exchange().await {
            Ok(exchange) => exchange,
            Err(error) => return sasl::failure(&error),
        };
        let Some(frames) = frames.upgrade() else {
            // The connection is given up; what was asked is still being answered.
            return std::future::pending().await;
        };
        let _closed = gate.lock().await;
        let mut within = Within { frames, settings: &settings };
        match sasl::authenticate(&mut within, &versions, mechanism, exchange).await {
            Ok(Some(more)) => lifetime = more,
            Ok(None) => break,
            Err(failure) => return failure,
        }
    }
    std::future::pending().await
}

/// Requests among others on an open connection.
struct Within<'a> {
    frames: mpsc::Sender<Frame>,
    settings: &'a ConnectionSettings,
}

impl Asking for Within<'_> {
    async fn ask<R>(&mut self, version: i16, request: R) -> Result<R::Response, Failure>
    where
        R: Request + Send + Sync + 'static,
    {
        let unwritable = |why: String| {
            let why = format!("request {} cannot be written: {why}", R::KEY);
            Failure::new(FailureKind::Unsupported, why)
        };
        let mut body = BytesMut::new();
        request.encode(&mut body, version).map_err(|e| unwritable(e.to_string()))?;
        let body = vec![body.freeze()];
        let head = head::<R>(&self.settings.client_id, OF_SETUP, version, &body)
            .map_err(|e| unwritable(e.to_string()))?;
        let (reply, answer) = oneshot::channel();
        let in_flight = Some((OF_SETUP, self.settings.request_timeout, reply));
        let gone = || Failure::new(FailureKind::Disconnected, "the connection was closed");
        let frame = Frame { head, pieces: body, in_flight };
        self.frames.send(frame).await.map_err(|_| gone())?;
        let mut answer = answer.await.map_err(|_| gone())?;
        decode::<R::Response>(&mut answer, version)
    }
}
