//! Judges what a database's error means: whether trying again may help, and what the user can do.

use std::io;

use millrace_api::{Error, ErrorKind};
use sqlx::Error as SqlError;
use sqlx::mysql::MySqlDatabaseError;

/// What is being done when an error comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing<'a> {
    Connecting,
    Listing,
    /// Reading this table, or the query.
    Reading(&'a str),
}

/// The beginning of an error of a write; `table` is empty where it is about none.
pub(crate) fn of_writing(kind: ErrorKind, remedy: Option<&str>, table: &str) -> Error {
    let what = match kind {
        ErrorKind::Retriable => "writing was interrupted",
        ErrorKind::Data => "the database refuses a row",
        _ => "cannot write",
    };
    let ours = match remedy {
        Some(remedy) => Error::new(kind, format!("{what}; {remedy}")),
        None => Error::new(kind, what),
    };
    if table.is_empty() { ours } else { ours.context("table", table) }
}

/// An error of a database as one of ours.
pub(crate) fn judge(error: SqlError, doing: Doing<'_>) -> Error {
    let (passing, remedy) = match &error {
        SqlError::Database(database) => {
            let code = database.code().unwrap_or_default();
            if let Some(mysql_error) = database.try_downcast_ref::<MySqlDatabaseError>() {
                mysql(mysql_error.number(), &code)
            // SQLite's codes are numbers, PostgreSQL's have five places.
            } else if code.len() == 5 {
                postgres(&code)
            } else {
                sqlite(&code, database.message())
            }
        }
        // What TLS says of a certificate comes as this, too.
        SqlError::Io(error)
            if doing == Doing::Connecting && error.kind() == io::ErrorKind::InvalidData =>
        {
            (false, Some(TLS))
        }
        SqlError::Io(_) | SqlError::WorkerCrashed => (true, None),
        SqlError::Protocol(_) => (doing != Doing::Connecting, None),
        SqlError::Tls(_) => (false, Some(TLS)),
        // MySQL's way to send a password without TLS.
        SqlError::Configuration(what) if what.to_string().contains("RSA") => {
            (false, Some("this user's password is sent over TLS only: set sslMode=REQUIRED"))
        }
        _ => (false, None),
    };
    let (what, place) = match doing {
        Doing::Connecting => ("could not connect to the database", None),
        Doing::Listing => ("could not list the tables", None),
        Doing::Reading(place) if passing => ("reading was interrupted", Some(place)),
        Doing::Reading(place) => ("cannot read", Some(place)),
    };
    let mut message = what.to_owned();
    if let Some(place) = place {
        message.push_str(": ");
        message.push_str(place);
    }
    if let Some(remedy) = remedy {
        message.push_str("; ");
        message.push_str(remedy);
    }
    let ours = if passing { Error::retriable(message) } else { Error::fatal(message) };
    let ours = match &error {
        SqlError::Database(database) => {
            let code = database.code().unwrap_or_default();
            let text = database.message().to_owned();
            let ours = ours.context("error", text).context("SQLState", code);
            match database.try_downcast_ref::<MySqlDatabaseError>() {
                Some(mysql_error) => ours.context("number", mysql_error.number()),
                None => ours,
            }
        }
        other => ours.context("error", other),
    };
    // Where it is known what to mend before a connection, that is what somebody has set up.
    match doing == Doing::Connecting && !passing && remedy.is_some() {
        true => ours.with_source(Error::config(error.to_string())),
        false => ours.with_source(error),
    }
}

const TLS: &str =
    "check sslmode and sslrootcert in connection.url, for MySQL sslMode and serverSslCert";
const GONE: &str = "the table or view was dropped or renamed, or is not in the search path; take \
                    it out of table.whitelist or create it again. Without a whitelist the \
                    connector leaves it out by itself after table.poll.interval.ms";
const NO_COLUMN: &str =
    "a column was dropped or renamed; check incrementing.column.name and query, then restart";
const SYNTAX: &str = "check query, query.suffix and quote.sql.identifiers";

