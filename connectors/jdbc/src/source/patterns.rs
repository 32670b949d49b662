//! Regular expressions for tables (`table.include.list`, `timestamp.columns.mapping` and the like).
//! They are held against whole qualified names, case and all.

use millrace_api::config::java_regex;
use millrace_api::{Error, Result};
use regex::Regex;

use crate::table::TableId;

/// Some tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<Regex>);

impl Patterns {
    /// Understands the list under a key.
    pub(crate) fn parse(key: &'static str, list: &[String]) -> Result<Self> {
        list.iter().map(|text| pattern(key, text)).collect::<Result<_>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contain(&self, table: &TableId) -> bool {
        let name = table.to_string();
        self.0.iter().any(|pattern| pattern.is_match(&name))
    }
}

/// Columns, or whatever has a name, by table: `REGEX:NAME`, or `REGEX:[NAME|NAME]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    key: &'static str,
    entries: Vec<(Regex, Vec<String>)>,
}

impl Mapping {
    /// Understands the list under a key.
    pub(crate) fn parse(key: &'static str, list: &[String]) -> Result<Self> {
        let entry = |text: &String| {
            let split = text.rsplit_once(':').map(|(table, columns)| {
                let columns = columns.trim();
                let bare = columns.strip_prefix('[').and_then(|c| c.strip_suffix(']'));
                let columns = bare.unwrap_or(columns).split('|').map(|c| c.trim().to_owned());
                (table.trim(), columns.collect::<Vec<_>>())
            });
            match split {
                Some((table, columns)) if columns.iter().all(|c| !c.is_empty()) => {
                    Ok((pattern(key, table)?, columns))
                }
                _ => {
                    let message = "an entry must be REGEX:NAME or REGEX:[NAME|NAME]";
                    Err(Error::config(message).context(key, text))
                }
            }
        };
        Ok(Self { key, entries: list.iter().map(entry).collect::<Result<_>>()? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whatever stands for a table in any entry.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flat_map(|(_, values)| values).map(String::as_str)
    }

    /// The first entry's values that are several.
    pub(crate) fn several(&self) -> Option<&[String]> {
        let mut values = self.entries.iter().map(|(_, values)| values.as_slice());
        values.find(|values| values.len() > 1)
    }

    /// The columns of a table.
    ///
    /// # Errors
    ///
    /// When not exactly one entry is for it.
    pub(crate) fn columns(&self, table: &TableId) -> Result<&[String]> {
        let message = "no entry is for this table; add one, or leave the table out";
        self.find(table)?.ok_or_else(|| self.wrong(message, table))
    }

    /// What stands for a table, if an entry is for it.
    ///
    /// # Errors
    ///
    /// When two are.
    pub(crate) fn find(&self, table: &TableId) -> Result<Option<&[String]>> {
        let name = table.to_string();
        let mut found = self.entries.iter().filter(|(pattern, _)| pattern.is_match(&name));
        let first = found.next().map(|(_, values)| values.as_slice());
        match found.next() {
            None => Ok(first),
            Some(_) => {
                let message = "two entries are for this table; make one of them narrower";
                Err(self.wrong(message, table))
            }
        }
    }

    fn wrong(&self, message: &'static str, table: &TableId) -> Error {
        Error::config(message).context("table", table).context("key", self.key)
    }
}

fn pattern(key: &'static str, text: &str) -> Result<Regex> {
    let wrong = |why: String| {
        let message = format!("not a regular expression that can be used: {why}");
        Error::config(message).context(key, text)
    };
    java_regex::check(text).map_err(wrong)?;
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        let error = wrong("Java's look-around, back-references and possessive forms cannot".into())
            .with_source(error);
        error.context("remedy", "name the tables without them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableId {
        TableId::new(Some("shop"), name)
    }

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn whole_names_are_matched() {
        let patterns = Patterns::parse("k", &list(&[r"shop\.or.*", "shop.Items"])).unwrap();
        for (name, expected) in
            [("orders", true), ("items", false), ("Items", true), ("xor", false)]
        {
            assert_eq!(patterns.contain(&table(name)), expected, "{name}");
        }
        for (text, words) in [("a(", "Unclosed group"), ("(?!a).*", "look-around")] {
            let error = Patterns::parse("table.include.list", &list(&[text])).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("table.include.list: "), "{text}");
        }
    }

    #[test]
    fn exactly_one_entry_is_for_a_table() {
        let entries = list(&[r"shop\.o.*:[changed|made]", r".*\.items:at", ".*orders : x"]);
        let mapping = Mapping::parse("timestamp.columns.mapping", &entries).unwrap();
        assert_eq!(mapping.columns(&table("others")).unwrap(), ["changed", "made"]);
        assert_eq!(mapping.columns(&table("items")).unwrap(), ["at"]);
        for (name, words) in [("orders", "two entries"), ("users", "no entry")] {
            let error = mapping.columns(&table(name)).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(name), "{error}");
        }
        for text in ["no colon", "t:", "t:[a|]"] {
            Mapping::parse("k", &list(&[text])).unwrap_err();
        }
    }
}
