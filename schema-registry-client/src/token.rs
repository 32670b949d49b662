//! Decides when a token endpoint is asked (OAuth's grant `client_credentials`), and for how long
//! its answer is used.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Uri};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::http::{Http, Silence};
use crate::settings::without_user;
use crate::{Error, OAuth, Result, Secret};

/// A token is asked for anew at least so often, whatever its endpoint says.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How long a token is used that does not say when it ends.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);

/// Tokens of one client.
pub(crate) struct Tokens {
    oauth: OAuth,
    endpoint: Uri,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    current: Option<Current>,
    /// Why the last attempt brought none, and when it ended.
    failed: Option<(Error, Instant)>,
}

struct Current {
    token: Secret,
    renew_at: Instant,
}

impl Tokens {
    pub(crate) fn new(oauth: OAuth) -> Result<Self> {
        let endpoint = oauth.endpoint.parse::<Uri>().ok().filter(|uri| uri.authority().is_some());
        let endpoint = endpoint
            .ok_or_else(|| Error::Settings("the address of the token endpoint is no URL".into()))?;
        Ok(Self { oauth, endpoint, known: Mutex::default() })
    }

    /// Whether the endpoint is asked over TLS.
    pub(crate) fn need_tls(&self) -> bool {
        self.endpoint.scheme_str() == Some("https")
    }

    /// A token; the same for as long as it is good. Who comes while one is fetched waits for that,
    /// and gets its failure too.
    pub(crate) async fn token(&self, http: &Http) -> Result<Secret> {
        let came = Instant::now();
        let mut known = self.known.lock().await;
        if let Some(current) = known.current.as_ref().filter(|c| Instant::now() < c.renew_at) {
            return Ok(current.token.clone());
        }
        if let Some((error, _)) = known.failed.as_ref().filter(|(_, ended)| came < *ended) {
            return Err(error.clone());
        }
        match self.fetch(http).await {
            Ok((token, life)) => {
                let life = life.min(LONGEST_LIFE);
                let used = life.saturating_sub(self.oauth.renew_before.min(life / 2));
                let renew_at = Instant::now() + used;
                known.current = Some(Current { token: token.clone(), renew_at });
                Ok(token)
            }
            Err(error) => {
                known.failed = Some((error.clone(), Instant::now()));
                Err(error)
            }
        }
    }

    /// The registry did not accept this token: the next one is another.
    pub(crate) async fn forget(&self, token: &Secret) {
        let mut known = self.known.lock().await;
        if known.current.as_ref().is_some_and(|current| current.token == *token) {
            known.current = None;
        }
    }

    async fn fetch(&self, http: &Http) -> Result<(Secret, Duration)> {
        let url = without_user(&self.oauth.endpoint);
        let url = url.split('?').next().unwrap_or_default();
        let pair = format!("{}:{}", self.oauth.client_id, self.oauth.client_secret.expose());
        let mut form = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.oauth.scope {
            form += "&scope=";
            form += &crate::transport::encoded(scope);
        }
        let request = Request::post(self.endpoint.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)))
            .body(Full::new(Bytes::from(form)))
            .map_err(|_| Error::Settings("the OAuth settings make no request".into()))?;
        let odd = |problem: String| Error::Answer {
            url: url.to_owned(),
            problem: format!("this is the token endpoint; {problem}"),
        };
        let away = |cause: String| Error::Unavailable {
            url: url.to_owned(),
            cause: format!("this is the token endpoint; {cause}"),
        };
        let answer = http.exchange(request).await.map_err(|silence| match silence {
            Silence::Passing(cause) => away(cause),
            Silence::Lasting(why) => odd(why),
        })?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status.as_u16() {
            200 | 201 => {}
            status @ (408 | 429 | 500..=599) => return Err(away(format!("it answers {status}"))),
            status @ (400 | 401 | 403) => {
                // What it describes further may repeat what it was sent.
                let said = json.get("error").and_then(Value::as_str).filter(|e| is_word(e));
                let said = said.map(|said| format!(": {said}")).unwrap_or_default();
                let why = format!("the token endpoint {url} answers {status}{said}");
                return Err(Error::Token(why));
            }
            status => return Err(odd(format!("it answers {status}"))),
        }
        let token = json.get("access_token").and_then(Value::as_str).map(str::trim);
        let token = token.filter(|token| !token.is_empty() && token.is_ascii());
        let token = token.ok_or_else(|| odd("it gave no access_token".into()))?;
        let life = json.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs);
        let life = life.or_else(|| life_of_jwt(token)).unwrap_or(UNKNOWN_LIFE);
        Ok((Secret::new(token), life))
    }
}

/// Whether a text is one of OAuth's error codes, such as `invalid_client`.
fn is_word(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// How long a JWT lives from now, by its own word.
fn life_of_jwt(token: &str) -> Option<Duration> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let end = serde_json::from_slice::<Value>(&payload).ok()?.get("exp")?.as_u64()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(end).saturating_sub(now))
}
