//! Reads JSON paths. What the library knows and is not supported is an error that names it.

use super::condition::{Condition, Operand, Operator, Path};
use super::{Step, Steps};
use crate::java_number::big_decimal;
use crate::pattern::Pattern;

/// Brackets and negations in a condition may be nested so deep.
const MAX_DEPTH: usize = 100;
/// A number has no more characters.
const MAX_NUMBER: usize = 400;

type Read<T> = Result<T, String>;

/// A whole path. One that does not begin with `$` or `@` is taken from the root.
pub(super) fn path(text: &str) -> Read<Steps> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if !parser.take("$") && !parser.take("@") {
        if text.is_empty() {
            return Err("the path is empty".to_owned());
        }
        if !text.starts_with('[') {
            let step = Step::Member(parser.plain_name()?);
            let mut steps = parser.steps(false)?;
            steps.0.insert(0, step);
            return parser.end().map(|()| steps);
        }
    }
    let steps = parser.steps(false)?;
    parser.end().map(|()| steps)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

fn unsupported<T>(what: &str) -> Read<T> {
    Err(format!("{what} is not supported"))
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> char {
        self.rest().chars().next().unwrap_or('\0')
    }

    fn take(&mut self, expected: &str) -> bool {
        let is_next = self.rest().starts_with(expected);
        if is_next {
            self.at += expected.len();
        }
        is_next
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn wrong<T>(&self, expected: &str) -> Read<T> {
        match self.rest().is_empty() {
            true => Err(format!("expected {expected} at the end")),
            false => Err(format!("expected {expected} at position {}", self.at)),
        }
    }

    fn end(&self) -> Read<()> {
        if self.rest().is_empty() { Ok(()) } else { self.wrong("'.' or '['") }
    }

    /// Steps as far as there are any. Those of a path in a condition are definite.
    fn steps(&mut self, in_condition: bool) -> Read<Steps> {
        let mut steps = Steps::default();
        loop {
            let step = match self.peek() {
                '.' => {
                    self.at += 1;
                    match self.peek() {
                        '.' => return unsupported("the deep scan '..'"),
                        '[' => continue,
                        '*' => {
                            self.at += 1;
                            Step::All
                        }
                        _ => Step::Member(self.plain_name()?),
                    }
                }
                '[' => {
                    self.at += 1;
                    self.bracket()?
                }
                '(' if !in_condition => return unsupported("a function"),
                _ => return Ok(steps),
            };
            if in_condition && !step.is_definite() {
                return unsupported("a path in a condition that leads to many places");
            }
            steps.0.push(step);
        }
    }

    /// A name without brackets.
    fn plain_name(&mut self) -> Read<String> {
        let ends = |c: char| c.is_whitespace() || ".[]()=<>!&|,'\"?@*".contains(c);
        let rest = self.rest();
        let name = &rest[..rest.find(ends).unwrap_or(rest.len())];
        if name.is_empty() {
            return self.wrong("a name");
        }
        self.at += name.len();
        if self.peek() == '(' {
            return unsupported("a function");
        }
        Ok(name.to_owned())
    }

    /// What stands in brackets, whose first was read.
    fn bracket(&mut self) -> Read<Step> {
        self.skip_blanks();
        let step = match self.peek() {
            '?' => {
                self.at += 1;
                self.skip_blanks();
                if !self.take("(") {
                    return self.wrong("'('");
                }
                let condition = self.any()?;
                self.skip_blanks();
                if !self.take(")") {
                    return self.wrong("an operator or ')'");
                }
                Step::If(condition)
            }
            '*' => {
                self.at += 1;
                Step::All
            }
            '\'' | '"' => Step::Member(self.quoted()?),
            '-' | '0'..='9' => {
                let rest = self.rest();
                let digits = rest.find(|c: char| c != '-' && !c.is_ascii_digit());
                let number = &rest[..digits.unwrap_or(rest.len())];
                self.at += number.len();
                Step::Item(number.parse().or_else(|_| self.wrong("an index"))?)
            }
            ':' => return unsupported("a slice"),
            _ => return self.wrong("a name in quotes, an index, '*' or '?'"),
        };
        self.skip_blanks();
        match self.peek() {
            ']' => {
                self.at += 1;
                Ok(step)
            }
            ',' => unsupported("a list of names, indexes or conditions"),
            ':' => unsupported("a slice"),
            _ => self.wrong("']'"),
        }
    }

    /// A text in quotes; a backslash takes its meaning from the character behind it.
    fn quoted(&mut self) -> Read<String> {
        let quote = self.peek();
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((place, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\\' | '\'' | '"' | '/'))) => text.push(escaped),
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, other)) => {
                        return unsupported(&format!("the escape \\{other} in a text"));
                    }
                    None => break,
                },
                c if c == quote => {
                    self.at += place + c.len_utf8();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(format!("a text that begins with {quote} does not end"))
    }

    fn any(&mut self) -> Read<Condition> {
        let mut parts = vec![self.all()?];
        loop {
            self.skip_blanks();
            if !self.take("||") {
                break;
            }
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Read<Condition> {
        let mut parts = vec![self.one()?];
        loop {
            self.skip_blanks();
            if !self.take("&&") {
                break;
            }
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn one(&mut self) -> Read<Condition> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the condition is nested too deep".to_owned());
        }
        self.skip_blanks();
        let condition = if self.take("!") {
            Condition::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let condition = self.any()?;
            self.skip_blanks();
            if !self.take(")") {
                return self.wrong("')'");
            }
            condition
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self) -> Read<Condition> {
        if self.peek() == '/' {
            let pattern = self.pattern()?;
            self.skip_blanks();
            if !self.take("=~") {
                return self.wrong("=~");
            }
            self.skip_blanks();
            return Ok(Condition::Matches(self.operand()?, pattern));
        }
        let left = self.operand()?;
        self.skip_blanks();
        if self.take("=~") {
            self.skip_blanks();
            if self.peek() != '/' {
                return self.wrong("a pattern between slashes");
            }
            return Ok(Condition::Matches(left, self.pattern()?));
        }
        if self.take("in ") || self.take("IN ") {
            return Ok(Condition::In(left, self.list()?));
        }
        if self.take("nin ") || self.take("NIN ") {
            return Ok(Condition::Not(Box::new(Condition::In(left, self.list()?))));
        }
        let Some(operator) = self.operator()? else {
            return match left {
                Operand::Path(path) => Ok(Condition::Exists(path)),
                _ => self.wrong("an operator"),
            };
        };
        self.skip_blanks();
        Ok(Condition::Compare(left, operator, self.operand()?))
    }

    fn operator(&mut self) -> Read<Option<Operator>> {
        const OPERATORS: [(&str, Operator); 8] = [
            ("===", Operator::Same),
            ("!==", Operator::NotSame),
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        if let Some((_, operator)) = OPERATORS.into_iter().find(|(word, _)| self.take(word)) {
            return Ok(Some(operator));
        }
        let rest = self.rest();
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
        if !word.is_empty() {
            return unsupported(&format!("the operator {word}"));
        }
        Ok(None)
    }

    /// A list of texts, numbers and words.
    fn list(&mut self) -> Read<Vec<Operand>> {
        self.skip_blanks();
        if !self.take("[") {
            return unsupported("a list that is not written out behind in or nin");
        }
        let mut list = Vec::new();
        loop {
            self.skip_blanks();
            if self.take("]") {
                return Ok(list);
            }
            if !list.is_empty() {
                if !self.take(",") {
                    return self.wrong("',' or ']'");
                }
                self.skip_blanks();
            }
            match self.operand()? {
                Operand::Path(_) => return unsupported("a path in a list"),
                item => list.push(item),
            }
        }
    }

    fn operand(&mut self) -> Read<Operand> {
        match self.peek() {
            from @ ('@' | '$') => {
                self.at += 1;
                let steps = self.steps(true)?;
                Ok(Operand::Path(Path { from_root: from == '$', steps }))
            }
            '\'' | '"' => self.quoted().map(Operand::Text),
            '-' | '0'..='9' => {
                let rest = self.rest();
                let is_number = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                let number = &rest[..rest.find(|c| !is_number(c)).unwrap_or(rest.len())];
                let read = big_decimal(number).filter(|_| number.len() <= MAX_NUMBER);
                match read {
                    Some(number_read) => {
                        self.at += number.len();
                        Ok(Operand::Number(number_read))
                    }
                    None => self.wrong("a number"),
                }
            }
            '[' | '{' => unsupported("an array or object in a condition"),
            _ if self.take("true") => Ok(Operand::Boolean(true)),
            _ if self.take("false") => Ok(Operand::Boolean(false)),
            _ if self.take("null") => Ok(Operand::Null),
            _ => self.wrong("a path, a text, a number, true, false or null"),
        }
    }

    /// `/…/` and flags.
    fn pattern(&mut self) -> Read<Pattern> {
        let rest = &self.rest()[1..];
        let mut is_escaped = false;
        let is_end = |c: char| {
            let ends = c == '/' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        };
        let Some(end) = rest.find(is_end) else {
            return Err("a pattern that begins with / does not end".to_owned());
        };
        let flags = &rest[end + 1..];
        let flags = &flags[..flags.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(flags.len())];
        self.at += end + 2 + flags.len();
        let flag = |c: char| match c {
            'i' | 'm' | 's' | 'u' => Ok(c),
            other => unsupported(&format!("the flag {other} of a pattern")),
        };
        let flags = flags.chars().map(flag).collect::<Read<String>>()?;
        let body = &rest[..end];
        let pattern = if flags.is_empty() { body.to_owned() } else { format!("(?{flags}){body}") };
        Pattern::read(&pattern)
    }
}
