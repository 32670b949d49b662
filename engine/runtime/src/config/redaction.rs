//! Decides what answers, traces and logs show in the place of a value that came from a variable:
//! the variable.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use millrace_api::Error;
use millrace_api::config::ConfigInfos;
use regex::Regex;

use crate::secrets;

/// Shorter values are taken out only where Java's complaints quote them: they are parts of too many
/// words, and nobody's secret.
const SHORTEST: usize = 4;

/// The secrets inside of a value that is an address or a JAAS configuration: settings whose names
/// tell, and what stands before the host.
static INSIDE: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"[\w.-]*(?:user|pass|pwd|secret|token|key|credential)[\w.-]*";
    let setting = format!(r#"{name}\s*=\s*(?:"([^"]*)"|'([^']*)'|([^&;,\s"']+))"#);
    let pattern = format!(r"(?i){setting}|://([^/?#@\s:]*)(?::([^/?#@\s]*))?@");
    Regex::new(&pattern).expect("it is a constant, and tested")
});

/// The values that a configuration's variables stand for, and what is shown for them.
///
/// Invariant: each text that leaves a connector or task of such a configuration goes through here,
/// but for lines of the log, which show none of the values either (`secrets.rs`).
#[derive(Clone, Default)]
pub(crate) struct Redaction {
    /// What is shown for a value.
    values: BTreeMap<String, String>,
    /// By key, the value as resolved and as written.
    settings: BTreeMap<String, (String, String)>,
}

impl Redaction {
    /// Hides what a variable stands for; its lines, list elements and the secrets in it as well,
    /// since errors quote them one at a time.
    pub(super) fn hide_value(&mut self, value: &str, variable: &str) {
        let inside = INSIDE.captures_iter(value);
        let inside = inside.flat_map(|found| found.iter().skip(1).flatten().collect::<Vec<_>>());
        let pieces = value.split([',', '\n']).chain([value]).map(str::trim);
        let pieces = pieces.chain(inside.map(|piece| piece.as_str()));
        let telling = |piece: &&str| {
            piece.len() >= SHORTEST && piece.to_ascii_lowercase().parse::<bool>().is_err()
        };
        for piece in pieces.chain([value]).filter(telling) {
            self.values.entry(piece.to_owned()).or_insert_with(|| variable.to_owned());
        }
    }

    pub(super) fn hide_setting(&mut self, key: &str, resolved: &str, raw: &str) {
        self.settings.insert(key.to_owned(), (resolved.to_owned(), raw.to_owned()));
    }

    /// Hides the values in log lines as well, whoever writes them.
    pub(super) fn hide_in_logs(&self) {
        secrets::hide(self.values.keys().map(String::as_str));
    }

    /// Hides what the other hides, too.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.values.extend(other.values);
        self.settings.extend(other.settings);
        self
    }

    /// The text without the values.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.settings.is_empty() {
            return text.to_owned();
        }
        let mut text = text.to_owned();
        for (key, (resolved, raw)) in &self.settings {
            for quoted in [resolved.as_str(), resolved.trim()] {
                let complaint =
                    |value: &str| format!("Invalid value {value} for configuration {key}");
                text = text.replace(&complaint(quoted), &complaint(raw));
            }
        }
        // In one go, and the longest first: what is put in may hold a value by chance.
        let mut shown = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let hidden = self.values.iter().filter(|(value, _)| rest.starts_with(value.as_str()));
            match hidden.max_by_key(|(value, _)| value.len()) {
                Some((value, variable)) => {
                    shown.push_str(variable);
                    rest = &rest[value.len()..];
                }
                None => {
                    shown.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        shown
    }

    /// The error without the values, in its causes neither.
    pub(crate) fn error(&self, error: Error) -> Error {
        if self.settings.is_empty() {
            return error;
        }
        error.rewritten(&|text| self.text(text))
    }

    /// Shows each value of a validation as it was written, unless it is hidden altogether.
    pub(crate) fn infos(&self, mut infos: ConfigInfos) -> ConfigInfos {
        if self.settings.is_empty() {
            return infos;
        }
        infos.name = self.text(&infos.name);
        for info in infos.configs.iter_mut().filter_map(|config| config.value.as_mut()) {
            for error in &mut info.errors {
                *error = self.text(error);
            }
            let is_password = info.value.as_deref() == Some("[hidden]");
            if let Some((_, raw)) = self.settings.get(&info.name)
                && info.value.is_some()
                && !is_password
            {
                info.value = Some(raw.clone());
            }
        }
        infos
    }
}
