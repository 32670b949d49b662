//! Decides what SASL/PLAIN says (RFC 4616): the user and the password, as they are.

use bytes::Bytes;
use millrace_api::Result;

use super::{Exchange, Secret, wrong};

/// A user and a password.
#[derive(Debug)]
pub(crate) struct Plain {
    user: String,
    password: Secret,
}

impl Plain {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: Secret::new(password) }
    }

    pub(super) fn exchange(&self) -> impl Exchange + use<> {
        PlainExchange(Bytes::from(format!("\0{}\0{}", self.user, self.password.expose())))
    }
}

struct PlainExchange(Bytes);

impl Exchange for PlainExchange {
    fn first(&mut self) -> Bytes {
        self.0.clone()
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Option<Bytes>> {
        if challenge.is_empty() {
            return Ok(None);
        }
        Err(wrong("PLAIN", "the broker asks for more than the password, which PLAIN does not"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_that_of_the_rfc() {
        let plain = Plain::new("tim", "tanstaaftanstaaf");
        assert!(!format!("{plain:?}").contains("tanstaaf"));
        let mut exchange = plain.exchange();
        assert_eq!(exchange.first(), "\0tim\0tanstaaftanstaaf");
        assert_eq!(exchange.answer(b"").unwrap(), None);
        exchange.answer(b"more").unwrap_err();
    }
}
