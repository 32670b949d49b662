//! Decides which headers `response.http.headers.config` puts on answers, as Jetty's `HeaderFilter`
//! does.

use std::time::{Duration, SystemTime};

use axum::http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use millrace_api::{Error, Result};

/// Rules in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderRules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// Puts the header beside others of its name, instead of replacing them.
    add: bool,
    name: HeaderName,
    value: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Text(HeaderValue),
    /// That many milliseconds from now; what is before 1970 is 1970, which is as long ago.
    Date(i64),
}

impl HeaderRules {
    /// Parses rules `action name:value`, separated by commas; one that holds a comma stands in
    /// double quotes.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        split_quoted(text).iter().map(|rule| Rule::parse(rule)).collect::<Result<_>>().map(Self)
    }

    /// Puts the headers on an answer. What the answer says by itself stays: a rule cannot change
    /// its content type.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let mut extra = HeaderMap::new();
        for rule in &self.0 {
            let value = rule.value.now();
            match rule.add {
                true => extra.append(rule.name.clone(), value),
                false => extra.insert(rule.name.clone(), value).is_some(),
            };
        }
        for name in extra.keys() {
            if !headers.contains_key(name) {
                for value in extra.get_all(name) {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
    }
}

/// Names the key, and what is most often forgotten.
pub(super) fn explained(error: Error) -> Error {
    error.context("key", "response.http.headers.config").context(
        "note",
        "a rule that holds a comma stands in double quotes, \
         such as \"add Cache-Control: no-cache, no-store\"",
    )
}

impl Content {
    fn now(&self) -> HeaderValue {
        match self {
            Self::Text(text) => text.clone(),
            Self::Date(millis) => {
                let distance = Duration::from_millis(millis.unsigned_abs());
                let now = SystemTime::now();
                let then = if *millis < 0 { now - distance } else { now + distance };
                let text = httpdate::fmt_http_date(then.max(SystemTime::UNIX_EPOCH));
                HeaderValue::from_str(&text).expect("dates are made of letters and digits")
            }
        }
    }
}

/// A date beyond this is no date that clients can read, and beyond year 9999 none that HTTP has.
const FURTHEST: i64 = 1000 * 366 * 24 * 3600 * 1000;

impl Rule {
    /// Messages are Java's.
    fn parse(rule: &str) -> Result<Self> {
        let trimmed = rule.trim();
        let (action, header) = trimmed.split_once(char::is_whitespace).ok_or_else(|| {
            Error::config(format!(
                "Invalid format of header config '{rule}'. \
                 Expected: '[action] [header name]:[header value]'"
            ))
        })?;
        let action = action.to_ascii_lowercase();
        if !["set", "add", "setdate", "adddate"].contains(&action.as_str()) {
            return Err(Error::config(format!(
                "Invalid header config action: '{}'. Expected one of [set, add, setDate, addDate]",
                &trimmed[..action.len()]
            )));
        }
        let header = header.trim_start();
        let pair = header.split_once(':');
        let pair = pair.filter(|(_, value)| !value.is_empty() && !value.contains(':'));
        let (name, value) = pair.ok_or_else(|| {
            Error::config(format!(
                "Invalid format of header name and header value pair '{header}'. \
                 Expected: '[header name]:[header value]'"
            ))
        })?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(Error::config(format!(
                "Invalid header name '{name}'. The '[header name]' cannot contain whitespace"
            )));
        }
        Ok(Self {
            add: action.starts_with("add"),
            name: header_name(name)?,
            value: match action.ends_with("date") {
                true => Content::Date(date(rule, value)?),
                false => Content::Text(HeaderValue::from_str(value).map_err(|_| {
                    Error::config(format!("Invalid header config '{rule}'.")).context(
                        "remedy",
                        "use visible ASCII characters and blanks in the header's value",
                    )
                })?),
            },
        })
    }
}

fn header_name(name: &str) -> Result<HeaderName> {
    let parsed = HeaderName::try_from(name)
        .map_err(|_| Error::config(format!("Invalid header name '{name}'.")))?;
    match [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&parsed) {
        true => Err(Error::config(format!("Invalid header name '{name}'."))
            .context("remedy", "leave out headers that say where an answer ends")),
        false => Ok(parsed),
    }
}

