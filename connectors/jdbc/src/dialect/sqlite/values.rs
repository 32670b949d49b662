//! Decides what SQLite's declared types become, and how values are made to fit them.

use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef};

use crate::calendar::{self, Calendar, DAY};
use crate::cells::{Cells, Misfit, not_utf8};
use crate::form::{Form, NumericMapping};
use crate::numeric;

/// A value as SQLite stores it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stored<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl<'a> Stored<'a> {
    /// A value of a row.
    pub(super) fn of(row: &'a SqliteRow, column: usize) -> Result<Self, Misfit> {
        let changed = |_| Misfit::new("nothing: the table changed while it was read; try again");
        let value = row.try_get_raw(column).map_err(changed)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        let kind = value.type_info();
        match kind.name() {
            "INTEGER" => decode(value).map(Self::Integer),
            "REAL" => decode(value).map(Self::Real),
            "TEXT" => {
                <&str as Decode<'_, Sqlite>>::decode(value).map(Self::Text).map_err(|_| not_utf8())
            }
            _ => decode(value).map(Self::Blob),
        }
    }

    /// How much of a batch it takes.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Null => 1,
            Self::Integer(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Integer(_) => "INTEGER",
            Self::Real(_) => "REAL",
            Self::Text(_) => "TEXT",
            Self::Blob(_) => "BLOB",
        }
    }
}

fn decode<'a, T: Decode<'a, Sqlite>>(value: sqlx::sqlite::SqliteValueRef<'a>) -> Result<T, Misfit> {
    T::decode(value).map_err(|e| Misfit::new(format!("a value that cannot be read: {e}")))
}

/// What a column was declared as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Declared {
    Form(Form),
    /// `INTEGER` holds up to 64 bits, but is an int32 as long as its values are.
    Integer,
    /// With precision and scale.
    Numeric {
        precision: i32,
        scale: i32,
        is_decimal: bool,
    },
    /// An expression, or a column without a type: its first value decides.
    Nothing,
}

impl Declared {
    /// Reads a declared type such as `VARCHAR(20)`.
    pub(super) fn parse(text: &str) -> Self {
        let upper = text.trim().to_ascii_uppercase();
        let (name, arguments) = upper.split_once('(').unwrap_or((&upper, ""));
        let name = name.trim();
        match name {
            "" => Self::Nothing,
            "BOOLEAN" | "BOOL" => Self::Form(Form::Boolean),
            "TINYINT" => Self::Form(Form::Int8),
            "SMALLINT" | "INT2" => Self::Form(Form::Int16),
            "INT" | "INTEGER" | "MEDIUMINT" | "INT4" => Self::Integer,
            "DATE" => Self::Form(Form::Date),
            "TIME" => Self::Form(Form::Time),
            "TIMESTAMP" | "DATETIME" => Self::Form(Form::Timestamp),
            "BINARY" | "VARBINARY" => Self::Form(Form::Bytes),
            "JSON" | "JSONB" | "UUID" | "STRING" => Self::Form(Form::String),
            "NUMERIC" | "DECIMAL" => Self::exact(arguments, name == "DECIMAL"),
            _ => Self::by_affinity(name),
        }
    }

    fn exact(arguments: &str, is_decimal: bool) -> Self {
        let mut numbers =
            arguments.trim_end_matches([')', ' ']).split(',').map(|n| n.trim().parse().ok());
        match (numbers.next().flatten(), numbers.next()) {
            (Some(precision), None) => Self::Numeric { precision, scale: 0, is_decimal },
            (Some(precision), Some(Some(scale))) => Self::Numeric { precision, scale, is_decimal },
            // Without a scale it is whatever SQLite stores: 64-bit numbers.
            _ => Self::Form(Form::Float64),
        }
    }

    /// The rules by which SQLite itself reads a type's name.
    fn by_affinity(name: &str) -> Self {
        let has = |part: &str| name.contains(part);
        Self::Form(if has("INT") {
            Form::Int64
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Form::String
        } else if has("BLOB") {
            Form::Bytes
        } else {
            // REAL, FLOAT, DOUBLE and whatever else counts as a number.
            Form::Float64
        })
    }

