//! `/connectors/C/offsets` and `/connectors/C/topics`: how far a connector got, and where it went.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use millrace_api::Error;
use serde::Serialize;

use super::body::offsets_to_alter;
use super::error::RestError;
use super::operation::Operation;
use super::parameters::PathOf;
use super::{Answer, Rest};
use crate::herder::ConnectorOffset;

pub(super) fn operations() -> Vec<Operation> {
    const OFFSETS: &str = "/connectors/{connector}/offsets";
    vec![
        Operation::get(OFFSETS, read)
            .says("The offsets that a source has stored, or that a sink's group has committed")
            .gives(200, "ConnectorOffsets")
            .fails(&[404]),
        Operation::patch(OFFSETS, alter)
            .says("Sets offsets of a stopped connector; null deletes one (KIP-875)")
            .takes("ConnectorOffsets")
            .gives(200, "Message")
            .fails(&[400, 404]),
        Operation::delete(OFFSETS, reset)
            .says("Deletes all offsets of a stopped connector (KIP-875)")
            .gives(200, "Message")
            .fails(&[400, 404]),
        Operation::get("/connectors/{connector}/topics", topics)
            .says("The topics that a connector has used (KIP-558)")
            .gives(200, "ActiveTopics")
            .fails(&[403]),
        Operation::put("/connectors/{connector}/topics/reset", reset_topics)
            .says("Forgets which topics a connector has used")
            .gives(202, None)
            .fails(&[403]),
    ]
}

#[derive(Serialize)]
struct ConnectorOffsets {
    offsets: Vec<ConnectorOffset>,
}

#[derive(Serialize)]
pub(super) struct Message {
    pub(super) message: String,
}

async fn read(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<ConnectorOffsets> {
    let offsets = rest.carry_out(move |herder| async move { herder.offsets(&name).await }).await?;
    Ok(Json(ConnectorOffsets { offsets }))
}

async fn alter(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
    body: Bytes,
) -> Answer<Message> {
    let offsets = offsets_to_alter(&body)?;
    if offsets.is_empty() {
        let message = "Partitions / offsets need to be provided for an alter offsets request";
        return Err(Error::config(message).into());
    }
    let altering = move |herder: super::SharedHerder| async move {
        herder.alter_offsets(&name, offsets).await
    };
    let message = rest.carry_out(altering).await?;
    Ok(Json(Message { message }))
}

async fn reset(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<Message> {
    let message =
        rest.carry_out(move |herder| async move { herder.reset_offsets(&name).await }).await?;
    Ok(Json(Message { message }))
}

#[derive(Serialize)]
struct ActiveTopics {
    topics: Vec<String>,
}

const UNTRACKED: &str = "Topic tracking is disabled.";

async fn topics(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
) -> Answer<BTreeMap<String, ActiveTopics>> {
    if !rest.topic_tracking {
        return Err(RestError::forbidden(UNTRACKED));
    }
    let topics = rest.read(rest.herder.active_topics(&name)).await?;
    Ok(Json(BTreeMap::from([(name, ActiveTopics { topics })])))
}

async fn reset_topics(
    State(rest): State<Rest>,
    PathOf(name): PathOf<String>,
) -> Result<StatusCode, RestError> {
    if !rest.topic_tracking {
        return Err(RestError::forbidden(UNTRACKED));
    }
    if !rest.topic_tracking_reset {
        return Err(RestError::forbidden("Topic tracking reset is disabled."));
    }
    rest.carry_out(move |herder| async move { herder.reset_active_topics(&name).await }).await?;
    Ok(StatusCode::ACCEPTED)
}
