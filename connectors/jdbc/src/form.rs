//! Decides which Connect type a column of a table gets.

use millrace_api::data::{Kind, Schema, SchemaRef};

use crate::calendar::Zone;

/// What users want `NUMERIC` columns to become (`numeric.mapping`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NumericMapping {
    #[default]
    None,
    PrecisionOnly,
    BestFit,
    BestFitEagerDouble,
}

/// What `hstore` becomes (`hstore.handling.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hstore {
    /// It is left out.
    #[default]
    None,
    Map,
    Json,
}

/// What points in time become (`timestamp.granularity`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Granularity {
    /// Connect's own Timestamp, in milliseconds.
    #[default]
    Logical,
    /// A number since 1970.
    Long(Unit),
    /// The same as text.
    Text(Unit),
    /// Date and time in ISO 8601 on the database's clock.
    Iso(Unit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    Nanos,
}

impl Granularity {
    /// By Confluent's name; any other is Connect's own.
    pub(crate) fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "micros_long" => Self::Long(Unit::Micros),
            "micros_string" => Self::Text(Unit::Micros),
            "micros_iso_datetime_string" => Self::Iso(Unit::Micros),
            "nanos_long" => Self::Long(Unit::Nanos),
            "nanos_string" => Self::Text(Unit::Nanos),
            "nanos_iso_datetime_string" => Self::Iso(Unit::Nanos),
            _ => Self::Logical,
        }
    }
}

/// The most digits that always fit an int64.
const INTEGER_DIGITS: i32 = 18;
/// The scale of a decimal column that does not state one: what Confluent's connector gives it.
pub(crate) const UNSTATED_SCALE: i32 = 127;
/// The most digits of an Arrow decimal.
const ARROW_DIGITS: i32 = 76;

/// The Connect type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    String,
    Bytes,
    Date,
    Time,
    Timestamp,
    Decimal {
        precision: i32,
        scale: i32,
    },
    /// A point in time in another form than Connect's own.
    Moment {
        granularity: Granularity,
        zone: Zone,
    },
    /// From text to text or null.
    Map,
}

impl Form {
    /// This form, or for a point in time what is wanted instead.
    pub(crate) fn at(self, granularity: Granularity, zone: Zone) -> Self {
        match (self, granularity) {
            (Self::Timestamp, Granularity::Logical) => self,
            (Self::Timestamp, granularity) => Self::Moment { granularity, zone },
            _ => self,
        }
    }

    /// An exact number; `stated` is its precision and scale, if it was declared with them.
    pub(crate) fn decimal(stated: Option<(i32, i32)>) -> Self {
        let (precision, scale) = stated.unwrap_or((0, UNSTATED_SCALE));
        Self::Decimal { precision, scale }
    }

    /// A `NUMERIC` column under a mapping. One without precision stays a decimal in all of them:
    /// Confluent's connector makes it an int8 in `best_fit`, which cuts its values off.
    pub(crate) fn numeric(mapping: NumericMapping, stated: Option<(i32, i32)>) -> Self {
        let Some((precision, scale)) = stated else {
            return Self::decimal(None);
        };
        let short = precision <= INTEGER_DIGITS;
        // A negative scale adds digits before the point.
        let whole = precision - scale <= INTEGER_DIGITS && (-84..=0).contains(&scale);
        match mapping {
            NumericMapping::PrecisionOnly if short && scale == 0 => Self::integer(precision),
            NumericMapping::BestFit | NumericMapping::BestFitEagerDouble if whole => {
                Self::integer(precision - scale)
            }
            NumericMapping::BestFit if short && scale > 0 => Self::Float64,
            NumericMapping::BestFitEagerDouble if scale > 0 => Self::Float64,
            _ => Self::decimal(stated),
        }
    }

    /// The smallest integer for so many digits.
    fn integer(digits: i32) -> Self {
        match digits {
            ..=2 => Self::Int8,
            3..=4 => Self::Int16,
            5..=9 => Self::Int32,
            _ => Self::Int64,
        }
    }

    /// Whether an Arrow array holds every value of this type.
    pub(crate) fn fits_arrow(self) -> bool {
        match self {
            Self::Decimal { precision, scale } => {
                (1..=ARROW_DIGITS).contains(&precision) && (0..=ARROW_DIGITS).contains(&scale)
            }
            _ => true,
        }
    }

    /// The Connect schema.
    pub(crate) fn schema(self, optional: bool) -> SchemaRef {
        let builder = match self {
            Self::Boolean => Schema::builder(Kind::Boolean),
            Self::Int8 => Schema::builder(Kind::Int8),
            Self::Int16 => Schema::builder(Kind::Int16),
            Self::Int32 => Schema::builder(Kind::Int32),
            Self::Int64 => Schema::builder(Kind::Int64),
            Self::Float32 => Schema::builder(Kind::Float32),
            Self::Float64 => Schema::builder(Kind::Float64),
            Self::String => return Schema::string(optional),
            Self::Bytes => return Schema::bytes(optional),
            Self::Date => Schema::date_builder(),
            Self::Time => Schema::time_builder(),
            Self::Timestamp => Schema::timestamp_builder(),
            Self::Decimal { precision, scale } => Schema::decimal_builder(scale)
                .parameter("connect.decimal.precision", precision.to_string()),
            Self::Moment { granularity: Granularity::Long(_), .. } => Schema::builder(Kind::Int64),
            Self::Moment { .. } => return Schema::string(optional),
            Self::Map => Schema::map_builder(Schema::string(false), Schema::string(true)),
        };
        builder.with_optional(optional).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_mappings() {
        use NumericMapping as M;
        let decimal = |precision, scale| Form::Decimal { precision, scale };
        let check = |stated, expected: [Form; 4]| {
            let mappings = [M::None, M::PrecisionOnly, M::BestFit, M::BestFitEagerDouble];
            for (mapping, expected) in mappings.into_iter().zip(expected) {
                assert_eq!(Form::numeric(mapping, stated), expected, "{mapping:?} {stated:?}");
            }
        };
        let bare = decimal(0, UNSTATED_SCALE);
        check(None, [bare; 4]);
        check(Some((2, 0)), [decimal(2, 0), Form::Int8, Form::Int8, Form::Int8]);
        check(Some((4, 0)), [decimal(4, 0), Form::Int16, Form::Int16, Form::Int16]);
        check(Some((9, 0)), [decimal(9, 0), Form::Int32, Form::Int32, Form::Int32]);
        check(Some((18, 0)), [decimal(18, 0), Form::Int64, Form::Int64, Form::Int64]);
        check(Some((19, 0)), [decimal(19, 0); 4]);
        let (d, f) = (decimal(10, 2), Form::Float64);
        check(Some((10, 2)), [d, d, f, f]);
        let d = decimal(30, 2);
        check(Some((30, 2)), [d, d, d, f]);
        let d = decimal(2, -3);
        check(Some((2, -3)), [d, d, Form::Int32, Form::Int32]);
    }

    #[test]
    fn decimal_schema_has_both_parameters() {
        let schema = Form::decimal(Some((10, 2))).schema(true);
        assert_eq!(schema.parameter("scale"), Some("2"));
        assert_eq!(schema.parameter("connect.decimal.precision"), Some("10"));
        assert!(schema.is_optional());
        assert!(schema.arrow_type().is_some());
        let bare = Form::decimal(None);
        assert!(!bare.fits_arrow());
        assert_eq!(bare.schema(false).parameter("scale"), Some("127"));
    }
}
