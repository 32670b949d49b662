//! Decides whether a schema's own rules for data (`ruleSet`) let this converter touch them.

use millrace_api::{Error, Result};
use serde_json::Value;

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Read,
    Write,
}

/// Rules are not carried out: data that one of them wants encrypted, changed or checked are
/// refused, since passing them on would break the promise that the schema makes.
pub(super) fn none_forbids(rules: Option<&Value>, act: Act) -> Result<()> {
    let kinds = ["domainRules", "encodingRules"].into_iter();
    let rules = kinds.filter_map(|kind| rules?.get(kind)?.as_array()).flatten();
    let word = |rule: &Value, name: &str| rule.get(name).and_then(Value::as_str).map(str::to_owned);
    let applies = |rule: &&Value| {
        let enabled = rule.get("disabled").and_then(Value::as_bool) != Some(true);
        let mode = word(rule, "mode").unwrap_or_default();
        enabled
            && match act {
                Act::Read => matches!(mode.as_str(), "READ" | "WRITEREAD"),
                Act::Write => matches!(mode.as_str(), "WRITE" | "WRITEREAD"),
            }
    };
    match rules.into_iter().find(applies) {
        None => Ok(()),
        Some(rule) => Err(Error::data("the schema has a rule that cannot be carried out here")
            .context("rule", word(rule, "name").unwrap_or_default())
            .context("type", word(rule, "type").unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_apply_stand_in_the_way() {
        let rules = |mode: &str, disabled: bool| {
            serde_json::json!({
                "migrationRules": [{"name": "m", "mode": "UPGRADE"}],
                "domainRules": [{"name": "hide", "type": "ENCRYPT", "mode": mode, "disabled": disabled}],
            })
        };
        let fails = |rules: &Value, act| none_forbids(Some(rules), act).is_err();
        assert!(fails(&rules("WRITEREAD", false), Act::Read));
        assert!(fails(&rules("WRITEREAD", false), Act::Write));
        assert!(fails(&rules("WRITE", false), Act::Write));
        assert!(!fails(&rules("WRITE", false), Act::Read));
        assert!(!fails(&rules("WRITEREAD", true), Act::Write));
        assert!(none_forbids(None, Act::Write).is_ok());
        assert!(none_forbids(Some(&Value::Null), Act::Write).is_ok());
    }
}
