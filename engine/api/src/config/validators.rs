//! Decides the rules that values can be held to. Each prints as Java's rule of that kind does, for
//! documents, and complains in Java's words.

use super::hash_order::hash_map_order;
use super::validate::drop_duplicates;
use super::{Setting, invalid_value, java_regex};
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

type Check = dyn Fn(&str, &Setting) -> Result<()> + Send + Sync;

/// A rule for the value of one key. `Display` says what is valid.
#[derive(Clone)]
pub struct Validator {
    description: Cow<'static, str>,
    forbids_duplicates: bool,
    check: Arc<Check>,
}

impl Validator {
    /// A rule that answers with the reason why a value is invalid; key and value are put before it.
    ///
    /// ```
    /// use millrace_api::config::{Setting, Validator};
    ///
    /// let even = Validator::new("an even number", |value| match value {
    ///     Setting::Int(n) if n % 2 == 0 => Ok(()),
    ///     _ => Err("Value must be even".to_owned()),
    /// });
    /// let error = even.ensure_valid("n", &Setting::Int(3)).unwrap_err();
    /// assert_eq!(error.message(), "Invalid value 3 for configuration n: Value must be even");
    /// ```
    pub fn new(
        description: impl Into<Cow<'static, str>>,
        reason: impl Fn(&Setting) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self::with_message(description, move |name, value| {
            reason(value).map_err(|reason| invalid_value(name, value, reason))
        })
    }

    /// A rule that gets key and value, and words the whole message itself.
    pub fn with_message(
        description: impl Into<Cow<'static, str>>,
        check: impl Fn(&str, &Setting) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { description: description.into(), forbids_duplicates: false, check: Arc::new(check) }
    }

    /// Holds a value against the rule.
    pub fn ensure_valid(&self, name: &str, value: &Setting) -> Result<()> {
        (self.check)(name, value)
    }

    /// The same rule, except that null is fine: for keys that may be missing.
    #[must_use]
    pub fn or_null(self) -> Self {
        let check = self.check;
        let check: Arc<Check> =
            Arc::new(move |name, value| if value.is_null() { Ok(()) } else { check(name, value) });
        Self { check, ..self }
    }

    pub(super) fn forbids_duplicates(&self) -> bool {
        self.forbids_duplicates
    }

    /// The same rule, which complains about the key without the prefix.
    pub(super) fn without_prefix(self, prefix: &str) -> Self {
        let (prefix, check) = (prefix.to_owned(), self.check);
        let check: Arc<Check> =
            Arc::new(move |name, value| check(name.strip_prefix(&*prefix).unwrap_or(name), value));
        Self { check, ..self }
    }
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description)
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validator({})", self.description)
    }
}

/// A number that is not below `min`.
pub fn at_least(min: impl Into<Setting>) -> Validator {
    let min = min.into();
    Validator::new(format!("[{min},...]"), move |value| in_range(value, &min, &Setting::Null))
}

/// A number from `min` to `max`, both included.
pub fn between(min: impl Into<Setting>, max: impl Into<Setting>) -> Validator {
    let (min, max) = (min.into(), max.into());
    Validator::new(format!("[{min},...,{max}]"), move |value| in_range(value, &min, &max))
}

/// Compares as floating point numbers, as Java does.
fn in_range(value: &Setting, min: &Setting, max: &Setting) -> Result<(), String> {
    let Some(number) = value.as_f64() else {
        return Err("Value must be non-null".to_owned());
    };
    if min.as_f64().is_some_and(|min| number < min) {
        return Err(format!("Value must be at least {min}"));
    }
    if max.as_f64().is_some_and(|max| number > max) {
        return Err(format!("Value must be no more than {max}"));
    }
    Ok(())
}

/// One of some strings; case counts.
pub fn one_of<S: Into<String>>(valid: impl IntoIterator<Item = S>) -> Validator {
    let valid: Vec<String> = valid.into_iter().map(Into::into).collect();
    let list = valid.join(", ");
    Validator::new(format!("[{list}]"), move |value| {
        let found = value.as_str().is_some_and(|text| valid.iter().any(|v| v == text));
        if found { Ok(()) } else { Err(format!("String must be one of: {list}")) }
    })
}

/// One of some strings, in any case.
pub fn one_of_ignore_case<S: Into<String>>(valid: impl IntoIterator<Item = S>) -> Validator {
    let mut valid: Vec<String> = valid.into_iter().map(|v| v.into().to_uppercase()).collect();
    drop_duplicates(&mut valid);
    hash_map_order(&mut valid, |text| text);
    let list = valid.join(", ");
    Validator::new(format!("(case insensitive) [{list}]"), move |value| {
        let found = value.as_str().is_some_and(|text| valid.contains(&text.to_uppercase()));
        if found {
            Ok(())
        } else {
            Err(format!("String must be one of (case insensitive): {list}"))
        }
    })
}

