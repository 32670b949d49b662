//! Decides what `sasl.jaas.config` says: one login module and its options, in the grammar of
//! Java's `JaasConfig`.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use millrace_api::{Error, Result};

use super::reader::{invalid, missing};

pub(crate) const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
pub(crate) const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
pub(crate) const OAUTHBEARER: &str =
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
const KERBEROS: &str = "com.sun.security.auth.module.Krb5LoginModule";

/// Whoever meets Kerberos needs another way in, and no client of ours to go to the next.
pub(crate) fn kerberos() -> Error {
    let why = "Kerberos is not supported, whatever kafka.client says. Let the client in by another \
               way that the brokers' listeners offer: sasl.mechanism=SCRAM-SHA-512, SCRAM-SHA-256, \
               PLAIN or OAUTHBEARER with its sasl.jaas.config, or security.protocol=SSL with a key \
               store (where sasl.mechanism is not set, it is GSSAPI as in Java)";
    invalid("sasl.mechanism", "GSSAPI", why)
}

/// `MODULE FLAG name="value" …;`. Its values are secrets: there is no `Debug`.
pub(crate) struct Jaas {
    module: String,
    options: BTreeMap<String, String>,
}

#[derive(PartialEq)]
enum Token {
    Word(String),
    Equals,
    Semicolon,
}

impl Jaas {
    /// # Errors
    ///
    /// A configuration error with Java's words and none of the values.
    fn read(text: &str) -> Result<Self> {
        let mut tokens = tokens(text).map_err(broken)?.into_iter().peekable();
        let Some(Token::Word(module)) = tokens.next() else {
            return Err(broken("Login module not specified in JAAS config"));
        };
        match tokens.next() {
            Some(Token::Word(flag)) => {
                let flags = ["required", "requisite", "sufficient", "optional"];
                if !flags.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
                    return Err(broken("the control flag behind the login module is not one"));
                }
            }
            _ => return Err(broken("Control flag not specified in JAAS config")),
        }
        let mut options = BTreeMap::new();
        loop {
            match tokens.next() {
                Some(Token::Semicolon) => break,
                Some(Token::Word(name)) => {
                    let (equals, value) = (tokens.next(), tokens.next());
                    let (Some(Token::Equals), Some(Token::Word(value))) = (equals, value) else {
                        return Err(broken("Value not specified for a key in JAAS config"));
                    };
                    options.insert(name, value);
                }
                _ => return Err(broken("JAAS config entry not terminated by semi-colon")),
            }
        }
        if tokens.next().is_some() {
            return Err(broken("JAAS config property contains several login modules, should be 1"));
        }
        Ok(Self { module, options })
    }

    /// What `sasl.jaas.config` says, which has to be for this module.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); there is none; it is for another module.
    pub(crate) fn of(mechanism: &str, module: &str, text: Option<&str>) -> Result<Self> {
        let jaas = Self::read(text.ok_or_else(|| missing("sasl.jaas.config"))?)?;
        if jaas.module == module {
            return Ok(jaas);
        }
        Err(match jaas.module.as_str() {
            PLAIN | SCRAM | OAUTHBEARER | KERBEROS => {
                broken(format!("the login module of sasl.mechanism {mechanism} is {module}"))
            }
            // Java loads any class here, which is how credentials have been stolen.
            other if is_class(other) => {
                broken(format!("No LoginModule found for {other}: use {module}"))
            }
            _ => broken(format!("it does not begin with the name of a class: use {module}")),
        })
    }

    /// All options: secrets are among them.
    pub(crate) fn options(&self) -> &BTreeMap<String, String> {
        &self.options
    }

    /// An option that the module cannot do without.
    pub(crate) fn option(&self, name: &str) -> Result<&str> {
        let value = self.get(name);
        value.ok_or_else(|| broken(format!("the option {name} is missing")))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// Whether a text may be shown as the name of a class; a password that stands alone may not.
fn is_class(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$".contains(&b))
}

/// A complaint about `sasl.jaas.config`.
pub(crate) fn broken(why: impl std::fmt::Display) -> Error {
    Error::config(format!("Invalid value [hidden] for configuration sasl.jaas.config: {why}"))
}

/// Cuts the text as Java's `StreamTokenizer` does: quoted texts with escapes, comments, `=`, `;`.
fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut input = text.chars().peekable();
    while let Some(c) = input.next() {
        match c {
            c if c.is_whitespace() => {}
            '=' => tokens.push(Token::Equals),
            ';' => tokens.push(Token::Semicolon),
            '"' | '\'' => tokens.push(Token::Word(quoted(&mut input, c)?)),
            '/' if input.peek() == Some(&'/') => {
                input.by_ref().find(|c| *c == '\n');
            }
            '/' if input.peek() == Some(&'*') => skip_comment(&mut input),
            c => {
                let mut word = String::from(c);
                let ends = |c: &char| c.is_whitespace() || "=;\"'".contains(*c);
                while let Some(c) = input.next_if(|c| !ends(c)) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

fn skip_comment(input: &mut Peekable<Chars<'_>>) {
    let mut last = ' ';
    // The star that opens the comment does not close it.
    input.next();
    for c in input {
        if (last, c) == ('*', '/') {
            return;
        }
        last = c;
    }
}

fn quoted(input: &mut Peekable<Chars<'_>>, quote: char) -> Result<String, &'static str> {
    let mut text = String::new();
    while let Some(c) = input.next() {
        match c {
            c if c == quote => return Ok(text),
            '\\' => match input.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(c) => text.push(c),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_as_in_java() {
        for text in [
            r#"M required username="al ice" password='s"e;c\\r';"#,
            "M\n  REQUIRED\n  username = \"al ice\"\n  password=\"s\\\"e;c\\\\r\" ;  ",
            r#"/* who */ M required username="al ice" // the user
               password="s\"e;c\\r";"#,
        ] {
            let jaas = Jaas::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(jaas.module, "M");
            assert_eq!(jaas.option("username").unwrap(), "al ice");
            assert_eq!(jaas.option("password").unwrap(), r#"s"e;c\r"#);
            assert!(jaas.option("other").is_err());
        }
        let bare = Jaas::read("a.b-c$D required user_1=p.w/d+7;").unwrap();
        assert_eq!((bare.module.as_str(), bare.get("user_1")), ("a.b-c$D", Some("p.w/d+7")));
    }

    #[test]
    fn complaints_are_javas_and_hide_values() {
        for (text, expected) in [
            ("", "Login module not specified"),
            ("M;", "Control flag not specified"),
            ("M hush;", "the control flag"),
            ("M required p=hush", "not terminated by semi-colon"),
            ("M required p hush;", "Value not specified"),
            ("M required p=;", "Value not specified"),
            ("M required p=\"hush;", "a quote is not closed"),
            ("M required; N required p=hush;", "several login modules"),
        ] {
            let error = Jaas::read(text).err().expect(text).to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{text}: {error}");
        }
    }
}
