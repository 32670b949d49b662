//! Decides how tests ask a worker's REST interface: any status is an answer, and a body is JSON if
//! it can be.

use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use ureq::Agent;

/// What a worker answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case; values of a name that repeats are joined with commas.
    pub headers: BTreeMap<String, String>,
    /// `null` for an empty body, a string for one that is not JSON.
    pub body: Value,
}

/// Sends one request. `body` goes out as it is, with the content type of JSON.
///
/// # Errors
/// When no HTTP answer came: nobody listens, or the connection broke.
pub fn request(method: &str, url: &str, body: Option<&str>) -> Result<Answer, ureq::Error> {
    send(method, url, &[("Content-Type", "application/json")], body)
}

/// Sends one request with these headers. Redirections are not followed.
///
/// # Errors
/// When no HTTP answer came: nobody listens, or the connection broke.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Answer, ureq::Error> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(100)));
    let agent: Agent = config.build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = match body {
        Some(body) => agent.run(request.body(body.to_owned())?),
        None => agent.run(request.body(())?),
    };
    let mut response = response?;
    let mut headers = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let joined = headers.entry(name.as_str().to_owned()).or_insert_with(String::new);
        *joined = if joined.is_empty() { value } else { format!("{joined},{value}") };
    }
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    let body = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    };
    Ok(Answer { status, headers, body })
}
