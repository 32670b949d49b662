//! `/connector-plugins`: what may be configured, and whether a configuration is right.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use millrace_api::config::{ConfigInfos, ConfigKeyInfo};
use millrace_api::{Error, PluginKind};

use super::Rest;
use super::body::ConfigBody;
use super::error::RestError;
use super::operation::Operation;
use super::parameters::{Parameters, PathOf};
use crate::herder::{Herder, PluginInfo};

pub(super) fn operations() -> Vec<Operation> {
    const CONFIG: &str = "/connector-plugins/{plugin}/config";
    vec![
        Operation::get("/connector-plugins", list)
            .says("The plugins of this worker")
            .query("connectorsOnly", "false lists transformations, converters, … as well")
            .gives(200, "Plugins"),
        Operation::get(CONFIG, config)
            .says("The configuration keys of a plugin")
            .query("version", "a version, a Maven range of versions, or latest (KIP-891)")
            .gives(200, "ConfigKeys")
            .fails(&[400, 404]),
        Operation::put("/connector-plugins/{plugin}/config/validate", validate)
            .says("Checks a connector's configuration, and whether its system agrees")
            .takes("Config")
            .gives(200, "ConfigInfos")
            .fails(&[400]),
    ]
}

async fn list(State(rest): State<Rest>, query: Parameters) -> Json<Vec<PluginInfo>> {
    let kinds: &[PluginKind] = match query.flag("connectorsOnly", true) {
        true => &[PluginKind::Sink, PluginKind::Source],
        false => &[],
    };
    Json(rest.herder.plugins(kinds))
}

async fn config(
    State(rest): State<Rest>,
    PathOf(plugin): PathOf<String>,
    query: Parameters,
) -> Result<Json<Vec<ConfigKeyInfo>>, RestError> {
    let version = query.all("version").next().map(str::to_owned);
    let keys = move |herder: Arc<dyn Herder>| async move {
        herder.plugin_config(&plugin, version.as_deref())
    };
    rest.carry_out(keys).await.map(Json)
}

async fn validate(
    State(rest): State<Rest>,
    PathOf(plugin): PathOf<String>,
    body: Bytes,
) -> Result<Json<ConfigInfos>, RestError> {
    let config = ConfigBody::parse(&body)?;
    if let Some(class) = config.props.get("connector.class")
        && !without_suffix(class).ends_with(without_suffix(&plugin))
    {
        let message =
            format!("Included connector type {class} does not match request type {plugin}");
        return Err(Error::config(message).into());
    }
    let infos = rest.validated(&config).await?;
    infos.map(Json).map_err(|e| RestError::in_validation(&e))
}

fn without_suffix(name: &str) -> &str {
    match name.strip_suffix("Connector") {
        Some(short) if !short.is_empty() => short,
        _ => name,
    }
}

impl Rest {
    /// Validates a configuration, nulls and all. The inner result is the herder's.
    pub(super) async fn validated(
        &self,
        config: &ConfigBody,
    ) -> Result<millrace_api::Result<ConfigInfos>, RestError> {
        let ConfigBody { props, nulls } = config.clone();
        let validate =
            move |herder: Arc<dyn Herder>| async move { Ok(herder.validate(&props, &nulls).await) };
        self.carry_out(validate).await
    }
}
