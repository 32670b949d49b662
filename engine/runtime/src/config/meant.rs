//! Decides which known key somebody meant by one that nobody knows.

use std::collections::BTreeSet;

use millrace_api::config::nearest;

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
