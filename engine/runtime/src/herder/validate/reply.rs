//! Decides how the answer of a validation is put together: what it lists in which order, and what
//! counts as an error (`generateResult`, `prefixedConfigInfos` and `mergeConfigInfos` in Java).

use std::collections::BTreeMap;

use millrace_api::config::{ConfigDef, ConfigInfo, ConfigInfos, ConfigKeyInfo, ConfigValue};

/// The part of framework and connector: values that nobody defines, then each defined key with the
/// last of its values. Each message counts.
pub(super) fn generate(name: &str, def: &ConfigDef, values: Vec<ConfigValue>) -> ConfigInfos {
    let mut infos =
        ConfigInfos { name: name.to_owned(), groups: def.groups(), ..ConfigInfos::default() };
    let mut defined = BTreeMap::new();
    for value in values {
        if def.get(&value.name).is_some() {
            defined.insert(value.name.clone(), value);
        } else {
            infos.error_count += value.errors.len();
            infos.configs.push(ConfigInfo { definition: None, value: Some(value.into()) });
        }
    }
    for key in def.keys() {
        let value = defined.remove(&key.name);
        infos.error_count += value.as_ref().map_or(0, |value| value.errors.len());
        let value = value.map(Into::into);
        infos.configs.push(ConfigInfo { definition: Some(key.into()), value });
    }
    infos
}

/// The part of a converter or a client: its values in their order, with their definitions below a
/// prefix. Each key with errors counts once.
pub(super) fn prefixed(
    prefix: &str,
    values: Vec<ConfigValue>,
    definition: impl Fn(&str) -> Option<ConfigKeyInfo>,
) -> ConfigInfos {
    let mut infos = ConfigInfos::default();
    for mut value in values {
        let definition = definition(&value.name);
        if let Some(group) = definition.as_ref().and_then(|definition| definition.group.clone())
            && !infos.groups.contains(&group)
        {
            infos.groups.push(group);
        }
        infos.error_count += usize::from(!value.errors.is_empty());
        value.name.insert_str(0, prefix);
        value.visible = true;
        infos.configs.push(ConfigInfo { definition, value: Some(value.into()) });
    }
    infos
}

/// Adds a part to the answer.
pub(super) fn append(infos: &mut ConfigInfos, more: ConfigInfos) {
    infos.error_count += more.error_count;
    infos.configs.extend(more.configs);
    for group in more.groups {
        if !infos.groups.contains(&group) {
            infos.groups.push(group);
        }
    }
}
