//! `/` and `/health`: who this worker is, and whether it answers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::time::timeout;

use super::{Rest, parameters::route};

/// The release of Apache Kafka whose Connect this worker behaves like. Tools read it to know what
/// they may ask for.
const KAFKA_VERSION: &str = "4.3.1";
/// Java's is a commit of Kafka; ours says which program answers.
const COMMIT: &str = concat!("millrace-", env!("CARGO_PKG_VERSION"));

pub(super) fn routes() -> Router<Rest> {
    let router = Router::new().route("/", get(server_info));
    route(router, "/health", get(health))
}

#[derive(Serialize)]
struct ServerInfo {
    version: &'static str,
    commit: &'static str,
    kafka_cluster_id: String,
}

async fn server_info(State(rest): State<Rest>) -> Json<ServerInfo> {
    Json(ServerInfo {
        version: KAFKA_VERSION,
        commit: COMMIT,
        kafka_cluster_id: rest.herder.kafka_cluster_id(),
    })
}

#[derive(Serialize)]
struct WorkerStatus {
    status: &'static str,
    message: &'static str,
}

async fn health(State(rest): State<Rest>) -> (StatusCode, Json<WorkerStatus>) {
    let answer = timeout(rest.limits.health, rest.herder.connectors()).await;
    let (code, status, message) = match answer {
        Ok(Ok(_)) => (
            StatusCode::OK,
            "healthy",
            "Worker has completed startup and is ready to handle requests.",
        ),
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "unhealthy",
            "Worker was unable to handle this request and may be unable to handle other requests.",
        ),
    };
    (code, Json(WorkerStatus { status, message }))
}