    /// The form of the column, given its first value.
    pub(super) fn form(self, first: Stored<'_>, mapping: NumericMapping) -> Form {
        match self {
            Self::Form(form) => form,
            Self::Integer => match first {
                Stored::Integer(number) if i32::try_from(number).is_err() => Form::Int64,
                _ => Form::Int32,
            },
            Self::Numeric { precision, scale, is_decimal: true } => {
                Form::decimal(Some((precision, scale)))
            }
            Self::Numeric { precision, scale, .. } => {
                Form::numeric(mapping, Some((precision, scale)))
            }
            Self::Nothing => match first {
                Stored::Integer(_) => Form::Int64,
                Stored::Real(_) => Form::Float64,
                Stored::Blob(_) => Form::Bytes,
                Stored::Text(_) | Stored::Null => Form::String,
            },
        }
    }
}

/// Puts values of whatever type into cells of one form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    form: Form,
    optional: bool,
}

/// Up to here a float holds every whole number.
const EXACT: u64 = 1 << 53;

impl Reader {
    pub(super) fn new(form: Form, optional: bool) -> Self {
        Self { form, optional }
    }

    /// Appends a value.
    pub(super) fn read(
        self,
        value: Stored<'_>,
        cells: &mut Cells,
        calendar: Calendar,
    ) -> Result<(), Misfit> {
        if value == Stored::Null {
            if !self.optional {
                return Err(Misfit::new(
                    "NULL although it belongs to the primary key or is declared NOT NULL; \
                     correct the row",
                ));
            }
            cells.null();
            return Ok(());
        }
        match self.form {
            Form::Int8 | Form::Int16 | Form::Int32 | Form::Int64 => match value {
                Stored::Integer(number) => cells.integer(number).map_err(|misfit| {
                    Misfit::new(format!(
                        "{misfit}; declare the column BIGINT, or read it with a query that casts it"
                    ))
                }),
                other => Err(self.unlike(other)),
            },
            Form::Float64 | Form::Float32 => cells.float(self.float(value)?),
            Form::Boolean => match value {
                Stored::Integer(number) => cells.boolean(number != 0),
                other => Err(self.unlike(other)),
            },
            Form::String => match value {
                Stored::Text(text) => cells.text(text),
                Stored::Integer(number) => cells.text(&number.to_string()),
                Stored::Real(number) => cells.text(&number.to_string()),
                other => Err(self.unlike(other)),
            },
            Form::Bytes => match value {
                Stored::Blob(bytes) => cells.bytes(bytes),
                Stored::Text(text) => cells.bytes(text.as_bytes()),
                other => Err(self.unlike(other)),
            },
            Form::Decimal { scale, .. } => cells.decimal(match value {
                Stored::Integer(number) => numeric::from_i64(number, scale)?,
                Stored::Real(number) => numeric::from_f64(number, scale)?,
                Stored::Text(text) => numeric::from_text(text, scale)?,
                other => return Err(self.unlike(other)),
            }),
            Form::Date | Form::Time | Form::Timestamp => self.moment(value, cells, calendar),
            Form::Moment { .. } | Form::Map => Err(self.unlike(value)),
        }
    }

    fn float(self, value: Stored<'_>) -> Result<f64, Misfit> {
        match value {
            Stored::Real(number) => Ok(number),
            Stored::Integer(number) if number.unsigned_abs() <= EXACT => Ok(number as f64),
            Stored::Integer(number) => Err(Misfit::new(format!(
                "{number}, a number too big for its type FLOAT64; declare the column BIGINT or \
                 with a precision"
            ))),
            other => Err(self.unlike(other)),
        }
    }

