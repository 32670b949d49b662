//! `/ext/v1`: what Java Connect does not tell of connectors.

use axum::Json;
use axum::extract::State;

use super::operation::Operation;
use super::{Answer, Rest};
use crate::watchdog::Hung;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/ext/v1/hung", hung)
            .says("Connectors and tasks that do not return from a call, also those given up")
            .gives(200, "HungPlugins"),
    ]
}

async fn hung(State(rest): State<Rest>) -> Answer<Vec<Hung>> {
    rest.read(rest.herder.hung()).await.map(Json)
}
