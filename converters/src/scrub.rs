//! Names with letters that a schema language does not allow (`scrub.invalid.names`).

/// A name as if it were written into a URL, where what is odd there is an underscore. `is_no_first`
/// says what else the language does not begin names with.
pub(crate) fn scrubbed(name: &str, is_no_first: impl Fn(char) -> bool) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins_well = !name.starts_with(is_no_first);
    if begins_well && name.chars().all(is_plain) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len() + 8);
    // Asked for before the other letters are replaced.
    if !begins_well {
        out.push('x');
    }
    for c in name.chars() {
        match c {
            c if is_plain(c) => out.push(c),
            // What Java's encoding of URLs leaves alone is an underscore like all else.
            ' ' | '.' | '-' | '*' => out.push('_'),
            c => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("_{byte:02X}"));
                }
            }
        }
    }
    out
}
