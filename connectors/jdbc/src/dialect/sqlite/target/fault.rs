//! Decides what an error of a write to SQLite means: whether a row is at fault, or nothing that
//! lasts.

use millrace_api::{Error, ErrorKind};
use sqlx::Error as SqlError;

use crate::dialect::judge;

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const OUT_OF_MEMORY: i32 = 7;
const READ_ONLY: i32 = 8;
const IO: i32 = 10;
const FULL: i32 = 13;
const PROTOCOL: i32 = 15;
const SCHEMA_CHANGED: i32 = 17;
const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
/// What a trigger refuses, with all of the result code.
const RAISED: &str = "1811";

/// An error as one of ours. What triggers say may have values of rows in it, and is repeated only
/// where these may be shown.
pub(super) fn judge(error: SqlError, table: &str, shows_values: bool) -> Error {
    let (kind, remedy) = match &error {
        SqlError::Database(database) => {
            let code = database.code().and_then(|code| code.parse().ok()).unwrap_or_default();
            by_code(code, database.message())
        }
        SqlError::Io(_) | SqlError::WorkerCrashed => (ErrorKind::Retriable, ""),
        _ => (ErrorKind::Fatal, ""),
    };
    let remedy = Some(remedy).filter(|remedy| !remedy.is_empty());
    let mut ours = judge::of_writing(kind, remedy, table);
    let may_be_told = match &error {
        SqlError::Database(database) => {
            let code = database.code().unwrap_or_default();
            let may_be_told = shows_values || code != RAISED;
            if may_be_told {
                ours = ours.context("error", database.message());
            }
            ours = ours.context("SQLState", code);
            may_be_told
        }
        other => {
            ours = ours.context("error", other);
            true
        }
    };
    if may_be_told { ours.with_source(error) } else { ours }
}

/// By SQLite's result code, whose low byte is the kind.
fn by_code(code: i32, message: &str) -> (ErrorKind, &'static str) {
    match code & 0xff {
        CONSTRAINT | MISMATCH => (ErrorKind::Data, ""),
        TOO_BIG => (ErrorKind::Data, "a value is larger than SQLite takes"),
        BUSY | LOCKED => (ErrorKind::Retriable, "another program writes to the database"),
        FULL => (ErrorKind::Retriable, "the disk that holds the database is full"),
        IO => (ErrorKind::Retriable, "check the disk that holds the database"),
        OUT_OF_MEMORY | PROTOCOL | SCHEMA_CHANGED => (ErrorKind::Retriable, ""),
        READ_ONLY => (ErrorKind::Fatal, "this user may not write to the file or its folder"),
        _ if message.contains("ON CONFLICT clause does not match") => (
            ErrorKind::Fatal,
            "give the table a primary key or a unique index of the columns of pk.fields",
        ),
        _ => (ErrorKind::Fatal, ""),
    }
}
