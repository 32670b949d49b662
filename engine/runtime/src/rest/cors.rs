//! Decides which other sites' pages browsers let call the REST API, as Jetty's `CrossOriginHandler`
//! does. Preflight requests reach the application too.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use millrace_api::{Error, Result};
use regex::{Regex, RegexBuilder};

/// What Jetty allows unless told otherwise.
const DEFAULT_METHODS: &str = "GET,POST,HEAD";
const KEY: &str = "access.control.allow.origin";

/// The origins that are let in, and what they may do.
#[derive(Clone, Debug)]
pub(super) struct CrossOrigin {
    any: bool,
    patterns: Vec<Regex>,
    methods: HeaderValue,
}

/// What a request's headers mean here.
pub(super) struct Asked {
    allowed: Option<HeaderValue>,
    preflight: bool,
}

impl CrossOrigin {
    /// None when no origin is let in: then browsers keep to the API's own site.
    pub(super) fn new(origins: &str, methods: &str) -> Result<Option<Self>> {
        let wrong = |key: &'static str, value: &str, why: &dyn std::fmt::Display| {
            Error::config(format!("Invalid value {value} for configuration {key}: {why}"))
        };
        let listed: Vec<&str> =
            origins.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        if listed.is_empty() {
            return Ok(None);
        }
        let any = listed.contains(&"*");
        let patterns = listed.iter().filter(|_| !any).map(|origin| {
            let whole = format!("^(?:{origin})$");
            let pattern = RegexBuilder::new(&whole).case_insensitive(true).build();
            pattern.map_err(|e| {
                wrong(KEY, origin, &e).context(
                    "remedy",
                    r"write a regular expression, such as https://.*\.acme\.org, or * for any",
                )
            })
        });
        let listed = methods.split(',').map(str::trim).filter(|method| !method.is_empty());
        let listed = listed.collect::<Vec<_>>().join(",");
        let allowed = if listed.is_empty() { DEFAULT_METHODS } else { &listed };
        let allowed = HeaderValue::from_str(allowed);
        Ok(Some(Self {
            any,
            patterns: patterns.collect::<Result<_>>()?,
            methods: allowed.map_err(|e| wrong("access.control.allow.methods", methods, &e))?,
        }))
    }

    /// Judges a request.
    pub(super) fn ask(&self, method: &Method, headers: &HeaderMap) -> Asked {
        let origin = headers.get(ORIGIN);
        let is_allowed = |origin: &&HeaderValue| {
            let text = origin.to_str().unwrap_or_default();
            // A page may be of several origins, after redirects: one that is known will do.
            text.split_whitespace()
                .any(|one| self.any || self.patterns.iter().any(|p| p.is_match(one)))
        };
        Asked {
            allowed: origin.filter(is_allowed).cloned(),
            preflight: method == Method::OPTIONS
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        }
    }

    /// Tells the browser.
    pub(super) fn answer(&self, asked: Asked, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = asked.allowed else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if asked.preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            let content_type = HeaderValue::from_static("Content-Type");
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, content_type);
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("60"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of Java 4.3.1.
    #[test]
    fn origins_are_patterns_for_the_whole_origin() {
        let cors = CrossOrigin::new("http://good.example, https?://.*\\.wild\\.example", "GET,PUT")
            .unwrap()
            .unwrap();
        for (origin, allowed) in [
            ("http://good.example", true),
            ("http://GOOD.example", true),
            ("https://a.wild.example", true),
            ("http://x.wild.example http://bad.example", true),
            ("http://bad.example", false),
            ("http://good.example.bad", false),
            ("null", false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ORIGIN, HeaderValue::from_static(origin));
            request.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("DELETE"));
            let mut answer = HeaderMap::new();
            cors.answer(cors.ask(&Method::OPTIONS, &request), &mut answer);
            assert_eq!(answer["vary"], "Origin");
            assert_eq!(answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), allowed, "{origin}");
            let methods = answer.get(ACCESS_CONTROL_ALLOW_METHODS);
            assert_eq!(methods.map(|m| m == "GET,PUT"), allowed.then_some(true), "{origin}");
        }
        let any = CrossOrigin::new("*", "").unwrap().unwrap();
        let mut request = HeaderMap::new();
        request.insert(ORIGIN, HeaderValue::from_static("http://o.example"));
        let mut answer = HeaderMap::new();
        any.answer(any.ask(&Method::GET, &request), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "http://o.example");
        assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
    }

    #[test]
    fn nothing_or_nonsense() {
        assert!(CrossOrigin::new(" , ", "GET").unwrap().is_none());
        let error = CrossOrigin::new("[", "").unwrap_err().to_string();
        assert!(error.starts_with("Invalid value [ for configuration access.control"), "{error}");
    }
}
