//! Decides which known key somebody meant by one that nobody knows.

use std::collections::BTreeSet;

use millrace_api::config::nearest;

/// The name most like this one, if it is also like it behind what both begin with: long prefixes
/// would make any two names alike. None for a known name.
pub(crate) fn meant(known: &BTreeSet<String>, name: &str) -> Option<String> {
    if known.contains(name) {
        return None;
    }
    let near = nearest(name, known.iter().map(String::as_str))?;
    let same = name.char_indices().zip(near.chars()).take_while(|((_, a), b)| a == b);
    let dots = same.filter(|((_, c), _)| *c == '.').map(|((at, _), _)| at + 1);
    let begin = dots.last().unwrap_or(0);
    nearest(&name[begin..], [&near[begin..]]).map(|_| near.to_owned())
}
