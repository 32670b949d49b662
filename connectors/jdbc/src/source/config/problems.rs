//! What is wrong with a configuration that no single key shows.

use std::cell::RefCell;
use std::error::Error as _;
use std::iter;

use millrace_api::Error;
use millrace_api::config::{ConfigError, Props};

use super::{DEFAULT_PROVIDER, Mode, SourceConfig, is_select};
use crate::calendar;
use crate::settings::Problems;

const SELECT: &str = "the statement must begin with SELECT";
const NOT_WITH_A_QUERY: &str = "a query names its tables itself: leave this out with query";
const ONE_KIND: &str = "table.whitelist, table.blacklist and *.column.name do not go with \
                        table.include.list, table.exclude.list and *.mapping; use one kind";

/// An error without the words of the database: these repeat parts of the query.
fn masked(error: &Error) -> String {
    let state = answer(error).and_then(sqlx::error::DatabaseError::code);
    let state = state.map_or(String::new(), |state| format!(" (SQLState: {state})"));
    match error.is_retriable() {
        true => format!("reading the query was interrupted{state}"),
        false => {
            format!("the database refuses the query{state}; run it by hand to see what it says")
        }
    }
}

/// An error of our own without parts of the query: some databases name a column by its expression.
fn without_parts(error: &Error, query: &str) -> Error {
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
    let parts = RefCell::new(Vec::new());
    let _ = error.rewritten(&|text| {
        if !is_name(text) && query.contains(text) {
            parts.borrow_mut().push(text.to_owned());
        }
        String::new()
    });
    let parts = parts.into_inner();
    error
        .rewritten(&|text| parts.iter().fold(text.to_owned(), |text, part| text.replace(part, "…")))
}

/// What the database answered, where that is the cause.
fn answer(error: &Error) -> Option<&dyn sqlx::error::DatabaseError> {
    let causes = iter::successors(error.source(), |cause| (*cause).source());
    causes.filter_map(|cause| cause.downcast_ref()).find_map(|cause| match cause {
        sqlx::Error::Database(answer) => Some(&**answer),
        _ => None,
    })
}

fn any(keys: &[(&str, bool)]) -> bool {
    keys.iter().any(|(_, is_set)| *is_set)
}

