//! Decides which connector a file given to `millrace standalone` describes: as Java reads it.
//!
//! Three forms are tried in this order: a JSON object of texts that has a name; a JSON object like
//! a create request; `.properties` with a name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use millrace_api::config::properties;
use millrace_api::{Error, Props, Result};
use millrace_runtime::TargetState;
use serde_json::value::RawValue;

/// A connector to create (`CreateConnectorRequest` in Java).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConnectorFile {
    pub(super) name: String,
    pub(super) config: Props,
    /// What the connector does at first; none: run.
    pub(super) initial: Option<TargetState>,
}

type Members = BTreeMap<String, Box<RawValue>>;

impl ConnectorFile {
    /// Reads a file. Errors name it, and never a value in it: that may be a secret.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = bytes(path)?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        // As in Java, what follows the first JSON value does not count.
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Members>();
        let first = values.next();
        if matches!((&first, values.next()), (Some(Ok(_)), Some(Ok(_)))) {
            tracing::warn!(
                "{} holds more than one JSON object: only the first is used; write each into a \
                 file of its own",
                path.display()
            );
        }
        match first {
            Some(Ok(members)) => {
                Self::from_json(members, path).map_err(|e| e.context("file", path.display()))
            }
            // Java goes on to take it for properties, and finds no name.
            Some(Err(e)) if text.trim_ascii_start().starts_with(b"{") => {
                Err(Error::fatal("the connector file is not valid JSON")
                    .context("file", path.display())
                    .with_source(e))
            }
            _ => Self::named(properties::read(path)?, path),
        }
    }

    /// A configuration with the name in it.
    fn named(config: Props, path: &Path) -> Result<Self> {
        let name = config.get("name").cloned().ok_or_else(|| nameless(path))?;
        Ok(Self { name, config, initial: None })
    }

    fn from_json(mut members: Members, path: &Path) -> Result<Self> {
        if members.values().all(|value| is_scalar(value)) {
            return Self::named(texts(members)?, path);
        }
        let name = members.remove("name").map(|name| text("name", &name)).transpose()?;
        let name = name.ok_or_else(|| nameless(path))?;
        let config = members.remove("config").ok_or_else(|| {
            Error::fatal("a connector file with anything but texts needs a config")
                .context("remedy", r#"write {"name": "…", "config": {…}}"#)
        })?;
        let config = serde_json::from_str(config.get()).map_err(|_| {
            Error::fatal("config is no object").context("remedy", r#"write "config": {…}"#)
        })?;
        let mut config = texts(config)?;
        if *config.entry("name".to_owned()).or_insert_with(|| name.clone()) != name {
            return Err(Error::fatal(format!(
                "Connector name configuration in 'config' doesn't match the one specified in \
                 'name' at '{}'",
                path.display()
            ))
            .context("remedy", "write the same name in both, or leave it out of config"));
        }
        let initial = members.remove("initial_state").filter(|state| state.get() != "null");
        let initial = initial.map(|state| target_state(&state)).transpose()?;
        Ok(Self { name, config, initial })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| {
        Error::fatal("cannot read the connector file; check its path and its permissions")
            .context("file", path.display())
            .with_source(e)
    })
}

/// The settings in a connector's file, of any form, for those who need no name: a name that is
/// missing, or not the same twice, is no matter.
pub(super) fn settings(path: &Path) -> Result<Props> {
    let bytes = bytes(path)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if !text.trim_ascii_start().starts_with(b"{") {
        return properties::read(path);
    }
    settings_in(text).map_err(|e| e.context("file", path.display()))
}

/// The settings in a JSON object: its own members, or those of `config`.
pub(super) fn settings_in(json: &[u8]) -> Result<Props> {
    let invalid =
        |e: serde_json::Error| Error::fatal("the connector is not valid JSON").with_source(e);
    let mut members: Members = serde_json::from_slice(json).map_err(invalid)?;
    match members.remove("config") {
        Some(config) if !is_scalar(&config) => {
            let config = serde_json::from_str(config.get()).map_err(invalid)?;
            texts(config)
        }
        Some(config) => {
            members.insert("config".to_owned(), config);
            texts(members)
        }
        None => texts(members),
    }
}

fn nameless(path: &Path) -> Error {
    Error::fatal(format!(
        "Connector configuration at '{}' is missing the mandatory 'name' configuration",
        path.display()
    ))
}

fn target_state(value: &RawValue) -> Result<TargetState> {
    let text = text("initial_state", value)?;
    TargetState::initial(&text).ok_or_else(|| {
        Error::fatal(format!("initial_state is {text}"))
            .context("remedy", "use RUNNING, PAUSED or STOPPED")
    })
}

fn is_scalar(value: &RawValue) -> bool {
    !value.get().starts_with(['{', '['])
}

fn texts(members: Members) -> Result<Props> {
    members.into_iter().map(|(key, value)| Ok((key.clone(), text(&key, &value)?))).collect()
}

/// A text; of numbers and switches what is written.
fn text(key: &str, value: &RawValue) -> Result<String> {
    let wrong = |what: &str| {
        Error::fatal(format!("the value of {key} {what}"))
            .context("remedy", "write every value as a text")
    };
    match value.get() {
        // The words are Java's.
        "null" => Err(Error::fatal("Null value can not be supplied as the configuration value.")
            .context("key", key)),
        quoted if quoted.starts_with('"') => {
            serde_json::from_str(quoted).map_err(|_| wrong("is no valid text"))
        }
        _ if !is_scalar(value) => Err(wrong("is not a text")),
        bare => Ok(bare.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> (tempfile::NamedTempFile, Result<ConnectorFile>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let read = ConnectorFile::read(file.path());
        (file, read)
    }

    fn shown(file: &ConnectorFile) -> String {
        let config: Vec<_> = file.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let initial = file.initial.map_or("null".to_owned(), |state| format!("{state:?}"));
        format!("{} {{{}}} {initial}", file.name, config.join(", "))
    }

    /// As Java 4.3.1 reads them; its target state STARTED is called RUNNING in a file.
    #[test]
    fn connectors_are_read_in_all_forms_as_by_java() {
        for (text, expected) in [
            ("name=c\nk=v\n", "c {k=v, name=c} null"),
            ("name= c \n", "c  {name=c } null"),
            (r#"{"name":"c","k":"v"}"#, "c {k=v, name=c} null"),
            (
                r#"{"name":"c","n":5,"f":1.50,"e":1e3,"b":true}"#,
                "c {b=true, e=1e3, f=1.50, n=5, name=c} null",
            ),
            (r#"{"name":5}"#, "5 {name=5} null"),
            (r#"{"name":"c","k":"v"} trailing"#, "c {k=v, name=c} null"),
            (r#"{"name":"c","k":"v","k":"w"}"#, "c {k=w, name=c} null"),
            ("\u{feff}  \n {\"name\":\"c\"}", "c {name=c} null"),
            (
                r#"{"name":"c","k":"v","initial_state":"paused"}"#,
                "c {initial_state=paused, k=v, name=c} null",
            ),
            (r#"{"name":"c","config":"x"}"#, "c {config=x, name=c} null"),
            (r#"{"name":"c","config":{"k":"v"}}"#, "c {k=v, name=c} null"),
            (r#"{"name":"c","config":{"name":"c"}}"#, "c {name=c} null"),
            (r#"{"name":"c","config":{"k":1,"m":true}}"#, "c {k=1, m=true, name=c} null"),
            (r#"{"name":"c","config":{"k":"v"},"more":[1]}"#, "c {k=v, name=c} null"),
            (r#"{"name":" c ","config":{}}"#, " c  {name= c } null"),
            (r#"{"name":true,"config":{"name":"true"}}"#, "true {name=true} null"),
            (r#"{"name":"c","config":{},"initial_state":"paused"}"#, "c {name=c} Some(Paused)"),
            (r#"{"name":"c","config":{},"initial_state":"STOPPED"}"#, "c {name=c} Some(Stopped)"),
            (r#"{"name":"c","config":{},"initial_state":"Running"}"#, "c {name=c} Some(Started)"),
            (r#"{"name":"c","config":{},"initial_state":null}"#, "c {name=c} null"),
        ] {
            let expected = expected.replace("Some(", "").replace(')', "");
            assert_eq!(shown(&read(text).1.unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn wrong_files_are_refused_in_javas_words_or_better() {
        let nameless =
            "Connector configuration at 'F' is missing the mandatory 'name' configuration";
        let mismatch = "Connector name configuration in 'config' doesn't match the one specified \
                        in 'name' at 'F'";
        for (text, message) in [
            ("k=v\n", nameless),
            ("", nameless),
            ("[]", nameless),
            ("5", nameless),
            ("// c\n{\"name\":\"c\"}", nameless),
            ("{}", nameless),
            (r#"{"k":"v"}"#, nameless),
            (r#"{"config":{"name":"c"}}"#, nameless),
            (r#"{"Name":"c","config":{}}"#, nameless),
            (r#"{"name":"c","config":{"name":"d"}}"#, mismatch),
            (r#"{"name":"c","config":{"k":null}}"#, "Null value can not be supplied"),
            (r#"{"name":null,"k":"v"}"#, "Null value can not be supplied"),
            (r#"{"name":"c","config":{"k":{}}}"#, "the value of k is not a text"),
            (r#"{"name":"c","list":[]}"#, "needs a config"),
            (r#"{"name":"c","config":[]}"#, "config is no object"),
            (r#"{"name":"c","config":{},"initial_state":"gone"}"#, "initial_state is gone"),
            (r#"{"name":"c","config":{},"initial_state":1}"#, "initial_state is 1"),
            (r#"{"name":"c""#, "not valid JSON"),
            (r#"{"name":"c",}"#, "not valid JSON"),
            ("{'name':'c'}", "not valid JSON"),
        ] {
            let (file, read) = read(text);
            let error = read.unwrap_err().to_string();
            let path = file.path().display().to_string();
            assert!(
                error.contains(&message.replace("'F'", &format!("'{path}'"))),
                "{text} {error}"
            );
            assert!(error.contains(&path), "{error}");
        }
        let gone = ConnectorFile::read(Path::new("/no/such.json")).unwrap_err().to_string();
        assert!(gone.contains("/no/such.json"), "{gone}");
    }
}
