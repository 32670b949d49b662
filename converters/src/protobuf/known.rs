//! Decides which files every schema may import without bringing them along: those that come with
//! Confluent's clients. Google's own (`google/protobuf/*.proto`) come with the compiler.

const GOOGLE: &str = "google.type";

/// A file: its name, package and imports, and what it declares.
struct Known(&'static str, &'static str, &'static [&'static str], &'static str);

const META: &str = "confluent/meta.proto";

const FILES: [Known; 20] = [
    Known(
        META,
        "confluent",
        &["google/protobuf/descriptor.proto"],
        "message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; \
         repeated Rule rules = 4; } \
         message Rule { string name = 1; string doc = 2; string expr = 3; string sql = 4; } \
         extend google.protobuf.FileOptions { Meta file_meta = 1088; } \
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; } \
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; } \
         extend google.protobuf.EnumOptions { Meta enum_meta = 1088; } \
         extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }",
    ),
    Known(
        "confluent/type/decimal.proto",
        "confluent.type",
        &[],
        "message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
    Known(
        "confluent/type/variant.proto",
        "confluent.type",
        &[],
        "message Variant { bytes metadata = 1; bytes value = 2; }",
    ),
    Known(
        "google/type/calendar_period.proto",
        GOOGLE,
        &[],
        "enum CalendarPeriod { CALENDAR_PERIOD_UNSPECIFIED = 0; DAY = 1; WEEK = 2; FORTNIGHT = 3; \
         MONTH = 4; QUARTER = 5; HALF = 6; YEAR = 7; }",
    ),
    Known(
        "google/type/color.proto",
        GOOGLE,
        &["google/protobuf/wrappers.proto"],
        "message Color { float red = 1; float green = 2; float blue = 3; \
         google.protobuf.FloatValue alpha = 4; }",
    ),
    Known(
        "google/type/date.proto",
        GOOGLE,
        &[],
        "message Date { int32 year = 1; int32 month = 2; int32 day = 3; }",
    ),
    Known(
        "google/type/datetime.proto",
        GOOGLE,
        &["google/protobuf/duration.proto"],
        "message DateTime { int32 year = 1; int32 month = 2; int32 day = 3; int32 hours = 4; \
         int32 minutes = 5; int32 seconds = 6; int32 nanos = 7; \
         oneof time_offset { google.protobuf.Duration utc_offset = 8; TimeZone time_zone = 9; } } \
         message TimeZone { string id = 1; string version = 2; }",
    ),
    Known(
        "google/type/dayofweek.proto",
        GOOGLE,
        &[],
        "enum DayOfWeek { DAY_OF_WEEK_UNSPECIFIED = 0; MONDAY = 1; TUESDAY = 2; WEDNESDAY = 3; \
         THURSDAY = 4; FRIDAY = 5; SATURDAY = 6; SUNDAY = 7; }",
    ),
    Known("google/type/decimal.proto", GOOGLE, &[], "message Decimal { string value = 1; }"),
    Known(
        "google/type/expr.proto",
        GOOGLE,
        &[],
        "message Expr { string expression = 1; string title = 2; string description = 3; \
         string location = 4; }",
    ),
    Known(
        "google/type/fraction.proto",
        GOOGLE,
        &[],
        "message Fraction { int64 numerator = 1; int64 denominator = 2; }",
    ),
    Known(
        "google/type/interval.proto",
        GOOGLE,
        &["google/protobuf/timestamp.proto"],
        "message Interval { google.protobuf.Timestamp start_time = 1; \
         google.protobuf.Timestamp end_time = 2; }",
    ),
    Known(
        "google/type/latlng.proto",
        GOOGLE,
        &[],
        "message LatLng { double latitude = 1; double longitude = 2; }",
    ),
    Known(
        "google/type/money.proto",
        GOOGLE,
        &[],
        "message Money { string currency_code = 1; int64 units = 2; int32 nanos = 3; }",
    ),
    Known(
        "google/type/month.proto",
        GOOGLE,
        &[],
        "enum Month { MONTH_UNSPECIFIED = 0; JANUARY = 1; FEBRUARY = 2; MARCH = 3; APRIL = 4; \
         MAY = 5; JUNE = 6; JULY = 7; AUGUST = 8; SEPTEMBER = 9; OCTOBER = 10; NOVEMBER = 11; \
         DECEMBER = 12; }",
    ),
    Known(
        "google/type/phone_number.proto",
        GOOGLE,
        &[],
        "message PhoneNumber { message ShortCode { string region_code = 1; string number = 2; } \
         oneof kind { string e164_number = 1; ShortCode short_code = 2; } string extension = 3; }",
    ),
    Known(
        "google/type/postal_address.proto",
        GOOGLE,
        &[],
        "message PostalAddress { int32 revision = 1; string region_code = 2; \
         string language_code = 3; string postal_code = 4; string sorting_code = 5; \
         string administrative_area = 6; string locality = 7; string sublocality = 8; \
         repeated string address_lines = 9; repeated string recipients = 10; \
         string organization = 11; }",
    ),
    Known(
        "google/type/quaternion.proto",
        GOOGLE,
        &[],
        "message Quaternion { double x = 1; double y = 2; double z = 3; double w = 4; }",
    ),
    Known(
        "google/type/timeofday.proto",
        GOOGLE,
        &[],
        "message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; \
         int32 nanos = 4; }",
    ),
    Known(
        "google/type/localized_text.proto",
        GOOGLE,
        &[],
        "message LocalizedText { string text = 1; string language_code = 2; }",
    ),
];

/// The text of a file that everybody has.
pub(crate) fn text_of(name: &str) -> Option<String> {
    let Known(_, package, imports, content) = FILES.iter().find(|file| file.0 == name)?;
    let imports: String = imports.iter().map(|name| format!("import \"{name}\"; ")).collect();
    Some(format!("syntax = \"proto3\"; package {package}; {imports}{content}"))
}

/// Java knows the options of `confluent/meta.proto` without an import.
pub(crate) fn with_meta(text: &str) -> Option<String> {
    let names_meta = text.contains("_meta)") && text.contains("(confluent.");
    (names_meta && !text.contains(META)).then(|| format!("{text}\nimport \"{META}\";"))
}
