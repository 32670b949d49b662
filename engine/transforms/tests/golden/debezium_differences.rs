//! Lists where we differ from Debezium on purpose.

use crate::differences::Difference;

/// As `differences::MEANT`.
pub(crate) const MEANT: &[Difference] = &[
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
