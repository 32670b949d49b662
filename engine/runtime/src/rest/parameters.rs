//! Decides how paths and queries are read: as JAX-RS does, where what does not fit is not found.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::RestError;

/// Names from the path, percent-decoded: a name may contain `%2F`.
pub(super) struct PathOf<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RestError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(names)| Self(names)).map_err(|_| RestError::not_found())
    }
}

/// The query's parameters in order; they may repeat.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(n, _)| n == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A flag: `true` in any case is true, nothing is the default, anything else is false.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        let given = self.all(name).next().filter(|value| !value.is_empty());
        given.map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RestError> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(pairs)| Self(pairs)).map_err(|_| RestError::no_such_path())
    }
}
