//! `/metrics`: what Prometheus reads. Java Connect has none: there it takes an agent in the virtual
//! machine.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use millrace_api::Error;

use super::Rest;
use super::error::RestError;
use super::operation::Operation;
use super::parameters::Parameters;
use crate::metrics::MetricNames;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn operations() -> Vec<Operation> {
    let names = "rules (those of jmx_exporter's and Strimzi's rules), or reporter (those of \
                 Strimzi's Metrics Reporter)";
    vec![
        Operation::get("/metrics", metrics)
            .says("The metrics of this worker, its connectors and tasks, as Prometheus reads them")
            .query("names", names)
            .gives(200, None)
            .fails(&[400])
            .of_any_content()
            .in_text(),
    ]
}

async fn metrics(State(rest): State<Rest>, query: Parameters) -> Result<Response, RestError> {
    let names = match query.all("names").next() {
        Some(text) => MetricNames::parse(text).ok_or_else(|| {
            Error::config("names of metrics are those of rules or of a reporter")
                .context("names", text)
                .context("remedy", "ask for names=rules or names=reporter")
        })?,
        None => MetricNames::default(),
    };
    let text = rest.read(async { Ok(rest.herder.metrics(names).await) }).await?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}
