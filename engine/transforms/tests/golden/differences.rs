//! Lists where we differ from Java on purpose.

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
    // A secret is known as it is written.
    Difference {
        file: "Cast",
        config: "\"spec\":\"word\"",
        record: "",
        java: "Type.WORD for",
        ours: "Type.word for",
    },
    Difference {
        file: "Cast",
        config: "\"spec\":\"a:\"",
        record: "",
        java: "Type.A for",
        ours: "Type.a for",
    },
    // Java names an object where it means the field.
    Difference {
        file: "InsertField",
        config: "{\"static.field\":\"s\"}",
        record: "",
        java: "InsertField$InsertionSpec@",
        ours: "No value specified for static field: s",
    },
    // A record is not put into an error: its data may be secret.
    Difference {
        file: "TimestampRouter",
        config: "",
        record: "",
        java: "Timestamp missing on record: S",
        ours: "Timestamp missing on record\"",
    },
    // What no record can do with is refused before there is one.
    Difference {
        file: "TimestampRouter",
        config: "timestamp.format",
        record: "",
        java: "accepted",
        ours: "java.lang.IllegalArgumentException",
    },
    Difference {
        file: "RegexRouter",
        config: "replacement",
        record: "",
        java: "accepted",
        ours: "java.lang.IllegalArgumentException",
    },
    Difference {
        file: "RegexRouter",
        config: "$2",
        record: "",
        java: "accepted",
        ours: "No group 2",
    },
    Difference {
        file: "RegexRouter",
        config: "(?<=",
        record: "",
        java: "accepted",
        ours: "is not supported",
    },
    Difference {
        file: "RegexRouter",
        config: "++",
        record: "",
        java: "accepted",
        ours: "is not supported",
    },
    Difference {
        file: "RegexRouter",
        config: "\\\\1",
        record: "",
        java: "accepted",
        ours: "is not supported",
    },
    // Connect's Date counts fewer days than Java's, which loses its high bits when it is written.
    Difference {
        file: "TimestampConverter",
        config: "\"target.type\":\"Date\"",
        record: "nanos",
        java: "{\"date\":17169270854}",
        ours: "is unix.precision right?",
    },
];
