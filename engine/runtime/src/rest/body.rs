//! Decides what a request's body means: as Jackson reads it for Java Connect.
//!
//! Numbers and booleans become their text; nothing may follow the value. Messages never repeat
//! values: they may be secrets.

use std::collections::BTreeMap;

use millrace_api::{Error, Props};
use serde_json::value::RawValue;

use super::error::RestError;
use crate::herder::{ConnectorOffset, Patch, TargetState};

/// What a create request is made of.
const CREATE_MEMBERS: &[&str] = &["config", "name", "initial_state"];

/// UTF-8's, which Java's parser passes over.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

type Members = BTreeMap<String, Box<RawValue>>;

/// A connector's configuration as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigBody {
    pub(super) props: Props,
    /// Keys whose value is null, which no configuration may have.
    pub(super) nulls: Vec<String>,
}

/// `CreateConnectorRequest` in Java.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CreateRequest {
    pub(super) name: String,
    pub(super) config: ConfigBody,
    pub(super) initial: Option<TargetState>,
}

impl ConfigBody {
    /// Reads a body that is a configuration.
    pub(super) fn parse(body: &[u8]) -> Result<Self, RestError> {
        Self::parse_as("a connector configuration", body)
    }

    /// Reads a body that is a map of texts; messages call it `what`.
    pub(super) fn parse_as(what: &str, body: &[u8]) -> Result<Self, RestError> {
        let members = object(body, "the request body")?;
        Self::from_members(members.ok_or_else(|| {
            RestError::unreadable(format!("the request body is empty: {what} is expected"))
        })?)
    }

    fn from_members(members: Members) -> Result<Self, RestError> {
        let mut config = Self::default();
        for (key, value) in members {
            match scalar(&value, &key)? {
                Some(value) => {
                    config.props.insert(key, value);
                }
                None => config.nulls.push(key),
            }
        }
        Ok(config)
    }

    /// The configuration as changes to another: null removes a key.
    pub(super) fn into_patch(self) -> Patch {
        let removed = self.nulls.into_iter().map(|key| (key, None));
        self.props.into_iter().map(|(key, value)| (key, Some(value))).chain(removed).collect()
    }

    /// Adds the connector's name, or checks it.
    pub(super) fn named(mut self, name: &str) -> Result<Self, Error> {
        self.nulls.retain(|key| key != "name");
        match self.props.get("name") {
            Some(included) if included != name => Err(Error::config(format!(
                "Connector name configuration ({included}) doesn't match connector name in the \
                 URL ({name})"
            ))),
            Some(_) => Ok(self),
            None => {
                self.props.insert("name".into(), name.into());
                Ok(self)
            }
        }
    }
}

