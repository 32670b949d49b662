//! Decides how a pattern of `java.util.regex.Pattern` is written for the crate `regex`, and which
//! patterns cannot be.
//!
//! What that crate has no way to say is refused: looking around but for what lies ahead of the
//! start, references back to groups, possessive quantifiers, atomic groups and some rare escapes.
//! Three things are said a little differently: letter case is that of Unicode where it is ignored,
//! `\b` knows Unicode's words, and `$` is the very end, where Java's is also before a line break
//! there.

use super::ahead;

/// Classes that a letter stands for; outside of `\p`, Java's know ASCII alone.
const BLANK: &str = r"\t \u{A0}\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}";
const VERTICAL: &str = r"\n\x0B\f\r\u{85}\u{2028}\u{2029}";

/// A pattern of Java's in the language of the crate `regex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// What is to match.
    pub pattern: String,
    /// The lookaheads that the pattern began with: whether each has to match where it does, or must
    /// not.
    pub ahead: Vec<(bool, String)>,
}

/// Writes a pattern that [`check`](super::check) finds right for the crate `regex`. The error says
/// which construct stands in the way.
///
/// ```
/// use millrace_api::config::java_regex::translate;
///
/// let translated = translate(r"^(?!__)(?<db>\w+)-\Q.\E");
/// assert_eq!(translated.unwrap_err(), "lookaround (?!…) is not supported");
/// let translated = translate(r"^(?!__)(?<db>\w+)-\.").unwrap();
/// assert_eq!(translated.pattern, r"(?<db>[a-zA-Z0-9_]+)\-\.");
/// assert_eq!(translated.ahead, [(false, r"\_\_".to_owned())]);
/// ```
pub fn translate(pattern: &str) -> Result<Translated, String> {
    let text: Vec<char> = pattern.chars().collect();
    let (ahead, rest) = ahead::split(&text);
    let translated = |(wanted, inner)| translate_part(inner).map(|inner| (wanted, inner));
    Ok(Translated {
        pattern: translate_part(rest)?,
        ahead: ahead.into_iter().map(translated).collect::<Result<_, _>>()?,
    })
}

fn translate_part(text: &[char]) -> Result<String, String> {
    let mut translator = Translator {
        text,
        at: 0,
        out: String::with_capacity(text.len() + 8),
        open: Vec::new(),
        dot_matches_all: false,
    };
    translator.whole()?;
    Ok(translator.out)
}

fn refused<T>(construct: impl AsRef<str>) -> Result<T, String> {
    Err(format!("{} is not supported", construct.as_ref()))
}

struct Translator<'a> {
    text: &'a [char],
    at: usize,
    out: String,
    /// Whether `.` matched all around each open group.
    open: Vec<bool>,
    dot_matches_all: bool,
}

