//! Decides what is known about a key, and how definitions are put together.

use super::{ConfigType, Setting, Validator, Values};
use crate::Result;
use std::fmt;
use std::sync::Arc;

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text without the blanks around it.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A 64-bit floating point number.
    Double,
    /// Texts with commas between them. Empty text is an empty list.
    List,
    /// The name of a class.
    Class,
    /// A secret.
    Password,
}

/// How likely it is that a user has to think about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Everybody.
    High,
    /// Many.
    Medium,
    /// Few.
    Low,
}

/// How wide the field of a form should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Not said.
    None,
    /// A number, say.
    Short,
    /// A name.
    Medium,
    /// A class name, a list.
    Long,
}

macro_rules! upper_case {
    ($($type:ty)*) => {$(
        impl fmt::Display for $type {
            /// As Java spells it: in capitals.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&format!("{self:?}").to_uppercase())
            }
        }
    )*};
}
upper_case!(Type Importance Width);

type ValuesFn = Arc<dyn Fn(&Values) -> Result<Vec<Setting>> + Send + Sync>;
type VisibleFn = Arc<dyn Fn(&Values) -> bool + Send + Sync>;

/// Suggests values for a key, and says whether a form should show it, given the other values.
/// It must not open anything: `/validate` calls it.
#[derive(Clone)]
pub struct Recommender {
    values: ValuesFn,
    visible: VisibleFn,
}

impl Recommender {
    /// Suggests values; the key is always visible.
    pub fn new(values: impl Fn(&Values) -> Result<Vec<Setting>> + Send + Sync + 'static) -> Self {
        Self { values: Arc::new(values), visible: Arc::new(|_| true) }
    }

    /// Suggests the same values always.
    pub fn fixed<T: Into<Setting>>(values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<Setting> = values.into_iter().map(Into::into).collect();
        Self::new(move |_| Ok(values.clone()))
    }

    /// Hides the key unless the function says otherwise.
    #[must_use]
    pub fn visible_if(mut self, visible: impl Fn(&Values) -> bool + Send + Sync + 'static) -> Self {
        self.visible = Arc::new(visible);
        self
    }

    /// The suggested values.
    pub fn valid_values(&self, values: &Values) -> Result<Vec<Setting>> {
        (self.values)(values)
    }

    /// Whether a form should show the key.
    pub fn visible(&self, values: &Values) -> bool {
        (self.visible)(values)
    }

    /// The same, for keys that have got a prefix.
    fn below(self, prefix: &str) -> Self {
        let (outer, inner) = (prefix.to_owned(), prefix.to_owned());
        Self {
            values: Arc::new(move |values| (self.values)(&values.nested(&outer))),
            visible: Arc::new(move |values| (self.visible)(&values.nested(&inner))),
        }
    }
}

impl fmt::Debug for Recommender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recommender")
    }
}

/// All that is known about one key.
#[derive(Clone, Debug)]
pub struct ConfigKey {
    /// The key as users write it.
    pub name: String,
    /// The type of the value.
    pub value_type: Type,
    /// The default; `None` means that the user has to give a value, [`Setting::Null`] that the
    /// value may be missing.
    pub default: Option<Setting>,
    /// What the key does, for users.
    pub documentation: String,
    /// How likely it is that a user has to think about it.
    pub importance: Importance,
    /// The heading under which forms and documents show it.
    pub group: Option<String>,
    /// Its place under that heading.
    pub order_in_group: i32,
    /// How wide the field of a form should be.
    pub width: Width,
    /// What forms call it.
    pub display_name: String,
    /// Keys whose suggestions and visibility depend on this one.
    pub dependents: Vec<String>,
    /// The rule that values have to keep.
    pub validator: Option<Validator>,
    /// Suggests values.
    pub recommender: Option<Recommender>,
    /// Whether it is left out of documents.
    pub internal: bool,
}

impl ConfigKey {
    /// A required key of medium importance, with nothing else said about it.
    pub fn new(name: impl Into<String>, value_type: Type) -> Self {
        let name = name.into();
        Self {
            display_name: name.clone(),
            name,
            value_type,
            default: None,
            documentation: String::new(),
            importance: Importance::Medium,
            group: None,
            order_in_group: -1,
            width: Width::None,
            dependents: Vec::new(),
            validator: None,
            recommender: None,
            internal: false,
        }
    }

    /// A key for a field of a Rust type: with its type and rule, and null as the default of an
    /// `Option`.
    pub fn of<T: ConfigType>(name: impl Into<String>) -> Self {
        Self {
            default: T::OPTIONAL.then_some(Setting::Null),
            validator: T::validator(),
            ..Self::new(name, T::TYPE)
        }
    }

    /// Sets the default. Text is parsed when the type is another than `STRING`.
    #[must_use]
    pub fn default(mut self, default: impl Into<Setting>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// Sets the default of a key made by [`ConfigKey::of`]; the compiler checks its type.
    #[must_use]
    pub fn default_of<T: ConfigType>(self, default: T::Default) -> Self {
        self.default(default)
    }

    /// Sets what the key does, for users.
    #[must_use]
    pub fn documentation(mut self, documentation: impl Into<String>) -> Self {
        self.documentation = documentation.into();
        self
    }

    /// Sets the importance.
    #[must_use]
    pub fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    /// Sets the heading and the place under it.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>, order_in_group: i32) -> Self {
        self.group = Some(group.into());
        self.order_in_group = order_in_group;
        self
    }

