//! Decides which URLs and files OAUTHBEARER may use: those that whoever started the process has
//! named, since who only configures connectors must not make the worker fetch from anywhere.
//!
//! Java has two system properties for it (Kafka 4). They are read from `KAFKA_OPTS`, where users
//! have them, and variables of our own say the same.

use std::collections::BTreeSet;

use millrace_api::Result;

use crate::properties::invalid;

const URLS: Variable = Variable {
    what: "URL",
    property: "org.apache.kafka.sasl.oauthbearer.allowed.urls",
    variable: "MILLRACE_OAUTHBEARER_ALLOWED_URLS",
};

const FILES: Variable = Variable {
    what: "file",
    property: "org.apache.kafka.sasl.oauthbearer.allowed.files",
    variable: "MILLRACE_OAUTHBEARER_ALLOWED_FILES",
};

struct Variable {
    what: &'static str,
    /// Java's system property.
    property: &'static str,
    variable: &'static str,
}

/// What may be used: nothing, unless it is named here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    urls: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Allowed {
    /// What the environment of the process says.
    pub(crate) fn by_environment() -> Self {
        Self::read(&|name| std::env::var(name).ok())
    }

    /// The same for any variables.
    pub(crate) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let options = variable("KAFKA_OPTS").unwrap_or_default();
        let read = |of: &Variable| {
            let flag = format!("-D{}=", of.property);
            // As in a JVM, the last one holds.
            let mut flags = options.split_whitespace().rev();
            let property = flags.find_map(|option| option.strip_prefix(&flag));
            let own = variable(of.variable).unwrap_or_default();
            let named = property.into_iter().chain([own.as_str()]).flat_map(|list| list.split(','));
            let named = named.map(str::trim).filter(|name| !name.is_empty());
            named.map(str::to_owned).collect()
        };
        Self { urls: read(&URLS), files: read(&FILES) }
    }

    /// # Errors
    ///
    /// The URL is not named; with Java's words and our way out.
    pub(super) fn check_url(&self, key: &str, url: &str) -> Result<()> {
        check(&self.urls, &URLS, key, url)
    }

    /// # Errors
    ///
    /// As [`check_url`](Self::check_url). The path is absolute.
    pub(super) fn check_file(&self, key: &str, path: &str) -> Result<()> {
        check(&self.files, &FILES, key, path)
    }
}

fn check(allowed: &BTreeSet<String>, of: &Variable, key: &str, value: &str) -> Result<()> {
    if allowed.contains(value) {
        return Ok(());
    }
    let Variable { what, property, variable } = of;
    let why = format!(
        "The {what} cannot be accessed due to restrictions: whoever starts the worker allows it by \
         the environment variable {variable}, or by -D{property}=… in KAFKA_OPTS; several are \
         separated by commas"
    );
    Err(invalid(key, value, &why))
}
