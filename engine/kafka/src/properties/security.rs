//! Decides how Java's security properties (JAAS, PEM and PKCS12 stores) reach librdkafka.

use millrace_api::{Error, Result};

use super::reader::{Reader, invalid, missing};
use super::{Setting, push, push_secret};

pub(super) const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
pub(super) const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

pub(super) fn translate(reader: &mut Reader<'_>, out: &mut Vec<Setting>) -> Result<()> {
    let protocols = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    let protocol = reader.choice("security.protocol", &protocols)?.unwrap_or("PLAINTEXT");
    push(out, "security.protocol", "security.protocol", protocol.to_ascii_lowercase());
    // Read in any case, so that a file with keys for another protocol causes no warning.
    let sasl = Sasl::read(reader);
    let ssl = Ssl::read(reader);
    if protocol.starts_with("SASL") {
        sasl.translate(out)?;
    }
    if protocol.ends_with("SSL") {
        ssl.translate(out)?;
    }
    Ok(())
}

struct Sasl<'a> {
    mechanism: Option<&'a str>,
    jaas: Option<&'a str>,
}

impl<'a> Sasl<'a> {
    fn read(reader: &mut Reader<'a>) -> Self {
        Self { mechanism: reader.text("sasl.mechanism"), jaas: reader.text("sasl.jaas.config") }
    }

    fn translate(&self, out: &mut Vec<Setting>) -> Result<()> {
        let mechanism = self.mechanism.unwrap_or("GSSAPI");
        let module = match mechanism {
            "PLAIN" => PLAIN,
            "SCRAM-SHA-256" | "SCRAM-SHA-512" => SCRAM,
            _ => {
                let why = "this build supports PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512";
                return Err(invalid("sasl.mechanism", mechanism, why));
            }
        };
        let jaas = self.jaas.ok_or_else(|| missing("sasl.jaas.config"))?;
        let (username, password) = credentials(jaas, module)?;
        push(out, "sasl.mechanism", "sasl.mechanisms", mechanism);
        push(out, "sasl.jaas.config", "sasl.username", username);
        push_secret(out, "sasl.jaas.config", "sasl.password", &password);
        Ok(())
    }
}

/// User and password of `MODULE required username="…" password="…";`.
fn credentials(jaas: &str, module: &str) -> Result<(String, String)> {
    let broken = |why: String| {
        Error::config(format!("Invalid value [hidden] for configuration sasl.jaas.config: {why}"))
    };
    let mut tokens = tokens(jaas).map_err(|why| broken(why.to_owned()))?.into_iter();
    if tokens.next().as_deref() != Some(module) {
        return Err(broken(format!("the login module of this sasl.mechanism is {module}")));
    }
    if tokens.next().is_none() {
        return Err(broken("the control flag, such as required, is missing".to_owned()));
    }
    let (mut username, mut password) = (None, None);
    for token in tokens {
        match token.split_once('=') {
            Some(("username", value)) => username = Some(value.to_owned()),
            Some(("password", value)) => password = Some(value.to_owned()),
            _ => {}
        }
    }
    match (username, password) {
        (Some(username), Some(password)) => Ok((username, password)),
        (None, _) => Err(broken("username is missing".to_owned())),
        (_, None) => Err(broken("password is missing".to_owned())),
    }
}

/// Cuts a JAAS entry at blanks outside quotes; quotes and the closing semicolon are taken off.
fn tokens(jaas: &str) -> Result<Vec<String>, &'static str> {
    let mut tokens = Vec::new();
    let mut token = String::new();
    let mut quote = None;
    let mut closed = false;
    let mut characters = jaas.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), '\\') => token.extend(characters.next()),
            (Some(_), c) => token.push(c),
            (None, '"' | '\'') => quote = Some(c),
            (None, ';') => {
                closed = true;
                break;
            }
            (None, c) if c.is_whitespace() => {
                if !token.is_empty() {
                    tokens.push(std::mem::take(&mut token));
                }
            }
            (None, c) => token.push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    if !closed {
        return Err("the entry must end with a semicolon");
    }
    if !token.is_empty() {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Ssl<'a> {
    truststore: Store<'a>,
    certificates: Option<&'a str>,
    keystore: Store<'a>,
    key: Option<&'a str>,
    chain: Option<&'a str>,
    key_password: Option<&'a str>,
    endpoint_identification: Option<&'a str>,
}

