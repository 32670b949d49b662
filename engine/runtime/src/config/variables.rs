//! Decides what `${provider:path:key}` in a configuration stands for (`ConfigTransformer` in Java).
//!
//! Configurations are stored and shown as written. They are resolved where they are used, and what
//! that gave is taken out of every answer again: see [`Redaction`](super::redaction::Redaction).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use millrace_api::config::validators::unique_list;
use millrace_api::{Config, Error, Props, Result};
use regex::{Captures, Regex};

use super::clients::below;
use super::providers::{self, ConfigProvider};
use super::redaction::Redaction;

/// Java's own pattern. It finds the first `}` after `${`, and needs a colon before it.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}").expect("it is a constant, and tested")
});

/// The worker's providers, by the names that variables call them.
#[derive(Clone, Default)]
pub(crate) struct Variables(Arc<BTreeMap<String, Box<dyn ConfigProvider>>>);

#[derive(Clone, Debug, Config)]
pub(crate) struct ProviderKeys {
    /// Names of config providers; what each of them is stands below config.providers.NAME.
    #[config(key = "config.providers", importance = Low, default = "", validate = unique_list)]
    names: Vec<String>,
}

/// A configuration with the values of its variables.
#[derive(Clone)]
pub(crate) struct Resolved {
    pub(crate) props: Props,
    pub(crate) redaction: Redaction,
}

/// What variables were found to stand for: by provider and path, then by key.
type Found<'a> = BTreeMap<(&'a str, &'a str), BTreeMap<String, String>>;

impl Variables {
    /// The providers that the worker's properties, as written, name.
    pub(crate) fn new(worker: &Props) -> Result<Self> {
        let mut all = BTreeMap::new();
        for name in ProviderKeys::parse(worker)?.names {
            let key = format!("config.providers.{name}.class");
            let Some(class) = worker.get(&key) else {
                tracing::warn!(
                    "config.providers lists {name}, but {key} is missing: variables that name it \
                     stay as they are"
                );
                continue;
            };
            let parameters = format!("config.providers.{name}.param.");
            let parameters: Props = below(worker, &parameters).collect();
            let named = |e: Error| e.context("config provider", &name);
            let provider = providers::open(&name, class, &parameters).map_err(named)?;
            all.insert(name, provider);
        }
        Ok(Self(Arc::new(all)))
    }

    /// Puts in what variables stand for. Those of unknown providers, and those without a value,
    /// stay. What is put in is not looked through again. Blocks: files are read anew each time.
    pub(crate) fn resolve(&self, raw: &Props) -> Result<Resolved> {
        if !self.may_change(raw) {
            return Ok(Resolved { props: raw.clone(), redaction: Redaction::default() });
        }
        let found = self.look_up(raw)?;
        let mut redaction = Redaction::default();
        let mut props = raw.clone();
        for (key, value) in &mut props {
            let replace = |captures: &Captures<'_>| {
                let (variable, provider, path, name) = parts(captures);
                match found.get(&(provider, path)).and_then(|values| values.get(name)) {
                    None => variable.to_owned(),
                    Some(value) => {
                        redaction.hide_value(value, variable);
                        value.clone()
                    }
                }
            };
            let resolved = VARIABLE.replace_all(value, replace).into_owned();
            if resolved != *value {
                redaction.hide_setting(key, &resolved, value);
                *value = resolved;
            }
        }
        redaction.hide_in_logs();
        Ok(Resolved { props, redaction })
    }

    /// The same, and warns of variables that stay, which are misspelt more often than meant. What
    /// is warned about is the text as written, by keys of `whose` configuration.
    pub(crate) fn resolve_and_warn(&self, whose: &str, raw: &Props) -> Result<Resolved> {
        let resolved = self.resolve(raw)?;
        for (key, variable, why) in self.left(raw, &resolved.props) {
            tracing::warn!("{whose}: in {key}, {variable} stays as it is: {why}");
        }
        Ok(resolved)
    }

    /// The same, where waiting for a disk must not hold others up.
    pub(crate) async fn resolve_and_warn_aside(
        &self,
        whose: &str,
        raw: &Props,
    ) -> Result<Resolved> {
        if !raw.values().any(|value| has_variable(value)) {
            return self.resolve(raw);
        }
        let (variables, whose, raw) = (self.clone(), whose.to_owned(), raw.clone());
        aside(move || variables.resolve_and_warn(&whose, &raw)).await
    }

    /// The variables that nothing was put in for, by key, and why.
    fn left<'a>(&self, raw: &'a Props, resolved: &Props) -> BTreeSet<(&'a str, &'a str, String)> {
        let mut left = BTreeSet::new();
        for (key, value) in raw {
            for captures in VARIABLE.captures_iter(value) {
                let (variable, provider, path, _) = parts(&captures);
                if resolved.get(key).is_some_and(|text| text.contains(variable)) {
                    left.insert((key.as_str(), variable, self.why_left(provider, path)));
                }
            }
        }
        left
    }

    fn why_left(&self, provider: &str, path: &str) -> String {
        let Some(found) = self.0.get(provider) else {
            return format!("config.providers of the worker has no {provider}");
        };
        let absent = || format!("the config provider {provider} finds no such key");
        found.objection(provider, path).unwrap_or_else(absent)
    }

    /// [`Self::resolve`], where waiting for a disk must not hold others up.
    pub(crate) async fn resolve_aside(&self, raw: &Props) -> Result<Resolved> {
        if !self.may_change(raw) {
            return self.resolve(raw);
        }
        let (variables, raw) = (self.clone(), raw.clone());
        aside(move || variables.resolve(&raw)).await
    }

    fn may_change(&self, raw: &Props) -> bool {
        !self.0.is_empty() && raw.values().any(|value| has_variable(value))
    }

    /// Asks each provider once for all that is wanted of a path.
    fn look_up<'a>(&self, raw: &'a Props) -> Result<Found<'a>> {
        let mut wanted: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for captures in raw.values().flat_map(|value| VARIABLE.captures_iter(value)) {
            let (_, provider, path, name) = parts(&captures);
            if self.0.contains_key(provider) {
                wanted.entry((provider, path)).or_default().insert(name);
            }
        }
        let get = |((provider, path), keys)| {
            let values = self.0[provider].get(path, &keys);
            let values = values.map_err(|e| e.context("config provider", provider))?;
            Ok(((provider, path), values))
        };
        wanted.into_iter().map(get).collect()
    }
}

async fn aside<F>(resolve: F) -> Result<Resolved>
where
    F: FnOnce() -> Result<Resolved> + Send + 'static,
{
    let resolved = tokio::task::spawn_blocking(resolve).await;
    resolved.map_err(|e| Error::fatal("a config provider panicked").with_source(e))?
}

/// A provider may hold parameters that are secrets.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a value refers to others.
fn has_variable(value: &str) -> bool {
    value.contains("${") && VARIABLE.is_match(value)
}

/// The variable as a whole, then its provider, path and key.
fn parts<'a>(captures: &Captures<'a>) -> (&'a str, &'a str, &'a str, &'a str) {
    let part = |group| captures.get(group).map_or("", |found| found.as_str());
    (part(0), part(1), part(3), part(4))
}

/// Puts the variables back into a task's configuration, so that no value is stored or shown: each
/// key that has one in the connector's gets the connector's text (`ConnectUtils.reverseTransform`
/// in Java).
pub(crate) fn put_back(connector: &Props, task: &mut Props) {
    for (key, value) in task {
        if let Some(raw) = connector.get(key).filter(|raw| has_variable(raw)) {
            value.clone_from(raw);
        }
    }
}

#[cfg(test)]
mod tests;
