//! Decides how texts become values and what is said about wrong ones, in Java's words, and the
//! shape in which REST shows definitions and values.

use super::{ConfigDef, ConfigKey, Password, Props, Setting, Type, Values};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// `Invalid value V for configuration K: reason`, the form of nearly all of Java's complaints.
pub fn invalid_value(name: &str, value: impl fmt::Display, reason: impl fmt::Display) -> Error {
    Error::config(format!("Invalid value {value} for configuration {name}: {reason}"))
}

/// `String.trim` of Java: it takes all characters up to the blank, and no other kind of space.
pub(super) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

impl Type {
    /// Parses the text of a key as Java does.
    ///
    /// Java's hexadecimal floating point numbers and digits of other scripts are refused.
    pub fn parse(self, name: &str, text: &str) -> Result<Setting> {
        let trimmed = java_trim(text);
        let parsed = match self {
            Self::Boolean if trimmed.eq_ignore_ascii_case("true") => Some(Setting::Boolean(true)),
            Self::Boolean if trimmed.eq_ignore_ascii_case("false") => Some(Setting::Boolean(false)),
            Self::Boolean => {
                let reason = "Expected value to be either true or false";
                return Err(invalid_value(name, text, reason));
            }
            Self::String => Some(trimmed.into()),
            Self::Int => trimmed.parse().ok().map(Setting::Int),
            Self::Short => trimmed.parse().ok().map(Setting::Short),
            Self::Long => trimmed.parse().ok().map(Setting::Long),
            Self::Double => parse_double(trimmed).map(Setting::Double),
            Self::List => Some(Setting::List(parse_list(trimmed))),
            Self::Class => Some(Setting::Class(super::ClassName::new(trimmed))),
            Self::Password => Some(Setting::Password(Password::new(trimmed))),
        };
        parsed.ok_or_else(|| invalid_value(name, text, format_args!("Not a number of type {self}")))
    }
}

/// `Double.parseDouble`: a type suffix is fine, the names of the special values are Java's.
fn parse_double(text: &str) -> Option<f64> {
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return match text.trim_start_matches(['+', '-']) {
            "NaN" | "Infinity" => text.parse().ok(),
            _ => None,
        };
    }
    text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text).parse().ok()
}

/// Splits at `\s*,\s*`, where `\s` is Java's: the six ASCII blanks.
fn parse_list(text: &str) -> Vec<String> {
    let blank = [' ', '\t', '\n', '\x0b', '\x0c', '\r'];
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| item.trim_matches(blank).to_owned()).collect()
}

/// What validation found out about one key.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigValue {
    /// The key.
    pub name: String,
    /// Its value or default; null when the text could not be parsed.
    pub value: Setting,
    /// Suggestions.
    pub recommended_values: Vec<Setting>,
    /// What is wrong.
    pub errors: Vec<String>,
    /// Whether a form should show it.
    pub visible: bool,
}

impl ConfigValue {
    /// A key about which nothing is known yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: Setting::Null,
            recommended_values: Vec::new(),
            errors: Vec::new(),
            visible: true,
        }
    }
}

impl ConfigDef {
    /// Parses all keys. The first that is wrong, in the order of definition, is the error.
    ///
    /// As in Java 4.1 and later, duplicates vanish from lists whose rule forbids them, while
    /// [`validate`](Self::validate) reports them.
    pub fn parse(&self, props: &Props) -> Result<Values> {
        let undefined = self.undefined_dependents();
        if !undefined.is_empty() {
            return Err(Error::config(format!(
                "Some configurations in are referred in the dependents, but not defined: {}",
                undefined.join(",")
            )));
        }
        let mut values = Values::default();
        for key in self.keys() {
            let mut value = value_of(key, props)?;
            if let Some(validator) = &key.validator {
                if let Setting::List(items) = &mut value
                    && validator.forbids_duplicates()
                {
                    drop_duplicates(items);
                }
                validator.ensure_valid(&key.name, &value)?;
            }
            values.insert(&key.name, value);
        }
        Ok(values)
    }

