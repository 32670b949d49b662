//! Decides what an error of a write to MySQL or MariaDB means: who is at fault, and what helps.

use millrace_api::{Error, ErrorKind};
use sqlx::Error as SqlError;
use sqlx::mysql::MySqlDatabaseError;

use crate::dialect::judge;

/// An error as one of ours. Values of rows are repeated only where they may be shown.
pub(super) fn judge(error: SqlError, table: &str, shows_values: bool) -> Error {
    let (kind, remedy) = match &error {
        SqlError::Database(database) => match database.try_downcast_ref::<MySqlDatabaseError>() {
            Some(server) => fault(server.number(), server.code().unwrap_or_default()),
            None => (ErrorKind::Fatal, None),
        },
        SqlError::Io(_) | SqlError::Protocol(_) | SqlError::WorkerCrashed => {
            (ErrorKind::Retriable, None)
        }
        _ => (ErrorKind::Fatal, None),
    };
    let mut ours = judge::of_writing(kind, remedy, table);
    // What is wrong with a row is told with its values.
    let may_be_told = shows_values || kind != ErrorKind::Data;
    match &error {
        SqlError::Database(database) => {
            if may_be_told {
                ours = ours.context("error", database.message());
            }
            if let Some(server) = database.try_downcast_ref::<MySqlDatabaseError>() {
                ours = ours.context("number", server.number());
            }
            ours = ours.context("SQLState", database.code().unwrap_or_default());
        }
        other => ours = ours.context("error", other),
    }
    if may_be_told { ours.with_source(error) } else { ours }
}

const TABLE: &str = "the table or its database was dropped or renamed; create it, or set \
                     auto.create";
const RIGHTS: &str = "give connection.user the right: GRANT SELECT, INSERT, UPDATE, DELETE ON the \
                      table, CREATE and ALTER for auto.create and auto.evolve";
const KEY_TOO_LONG: &str = "a key of so many texts is too long for an index; create the table by \
                            hand with shorter columns";

/// Who is at fault, and a remedy, by the error number, else by the class of the SQLSTATE.
fn fault(number: u16, state: &str) -> (ErrorKind, Option<&'static str>) {
    use ErrorKind::{Data, Fatal, Retriable};
    match number {
        1044 | 1142 | 1143 | 1227 => (Fatal, Some(RIGHTS)),
        1049 | 1051 | 1146 => (Fatal, Some(TABLE)),
        1071 => (Fatal, Some(KEY_TOO_LONG)),
        1054 | 1136 => (Fatal, Some("the table was altered meanwhile")),
        1114 => (Retriable, Some("the table or the disk of the server is full")),
        1290 | 1792 | 1836 => (Retriable, Some("the server is read-only")),
        1205 => (Retriable, Some("something else locks rows of the table")),
        1030 | 1099 | 1100 | 1223 | 1615 => (Retriable, None),
        // Values that do not fit, constraints without a state of their own, rows too long, and
        // what triggers and views refuse.
        1118 | 1153 | 1264 | 1265 | 1292 | 1300 | 1364 | 1366 | 1367 | 1369 | 1406 | 1411
        | 1416 | 1526 | 1644 | 1690 | 1748 | 3140 | 3819 | 4025 | 4038 => (Data, None),
        _ if judge::mysql(number, state).0 => (Retriable, None),
        _ => match state.get(..2) {
            Some("22" | "23" | "44" | "45") => (Data, None),
            _ => (Fatal, None),
        },
    }
}
