//! Decides how long people wait for a registry, and what they are told when it refuses.

use std::future::Future;
use std::time::Duration;

use millrace_api::{Error, Result};
use schema_registry_client::{Error as Refused, code};

/// After this somebody wants to know what is waited for.
const SILENCE: Duration = Duration::from_secs(3);
/// After this nothing will come.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits for an answer of the registry at these URLs, and says so when it takes long.
pub(super) async fn within_limits<T>(
    urls: &str,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    within(SILENCE, LIMIT, urls, answer).await
}

async fn within<T>(
    silence: Duration,
    limit: Duration,
    urls: &str,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::pin!(answer);
    if let Ok(answer) = tokio::time::timeout(silence, &mut answer).await {
        return answer;
    }
    tracing::warn!("waiting for the schema registry at {urls}, {limit:?} at most");
    let rest = tokio::time::timeout(limit.saturating_sub(silence), answer).await;
    rest.unwrap_or_else(|_| {
        let silent = format!("the schema registry at {urls} has not answered for {limit:?}");
        Err(Error::fatal(silent).context("remedy", UNREACHABLE))
    })
}

const UNREACHABLE: &str = "look at the URL, and whether a firewall or proxy is between";
const NO_REGISTRY: &str = "is that the base URL of a registry? Confluent's is http://HOST:8081, \
                           Apicurio's http://HOST:8080/apis/ccompat/v7";

/// A refusal, with the way out.
pub(super) fn refused(error: Refused) -> Error {
    let told = Error::fatal(error.to_string());
    match remedy(&error) {
        Some(remedy) => told.context("remedy", remedy),
        None => told,
    }
}

fn remedy(error: &Refused) -> Option<&'static str> {
    const CREDENTIALS: &str = "give a file with the right basic.auth.user.info=USER:PASSWORD or \
                               bearer.auth.token=TOKEN as --config; where the URL is to name the \
                               user, basic.auth.user.info does not count";
    match error {
        Refused::Unavailable { cause, .. } if cause.contains("certificate") => Some(
            "name the CA that signed it in schema.registry.ssl.truststore.location of a file given \
             as --config",
        ),
        Refused::Unavailable { url, .. } if url.starts_with("http:") => {
            Some("is it running there? Where it speaks TLS, write https://")
        }
        Refused::Unavailable { .. } => Some("is it running there?"),
        _ if error.is_unauthorized() => Some(CREDENTIALS),
        Refused::Answer { .. } => Some(NO_REGISTRY),
        Refused::Refused(refusal) => match refusal.code {
            code::SUBJECT_NOT_FOUND => Some("`millrace schema subjects` lists what there is"),
            code::VERSION_NOT_FOUND => Some("`millrace schema versions SUBJECT` lists them"),
            404 | 405 => Some(NO_REGISTRY),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let limits = (Duration::from_millis(10), Duration::from_millis(200));
        let never = std::future::pending::<Result<()>>();
        let error = within(limits.0, limits.1, "http://r", never).await.unwrap_err().to_string();
        assert!(error.contains("http://r has not answered for 200ms"), "{error}");
        let late = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok(7)
        };
        assert_eq!(within(limits.0, limits.1, "http://r", late).await.unwrap(), 7);
    }

    #[test]
    fn what_can_be_done_is_said() {
        let unavailable =
            |url: &str, cause: &str| Refused::Unavailable { url: url.into(), cause: cause.into() };
        let answer = Refused::Answer { url: "http://r".into(), problem: "HTML".into() };
        for (error, words) in [
            (unavailable("http://r", "connection closed"), "write https://"),
            (unavailable("https://r", "connection refused"), "is it running"),
            (unavailable("https://r", "invalid peer certificate: Expired"), "truststore.location"),
            (answer, "/apis/ccompat/v7"),
            (Refused::Token("no".into()), "basic.auth.user.info"),
        ] {
            let told = refused(error).to_string();
            assert!(told.contains(words), "{told}");
        }
    }
}
