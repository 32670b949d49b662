//! `/ext/v1`: what Java Connect does not tell of connectors.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use millrace_api::Error;

use super::connectors::task_number;
use super::error::RestError;
use super::offsets::Message;
use super::operation::Operation;
use super::parameters::PathOf;
use super::{Answer, Rest};
use crate::failure::RecordPlace;
use crate::herder::supervisor::Restarts;
use crate::watchdog::Hung;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/ext/v1/hung", hung)
            .says("Connectors and tasks that do not return from a call, also those given up")
            .gives(200, "HungPlugins"),
        Operation::get("/ext/v1/connectors/{connector}/restarts", restarts)
            .says("What has failed of a connector, and whether it restarts by itself")
            .gives(200, "Restarts")
            .fails(&[404]),
        Operation::post("/ext/v1/connectors/{connector}/tasks/{task}/skip", skip)
            .says("Skips the record at which a sink's task has failed, and restarts the task")
            .takes("RecordPlace")
            .gives(200, "Message")
            .fails(&[400, 404, 409]),
    ]
}

async fn hung(State(rest): State<Rest>) -> Answer<Vec<Hung>> {
    rest.read(rest.herder.hung()).await.map(Json)
}

async fn restarts(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<Restarts> {
    rest.read(rest.herder.restarts(&name)).await.map(Json)
}

async fn skip(
    State(rest): State<Rest>,
    PathOf((name, task)): PathOf<(String, i32)>,
    body: Bytes,
) -> Answer<Message> {
    let task = task_number(task, || format!("Task {name}-{task} not found"))?;
    let record: RecordPlace = serde_json::from_slice(&body).map_err(|_| {
        let expected = r#"{"topic": "…", "partition": 0, "offset": 0}"#;
        RestError::from(Error::config(format!("the record to skip is expected, as in {expected}")))
    })?;
    let skipping =
        move |herder: super::SharedHerder| async move { herder.skip(&name, task, record).await };
    let message = rest.carry_out(skipping).await?;
    Ok(Json(Message { message }))
}
