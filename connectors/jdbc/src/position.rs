//! How far a table or query was read, and which rows lie beyond: what Confluent's connector keeps
//! in source offsets (`TimestampIncrementingOffset`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use millrace_api::data::SourceOffset;
use millrace_api::{Error, Result};
use serde_json::Value as Json;

use crate::calendar::Calendar;
use crate::unfinished::Unfinished;

const INCREMENTING: &str = "incrementing";
const TIMESTAMP: &str = "timestamp";
const NANOS: &str = "timestamp_nanos";

const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_MILLI: i64 = 1_000;

/// A point in time, in microseconds since 1970 in UTC: databases keep no finer ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(MICROS_A_MILLI))
    }

    pub(crate) fn micros(self) -> i64 {
        self.0
    }

    /// So much earlier.
    pub(crate) fn before(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis.saturating_mul(MICROS_A_MILLI)))
    }
}

/// The row that was read last. A part that the mode does not look at is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Position {
    pub(crate) timestamp: Option<Moment>,
    pub(crate) incrementing: Option<i64>,
}

impl Position {
    /// What an offset says; a part that it does not name is none.
    ///
    /// # Errors
    ///
    /// Fatal when a part is no whole number.
    pub(crate) fn from_offset(offset: &SourceOffset) -> Result<Self> {
        let part = |key: &'static str| match offset.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(number) => number.as_i64().map(Some).ok_or_else(|| {
                let message = "the committed offset is no whole number; correct or delete it";
                Error::fatal(message).context(key, number)
            }),
        };
        // The nanoseconds of the second hold its milliseconds as well; very old offsets have none.
        let timestamp = match (part(TIMESTAMP)?, part(NANOS)?) {
            (Some(millis), Some(nanos)) => {
                let second = millis.div_euclid(1000).saturating_mul(MICROS_A_SECOND);
                Some(Moment(second.saturating_add(nanos.div_euclid(1000))))
            }
            (millis, _) => millis.map(Moment::from_millis),
        };
        Ok(Self { timestamp, incrementing: part(INCREMENTING)? })
    }

    /// The offset to store; none in bulk mode.
    pub(crate) fn to_offset(self) -> Option<SourceOffset> {
        let mut offset = SourceOffset::new();
        if let Some(Moment(micros)) = self.timestamp {
            let nanos = micros.rem_euclid(MICROS_A_SECOND) * 1000;
            offset.insert(TIMESTAMP.to_owned(), micros.div_euclid(MICROS_A_MILLI).into());
            offset.insert(NANOS.to_owned(), nanos.into());
        }
        if let Some(id) = self.incrementing {
            offset.insert(INCREMENTING.to_owned(), id.into());
        }
        (!offset.is_empty()).then_some(offset)
    }

    /// This position where `last` says nothing, else that. Without times it never goes back: rows
    /// that are late have ids below.
    pub(crate) fn moved_to(self, last: Self) -> Self {
        let timestamp = last.timestamp.or(self.timestamp);
        let incrementing = match timestamp {
            None => last.incrementing.max(self.incrementing),
            Some(_) => last.incrementing.or(self.incrementing),
        };
        Self { timestamp, incrementing }
    }
}

/// Which rows are read, by a position and in its order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Beyond {
    pub(crate) position: Position,
    /// The first of these that is not NULL says when a row was written; none in incrementing mode.
    pub(crate) timestamps: Vec<String>,
    pub(crate) incrementing: Option<String>,
    /// Rows written then or later are left for the next reading.
    pub(crate) until: Moment,
    pub(crate) part: Part,
    /// What was not over before they are read, where that matters.
    pub(crate) unfinished: Option<Arc<Unfinished>>,
}

/// Which rows are read, seen from a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Part {
    /// Those beyond it.
    #[default]
    New,
    /// Those with these ids, wherever it is.
    Among(Vec<RangeInclusive<i64>>),
    /// Those at or below it that were not there before.
    Late(Late),
}

/// What tells rows that were committed late from those that were read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Late {
    /// The times in them are not before.
    pub(crate) since: Moment,
    /// A condition in the database's SQL.
    pub(crate) missed: String,
}

