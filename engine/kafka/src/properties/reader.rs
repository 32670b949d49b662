//! Decides what a legal number, switch or choice is, and what Java says about others.

use std::collections::BTreeSet;

use millrace_api::{Error, Result};

use super::keys::{self, Fate};
use super::{Backend, Role};
use crate::Properties;

/// Reads properties and remembers which were asked for.
pub(crate) struct Reader<'a> {
    properties: &'a Properties,
    read: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(properties: &'a Properties) -> Self {
        Self { properties, read: BTreeSet::new() }
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.read.insert(key);
        self.properties.get(key).map(|value| value.trim())
    }

    pub(crate) fn number(&mut self, key: &'static str, least: i64) -> Result<Option<i64>> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        let complaint = keys::find(key).and_then(|known| known.kind.complaint(text));
        if let Some(complaint) = complaint {
            return Err(invalid(key, text, &complaint));
        }
        let Ok(number) = text.parse::<i64>() else {
            return Err(invalid(key, text, "Not a number of type LONG"));
        };
        if number < least {
            return Err(invalid(key, text, &format!("Value must be at least {least}")));
        }
        Ok(Some(number))
    }

    /// A number between two bounds.
    pub(crate) fn number_within(
        &mut self,
        key: &'static str,
        (least, most): (i64, i64),
    ) -> Result<Option<i64>> {
        match self.number(key, least)? {
            Some(number) if number > most => {
                let why = format!("Value must be no more than {most}");
                Err(invalid(key, &number.to_string(), &why))
            }
            number => Ok(number),
        }
    }

    /// A number with a fraction between two bounds.
    pub(crate) fn decimal(
        &mut self,
        key: &'static str,
        default: f64,
        (least, most): (f64, f64),
    ) -> Result<f64> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        match text.parse::<f64>() {
            Ok(number) if number < least => {
                Err(invalid(key, text, &format!("Value must be at least {least}")))
            }
            Ok(number) if number > most => {
                Err(invalid(key, text, &format!("Value must be no more than {most}")))
            }
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(invalid(key, text, "Not a number of type DOUBLE")),
        }
    }

    /// All properties whose names begin with `prefix`, secrets among them; none of them counts as
    /// asked for.
    pub(crate) fn values(&self, prefix: &str) -> Vec<(String, String)> {
        let named = self.properties.iter().filter(|(name, _)| name.starts_with(prefix));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Result<Option<bool>> {
        match self.text(key) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(invalid(key, text, "Expected value to be either true or false")),
        }
    }

    pub(crate) fn choice(
        &mut self,
        key: &'static str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        match choices.iter().find(|choice| choice.eq_ignore_ascii_case(text)) {
            Some(choice) => Ok(Some(choice)),
            None => {
                let why = format!("String must be one of: {}", choices.join(", "));
                Err(invalid(key, text, &why))
            }
        }
    }

    /// Looks at the keys nobody asked for: checks that their values are what Java accepts, and says
    /// which are not used, and why.
    pub(crate) fn unused(&self, role: Role, backend: Backend) -> Result<Unused> {
        let mut unused = Unused::default();
        for (name, value) in self.properties {
            if self.read.contains(name.as_str()) || name.starts_with("metrics.context.") {
                continue;
            }
            let Some(key) = keys::find(name).filter(|key| key.roles.contains(&role)) else {
                unused.unknown.push(name.clone());
                continue;
            };
            if let Some(complaint) = key.kind.complaint(value.trim()) {
                return Err(invalid(name, value, &complaint));
            }
            if let Fate::Warned(why) = key.fate(backend) {
                unused.ignored.push(format!("{name} is ignored: {why}"));
            }
        }
        Ok(unused)
    }

    /// Checks the keys that nobody asked for, and says in the log which have no effect.
    pub(crate) fn warn_of_unused(&self, role: Role, backend: Backend) -> Result<()> {
        let unused = self.unused(role, backend)?;
        for ignored in unused.ignored {
            tracing::warn!("{}: {ignored}", role.name());
        }
        if !unused.unknown.is_empty() {
            let names = unused.unknown.join(", ");
            // The worker hands an admin client all of its own properties, most of them no client's.
            match role {
                Role::Admin => tracing::debug!("properties not used by the admin client: {names}"),
                _ => tracing::warn!("properties not used by the {}: {names}", role.name()),
            }
        }
        Ok(())
    }

    /// Whether somebody asked for a key.
    #[cfg(test)]
    pub(crate) fn has_read(&self, key: &str) -> bool {
        self.read.contains(key)
    }
}

/// What a client leaves aside.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unused {
    /// Keys of this client that have no effect here, each with the reason.
    pub(crate) ignored: Vec<String>,
    /// Keys that are none of this client's.
    pub(crate) unknown: Vec<String>,
}

/// Java's complaint about a value.
pub(crate) fn invalid(key: &str, value: &str, why: &str) -> Error {
    Error::config(format!("Invalid value {value} for configuration {key}: {why}"))
}

pub(crate) fn missing(key: &str) -> Error {
    Error::config(format!("Missing required configuration \"{key}\" which has no default value."))
}
