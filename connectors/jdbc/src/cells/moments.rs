//! Holds points in time as numbers or texts (`timestamp.granularity`).

use arrow::array::{Array, Int64Builder, StringViewBuilder};
use millrace_api::data::civil_from_days;

use super::{Finished, Misfit};
use crate::calendar::{DAY, Zone};
use crate::form::{Granularity, Unit};

/// The cells of a column of points in time that are not Connect's own.
#[derive(Debug)]
pub(crate) struct Moments {
    granularity: Granularity,
    zone: Zone,
    cells: Builder,
}

#[derive(Debug)]
enum Builder {
    Numbers(Int64Builder),
    Texts(StringViewBuilder),
}

impl Moments {
    pub(super) fn new(granularity: Granularity, zone: Zone, rows: usize) -> Self {
        let cells = match granularity {
            Granularity::Long(_) => Builder::Numbers(Int64Builder::with_capacity(rows)),
            _ => Builder::Texts(StringViewBuilder::with_capacity(rows)),
        };
        Self { granularity, zone, cells }
    }

    pub(super) fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match &self.cells {
            Builder::Numbers(builder) => builder.len(),
            Builder::Texts(builder) => builder.len(),
        }
    }

    pub(super) fn append_null(&mut self) {
        match &mut self.cells {
            Builder::Numbers(builder) => builder.append_null(),
            Builder::Texts(builder) => builder.append_null(),
        }
    }

    /// Appends a point in time: milliseconds since 1970, and microseconds of the last of them.
    pub(super) fn append(&mut self, millis: i64, micros: i64) -> Result<(), Misfit> {
        let number = |unit: Unit| {
            let count = millis.checked_mul(1000).and_then(|all| all.checked_add(micros));
            let count = match unit {
                Unit::Micros => count,
                Unit::Nanos => count.and_then(|micros| micros.checked_mul(1000)),
            };
            count.ok_or_else(|| {
                Misfit::new(
                    "a time too far away for timestamp.granularity; set it to another, or leave \
                     such rows out with a query",
                )
            })
        };
        match (&mut self.cells, self.granularity) {
            (Builder::Numbers(builder), Granularity::Long(unit)) => {
                builder.append_value(number(unit)?);
            }
            (Builder::Texts(builder), Granularity::Text(unit)) => {
                builder.append_value(number(unit)?.to_string());
            }
            (Builder::Texts(builder), Granularity::Iso(unit)) => {
                // What is too far away for a number is no date either.
                number(Unit::Micros)?;
                builder.append_value(iso(millis + self.zone.ahead(millis), micros, unit));
            }
            _ => return Err(super::mismatched()),
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, rows: usize) -> Finished {
        let array = match &mut self.cells {
            Builder::Numbers(builder) => builder.finish().slice(0, rows).into_data(),
            Builder::Texts(builder) => builder.finish().slice(0, rows).into_data(),
        };
        Finished::Array(arrow::array::make_array(array))
    }
}

/// What a clock shows, as `DateTimeFormatter` writes it by `yyyy-MM-dd'T'HH:mm:ss.SSSSSS`: with years
/// of the era, and a sign before more than four digits.
fn iso(millis: i64, micros: i64, unit: Unit) -> String {
    let (year, month, day) = civil_from_days(millis.div_euclid(DAY));
    let of_day = millis.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    let fraction = of_day % 1000 * 1000 + micros;
    let year = if year > 0 { year } else { 1 - year };
    let sign = if year > 9999 { "+" } else { "" };
    let nanos = match unit {
        Unit::Micros => "",
        Unit::Nanos => "000",
    };
    format!(
        "{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}{nanos}"
    )
}

#[cfg(test)]
mod tests {
    use millrace_api::data::Value;

    use super::*;
    use crate::cells::Cells;
    use crate::form::Form;

    fn value(granularity: &str, millis: i64, micros: i64) -> Result<Value, Misfit> {
        let granularity = Granularity::parse(granularity);
        let form = Form::Moment { granularity, zone: Zone::Fixed(7_200_000) };
        let schema = form.schema(true);
        let mut cells = Cells::new(form, &schema, 2);
        cells.null();
        cells.instant(millis, micros)?;
        let mut values = cells.finish(2).into_values(&schema).unwrap();
        assert_eq!(values[0], Value::Null);
        Ok(values.remove(1))
    }

    #[test]
    fn all_granularities() {
        let check = |granularity: &str, expected: Value| {
            let found = value(granularity, 1_795_255_200_123, 456).unwrap();
            assert_eq!(found, expected, "{granularity}");
        };
        check("micros_long", 1_795_255_200_123_456.into());
        check("micros_string", "1795255200123456".into());
        check("micros_iso_datetime_string", "2026-11-21T12:00:00.123456".into());
        check("nanos_long", 1_795_255_200_123_456_000.into());
        check("nanos_string", "1795255200123456000".into());
        check("nanos_iso_datetime_string", "2026-11-21T12:00:00.123456000".into());
    }

    #[test]
    fn far_away() {
        let iso = |year: i64| {
            let day = crate::calendar::days_from_civil(year, 1, 1);
            value("micros_iso_datetime_string", day * DAY, 0).unwrap()
        };
        assert_eq!(iso(10_000), "+10000-01-01T02:00:00.000000".into());
        assert_eq!(iso(0), "0001-01-01T02:00:00.000000".into());
        for granularity in ["nanos_long", "nanos_string"] {
            assert!(value(granularity, 10_000_000_000_000, 0).is_err());
        }
        assert!(value("micros_long", i64::MAX, 0).is_err());
        assert!(value("micros_iso_datetime_string", i64::MIN, 0).is_err());
    }
}
