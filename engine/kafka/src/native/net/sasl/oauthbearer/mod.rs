//! Decides what OAUTHBEARER says (RFC 7628, KIP-255), and when its token is fetched anew.
//!
//! `settings` reads Java's properties, `unsecured`, `request` and `assertion` make what a token is
//! asked for with, `http` asks, `jwt` reads the token, and `allowed` keeps it to URLs and files
//! that whoever started the process allows.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millrace_api::{Error, Result};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::{Exchange, Secret, wrong};
use jwt::Token;
use settings::Refresh;

mod allowed;
mod assertion;
mod http;
mod jwt;
mod request;
mod retriever;
mod settings;
#[cfg(test)]
mod tests;
mod unsecured;

pub(crate) use allowed::Allowed;
pub(crate) use settings::{LoginSettings, read};

/// After a refresh that failed, the next one is tried so much later (as in Java).
const RETRY: Duration = Duration::from_secs(10);

/// Where a client's tokens come from, and the one it has.
///
/// A token is fetched when it is first needed, and again when a connection needs one and its time to
/// be refreshed has come (`sasl.login.refresh.*`): brokers that limit sessions make connections
/// authenticate again before the token ends.
pub(crate) struct Login {
    settings: LoginSettings,
    held: AsyncMutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    token: Arc<Token>,
    refresh_at: Instant,
    expires_at: Instant,
}

impl Login {
    pub(crate) fn new(settings: LoginSettings) -> Self {
        Self { settings, held: AsyncMutex::default() }
    }

    pub(super) async fn exchange(&self) -> Result<impl Exchange + use<>> {
        let token = self.token().await?;
        Ok(OAuthBearerExchange {
            first: first_message(&token, &self.settings.extensions),
            refusal: None,
        })
    }

    /// A token that is still good. Callers at the same time wait for one fetch.
    async fn token(&self) -> Result<Arc<Token>> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.refresh_at) {
            return Ok(held.token.clone());
        }
        let error = match self.settings.retriever.token(&self.settings.claims).await {
            Ok(token) => match Held::new(token, &self.settings.refresh) {
                Ok(new) => return Ok(held.insert(new).token.clone()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        match held.as_mut().filter(|held| Instant::now() < held.expires_at) {
            Some(held) => {
                tracing::warn!("the OAUTHBEARER token cannot be refreshed yet: {}", error.copied());
                held.refresh_at = Instant::now() + RETRY;
                Ok(held.token.clone())
            }
            None => Err(error),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Held {
    fn new(token: Token, refresh: &Refresh) -> Result<Self> {
        let (wall, now) = (now_ms(), Instant::now());
        if token.expires_ms <= wall {
            return Err(Error::fatal(
                "the OAUTHBEARER token has expired already: are the clocks of this host and of \
                 the token endpoint in sync, or is the token's file old?",
            ));
        }
        let after = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let refresh_in = refresh.due_in(token.issued_ms, token.expires_ms, wall, fastrand::f64());
        let expires_at = now + after(token.expires_ms - wall);
        Ok(Self { token: Arc::new(token), refresh_at: now + after(refresh_in), expires_at })
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// `extension_NAME` options: names and values that go with the token (KIP-342).
pub(super) type Extensions = Vec<(String, String)>;

fn first_message(token: &Token, extensions: &Extensions) -> Secret {
    let mut message = format!("n,,\u{1}auth=Bearer {}", token.value.expose());
    for (name, value) in extensions {
        message += &format!("\u{1}{name}={value}");
    }
    Secret::new(message + "\u{1}\u{1}")
}

struct OAuthBearerExchange {
    first: Secret,
    /// What the broker said against the token, once it has.
    refusal: Option<String>,
}

impl Exchange for OAuthBearerExchange {
    fn first(&mut self) -> Bytes {
        Bytes::from(self.first.expose().to_owned())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Option<Bytes>> {
        match (&self.refusal, challenge) {
            (None, b"") => Ok(None),
            // RFC 7628 §3.2.3: the client has to agree before the broker says no.
            (None, refusal) => {
                self.refusal = Some(String::from_utf8_lossy(refusal).into_owned());
                Ok(Some(Bytes::from_static(b"\x01")))
            }
            (Some(refusal), _) => {
                Err(wrong("OAUTHBEARER", format!("the broker refuses the token: {refusal}")))
            }
        }
    }
}
