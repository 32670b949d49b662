//! Decides which keys `GET /connector-plugins/P/config` lists: the plugin's own, and after them the
//! framework's for a connector.

use millrace_api::config::ConfigKeyInfo;
use millrace_api::{Error, ErrorKind, PluginKind, Result};

use crate::catalog::{Catalog, Class};
use crate::config::connector::definition;
use crate::config::versions;

/// The keys of a plugin, by class or alias, and in a version if one is asked for.
pub(crate) fn plugin_config(
    catalog: &Catalog,
    name: &str,
    version: Option<&str>,
) -> Result<Vec<ConfigKeyInfo>> {
    let Some(plugin) = catalog.find(&PluginKind::ALL, name) else {
        if matches!(catalog.class(PluginKind::Transformation, name), Class::Unfit { .. }) {
            return Err(Error::fatal("Instantiation error"));
        }
        return Err(Error::new(ErrorKind::NotFound, format!("Unknown plugin {name}.")));
    };
    let required = versions::requirement(version).map_err(|_| {
        let version = version.unwrap_or_default();
        Error::config(format!("Invalid version specification: {version}"))
    })?;
    catalog.check_version(plugin, required.as_ref()).map_err(Error::config)?;
    let own = plugin.config_def();
    let def = match plugin.kind() {
        PluginKind::Source | PluginKind::Sink => own.completed_by(definition(plugin)),
        _ => own,
    };
    Ok(def.infos())
}
