//! `/admin/loggers`: how much is logged (KIP-495, KIP-676, KIP-976).

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use millrace_api::{Error, ErrorKind};
use serde_json::{Map, Value};

use super::body::ConfigBody;
use super::error::RestError;
use super::operation::Operation;
use super::parameters::{Parameters, PathOf};
use super::{Answer, Rest};
use crate::log_levels::LoggerLevel;

const LEVELS: [&str; 8] = ["OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/admin/loggers", list)
            .says("The loggers of this worker and their levels")
            .gives(200, "Loggers"),
        Operation::get("/admin/loggers/{logger}", one)
            .says("The level of a logger")
            .gives(200, "LoggerLevel")
            .fails(&[404]),
        Operation::put("/admin/loggers/{logger}", set)
            .says("Sets the level of a logger and all below it")
            .query("scope", "worker, which is the default, or cluster")
            .takes("SetLevel")
            .gives(200, "Names")
            .gives(204, None)
            .fails(&[400, 404]),
    ]
}

async fn list(State(rest): State<Rest>) -> Json<Map<String, Value>> {
    let all = rest.loggers.all().into_iter();
    let shown = all.filter(|(_, logger)| logger.level != "OFF");
    Json(shown.map(|(name, logger)| (name, as_json(&logger))).collect())
}

fn as_json(logger: &LoggerLevel) -> Value {
    serde_json::json!({ "level": logger.level, "last_modified": logger.last_modified })
}

async fn one(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<LoggerLevel> {
    rest.loggers
        .get(logger(&name))
        .map(Json)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("Logger {name} not found.")).into())
}

/// The root logger has its name in any case.
fn logger(name: &str) -> &str {
    if name.eq_ignore_ascii_case("root") { "root" } else { name }
}

async fn set(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    query: Parameters,
    body: Bytes,
) -> Result<Response, RestError> {
    let level = level(&ConfigBody::parse_as(r#"{"level": "…"}"#, &body)?)?;
    let scope = query.all("scope").next().unwrap_or("worker");
    let cluster = scope.eq_ignore_ascii_case("cluster");
    if !cluster && !scope.eq_ignore_ascii_case("worker") {
        let scope = scope.escape_debug();
        tracing::warn!("unknown scope {scope} for setting a log level; worker is assumed");
    }
    let changed = rest.loggers.set(logger(&name), &level);
    tracing::info!("level {level} set for logger {}", name.escape_debug());
    Ok(match cluster {
        true => StatusCode::NO_CONTENT.into_response(),
        false => Json(changed).into_response(),
    })
}

/// The level asked for, in capitals. Codes and texts are Java's.
fn level(body: &ConfigBody) -> Result<String, RestError> {
    let given = body
        .props
        .get("level")
        .ok_or_else(|| Error::config("Desired 'level' parameter was not specified in request."))?;
    if given.is_empty() {
        return Err(Error::fatal("Illegal null or empty Level name.").into());
    }
    let level = given.trim().to_uppercase();
    match LEVELS.contains(&level.as_str()) {
        true => Ok(level),
        false => {
            let message = format!("invalid log level '{given}'.");
            Err(Error::new(ErrorKind::NotFound, message).into())
        }
    }
}