struct Store<'a> {
    kind: Option<&'a str>,
    location: Option<&'a str>,
    password: Option<&'a str>,
}

impl<'a> Ssl<'a> {
    fn read(reader: &mut Reader<'a>) -> Self {
        Self {
            truststore: Store {
                kind: reader.text("ssl.truststore.type"),
                location: reader.text("ssl.truststore.location"),
                password: reader.text("ssl.truststore.password"),
            },
            certificates: reader.text("ssl.truststore.certificates"),
            keystore: Store {
                kind: reader.text("ssl.keystore.type"),
                location: reader.text("ssl.keystore.location"),
                password: reader.text("ssl.keystore.password"),
            },
            key: reader.text("ssl.keystore.key"),
            chain: reader.text("ssl.keystore.certificate.chain"),
            key_password: reader.text("ssl.key.password"),
            endpoint_identification: reader.text("ssl.endpoint.identification.algorithm"),
        }
    }

    fn translate(&self, out: &mut Vec<Setting>) -> Result<()> {
        const ALGORITHM: &str = "ssl.endpoint.identification.algorithm";
        match self.endpoint_identification {
            Some("") => push(out, ALGORITHM, ALGORITHM, "none"),
            None => push(out, ALGORITHM, ALGORITHM, "https"),
            Some(text) if text.eq_ignore_ascii_case("https") => {
                push(out, ALGORITHM, ALGORITHM, "https");
            }
            Some(text) => return Err(invalid(ALGORITHM, text, "use https, or nothing for none")),
        }
        if let Some(certificates) = self.certificates {
            push(out, "ssl.truststore.certificates", "ssl.ca.pem", certificates);
        }
        if let Some(location) = self.truststore.location {
            if !self.truststore.is("PEM") {
                return Err(not_pem("ssl.truststore.type", self.truststore.kind));
            }
            push(out, "ssl.truststore.location", "ssl.ca.location", location);
        }
        self.identity(out)
    }

    /// The client's own key and certificate, if it has any.
    fn identity(&self, out: &mut Vec<Setting>) -> Result<()> {
        if let Some(chain) = self.chain {
            push(out, "ssl.keystore.certificate.chain", "ssl.certificate.pem", chain);
        }
        if let Some(key) = self.key {
            push_secret(out, "ssl.keystore.key", "ssl.key.pem", key);
        }
        if let Some(password) = self.key_password {
            push_secret(out, "ssl.key.password", "ssl.key.password", password);
        }
        let Some(location) = self.keystore.location else {
            return Ok(());
        };
        if self.keystore.is("PEM") {
            // Java's PEM keystore is one file that holds the key and the chain.
            push(out, "ssl.keystore.location", "ssl.key.location", location);
            push(out, "ssl.keystore.location", "ssl.certificate.location", location);
            Ok(())
        } else if self.keystore.is("PKCS12") {
            push(out, "ssl.keystore.location", "ssl.keystore.location", location);
            let password = self.keystore.password.unwrap_or_default();
            push_secret(out, "ssl.keystore.password", "ssl.keystore.password", password);
            Ok(())
        } else {
            Err(not_pem("ssl.keystore.type", self.keystore.kind))
        }
    }
}

impl Store<'_> {
    fn is(&self, kind: &str) -> bool {
        self.kind.unwrap_or("JKS").eq_ignore_ascii_case(kind)
    }
}

fn not_pem(key: &str, kind: Option<&str>) -> Error {
    let why = "convert the store to PEM (keytool -exportcert -rfc, or openssl pkcs12) and set PEM";
    invalid(key, kind.unwrap_or("JKS"), why)
}
