//! `/` and `/health`: who this worker is, and whether it answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use millrace_api::Result;
use serde::Serialize;
use tokio::time::timeout;

use super::Rest;
use super::operation::Operation;
use crate::release::{COMMIT, KAFKA_VERSION};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/", server_info)
            .says("Who this worker is, and which cluster it works for")
            .gives(200, "ServerInfo")
            .of_any_content(),
        Operation::get("/health", health)
            .says("Whether this worker has started and answers (KIP-1017)")
            .gives(200, "WorkerStatus")
            .gives(503, "WorkerStatus")
            .gives(500, "WorkerStatus")
            .of_any_content(),
    ]
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
    let (code, status) = judge(timeout(rest.limits.health, rest.herder.health()).await.ok());
    (code, Json(status))
}

/// What the herder's answer means; none when it gave none in time. Words are Java's.
fn judge(answer: Option<Result<()>>) -> (StatusCode, WorkerStatus) {
    let (code, status, message) = match answer {
        Some(Ok(())) => (
            StatusCode::OK,
            "healthy",
            "Worker has completed startup and is ready to handle requests.",
        ),
        Some(Err(e)) if e.is_retriable() => {
            (StatusCode::SERVICE_UNAVAILABLE, "starting", "Worker is still starting up.")
        }
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "unhealthy",
            "Worker was unable to handle this request and may be unable to handle other requests.",
        ),
    };
    (code, WorkerStatus { status, message })
}

#[cfg(test)]
mod tests {
    use millrace_api::Error;

    use super::*;

    #[test]
    fn a_worker_is_healthy_starting_or_unhealthy() {
        for (answer, code, status) in [
            (Some(Ok(())), 200, "healthy"),
            (Some(Err(Error::retriable("not yet"))), 503, "starting"),
            (Some(Err(Error::fatal("never"))), 500, "unhealthy"),
            (None, 500, "unhealthy"),
        ] {
            let judged = judge(answer);
            assert_eq!((judged.0.as_u16(), judged.1.status), (code, status));
        }
    }
}
