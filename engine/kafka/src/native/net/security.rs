//! Decides what the security properties of Kafka's Java clients mean to a connection: whether it is
//! encrypted, and how the client proves who it is.

use std::sync::{Arc, Mutex, Weak};

use millrace_api::Result;
use millrace_tls::ClientTls;

use super::sasl::{Algorithm, Allowed, Login, Plain, Sasl, Scram};
use crate::Properties;
use crate::lock::lock;
use crate::properties::jaas::{self, Jaas};
use crate::properties::{Reader, invalid};

/// What a connection does besides bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    /// Encrypted, and the broker known; none for `PLAINTEXT` and `SASL_PLAINTEXT`.
    pub(crate) tls: Option<Arc<ClientTls>>,
    /// The client known by more than a certificate; none for `PLAINTEXT` and `SSL`.
    pub(crate) sasl: Option<Sasl>,
}

impl Security {
    /// Reads `security.protocol`, `ssl.*` and `sasl.*`. Blocks while it reads stores.
    ///
    /// # Errors
    ///
    /// [`Config`](millrace_api::ErrorKind) with the key, and never with a secret.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Self::read_within(reader, &Allowed::by_environment())
    }

    /// The same with what OAUTHBEARER may use.
    fn read_within(reader: &mut Reader<'_>, allowed: &Allowed) -> Result<Self> {
        let protocols = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        let protocol = reader.choice("security.protocol", &protocols)?.unwrap_or("PLAINTEXT");
        // Looked at in any case, so that a file with keys for another protocol causes no warning.
        let mechanism = reader.text("sasl.mechanism").unwrap_or("GSSAPI");
        let jaas = reader.text("sasl.jaas.config");
        let tls = millrace_tls::KEYS.iter();
        let tls: Properties =
            tls.filter_map(|key| Some(((*key).to_owned(), reader.text(key)?.to_owned()))).collect();
        let mut security = Self::default();
        if protocol.starts_with("SASL") {
            for key in ["sasl.client.callback.handler.class", "sasl.login.class"] {
                if let Some(class) = reader.text(key).filter(|class| !class.is_empty()) {
                    let why = "Java code cannot be loaded; leave the key out";
                    return Err(invalid(key, class, why));
                }
            }
            security.sasl = Some(sasl(reader, mechanism, jaas, allowed)?);
        }
        if protocol.ends_with("SSL") {
            security.tls = Some(Arc::new(ClientTls::read(&tls)?));
        }
        Ok(security)
    }
}

fn sasl(
    reader: &mut Reader<'_>,
    mechanism: &str,
    jaas: Option<&str>,
    allowed: &Allowed,
) -> Result<Sasl> {
    let scram = |algorithm| {
        let jaas = Jaas::of(mechanism, jaas::SCRAM, jaas)?;
        let is_token = jaas.get("tokenauth").is_some_and(|is| is.eq_ignore_ascii_case("true"));
        let (user, password) = (jaas.option("username")?, jaas.option("password")?);
        Ok(Sasl::Scram(Arc::new(Scram::new(algorithm, user, password, is_token))))
    };
    match mechanism {
        "PLAIN" => {
            let jaas = Jaas::of(mechanism, jaas::PLAIN, jaas)?;
            refuse_other_handler(reader)?;
            let (user, password) = (jaas.option("username")?, jaas.option("password")?);
            Ok(Sasl::Plain(Arc::new(Plain::new(user, password))))
        }
        "SCRAM-SHA-256" | "SCRAM-SHA-512" => {
            refuse_other_handler(reader)?;
            let is_256 = mechanism == "SCRAM-SHA-256";
            scram(if is_256 { Algorithm::Sha256 } else { Algorithm::Sha512 })
        }
        "OAUTHBEARER" => {
            let jaas = Jaas::of(mechanism, jaas::OAUTHBEARER, jaas)?;
            let settings = super::sasl::oauthbearer_settings(reader, &jaas, allowed)?;
            Ok(Sasl::OAuthBearer(shared(reader.values("sasl."), settings)))
        }
        "GSSAPI" => Err(jaas::kerberos()),
        _ => {
            let why = "use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
            Err(invalid("sasl.mechanism", mechanism, why))
        }
    }
}

/// OAUTHBEARER alone has a handler that is known here.
fn refuse_other_handler(reader: &mut Reader<'_>) -> Result<()> {
    const KEY: &str = "sasl.login.callback.handler.class";
    match reader.text(KEY).filter(|class| !class.is_empty()) {
        Some(class) => Err(invalid(KEY, class, "Java code cannot be loaded; leave the key out")),
        None => Ok(()),
    }
}

