//! `/metrics`: what Prometheus reads, where Java Connect takes an agent in its virtual machine; and
//! `/ext/v1/memory`.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use millrace_api::Error;

use super::error::RestError;
use super::operation::Operation;
use super::parameters::Parameters;
use super::{Answer, Rest};
use crate::memory::MemoryReport;
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
        Operation::get("/ext/v1/memory", memory)
            .says("What tasks hold in memory, and may hold; who holds most comes first")
            .gives(200, "MemoryReport"),
    ]
}

async fn memory(State(rest): State<Rest>) -> Answer<MemoryReport> {
    rest.read(rest.herder.memory()).await.map(Json)
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
