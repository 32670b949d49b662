//! Decides what an error of this crate means to its caller: whether to try again, to mend the
//! request, or to mend the settings.

use std::fmt;

/// The result of every call.
pub type Result<T> = std::result::Result<T, Error>;

/// The registry's own codes (`error_code` in its answers).
pub mod code {
    /// There is no such subject.
    pub const SUBJECT_NOT_FOUND: i32 = 40401;
    /// The subject has no such version.
    pub const VERSION_NOT_FOUND: i32 = 40402;
    /// There is no such schema.
    pub const SCHEMA_NOT_FOUND: i32 = 40403;
    /// The subject is deleted already; it can be deleted for good.
    pub const SUBJECT_SOFT_DELETED: i32 = 40404;
    /// The subject must be deleted before it can be deleted for good.
    pub const SUBJECT_NOT_SOFT_DELETED: i32 = 40405;
    /// The version is deleted already; it can be deleted for good.
    pub const VERSION_SOFT_DELETED: i32 = 40406;
    /// The version must be deleted before it can be deleted for good.
    pub const VERSION_NOT_SOFT_DELETED: i32 = 40407;
    /// The subject has no compatibility level of its own.
    pub const SUBJECT_COMPATIBILITY_NOT_CONFIGURED: i32 = 40408;
    /// The subject has no mode of its own.
    pub const SUBJECT_MODE_NOT_CONFIGURED: i32 = 40409;
    /// The schema is not compatible with what the subject has.
    pub const INCOMPATIBLE_SCHEMA: i32 = 409;
    /// The schema does not parse.
    pub const INVALID_SCHEMA: i32 = 42201;
    /// That is no version.
    pub const INVALID_VERSION: i32 = 42202;
    /// That is no compatibility level.
    pub const INVALID_COMPATIBILITY_LEVEL: i32 = 42203;
    /// That is no mode.
    pub const INVALID_MODE: i32 = 42204;
    /// The mode of the subject forbids it.
    pub const OPERATION_NOT_PERMITTED: i32 = 42205;
    /// Other schemas refer to it.
    pub const REFERENCE_EXISTS: i32 = 42206;
}

/// What a registry says when it will not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The registry's own code, see [`code`]; the status when it gave none.
    pub code: i32,
    /// Its words, shortened.
    pub message: String,
    /// Who said so: its base URL.
    pub url: String,
}

/// What can go wrong. No secret is ever a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The settings cannot be used.
    Settings(String),
    /// Nobody answered in any attempt, or nobody is able to for now.
    Unavailable {
        /// Who was asked last.
        url: String,
        /// What happened then.
        cause: String,
    },
    /// The registry answered, and refused.
    Refused(Refusal),
    /// The token endpoint refused the client's credentials.
    Token(String),
    /// The registry has a schema that cannot be used as it is.
    Schema(String),
    /// Somebody answered what no registry does, or no token endpoint.
    Answer {
        /// Who.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// Whether the same call may succeed later: nobody answered, there was a time-out, or the
    /// registry has trouble of its own.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Refused(refusal) => matches!(refusal.status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// What the registry answered, if it did.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The registry's own code, see [`code`].
    pub fn code(&self) -> Option<i32> {
        self.refusal().map(|refusal| refusal.code)
    }

    /// Whether this is the registry's word on what was asked for: there is no such subject, version
    /// or schema, or it is none that may be. Else something stands between, or has to be set up.
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::Schema(_))
            || self.is_not_found()
            || self.is_incompatible()
            || self.code().is_some_and(|code| code / 100 == 422) && !self.is_not_permitted()
    }

    /// The registry, or the subject, takes no schemas for now: see [`mode`](crate::Client::mode).
    pub fn is_not_permitted(&self) -> bool {
        self.code() == Some(code::OPERATION_NOT_PERMITTED)
    }

    /// There is no such subject, version or schema. A 404 without the registry's code is another's:
    /// the address is wrong.
    pub fn is_not_found(&self) -> bool {
        self.code().is_some_and(|code| code / 100 == 404)
    }

    /// The schema is not compatible with those that the subject has.
    pub fn is_incompatible(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == 409)
    }

    /// The registry does not know who asks, or forbids it.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Token(_))
            || self.refusal().is_some_and(|refusal| matches!(refusal.status, 401 | 403))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(why) => f.write_str(why),
            Self::Unavailable { url, cause } => {
                write!(f, "the schema registry at {url} cannot be reached: {cause}")
            }
            Self::Refused(Refusal { status, code, message, url }) => {
                write!(f, "the schema registry at {url} answers {status}: ")?;
                match message.as_str() {
                    "" => f.write_str("no reason given")?,
                    message => f.write_str(message)?,
                }
                // What everybody else says is in the status.
                if *code == i32::from(*status) { Ok(()) } else { write!(f, " (code {code})") }
            }
            Self::Token(why) | Self::Schema(why) => f.write_str(why),
            Self::Answer { url, problem } => {
                write!(f, "{url} does not answer as expected: {problem}")
            }
        }
    }
}

impl std::error::Error for Error {}
