//! Decides which offsets a client may give this connector: what the tasks could have written.

use millrace_api::data::{SourceOffset, SourcePartition};
use millrace_api::{AlteredOffset, Error, OffsetControl, Result};
use serde_json::Value as Json;

use crate::source::read::{SNAPSHOT, UNFINISHED, told};
use crate::unfinished::Unfinished;

/// What an offset may hold, each a whole number.
const POSITIONS: [&str; 3] = ["incrementing", "timestamp", "timestamp_nanos"];

/// Checks offsets that are to be set. Whatever is stored may be deleted.
pub(super) fn check(offsets: &[AlteredOffset]) -> Result<OffsetControl> {
    for (partition, offset) in offsets {
        let Some(offset) = offset else { continue };
        check_partition(partition.as_ref())?;
        check_offset(offset)?;
    }
    Ok(OffsetControl::Complete)
}

fn check_partition(partition: Option<&SourcePartition>) -> Result<()> {
    let text = |key: &str| partition.and_then(|p| p.get(key)).and_then(Json::as_str);
    let is_known = match partition.map_or(0, SourcePartition::len) {
        1 => text("query") == Some("query") || text("table").is_some(),
        2 => text("protocol") == Some("1") && text("table").is_some(),
        _ => false,
    };
    if is_known {
        return Ok(());
    }
    let message = r#"a source partition must be {"query":"query"}, {"protocol":"1","table":NAME} or {"table":NAME}"#;
    let partition = partition.map_or(Json::Null, |p| Json::Object(p.clone()));
    Err(Error::fatal(message).context("partition", partition))
}

fn check_offset(offset: &SourceOffset) -> Result<()> {
    if !POSITIONS.iter().any(|key| offset.contains_key(*key)) && !offset.contains_key(SNAPSHOT) {
        let message = "an offset must be null, or hold incrementing or timestamp; that of a \
                       snapshot, millrace.snapshot";
        return Err(Error::fatal(message).context("offset", Json::Object(offset.clone())));
    }
    let wrong = |key: &&str| offset.get(*key).is_some_and(|value| value.as_i64().is_none());
    if let Some(key) = POSITIONS.into_iter().find(wrong) {
        let message = format!("{key} in an offset must be a whole number");
        return Err(Error::fatal(message).context("offset", Json::Object(offset.clone())));
    }
    let told = told(offset, UNFINISHED).as_ref().and_then(Unfinished::from_json);
    if offset.contains_key(UNFINISHED) && told.is_none() {
        let message = format!("{UNFINISHED} in an offset is not what a task writes; leave it out");
        return Err(Error::fatal(message).context("offset", Json::Object(offset.clone())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(partition: Json, offset: Json) -> Result<OffsetControl> {
        check(&[(partition.as_object().cloned(), offset.as_object().cloned())])
    }

    #[test]
    fn only_what_tasks_could_have_written_may_be_set() {
        let number = json!({"incrementing": 7});
        for partition in [
            json!({"query": "query"}),
            json!({"table": "t"}),
            json!({"table": "t", "protocol": "1"}),
        ] {
            assert_eq!(checked(partition, number.clone()).unwrap(), OffsetControl::Complete);
        }
        checked(json!({"table": "t"}), json!({"millrace.snapshot": "over"})).unwrap();
        for partition in [json!(null), json!({}), json!({"table": 1}), json!({"query": "select"})] {
            let error = checked(partition.clone(), number.clone()).unwrap_err().to_string();
            assert!(error.contains("source partition"), "{error}");
            checked(partition, json!(null)).expect("whatever there is may be deleted");
        }
        let running = |ids: &str| {
            let unfinished = format!(r#"{{"next": 9, "running": [{ids}], "since": 0}}"#);
            json!({"timestamp": 5, "millrace.unfinished": unfinished})
        };
        checked(json!({"table": "t"}), running("[3, 4]")).unwrap();
        assert!(checked(json!({"table": "t"}), running("[18446744073709551615, 7]")).is_err());
        for offset in [json!({}), json!({"incrementing": "7"}), json!({"incrementing": 1.5})] {
            assert!(checked(json!({"query": "query"}), offset).is_err());
        }
    }
}
