//! Decides how each table of a database would best be read, and writes configurations that do it.

use std::collections::{BTreeMap, BTreeSet};

use millrace_api::config::Props;
use millrace_api::{Discovery, Result, Source};

use crate::dialect::survey::{Surveyed, SurveyedColumn};
use crate::source::Confluent;
use crate::source::config::SourceConfig;
use crate::table::{Quoting, TableId};

/// More tasks than this are for somebody who has measured.
const MOST_TASKS: usize = 4;
/// Parts of names of columns that say when a row was changed, not when it was made.
const CHANGES: [&str; 4] = ["updat", "modif", "chang", "last_"];
const HEADINGS: [&str; 5] = ["table", "rows", "primary key", "mode", "columns"];

/// Asks the catalog, and no table.
pub(super) async fn discover(config: &SourceConfig, props: &Props) -> Result<Discovery> {
    let dialect = config.dialect(props)?;
    let mark = dialect.quote_mark();
    // Somebody waits: one attempt is enough.
    let mut connection = dialect.connect().await?;
    let listed = connection.tables(&config.table_filter()).await?;
    let chosen: BTreeSet<TableId> = config.chosen(listed, mark)?.into_iter().collect();
    let mut tables = connection.survey().await?;
    connection.close().await;
    tables.retain(|surveyed| chosen.contains(&surveyed.table));
    Ok(Discovery {
        headings: HEADINGS.to_vec(),
        found: tables.iter().map(line).collect(),
        notes: notes(&tables, Quoting::Always(mark)),
        suggested: suggestions(&tables, props),
    })
}

/// How a table would be read.
struct Way<'a> {
    id: Option<&'a SurveyedColumn>,
    time: Option<&'a SurveyedColumn>,
}

impl<'a> Way<'a> {
    fn of(surveyed: &'a Surveyed) -> Self {
        let sole_key = surveyed.key().len() == 1;
        let ids = || surveyed.columns.iter().filter(|c| c.is_integer && !c.nullable);
        let id =
            ids().find(|c| c.counts_up).or_else(|| ids().find(|c| sole_key && c.key_place > 0));
        let says_change = |column: &&SurveyedColumn| {
            let name = column.name.to_lowercase();
            column.is_time && !column.nullable && CHANGES.iter().any(|part| name.contains(part))
        };
        Self { id, time: surveyed.columns.iter().find(says_change) }
    }

    fn mode(&self) -> &'static str {
        match (self.time, self.id) {
            (Some(_), Some(_)) => "timestamp+incrementing",
            (Some(_), None) => "timestamp",
            (None, Some(_)) => "incrementing",
            (None, None) => "bulk",
        }
    }

    /// The columns that the rows are ordered by.
    fn columns(&self) -> impl Iterator<Item = &'a SurveyedColumn> {
        self.time.into_iter().chain(self.id)
    }

    /// The keys that differ between configurations. A column that counts up is found by itself.
    fn keys(&self) -> BTreeMap<&'static str, &'a str> {
        let mut keys = BTreeMap::from([("mode", self.mode())]);
        if let Some(id) = self.id.filter(|id| !id.counts_up) {
            keys.insert("incrementing.column.name", &id.name);
        }
        if let Some(time) = self.time {
            keys.insert("timestamp.column.name", &time.name);
        }
        keys
    }
}

fn line(surveyed: &Surveyed) -> Vec<String> {
    let way = Way::of(surveyed);
    let columns: Vec<&str> = way.columns().map(|column| column.name.as_str()).collect();
    vec![
        surveyed.table.to_string(),
        surveyed.rows.map_or_else(|| "?".to_owned(), |rows| format!("~{rows}")),
        surveyed.key().join(", "),
        way.mode().to_owned(),
        columns.join(", "),
    ]
}

