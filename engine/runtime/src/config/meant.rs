//! Decides which known key somebody meant by one that nobody knows.

use std::collections::BTreeSet;

use millrace_api::config::nearest;

use super::connector::ERROR_KEYS;

/// What Kafka 4 has taken out, under its new name.
const RENAMED: [(&str, &str); 2] = [("blacklist", "exclude"), ("whitelist", "include")];

/// What there is to say of a connector's keys that are not known: what was meant by them, if that
/// can be told. Most others are left alone, as a plugin may read them; but nobody else reads
/// what is named like the framework's keys of errors.
pub(crate) fn unknown_keys<'a>(
    known: &BTreeSet<String>,
    keys: impl IntoIterator<Item = &'a String>,
) -> Vec<String> {
    let strange = keys.into_iter().filter(|key| !known.contains(*key));
    let told = |key: &String| match renamed(known, key).or_else(|| meant(known, key)) {
        Some(meant) => Some(format!("unknown key {key}; did you mean {meant}?")),
        None if key.starts_with(ERROR_KEYS) => {
            let errors = known.iter().filter(|known| known.starts_with(ERROR_KEYS));
            Some(match nearest(key, errors.map(String::as_str)) {
                Some(near) => format!("unknown key {key}; did you mean {near}?"),
                None => format!("unknown key {key}: no key of error handling is called so"),
            })
        }
        None => None,
    };
    strange.filter_map(told).collect()
}

/// The key that has taken the place of one of before Kafka 4.
fn renamed(known: &BTreeSet<String>, key: &str) -> Option<String> {
    let of = |(old, new): &(&str, &str)| Some(format!("{}{new}", key.strip_suffix(old)?));
    RENAMED.iter().find_map(of).filter(|new| known.contains(new))
}

/// The name most like this one, if it is also like it behind what both begin with: long prefixes
/// would make any two names alike. None for a known name.
pub(crate) fn meant(known: &BTreeSet<String>, name: &str) -> Option<String> {
    if known.contains(name) {
        return None;
    }
    if let Some(whole) = with_a_part_more(known, name) {
        return Some(whole);
    }
    let near = nearest(name, known.iter().map(String::as_str))?;
    let same = name.char_indices().zip(near.chars()).take_while(|((_, a), b)| a == b);
    let dots = same.filter(|((_, c), _)| *c == '.').map(|((at, _), _)| at + 1);
    let begin = dots.last().unwrap_or(0);
    nearest(&name[begin..], [&near[begin..]]).map(|_| near.to_owned())
}

/// Whether a key that a converter knows is for the other role, such as the strategy for subjects of
/// keys below `value.converter`: there it does nothing.
pub(crate) fn is_of_the_other_role(converter: &str, key: &str) -> bool {
    let other = match converter {
        "key.converter" => "value.",
        "value.converter" => "key.",
        _ => return false,
    };
    key.starts_with(other)
}

/// The only known name that is this one with a part more, such as `value.subject.name.strategy` for
/// `subject.name.strategy`. The parts behind it are two at least: single words are alike by chance.
fn with_a_part_more(known: &BTreeSet<String>, name: &str) -> Option<String> {
    let ends = name.match_indices('.').map(|(at, _)| at + 1);
    let ends: Vec<usize> = std::iter::once(0).chain(ends).collect();
    let is_whole = |whole: &&String| {
        ends.iter().any(|at| {
            let (begin, end) = name.split_at(*at);
            let inner = whole.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
            let is_part = |part: &str| part.len() > 1 && part.find('.') == Some(part.len() - 1);
            end.contains('.') && inner.is_some_and(is_part)
        })
    };
    let mut found = known.iter().filter(is_whole);
    found.next().filter(|_| found.next().is_none()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::connector;

    #[test]
    fn keys_of_errors_and_old_names_are_told_of_whatever_they_look_like() {
        let own = ["transforms.a.exclude", "transforms.a.include", "batch.size"];
        let known = connector::error_keys().into_iter().chain(own.map(str::to_owned)).collect();
        let told = |key: &str| unknown_keys(&known, [&key.to_owned()]).concat();
        for (key, meant) in [
            ("errors.deadletterqueue.topic", "errors.deadletterqueue.topic.name"),
            ("errors.tolerence", "errors.tolerance"),
            ("error.tolerance", "errors.tolerance"),
            ("errors.restart.polcy", "errors.restart.policy"),
            ("transforms.a.blacklist", "transforms.a.exclude"),
            ("transforms.a.whitelist", "transforms.a.include"),
        ] {
            assert_eq!(told(key), format!("unknown key {key}; did you mean {meant}?"));
        }
        let none = "unknown key errors.dlq.topic: no key of error handling is called so";
        assert_eq!(told("errors.dlq.topic"), none);
        for silent in ["transforms.b.blacklist", "blacklist", "errors.tolerance", "what.ever"] {
            assert_eq!(told(silent), "");
        }
    }
}
