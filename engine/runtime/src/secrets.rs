//! Decides what no log line shows, whoever writes it: the values that config providers gave.
//!
//! Errors of connectors and tasks show variables in their places (`config/redaction.rs`). This is
//! the net below: lines of plugins and of other people's code, which know nothing of variables.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};

/// How many bytes of values are kept. Providers are asked again at each start of a task, and may
/// give others each time: the oldest are forgotten.
const MAX_BYTES: usize = 256 << 10;

/// Longer values are hidden a part at a time, so that a line that quotes some of one is found, too,
/// and that what finds them stays small.
const PART_CHARS: usize = 128;

const HIDDEN: &str = "[hidden]";

/// The log is one for the process, and so is what it hides.
static SECRETS: RwLock<Secrets> = RwLock::new(Secrets::new());

struct Secrets {
    known: BTreeSet<String>,
    /// The same, in the order they came.
    order: VecDeque<String>,
    bytes: usize,
    /// None while nothing is hidden.
    finder: Option<AhoCorasick>,
}

/// Hides values in all log lines from now on.
pub(crate) fn hide<'a>(values: impl Iterator<Item = &'a str>) {
    let values: Vec<String> = values.flat_map(forms).flat_map(|form| parts(&form)).collect();
    let is_known = |secrets: &Secrets| values.iter().all(|value| secrets.known.contains(value));
    if !is_known(&SECRETS.read().unwrap_or_else(PoisonError::into_inner)) {
        SECRETS.write().unwrap_or_else(PoisonError::into_inner).add(values);
    }
}

/// A log line without what is to be hidden. Costs next to nothing when there is no such value.
pub fn without_secrets(line: &str) -> Cow<'_, str> {
    SECRETS.read().unwrap_or_else(PoisonError::into_inner).without(line)
}

/// A value as it is, and as it stands in JSON and in what is printed for debugging.
fn forms(value: &str) -> BTreeSet<String> {
    let json = serde_json::Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    [value.to_owned(), json, value.escape_debug().to_string()].into()
}

/// The text in parts, none of which is so short that it is a part of other words.
fn parts(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let count = (characters.len() / PART_CHARS).max(1);
    let length = characters.len().div_ceil(count).max(1);
    characters.chunks(length).map(|part| part.iter().collect()).collect()
}

impl Secrets {
    const fn new() -> Self {
        Self { known: BTreeSet::new(), order: VecDeque::new(), bytes: 0, finder: None }
    }

    fn add(&mut self, values: Vec<String>) {
        for value in values {
            if self.known.insert(value.clone()) {
                self.bytes += value.len();
                self.order.push_back(value);
            }
        }
        while self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= oldest.len();
            self.known.remove(&oldest);
        }
        // The longest first: one may be a part of another.
        let kind = MatchKind::LeftmostLongest;
        self.finder = AhoCorasick::builder().match_kind(kind).build(&self.known).ok();
    }

    fn without<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let Some(finder) = self.finder.as_ref().filter(|finder| finder.is_match(line)) else {
            return Cow::Borrowed(line);
        };
        let mut shown = String::with_capacity(line.len());
        finder.replace_all_with(line, &mut shown, |_, _, shown| {
            shown.push_str(HIDDEN);
            true
        });
        Cow::Owned(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::new();
        secrets.add(values.iter().flat_map(|value| forms(value)).collect());
        secrets
    }

    #[test]
    fn values_are_hidden_in_each_form() {
        let secrets = secrets(&["canary", "canary-2", "a\"b\\c"]);
        for (line, shown) in [
            ("is canary-2, canary and canary-3", "is [hidden], [hidden] and [hidden]-3"),
            (r#"{"message":"a\"b\\c"}"#, r#"{"message":"[hidden]"}"#),
            ("a\"b\\c", "[hidden]"),
        ] {
            assert_eq!(secrets.without(line), shown);
        }
        assert!(matches!(secrets.without("nothing"), Cow::Borrowed("nothing")));
        assert!(matches!(Secrets::new().without("canary"), Cow::Borrowed("canary")));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut secrets = secrets(&["first", "second"]);
        let many = |from: usize| (from..from + MAX_BYTES / 8).map(|i| format!("{i:08}")).collect();
        secrets.add(many(0));
        assert_eq!((secrets.known.len(), secrets.bytes), (MAX_BYTES / 8, MAX_BYTES));
        assert_eq!(secrets.without("first, second, 00000000"), "first, second, [hidden]");
        secrets.add(many(MAX_BYTES / 8));
        assert_eq!(secrets.without("00000000"), "00000000");
        assert_eq!(secrets.order.len(), secrets.known.len());
    }

    #[test]
    fn long_values_are_hidden_in_parts() {
        let long: String = (0..500).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
        let all = parts(&long);
        assert_eq!(all.concat(), long);
        assert!(all.len() > 2 && all.iter().all(|part| part.len() > PART_CHARS / 2));
        let mut secrets = Secrets::new();
        secrets.add(all);
        assert_eq!(secrets.without(&format!("x{long}x")).replace(HIDDEN, ""), "xx");
        assert!(secrets.without(&long[..300]).starts_with(HIDDEN));
        assert_eq!(parts("päss"), ["päss"]);
    }

    #[test]
    fn what_is_hidden_stays_hidden_for_all() {
        hide(["a value of the test of secrets"].into_iter());
        assert_eq!(without_secrets("see a value of the test of secrets"), "see [hidden]");
    }
}
