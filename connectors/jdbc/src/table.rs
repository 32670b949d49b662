//! Names tables: in SQL, in source offsets, in lists that users write.

use std::fmt;

use millrace_api::{Error, Result};

/// A table as the database's catalog names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableId {
    /// None where the database has no schemas (SQLite).
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

impl TableId {
    pub(crate) fn new(schema: Option<&str>, name: &str) -> Self {
        Self { schema: schema.map(str::to_owned), name: name.to_owned() }
    }

    /// The name in SQL.
    pub(crate) fn sql(&self, quoting: Quoting) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoting.sql(schema), quoting.sql(&self.name)),
            None => quoting.sql(&self.name),
        }
    }

    /// Whether a user means this table by `name`: the bare name, or the qualified one with or
    /// without quotes. Exact: databases differ in how they fold case.
    pub(crate) fn is_called(&self, name: &str, mark: char) -> bool {
        name == self.name || name == self.to_string() || name == self.sql(Quoting::Always(mark))
    }
}

/// The qualified name without quotes: what source offsets are kept under.
impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// Whether names are quoted in SQL (`quote.sql.identifiers`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// With this mark on both sides.
    Always(char),
    Never,
}

impl Quoting {
    /// A name in SQL. A quote mark inside it is doubled.
    pub(crate) fn sql(self, name: &str) -> String {
        match self {
            Self::Always(mark) => {
                let doubled = name.replace(mark, &format!("{mark}{mark}"));
                format!("{mark}{doubled}{mark}")
            }
            Self::Never => name.to_owned(),
        }
    }
}

/// The `tables` of a task's configuration: qualified and quoted, joined by commas.
pub(crate) fn join(tables: &[TableId], mark: char) -> String {
    let names: Vec<String> = tables.iter().map(|table| table.sql(Quoting::Always(mark))).collect();
    names.join(",")
}

/// Undoes [`join`]; names with commas, points and quote marks survive.
pub(crate) fn split(text: &str, mark: char) -> Result<Vec<TableId>> {
    let broken = || {
        let message = "the task's tables are not a list of quoted names";
        Error::config(message).context("tables", text)
    };
    let mut tables = Vec::new();
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (part, after) = quoted(rest, mark).ok_or_else(broken)?;
        parts.push(part);
        match after.chars().next() {
            Some('.') => rest = &after[1..],
            Some(',') | None => {
                let name = parts.pop().ok_or_else(broken)?;
                let schema = parts.pop();
                tables.push(TableId { schema, name });
                if !parts.is_empty() {
                    return Err(broken());
                }
                rest = after.get(1..).unwrap_or("").trim_start();
            }
            Some(_) => return Err(broken()),
        }
    }
    if parts.is_empty() { Ok(tables) } else { Err(broken()) }
}

/// The parts of a qualified name as a user writes it: with points between them, each in quotes or
/// not. None where a quote mark does not end where a part does.
pub(crate) fn parts(text: &str, mark: char) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.starts_with(mark) {
            true => quoted(rest, mark)?,
            false => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        parts.push(part);
        if after.is_empty() {
            return Some(parts);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// One quoted name at the start of a text, and what follows.
fn quoted(text: &str, mark: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text.strip_prefix(mark)?;
    loop {
        let end = rest.find(mark)?;
        name.push_str(&rest[..end]);
        rest = &rest[end + mark.len_utf8()..];
        match rest.strip_prefix(mark) {
            Some(after) => {
                name.push(mark);
                rest = after;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_in_sql_and_in_offsets() {
        let table = TableId::new(Some("public"), "or\"ders");
        assert_eq!(table.to_string(), "public.or\"ders");
        let quoted = table.sql(Quoting::Always('"'));
        assert_eq!(quoted, "\"public\".\"or\"\"ders\"");
        assert_eq!(table.sql(Quoting::Never), "public.or\"ders");
        assert_eq!(TableId::new(None, "t").sql(Quoting::Always('`')), "`t`");
    }

    #[test]
    fn users_may_qualify_and_quote() {
        let table = TableId::new(Some("public"), "orders");
        for name in ["orders", "public.orders", "\"public\".\"orders\""] {
            assert!(table.is_called(name, '"'), "{name}");
        }
        for name in ["Orders", "other.orders", "order", ""] {
            assert!(!table.is_called(name, '"'), "{name}");
        }
    }

    #[test]
    fn broken_lists_are_refused() {
        for text in ["orders", "`a", "`a`.`b`.`c`", "`a`b", "`a`."] {
            let tables = split(text, '`');
            assert!(tables.is_err(), "{text}: {tables:?}");
        }
        assert_eq!(split("", '`').unwrap(), []);
    }

    proptest! {
        #[test]
        fn lists_survive_a_task_configuration(
            names in proptest::collection::vec((proptest::option::of(".{1,8}"), ".{1,8}"), 0..5)
        ) {
            let tables: Vec<_> = names
                .iter()
                .map(|(schema, name)| TableId::new(schema.as_deref(), name))
                .collect();
            prop_assert_eq!(split(&join(&tables, '"'), '"').unwrap(), tables);
        }
    }
}
