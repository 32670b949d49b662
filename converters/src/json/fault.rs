//! What is wrong with one row, before anybody knows which topic it is of.

use std::borrow::Cow;
use std::sync::Arc;

use millrace_api::Error;
use millrace_api::data::json::SyntaxError;

/// What is wrong with a row: Java's message, and the field where that is.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    message: Cow<'static, str>,
    cause: Option<String>,
    /// Innermost first.
    path: Vec<Arc<str>>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), cause: None, path: Vec::new() }
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Says that it lies in this field.
    pub(crate) fn within(mut self, field: &Arc<str>) -> Self {
        self.path.push(Arc::clone(field));
        self
    }

    pub(crate) fn into_error(self, topic: Option<&str>) -> Error {
        let mut error = Error::data(self.message);
        if !self.path.is_empty() {
            let names: Vec<&str> = self.path.iter().rev().map(|n| &**n).collect();
            error = error.context("field", names.join("."));
        }
        if let Some(topic) = topic {
            error = error.context("topic", topic);
        }
        match self.cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self::new("Converting byte[] to Kafka Connect data failed due to serialization error: ")
            .because(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_field_from_the_outside_in() {
        let fault =
            Fault::new("bad").because("worse").within(&"inner".into()).within(&"outer".into());
        assert_eq!(
            fault.into_error(Some("t")).trace(),
            "org.apache.kafka.connect.errors.DataException: bad (field: outer.inner, topic: t)\n\
             Caused by: worse"
        );
    }
}
