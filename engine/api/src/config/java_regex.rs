//! Decides whether Java would compile a pattern, and what `java.util.regex.Pattern` complains of.
//!
//! Only the syntax is read, by the rules of Java's own parser: nothing is matched here. Patterns
//! with `\Q…\E` or the flag `x` are taken as right.

mod ahead;
mod translation;

use std::collections::HashSet;

pub use self::translation::{Translated, translate};

/// Groups and classes may be this deep; Java's stack ends somewhere, too.
const MAX_DEPTH: usize = 200;

/// Holds a pattern against Java's syntax; the error is `PatternSyntaxException.getMessage()`.
///
/// ```
/// use millrace_api::config::java_regex::check;
///
/// assert_eq!(check("orders-(?=eu).*"), Ok(()));
/// let error = check("a(b").unwrap_err();
/// assert_eq!(error, "Unclosed group near index 3\na(b");
/// ```
pub fn check(pattern: &str) -> Result<(), String> {
    if pattern.contains("\\Q") {
        return Ok(());
    }
    let text: Vec<char> = pattern.chars().collect();
    let mut parser = Parser { text: &text, at: 0, groups: HashSet::new(), depth: 0 };
    match parser.whole() {
        Ok(()) | Err(Stop::GiveUp) => Ok(()),
        Err(Stop::Wrong(what)) => Err(message(pattern, &text, &what, parser.at)),
    }
}

fn message(pattern: &str, text: &[char], what: &str, at: usize) -> String {
    let Some(index) = at.checked_sub(1) else {
        return format!("{what}\n{pattern}");
    };
    // Java counts UTF-16 units.
    let units = |chars: &[char]| chars.iter().map(|c| c.len_utf16()).sum::<usize>();
    let shown = units(&text[..index.min(text.len())]) + index.saturating_sub(text.len());
    match index < text.len() {
        true => format!("{what} near index {shown}\n{pattern}\n{}^", " ".repeat(shown)),
        false => format!("{what} near index {shown}\n{pattern}"),
    }
}

/// Why reading ends early.
enum Stop {
    /// The pattern is wrong; the place is where the parser is.
    Wrong(String),
    /// This is not read any further, and taken as right.
    GiveUp,
}

type Read<T> = Result<T, Stop>;

fn wrong<T>(what: impl Into<String>) -> Read<T> {
    Err(Stop::Wrong(what.into()))
}

/// Java's `Pattern` while it compiles: `at` is its cursor, which its errors are counted from.
struct Parser<'a> {
    text: &'a [char],
    at: usize,
    groups: HashSet<String>,
    depth: usize,
}

