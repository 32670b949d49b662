//! Decides in what words schemas, versions and settings of subjects are told to a registry, and
//! what of its answers is kept.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// The language of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub enum SchemaType {
    /// Avro: what a registry means when it does not say.
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    /// Protobuf.
    Protobuf,
    /// Another that the registry has a plug-in for.
    Other(String),
}

impl SchemaType {
    /// The registry's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for SchemaType {
    fn from(name: String) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "AVRO" => Self::Avro,
            "JSON" => Self::Json,
            "PROTOBUF" => Self::Protobuf,
            _ => Self::Other(name),
        }
    }
}

impl From<SchemaType> for String {
    fn from(schema_type: SchemaType) -> Self {
        schema_type.as_str().to_owned()
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a schema finds another that it uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Reference {
    /// The name by which the schema calls it: a type in Avro, an import in Protobuf, a URI in JSON
    /// Schema.
    pub name: Arc<str>,
    /// The subject that has it.
    pub subject: Arc<str>,
    /// Its version there.
    pub version: i32,
}

/// A schema as it is registered and fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Schema {
    /// In the language of its type.
    #[serde(rename = "schema")]
    pub text: Arc<str>,
    /// Its language.
    #[serde(rename = "schemaType", default, skip_serializing_if = "is_avro")]
    pub schema_type: SchemaType,
    /// What it uses.
    #[serde(default, deserialize_with = "maybe_null", skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Tags and properties, as the registry wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Rules for data, as the registry wrote them.
    #[serde(default, rename = "ruleSet", skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
}

impl Schema {
    /// A schema without references.
    pub fn new(schema_type: SchemaType, text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            schema_type,
            references: Vec::new(),
            metadata: None,
            rule_set: None,
        }
    }

    /// An Avro schema without references.
    pub fn avro(text: impl Into<Arc<str>>) -> Self {
        Self::new(SchemaType::Avro, text)
    }
}

fn is_avro(schema_type: &SchemaType) -> bool {
    *schema_type == SchemaType::Avro
}

/// Some registries write null for none.
fn maybe_null<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A schema as a version of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Version {
    /// The subject.
    pub subject: Arc<str>,
    /// The number among those of the subject.
    pub version: i32,
    /// The number of the schema, the same in all subjects that have it.
    pub id: i32,
    /// The same in all registries; older ones have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<Arc<str>>,
    /// The schema.
    #[serde(flatten)]
    pub schema: Schema,
}

/// What registering gave.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// The number of the schema.
    pub id: i32,
    /// The version in the subject, from registries that say it.
    pub version: Option<i32>,
    /// The GUID, from registries that have them.
    pub guid: Option<Arc<str>>,
    /// [`Schema::rule_set`] as it is now: the subject may bring rules of its own.
    #[serde(default, rename = "ruleSet")]
    pub rule_set: Option<Value>,
}

/// A subject, and a version that it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SubjectVersion {
    /// The subject.
    pub subject: Arc<str>,
    /// The version.
    pub version: i32,
}

/// Which version of a subject is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The newest.
    Latest,
    /// The one with this number.
    Number(i32),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for Which {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse() {
            _ if text == "latest" => Ok(Self::Latest),
            Ok(number) if number > 0 => Ok(Self::Number(number)),
            _ => Err(Error::Settings(format!("{text} is no version: a number from 1, or latest"))),
        }
    }
}

/// Writes an enum whose variants have one word each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, {
        $($(#[$why:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
        pub enum $name {
            $($(#[$why])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The registry's word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                match text.to_ascii_uppercase().as_str() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(Error::Settings(format!(
                        "{text} is no {}; there are {}", $what, [$($word),*].join(", ")
                    ))),
                }
            }
        }
    };
}

words! {
    /// What a new version of a subject must be able to do with data of older ones.
    CompatibilityLevel, "compatibility level", {
        /// Anything goes.
        None = "NONE",
        /// Reads data of the version before.
        Backward = "BACKWARD",
        /// Reads data of all versions before.
        BackwardTransitive = "BACKWARD_TRANSITIVE",
        /// Its data is read by the version before.
        Forward = "FORWARD",
        /// Its data is read by all versions before.
        ForwardTransitive = "FORWARD_TRANSITIVE",
        /// Both, with the version before.
        Full = "FULL",
        /// Both, with all versions before.
        FullTransitive = "FULL_TRANSITIVE",
    }
}

words! {
    /// What may be done with a subject.
    Mode, "mode", {
        /// Everything.
        ReadWrite = "READWRITE",
        /// Reading.
        ReadOnly = "READONLY",
        /// Reading, whatever single subjects say.
        ReadOnlyOverride = "READONLY_OVERRIDE",
        /// Registering with given ids.
        Import = "IMPORT",
        /// Registering is passed on.
        Forward = "FORWARD",
    }
}

/// The settings of a subject, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Config {
    /// What new versions must be able to do.
    #[serde(
        default,
        rename(serialize = "compatibility"),
        alias = "compatibilityLevel",
        skip_serializing_if = "Option::is_none"
    )]
    pub compatibility: Option<CompatibilityLevel>,
    /// Whether schemas are normalised before they are registered or looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// The subject that this is another name of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Arc<str>>,
}

/// Whether a schema may become the next version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Compatibility {
    /// It may.
    pub is_compatible: bool,
    /// Why not.
    #[serde(default, deserialize_with = "maybe_null")]
    pub messages: Vec<String>,
}
