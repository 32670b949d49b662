//! The key that all converters share: what they are used for.

use millrace_api::ConverterRole;
use millrace_api::config::validators::one_of;
use millrace_api::config::{Config, Props};

const ROLE: &str = "converter.type";

#[derive(Config)]
pub(crate) struct RoleConfig {
    /// How this converter will be used.
    #[config(key = "converter.type", importance = Low)]
    #[config(validate = one_of(["key", "value", "header"]))]
    _role: String,
}

/// The properties with the role set, which the worker hands over beside them.
pub(crate) fn with_role(props: &Props, role: ConverterRole) -> Props {
    let name = match role {
        ConverterRole::Key => "key",
        ConverterRole::Value => "value",
        ConverterRole::Header => "header",
    };
    let mut props = props.clone();
    props.insert(ROLE.into(), name.into());
    props
}