impl Translator<'_> {
    /// The character so many places on; `\0` stands for the end.
    fn peek(&self, places: usize) -> char {
        self.text.get(self.at + places).copied().unwrap_or('\0')
    }

    fn next(&mut self) -> Option<char> {
        let c = self.text.get(self.at).copied();
        self.at += 1;
        c
    }

    fn literal(&mut self, c: char) {
        // An escaped angle bracket is the edge of a word there.
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn whole(&mut self) -> Result<(), String> {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    self.dot_matches_all = self.open.pop().unwrap_or_default();
                    self.out.push(')');
                }
                '.' if self.dot_matches_all => self.out.push_str("(?s:.)"),
                '.' => self.out.push_str(r"[^\n\r\u{85}\u{2028}\u{2029}]"),
                '*' | '+' | '?' | '{' => self.quantifier(c)?,
                '^' | '$' | '|' => self.out.push(c),
                literal => self.literal(literal),
            }
        }
        Ok(())
    }

    fn quantifier(&mut self, first: char) -> Result<(), String> {
        let start = self.at - 1;
        if first == '{' {
            while self.next().is_some_and(|c| c != '}') {}
        }
        let end = self.at.min(self.text.len());
        self.out.extend(&self.text[start..end]);
        match self.peek(0) {
            '?' => {
                self.at += 1;
                self.out.push('?');
            }
            '+' => {
                let quantifier: String = self.text[start..end].iter().collect();
                return refused(format!("the possessive quantifier {quantifier}+"));
            }
            _ => {}
        }
        self.skip_counts_of_nothing();
        Ok(())
    }

    /// A count behind another quantifier repeats what stands between them, which is nothing.
    fn skip_counts_of_nothing(&mut self) {
        while self.peek(0) == '{' {
            while self.next().is_some_and(|c| c != '}') {}
            if matches!(self.peek(0), '?' | '+') {
                self.at += 1;
            }
        }
    }

    fn group(&mut self) -> Result<(), String> {
        self.open.push(self.dot_matches_all);
        if self.peek(0) != '?' {
            self.out.push('(');
            return Ok(());
        }
        match (self.peek(1), self.peek(2)) {
            ('=' | '!', _) => return refused(format!("lookaround (?{}…)", self.peek(1))),
            ('<', '=' | '!') => return refused(format!("lookaround (?<{}…)", self.peek(2))),
            ('>', _) => return refused("the atomic group (?>…)"),
            ('<', _) => {
                self.out.push('(');
                let rest = &self.text[self.at..];
                let name = rest.iter().position(|c| *c == '>').map_or(rest.len(), |end| end + 1);
                self.out.extend(&rest[..name]);
                self.at += name;
                return Ok(());
            }
            _ => self.at += 1,
        }
        self.flags()
    }

    /// Flags as in `(?i)` and `(?i-s:`.
    fn flags(&mut self) -> Result<(), String> {
        let mut is_set = true;
        let (mut set, mut cleared) = (String::new(), String::new());
        loop {
            match self.next().unwrap_or('\0') {
                '-' => is_set = false,
                flag @ ('i' | 'm' | 's') => {
                    if flag == 's' {
                        self.dot_matches_all = is_set;
                    }
                    if is_set { &mut set } else { &mut cleared }.push(flag);
                }
                // Case is that of Unicode anyway.
                'u' => {}
                end @ (':' | ')') => {
                    let minus = if cleared.is_empty() { "" } else { "-" };
                    let colon = if end == ':' { ":" } else { "" };
                    if end == ')' {
                        // The flags are for the rest of the group around.
                        self.open.pop();
                        if set.is_empty() && cleared.is_empty() {
                            return Ok(());
                        }
                    }
                    self.out.push_str(&format!("(?{set}{minus}{cleared}{colon}"));
                    if end == ')' {
                        self.out.push(')');
                    }
                    return Ok(());
                }
                flag => return refused(format!("the flag (?{flag})")),
            }
        }
    }

    /// An escape outside of classes.
    fn escape(&mut self) -> Result<(), String> {
        match self.peek(0) {
            c @ '1'..='9' => return refused(format!("the back reference \\{c}")),
            'k' => return refused("the back reference \\k<…>"),
            c @ ('G' | 'X' | 'N') => return refused(format!("\\{c}")),
            'b' if self.peek(1) == '{' => return refused("\\b{g}"),
            c @ ('A' | 'b' | 'B' | 'z') => {
                self.out.push('\\');
                self.out.push(c);
            }
            'Z' => self.out.push_str(r"\z"),
            'R' => self.out.push_str(&format!(r"(?:\r\n|[{VERTICAL}])")),
            _ => {
                if let Some(c) = self.escaped()? {
                    self.literal(c);
                }
                return Ok(());
            }
        }
        self.at += 1;
        Ok(())
    }

    /// What an escape stands for: a character, or something that was written down.
    fn escaped(&mut self) -> Result<Option<char>, String> {
        let escape = self.next().unwrap_or('\\');
        let class = match escape {
            'Q' => {
                self.quoted();
                return Ok(None);
            }
            'p' | 'P' => return self.property(escape == 'P').map(|()| None),
            'd' => "[0-9]".to_owned(),
            'D' => "[^0-9]".to_owned(),
            'w' => "[a-zA-Z0-9_]".to_owned(),
            'W' => "[^a-zA-Z0-9_]".to_owned(),
            's' => r"[ \t\n\x0B\f\r]".to_owned(),
            'S' => r"[^ \t\n\x0B\f\r]".to_owned(),
            'h' => format!("[{BLANK}]"),
            'H' => format!("[^{BLANK}]"),
            'v' => format!("[{VERTICAL}]"),
            'V' => format!("[^{VERTICAL}]"),
            'N' => return refused("\\N"),
            'a' => return Ok(Some('\x07')),
            'e' => return Ok(Some('\x1b')),
            'f' => return Ok(Some('\x0c')),
            'n' => return Ok(Some('\n')),
            'r' => return Ok(Some('\r')),
            't' => return Ok(Some('\t')),
            '0' | 'c' | 'u' | 'x' => return self.code(escape).map(Some),
            other => return Ok(Some(other)),
        };
        self.out.push_str(&class);
        Ok(None)
    }

    /// What stands between `\Q` and `\E`, or the end.
    fn quoted(&mut self) {
        while self.at < self.text.len() {
            if (self.peek(0), self.peek(1)) == ('\\', 'E') {
                self.at += 2;
                return;
            }
            self.literal(self.peek(0));
            self.at += 1;
        }
    }

    fn code(&mut self, escape: char) -> Result<char, String> {
        let code = match escape {
            'c' => u32::from(self.next().unwrap_or('\0')) ^ 64,
            '0' => {
                let longest = if matches!(self.peek(0), '0'..='3') { 3 } else { 2 };
                self.digits(8, longest)
            }
            'u' => self.digits(16, 4),
            _ if self.peek(0) == '{' => {
                self.at += 1;
                let code = self.digits(16, 8);
                self.at += 1;
                code
            }
            _ => self.digits(16, 2),
        };
        let is_high = (0xD800..0xDC00).contains(&code);
        if is_high && (self.peek(0), self.peek(1)) == ('\\', 'u') {
            self.at += 2;
            let low = self.digits(16, 4);
            if (0xDC00..0xE000).contains(&low)
                && let Some(c) = char::from_u32(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00)
            {
                return Ok(c);
            }
        }
        char::from_u32(code)
            .ok_or_else(|| format!("half a character \\u{code:04X} is not supported"))
    }

    fn digits(&mut self, radix: u32, longest: usize) -> u32 {
        let mut code = 0u32;
        for _ in 0..longest {
            let Some(digit) = self.peek(0).to_digit(radix) else { break };
            code = code.saturating_mul(radix).saturating_add(digit);
            self.at += 1;
        }
        code
    }

    /// `\p{…}`; the name follows.
    fn property(&mut self, negated: bool) -> Result<(), String> {
        let name: String = if self.peek(0) == '{' {
            self.at += 1;
            let rest = &self.text[self.at.min(self.text.len())..];
            let name: String = rest.iter().take_while(|c| **c != '}').collect();
            self.at += name.chars().count() + 1;
            name
        } else {
            self.next().into_iter().collect()
        };
        const ASCII: &str = " Lower Upper ASCII Alpha Digit Alnum Punct Graph Print Blank Cntrl \
            XDigit Space ";
        if ASCII.contains(&format!(" {name} ")) {
            let not = if negated { "^" } else { "" };
            self.out.push_str(&format!("[[:{not}{}:]]", name.to_lowercase()));
            return Ok(());
        }
        let of_unicode = match name.split_once('=') {
            Some((key, value)) => match key.to_lowercase().as_str() {
                "sc" | "script" | "gc" | "general_category" => Some(value),
                _ => None,
            },
            None if name == "all" => Some("any"),
            None if matches!(&*name, "L1" | "LD") => None,
            None if name.starts_with("In") || name.starts_with("java") => None,
            None => Some(name.strip_prefix("Is").unwrap_or(&name)),
        };
        let Some(of_unicode) = of_unicode else {
            return refused(format!("\\p{{{name}}}"));
        };
        let p = if negated { 'P' } else { 'p' };
        self.out.push_str(&format!("\\{p}{{{of_unicode}}}"));
        Ok(())
    }

    /// A class of characters, whose first bracket was read.
    fn class(&mut self) -> Result<(), String> {
        // Whether nothing was read yet of each class that is open.
        let mut fresh = Vec::new();
        self.open_class(&mut fresh);
        while let Some(is_fresh) = fresh.last_mut() {
            let is_first = std::mem::take(is_fresh);
            match self.next() {
                None => return refused("a class without end"),
                Some('[') => self.open_class(&mut fresh),
                Some(']') if !is_first => {
                    self.out.push(']');
                    fresh.pop();
                }
                Some('&') if self.peek(0) == '&' => {
                    self.at += 1;
                    self.out.push_str("&&");
                }
                Some('\\') => {
                    if let Some(from) = self.escaped()? {
                        self.range(from)?;
                    }
                }
                Some(from) => self.range(from)?,
            }
        }
        Ok(())
    }

    fn open_class(&mut self, fresh: &mut Vec<bool>) {
        self.out.push('[');
        fresh.push(true);
        if self.peek(0) == '^' {
            self.at += 1;
            self.out.push('^');
        }
    }

    /// A character of a class, and the last one of its range if it begins one.
    fn range(&mut self, from: char) -> Result<(), String> {
        self.literal(from);
        if self.peek(0) != '-' || matches!(self.peek(1), '[' | ']') {
            return Ok(());
        }
        self.at += 1;
        self.out.push('-');
        match self.next() {
            Some('\\') => match self.escaped()? {
                Some(to) => self.literal(to),
                None => return refused("a range that ends with a class"),
            },
            Some(to) => self.literal(to),
            None => return refused("a range without end"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    /// As `java.util.regex.Pattern` of JDK 17 matched them.
    #[test]
    fn a_count_behind_a_quantifier_repeats_nothing() {
        for (pattern, expected) in [
            ("a{2}{3}b", "a{2}b"),
            ("a*{2}", "a*"),
            ("a??{2}", "a??"),
            ("(a){2}{3}?{4,}+b", "(a){2}b"),
        ] {
            assert_eq!(translate(pattern).unwrap().pattern, expected);
        }
    }

    #[test]
    fn two_escapes_make_a_character_if_they_are_its_halves() {
        assert_eq!(translate(r"\uD83D\uDE00").unwrap().pattern, "\u{1f600}");
        for half in [r"\uD83D\u0041", r"\uD83D\uD83D", r"\uD83D", r"\uDE00"] {
            assert!(translate(half).unwrap_err().starts_with("half a character"), "{half}");
        }
    }
}
