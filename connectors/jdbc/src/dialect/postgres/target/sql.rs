//! Decides the statements that write rows.

use millrace_api::{Error, Result};

use super::route::{ColumnType, Generated, Route, column};
use crate::dialect::target::{Action, TargetField, TargetTable};
use crate::table::Quoting;

/// The catalog's spelling is exact: names are quoted whatever `quote.sql.identifiers` says.
pub(super) const QUOTED: Quoting = Quoting::Always('"');

/// How rows of one shape are written.
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    pub(super) steps: Steps,
}

/// The statements of a plan, but for those that make the staging table.
pub(super) enum Steps {
    /// Straight into the table.
    Copy(String),
    /// Into a staging table of this definition, and from there by SQL.
    Staged { definition: String, columns: Vec<String> },
    /// There is nothing to change.
    Nothing,
}

impl Plan {
    pub(super) fn of(action: Action, table: &TargetTable, fields: &[TargetField]) -> Result<Self> {
        if action != Action::Insert && !fields.iter().any(|field| field.is_key) {
            let message = "rows can only be told apart by key columns; set pk.mode";
            return Err(Error::config(message).context("table", &table.id));
        }
        let routes: Vec<_> =
            fields.iter().map(|field| Route::of(table, field)).collect::<Result<_>>()?;
        let is_direct = routes.iter().all(|route| route.is_direct);
        let steps = if action == Action::Update && fields.iter().all(|field| field.is_key) {
            Steps::Nothing
        } else if action == Action::Insert && is_direct && !table.is_view {
            let names: Vec<String> = fields.iter().map(|f| QUOTED.sql(&f.column)).collect();
            Steps::Copy(copy(&table.id.sql(QUOTED), &names))
        } else {
            let columns = (0..routes.len()).map(|i| format!("c{i}"));
            let typed = columns.clone().zip(&routes).map(|(c, r)| format!("{c} {}", r.sent_as));
            let definition = typed.collect::<Vec<_>>().join(", ");
            Steps::Staged { definition, columns: columns.collect() }
        };
        Ok(Self { routes, steps })
    }

    /// What takes rows from a staging table into their own.
    pub(super) fn merge(
        &self,
        action: Action,
        table: &TargetTable,
        fields: &[TargetField],
        staging: &str,
    ) -> Result<String> {
        let of = |(i, route): (usize, &Route)| match &route.cast {
            Some(cast) => format!("s.c{i}::{cast}"),
            None => format!("s.c{i}"),
        };
        let mut values: Vec<String> = self.routes.iter().enumerate().map(of).collect();
        if matches!(action, Action::Update | Action::Delete) {
            // Unlike an assignment, a comparison does not convert.
            for ((field, route), value) in fields.iter().zip(&self.routes).zip(&mut values) {
                if field.is_key && !route.is_direct {
                    let kind = &column(table, field)?.type_name;
                    *value = format!("{value}::{}", ColumnType::parse(kind).sql);
                }
            }
        }
        let target = table.id.sql(QUOTED);
        let names: Vec<String> = fields.iter().map(|f| QUOTED.sql(&f.column)).collect();
        let each = |is_key: bool, write: &dyn Fn(&str, &str) -> String| -> Vec<String> {
            let pairs = names.iter().zip(&values).zip(fields);
            let chosen = pairs.filter(|(_, field)| field.is_key == is_key);
            chosen.map(|((name, value), _)| write(name, value)).collect()
        };
        let same = each(true, &|name, value| format!("t.{name} = {value}")).join(" AND ");
        Ok(match action {
            Action::Insert | Action::Upsert => {
                let mut sql = format!(
                    "INSERT INTO {target} ({}){} SELECT {} FROM {staging} s",
                    names.join(", "),
                    overriding(table, fields)?,
                    values.join(", ")
                );
                if action == Action::Upsert {
                    let keys = each(true, &|name, _| name.to_owned()).join(", ");
                    let set = each(false, &|name, _| format!("{name} = EXCLUDED.{name}"));
                    sql.push_str(&match set.is_empty() {
                        true => format!(" ON CONFLICT ({keys}) DO NOTHING"),
                        false => {
                            format!(" ON CONFLICT ({keys}) DO UPDATE SET {}", set.join(", "))
                        }
                    });
                }
                sql
            }
            Action::Update => {
                let set = each(false, &|name, value| format!("{name} = {value}")).join(", ");
                format!("UPDATE {target} AS t SET {set} FROM {staging} s WHERE {same}")
            }
            Action::Delete => format!("DELETE FROM {target} AS t USING {staging} s WHERE {same}"),
        })
    }
}

pub(super) fn copy(table: &str, columns: &[String]) -> String {
    format!("COPY {table} ({}) FROM STDIN (FORMAT binary)", columns.join(", "))
}

pub(super) fn create(staging: &str, definition: &str) -> String {
    // What the server makes anew or has still: a rollback takes the table away, or does not.
    format!("CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ({definition}) ON COMMIT DELETE ROWS")
}

/// COPY writes into an identity column as it does into any other; INSERT wants to be asked.
fn overriding(table: &TargetTable, fields: &[TargetField]) -> Result<&'static str> {
    for field in fields {
        let kind = &column(table, field)?.type_name;
        if ColumnType::parse(kind).generated == Generated::Identity {
            return Ok(" OVERRIDING SYSTEM VALUE");
        }
    }
    Ok("")
}