impl Parser<'_> {
    /// The character at a place; `\0` stands for the end.
    fn char_at(&self, place: usize) -> char {
        self.text.get(place).copied().unwrap_or('\0')
    }

    fn peek(&self) -> char {
        self.char_at(self.at)
    }

    fn read(&mut self) -> char {
        self.at += 1;
        self.char_at(self.at - 1)
    }

    /// Moves on, and gives what is there.
    fn next(&mut self) -> char {
        self.at += 1;
        self.peek()
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn whole(&mut self) -> Read<()> {
        self.alternatives()?;
        match self.peek() {
            _ if self.at == self.text.len() => Ok(()),
            ')' => wrong("Unmatched closing ')'"),
            _ => wrong("Unexpected internal error"),
        }
    }

    fn alternatives(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::GiveUp);
        }
        loop {
            self.sequence()?;
            if self.peek() != '|' {
                break;
            }
            self.at += 1;
        }
        self.depth -= 1;
        Ok(())
    }

    fn sequence(&mut self) -> Read<()> {
        loop {
            match self.peek() {
                '(' => {
                    if !self.group()? {
                        continue;
                    }
                }
                '[' => self.class(true)?,
                '\\' => match self.char_at(self.at + 1) {
                    'p' | 'P' => self.property()?,
                    _ => {
                        self.escape(false)?;
                    }
                },
                '|' | ')' => return Ok(()),
                found @ ('?' | '*' | '+') => {
                    self.at += 1;
                    return wrong(format!("Dangling meta character '{found}'"));
                }
                '\0' if self.is_at_end() => return Ok(()),
                // A count of nothing: the quantifier is read below.
                '{' => {}
                _ => self.at += 1,
            }
            self.quantifier()?;
        }
    }

    fn quantifier(&mut self) -> Read<()> {
        match self.peek() {
            '?' | '*' | '+' => self.at += 1,
            '{' => self.count()?,
            _ => return Ok(()),
        }
        if matches!(self.peek(), '?' | '+') {
            self.at += 1;
        }
        Ok(())
    }

    fn count(&mut self) -> Read<()> {
        self.at += 2;
        if !self.char_at(self.at - 1).is_ascii_digit() {
            return wrong("Illegal repetition");
        }
        self.at -= 1;
        let (least, mut after) = self.number();
        let mut most = least;
        if after == ',' {
            most = i64::MAX;
            if self.peek() == '}' {
                after = self.read();
            } else {
                (most, after) = self.number();
            }
        }
        if after != '}' {
            return wrong("Unclosed counted closure");
        }
        if most < least || least > i64::from(i32::MAX) {
            return wrong("Illegal repetition range");
        }
        Ok(())
    }

    /// A number, 0 without any digit, and what follows it.
    fn number(&mut self) -> (i64, char) {
        let mut number = 0i64;
        loop {
            let read = self.read();
            match read.to_digit(10) {
                Some(digit) => {
                    number = number.saturating_mul(10).saturating_add(i64::from(digit));
                }
                None => return (number, read),
            }
        }
    }

    /// Reads a group. False when it only set flags, which cannot be repeated.
    fn group(&mut self) -> Read<bool> {
        if self.next() == '?' {
            self.at += 2;
            match self.char_at(self.at - 1) {
                ':' | '=' | '!' | '>' => {}
                '<' => {
                    let first = self.read();
                    if first != '=' && first != '!' {
                        let name = self.group_name(first)?;
                        if !self.groups.insert(name.clone()) {
                            return wrong(format!(
                                "Named capturing group <{name}> is already defined"
                            ));
                        }
                    }
                }
                '$' | '@' => return wrong("Unknown group type"),
                _ => {
                    self.at -= 1;
                    self.flags()?;
                    match self.read() {
                        ')' => return Ok(false),
                        ':' => {}
                        _ => return wrong("Unknown inline modifier"),
                    }
                }
            }
        }
        self.alternatives()?;
        match self.read() {
            ')' => Ok(true),
            _ => wrong("Unclosed group"),
        }
    }

    fn flags(&mut self) -> Read<()> {
        let mut cleared = false;
        loop {
            match self.peek() {
                'i' | 'm' | 's' | 'd' | 'u' | 'c' | 'U' => {}
                'x' if !cleared => return Err(Stop::GiveUp),
                'x' => {}
                '-' if !cleared => cleared = true,
                _ => return Ok(()),
            }
            self.at += 1;
        }
    }

    fn group_name(&mut self, first: char) -> Read<String> {
        if !first.is_ascii_alphabetic() {
            return wrong("capturing group name does not start with a Latin letter");
        }
        let mut name = String::from(first);
        loop {
            match self.read() {
                '>' => return Ok(name),
                c if c.is_ascii_alphanumeric() => name.push(c),
                _ => return wrong("named capturing group is missing trailing '>'"),
            }
        }
    }

    /// Reads an escape; the character that it stands for, if it stands for one.
    fn escape(&mut self, in_class: bool) -> Read<Option<char>> {
        self.at += 2;
        let literal = |c| Ok(Some(c));
        match self.char_at(self.at - 1) {
            '0' => self.octal().map(Some),
            'D' | 'd' | 'H' | 'h' | 'S' | 's' | 'V' | 'v' | 'W' | 'w' => Ok(None),
            '1'..='9' | 'A' | 'B' | 'G' | 'R' | 'X' | 'Z' | 'z' if !in_class => Ok(None),
            'b' if !in_class => Ok(self.boundary()),
            'k' if !in_class => self.reference(),
            'N' => self.character_name(),
            'a' => literal('\x07'),
            'e' => literal('\x1b'),
            'f' => literal('\x0c'),
            'n' => literal('\n'),
            'r' => literal('\r'),
            't' => literal('\t'),
            'c' if self.is_at_end() => wrong("Illegal control escape sequence"),
            'c' => {
                let code = u32::from(self.read()) ^ 64;
                Ok(Some(char::from_u32(code).unwrap_or('\0')))
            }
            'u' => self.unicode().map(Some),
            'x' => self.hexadecimal().map(Some),
            c if c.is_ascii_alphanumeric() => wrong("Illegal/unsupported escape sequence"),
            other => literal(other),
        }
    }

    /// After `\b`: nothing, or `{g}`.
    fn boundary(&mut self) -> Option<char> {
        if [0, 1, 2].map(|i| self.char_at(self.at + i)) == ['{', 'g', '}'] {
            self.at += 3;
        }
        None
    }

    fn reference(&mut self) -> Read<Option<char>> {
        if self.read() != '<' {
            return wrong("\\k is not followed by '<' for named capturing group");
        }
        let first = self.read();
        let name = self.group_name(first)?;
        match self.groups.contains(&name) {
            true => Ok(None),
            false => wrong(format!("named capturing group <{name}> does not exist")),
        }
    }

    fn character_name(&mut self) -> Read<Option<char>> {
        if self.read() != '{' {
            return wrong("Illegal character name escape sequence");
        }
        while self.read() != '}' {
            if self.is_at_end() {
                return wrong("Unclosed character name escape sequence");
            }
        }
        Err(Stop::GiveUp)
    }

    fn octal(&mut self) -> Read<char> {
        let Some(first) = self.read().to_digit(8) else {
            return wrong("Illegal octal escape sequence");
        };
        let mut code = first;
        for place in 1..3 {
            let digit = self.peek().to_digit(8).filter(|_| place < 2 || first <= 3);
            let Some(digit) = digit else { break };
            code = code * 8 + digit;
            self.at += 1;
        }
        Ok(char::from_u32(code).unwrap_or('\0'))
    }

    fn unicode(&mut self) -> Read<char> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.read().to_digit(16) else {
                return wrong("Illegal Unicode escape sequence");
            };
            code = code * 16 + digit;
        }
        Ok(char::from_u32(code).unwrap_or('\u{fffd}'))
    }

    fn hexadecimal(&mut self) -> Read<char> {
        let first = self.read();
        if let Some(high) = first.to_digit(16) {
            if let Some(low) = self.read().to_digit(16) {
                return Ok(char::from_u32(high * 16 + low).unwrap_or('\0'));
            }
        } else if first == '{' && self.peek().is_ascii_hexdigit() {
            let mut code = 0u32;
            loop {
                let read = self.read();
                match read.to_digit(16) {
                    Some(digit) => code = code * 16 + digit,
                    None if read == '}' => return Ok(char::from_u32(code).unwrap_or('\u{fffd}')),
                    None => return wrong("Unclosed hexadecimal escape sequence"),
                }
                if code > u32::from(char::MAX) {
                    return wrong("Hexadecimal codepoint is too big");
                }
            }
        }
        wrong("Illegal hexadecimal escape sequence")
    }

    /// Reads `\p…` or `\P…`.
    fn property(&mut self) -> Read<()> {
        self.at += 2;
        if self.peek() != '{' {
            let name = self.read().to_string();
            return known_property(&name);
        }
        self.at += 1;
        let start = self.at;
        while !self.is_at_end() && self.peek() != '}' {
            self.at += 1;
        }
        self.at += 1;
        if self.at > self.text.len() {
            return wrong("Unclosed character family");
        }
        if start + 1 >= self.at {
            return wrong("Empty character family");
        }
        let name: String = self.text[start..self.at - 1].iter().collect();
        known_property(&name)
    }

    /// Reads a class of characters from its `[`; without `consume` the closing bracket is left.
    fn class(&mut self, consume: bool) -> Read<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::GiveUp);
        }
        let mut is_empty = true;
        if self.next() == '^' && self.char_at(self.at - 1) == '[' {
            self.at += 1;
        }
        loop {
            match self.peek() {
                '[' => self.class(true)?,
                '&' if self.char_at(self.at + 1) == '&' => {
                    self.at += 2;
                    self.intersection(is_empty)?;
                }
                '\0' if self.is_at_end() => return wrong("Unclosed character class"),
                ']' if !is_empty => {
                    self.at += usize::from(consume);
                    self.depth -= 1;
                    return Ok(());
                }
                _ => self.range()?,
            }
            is_empty = false;
        }
    }

    /// Reads what follows `&&` in a class.
    fn intersection(&mut self, nothing_before: bool) -> Read<()> {
        let mut nothing_after = true;
        while !matches!(self.peek(), ']' | '&') {
            if self.peek() == '[' {
                self.class(true)?;
            } else {
                self.at -= 1;
                self.class(false)?;
            }
            nothing_after = false;
        }
        match nothing_before && nothing_after {
            true => wrong("Bad class syntax"),
            false => Ok(()),
        }
    }

    fn range(&mut self) -> Read<()> {
        let from = match self.peek() {
            '\\' if matches!(self.char_at(self.at + 1), 'p' | 'P') => return self.property(),
            '\\' => match self.escape(true)? {
                Some(from) => from,
                None => return Ok(()),
            },
            _ => self.read(),
        };
        if self.peek() != '-' || matches!(self.char_at(self.at + 1), '[' | ']') {
            return Ok(());
        }
        self.at += 1;
        let to = match self.peek() {
            '\\' => self.escape(true)?,
            _ => Some(self.read()),
        };
        match to.is_some_and(|to| to >= from) {
            true => Ok(()),
            false => wrong("Illegal character range"),
        }
    }
}