    /// Parses and checks each key, and collects what is wrong instead of stopping at it: first
    /// the keys in the order of definition, then dependents that nobody defined.
    ///
    /// Java's quirks are kept: a rule is also asked about the null that stands for a text that
    /// could not be parsed, and a key that depends on two others is checked twice.
    pub fn validate(&self, props: &Props) -> Vec<ConfigValue> {
        self.validate_with_nulls(props, &[])
    }

    /// The same, where some keys were given with null: neither missing nor at their default.
    pub fn validate_with_nulls(&self, props: &Props, nulls: &[String]) -> Vec<ConfigValue> {
        let undefined = self.undefined_dependents();
        let mut run = Validation {
            def: self,
            parsed: Values::default(),
            found: self.keys().iter().map(|k| (&*k.name, ConfigValue::new(&k.name))).collect(),
        };
        let dependents: Vec<_> = self.keys().iter().flat_map(|key| &key.dependents).collect();
        let roots: Vec<_> =
            self.keys().iter().filter(|key| !dependents.contains(&&key.name)).collect();
        for root in &roots {
            run.visit(root, &mut Vec::new(), &mut |run, key| run.check(key, props, nulls));
        }
        for root in &roots {
            run.visit(root, &mut Vec::new(), &mut Validation::recommend);
        }
        let mut found = run.found;
        let known = self.keys().iter().filter_map(|key| found.remove(&*key.name));
        known.chain(undefined.iter().map(|name| undefined_dependent(name))).collect()
    }

    fn undefined_dependents(&self) -> Vec<&str> {
        let dependents = self.keys().iter().flat_map(|key| &key.dependents);
        let mut undefined: Vec<&str> =
            dependents.map(String::as_str).filter(|name| self.get(name).is_none()).collect();
        undefined.sort_unstable();
        undefined.dedup();
        undefined
    }

    /// The definitions, as `GET /connector-plugins/X/config` shows them.
    pub fn infos(&self) -> Vec<ConfigKeyInfo> {
        self.keys().iter().map(ConfigKeyInfo::from).collect()
    }
}

fn value_of(key: &ConfigKey, props: &Props) -> Result<Setting> {
    match (props.get(&key.name), &key.default) {
        (Some(text), _) => key.value_type.parse(&key.name, text),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(Error::config(format!(
            "Missing required configuration \"{}\" which has no default value.",
            key.name
        ))),
    }
}

/// Keeps the first of each.
pub(super) fn drop_duplicates(items: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.clone()));
}

fn undefined_dependent(name: &str) -> ConfigValue {
    let error = format!("{name} is referred in the dependents, but not defined.");
    ConfigValue { errors: vec![error], visible: false, ..ConfigValue::new(name) }
}

struct Validation<'a> {
    def: &'a ConfigDef,
    parsed: Values,
    found: BTreeMap<&'a str, ConfigValue>,
}

