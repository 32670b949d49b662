//! `EnvVarConfigProvider`: `${NAME:VARIABLE}` is an environment variable.

use std::collections::{BTreeMap, BTreeSet};

use millrace_api::{Error, Props, Result};
use regex::Regex;

use super::ConfigProvider;

/// What the environment is when no other is given: that of this process.
type Lookup = fn(&str) -> Option<String>;

pub(super) struct EnvVarConfigProvider {
    /// Matches the names that may be used; none: all.
    allowlist: Option<Regex>,
    lookup: Lookup,
}

impl EnvVarConfigProvider {
    pub(super) fn new(parameters: &Props) -> Result<Self> {
        Self::with(parameters, |name| std::env::var(name).ok())
    }

    fn with(parameters: &Props, lookup: Lookup) -> Result<Self> {
        let compile = |pattern: &String| {
            Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|e| {
                Error::config(format!("allowlist.pattern={pattern} is no regular expression"))
                    .context("remedy", "write one that matches the names of variables")
                    .with_source(e)
            })
        };
        let allowlist = parameters.get("allowlist.pattern").map(compile).transpose()?;
        Ok(Self { allowlist, lookup })
    }
}

impl ConfigProvider for EnvVarConfigProvider {
    fn get(&self, path: &str, keys: &BTreeSet<&str>) -> Result<BTreeMap<String, String>> {
        if !path.is_empty() {
            let message =
                format!("Path is not supported for EnvVarConfigProvider, invalid value '{path}'");
            return Err(Error::fatal(message).context("remedy", "write ${NAME:VARIABLE}"));
        }
        let allowed = |key: &&&str| {
            // A name with these is not one, and asking for it would panic.
            !key.is_empty()
                && !key.contains(['=', '\0'])
                && self.allowlist.as_ref().is_none_or(|pattern| pattern.is_match(key))
        };
        let value = |key: &&str| Some(((*key).to_owned(), (self.lookup)(key)?));
        Ok(keys.iter().filter(allowed).filter_map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(pattern: Option<&str>) -> Result<EnvVarConfigProvider> {
        let pattern = pattern.map(|p| ("allowlist.pattern".to_owned(), p.to_owned()));
        EnvVarConfigProvider::with(&pattern.into_iter().collect(), |name| {
            matches!(name, "HOME" | "MY_X").then(|| format!("<{name}>"))
        })
    }

    #[test]
    fn only_listed_variables_are_shown() {
        let keys = BTreeSet::from(["HOME", "MY_X", "OTHER", "", "a=b"]);
        let get = |pattern| {
            let values = provider(pattern).unwrap().get("", &keys).unwrap();
            values.into_values().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(get(None), "<HOME> <MY_X>");
        assert_eq!(get(Some("MY_.*")), "<MY_X>");
        assert_eq!(get(Some("MY_")), "", "the whole name has to match");
        assert_eq!(get(Some("A|HOME")), "<HOME>");
    }

    #[test]
    fn paths_and_bad_patterns_are_refused() {
        let error = provider(None).unwrap().get("p", &BTreeSet::from(["MY_X"])).unwrap_err();
        assert_eq!(
            error.message(),
            "Path is not supported for EnvVarConfigProvider, invalid value 'p'"
        );
        let error = provider(Some("(")).err().unwrap().to_string();
        assert!(error.contains("allowlist.pattern=("), "{error}");
    }
}
