//! Decides the statement that writes rows.
//!
//! Each column is one parameter, an array of all its values; the server makes rows of them. That
//! is one message there and one back, and one statement for any number of rows.

use millrace_api::{Error, Result};

use super::route::{ColumnType, Generated, Route, column};
use crate::dialect::target::{Action, TargetField, TargetTable, is_exact};
use crate::table::Quoting;

/// The catalog's spelling is exact: names are quoted whatever `quote.sql.identifiers` says.
const QUOTED: Quoting = Quoting::Always('"');

/// How rows of one shape are written.
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    /// None where there is nothing to change.
    pub(super) sql: Option<String>,
}

impl Plan {
    pub(super) fn of(action: Action, table: &TargetTable, fields: &[TargetField]) -> Result<Self> {
        if action != Action::Insert && !fields.iter().any(|field| field.is_key) {
            let message = "rows can only be told apart by key columns; set pk.mode";
            return Err(Error::config(message).context("table", &table.id));
        }
        let routes: Vec<_> =
            fields.iter().map(|field| Route::of(table, field)).collect::<Result<_>>()?;
        let target = table.id.sql(QUOTED);
        let columns: Vec<_> = fields.iter().zip(&routes).enumerate().map(Column::new).collect();
        let sent: Vec<_> = columns.iter().map(|column| column.sent.as_str()).collect();
        let rows = format!("(SELECT {}) AS s", sent.join(", "));
        let keys = || columns.iter().filter(|column| column.is_key);
        let others = || columns.iter().filter(|column| !column.is_key);
        let same = || join(keys(), " AND ", |c| format!("t.{} = {}", c.name, c.compared));
        let sql = match action {
            Action::Update if others().next().is_none() => None,
            Action::Update => {
                let set = join(others(), ", ", |c| format!("{} = {}", c.name, c.value));
                let (rows, same) = match fields.iter().all(|f| !f.is_key || is_exact(&f.schema)) {
                    true => (rows, same()),
                    false => last_of_each(&target, &columns, &same()),
                };
                Some(format!("UPDATE {target} AS t SET {set} FROM {rows} WHERE {same}"))
            }
            Action::Delete => {
                Some(format!("DELETE FROM {target} AS t USING {rows} WHERE {}", same()))
            }
            Action::Insert | Action::Upsert => {
                let names = join(columns.iter(), ", ", |c| c.name.clone());
                let values = join(columns.iter(), ", ", |c| c.value.clone());
                let overriding = overriding(table, fields)?;
                let insert = format!(
                    "INSERT INTO {target} ({names}){overriding} SELECT {values} FROM {rows}"
                );
                let keys = join(keys(), ", ", |c| c.name.clone());
                let set = join(others(), ", ", |c| format!("{0} = EXCLUDED.{0}", c.name));
                Some(match (action, set.as_str()) {
                    (Action::Insert, _) => insert,
                    (_, "") => format!("{insert} ON CONFLICT ({keys}) DO NOTHING"),
                    _ => format!("{insert} ON CONFLICT ({keys}) DO UPDATE SET {set}"),
                })
            }
        };
        Ok(Self { routes, sql })
    }
}

/// The rows whose keys are there: of those that the server holds for the same, the last. And what
/// tells which rows of the table they are.
fn last_of_each(target: &str, columns: &[Column], same: &str) -> (String, String) {
    let sent = join(columns.iter(), ", ", |c| c.sent.clone());
    let keys = || columns.iter().filter(|column| column.is_key).enumerate();
    let list = |sql: &dyn Fn(usize, &Column) -> String, separator: &str| {
        keys().map(|(i, column)| sql(i, column)).collect::<Vec<_>>().join(separator)
    };
    let names = list(&|_, c| format!("t.{}", c.name), ", ");
    let found = list(&|i, c| format!("t.{} AS k{i}", c.name), ", ");
    let rows = format!(
        "(SELECT DISTINCT ON ({names}) {found}, s.* FROM {target} AS t \
         JOIN (SELECT {sent}, generate_subscripts({}, 1) AS n) AS s ON {same} \
         ORDER BY {names}, s.n DESC) AS s",
        columns[0].array
    );
    (rows, list(&|i, c| format!("t.{} = s.k{i}", c.name), " AND "))
}

/// A column in SQL.
struct Column {
    name: String,
    is_key: bool,
    /// Its parameter.
    array: String,
    /// Its parameter, as rows.
    sent: String,
    /// Its value, to be assigned or compared.
    value: String,
    compared: String,
}

impl Column {
    fn new((at, (field, route)): (usize, (&TargetField, &Route))) -> Self {
        let cast = |kind: &Option<String>| match kind {
            Some(kind) => format!("s.c{at}::{kind}"),
            None => format!("s.c{at}"),
        };
        let array = format!("${}::{}[]", at + 1, route.sent_as);
        Self {
            name: QUOTED.sql(&field.column),
            is_key: field.is_key,
            sent: format!("unnest({array}) AS c{at}"),
            array,
            value: cast(&route.cast),
            compared: cast(&route.compared_as),
        }
    }
}

fn join<'a>(
    columns: impl Iterator<Item = &'a Column>,
    separator: &str,
    sql: impl Fn(&Column) -> String,
) -> String {
    columns.map(sql).collect::<Vec<_>>().join(separator)
}

/// What is written into an identity column counts.
fn overriding(table: &TargetTable, fields: &[TargetField]) -> Result<&'static str> {
    for field in fields {
        let kind = &column(table, field)?.type_name;
        if ColumnType::parse(kind).generated == Generated::Identity {
            return Ok(" OVERRIDING SYSTEM VALUE");
        }
    }
    Ok("")
}
