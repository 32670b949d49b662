//! Decides how a parsed value is held, printed, and turned into the Rust type of a field.

use super::validators::{Validator, one_of, one_of_ignore_case};
use super::{Type, validate::java_trim};
use crate::data::java_double;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;

/// A secret. It prints as `[hidden]`, like Java's `Password`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself: for the call that needs it, never for a message.
    pub fn value(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a Java class, or an alias of one, as the user wrote it. Whether a plugin answers to
/// it is for the catalogue to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassName(String);

impl ClassName {
    /// Wraps a name; blanks around it do not count.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(java_trim(name.as_ref()).to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parsed value of one key.
///
/// `Display` prints it as Java's messages do (`null`, `[a, b]`); [`Setting::text`] as REST does.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// No value: the default is null, or the text could not be parsed.
    Null,
    /// `BOOLEAN`
    Boolean(bool),
    /// `STRING`
    String(String),
    /// `INT`
    Int(i32),
    /// `SHORT`
    Short(i16),
    /// `LONG`
    Long(i64),
    /// `DOUBLE`
    Double(f64),
    /// `LIST`
    List(Vec<String>),
    /// `CLASS`
    Class(ClassName),
    /// `PASSWORD`
    Password(Password),
}

impl Setting {
    /// The value as text that could be configured again, and as REST shows it: lists are joined by
    /// commas, secrets stay hidden, null is `None`.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::List(items) => Some(items.join(",")),
            other => Some(other.to_string()),
        }
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A `STRING` or the name of a `CLASS`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Class(name) => Some(name.as_str()),
            _ => None,
        }
    }

    /// The elements of a `LIST`.
    pub fn as_list(&self) -> Option<&[String]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// Any number, as Java's `Number.doubleValue` gives it.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Int(n) => Some(n.into()),
            Self::Short(n) => Some(n.into()),
            Self::Long(n) => Some(n as f64),
            Self::Double(n) => Some(n),
            _ => None,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(b) => write!(f, "{b}"),
            Self::String(text) => f.write_str(text),
            Self::Int(n) => write!(f, "{n}"),
            Self::Short(n) => write!(f, "{n}"),
            Self::Long(n) => write!(f, "{n}"),
            Self::Double(n) => f.write_str(&java_double(*n)),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
            Self::Class(name) => write!(f, "{name}"),
            Self::Password(secret) => write!(f, "{secret}"),
        }
    }
}

/// A Rust type that a field of a [`Config`](super::Config) may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a configuration key",
    label = "not a configuration type",
    note = "use bool, i16, i32, i64, f64, String, Vec<String>, Password, ClassName, an enum that \
            derives ConfigEnum, or an Option of these; write #[config(nested)] for a struct that \
            derives Config"
)]
pub trait ConfigType: Sized {
    /// Java's type of the key.
    const TYPE: Type;
    /// Whether null is a value of it, and the default when no other is given.
    const OPTIONAL: bool = false;
    /// What a default is written as.
    type Default: Into<Setting>;

    /// The rule that comes with the type.
    fn validator() -> Option<Validator> {
        None
    }

    /// The value, unless the setting is of another type.
    fn from_setting(setting: &Setting) -> Option<Self>;
}

macro_rules! config_types {
    ($($rust:ty, $variant:ident, $default:ty;)*) => {$(
        impl ConfigType for $rust {
            const TYPE: Type = Type::$variant;
            type Default = $default;

            fn from_setting(setting: &Setting) -> Option<Self> {
                if let Setting::$variant(value) = setting { Some(value.clone()) } else { None }
            }
        }

        impl From<$rust> for Setting {
            fn from(value: $rust) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

config_types! {
    bool, Boolean, bool;
    String, String, &'static str;
    i32, Int, i32;
    i16, Short, i16;
    i64, Long, i64;
    f64, Double, f64;
    Vec<String>, List, &'static str;
    ClassName, Class, &'static str;
    Password, Password, &'static str;
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl<T: Into<Setting>> From<Option<T>> for Setting {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: ConfigType> ConfigType for Option<T> {
    const TYPE: Type = T::TYPE;
    const OPTIONAL: bool = true;
    type Default = T::Default;

    fn validator() -> Option<Validator> {
        T::validator().map(Validator::or_null)
    }

    fn from_setting(setting: &Setting) -> Option<Self> {
        if setting.is_null() { Some(None) } else { T::from_setting(setting).map(Some) }
    }
}

/// An enum whose variants are the valid strings of a key. Made by `#[derive(ConfigEnum)]`.
pub trait ConfigEnum: Copy + 'static {
    /// Each variant and how it is written.
    const VARIANTS: &'static [(&'static str, Self)];
    /// Whether case counts; as in Java it does unless said otherwise.
    const IGNORE_CASE: bool = false;

    /// How the variant is written.
    fn as_text(self) -> &'static str;

    /// The variant that is written so.
    fn from_text(text: &str) -> Option<Self> {
        let same = |name: &str| {
            name == text || Self::IGNORE_CASE && name.to_uppercase() == text.to_uppercase()
        };
        Self::VARIANTS.iter().find(|(name, _)| same(name)).map(|&(_, variant)| variant)
    }
}

impl<T: ConfigEnum> ConfigType for T {
    const TYPE: Type = Type::String;
    type Default = T;

    fn validator() -> Option<Validator> {
        let valid = T::VARIANTS.iter().map(|&(name, _)| name);
        Some(if T::IGNORE_CASE { one_of_ignore_case(valid) } else { one_of(valid) })
    }

    fn from_setting(setting: &Setting) -> Option<Self> {
        setting.as_str().and_then(T::from_text)
    }
}

impl<T: ConfigEnum> From<T> for Setting {
    fn from(variant: T) -> Self {
        Self::from(variant.as_text())
    }
}

/// The parsed values of all keys of a [`ConfigDef`](super::ConfigDef).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(BTreeMap<String, Setting>);

impl Values {
    /// The value of a key as a Rust type.
    pub fn get<T: ConfigType>(&self, key: &str) -> Result<T> {
        let Some(setting) = self.0.get(key) else {
            return Err(Error::config(format!("Unknown configuration '{key}'")));
        };
        T::from_setting(setting).ok_or_else(|| {
            let asked = std::any::type_name::<T>();
            Error::config(format!("configuration {key} is {setting}, which is no {asked}"))
        })
    }

    /// The value of a key, if the key is defined.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    /// The keys below a prefix, without it.
    pub fn nested(&self, prefix: &str) -> Self {
        let below = |(key, value): (&String, &Setting)| {
            key.strip_prefix(prefix).map(|rest| (rest.to_owned(), value.clone()))
        };
        Self(self.0.iter().filter_map(below).collect())
    }

    /// Sets a value.
    pub fn insert(&mut self, key: impl Into<String>, setting: Setting) {
        self.0.insert(key.into(), setting);
    }

    /// All keys and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