/// How a database writes points in time in SQL.
pub(crate) trait Times: Send + Sync {
    /// A column or expression as something that compares with [`literal`](Self::literal).
    fn comparable(&self, column: &str, _calendar: Calendar) -> String {
        column.to_owned()
    }

    /// A point in time.
    fn literal(&self, moment: Moment, calendar: Calendar) -> String;
}

impl Beyond {
    /// `WHERE` and `ORDER BY`. `name` makes a column's name SQL.
    pub(crate) fn sql(
        &self,
        name: impl Fn(&str) -> String,
        times: &dyn Times,
        calendar: Calendar,
    ) -> String {
        let id = self.incrementing.as_ref().map(|column| name(column));
        if let (Some(id), Part::Among(ranges)) = (&id, &self.part) {
            let range = |ids: &RangeInclusive<i64>| {
                format!("{id} BETWEEN {} AND {}", ids.start(), ids.end())
            };
            let ranges: Vec<String> = ranges.iter().map(range).collect();
            return format!(" WHERE {} ORDER BY {id} ASC", ranges.join(" OR "));
        }
        let after = self.position.incrementing.unwrap_or(i64::MIN);
        let Some(time) = self.time(&name, times, calendar) else {
            let id = id.expect("a row is beyond by its id or its time");
            return format!(" WHERE {id} > {after} ORDER BY {id} ASC");
        };
        let begin = times.literal(self.position.timestamp.unwrap_or_default(), calendar);
        let end = times.literal(self.until, calendar);
        if let Part::Late(Late { since, missed }) = &self.part {
            let since = times.literal(*since, calendar);
            let (read, order) = match id {
                None => (String::new(), time.clone()),
                Some(id) => {
                    (format!(" AND ({time} < {begin} OR {id} <= {after})"), format!("{time}, {id}"))
                }
            };
            return format!(
                " WHERE {time} >= {since} AND {time} <= {begin}{read} AND ({missed}) \
                 ORDER BY {order} ASC"
            );
        }
        match id {
            None => {
                format!(" WHERE {time} > {begin} AND {time} < {end} ORDER BY {time} ASC")
            }
            Some(id) => format!(
                " WHERE {time} < {end} AND (({time} = {begin} AND {id} > {after}) \
                 OR {time} > {begin}) ORDER BY {time}, {id} ASC"
            ),
        }
    }

    /// As [`sql`](Self::sql) in a mode by times alone, as far as some of its rows go and all that
    /// have the time of the last one: `some` is SQL that gives their times as `millrace_time`.
    pub(crate) fn with_ties(
        &self,
        name: impl Fn(&str) -> String,
        times: &dyn Times,
        calendar: Calendar,
        some: &str,
    ) -> String {
        let time = self.time(name, times, calendar).unwrap_or_default();
        let begin = times.literal(self.position.timestamp.unwrap_or_default(), calendar);
        format!(
            " WHERE {time} > {begin} AND {time} <= (SELECT max(millrace_time) \
             FROM ({some}\n) AS millrace_some) ORDER BY {time} ASC"
        )
    }

