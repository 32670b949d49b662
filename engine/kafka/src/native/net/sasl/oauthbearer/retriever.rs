//! Decides where a token comes from: made here, a file, or a token endpoint (`JwtRetriever` in
//! Java).

use std::path::PathBuf;

use millrace_api::Result;

use super::assertion::{Assertion, file};
use super::http::Endpoint;
use super::jwt::{self, ClaimNames, Token};
use super::request::{self, Form};
use super::unsecured::Unsecured;
use super::{Secret, now_ms};

/// One way to a token.
#[derive(Debug)]
pub(super) enum Retriever {
    /// Without a signature.
    Unsecured(Unsecured),
    /// `FileJwtRetriever`: what somebody else puts into a file. It is read each time.
    File(PathBuf),
    /// `ClientCredentialsJwtRetriever` and `JwtBearerJwtRetriever`.
    Endpoint(Box<Endpoint>, Grant),
}

/// What the token endpoint is given.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) proof: Proof,
    /// `sasl.oauthbearer.scope`
    pub(super) scope: Option<String>,
}

#[derive(Debug)]
pub(super) enum Proof {
    /// The client's id and secret.
    Secret {
        id: String,
        secret: Secret,
        /// `sasl.oauthbearer.header.urlencode`
        encode: bool,
    },
    /// The client's id and an assertion.
    Assertion { id: Option<String>, assertion: Assertion },
    /// An assertion that stands for a user.
    JwtBearer(Assertion),
}

impl Retriever {
    /// A new token.
    ///
    /// # Errors
    ///
    /// `Retriable` when there may be one later; none holds a secret.
    pub(super) async fn token(&self, names: &ClaimNames) -> Result<Token> {
        match self {
            Self::Unsecured(unsecured) => Ok(unsecured.token(now_ms())),
            Self::File(path) => {
                let text = file(path, "sasl.oauthbearer.token.endpoint.url").await?;
                jwt::read(text.expose(), names)
                    .map_err(|error| error.context("file", path.display()))
            }
            Self::Endpoint(endpoint, grant) => {
                let answer = endpoint.ask(&grant.form().await?).await?;
                jwt::read(answer.expose(), names)
                    .map_err(|error| error.context("token endpoint", endpoint))
            }
        }
    }
}

impl Grant {
    async fn form(&self) -> Result<Form> {
        let scope = self.scope.as_deref();
        Ok(match &self.proof {
            Proof::Secret { id, secret, encode } => request::by_secret(id, secret, scope, *encode),
            Proof::Assertion { id, assertion } => {
                request::by_assertion(&assertion.make().await?, id.as_deref(), scope)
            }
            Proof::JwtBearer(assertion) => request::jwt_bearer(&assertion.make().await?, scope),
        })
    }
}