    /// Text in ISO 8601, or a number of milliseconds since the epoch.
    fn moment(
        self,
        value: Stored<'_>,
        cells: &mut Cells,
        calendar: Calendar,
    ) -> Result<(), Misfit> {
        let unread = || {
            Misfit::new(format!(
                "a {} that is no {}; write dates as YYYY-MM-DD, times as HH:MM:SS.SSS, or \
                 milliseconds since 1970",
                value.kind(),
                self.name()
            ))
        };
        match (self.form, value) {
            (Form::Date, Stored::Integer(millis)) => {
                cells.date(calendar.date(millis.div_euclid(DAY))?)
            }
            (Form::Date, Stored::Text(text)) => {
                let day = text.split([' ', 'T']).next().unwrap_or(text);
                cells.date(calendar.date(calendar::parse_date(day).ok_or_else(unread)?)?)
            }
            (Form::Time, Stored::Integer(millis)) => cells.time(Calendar::default().time(millis)?),
            (Form::Time, Stored::Text(text)) => {
                cells.time(calendar.time(calendar::parse_time(text).ok_or_else(unread)?)?)
            }
            (Form::Timestamp, Stored::Integer(millis)) => cells.timestamp(millis),
            (Form::Timestamp, Stored::Text(text)) => {
                let (millis, zoned) = calendar::parse_timestamp(text).ok_or_else(unread)?;
                cells.timestamp(if zoned {
                    calendar.instant(millis)
                } else {
                    calendar.timestamp(millis)
                })
            }
            _ => Err(unread()),
        }
    }

