//! `/connectors`: making, reading, changing and ending connectors.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::header::{HOST, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use millrace_api::{Error, ErrorKind, Props, Result};
use serde::Serialize;

use super::body::{ConfigBody, CreateRequest, task_configs};
use super::error::RestError;
use super::layers::Origin;
use super::operation::Operation;
use super::parameters::{Parameters, PathOf};
use super::{Answer, Rest, SharedHerder};
use crate::herder::validate::require_valid;
use crate::herder::{
    ConnectorInfo, ConnectorStatus, RestartRequest, TargetState, TaskInfo, TaskState,
};

pub(super) fn operations() -> Vec<Operation> {
    const ONE: &str = "/connectors/{connector}";
    const CONFIG: &str = "/connectors/{connector}/config";
    vec![
        Operation::get("/connectors", list)
            .says("The names of all connectors, or what they are and do")
            .query("expand", "status, info, or both by repeating the parameter (KIP-465)")
            .gives(200, "Connectors"),
        Operation::post("/connectors", create)
            .says("Creates a connector")
            .takes("CreateConnector")
            .gives(201, "ConnectorInfo")
            .fails(&[400, 409]),
        Operation::get(ONE, info)
            .says("A connector's configuration and tasks")
            .gives(200, "ConnectorInfo")
            .fails(&[404]),
        Operation::delete(ONE, delete)
            .says("Stops a connector and forgets it; its offsets stay")
            .gives(204, None)
            .fails(&[404]),
        Operation::get(CONFIG, read_config)
            .says("A connector's configuration")
            .gives(200, "Config")
            .fails(&[404]),
        Operation::put(CONFIG, replace_config)
            .says("Replaces a connector's configuration, or creates the connector")
            .takes("Config")
            .gives(200, "ConnectorInfo")
            .gives(201, "ConnectorInfo")
            .fails(&[400]),
        Operation::patch(CONFIG, change_config)
            .says("Changes keys of a connector's configuration; null removes one (KIP-477)")
            .takes("ConfigPatch")
            .gives(200, "ConnectorInfo")
            .fails(&[400, 404]),
        Operation::get("/connectors/{connector}/status", status)
            .says("What a connector and its tasks are doing")
            .gives(200, "ConnectorStatus")
            .fails(&[404]),
        Operation::put("/connectors/{connector}/pause", pause)
            .says("Pauses a connector and its tasks")
            .gives(202, None)
            .fails(&[404]),
        Operation::put("/connectors/{connector}/resume", resume)
            .says("Resumes a connector that is paused or stopped")
            .gives(202, None)
            .fails(&[404]),
        Operation::put("/connectors/{connector}/stop", stop)
            .says("Stops a connector and ends its tasks, so that its offsets may be changed")
            .gives(204, None),
        Operation::post("/connectors/{connector}/restart", restart)
            .says("Restarts a connector, its tasks, or both (KIP-745)")
            .query("includeTasks", "true restarts tasks as well")
            .query("onlyFailed", "true restarts only what has failed")
            .gives(202, "ConnectorStatus")
            .gives(204, None)
            .fails(&[404]),
    ]
    .into_iter()
    .chain(task_operations())
    .collect()
}

fn task_operations() -> Vec<Operation> {
    const TASKS: &str = "/connectors/{connector}/tasks";
    vec![
        Operation::get(TASKS, tasks)
            .says("A connector's tasks and their configurations")
            .gives(200, "Tasks")
            .fails(&[404]),
        Operation::post(TASKS, put_task_configs)
            .says("Asked between workers of a cluster, which this worker is not part of")
            .takes("TaskConfigs")
            .between_workers(),
        Operation::put("/connectors/{connector}/fence", fence)
            .says("Asked between workers of a cluster, which this worker is not part of")
            .between_workers(),
        Operation::get("/connectors/{connector}/tasks/{task}/status", task_status)
            .says("What a task is doing")
            .gives(200, "TaskState")
            .fails(&[404]),
        Operation::post("/connectors/{connector}/tasks/{task}/restart", restart_task)
            .says("Restarts a task")
            .gives(204, None)
            .fails(&[404]),
    ]
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
    Extension(origin): Extension<Origin>,
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
    Ok(created(origin, &headers, info))
}

async fn replace_config(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, RestError> {
    let props = checked(&rest, &name, ConfigBody::parse(&body)?).await?;
    let replace = rest.carry_out(move |herder| async move {
        herder.put_connector(&name, props, None, true).await
    });
    match replace.await? {
        (true, info) => Ok(created(origin, &headers, info)),
        (false, info) => Ok(Json(info).into_response()),
    }
}

async fn change_config(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    body: Bytes,
) -> Answer<ConnectorInfo> {
    let patch = ConfigBody::parse(&body)?.into_patch();
    let change =
        move |herder: SharedHerder| async move { herder.patch_connector(&name, patch).await };
    rest.carry_out(change).await.map(Json)
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

fn created(origin: Origin, headers: &HeaderMap, info: ConnectorInfo) -> Response {
    let path = format!("/connectors/{}", encoded(&info.name));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let location = match host {
        Some(host) if origin.https => format!("https://{host}{path}"),
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

/// A task's number. Java's is an `int`, whose negative values are numbers of no task.
pub(super) fn task_number(task: i32, missing: impl FnOnce() -> String) -> Result<usize, RestError> {
    let unknown = |_| Error::new(ErrorKind::NotFound, missing());
    Ok(usize::try_from(task).map_err(unknown)?)
}

async fn task_status(
    State(rest): State<Rest>,
    PathOf((name, task)): PathOf<(String, i32)>,
) -> Answer<TaskState> {
    let task = task_number(task, || format!("No status found for task {name}-{task}"))?;
    rest.read(rest.herder.task_status(&name, task)).await.map(Json)
}

async fn restart_task(
    State(rest): State<Rest>,
    PathOf((name, task)): PathOf<(String, i32)>,
) -> Result<StatusCode, RestError> {
    let task = task_number(task, || format!("Task {name}-{task} not found"))?;
    rest.carry_out(move |herder| async move { herder.restart_task(&name, task).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_task_configs(body: Bytes) -> Result<StatusCode, RestError> {
    task_configs(&body)?;
    Err(RestError::not_in_standalone("externally setting task configurations"))
}

async fn fence() -> Result<StatusCode, RestError> {
    Err(RestError::not_in_standalone("exactly-once source connectors"))
}

async fn pause(rest: State<Rest>, name: PathOf<String>) -> Result<StatusCode, RestError> {
    set_target_state(rest, name, TargetState::Paused).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn resume(rest: State<Rest>, name: PathOf<String>) -> Result<StatusCode, RestError> {
    set_target_state(rest, name, TargetState::Started).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn stop(rest: State<Rest>, name: PathOf<String>) -> Result<StatusCode, RestError> {
    set_target_state(rest, name, TargetState::Stopped).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_target_state(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    state: TargetState,
) -> Result<(), RestError> {
    rest.carry_out(move |herder| async move { herder.set_target_state(&name, state).await }).await
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
