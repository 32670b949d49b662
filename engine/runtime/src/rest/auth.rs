//! Decides who may use the REST API: Kafka's basic authentication from a JAAS file that names a
//! file of users (`BasicAuthSecurityRestExtension`, `PropertyFileLoginModule`).

mod jaas;

use std::hint::black_box;
use std::path::Path;
use std::{env, fmt, fs};

use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use millrace_api::config::properties;
use millrace_api::{Error, Props, Result};

const SECTION: &str = "KafkaConnect";
const MODULE: &str = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";
const PROPERTY: &str = "java.security.auth.login.config";
const REMEDY: &str = "set KAFKA_OPTS to -Djava.security.auth.login.config=FILE, and in FILE write \
     KafkaConnect { org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule \
     required file=\"USERS\"; };";
/// Java's decoder does not insist on padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The users of the REST API and their passwords, as they were when the worker started.
pub(super) struct BasicAuth(Props);

/// Without names and passwords.
impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BasicAuth({} users)", self.0.len())
    }
}

/// Who asks; for the access log.
#[derive(Clone)]
pub(super) struct User(pub(super) String);

impl BasicAuth {
    /// Finds the JAAS file where Java would, and reads the users.
    pub(super) fn from_environment() -> Result<Self> {
        let options = env::var("KAFKA_OPTS").unwrap_or_default();
        let file = jaas::system_property(&options, PROPERTY).ok_or_else(|| {
            let message = "basic authentication is asked for, but there is no JAAS file";
            Error::config(message)
                .context("key", "rest.extension.classes")
                .context("remedy", REMEDY)
        })?;
        Self::from_jaas(Path::new(&file))
    }

    /// Reads the users that a JAAS file leads to. They are read once: a worker must be restarted
    /// for others.
    pub(super) fn from_jaas(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).map_err(|e| {
            Error::config("cannot read the JAAS file")
                .context("file", file.display())
                .with_source(e)
        })?;
        let found = |message: String| {
            Error::config(message).context("file", file.display()).context("remedy", REMEDY)
        };
        let modules =
            jaas::section(&text, SECTION).map_err(|e| e.context("file", file.display()))?;
        let [module] = modules.as_slice() else {
            let message = format!("{} login modules in section {SECTION}", modules.len());
            return Err(found(format!("{message}, where one is expected")));
        };
        if module.class != MODULE {
            return Err(found(format!("unknown login module {}", module.class)));
        }
        let users = module.options.get("file").filter(|path| !path.trim().is_empty());
        let users =
            users.ok_or_else(|| found("Property Credentials file must be specified".into()))?;
        let users = Self(properties::read(users)?);
        if users.0.is_empty() {
            tracing::warn!("the file of REST users is empty: all requests will be permitted");
        }
        Ok(users)
    }

    /// Lets a request pass, or answers it. A file without users lets everybody pass.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Option<User>, Refused> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let given = headers.get(AUTHORIZATION).and_then(credentials).ok_or(Refused)?;
        // Somebody who is not there is compared as well: time tells nothing about who is.
        let (expected, known) = match self.0.get(&given.user) {
            Some(password) => (password.as_str(), true),
            None => (given.user.as_str(), false),
        };
        match equal(given.password.as_bytes(), expected.as_bytes()) & known {
            true => Ok(Some(User(given.user))),
            false => Err(Refused),
        }
    }
}

/// The answer to a request that is not let in.
#[derive(Debug)]
pub(super) struct Refused;

impl IntoResponse for Refused {
    /// Java says that this is JSON, and gives no `WWW-Authenticate`, so that browsers do not ask.
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, json)], "User cannot access the resource.")
            .into_response()
    }
}

struct Credentials {
    user: String,
    password: String,
}

fn credentials(value: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':').filter(|(user, _)| !user.is_empty())?;
    Some(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// Compares in a time that depends on what was given, not on what was expected.
fn equal(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = given.len() ^ expected.len();
    for (i, byte) in given.iter().enumerate() {
        let other = expected.get(i).copied().unwrap_or(0);
        difference |= usize::from(black_box(byte ^ other));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn load(users: &str) -> BasicAuth {
        let users = file(users);
        let path = users.path().display();
        let jaas = file(&format!("KafkaConnect {{\n {MODULE} required\n file=\"{path}\";\n}};"));
        BasicAuth::from_jaas(jaas.path()).unwrap()
    }

    fn is_let_in(auth: &BasicAuth, authorization: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        auth.admit(&headers).is_ok()
    }

    /// Asked of Java 4.3.1.
    #[test]
    fn users_are_let_in_as_by_java() {
        let auth = load("admin=pw\nuser\\ x:p=w:d\nempty=\n");
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
        for (text, expected) in [
            ("admin:pw", true),
            ("user x:p=w:d", true),
            ("empty:", true),
            (":pw", false),
            ("admin:bad", false),
            ("admin:pwx", false),
            ("admin:p", false),
            ("admin:", false),
            ("admin", false),
            ("nobody:nobody", false),
        ] {
            assert_eq!(is_let_in(&auth, Some(&basic(text))), expected, "{text}");
        }
        assert!(is_let_in(&auth, Some("basic YWRtaW46cHc")));
        for wrong in [None, Some("Bearer x"), Some("Basic !!"), Some("Basic"), Some("Basic  YQ==")]
        {
            assert!(!is_let_in(&auth, wrong), "{wrong:?}");
        }
        assert!(is_let_in(&load("# nobody\n"), None));
        assert_eq!(format!("{auth:?}"), "BasicAuth(3 users)");
    }

    #[test]
    fn files_that_protect_nothing_are_refused_at_start() {
        let missing = "/nonexistent/users.properties";
        for (text, complaint) in [
            (String::new(), "0 login modules in section KafkaConnect"),
            ("Other { a.B required; };".into(), "0 login modules"),
            ("KafkaConnect { a.B required; };".into(), "unknown login module a.B"),
            (format!("KafkaConnect {{ {MODULE} required; }};"), "file must be specified"),
            (format!("KafkaConnect {{ {MODULE} required file=\"{missing}\"; }};"), missing),
            (format!("KafkaConnect {{ {MODULE} required; {MODULE} required; }};"), "2 login"),
            ("KafkaConnect { a.B".into(), "ends"),
        ] {
            let jaas = file(&text);
            let error = BasicAuth::from_jaas(jaas.path()).unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
        let error = BasicAuth::from_jaas(Path::new("/nonexistent/jaas.conf")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/jaas.conf"));
    }
}