fn notes(tables: &[Surveyed], quoting: Quoting) -> Vec<String> {
    let mut notes = Vec::new();
    let mut modes = BTreeSet::new();
    for surveyed in tables {
        let (table, way) = (&surveyed.table, Way::of(surveyed));
        modes.insert(way.mode());
        match way.columns().next() {
            Some(first) if !first.leads_index => {
                let columns: Vec<String> = way.columns().map(|c| quoting.sql(&c.name)).collect();
                notes.push(format!(
                    "each poll reads all of {table} without an index: CREATE INDEX {} ON {} ({})",
                    quoting.sql(&format!("{}_{}", table.name, first.name)),
                    table.sql(quoting),
                    columns.join(", ")
                ));
            }
            Some(_) => {}
            None => notes.push(format!(
                "nothing in {table} says which rows are new: each poll sends all of it"
            )),
        }
        if listed(table).is_none() {
            notes.push(format!("{table} is left out: no list can hold a name with a comma"));
        } else if !is_topic(&table.name) {
            notes.push(format!(
                "{table} is left out: no topic can be called so; read it with query and a \
                 topic.prefix of its own"
            ));
        }
    }
    if modes.contains("incrementing") {
        notes.push("incrementing sees new rows, and no rows that are changed".to_owned());
    }
    if modes.iter().any(|mode| *mode != "bulk") {
        notes.push("no mode but bulk sees that rows are deleted".to_owned());
    }
    notes
}

/// A table's name in a list of a configuration.
fn listed(table: &TableId) -> Option<String> {
    let name = table.to_string();
    (!name.contains(',') && name.trim() == name).then_some(name)
}

