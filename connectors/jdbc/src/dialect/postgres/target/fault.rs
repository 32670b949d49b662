//! Judges what PostgreSQL's errors mean while rows are written: who is at fault, and what helps.

use millrace_api::{Error, ErrorKind};
use sqlx::Error as SqlError;
use sqlx::postgres::PgDatabaseError;

use crate::table::TableId;

/// What a statement is about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) table: Option<&'a TableId>,
    /// Whether values of rows may be repeated.
    pub(super) shows_values: bool,
}

/// An error of a statement.
pub(super) fn judge(error: SqlError, about: About<'_>) -> Error {
    let shows_values = about.shows_values;
    let SqlError::Database(database) = &error else {
        let passing =
            matches!(&error, SqlError::Io(_) | SqlError::Protocol(_) | SqlError::WorkerCrashed);
        let kind = if passing { ErrorKind::Retriable } else { ErrorKind::Fatal };
        let words = if passing { "writing was interrupted" } else { "cannot write" };
        let ours = about.named(Error::new(kind, words), None).context("error", &error);
        return ours.with_source(error);
    };
    let Some(server) = database.try_downcast_ref::<PgDatabaseError>() else {
        return about.named(Error::fatal("cannot write"), None).with_source(error);
    };
    let (kind, remedy) = fault(server);
    let words = match kind {
        ErrorKind::Retriable => "writing was interrupted",
        ErrorKind::Data => "the table does not take a row",
        _ => "cannot write",
    };
    let mut message = words.to_owned();
    if let Some(remedy) = remedy {
        message.push_str("; ");
        message.push_str(remedy);
    }
    let mut ours = about.named(Error::new(kind, message), server.table());
    let named = [("constraint", server.constraint()), ("column", server.column())];
    for (name, value) in named {
        if let Some(value) = value {
            ours = ours.context(name, value);
        }
    }
    // A trigger says what it likes, under any SQLSTATE.
    let tells_values = server.routine() == Some("exec_stmt_raise")
        || kind == ErrorKind::Data && !server.code().starts_with("23");
    if shows_values || !tells_values {
        ours = ours.context("error", server.message());
    }
    if let Some(detail) = server.detail().filter(|_| shows_values) {
        ours = ours.context("detail", detail);
    }
    let ours = ours.context("SQLState", server.code());
    if shows_values { ours.with_source(error) } else { ours }
}

impl About<'_> {
    /// With the table; the server may know another, such as a partition.
    fn named(self, error: Error, other: Option<&str>) -> Error {
        match (self.table, other) {
            (Some(table), Some(other)) if table.name != other => {
                error.context("table", table).context("part", other)
            }
            (Some(table), _) => error.context("table", table),
            (None, Some(other)) => error.context("table", other),
            (None, None) => error,
        }
    }
}

const ALTERED: &str = "the table was altered meanwhile: restart the task";
const TABLE: &str = "the table or its schema was dropped or renamed; create it, or set auto.create";
const KEY: &str = "upsert needs a primary key or unique constraint over exactly the columns of \
                   pk.fields: ALTER TABLE … ADD PRIMARY KEY (…), or change pk.fields";
const RIGHTS: &str = "give connection.user the right: GRANT INSERT, UPDATE, DELETE, SELECT ON the \
                      table, USAGE on its schema";
const TYPE: &str = "a field's type does not go into its column; cast it with a transformation, or \
                    change the column";
const VIEW: &str = "write to the view's table, or give the view an INSTEAD OF trigger";
const READ_ONLY: &str = "the server is a standby, or default_transaction_read_only is set";

/// Who is at fault, and a remedy, by the SQLSTATE.
fn fault(error: &PgDatabaseError) -> (ErrorKind, Option<&'static str>) {
    use ErrorKind::{Data, Fatal, Retriable};
    let code = error.code();
    match code {
        // Another type than was described.
        "22P03" | "22P04" | "08P01" | "42703" => (Fatal, Some(ALTERED)),
        "42P01" | "3F000" => (Fatal, Some(TABLE)),
        "42P10" if error.routine() == Some("infer_arbiter_indexes") => (Fatal, Some(KEY)),
        // A row that its own policy does not allow.
        "42501" if error.routine() == Some("ExecWithCheckOptions") => (Data, None),
        "42501" => (Fatal, Some(RIGHTS)),
        "42804" | "42846" | "42883" => (Fatal, Some(TYPE)),
        "55000" | "42809" => (Fatal, Some(VIEW)),
        "25006" => (Retriable, Some(READ_ONLY)),
        "55P03" | "55006" => (Retriable, Some("something else locks the table")),
        "53100" => (Retriable, Some("the database's disk is full")),
        // Rows with keys that the server holds for equal, rows too long for an index.
        "21000" | "54000" | "44000" => (Data, None),
        _ => by_class(code),
    }
}

/// The same by the class of the SQLSTATE, which may be anything: a proxy may answer, too.
fn by_class(code: &str) -> (ErrorKind, Option<&'static str>) {
    use ErrorKind::{Data, Fatal, Retriable};
    match code.get(..2) {
        // Values that do not fit, constraints, and what triggers raise.
        Some("22" | "23" | "P0") => (Data, None),
        Some("08" | "40" | "53" | "57" | "58") => (Retriable, None),
        Some("28") => (Fatal, Some("check connection.user and connection.password")),
        Some("3D") => (Fatal, Some("name an existing database in connection.url")),
        _ => (Fatal, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_are_none_are_nobodys_fault() {
        assert_eq!(by_class("23505").0, ErrorKind::Data);
        for code in ["", "2", "2€2", "€", "x€y"] {
            assert_eq!(by_class(code), (ErrorKind::Fatal, None), "{code}");
        }
    }
}
