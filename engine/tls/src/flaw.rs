//! Decides what can be wrong with a key, a certificate or a store; who reads the file says which.

use std::borrow::Cow;

/// What is wrong, without the name of the file or the key. Holds nothing of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is not what it should be.
    Damaged(&'static str),
    /// The password does not open it.
    Password,
    /// It asks for something that this crate does not do.
    Unsupported(Cow<'static, str>),
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
            Self::Password => write!(f, "the password is wrong, or it was changed or cut off"),
            Self::Unsupported(what) => write!(f, "it uses {what}, which is not supported"),
        }
    }
}