impl<'a> Validation<'a> {
    /// Does something to a key, then to its dependents. A key that depends on itself, by whatever
    /// way round, is passed over the second time.
    fn visit(
        &mut self,
        key: &'a ConfigKey,
        above: &mut Vec<&'a str>,
        act: &mut dyn FnMut(&mut Self, &'a ConfigKey),
    ) {
        act(self, key);
        above.push(&key.name);
        for dependent in key.dependents.iter().filter_map(|name| self.def.get(name)) {
            if !above.contains(&&*dependent.name) {
                self.visit(dependent, above, act);
            }
        }
        above.pop();
    }

    fn check(&mut self, key: &'a ConfigKey, props: &Props, nulls: &[String]) {
        let mut errors = Vec::new();
        let parsed = match nulls.contains(&key.name) {
            true => Ok(Setting::Null),
            false => value_of(key, props),
        };
        let value = parsed.unwrap_or_else(|error| {
            errors.push(error.to_string());
            Setting::Null
        });
        let verdict = key.validator.as_ref().map(|v| v.ensure_valid(&key.name, &value));
        if let Some(Err(error)) = verdict {
            errors.push(error.to_string());
        }
        self.parsed.insert(&key.name, value.clone());
        if let Some(found) = self.found.get_mut(&*key.name) {
            found.value = value;
            found.errors.append(&mut errors);
        }
    }

    fn recommend(&mut self, key: &'a ConfigKey) {
        let Some(recommender) = &key.recommender else {
            return;
        };
        let Some(found) = self.found.get_mut(&*key.name) else {
            return;
        };
        match recommender.valid_values(&self.parsed) {
            Ok(values) => {
                found.recommended_values = values;
                found.visible = recommender.visible(&self.parsed);
            }
            Err(error) => found.errors.push(error.to_string()),
        }
    }
}

/// A definition, as REST shows it. The order of the fields is that of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigKeyInfo {
    /// The key.
    pub name: String,
    /// Its type, in capitals.
    #[serde(rename = "type")]
    pub value_type: String,
    /// Whether it has no default.
    pub required: bool,
    /// The default as text.
    pub default_value: Option<String>,
    /// Its importance, in capitals.
    pub importance: String,
    /// What it does.
    pub documentation: String,
    /// Its heading.
    pub group: Option<String>,
    /// Its place under the heading.
    pub order_in_group: i32,
    /// The width of a field for it, in capitals.
    pub width: String,
    /// What forms call it.
    pub display_name: String,
    /// Keys that depend on it.
    pub dependents: Vec<String>,
}

impl From<&ConfigKey> for ConfigKeyInfo {
    fn from(key: &ConfigKey) -> Self {
        Self {
            name: key.name.clone(),
            value_type: key.value_type.to_string(),
            required: key.is_required(),
            default_value: key.default.as_ref().and_then(Setting::text),
            importance: key.importance.to_string(),
            documentation: key.documentation.clone(),
            group: key.group.clone(),
            order_in_group: key.order_in_group,
            width: key.width.to_string(),
            display_name: key.display_name.clone(),
            dependents: key.dependents.clone(),
        }
    }
}

/// A value and what is wrong with it, as REST shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigValueInfo {
    /// The key.
    pub name: String,
    /// The value as text.
    pub value: Option<String>,
    /// Suggestions as text.
    pub recommended_values: Vec<String>,
    /// What is wrong.
    pub errors: Vec<String>,
    /// Whether a form should show it.
    pub visible: bool,
}

impl From<ConfigValue> for ConfigValueInfo {
    fn from(found: ConfigValue) -> Self {
        Self {
            name: found.name,
            value: found.value.text(),
            recommended_values: found.recommended_values.iter().filter_map(Setting::text).collect(),
            errors: found.errors,
            visible: found.visible,
        }
    }
}

/// A definition with the value found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigInfo {
    /// The definition, unless the key has none.
    pub definition: Option<ConfigKeyInfo>,
    /// The value.
    pub value: Option<ConfigValueInfo>,
}

/// The answer to `PUT /connector-plugins/X/config/validate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigInfos {
    /// The class that was asked for.
    pub name: String,
    /// How many things are wrong.
    pub error_count: usize,
    /// The headings.
    pub groups: Vec<String>,
    /// The keys: those without a definition come first.
    pub configs: Vec<ConfigInfo>,
}

impl ConfigInfos {
    /// Puts values beside their definitions.
    pub fn new(name: impl Into<String>, def: &ConfigDef, values: Vec<ConfigValue>) -> Self {
        let error_count = values.iter().map(|found| found.errors.len()).sum();
        let (mut known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) = values
            .into_iter()
            .map(|found| (found.name.clone(), ConfigValueInfo::from(found)))
            .partition(|(name, _)| def.get(name).is_some());
        let stray = |value| ConfigInfo { definition: None, value: Some(value) };
        let defined = def
            .keys()
            .iter()
            .map(|key| ConfigInfo { definition: Some(key.into()), value: known.remove(&key.name) });
        let configs = unknown.into_values().map(stray).chain(defined).collect();
        Self { name: name.into(), error_count, groups: def.groups(), configs }
    }
}
