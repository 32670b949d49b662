//! Decides the names of messages, fields and maps.

use crate::scrub;

/// Letters that a name may not have become others (`scrub.invalid.names`).
pub(crate) fn scrubbed(name: &str) -> String {
    scrub::scrubbed(name, |c| c.is_ascii_digit() || c == '_')
}

/// The name of the message that is an entry of a map.
pub(crate) fn map_entry(name: &str) -> String {
    if !name.contains('_') {
        return format!("{name}Entry");
    }
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect::<String>()
    };
    let words: String = name.split('_').map(word).collect();
    format!("{words}Entry")
}

/// The name of a map, from that of its entries.
pub(crate) fn map_field(name: &str) -> String {
    let (scope, last) = name
        .rsplit_once('.')
        .map_or(("", name), |(_, last)| (&name[..name.len() - last.len()], last));
    let Some(last) = last.strip_suffix("Entry") else {
        return name.to_owned();
    };
    let mut words = String::with_capacity(last.len() + 4);
    for (i, c) in last.char_indices() {
        if c.is_ascii_uppercase() && i > 0 {
            words.push('_');
        }
        words.push(c.to_ascii_lowercase());
    }
    format!("{scope}{words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_javas() {
        let cases =
            [("a_b1", "a_b1"), ("a-b", "a_b"), ("1a", "x1a"), ("_a", "x_a"), ("a b.c", "a_b_c")];
        for (name, expected) in cases {
            assert_eq!(scrubbed(name), expected);
        }
        assert_eq!(scrubbed("\u{e9}"), "_C3_A9");
        let cases = [("tags", "tagsEntry"), ("my_tags", "MyTagsEntry"), ("Tags", "TagsEntry")];
        for (name, expected) in cases {
            assert_eq!(map_entry(name), expected);
        }
        let cases = [("TagsEntry", "tags"), ("A.MyTagsEntry", "A.my_tags"), ("Tags", "Tags")];
        for (name, expected) in cases {
            assert_eq!(map_field(name), expected);
        }
    }
}
