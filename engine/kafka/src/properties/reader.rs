//! Decides what a legal number, switch or choice is, and what Java says about others.

use std::collections::BTreeSet;

use millrace_api::{Error, Result};

use super::{Number, Setting, push};
use crate::Properties;

/// Keys that mean something to a Java client only, and nothing is lost without them.
const JAVA_ONLY: &[&str] = &[
    "auto.include.jmx.reporter",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "value.deserializer",
    "value.serializer",
];

/// Reads properties and remembers which were asked for.
pub(super) struct Reader<'a> {
    properties: &'a Properties,
    read: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(properties: &'a Properties) -> Self {
        Self { properties, read: BTreeSet::new() }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.read.insert(key);
        self.properties.get(key).map(|value| value.trim())
    }

    pub(super) fn number(&mut self, key: &'static str, least: i64) -> Result<Option<i64>> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        let Ok(number) = text.parse::<i64>() else {
            return Err(invalid(key, text, "Not a number of type LONG"));
        };
        if number < least {
            return Err(invalid(key, text, &format!("Value must be at least {least}")));
        }
        Ok(Some(number))
    }

    pub(super) fn numbers(&mut self, numbers: &[Number], out: &mut Vec<Setting>) -> Result<()> {
        for number in numbers {
            let value = self.number(number.java_key, number.least)?.or(number.default);
            if let Some(value) = value {
                let value = value.clamp(number.range.0, number.range.1);
                push(out, number.java_key, number.name, value);
            }
        }
        Ok(())
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Result<Option<bool>> {
        match self.text(key) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(invalid(key, text, "Expected value to be either true or false")),
        }
    }

    pub(super) fn choice(
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

    /// The keys nobody asked for, for the log.
    pub(super) fn ignored(&self) -> String {
        let mut names = Vec::new();
        for key in self.properties.keys() {
            let known = self.read.contains(key.as_str())
                || JAVA_ONLY.contains(&key.as_str())
                || key.starts_with("metrics.context.");
            if !known {
                names.push(key.as_str());
            }
        }
        names.join(", ")
    }
}

/// Java's complaint about a value.
pub(super) fn invalid(key: &str, value: &str, why: &str) -> Error {
    Error::config(format!("Invalid value {value} for configuration {key}: {why}"))
}

pub(super) fn missing(key: &str) -> Error {
    Error::config(format!("Missing required configuration \"{key}\" which has no default value."))
}
