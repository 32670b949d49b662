//! Finds plugins by the names users write.

use millrace_api::{Error, ErrorKind, Plugin, PluginKind, Props, Result};

/// Every plugin of this worker.
#[derive(Debug, Default)]
pub struct Catalog {
    plugins: Vec<Plugin>,
}

impl Catalog {
    /// A catalog of these plugins, in the order Java lists them: by kind, then by class.
    pub fn new(mut plugins: Vec<Plugin>) -> Self {
        plugins.sort_by_key(|p| (listing_order(p.kind()), p.class()));
        Self { plugins }
    }

    /// All plugins in Java's order.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// The plugin of one of these kinds that a user means by `name`: a class name, or an alias
    /// that only one class answers to.
    pub fn find(&self, kinds: &[PluginKind], name: &str) -> Option<&Plugin> {
        let mut of_kind = self.plugins.iter().filter(|p| kinds.contains(&p.kind()));
        if let Some(exact) = of_kind.clone().find(|p| p.class() == name) {
            return Some(exact);
        }
        let first = of_kind.find(|p| p.answers_to(name))?;
        of_kind.all(|p| !p.answers_to(name) || p.class() == first.class()).then_some(first)
    }

    /// The connector that a user means by `connector.class`.
    pub fn connector(&self, name: &str) -> Result<&Plugin> {
        const CONNECTORS: &[PluginKind] = &[PluginKind::Source, PluginKind::Sink];
        self.find(CONNECTORS, name).ok_or_else(|| {
            let available = self.plugins.iter().filter(|p| CONNECTORS.contains(&p.kind()));
            let available: Vec<_> = available.map(describe).collect();
            Error::new(
                ErrorKind::Config,
                format!(
                    "Failed to find any class that implements Connector and which name matches \
                     {name}, available connectors are: {}",
                    available.join(", ")
                ),
            )
        })
    }

    /// The connector that a configuration names.
    pub(crate) fn connector_of(&self, config: &Props) -> Result<&Plugin> {
        self.connector(config.get("connector.class").map_or("", |class| class.trim()))
    }

    /// The plugin of a kind that a user means by `name`, the value of `key`.
    pub fn plugin(&self, kind: PluginKind, key: &str, name: &str) -> Result<&Plugin> {
        self.find(&[kind], name).ok_or_else(|| {
            Error::config(format!(
                "Invalid value {name} for configuration {key}: Class {name} could not be found."
            ))
        })
    }
}

/// Java prints its `PluginDesc`; tools only look for the class names.
fn describe(plugin: &Plugin) -> String {
    format!(
        "PluginDesc{{klass=class {}, name='{0}', version='{}', type={}}}",
        plugin.class(),
        plugin.version(),
        plugin.kind().name()
    )
}

fn listing_order(kind: PluginKind) -> u8 {
    match kind {
        PluginKind::Sink => 0,
        PluginKind::Source => 1,
        PluginKind::Transformation => 2,
        PluginKind::Predicate => 3,
        PluginKind::Converter => 4,
        PluginKind::HeaderConverter => 5,
    }
}
