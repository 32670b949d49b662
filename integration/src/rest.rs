//! Decides how tests ask a worker's REST interface: any status is an answer, and a body is JSON if
//! it can be.

use serde_json::Value;
use std::time::Duration;
use ureq::Agent;

/// What a worker answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// `null` for an empty body, a string for one that is not JSON.
    pub body: Value,
}

/// Sends one request. `body` goes out as it is, with the content type of JSON.
///
/// # Errors
/// When no HTTP answer came: nobody listens, or the connection broke.
pub fn request(method: &str, url: &str, body: Option<&str>) -> Result<Answer, ureq::Error> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(100)));
    let agent: Agent = config.build().into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(url)
        .header("Content-Type", "application/json");
    let response = match body {
        Some(body) => agent.run(request.body(body.to_owned())?),
        None => agent.run(request.body(())?),
    };
    let mut response = response?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    let body = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    };
    Ok(Answer { status, body })
}