impl CreateRequest {
    /// Reads a body that asks for a connector.
    pub(super) fn parse(body: &[u8]) -> Result<Self, RestError> {
        let expected = || RestError::unreadable(r#"expected {"name": "…", "config": {…}}"#);
        let mut members = object(body, "the request body")?.ok_or_else(expected)?;
        refuse_strangers(&members, CREATE_MEMBERS)?;
        let mut text = |member: &str| match members.remove(member) {
            Some(value) => scalar(&value, member),
            None => Ok(None),
        };
        let name = text("name")?.unwrap_or_default();
        let initial = text("initial_state")?.map(|s| state(&s)).transpose()?;
        let config = members.remove("config").ok_or_else(expected)?;
        let config = object(config.get().as_bytes(), "config")?.ok_or_else(expected)?;
        Ok(Self {
            // `String.trim` of Java: what is no space in ASCII stays.
            name: name.trim_matches(|c| c <= ' ').to_owned(),
            config: ConfigBody::from_members(config)?,
            initial,
        })
    }
}

fn state(text: &str) -> Result<TargetState, RestError> {
    TargetState::initial(text)
        .ok_or_else(|| RestError::unreadable("initial_state must be RUNNING, PAUSED or STOPPED"))
}

/// Reads a body that says how far a connector is to have got (`ConnectorOffsets` in Java). No list
/// is an empty one.
pub(super) fn offsets_to_alter(body: &[u8]) -> Result<Vec<ConnectorOffset>, RestError> {
    let expected =
        || RestError::unreadable(r#"expected {"offsets": [{"partition": {…}, "offset": {…}}]}"#);
    let members = object(body, "the request body")?.ok_or_else(expected)?;
    refuse_strangers(&members, &["offsets"])?;
    let Some(list) = members.get("offsets") else { return Ok(Vec::new()) };
    let list: Option<Vec<&RawValue>> = serde_json::from_str(list.get()).map_err(|_| expected())?;
    list.unwrap_or_default()
        .into_iter()
        .map(|item| {
            let members = object(item.get().as_bytes(), "offsets")?.ok_or_else(expected)?;
            refuse_strangers(&members, &["partition", "offset"])?;
            let part = |name: &str| match members.get(name) {
                Some(part) => serde_json::from_str(part.get()).map_err(|_| expected()),
                None => Ok(None),
            };
            Ok(ConnectorOffset { partition: part("partition")?, offset: part("offset")? })
        })
        .collect()
}

/// Reads a body that is a list of tasks' configurations.
pub(super) fn task_configs(body: &[u8]) -> Result<Vec<ConfigBody>, RestError> {
    let list: Option<Vec<Members>> = serde_json::from_slice(body)
        .map_err(|_| RestError::unreadable("a list of task configurations is expected"))?;
    list.into_iter().flatten().map(ConfigBody::from_members).collect()
}

fn refuse_strangers(members: &Members, known: &[&str]) -> Result<(), RestError> {
    match members.keys().find(|member| !known.contains(&member.as_str())) {
        Some(stranger) => Err(RestError::unreadable(format!(
            "Unrecognized field \"{stranger}\" (known properties: \"{}\")",
            known.join("\", \"")
        ))),
        None => Ok(()),
    }
}

/// The members of an object; none for `null` and for nothing at all. Of members that repeat, the
/// last counts.
fn object(text: &[u8], what: &str) -> Result<Option<Members>, RestError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(text).map_err(|e| {
        // The parser's messages about types repeat the value.
        RestError::unreadable(match e.is_data() {
            true => {
                let column = e.column().max(1);
                format!("{what} must be a JSON object (line {}, column {column})", e.line())
            }
            false => format!("{what} is not valid JSON: {e}"),
        })
    })
}

/// A value as text; none for `null`.
fn scalar(value: &RawValue, member: &str) -> Result<Option<String>, RestError> {
    let wrong = |what: &str| Err(RestError::unreadable(format!("the value of {member} {what}")));
    match value.get().as_bytes().first() {
        Some(b'"') => match serde_json::from_str(value.get()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => wrong("is not a valid JSON string"),
        },
        Some(b'{' | b'[') => wrong("must be a string, a number or a boolean"),
        _ if value.get() == "null" => Ok(None),
        _ => Ok(Some(value.get().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ConfigBody {
        ConfigBody::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn scalars_become_their_text_as_written() {
        let body = config(r#"{"a":"x\u00e9","b":1.50,"c":true,"d":-1e3,"e":null,"a":"last"} "#);
        let props: Vec<_> = body.props.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(props, [("a", "last"), ("b", "1.50"), ("c", "true"), ("d", "-1e3")]);
        assert_eq!(body.nulls, ["e"]);
    }

    #[test]
    fn unreadable_bodies_do_not_repeat_values() {
        for text in [
            "",
            "null",
            "{",
            "\"secret\"",
            "[\"secret\"]",
            "secret",
            r#"{"a":{"b":"secret"}}"#,
            r#"{"a":["secret"]}"#,
            r#"{"a":"secret"#,
            r#"{"a":"b"} secret"#,
            r#"{"a":"b"} {"#,
        ] {
            let error = ConfigBody::parse(text.as_bytes()).unwrap_err();
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn create_requests_are_trimmed_and_checked() {
        let parse = |text: &str| CreateRequest::parse(text.as_bytes());
        let request = parse(r#"{"name":" a ","config":{},"initial_state":"paused"}"#).unwrap();
        assert_eq!(request.name, "a");
        assert_eq!(request.initial, Some(TargetState::Paused));
        let stopped = parse(r#"{"config":{},"initial_state":"STOPPED"}"#).unwrap();
        assert_eq!((stopped.name.as_str(), stopped.initial), ("", Some(TargetState::Stopped)));
        for wrong in [
            "{}",
            r#"{"name":"a"}"#,
            r#"{"name":"a","config":null}"#,
            r#"{"name":"a","config":"text"}"#,
            r#"{"name":"a","config":{},"extra":1}"#,
            r#"{"name":"a","config":{},"initial_state":"NOWHERE"}"#,
        ] {
            parse(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_patch_removes_what_is_null() {
        let patch = config(r#"{"a":"x","b":null,"c":1}"#).into_patch();
        let expected = [("a", Some("x")), ("b", None), ("c", Some("1"))];
        let patch: Vec<_> = patch.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(patch, expected);
    }

    #[test]
    fn offsets_are_read_as_by_java() {
        let parse = |text: &str| offsets_to_alter(text.as_bytes());
        for none in ["{}", r#"{"offsets":null}"#, r#"{"offsets":[]}"#] {
            assert!(parse(none).unwrap().is_empty());
        }
        let text = r#"{"offsets":[{"partition":{"b":"x","a":9007199254740993},"offset":{"p":1.5}},
            {"partition":{"file":"y"},"offset":null},{}]}"#;
        let offsets = parse(text).unwrap();
        assert_eq!(
            serde_json::to_string(&offsets).unwrap(),
            r#"[{"partition":{"b":"x","a":9007199254740993},"offset":{"p":1.5}},{"partition":{"file":"y"},"offset":null},{"partition":null,"offset":null}]"#
        );
        for wrong in [
            "",
            "null",
            "[]",
            "x",
            r#"{"x":1}"#,
            r#"{"offsets":{}}"#,
            r#"{"offsets":"secret"}"#,
            r#"{"offsets":[null]}"#,
            r#"{"offsets":["secret"]}"#,
            r#"{"offsets":[{"partition":"secret"}]}"#,
            r#"{"offsets":[{"partition":{},"offset":{},"z":"secret"}]}"#,
        ] {
            let error = format!("{:?}", parse(wrong).unwrap_err());
            assert!(error.contains("INTERNAL_SERVER_ERROR") || error.contains("500"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
