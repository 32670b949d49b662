//! Decides which keys nobody knows, and which known key was probably meant.
//!
//! Connect never refuses unknown keys, since prefixes and pass-through depend on them; so a
//! misspelt key goes unnoticed unless somebody warns.

use super::{ConfigDef, Props};

/// A key that is not defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// The key as given.
    pub key: String,
    /// The defined key that looks most like it, if one does.
    pub nearest: Option<String>,
}

impl ConfigDef {
    /// The given keys that are not defined.
    pub fn unknown_keys(&self, props: &Props) -> Vec<UnknownKey> {
        let known = || self.keys().iter().map(|key| key.name.as_str());
        let unknown = props.keys().filter(|name| self.get(name).is_none());
        unknown
            .map(|name| UnknownKey {
                key: name.clone(),
                nearest: nearest(name, known()).map(str::to_owned),
            })
            .collect()
    }
}

/// The known name that looks most like this one, if one does; the first of those that do equally.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let near = |known: &str| {
        let known: Vec<char> = known.to_lowercase().chars().collect();
        let limit = (name.len().min(known.len()) / 3).max(1);
        // A difference in length is a distance already; it also bounds the work.
        let near = name.len().abs_diff(known.len()) <= limit;
        near.then(|| distance(&name, &known)).filter(|&distance| distance <= limit)
    };
    let distances = known.into_iter().filter_map(|known| Some((near(known)?, known)));
    distances.min_by_key(|&(distance, _)| distance).map(|(_, known)| known)
}

/// Insertions, deletions, substitutions and swaps of neighbours that make `b` of `a`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substitution = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substitution.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