fn date(rule: &str, value: &str) -> Result<i64> {
    let millis = value.parse().ok().filter(|ms: &i64| (-FURTHEST..=FURTHEST).contains(ms));
    millis.ok_or_else(|| {
        Error::config(format!("Invalid header config '{rule}'."))
            .context("remedy", "give setDate and addDate a number of milliseconds from now")
    })
}

/// Splits at commas outside of double quotes, which are dropped where they surround a rule.
fn split_quoted(text: &str) -> Vec<String> {
    let mut rules = Vec::new();
    let mut rule = String::new();
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted => quoted = false,
            '"' if rule.trim().is_empty() => {
                rule.clear();
                quoted = true;
            }
            '\\' if quoted => rule.extend(characters.next()),
            ',' if !quoted => rules.push(std::mem::take(&mut rule).trim().to_owned()),
            _ => rule.push(c),
        }
    }
    if !rule.trim().is_empty() {
        rules.push(rule.trim().to_owned());
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of Java 4.3.1.
    #[test]
    fn wrong_rules_are_refused_in_javas_words() {
        let format = "Expected: '[action] [header name]:[header value]'";
        let pair = "Expected: '[header name]:[header value]'";
        let blank = "The '[header name]' cannot contain whitespace";
        for (rules, message) in [
            ("set", format!("Invalid format of header config 'set'. {format}")),
            ("set a:b,,set c:d", format!("Invalid format of header config ''. {format}")),
            ("set a:\"b, c\"", format!("Invalid format of header config 'c\"'. {format}")),
            ("set a:b\\, c", format!("Invalid format of header config 'c'. {format}")),
            (
                "foo a:b",
                "Invalid header config action: 'foo'. Expected one of [set, add, setDate, addDate]"
                    .into(),
            ),
            ("set a", format!("Invalid format of header name and header value pair 'a'. {pair}")),
            (
                "set a:b:c",
                format!("Invalid format of header name and header value pair 'a:b:c'. {pair}"),
            ),
            ("set a:", format!("Invalid format of header name and header value pair 'a:'. {pair}")),
            (
                "\"set a:b, set c:d",
                format!(
                    "Invalid format of header name and header value pair 'a:b, set c:d'. {pair}"
                ),
            ),
            ("set a b:c", format!("Invalid header name 'a b'. {blank}")),
            ("set :c", format!("Invalid header name ''. {blank}")),
        ] {
            assert_eq!(HeaderRules::parse(rules).unwrap_err().to_string(), message, "{rules}");
        }
        for ours in ["setDate a:b", "set a:\u{7f}", "set content-length:5", "addDate a:1e3"] {
            HeaderRules::parse(ours).unwrap_err();
        }
        assert_eq!(HeaderRules::parse(" ").unwrap(), HeaderRules::default());
    }

    #[test]
    fn an_error_says_how_to_write_commas() {
        let rules = "add Cache-Control: no-cache, no-store";
        let error = explained(HeaderRules::parse(rules).unwrap_err()).to_string();
        assert!(error.contains("key: response.http.headers.config, note: a rule"), "{error}");
        HeaderRules::parse("\"add Cache-Control: no-cache, no-store\"").unwrap();
    }

    #[test]
    fn rules_apply_in_order() {
        let text = "\"set Cache-Control: no-cache, no-store\", add X-A:b, SET X-A: c, add X-A:d, \
                    set Content-Type: text/html, setDate X-D: -1000, setDate X-E: -9999999999999,";
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        HeaderRules::parse(text).unwrap().apply(&mut headers);
        let all = |name: &str| {
            headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(all("cache-control"), ["no-cache, no-store"]);
        assert_eq!(all("x-a"), ["c", "d"]);
        assert_eq!(all("content-type"), ["application/json"]);
        let date = httpdate::parse_http_date(all("x-d")[0]).unwrap();
        assert!(date < SystemTime::now());
        assert_eq!(all("x-e"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    }
}
