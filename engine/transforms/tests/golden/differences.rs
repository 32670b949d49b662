//! Lists where we differ from Java on purpose, and what is not there yet.

/// Transformations and predicates that are not there yet; take out what is.
pub(crate) const PENDING: &[&str] = &[
    "DropHeaders",
    "Filter",
    "Flatten",
    "HasHeaderKey",
    "HeaderFrom",
    "InsertHeader",
    "RecordIsTombstone",
    "RegexRouter",
    "TimestampConverter",
    "TimestampRouter",
    "TopicNameMatches",
];

/// A difference that is meant. Each part but the file is contained in what it is compared with;
/// outcomes are compared as JSON text. Each entry must occur, and has a row in
/// `docs/compatibility.md`.
pub(crate) struct Difference {
    pub(crate) file: &'static str,
    /// In the configuration.
    pub(crate) config: &'static str,
    /// In the record's name; a configuration that is refused has none.
    pub(crate) record: &'static str,
    /// In Java's outcome.
    pub(crate) java: &'static str,
    /// In ours.
    pub(crate) ours: &'static str,
}

pub(crate) const MEANT: &[Difference] = &[
    // Digits of other scripts are no digits to us.
    Difference {
        file: "Cast",
        config: "{\"spec\":\"int",
        record: "text \u{664}",
        java: "4",
        ours: "was out of range",
    },
    // Java names an object where it means the field.
    Difference {
        file: "InsertField",
        config: "{\"static.field\":\"s\"}",
        record: "",
        java: "InsertField$InsertionSpec@",
        ours: "No value specified for static field: s",
    },
];