    /// When a row was written; none in incrementing mode.
    pub(crate) fn time(
        &self,
        name: impl Fn(&str) -> String,
        times: &dyn Times,
        calendar: Calendar,
    ) -> Option<String> {
        let comparable = |column: &String| times.comparable(&name(column), calendar);
        let columns: Vec<String> = self.timestamps.iter().map(comparable).collect();
        match &columns[..] {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(format!("COALESCE({})", several.join(","))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(offset: Json) -> Position {
        Position::from_offset(offset.as_object().unwrap()).unwrap()
    }

    #[test]
    fn offsets_are_confluents() {
        let both = json!({"timestamp": 1_500, "timestamp_nanos": 500_123_000, "incrementing": 7});
        let position = read(both.clone());
        assert_eq!(position.timestamp, Some(Moment(1_500_123)));
        assert_eq!(Json::Object(position.to_offset().unwrap()), both);
        let early = json!({"timestamp": -1, "timestamp_nanos": 999_000_000});
        assert_eq!(read(early.clone()).timestamp, Some(Moment(-1_000)));
        assert_eq!(Json::Object(read(early.clone()).to_offset().unwrap()), early);
        assert_eq!(read(json!({"timestamp": 3})).timestamp, Some(Moment(3_000)));
        assert_eq!(read(json!({"incrementing": null})), Position::default());
        assert_eq!(Position::default().to_offset(), None);
        let text = json!({"incrementing": "7"});
        let error = Position::from_offset(text.as_object().unwrap()).unwrap_err();
        assert!(error.to_string().contains("incrementing: \"7\""), "{error}");
    }

    #[test]
    fn a_position_keeps_what_is_not_said() {
        let here = Position { timestamp: Some(Moment(1)), incrementing: Some(1) };
        let there = Position { timestamp: None, incrementing: Some(2) };
        let moved = Position { timestamp: Some(Moment(1)), incrementing: Some(2) };
        assert_eq!(here.moved_to(there), moved);
        let late = Position { timestamp: None, incrementing: Some(-7) };
        let far = Position { timestamp: None, incrementing: Some(1) };
        assert_eq!(far.moved_to(late), far);
    }

    struct Plain;

    impl Times for Plain {
        fn literal(&self, moment: Moment, _calendar: Calendar) -> String {
            moment.0.to_string()
        }
    }

    #[test]
    fn conditions() {
        let check = |timestamps: &[&str], incrementing: Option<&str>, expected: &str| {
            let beyond = Beyond {
                position: Position {
                    timestamp: Some(Moment(5)),
                    incrementing: incrementing.map(|_| 3),
                },
                timestamps: timestamps.iter().map(|c| (*c).to_owned()).collect(),
                incrementing: incrementing.map(str::to_owned),
                until: Moment(9),
                part: Part::New,
                unfinished: None,
            };
            assert_eq!(
                beyond.sql(|column| format!("t.{column}"), &Plain, Calendar::default()),
                expected
            );
        };
        check(&[], Some("id"), " WHERE t.id > 3 ORDER BY t.id ASC");
        check(&["a"], None, " WHERE t.a > 5 AND t.a < 9 ORDER BY t.a ASC");
        check(
            &["a", "b"],
            Some("id"),
            " WHERE COALESCE(t.a,t.b) < 9 AND ((COALESCE(t.a,t.b) = 5 AND t.id > 3) \
             OR COALESCE(t.a,t.b) > 5) ORDER BY COALESCE(t.a,t.b), t.id ASC",
        );
    }

    #[test]
    fn ids_may_be_asked_for_alone() {
        let beyond = Beyond {
            position: Position { timestamp: None, incrementing: Some(9) },
            timestamps: Vec::new(),
            incrementing: Some("id".to_owned()),
            until: Moment::default(),
            part: Part::Among(vec![1..=2, 5..=5]),
            unfinished: None,
        };
        let sql = beyond.sql(str::to_owned, &Plain, Calendar::default());
        assert_eq!(sql, " WHERE id BETWEEN 1 AND 2 OR id BETWEEN 5 AND 5 ORDER BY id ASC");
    }
    #[test]
    fn late_rows_are_looked_for_below() {
        let sql = |incrementing: Option<&str>| {
            let beyond = Beyond {
                position: Position { timestamp: Some(Moment(9)), incrementing: Some(3) },
                timestamps: vec!["at".to_owned()],
                incrementing: incrementing.map(str::to_owned),
                until: Moment(99),
                part: Part::Late(Late { since: Moment(5), missed: "x OR y".to_owned() }),
                unfinished: None,
            };
            beyond.sql(str::to_owned, &Plain, Calendar::default())
        };
        assert_eq!(sql(None), " WHERE at >= 5 AND at <= 9 AND (x OR y) ORDER BY at ASC");
        assert_eq!(
            sql(Some("id")),
            " WHERE at >= 5 AND at <= 9 AND (at < 9 OR id <= 3) AND (x OR y) ORDER BY at, id ASC"
        );
    }
}
