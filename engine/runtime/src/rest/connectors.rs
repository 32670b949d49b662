//! `/connectors`: making, reading, changing and ending connectors.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{HOST, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use millrace_api::{ErrorKind, Props, Result};
use serde::Serialize;

use super::Rest;
use super::body::{ConfigBody, CreateRequest};
use super::error::RestError;
use super::parameters::{Parameters, PathOf, route};
use crate::herder::validate::require_valid;
use crate::herder::{
    ConnectorInfo, ConnectorStatus, RestartRequest, TargetState, TaskInfo, TaskState,
};

type Answer<T> = Result<Json<T>, RestError>;

pub(super) fn routes() -> Router<Rest> {
    let config = get(read_config).put(replace_config);
    [
        ("/connectors", get(list).post(create)),
        ("/connectors/{connector}", get(info).delete(delete)),
        ("/connectors/{connector}/config", config),
        ("/connectors/{connector}/status", get(status)),
        ("/connectors/{connector}/tasks", get(tasks)),
        ("/connectors/{connector}/tasks/{task}/status", get(task_status)),
        ("/connectors/{connector}/tasks/{task}/restart", post(restart_task)),
        ("/connectors/{connector}/pause", put(pause)),
        ("/connectors/{connector}/resume", put(resume)),
        ("/connectors/{connector}/restart", post(restart)),
    ]
    .into_iter()
    .fold(Router::new(), |router, (path, to)| route(router, path, to))
}

async fn list(State(rest): State<Rest>, query: Parameters) -> Result<Response, RestError> {
    let names = rest.read(rest.herder.connectors()).await?;
    let mut wanted = query.all("expand").peekable();
    if wanted.peek().is_none() {
        return Ok(Json(names).into_response());
    }
    let wanted: Vec<&str> = wanted.collect();
    let expanded = rest.read(expand(&rest, names, &wanted)).await?;
    Ok(Json(expanded).into_response())
}

/// What `expand` asks for about one connector.
#[derive(Default, Serialize)]
struct Expanded {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ConnectorStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<ConnectorInfo>,
}

async fn expand(
    rest: &Rest,
    names: Vec<String>,
    wanted: &[&str],
) -> Result<BTreeMap<String, Expanded>> {
    let mut all = BTreeMap::new();
    for name in names {
        match expand_one(rest, &name, wanted).await {
            Ok(one) => {
                all.insert(name, one);
            }
            // It was deleted meanwhile, or has no status yet: then it is left out.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

async fn expand_one(rest: &Rest, name: &str, wanted: &[&str]) -> Result<Expanded> {
    let mut one = Expanded::default();
    if wanted.contains(&"status") {
        one.status = Some(rest.herder.status(name).await?);
    }
    if wanted.contains(&"info") {
        one.info = Some(rest.herder.connector_info(name).await?);
    }
    Ok(one)
}

async fn create(
    State(rest): State<Rest>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, RestError> {
    let request = CreateRequest::parse(&body)?;
    let (name, initial) = (request.name, request.initial);
    let props = checked(&rest, &name, request.config).await?;
    let make = rest.carry_out(move |herder| async move {
        herder.put_connector(&name, props, initial, false).await
    });
    let (_, info) = make.await?;
    Ok(created(&headers, info))
}

async fn replace_config(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, RestError> {
    let props = checked(&rest, &name, ConfigBody::parse(&body)?).await?;
    let replace = rest.carry_out(move |herder| async move {
        herder.put_connector(&name, props, None, true).await
    });
    match replace.await? {
        (true, info) => Ok(created(&headers, info)),
        (false, info) => Ok(Json(info).into_response()),
    }
}

/// The configuration with its name. Without nulls the rest is checked by the herder.
async fn checked(rest: &Rest, name: &str, config: ConfigBody) -> Result<Props, RestError> {
    let config = config.named(name)?;
    if !config.nulls.is_empty() {
        let infos = rest.validated(&config).await?;
        require_valid(&infos?)?;
    }
    Ok(config.props)
}

fn created(headers: &HeaderMap, info: ConnectorInfo) -> Response {
    let path = format!("/connectors/{}", encoded(&info.name));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let location = match host {
        Some(host) => format!("http://{host}{path}"),
        None => path,
    };
    (StatusCode::CREATED, [(LOCATION, location)], Json(info)).into_response()
}

/// A name as a segment of a path.
fn encoded(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => path.push(char::from(byte)),
            _ if b"-._~!$&'()*+,;=:@".contains(&byte) => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

async fn info(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<ConnectorInfo> {
    rest.read(rest.herder.connector_info(&name)).await.map(Json)
}

async fn read_config(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<Props> {
    let info = rest.read(rest.herder.connector_info(&name)).await?;
    Ok(Json(info.config))
}

async fn delete(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
) -> Result<StatusCode, RestError> {
    rest.carry_out(move |herder| async move { herder.delete_connector(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn status(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<ConnectorStatus> {
    rest.read(rest.herder.status(&name)).await.map(Json)
}

async fn tasks(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<Vec<TaskInfo>> {
    rest.read(rest.herder.tasks(&name)).await.map(Json)
}

async fn task_status(
    State(rest): State<Rest>,
    PathOf((name, task)): PathOf<(String, u32)>,
) -> Answer<TaskState> {
    let state = rest.herder.task_status(&name, task as usize);
    rest.read(state).await.map(Json)
}

async fn restart_task(
    State(rest): State<Rest>,
    PathOf((name, task)): PathOf<(String, u32)>,
) -> Result<StatusCode, RestError> {
    let task = task as usize;
    rest.carry_out(move |herder| async move { herder.restart_task(&name, task).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pause(rest: State<Rest>, name: PathOf<String>) -> Result<StatusCode, RestError> {
    set_target_state(rest, name, TargetState::Paused).await
}

async fn resume(rest: State<Rest>, name: PathOf<String>) -> Result<StatusCode, RestError> {
    set_target_state(rest, name, TargetState::Started).await
}

async fn set_target_state(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    state: TargetState,
) -> Result<StatusCode, RestError> {
    rest.carry_out(move |herder| async move { herder.set_target_state(&name, state).await })
        .await?;
    Ok(StatusCode::ACCEPTED)
}

async fn restart(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    query: Parameters,
) -> Result<Response, RestError> {
    let request = RestartRequest {
        include_tasks: query.flag("includeTasks", false),
        only_failed: query.flag("onlyFailed", false),
    };
    let restarted =
        rest.carry_out(move |herder| async move { herder.restart(&name, request).await }).await?;
    Ok(match restarted {
        Some(status) => (StatusCode::ACCEPTED, Json(status)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