    /// Sets the width.
    #[must_use]
    pub fn width(mut self, width: Width) -> Self {
        self.width = width;
        self
    }

    /// Sets what forms call the key.
    #[must_use]
    pub fn display_name(mut self, display_name: impl Into<String>) -> Self {
        self.display_name = display_name.into();
        self
    }

    /// Sets the keys that depend on this one.
    #[must_use]
    pub fn dependents<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.dependents = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the rule.
    #[must_use]
    pub fn validator(mut self, validator: Validator) -> Self {
        self.validator = Some(validator);
        self
    }

    /// Sets who suggests values.
    #[must_use]
    pub fn recommender(mut self, recommender: Recommender) -> Self {
        self.recommender = Some(recommender);
        self
    }

    /// Leaves the key out of documents.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// Whether the user has to give a value.
    pub fn is_required(&self) -> bool {
        self.default.is_none()
    }

    /// Parses a default that is written as text, and holds it against the rule.
    fn check_default(&mut self) -> Result<()> {
        let Some(default) = self.default.take() else {
            return Ok(());
        };
        let default = match (default, self.value_type) {
            (Setting::Int(n), Type::Long) => Setting::Long(n.into()),
            (Setting::Int(n), Type::Double) => Setting::Double(n.into()),
            (Setting::String(text), _) => self.value_type.parse(&self.name, &text)?,
            (other, _) => other,
        };
        if let Some(validator) = &self.validator {
            validator.ensure_valid(&self.name, &default)?;
        }
        self.default = Some(default);
        Ok(())
    }

    /// The key with a prefix; its dependents and its recommender follow.
    fn below(mut self, prefix: &str) -> Self {
        for name in self.dependents.iter_mut().chain([&mut self.name]) {
            name.insert_str(0, prefix);
        }
        self.recommender = self.recommender.map(|recommender| recommender.below(prefix));
        self
    }
}

/// The keys of a configuration, in the order of their definition.
#[derive(Clone, Debug, Default)]
pub struct ConfigDef {
    keys: Vec<ConfigKey>,
}

impl ConfigDef {
    /// Adds a key.
    ///
    /// # Panics
    ///
    /// When the key is there already, or its default breaks its type or its rule: definitions are
    /// code, and any test that touches one finds this.
    #[must_use]
    pub fn define(mut self, mut key: ConfigKey) -> Self {
        assert!(self.get(&key.name).is_none(), "Configuration {} is defined twice.", key.name);
        if let Err(error) = key.check_default() {
            panic!("the default of a configuration key is wrong: {error}");
        }
        self.keys.push(key);
        self
    }

    /// Adds the keys of another definition as they are, each with a prefix, which may be empty.
    ///
    /// # Panics
    ///
    /// As [`define`](Self::define).
    #[must_use]
    pub fn nest(self, prefix: &str, child: Self) -> Self {
        child.keys.into_iter().fold(self, |def, mut key| {
            if key.display_name == key.name {
                key.display_name.insert_str(0, prefix);
            }
            def.define(key.below(prefix))
        })
    }

    /// Adds those keys of another definition that this one does not have.
    #[must_use]
    pub fn completed_by(self, other: Self) -> Self {
        other.keys.into_iter().fold(self, |def, key| match def.get(&key.name) {
            Some(_) => def,
            None => def.define(key),
        })
    }

    /// Takes the keys of another definition in: in the place of those of the same name, and after
    /// all others.
    #[must_use]
    pub fn replaced_by(mut self, other: Self) -> Self {
        for key in other.keys {
            match self.keys.iter_mut().find(|own| own.name == key.name) {
                Some(own) => *own = key,
                None => self.keys.push(key),
            }
        }
        self
    }

    /// Leaves keys out.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.keys.retain(|key| !names.contains(&key.name.as_str()));
        self
    }

    /// Adds the keys of a plugin below a prefix and a group, as Java does for `transforms.NAME.`
    /// and `predicates.NAME.`: sorted by group, order, required, importance and name; numbered from
    /// `start`; and with rules that complain about the key without its prefix.
    ///
    /// # Panics
    ///
    /// As [`define`](Self::define).
    #[must_use]
    pub fn embed(self, prefix: &str, group: &str, start: i32, child: Self) -> Self {
        let keys = child.into_sorted_keys().into_iter().zip(start..);
        keys.fold(self, |def, (mut key, order)| {
            key.group = Some(match key.group.take() {
                None => group.to_owned(),
                Some(own) => format!("{group}: {own}"),
            });
            key.order_in_group = order;
            key.validator = key.validator.map(|validator| validator.without_prefix(prefix));
            def.define(key.below(prefix))
        })
    }

    fn into_sorted_keys(self) -> Vec<ConfigKey> {
        let groups = self.groups();
        let place = |key: &ConfigKey| {
            let group = key.group.as_ref().and_then(|g| groups.iter().position(|other| other == g));
            (group, key.order_in_group, !key.is_required(), key.importance, key.name.clone())
        };
        let mut keys = self.keys;
        keys.sort_by_cached_key(place);
        keys
    }

    /// The keys, in the order of their definition.
    pub fn keys(&self) -> &[ConfigKey] {
        &self.keys
    }

    /// The key of that name.
    pub fn get(&self, name: &str) -> Option<&ConfigKey> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The groups, in the order of their first key.
    pub fn groups(&self) -> Vec<String> {
        let mut groups = Vec::new();
        for group in self.keys.iter().filter_map(|key| key.group.as_ref()) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        groups
    }
}
