//! Keys of Java's converters for what is not there: those that would change nothing that is written
//! or read are accepted, the others refused.

use millrace_api::config::validators::one_of_ignore_case;
use millrace_api::config::{Config, Setting, Validator};

/// What Java's converters are told that ours cannot do.
#[derive(Config)]
pub(crate) struct UnsupportedConfig {
    /// Whether tags of the version before are copied to a version that is registered. Not supported:
    /// must be false.
    #[config(key = "propagate.schema.tags", importance = Low, default = false, validate = off)]
    _propagate_tags: bool,
    /// The form in which the registry gives schemas. Not supported: must be absent.
    #[config(key = "schema.format", importance = Low, default = None, validate = absent)]
    _format: Option<String>,
    /// Metadata of the schema to write with. Not supported: must be absent. use.latest.version and
    /// use.schema.id choose a schema too.
    #[config(key = "use.latest.with.metadata", importance = Low, default = None)]
    #[config(validate = absent)]
    _latest_with_metadata: Option<String>,
    /// Whether records carry their schemas for a backup. Not supported: must be false.
    #[config(key = "schema.backup.enabled", importance = Low, default = false, validate = off)]
    _backup: bool,
    /// When conditions inside of schemas are checked. Not supported: must be DISABLED.
    #[config(key = "validation.rules.execution", importance = Medium, default = "DISABLED")]
    #[config(validate = one_of_ignore_case(["DISABLED"]))]
    _validation_rules: String,
    /// Who checks such conditions. Without effect.
    #[config(key = "validation.rules.executor.class", importance = Low)]
    #[config(default = "io.confluent.kafka.schemaregistry.rules.cel.CelValidator")]
    _validation_executor: String,
    /// Whether the first of them that fails ends the check. Without effect.
    #[config(key = "validation.rules.fail.fast", importance = Low, default = false)]
    _validation_fail_fast: bool,
    /// Whose rules apply. Without effect: no rule is carried out, and data of a schema with rules for
    /// Connect is refused.
    #[config(key = "execution.environment", importance = Medium, default = None)]
    _environment: Option<String>,
    /// Who carries out rules. Without effect: see execution.environment.
    #[config(key = "rule.executors", importance = Low, default = "")]
    _rule_executors: Vec<String>,
    /// What is done when rules fail. Without effect: see execution.environment.
    #[config(key = "rule.actions", importance = Low, default = "")]
    _rule_actions: Vec<String>,
    /// Whether Java looks for more of both. Without effect.
    #[config(key = "rule.service.loader.enable", importance = Low, default = true)]
    _rule_loader: bool,
    /// Whether Java counts what rules do. Without effect.
    #[config(key = "rule.metrics.enable", importance = Low, default = true)]
    _rule_metrics: bool,
    /// Whether Java makes schemas of classes. Without effect: data have Connect schemas.
    #[config(key = "schema.reflection", importance = Low, default = false)]
    _reflection: bool,
}

/// A switch that cannot be on.
pub(crate) fn off() -> Validator {
    Validator::new("false", |value| match value {
        Setting::Boolean(true) => Err("this is not supported; set it to false".to_owned()),
        _ => Ok(()),
    })
}

/// A key that cannot be given.
fn absent() -> Validator {
    Validator::new("null", |value| match value {
        Setting::Null => Ok(()),
        _ => Err("this is not supported; leave it out".to_owned()),
    })
}
