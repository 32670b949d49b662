//! What a server says that is no data: errors, in the form in which all databases' are judged here,
//! and notices.

use std::borrow::Cow;
use std::fmt;

use sqlx::error::{DatabaseError, ErrorKind};

use super::message::Body;

/// An error that the server sent.
#[derive(Debug, Default)]
pub(super) struct Answer {
    severity: String,
    code: String,
    message: String,
}

impl Answer {
    /// Reads the body of an error or a notice. What it says twice counts as it says it last.
    pub(super) fn read(mut body: Body<'_>) -> sqlx::Result<Self> {
        let mut answer = Self::default();
        loop {
            let field = body.byte()?;
            if field == 0 {
                return Ok(answer);
            }
            let text = body.lossy_text()?;
            match field {
                // The one that is not translated, where the server sends it.
                b'V' => answer.severity = text.into_owned(),
                b'S' if answer.severity.is_empty() => answer.severity = text.into_owned(),
                b'C' => answer.code = text.into_owned(),
                b'M' => answer.message = text.into_owned(),
                _ => {}
            }
        }
    }

    /// As an error of a statement.
    pub(super) fn into_error(self) -> sqlx::Error {
        sqlx::Error::Database(Box::new(self))
    }

    /// Logs a notice. One of a query that is not to be shown is not sent.
    pub(super) fn log(&self) {
        match self.severity.as_str() {
            "WARNING" => tracing::warn!("the database warns: {}", self.message),
            "NOTICE" => tracing::info!("the database notes: {}", self.message),
            _ => tracing::debug!("the database notes: {}", self.message),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Answer {}

impl DatabaseError for Answer {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.code))
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}
