//! Decides which table a topic goes to.

use std::collections::BTreeMap;

use millrace_api::config::java_regex;
use millrace_api::{Error, Result};
use regex::Regex;

use crate::table::{TableId, parts};

/// `table.name.format` and what comes before it.
pub(super) struct TableNames {
    format: String,
    mark: char,
    by_topic: BTreeMap<String, String>,
    by_pattern: Vec<(Regex, String)>,
    normalizes: bool,
    is_flat: bool,
}

impl TableNames {
    /// Tables by a format with `${topic}`; names in it may be quoted with the mark.
    pub(super) fn new(format: &str, mark: char) -> Self {
        Self {
            format: format.to_owned(),
            mark,
            by_topic: BTreeMap::new(),
            by_pattern: Vec::new(),
            normalizes: false,
            is_flat: false,
        }
    }

    /// And by patterns of topics: `REGEX:TABLE`.
    pub(super) fn mapped(mut self, key: &'static str, entries: &[String]) -> Result<Self> {
        for entry in entries {
            let (pattern, table) = pair(key, entry, "REGEX:TABLE")?;
            let wrong = |why: String| {
                let message = format!("not a regular expression that can be used: {why}");
                Error::config(message).context(key, entry)
            };
            java_regex::check(pattern).map_err(wrong)?;
            let regex =
                Regex::new(&format!("^(?:{pattern})$")).map_err(|e| wrong(e.to_string()))?;
            self.by_pattern.push((regex, table.to_owned()));
        }
        Ok(self)
    }

    /// And by whole topics: `TOPIC:TABLE`.
    pub(super) fn named(mut self, key: &'static str, entries: &[String]) -> Result<Self> {
        for entry in entries {
            let (topic, table) = pair(key, entry, "TOPIC:TABLE")?;
            self.by_topic.insert(topic.to_owned(), table.to_owned());
        }
        Ok(self)
    }

    /// With underscores for what is neither letter nor digit, in names that the format makes.
    pub(super) fn normalized(mut self, normalizes: bool) -> Self {
        self.normalizes = normalizes;
        self
    }

    /// With underscores for the dots of topics, in names that the format makes.
    pub(super) fn flat(mut self, is_flat: bool) -> Self {
        self.is_flat = is_flat;
        self
    }

    /// The table of a topic.
    pub(super) fn table(&self, topic: &str) -> Result<TableId> {
        self.parse(&self.name(topic)).map_err(|e| e.context("topic", topic))
    }

    /// A table by its name as a user writes it.
    pub(super) fn parse(&self, name: &str) -> Result<TableId> {
        let wrong = |message: &'static str| Error::data(message).context("table", name);
        let parts = parts(name, self.mark)
            .filter(|parts| parts.iter().all(|part| !part.is_empty()))
            .ok_or_else(|| wrong("this is no name of a table; see table.name.format"))?;
        match parts.as_slice() {
            [table] => Ok(TableId::new(None, table)),
            [schema, table] => Ok(TableId::new(Some(schema), table)),
            _ => Err(wrong(
                "a table's name has a schema before it and nothing more: connection.url says \
                 which database. Name tables by table.name.map, such as \
                 [^.]+[.]([^.]+)[.]([^.]+):${1}.${2}, or set table.name.normalize=true",
            )),
        }
    }

    fn name(&self, topic: &str) -> String {
        if let Some(table) = self.by_topic.get(topic) {
            return table.clone();
        }
        for (pattern, table) in &self.by_pattern {
            if let Some(groups) = pattern.captures(topic) {
                let mut name = String::new();
                groups.expand(table, &mut name);
                return name;
            }
        }
        let name = match self.is_flat {
            true => self.format.replace("${topic}", &topic.replace('.', "_")),
            false => self.format.replace("${topic}", topic),
        };
        if self.normalizes {
            return name
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
                .collect();
        }
        name
    }
}

fn pair<'a>(key: &'static str, entry: &'a str, form: &str) -> Result<(&'a str, &'a str)> {
    let split = entry.rsplit_once(':').map(|(a, b)| (a.trim(), b.trim()));
    split
        .filter(|(a, b)| !a.is_empty() && !b.is_empty())
        .ok_or_else(|| Error::config(format!("an entry must be {form}")).context(key, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(names: &TableNames, topic: &str) -> String {
        match names.table(topic) {
            Ok(table) => format!("{:?} {}", table.schema.as_deref().unwrap_or("-"), table.name),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn formats() {
        let check = |format: &str, topic: &str, expected: &str| {
            assert_eq!(name(&TableNames::new(format, '"'), topic), expected, "{format} {topic}");
        };
        check("${topic}", "orders", r#""-" orders"#);
        check("kafka_${topic}_x", "orders", r#""-" kafka_orders_x"#);
        check("${topic}", "shop.orders", r#""shop" orders"#);
        check("\"${topic}\"", "shop.orders", r#""-" shop.orders"#);
        check("shop.\"a\"\"b\"", "t", r#""shop" a"b"#);
        for (format, part) in [
            ("${topic}", "nothing more"),
            ("a..b", "no name of a table"),
            ("\"a", "no name of a table"),
            ("\"a\"b", "no name of a table"),
        ] {
            let text = name(&TableNames::new(format, '"'), "a.b.c");
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn maps_come_before_the_format() {
        let list = |entries: &[&str]| entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>();
        let names = TableNames::new("t_${topic}", '`')
            .mapped("m", &list(&[r"db[.](\w+)[.](\w+):${1}.${2}", ".*-raw:raw"]))
            .unwrap()
            .named("n", &list(&["special-raw:s"]))
            .unwrap()
            .normalized(true);
        assert_eq!(name(&names, "db.shop.orders"), r#""shop" orders"#);
        assert_eq!(name(&names, "x-raw"), r#""-" raw"#);
        assert_eq!(name(&names, "special-raw"), r#""-" s"#);
        assert_eq!(name(&names, "a.b-c.d"), r#""-" t_a_b_c_d"#);
        for entry in ["x", ":t", "(:t", "a:"] {
            let error = TableNames::new("", '`').mapped("m", &list(&[entry])).err().unwrap();
            assert!(error.to_string().contains(&format!("m: {entry}")), "{error}");
        }
    }
}
