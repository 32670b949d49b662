//! `/ext/v1`: what Java Connect does not tell of connectors.

use axum::Json;
use axum::extract::State;

use super::operation::Operation;
use super::parameters::PathOf;
use super::{Answer, Rest};
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
    ]
}

async fn hung(State(rest): State<Rest>) -> Answer<Vec<Hung>> {
    rest.read(rest.herder.hung()).await.map(Json)
}

async fn restarts(State(rest): State<Rest>, PathOf(name): PathOf<String>) -> Answer<Restarts> {
    rest.read(rest.herder.restarts(&name)).await.map(Json)
}
