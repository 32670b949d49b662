//! Finds plugins by the names users write, and by the versions they ask for.

use millrace_api::{Error, ErrorKind, Plugin, PluginKind, Result};

use crate::config::versions::VersionRange;

/// Every plugin of this worker.
#[derive(Debug, Default)]
pub struct Catalog {
    plugins: Vec<Plugin>,
}

/// What a class name stands for when a plugin of a kind is expected.
pub(crate) enum Class<'a> {
    /// A plugin of that kind.
    Found(&'a Plugin),
    /// A class that is none.
    Unfit {
        /// Its full name.
        class: String,
        /// Java's complaint.
        complaint: String,
    },
    /// No class we know.
    Missing,
}

/// Classes of Java's that plugins of a kind implement, by simple name; none can be created.
const ABSTRACT: [&str; 5] = [
    "org.apache.kafka.connect.converters.NumberConverter",
    "org.apache.kafka.connect.storage.Converter",
    "org.apache.kafka.connect.storage.HeaderConverter",
    "org.apache.kafka.connect.transforms.Transformation",
    "org.apache.kafka.connect.transforms.predicates.Predicate",
];

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

    /// What a class name stands for where a plugin of this kind is expected.
    pub(crate) fn class(&self, kind: PluginKind, name: &str) -> Class<'_> {
        if let Some(plugin) = self.find(&[kind], name) {
            return Class::Found(plugin);
        }
        let unfit = |complaint: String| Class::Unfit { class: name.to_owned(), complaint };
        if let Some(other) = self.find(&PluginKind::ALL, name) {
            let class = other.class().to_owned();
            let expected = interface(kind);
            let complaint =
                format!("Class class {class} does not implement the {expected} interface");
            return Class::Unfit { class, complaint };
        }
        let children = self.children(kind, name);
        match children.is_empty() {
            false => unfit(format!(
                "This class is abstract and cannot be created. Did you mean {}?",
                children.join(", ")
            )),
            true if ABSTRACT.contains(&name) => {
                unfit("This class is abstract and cannot be created.".to_owned())
            }
            true => Class::Missing,
        }
    }

    /// Classes inside of a class: `HoistField$Key` and `HoistField$Value` in `HoistField`.
    fn children(&self, kind: PluginKind, name: &str) -> Vec<&'static str> {
        let of_kind = self.plugins.iter().filter(|p| p.kind() == kind);
        let is_inner =
            |class: &&str| class.strip_prefix(name).is_some_and(|rest| rest.starts_with('$'));
        of_kind.map(Plugin::class).filter(is_inner).collect()
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
    pub(crate) fn connector_of(&self, config: &millrace_api::Props) -> Result<&Plugin> {
        self.connector(config.get("connector.class").map_or("", |class| class.trim()))
    }

    /// The plugin of a kind that a user means by `name`, the value of `key`.
    pub fn plugin(&self, kind: PluginKind, key: &str, name: &str) -> Result<&Plugin> {
        let complaint = match self.class(kind, name) {
            Class::Found(plugin) => return Ok(plugin),
            Class::Unfit { complaint, .. } => complaint,
            Class::Missing => format!("Class {name} could not be found."),
        };
        Err(Error::config(format!("Invalid value {name} for configuration {key}: {complaint}")))
    }

    /// Complains, in Java's words, if a plugin has no version that a requirement admits.
    pub(crate) fn check_version(
        &self,
        plugin: &Plugin,
        required: Option<&VersionRange>,
    ) -> Result<(), String> {
        let Some(range) = required.filter(|range| !range.contains(plugin.version())) else {
            return Ok(());
        };
        // A class that is listed under two kinds is listed twice here, too.
        let same = self.plugins.iter().filter(|other| other.class() == plugin.class());
        let available: Vec<&str> = same.map(Plugin::version).collect();
        Err(format!(
            "Plugin {} not found that matches the version range {range}, available versions: [{}]",
            plugin.class(),
            available.join(", ")
        ))
    }
}

/// The name of the Java interface that plugins of a kind implement.
fn interface(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Source => "SourceConnector",
        PluginKind::Sink => "SinkConnector",
        PluginKind::Converter => "Converter",
        PluginKind::HeaderConverter => "HeaderConverter",
        PluginKind::Transformation => "Transformation",
        PluginKind::Predicate => "Predicate",
    }
}

/// Java prints its `PluginDesc`; tools only look for the class names.
fn describe(plugin: &Plugin) -> String {
    format!(
        "PluginDesc{{klass=class {}, name='{0}', version='{}', encodedVersion={1}, type={}, \
         typeName='{2}', location='classpath'}}",
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