/// A string with something in it; null is fine.
pub fn non_empty_string() -> Validator {
    Validator::new("non-empty string", |value| match value.as_str() {
        Some("") => Err("String must be non-empty".to_owned()),
        _ => Ok(()),
    })
}

/// A string with something in it and no control characters, as names of connectors must be.
pub fn non_empty_string_without_control_chars() -> Validator {
    Validator::new("non-empty string without ISO control characters", |value| {
        let text = value.as_str().unwrap_or("-");
        if text.is_empty() {
            return Err("String may not be empty".to_owned());
        }
        let codes = text.chars().filter(|c| c.is_control()).map(|c| u32::from(c).to_string());
        let codes: Vec<String> = codes.collect();
        if codes.is_empty() {
            return Ok(());
        }
        let codes = codes.join(", ");
        Err(format!(
            "String may not contain control sequences but had the following ASCII chars: {codes}"
        ))
    })
}

/// Anything but null.
pub fn non_null() -> Validator {
    Validator::new("non-null string", |value| {
        if value.is_null() { Err("entry must be non null".to_owned()) } else { Ok(()) }
    })
}

/// A regular expression as Java knows it; null is fine. What it may match is for its user to say.
pub fn regex() -> Validator {
    Validator::new("valid regex", |value| match value.as_str() {
        Some(text) => java_regex::check(text).map_err(|e| format!("Invalid regex: {e}")),
        None => Ok(()),
    })
}

/// A list of at most so many elements.
pub fn list_size_limit(max: usize) -> Validator {
    let description = format!("List containing maximum of {max} elements");
    Validator::new(description, move |value| match value.as_list() {
        Some(items) if items.len() > max => Err(format!("exceeds maximum list size of [{max}].")),
        _ => Ok(()),
    })
}

/// A list without duplicates and empty elements; it may be empty.
pub fn unique_list() -> Validator {
    list_rule(Vec::new(), true)
}

/// A list without duplicates and empty elements, and with at least one element.
pub fn non_empty_list() -> Validator {
    list_rule(Vec::new(), false)
}

/// A list of some of these strings, without duplicates; it may be empty.
pub fn list_of<S: Into<String>>(valid: impl IntoIterator<Item = S>) -> Validator {
    list_rule(valid.into_iter().map(Into::into).collect(), true)
}

/// A list of at least one of these strings, without duplicates.
pub fn non_empty_list_of<S: Into<String>>(valid: impl IntoIterator<Item = S>) -> Validator {
    list_rule(valid.into_iter().map(Into::into).collect(), false)
}

fn list_rule(valid: Vec<String>, empty_allowed: bool) -> Validator {
    let element = one_of(valid.clone());
    let any = valid.is_empty();
    let description = if any { String::new() } else { element.to_string() };
    let rule = Validator::with_message(description, move |name, value| {
        let complaint = |what: &str| Err(Error::config(format!("Configuration '{name}' {what}")));
        let Some(items) = value.as_list() else {
            return complaint("values must not be null.");
        };
        if items.is_empty() && !empty_allowed {
            let valid = if any { "any non-empty value" } else { &element.description };
            return complaint(&format!("must not be empty. Valid values include: {valid}"));
        }
        if items.iter().collect::<HashSet<_>>().len() < items.len() {
            return complaint("values must not be duplicated.");
        }
        for item in items {
            if item.is_empty() {
                return complaint("values must not be empty.");
            }
            if !any {
                element.ensure_valid(name, &item.as_str().into())?;
            }
        }
        Ok(())
    });
    Validator { forbids_duplicates: true, ..rule }
}

/// An address with one of these schemes and something after `://`. Null is fine. Java has no such
/// rule; a whole parser is left to the client that opens the address.
pub fn url<S: Into<String>>(schemes: impl IntoIterator<Item = S>) -> Validator {
    let schemes: Vec<String> = schemes.into_iter().map(Into::into).collect();
    let list = schemes.join(", ");
    Validator::new(format!("URL with scheme {list}"), move |value| {
        let Some(text) = value.as_str() else {
            return Ok(());
        };
        let valid = text.split_once("://").is_some_and(|(scheme, rest)| {
            schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme))
                && !rest.trim_start_matches('/').is_empty()
                && !rest.contains(char::is_whitespace)
        });
        if valid {
            return Ok(());
        }
        Err(format!("Not a URL; write SCHEME://… with one of these schemes: {list}"))
    })
}

/// All of some rules; the first that is broken complains.
pub fn all_of(rules: impl IntoIterator<Item = Validator>) -> Validator {
    let rules: Vec<Validator> = rules.into_iter().collect();
    let descriptions: Vec<&str> = rules.iter().map(|rule| &*rule.description).collect();
    let description = descriptions.join(", ");
    Validator::with_message(description, move |name, value| {
        rules.iter().try_for_each(|rule| rule.ensure_valid(name, value))
    })
}