impl SourceConfig {
    /// What is wrong that no single key shows. Opens nothing.
    pub(crate) fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Problems(self.unsupported());
        self.check_tables(&mut problems);
        self.check_query(&mut problems);
        self.check_mode(&mut problems);
        problems.add_error("connection.url", self.dialect(&Props::new()));
        problems.add_error("db.timezone", calendar::zone(self.db_timezone.trim()));
        problems.add_error("table.include.list", self.included());
        problems.add_error("table.exclude.list", self.excluded());
        problems.add_error("mode.mapping", self.modes());
        problems.add_error("timestamp.columns.mapping", self.timestamp_mapping());
        problems.add_error("incrementing.column.mapping", self.incrementing_mapping());
        problems.0
    }

    /// What the database says of the query, under its key. Of a query that is not to be shown, the
    /// database's words are not shown either: they repeat parts of it.
    pub(crate) fn query_problem(&self, error: &Error) -> ConfigError {
        let (key, message) = match self.query.trim() {
            "" => ("query.masked", masked(error)),
            _ => ("query", error.to_string()),
        };
        ConfigError { key: key.to_owned(), message }
    }

    /// An error of reading, without the database's words where the query is not to be shown.
    pub(crate) fn shown(&self, error: Error) -> Error {
        match (self.query_masked.value().trim(), answer(&error)) {
            ("", _) => error,
            (_, Some(_)) => Error::new(error.kind(), masked(&error)),
            (query, None) => without_parts(&error, query),
        }
    }

    /// The key that chooses tables.
    pub(crate) fn table_key(&self) -> &'static str {
        let keys = [self.patterns(), self.lists()].concat();
        keys.iter().find(|(_, is_set)| *is_set).map_or("table.whitelist", |(key, _)| key)
    }

    fn lists(&self) -> [(&'static str, bool); 2] {
        [
            ("table.whitelist", !self.table_whitelist.is_empty()),
            ("table.blacklist", !self.table_blacklist.is_empty()),
        ]
    }

    fn patterns(&self) -> [(&'static str, bool); 2] {
        [
            ("table.include.list", !self.table_include_list.is_empty()),
            ("table.exclude.list", !self.table_exclude_list.is_empty()),
        ]
    }

    fn mappings(&self) -> [(&'static str, bool); 2] {
        [
            ("timestamp.columns.mapping", !self.timestamp_columns_mapping.is_empty()),
            ("incrementing.column.mapping", !self.incrementing_column_mapping.is_empty()),
        ]
    }

    fn check_tables(&self, problems: &mut Problems) {
        let columns = [
            ("timestamp.column.name", !self.timestamp_column_name.is_empty()),
            ("incrementing.column.name", !self.incrementing_column_name.trim().is_empty()),
        ];
        let old = [self.lists(), columns].concat();
        let new = [self.patterns(), self.mappings()].concat();
        if any(&old) && any(&new) {
            problems.add_to_each(&[old, new].concat(), ONE_KIND);
        }
        if self.lists().iter().all(|(_, is_set)| *is_set) {
            let message = "table.whitelist and table.blacklist exclude each other; set one";
            problems.add_to_each(&self.lists(), message);
        }
        if self.table_include_list.is_empty() {
            let message = "this is for the tables of table.include.list, which is not set";
            problems.add_to_each(&self.patterns(), message);
            problems.add_to_each(&self.mappings(), message);
        }
    }

    fn check_query(&self, problems: &mut Problems) {
        let masked = self.query_masked.value();
        let both = [("query", !self.query.is_empty()), ("query.masked", !masked.is_empty())];
        if both.iter().all(|(_, is_set)| *is_set) {
            let message = "query and query.masked exclude each other; set one";
            problems.add_to_each(&both, message);
        }
        if !masked.trim().is_empty() && !is_select(masked) {
            problems.add("query.masked", SELECT);
        }
        if self.reads_query() {
            problems.add_to_each(&self.lists(), NOT_WITH_A_QUERY);
            problems.add_to_each(&self.patterns(), NOT_WITH_A_QUERY);
            let modes = [("mode.mapping", !self.mode_mapping.is_empty())];
            problems.add_to_each(&modes, NOT_WITH_A_QUERY);
            if self.topic_prefix.trim().is_empty() {
                let message = "with a query this is the whole name of the topic; set it";
                problems.add("topic.prefix", message);
            }
            if self.key().is_some_and(|key| key.columns.is_empty()) {
                problems.add("key.fields", "a query has no primary key: name the key's columns");
            }
            if self.mode().has_ids() && self.incrementing_column_name.trim().is_empty() {
                let message = "this mode needs the name of the column with a query";
                problems.add("incrementing.column.name", message);
            }
        }
    }

    fn check_mode(&self, problems: &mut Problems) {
        if self.mode.is_empty() {
            let message = "Query mode must be specified: bulk, incrementing, timestamp or \
                           timestamp+incrementing";
            problems.add("mode", message);
        }
        let with_patterns = !self.table_include_list.is_empty();
        let key = match with_patterns {
            true => ("timestamp.columns.mapping", self.timestamp_columns_mapping.is_empty()),
            false => ("timestamp.column.name", self.timestamp_column_name.is_empty()),
        };
        let any = |is: fn(Mode) -> bool| self.modes().is_ok_and(|modes| modes.any(is));
        if any(Mode::has_times) && key.1 {
            problems.add(key.0, "this mode needs the columns that say when a row was written");
        }
        let message = "the mode does not look at these columns; leave this out";
        let [times, ids] = self.mappings();
        let useless =
            [(times.0, times.1 && !any(Mode::has_times)), (ids.0, ids.1 && !any(Mode::has_ids))];
        problems.add_to_each(&useless, message);
    }

    /// Values that Confluent's connector knows and this one does not yet.
    fn unsupported(&self) -> Vec<ConfigError> {
        let checks = [
            (
                "jdbc.credentials.provider.class",
                self.credentials_provider.as_str() != DEFAULT_PROVIDER,
                "set connection.user and connection.password",
            ),
            (
                "transaction.isolation.mode",
                self.transaction_isolation_mode.eq_ignore_ascii_case("SQL_SERVER_SNAPSHOT"),
                "it is for SQL Server; choose another level",
            ),
        ];
        let problem = |(key, wrong, remedy): &(&str, bool, &str)| {
            wrong.then(|| ConfigError {
                key: (*key).to_owned(),
                message: format!("this value of {key} is not supported yet; {remedy}"),
            })
        };
        checks.iter().filter_map(problem).collect()
    }
}
