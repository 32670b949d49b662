//! Decides the names of messages, fields and maps.

/// Letters that a name may not have become others (`scrub.invalid.names`).
pub(crate) fn scrubbed(name: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let begins_badly = |name: &str| name.starts_with(|c: char| c.is_ascii_digit() || c == '_');
    if name.is_empty() || (name.bytes().all(|b| is_plain(&b)) && !begins_badly(name)) {
        return name.to_owned();
    }
    let mut encoded = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        match byte {
            // What Java's encoding of addresses leaves alone becomes an underscore like all else.
            b' ' | b'.' | b'-' | b'*' => encoded.push('_'),
            byte if is_plain(&byte) => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("_{byte:02X}")),
        }
    }
    // The prefix is asked for before the other characters are replaced.
    let first = name.as_bytes().first();
    if first.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'_') {
        encoded.insert(0, 'x');
    }
    encoded
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
