//! Holds every transformation and predicate against what Java's made of the same records: see
//! `integration/oracle/transforms/record`, which writes the files of `golden/`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "golden/debezium_differences.rs"]
mod debezium_differences;
#[path = "golden/differences.rs"]
mod differences;
#[path = "golden/replay.rs"]
mod replay;

use std::collections::BTreeSet;
use std::fs;

use replay::{folder, replay};

/// A test a file, so that one is run by its name.
macro_rules! replayed {
    ($($test:ident $file:literal)+) => {
        $(#[test]
        fn $test() {
            replay($file);
        })+

        const FILES: &[&str] = &[$($file),+];
    };
}

replayed! {
    cast "Cast"
    debezium_by_logical_table_router "debezium/ByLogicalTableRouter"
    debezium_event_router "debezium/EventRouter"
    debezium_extract_new_record_state "debezium/ExtractNewRecordState"
    drop_headers "DropHeaders"
    extract_field "ExtractField"
    filter "Filter"
    flatten "Flatten"
    has_header_key "HasHeaderKey"
    header_from "HeaderFrom"
    hoist_field "HoistField"
    insert_field "InsertField"
    insert_header "InsertHeader"
    mask_field "MaskField"
    record_is_tombstone "RecordIsTombstone"
    regex_router "RegexRouter"
    replace_field "ReplaceField"
    set_schema_metadata "SetSchemaMetadata"
    timestamp_converter "TimestampConverter"
    timestamp_router "TimestampRouter"
    topic_name_matches "TopicNameMatches"
    value_to_key "ValueToKey"
}

#[test]
fn every_recorded_file_is_replayed() {
    let mut recorded = BTreeSet::new();
    for corpus in ["", "debezium/"] {
        let entries = fs::read_dir(folder().join(corpus)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
        recorded.extend(
            files.map(|path| format!("{corpus}{}", path.file_stem().unwrap().to_str().unwrap())),
        );
    }
    let mut replayed: BTreeSet<String> = FILES.iter().map(|file| (*file).to_owned()).collect();
    // Chains are the runtime's: `engine/runtime/src/task/chain/recorded.rs`.
    replayed.extend(["records", "chains", "debezium/records"].map(str::to_owned));
    assert_eq!(recorded, replayed);
}
