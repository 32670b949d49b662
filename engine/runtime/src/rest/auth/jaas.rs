//! Decides what a JAAS file says (`javax.security.auth.login.Configuration`), and where Java's
//! options say that it is.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use millrace_api::{Error, Result};

/// One login module of a section.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoginModule {
    pub(super) class: String,
    pub(super) options: BTreeMap<String, String>,
}

/// The value of `-DNAME=VALUE` in a shell variable of Java options; of several, the last.
pub(super) fn system_property(options: &str, name: &str) -> Option<String> {
    let flag = format!("-D{name}=");
    let mut values = options.split_whitespace().filter_map(|word| word.strip_prefix(&flag));
    // A second equals sign means that this file replaces the one of the JVM.
    let value = values.next_back()?;
    let value = value.strip_prefix('=').unwrap_or(value);
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// The login modules of a section: `SECTION { CLASS FLAG OPTION=VALUE …; … };`. None when the file
/// has no such section. Messages name no values: they may be secrets.
pub(super) fn section(text: &str, name: &str) -> Result<Vec<LoginModule>> {
    let mut tokens = Tokens { characters: text.chars().peekable(), line: 1 };
    let mut found = Vec::new();
    while let Some(section) = tokens.next()? {
        tokens.expect("{")?;
        let mut modules = Vec::new();
        loop {
            match tokens.word()?.as_str() {
                "}" => break,
                class => modules.push(module(class.to_owned(), &mut tokens)?),
            }
        }
        tokens.expect(";")?;
        if section == name {
            found = modules;
        }
    }
    Ok(found)
}

fn module(class: String, tokens: &mut Tokens<'_>) -> Result<LoginModule> {
    let flag = tokens.word()?.to_lowercase();
    if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
        return Err(tokens.error("a flag such as required is missing"));
    }
    let mut options = BTreeMap::new();
    loop {
        match tokens.word()?.as_str() {
            ";" => return Ok(LoginModule { class, options }),
            key => {
                tokens.expect("=")?;
                options.insert(key.to_owned(), tokens.word()?);
            }
        }
    }
}

/// Words, strings in double quotes, and the signs `{ } ; =`.
struct Tokens<'a> {
    characters: Peekable<Chars<'a>>,
    line: usize,
}

impl Tokens<'_> {
    fn error(&self, what: &str) -> Error {
        Error::config(format!("the JAAS file is malformed: {what}")).context("line", self.line)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.characters.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn word(&mut self) -> Result<String> {
        self.next()?.ok_or_else(|| self.error("it ends within a section"))
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        match self.word()? == sign {
            true => Ok(()),
            false => Err(self.error(&format!("{sign} is missing"))),
        }
    }

    fn next(&mut self) -> Result<Option<String>> {
        loop {
            match self.bump() {
                None => return Ok(None),
                Some(c) if c.is_whitespace() => {}
                Some('#') => self.skip_line(),
                Some('/') if self.characters.peek() == Some(&'/') => self.skip_line(),
                Some('/') if self.characters.peek() == Some(&'*') => self.skip_comment()?,
                Some('"') => return self.quoted().map(Some),
                Some(c) if "{};=".contains(c) => return Ok(Some(c.to_string())),
                Some(c) => return Ok(Some(self.bare(c))),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.bump().is_some_and(|c| c != '\n') {}
    }

    fn skip_comment(&mut self) -> Result<()> {
        self.bump();
        let mut before = ' ';
        loop {
            match self.bump() {
                Some('/') if before == '*' => return Ok(()),
                Some(c) => before = c,
                None => return Err(self.error("a comment has no end")),
            }
        }
    }

    fn quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(text),
                Some('\\') => text.extend(self.bump()),
                Some(c) if c != '\n' => text.push(c),
                _ => return Err(self.error("a quoted value has no end")),
            }
        }
    }

    fn bare(&mut self, first: char) -> String {
        let mut text = String::from(first);
        let ends = |c: &char| c.is_whitespace() || "{};=\"".contains(*c);
        while let Some(c) = self.characters.next_if(|c| !ends(c)) {
            text.push(c);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_by_java() {
        let text = "// clients\nKafkaClient { x.Y required a=\"b c\"; };\n/* ours\n */ KafkaConnect {\n\
                    # a comment\n  a.B$C  REQUIRED\n  file=\"/etc/my \\\"users\\\".properties\"\n  \
                    debug=true; d.E optional;\n};";
        let modules = section(text, "KafkaConnect").unwrap();
        assert_eq!(modules.len(), 2);
        assert_eq!(modules[0].class, "a.B$C");
        assert_eq!(modules[0].options["file"], "/etc/my \"users\".properties");
        assert_eq!(modules[0].options["debug"], "true");
        assert_eq!(section(text, "KafkaClient").unwrap()[0].options["a"], "b c");
        assert!(section(text, "Nobody").unwrap().is_empty());
    }

    #[test]
    fn malformed_files_are_refused_with_their_line() {
        for text in [
            "a {",
            "a { b.C }",
            "a { b.C required",
            "a { b.C required secret; };",
            "a { b.C required\nx=\"secret };",
            "a { b.C required; }",
            "/* secret",
            "a b.C",
        ] {
            let error = section(text, "a").unwrap_err().to_string();
            assert!(error.contains("(line: ") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_property_is_found_among_java_options() {
        let name = "java.security.auth.login.config";
        let find = |options: &str| system_property(options, name);
        assert_eq!(find("-Xmx1g -Djava.security.auth.login.config=/a/b -Dx=y").unwrap(), "/a/b");
        assert_eq!(find("-Djava.security.auth.login.config==\"/a/b\"").unwrap(), "/a/b");
        assert_eq!(find("-Djava.security.auth.login.config='/a/b'").unwrap(), "/a/b");
        assert_eq!(find("-Dx=y"), None);
    }
}
