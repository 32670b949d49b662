//! Decides what one HTTP exchange may take, in time and bytes, when its slowness is told, and
//! whether its failure may pass.

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout};

use crate::connect::Connector;
use crate::{Error, Proxy, Result, Settings};

/// Shorter than servers keep silent connections.
const IDLE: Duration = Duration::from_secs(20);
const IDLE_CONNECTIONS: usize = 4;
/// Who waits for an answer hears so often that there is none yet.
const TELL: Duration = Duration::from_secs(10);

/// Connections, kept while they are of use.
pub(crate) struct Http {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    limit: Duration,
    max_body_bytes: usize,
    told: Mutex<Option<Instant>>,
}

/// An answer, whatever it says.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
pub(crate) enum Silence {
    /// There may be one later.
    Passing(String),
    /// There will never be one that can be read.
    Lasting(String),
}

impl Http {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_nodelay(true);
        direct.set_connect_timeout(Some(settings.connect_timeout));
        let proxy = settings.proxy.as_ref().map(proxy_uri).transpose()?;
        let tls = match &settings.tls {
            Some(tls) => rustls::ClientConfig::clone(tls),
            None => trusting_nobody()?,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connector::new(direct, proxy));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        let limit = settings.connect_timeout.saturating_add(settings.read_timeout);
        Ok(Self { client, limit, max_body_bytes: settings.max_body_bytes, told: Mutex::default() })
    }

    /// Sends a request and reads the answer to its end. Redirects are answers as others are.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> std::result::Result<Answer, Silence> {
        let url = without_path(request.uri());
        let exchange = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|e| Silence::Passing(chain(&e)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.max_body_bytes).collect().await;
            let body = body.map_err(|e| match e.downcast_ref::<LengthLimitError>() {
                Some(_) => Silence::Lasting(format!(
                    "the answer is longer than {} bytes",
                    self.max_body_bytes
                )),
                None => Silence::Passing(format!("the answer ends too early: {}", chain(&*e))),
            })?;
            let location = head.headers.get(hyper::header::LOCATION);
            let location = location.and_then(|value| Some(value.to_str().ok()?.to_owned()));
            Ok(Answer { status: head.status, location, body: body.to_bytes() })
        };
        let mut answer = pin!(timeout(self.limit, exchange));
        let mut waited = Duration::ZERO;
        loop {
            match timeout(TELL, &mut answer).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => {
                    let limit = self.limit.as_millis();
                    return Err(Silence::Passing(format!("no answer within {limit} ms")));
                }
                Err(_) => {
                    waited += TELL;
                    self.tell(&url, waited.as_secs());
                }
            }
        }
    }

    /// One of those who wait says it for all.
    fn tell(&self, url: &str, seconds: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() + TELL / 2 >= TELL) {
            *told = Some(Instant::now());
            let limit = self.limit.as_secs();
            tracing::warn!(
                "no answer from {url} for {seconds} s; an attempt takes {limit} s at most"
            );
        }
    }
}

fn without_path(url: &Uri) -> String {
    let host = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{}://{host}", url.scheme_str().unwrap_or_default())
}

/// Settings without TLS: `https` is refused before it comes to this.
fn trusting_nobody() -> Result<rustls::ClientConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Settings(format!("TLS cannot be used: {e}")))?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn proxy_uri(proxy: &Proxy) -> Result<Uri> {
    let Proxy { host, port } = proxy;
    let bare_v6 = host.contains(':') && !host.starts_with('[');
    let host = if bare_v6 { format!("[{host}]") } else { host.clone() };
    Uri::builder()
        .scheme("http")
        .authority(format!("{host}:{port}"))
        .path_and_query("/")
        .build()
        .map_err(|_| Error::Settings("the proxy's host is no host name".into()))
}

/// An error and its causes in one line, each said once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !words.ends_with(&said) {
            words = format!("{words}: {said}");
        }
        source = cause.source();
    }
    // In rustls' words for an answer that is none of TLS.
    if words.contains("InvalidContentType") {
        words = "the server there does not speak TLS: write http:// instead of https://".to_owned();
    }
    words
}