/// Clients with the same settings share their tokens (`LoginManager` in Java): a worker has many,
/// and a token endpoint has limits.
fn shared(key: Vec<(String, String)>, settings: super::sasl::LoginSettings) -> Arc<Login> {
    type Known = Vec<(Vec<(String, String)>, Weak<Login>)>;
    static LOGINS: Mutex<Known> = Mutex::new(Vec::new());
    let mut logins = lock(&LOGINS);
    logins.retain(|(_, login)| login.strong_count() > 0);
    let known = logins.iter().find(|(of, _)| *of == key).and_then(|(_, login)| login.upgrade());
    known.unwrap_or_else(|| {
        let login = Arc::new(Login::new(settings));
        logins.push((key, Arc::downgrade(&login)));
        login
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{Backend, Role};

    fn properties(text: &str) -> Properties {
        let lines = text.lines().filter_map(|line| line.trim().split_once('='));
        lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn read(text: &str) -> Result<Security> {
        Security::read_within(&mut Reader::new(&properties(text)), &Allowed::default())
    }

    const MODULES: &str = "org.apache.kafka.common.security";

    fn with_sasl(mechanism: &str, jaas: &str) -> Result<Security> {
        read(&format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\nsasl.jaas.config={jaas}"
        ))
    }

    #[test]
    fn mechanisms_are_javas() {
        let plain = read("sasl.mechanism=PLAIN").unwrap();
        assert!(plain.tls.is_none() && plain.sasl.is_none(), "the protocol decides");
        assert!(read("security.protocol=ssl").unwrap().tls.is_some());
        let user = "username=\"alice\" password=\"hush\"";
        for (mechanism, module) in [
            ("PLAIN", "plain.PlainLoginModule"),
            ("SCRAM-SHA-256", "scram.ScramLoginModule"),
            ("SCRAM-SHA-512", "scram.ScramLoginModule"),
        ] {
            let jaas = format!("{MODULES}.{module} required {user};");
            let security = with_sasl(mechanism, &jaas).unwrap();
            assert!(!format!("{security:?}").contains("hush"));
            assert_eq!(security.sasl.unwrap().mechanism(), mechanism);
        }
        let module = format!("{MODULES}.oauthbearer.OAuthBearerLoginModule");
        let jaas = format!("{module} required unsecuredLoginStringClaim_sub=\"hush-alice\";");
        let (one, two) =
            (with_sasl("OAUTHBEARER", &jaas).unwrap(), with_sasl("OAUTHBEARER", &jaas).unwrap());
        assert!(!format!("{one:?}").contains("auth=Bearer"));
        match (one.sasl, two.sasl) {
            (Some(Sasl::OAuthBearer(one)), Some(Sasl::OAuthBearer(two))) => {
                assert!(Arc::ptr_eq(&one, &two), "the same settings share their tokens");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether each key of SASL is asked for where it has a meaning. `native::settings` has the test
    /// for all others.
    #[test]
    fn fates_are_what_happens() {
        let url = "http://idp.example/token";
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/../tls/tests/stores/key.pem");
        let allowed = Allowed::read(&|name| match name {
            "MILLRACE_OAUTHBEARER_ALLOWED_URLS" => Some(url.to_owned()),
            "MILLRACE_OAUTHBEARER_ALLOWED_FILES" => Some(key.to_owned()),
            _ => None,
        });
        let oauth = "org.apache.kafka.common.security.oauthbearer";
        let sasl = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n\
             sasl.jaas.config={oauth}.OAuthBearerLoginModule required;\n\
             sasl.login.callback.handler.class={oauth}.OAuthBearerLoginCallbackHandler\n\
             sasl.oauthbearer.token.endpoint.url={url}\n"
        );
        let client = "sasl.oauthbearer.client.credentials.client";
        let secret = format!("{sasl}{client}.id=a\n{client}.secret=b");
        let assertion = format!(
            "{sasl}sasl.oauthbearer.assertion.claim.iss=a\n\
             sasl.oauthbearer.assertion.private.key.file={key}"
        );
        let all = [secret, assertion].map(|text| properties(&text));
        let mut readers = all.each_ref().map(Reader::new);
        for reader in &mut readers {
            Security::read_within(reader, &allowed).unwrap();
        }
        for (name, has_meaning) in
            crate::properties::keys::meanings(Role::Producer, Backend::Native)
        {
            if name.starts_with("sasl.") {
                let is_read = readers.iter().any(|reader| reader.has_read(name));
                assert_eq!(is_read, has_meaning, "{name}");
            }
        }
    }

    #[test]
    fn complaints_name_keys_and_hide_secrets() {
        let plain = format!("{MODULES}.plain.PlainLoginModule required");
        for (text, expected) in [
            ("security.protocol=TLS", "String must be one of: PLAINTEXT, SSL"),
            ("security.protocol=SASL_SSL", "is not supported, whatever kafka.client says"),
            ("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=DIGEST-MD5", "use PLAIN, SCRAM"),
            (
                "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN",
                "Missing required configuration \"sasl.jaas.config\"",
            ),
            (
                "security.protocol=SASL_PLAINTEXT\nsasl.login.class=com.example.Hush",
                "Invalid value com.example.Hush for configuration sasl.login.class",
            ),
            (
                "security.protocol=SSL\nssl.truststore.location=/no/such",
                "ssl.truststore.location: the trust store cannot be read",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), millrace_api::ErrorKind::Config);
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
        for (mechanism, jaas, expected) in [
            ("PLAIN", format!("{plain} username=\"a\";"), "the option password is missing"),
            ("PLAIN", "hush required;".to_owned(), "does not begin with the name of a class"),
            ("PLAIN", "com.sun.Ldap required;".to_owned(), "No LoginModule found for com.sun.Ldap"),
            ("SCRAM-SHA-512", format!("{plain} password=\"hush\";"), "the login module of"),
            ("OAUTHBEARER", format!("{plain} password=\"hush\";"), "the login module of"),
        ] {
            let error = with_sasl(mechanism, &jaas).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{jaas}: {error}");
        }
    }
}