    fn name(self) -> &'static str {
        match self.form {
            Form::Boolean => "BOOLEAN",
            Form::Int8 => "INT8",
            Form::Int16 => "INT16",
            Form::Int32 => "INT32",
            Form::Int64 => "INT64",
            Form::Float32 => "FLOAT32",
            Form::Float64 => "FLOAT64",
            Form::String => "STRING",
            Form::Bytes => "BYTES",
            Form::Date => "Date",
            Form::Time => "Time",
            Form::Timestamp | Form::Moment { .. } => "Timestamp",
            Form::Decimal { .. } => "Decimal",
            Form::Map => "MAP",
        }
    }

    /// The value itself is not shown: it may be anything.
    fn unlike(self, value: Stored<'_>) -> Misfit {
        Misfit::new(format!(
            "a {} although its declared type makes it {}; correct the row, or cast the column in \
             a query",
            value.kind(),
            self.name()
        ))
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::data::Value;

    use super::*;

    #[test]
    fn declared_types() {
        let check = |text: &str, expected: Form| {
            let form = Declared::parse(text).form(Stored::Null, NumericMapping::None);
            assert_eq!(form, expected, "{text}");
        };
        check("INTEGER", Form::Int32);
        check("int", Form::Int32);
        check("BIGINT", Form::Int64);
        check("UNSIGNED BIG INT", Form::Int64);
        check("smallint", Form::Int16);
        check("TINYINT(1)", Form::Int8);
        check("REAL", Form::Float64);
        check("DOUBLE PRECISION", Form::Float64);
        check("NUMERIC", Form::Float64);
        let decimal = |precision, scale| Form::Decimal { precision, scale };
        check("DECIMAL(10, 2)", decimal(10, 2));
        check("NUMERIC(5)", decimal(5, 0));
        check("VARCHAR(20)", Form::String);
        check("native character(70)", Form::String);
        check("CLOB", Form::String);
        check("BLOB", Form::Bytes);
        check("BOOLEAN", Form::Boolean);
        check("DATETIME", Form::Timestamp);
        check("DATE", Form::Date);
        check("TIME", Form::Time);
        check("", Form::String);
        let numeric = Declared::parse("NUMERIC(5,0)");
        assert_eq!(numeric.form(Stored::Null, NumericMapping::BestFit), Form::Int32);
        let decimal = Declared::parse("DECIMAL(5,0)");
        let form = decimal.form(Stored::Null, NumericMapping::BestFit);
        assert!(matches!(form, Form::Decimal { .. }));
    }

    #[test]
    fn the_first_value_decides_what_the_declaration_leaves_open() {
        let form = |text: &str, first| Declared::parse(text).form(first, NumericMapping::None);
        assert_eq!(form("INTEGER", Stored::Integer(7)), Form::Int32);
        assert_eq!(form("INTEGER", Stored::Integer(1 << 40)), Form::Int64);
        assert_eq!(form("", Stored::Integer(7)), Form::Int64);
        assert_eq!(form("", Stored::Real(7.0)), Form::Float64);
        assert_eq!(form("", Stored::Blob(b"")), Form::Bytes);
    }

    fn value(declared: &str, value: Stored<'_>) -> Result<Value, String> {
        let form = Declared::parse(declared).form(Stored::Null, NumericMapping::None);
        let schema = form.schema(true);
        let mut cells = Cells::new(form, &schema, 1);
        let reader = Reader::new(form, true);
        let read = reader.read(value, &mut cells, Calendar::default());
        read.map_err(|misfit| misfit.to_string())?;
        let value = cells.finish(1).into_values(&schema).unwrap().pop().unwrap();
        value.validate(&schema).unwrap();
        Ok(value)
    }

    #[test]
    fn values_that_fit() {
        use Stored::{Blob, Integer, Null, Real, Text};
        let check = |declared: &str, stored, expected: Value| {
            assert_eq!(value(declared, stored).unwrap(), expected, "{declared} {stored:?}");
        };
        check("INTEGER", Integer(-5), Value::Int32(-5));
        check("INTEGER", Null, Value::Null);
        check("REAL", Integer(3), Value::Float64(3.0));
        check("REAL", Real(0.1), Value::Float64(0.1));
        check("BOOLEAN", Integer(1), Value::Boolean(true));
        check("TEXT", Text("x"), "x".into());
        check("JSON", Integer(5), "5".into());
        check("BLOB", Blob(&[0]), Value::Bytes(vec![0].into()));
        check("DATE", Text("1970-01-03"), Value::Date(2));
        check("DATE", Text("1970-01-03 12:00:00"), Value::Date(2));
        check("DATE", Integer(2 * DAY), Value::Date(2));
        check("TIME", Text("00:00:01"), Value::Time(1000));
        check("TIMESTAMP", Text("1970-01-01T00:00:01.5Z"), Value::Timestamp(1500));
        check("TIMESTAMP", Integer(9), Value::Timestamp(9));
        let cents = Value::Decimal(millrace_api::data::Decimal { unscaled: 1999.into(), scale: 2 });
        for stored in [Real(19.99), Text("19.99"), Text("1.999e1")] {
            check("DECIMAL(10,2)", stored, cents.clone());
        }
    }

    #[test]
    fn values_that_do_not_fit() {
        use Stored::{Blob, Integer, Real, Text};
        let check = |declared: &str, stored, expected: &str| {
            let misfit = value(declared, stored).unwrap_err();
            assert!(misfit.contains(expected), "{misfit}");
        };
        check("INTEGER", Integer(1 << 40), "1099511627776, a number too big for its type INT32");
        check("INTEGER", Text("secret"), "a TEXT although its declared type makes it INT32");
        check("TINYINT", Integer(200), "declare the column BIGINT");
        check("REAL", Integer(i64::MAX), "too big for its type FLOAT64");
        check("REAL", Text("x"), "a TEXT");
        check("TEXT", Blob(&[1]), "a BLOB");
        check("BOOLEAN", Real(0.5), "a REAL");
        check("DATE", Text("yesterday"), "YYYY-MM-DD");
        check("TIME", Integer(DAY), "24:00");
        check("DECIMAL(4,2)", Real(0.125), "more digits after the point");
        let reader = Reader::new(Form::Int32, false);
        let mut cells = Cells::new(Form::Int32, &Form::Int32.schema(false), 1);
        let misfit = reader.read(Stored::Null, &mut cells, Calendar::default());
        assert!(misfit.unwrap_err().to_string().contains("NULL"));
    }
}
