//! Decides which names topics may have (`org.apache.kafka.common.internals.Topic`).

/// Kafka's limit, which leaves room for `-N` in a file name.
const LONGEST: usize = 249;

/// Why there can be no topic of this name; none where there can.
pub(crate) fn why_illegal(name: &str) -> Option<&'static str> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > LONGEST {
        Some("a topic's name has from 1 to 249 characters")
    } else if name == "." || name == ".." || !name.chars().all(is_legal) {
        Some(
            "a topic's name has only letters, digits, '.', '_' and '-', and is neither '.' nor \
             '..'",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_kafkas_rules() {
        for name in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert_eq!(why_illegal(name), None, "{name}");
        }
        for name in ["", " ", ".", "..", "a b", "a/b", "\u{e4}", &"x".repeat(250)] {
            assert!(why_illegal(name).is_some(), "{name}");
        }
    }
}