/// The properties of `\p` by their short names. Blocks, scripts and methods of Java's are not
/// listed: they are taken as right.
fn known_property(name: &str) -> Read<()> {
    const NAMES: &str = " Cn Lu Ll Lt Lm Lo Mn Me Mc Nd Nl No Zs Zl Zp Cc Cf Co Cs Pd Ps Pe Pc \
        Po Sm Sc Sk So Pi Pf L M N Z C P S LC LD L1 all ASCII Alnum Alpha Blank Cntrl Digit Graph \
        Lower Print Punct Space Upper XDigit ";
    let is_other = ["In", "Is", "java"].iter().any(|prefix| name.starts_with(prefix));
    if is_other || name.contains('=') || NAMES.contains(&format!(" {name} ")) {
        return Ok(());
    }
    wrong(format!("Unknown character property name {{{name}}}"))
}

#[cfg(test)]
mod tests {
    use super::check;

    /// What `java.util.regex.Pattern` of JDK 21 said.
    #[test]
    fn complaints_are_javas() {
        for (pattern, complaint) in [
            ("[", "Unclosed character class near index 0\n[\n^"),
            ("*", "Dangling meta character '*' near index 0\n*\n^"),
            ("a(b", "Unclosed group near index 3\na(b"),
            ("a)", "Unmatched closing ')' near index 0\na)\n^"),
            ("a{2,1}", "Illegal repetition range near index 5\na{2,1}\n     ^"),
            ("{a}", "Illegal repetition near index 1\n{a}\n ^"),
            ("\\", "Unexpected internal error near index 1\n\\"),
            ("[z-a]", "Illegal character range near index 3\n[z-a]\n   ^"),
            ("(?z)a", "Unknown inline modifier near index 2\n(?z)a\n  ^"),
            ("\\p{Foo}", "Unknown character property name {Foo} near index 6\n\\p{Foo}\n      ^"),
            (
                "(?<n>a)(?<n>b)",
                "Named capturing group <n> is already defined near index 11\n\
                 (?<n>a)(?<n>b)\n           ^",
            ),
        ] {
            assert_eq!(check(pattern), Err(complaint.to_owned()), "{pattern}");
        }
        for right in ["", "a|", "a++b(?=c)\\1", "[]a]", "[a&&[^b]]", "(?i:x){2,}?", "]}", "\\Q(\\E"]
        {
            assert_eq!(check(right), Ok(()), "{right}");
        }
    }
}
