//! Decides what an error means to the worker: its [`ErrorKind`] says what happens next.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the worker does about an error. The Java exception each kind stands for is named, since
/// dead letter headers and traces carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Passing trouble: the call is repeated after a back-off (`RetriableException`).
    Retriable,
    /// One record is wrong: `errors.tolerance` decides (`DataException`).
    Data,
    /// A configuration is wrong: REST answers 400 (`ConfigException`).
    Config,
    /// What was named does not exist: REST answers 404 (`NotFoundException`).
    NotFound,
    /// It exists already, or the worker is busy rebalancing: REST answers 409.
    Conflict,
    /// The task fails and stays failed until restarted (`ConnectException`).
    Fatal,
}

impl ErrorKind {
    /// The Java class that Connect would have thrown.
    pub fn java_class(self) -> &'static str {
        match self {
            Self::Retriable => "org.apache.kafka.connect.errors.RetriableException",
            Self::Data => "org.apache.kafka.connect.errors.DataException",
            Self::Config => "org.apache.kafka.common.config.ConfigException",
            Self::NotFound => "org.apache.kafka.connect.errors.NotFoundException",
            Self::Conflict => "org.apache.kafka.connect.errors.AlreadyExistsException",
            Self::Fatal => "org.apache.kafka.connect.errors.ConnectException",
        }
    }
}

/// The one error of the engine and its plugins.
///
/// It holds a [kind](ErrorKind), what went wrong in words, the values that matter, and the cause.
/// `Display` prints one line: the message, then ` (name: value, …)`. The chain of causes is
/// printed by [`Error::trace`].
///
/// ```
/// use millrace_api::{Error, ErrorKind};
///
/// let error = Error::data("value is not JSON").context("topic", "orders").context("offset", 7);
/// assert_eq!(error.to_string(), "value is not JSON (topic: orders, offset: 7)");
/// assert_eq!(error.kind(), ErrorKind::Data);
/// ```
///
/// Never put a secret into a message or a context value: both reach logs and REST.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    java_class: Option<&'static str>,
}

impl Error {
    /// An error of the given kind. The message starts in lower case unless it copies Java's.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            source: None,
            java_class: None,
        }))
    }

    /// Passing trouble; see [`ErrorKind::Retriable`].
    pub fn retriable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Retriable, message)
    }

    /// One record is wrong; see [`ErrorKind::Data`].
    pub fn data(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// A configuration is wrong; see [`ErrorKind::Config`].
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The task fails; see [`ErrorKind::Fatal`].
    pub fn fatal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fatal, message)
    }

    /// Adds a named value, shown after the message.
    #[must_use]
    pub fn context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Names the Java class that Connect would have thrown, where it is not the one of the kind.
    #[must_use]
    pub fn as_java(mut self, class: &'static str) -> Self {
        self.0.java_class = Some(class);
        self
    }

    /// The Java class that Connect would have thrown.
    pub fn java_class(&self) -> &'static str {
        self.0.java_class.unwrap_or_else(|| self.kind().java_class())
    }

    /// Names the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the worker does about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the call may simply be repeated.
    pub fn is_retriable(&self) -> bool {
        self.kind() == ErrorKind::Retriable
    }

    /// An error of the same kind that says the same. Causes cannot be cloned: they become a part of
    /// the message.
    #[must_use]
    pub fn copied(&self) -> Self {
        let mut message = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        let mut copy = Self::new(self.kind(), message);
        copy.0.java_class = self.0.java_class;
        copy
    }

    /// The same error with other words: `rewrite` is given the message, each value and each cause.
    /// What `Error` is among the causes stays one; of others only the words are left.
    #[must_use]
    pub fn rewritten(&self, rewrite: &dyn Fn(&str) -> String) -> Self {
        let mut error = Self::new(self.kind(), rewrite(self.message()));
        let context = self.0.context.iter().map(|(name, value)| (*name, rewrite(value)));
        error.0.context = context.collect();
        error.0.java_class = self.0.java_class;
        error.0.source = self.source().map(|cause| match cause.downcast_ref::<Self>() {
            Some(ours) => ours.rewritten(rewrite).into(),
            None => foreign(cause, rewrite).into(),
        });
        error
    }

    /// The value that was added by this name, the last one where there are several.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.0.context.iter().rev();
        values.find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The message without context and causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The error and its causes, a line each, in the form Java prints a stack trace: the class,
    /// the message, then `Caused by: …`. This is what REST shows as `trace`.
    pub fn trace(&self) -> String {
        use fmt::Write;
        let mut text = format!("{}: {self}", self.java_class());
        let mut source = self.source();
        while let Some(cause) = source {
            let _ = match cause.downcast_ref::<Self>() {
                Some(e) => write!(text, "\nCaused by: {}: {e}", e.java_class()),
                None => write!(text, "\nCaused by: {cause}"),
            };
            source = cause.source();
        }
        text
    }
}

/// The words of an error and of its causes.
fn foreign(error: &(dyn StdError + 'static), rewrite: &dyn Fn(&str) -> String) -> String {
    let mut words = rewrite(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {}", rewrite(&cause.to_string()));
        source = cause.source();
    }
    words
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, (name, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{name}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.trace())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_are_found_in_every_cause() {
        let root = std::io::Error::other("no pw here");
        let cause = Error::data("pw").context("key", "pw").with_source(root);
        let error = Error::fatal("a pw").with_source(cause).rewritten(&|t| t.replace("pw", "*"));
        assert_eq!(
            error.trace(),
            "org.apache.kafka.connect.errors.ConnectException: a *\n\
             Caused by: org.apache.kafka.connect.errors.DataException: * (key: *)\n\
             Caused by: no * here"
        );
    }

    #[test]
    fn a_class_of_its_own_stays() {
        let error = Error::data("no").as_java("java.lang.ClassCastException");
        let copies = [error.copied(), error.rewritten(&str::to_owned)];
        assert!(copies.iter().all(|e| e.trace() == "java.lang.ClassCastException: no"));
    }

    #[test]
    fn trace_lists_every_cause() {
        let root = std::io::Error::other("disk gone");
        let error = Error::fatal("cannot write")
            .context("file", "/x")
            .with_source(Error::retriable("flush").with_source(root));
        assert_eq!(
            error.trace(),
            "org.apache.kafka.connect.errors.ConnectException: cannot write (file: /x)\n\
             Caused by: org.apache.kafka.connect.errors.RetriableException: flush\n\
             Caused by: disk gone"
        );
    }
}
