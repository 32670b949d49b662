//! Lists where we differ from Debezium on purpose.

use crate::differences::Difference;

/// As `differences::MEANT`.
pub(crate) const MEANT: &[Difference] = &[
    // In other words, which say more.
    Difference {
        file: "debezium/EventRouter",
        config: "",
        record: "",
        java: "org.apache.kafka.common.config.ConfigException",
        ours: "org.apache.kafka.common.config.ConfigException",
    },
    // What no record can do with is refused before there is one.
    Difference {
        file: "debezium/EventRouter",
        config: "type:nowhere",
        record: "",
        java: "accepted",
        ours: "COLUMN:partition",
    },
    Difference {
        file: "debezium/EventRouter",
        config: "{\"route.topic.regex\":\"\"}",
        record: "",
        java: "accepted",
        ours: "No group with name {routedByValue}",
    },
    // A text that cannot be expanded stays text; Java gives it the schema it does not fit.
    Difference {
        file: "debezium/EventRouter",
        config: "table.expand.json.payload",
        record: "outbox-json-array",
        java: "rray",
        ours: "\"string?\"",
    },
    Difference {
        file: "debezium/EventRouter",
        config: "type:envelope",
        record: "outbox-json-array",
        java: "with type ARRAY",
        ours: "[\"payload\",\"string?\"]",
    },
    // An integer past 64 bits is a double, as its schema says.
    Difference {
        file: "debezium/EventRouter",
        config: "table.expand.json.payload",
        record: "outbox-json-big",
        java: "",
        ours: "9.223372036854776E18",
    },
    // The key may be secret.
    Difference {
        file: "debezium/EventRouter",
        config: "fatal",
        record: "outbox-update",
        java: "Unexpected update message received Struct{",
        ours: "Unexpected update message received, fail.",
    },
    Difference {
        file: "debezium/ByLogicalTableRouter",
        config: "",
        record: "",
        java: "Unable to validate config.",
        ours: "org.apache.kafka.common.config.ConfigException",
    },
    // Debezium logs what is wrong with a configuration, and throws without a word of it.
    Difference {
        file: "debezium/ExtractNewRecordState",
        config: "delete.tombstone.handling.mode",
        record: "",
        java: "Unable to validate config.",
        ours: "Value must be one of drop, tombstone, rewrite",
    },
    Difference {
        file: "debezium/ExtractNewRecordState",
        config: "drop.fields.from.key",
        record: "",
        java: "Unable to validate config.",
        ours: "for configuration drop.fields.from.key",
    },
    Difference {
        file: "debezium/ExtractNewRecordState",
        config: "{\"add.headers\":\".\"}",
        record: "",
        java: "Index 1 out of bounds",
        ours: "Unexpected field name: .",
    },
];
