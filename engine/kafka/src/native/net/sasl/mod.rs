//! Decides how a client proves to a broker who it is (SASL): which mechanism, with what, and in
//! which messages.
//!
//! Each mechanism is an [`Exchange`], a state machine that knows no socket; `authentication` takes
//! one through Kafka's requests.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use millrace_api::{Error, Result};

mod authentication;
mod oauthbearer;
mod plain;
mod scram;

pub(crate) use authentication::{Asking, authenticate, failure};
pub(crate) use oauthbearer::{Allowed, Login, LoginSettings, read as oauthbearer_settings};
pub(crate) use plain::Plain;
pub(crate) use scram::{Algorithm, Scram};

/// A mechanism, and what it proves the client's name with.
#[derive(Clone, Debug)]
pub(crate) enum Sasl {
    Plain(Arc<Plain>),
    Scram(Arc<Scram>),
    OAuthBearer(Arc<Login>),
}

impl Sasl {
    /// The name under which brokers know the mechanism.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain(_) => "PLAIN",
            Self::Scram(scram) => scram.mechanism(),
            Self::OAuthBearer(_) => "OAUTHBEARER",
        }
    }

    /// A new exchange. May wait for a token to be fetched.
    ///
    /// # Errors
    ///
    /// There is no token: `Retriable` when there may be one later.
    pub(crate) async fn exchange(&self) -> Result<Box<dyn Exchange>> {
        Ok(match self {
            Self::Plain(plain) => Box::new(plain.exchange()),
            Self::Scram(scram) => Box::new(scram.clone().exchange()?),
            Self::OAuthBearer(login) => Box::new(login.exchange().await?),
        })
    }
}

/// One proof of who the client is, from its first message to the server's last.
pub(crate) trait Exchange: Send {
    /// What the client says first.
    fn first(&mut self) -> Bytes;

    /// What the client says to a message of the server; none: the exchange is done, and the server
    /// is who it should be.
    ///
    /// # Errors
    ///
    /// The server said what it should not, or is not who it should be.
    fn answer(&mut self, challenge: &[u8]) -> Result<Option<Bytes>>;
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A broker that does not keep to the mechanism.
fn wrong(mechanism: &str, what: impl fmt::Display) -> Error {
    Error::fatal(format!("{mechanism}: {what}"))
}
