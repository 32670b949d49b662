//! Decides in which of Kafka's requests an exchange travels (KIP-43, KIP-152), and what a broker's
//! refusal means to a user.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_api::Error;

use super::Exchange;
use crate::native::error::{Failure, FailureKind};
use crate::native::net::ApiVersions;

/// No mechanism needs as many messages.
const MOST_MESSAGES: usize = 8;

/// Something that takes requests to a broker, one after the other.
pub(crate) trait Asking {
    fn ask<R>(
        &mut self,
        version: i16,
        request: R,
    ) -> impl Future<Output = Result<R::Response, Failure>> + Send
    where
        R: Request + Send + Sync + 'static;
}

/// Takes an exchange to its end. Returns how long the broker takes requests before it wants the
/// client to authenticate again (KIP-368); none: for ever.
///
/// # Errors
///
/// [`Refused`](FailureKind::Refused) when the broker says no or is not who it should be: asking
/// again does not help.
pub(crate) async fn authenticate(
    asking: &mut impl Asking,
    versions: &ApiVersions,
    mechanism: &'static str,
    mut exchange: Box<dyn Exchange>,
) -> Result<Option<Duration>, Failure> {
    // Without the second version of this one, what follows would be bytes and no requests.
    let handshake = versions.of::<SaslHandshakeRequest>()?;
    if handshake < 1 {
        let why = "it is too old for SASL in requests; Kafka 2.1 or newer is needed";
        return Err(Failure::new(FailureKind::Unsupported, why));
    }
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    agreed(mechanism, &asking.ask(handshake, request).await?)?;

    let version = versions.of::<SaslAuthenticateRequest>()?;
    let mut message = exchange.first();
    for _ in 0..MOST_MESSAGES {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(message);
        let answer = asking.ask(version, request).await?;
        accepted(mechanism, &answer)?;
        let answered: Bytes = answer.auth_bytes;
        match exchange.answer(&answered).map_err(|error| failure(&error))? {
            Some(next) => message = next,
            None => {
                let millis = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
                return Ok((millis > 0).then(|| Duration::from_millis(millis)));
            }
        }
    }
    let why = format!("{mechanism}: it goes on asking where it should say yes or no");
    Err(Failure::new(FailureKind::Refused, why))
}

/// What an error about our own part means for the connection.
pub(crate) fn failure(error: &Error) -> Failure {
    let kind = if error.is_retriable() { FailureKind::Disconnected } else { FailureKind::Refused };
    Failure::new(kind, error.copied().to_string())
}

fn agreed(mechanism: &str, answer: &SaslHandshakeResponse) -> Result<(), Failure> {
    let refused = |why: String| Err(Failure::new(FailureKind::Refused, why));
    let known: Vec<_> = answer.mechanisms.iter().map(ToString::to_string).collect();
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(()),
        Some(_) if known.is_empty() => refused(
            "it takes no SASL on this port: set security.protocol to that of its listener, or give \
             the port of its SASL listener in bootstrap.servers"
                .to_owned(),
        ),
        Some(ResponseError::UnsupportedSaslMechanism) => refused(format!(
            "it does not know {mechanism} on this port: see sasl.mechanism (it knows {})",
            known.join(", ")
        )),
        Some(code) => refused(format!("it refuses {mechanism}: {code}")),
    }
}

fn accepted(mechanism: &str, answer: &SaslAuthenticateResponse) -> Result<(), Failure> {
    let Some(code) = ResponseError::try_from_code(answer.error_code) else {
        return Ok(());
    };
    let words = answer.error_message.as_ref().filter(|words| !words.is_empty());
    let words = words.map_or_else(|| code.to_string(), ToString::to_string);
    let what = match mechanism {
        "OAUTHBEARER" => "the token: see sasl.oauthbearer.* and sasl.jaas.config",
        _ => "the user or the password: see sasl.jaas.config and sasl.mechanism",
    };
    let why = format!("it refuses {what} ({mechanism}: {words})");
    Err(Failure::new(FailureKind::Refused, why))
}