/// Whether a topic may have such a name after its prefix.
fn is_topic(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A configuration for the tables of each way.
fn suggestions(tables: &[Surveyed], props: &Props) -> Vec<Props> {
    let mut ways: BTreeMap<BTreeMap<&str, &str>, Vec<String>> = BTreeMap::new();
    for surveyed in tables {
        let way = Way::of(surveyed).keys();
        let table = Some(&surveyed.table).filter(|table| is_topic(&table.name));
        ways.entry(way).or_default().extend(table.and_then(listed));
    }
    ways.retain(|_, tables| !tables.is_empty());
    let several = ways.len() > 1;
    let database = Place::of(props);
    let suggestion = |(i, (way, tables)): (usize, (BTreeMap<&str, &str>, Vec<String>))| {
        let number = if several { format!("-{}", i + 1) } else { String::new() };
        let mut config = database.keys.clone();
        let mut set = |key: &str, value: String| config.insert(key.to_owned(), value);
        set("name", format!("{}{number}", database.name));
        set("connector.class", Confluent::CLASS.to_owned());
        set("tasks.max", tables.len().min(MOST_TASKS).to_string());
        set("topic.prefix", format!("{}-", database.name));
        set("table.whitelist", tables.join(","));
        for (key, value) in way {
            set(key, value.to_owned());
        }
        config
    };
    ways.into_iter().enumerate().map(suggestion).collect()
}

/// Where the database is.
struct Place {
    /// Fit for a topic.
    name: String,
    /// Keys without secrets.
    keys: Props,
}

/// What stands for a password, with a provider that Kafka has.
const PASSWORD: &str = "${directory:/run/secrets:database-password}";

impl Place {
    fn of(props: &Props) -> Self {
        let url = props.get("connection.url").map_or("", |url| url.trim());
        let (place, settings) = url.split_once('?').unwrap_or((url, ""));
        let is_secret = |name: &str| name.to_lowercase().contains("password");
        let (secret, open): (Vec<&str>, Vec<&str>) =
            settings.split('&').filter(|s| !s.is_empty()).partition(|setting| is_secret(setting));
        let url = match open.is_empty() {
            true => place.to_owned(),
            false => format!("{place}?{}", open.join("&")),
        };
        let kept = |key: &str| key.starts_with("connection.") && !is_secret(key);
        let mut keys: Props = props.clone();
        keys.retain(|key, _| kept(key));
        keys.insert("connection.url".to_owned(), url);
        if !secret.is_empty() || props.contains_key("connection.password") {
            keys.insert("connection.password".to_owned(), PASSWORD.to_owned());
        }
        let last = place.rsplit(['/', ':']).next().unwrap_or("");
        let stem = last.split('.').next().unwrap_or("");
        let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name: String = stem.chars().filter(legal).collect();
        Self { name: if name.is_empty() { "database".to_owned() } else { name }, keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> SurveyedColumn {
        SurveyedColumn { name: name.to_owned(), ..SurveyedColumn::default() }
    }

    fn table(name: &str, columns: Vec<SurveyedColumn>) -> Surveyed {
        Surveyed { table: TableId::new(Some("s"), name), rows: None, columns }
    }

    #[test]
    fn columns_decide_the_mode() {
        let integer = |name| SurveyedColumn { is_integer: true, ..column(name) };
        let serial = |name| SurveyedColumn { counts_up: true, ..integer(name) };
        let key = |name| SurveyedColumn { key_place: 1, ..integer(name) };
        let time = |name| SurveyedColumn { is_time: true, ..column(name) };
        let maybe = |column| SurveyedColumn { nullable: true, ..column };
        for (columns, mode) in [
            (vec![key("id")], "incrementing"),
            (vec![key("id"), serial("n")], "incrementing"),
            (vec![integer("id")], "bulk"),
            (vec![maybe(serial("id"))], "bulk"),
            (vec![key("a"), SurveyedColumn { key_place: 2, ..integer("b") }], "bulk"),
            (vec![time("created_at")], "bulk"),
            (vec![time("UpdatedAt")], "timestamp"),
            (vec![maybe(time("updated_at")), serial("id")], "incrementing"),
            (vec![serial("id"), time("last_change")], "timestamp+incrementing"),
        ] {
            assert_eq!(Way::of(&table("t", columns.clone())).mode(), mode, "{columns:?}");
        }
    }

    #[test]
    fn tables_that_are_read_alike_share_a_configuration_and_no_secret_is_in_it() {
        let serial = SurveyedColumn { counts_up: true, is_integer: true, ..column("id") };
        let key = SurveyedColumn { key_place: 1, is_integer: true, ..column("no") };
        let tables = [
            table("a", vec![serial.clone()]),
            table("b", vec![key]),
            table("c", vec![SurveyedColumn { name: "other".to_owned(), ..serial }]),
            table("x,y", vec![column("text")]),
            table("bills ü", vec![column("text")]),
        ];
        let url = "jdbc:postgresql://db/shop?user=me&password=hunter2&sslpassword=hunter2&ssl=true";
        let mut props = Props::from([("connection.url".to_owned(), url.to_owned())]);
        props.insert("connection.password".to_owned(), "hunter2".to_owned());
        let suggested = suggestions(&tables, &props);
        assert!(!format!("{suggested:?}").contains("hunter2"));
        let lists: Vec<&str> = suggested.iter().map(|c| c["table.whitelist"].as_str()).collect();
        assert_eq!(lists, ["s.b", "s.a,s.c"]);
        assert_eq!(suggested[0]["incrementing.column.name"], "no");
        assert_eq!(suggested[0]["name"], "shop-1");
        assert_eq!(suggested[1]["connection.url"], "jdbc:postgresql://db/shop?user=me&ssl=true");
        assert_eq!(suggested[1]["connection.password"], PASSWORD);
        let notes = notes(&tables, Quoting::Always('"'));
        assert!(notes[0].contains(r#"CREATE INDEX "a_id" ON "s"."a" ("id")"#), "{notes:?}");
        for left_out in ["s.x,y is left out", "s.bills ü is left out: no topic"] {
            assert!(notes.iter().any(|note| note.contains(left_out)), "{notes:?}");
        }
    }
}