/// Whether it may pass, and a remedy, by the class of the SQLState.
fn postgres(code: &str) -> (bool, Option<&'static str>) {
    match code {
        "42P01" | "3F000" => (false, Some(GONE)),
        "42703" => (false, Some(NO_COLUMN)),
        "42501" => (
            false,
            Some("give connection.user the right: GRANT SELECT ON the table, USAGE on its schema"),
        ),
        "42601" | "42702" => (false, Some(SYNTAX)),
        "3D000" => (false, Some("name an existing database in connection.url")),
        "42883" => (
            false,
            Some(
                "a column has no binary form or the incrementing column is no number; leave it \
                  out with query or cast it there",
            ),
        ),
        _ => match code.get(..2) {
            Some("28") => (false, Some("check connection.user and connection.password")),
            // Connection lost, transaction rolled back, out of resources, shut down or starting.
            Some("08" | "40" | "53" | "57" | "58") => (true, None),
            Some("55") => (true, Some("something else locks it")),
            _ => (false, None),
        },
    }
}

/// The same by MySQL's and MariaDB's error number, or the class of the SQLState.
pub(super) fn mysql(number: u16, state: &str) -> (bool, Option<&'static str>) {
    match number {
        1044 | 1142 | 1143 => {
            (false, Some("give connection.user the right: GRANT SELECT ON the table"))
        }
        1045 | 1698 | 3118 | 4151 => (false, Some("check connection.user and connection.password")),
        1049 => (false, Some("name an existing database in connection.url")),
        1054 => (false, Some(NO_COLUMN)),
        1051 | 1146 | 1356 => (false, Some(GONE)),
        1060 => (false, Some("two columns have the same name; give one an alias in the query")),
        1064 => (false, Some(SYNTAX)),
        1129 | 1130 => (false, Some("the server does not let this host in")),
        3024 | 1969 => (false, Some("the server's limit for the time of a statement is too short")),
        3159 => (false, Some("the server takes connections over TLS only: set sslMode=REQUIRED")),
        // Too many connections, shut down, killed, waited for a lock, deadlock, read only for
        // now, table altered half-way, out of memory or disk.
        1021
        | 1037
        | 1038
        | 1040
        | 1041
        | 1053
        | 1105
        | 1114
        | 1152..=1161
        | 1180
        | 1184
        | 1203
        | 1205
        | 1206
        | 1213
        | 1226
        | 1290
        | 1317
        | 1412
        | 1613
        | 1637
        | 1836
        | 1927
        | 2006
        | 2013
        | 3572 => (true, None),
        _ => match state.get(..2) {
            Some("08" | "40" | "53" | "57") => (true, None),
            _ => (false, None),
        },
    }
}

/// The same by SQLite's result code; its low byte is the kind.
fn sqlite(code: &str, message: &str) -> (bool, Option<&'static str>) {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const IO: i32 = 10;
    const CORRUPT: i32 = 11;
    const CANNOT_OPEN: i32 = 14;
    const SCHEMA_CHANGED: i32 = 17;
    const NOT_A_DATABASE: i32 = 26;
    match code.parse::<i32>().unwrap_or_default() & 0xff {
        BUSY | LOCKED => (true, Some("another program writes to the database")),
        SCHEMA_CHANGED => (true, None),
        IO => (true, Some("check the disk that holds the database")),
        CORRUPT => {
            (false, Some("the database file is damaged: check it with PRAGMA integrity_check"))
        }
        CANNOT_OPEN => {
            (false, Some("connection.url must name an existing file that this user may read"))
        }
        NOT_A_DATABASE => (false, Some("connection.url names a file that is no SQLite database")),
        _ if message.contains("no such table") => (false, Some(GONE)),
        _ if message.contains("no such column") => (false, Some(NO_COLUMN)),
        _ if message.contains("syntax error") => (false, Some(SYNTAX)),
        _ => (false, None),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn what_keeps_from_connecting_for_a_known_reason_is_a_configuration() {
        let kind = |doing| {
            let error = judge(SqlError::Tls("no".into()), doing);
            let cause = error.source().and_then(|cause| cause.downcast_ref::<Error>());
            (error.kind(), cause.map(Error::kind))
        };
        assert_eq!(kind(Doing::Connecting), (ErrorKind::Fatal, Some(ErrorKind::Config)));
        assert_eq!(kind(Doing::Reading("t")), (ErrorKind::Fatal, None));
    }

    #[test]
    fn states_that_are_none_do_not_pass() {
        assert!(postgres("57P01").0);
        for code in ["", "5", "a€b", "€57"] {
            assert_eq!(postgres(code), (false, None), "{code}");
        }
    }
}
