//! `ExtractNewRecordState`: makes of a change event the row as it is now.

use std::sync::Arc;

use millrace_api::config::{Config, Validator};
use millrace_api::data::{Column, Header, Records, RowError, Schema, Value};
use millrace_api::{Error, Props, Result, Transformation};

use super::columns;
use super::event::{
    Event, each, extracted, field_names, is_envelope, null_pointer, required_struct, text, typed,
};
use super::field_reference::FieldReference;
use super::flattened::{Additions, Of};
use crate::null_defaults::NullDefaults;
use crate::replace_field::ReplaceField;
use crate::side::Side;

const MODES: [&str; 5] =
    ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"];

#[derive(Config, Debug)]
pub(crate) struct ExtractNewRecordStateConfig {
    /// What becomes of a delete event, and of the tombstone that follows it: drop drops both;
    /// tombstone makes the event a null value of the row's schema, and drops the tombstone; rewrite
    /// makes it the row that was deleted, with a field __deleted, and drops the tombstone;
    /// rewrite-with-tombstone does so and lets the tombstone pass; delete-to-tombstone makes the
    /// event a tombstone without a schema, and drops the one that follows.
    #[config(key = "delete.tombstone.handling.mode", importance = Medium, validate = mode)]
    #[config(default = "tombstone")]
    mode: String,
    /// Deprecated: what becomes of a delete event (drop, rewrite, none: a null value), where
    /// delete.tombstone.handling.mode is not given.
    #[config(key = "delete.handling.mode", importance = Low, validate = deprecated_mode)]
    deprecated_mode: Option<String>,
    /// Deprecated: whether tombstones are dropped, where delete.tombstone.handling.mode is not
    /// given.
    #[config(key = "drop.tombstones", importance = Low)]
    drop_tombstones: Option<bool>,
    /// The field of the row that names the record's topic.
    #[config(key = "route.by.field", importance = Low, default = "")]
    route_by_field: String,
    /// What the names of added fields begin with.
    #[config(key = "add.fields.prefix", importance = Low, default = "__")]
    fields_prefix: String,
    /// Fields of the event to add to the row: op, ts_ms, fields of source, or STRUCT.FIELD, each with
    /// :NAME where it gets another name.
    #[config(key = "add.fields", importance = Low, default = "")]
    fields: String,
    /// What the keys of added headers begin with.
    #[config(key = "add.headers.prefix", importance = Low, default = "__")]
    headers_prefix: String,
    /// Fields of the event to add as headers, written as those of add.fields.
    #[config(key = "add.headers", importance = Low, default = "")]
    headers: String,
    /// The header that lists fields to drop.
    #[config(key = "drop.fields.header.name", importance = Low)]
    drop_header: Option<String>,
    /// Whether these fields are dropped from the key, too.
    #[config(key = "drop.fields.from.key", importance = Low, default = false)]
    drop_from_key: bool,
    /// Whether only optional fields are dropped.
    #[config(key = "drop.fields.keep.schema.compatible", importance = Low, default = true)]
    drop_optional_only: bool,
    /// Whether defaults replace nulls where rows are rewritten.
    #[config(key = "replace.null.with.default", importance = Low, default = true)]
    replace_null_with_default: bool,
}

fn mode() -> Validator {
    one_of(&MODES)
}

fn deprecated_mode() -> Validator {
    one_of(&["drop", "rewrite", "none"]).or_null()
}

fn one_of(words: &'static [&'static str]) -> Validator {
    Validator::new("one of these words, in any case", |value| {
        let value = value.as_str().unwrap_or_default().trim();
        match words.iter().any(|word| word.eq_ignore_ascii_case(value)) {
            true => Ok(()),
            false => Err(format!("Value must be one of {}", words.join(", "))),
        }
    })
}

/// What becomes of a delete event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Deletes {
    Dropped,
    /// Null, of the row's schema.
    Null,
    /// Null without a schema.
    Bare,
    /// The row that was.
    Rewritten,
}

/// What is dropped at the word of a header.
struct Dropping {
    header: String,
    from_key: bool,
    optional_only: bool,
}

pub(crate) struct ExtractNewRecordState {
    deletes: Deletes,
    keeps_tombstones: bool,
    route_by: Option<String>,
    headers: Vec<FieldReference>,
    dropping: Option<Dropping>,
    additions: Additions,
}

impl ExtractNewRecordState {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = ExtractNewRecordStateConfig::parse(props)?;
        let (deletes, keeps_tombstones) = deletes(&config, props);
        let fields = FieldReference::list(&config.fields_prefix, &config.fields)?;
        let headers = FieldReference::list(&config.headers_prefix, &config.headers)?;
        let dropping = config.drop_header.filter(|header| !header.trim().is_empty());
        Ok(Box::new(Self {
            deletes,
            keeps_tombstones,
            route_by: Some(config.route_by_field).filter(|field| !field.is_empty()),
            headers,
            dropping: dropping.map(|header| Dropping {
                header,
                from_key: config.drop_from_key,
                optional_only: config.drop_optional_only,
            }),
            additions: Additions::new(fields, NullDefaults(config.replace_null_with_default)),
        }))
    }

    /// What becomes of one record: the definition.
    fn extract(&mut self, mut record: Event) -> Result<Option<Event>> {
        let is_tombstone = record.value.1.is_null();
        let is_event = is_envelope(record.value.0.as_ref());
        if is_tombstone || is_event {
            self.add_headers(&mut record)?;
        }
        if is_tombstone {
            return Ok(Some(record).filter(|_| self.keeps_tombstones));
        }
        if !is_event {
            return Ok(Some(record));
        }
        let after = extracted(&record.value.1, "after")?;
        if !after.1.is_null() {
            return self.changed(record, after).map(Some);
        }
        let before = extracted(&record.value.1, "before")?;
        // Nothing before and nothing after: the table was truncated.
        if before.1.is_null() || self.deletes == Deletes::Dropped {
            return Ok(None);
        }
        let event =
            required_struct(&record.value.1, "Read record to set topic routing for DELETE")?;
        let (schema, value) = match self.deletes {
            Deletes::Rewritten => {
                let (schema, value) = self.additions.with_deleted(before, true)?;
                (Some(schema), value)
            }
            Deletes::Bare => (None, Value::Null),
            _ => (Some(after.0), Value::Null),
        };
        let topic = match &self.route_by {
            None => None,
            Some(field) => {
                let Value::Struct(row) = typed(event, "before", millrace_api::data::Kind::Struct)?
                else {
                    return Err(null_pointer("the change event has no row before".to_owned()));
                };
                text(row, field)?.cloned()
            }
        };
        let event = event.clone();
        let record = Event { value: (schema, value), ..record }.in_topic(topic.as_ref());
        let mut record = self.without_fields(record)?;
        if !record.value.1.is_null() {
            let (schema, value) =
                self.additions.with_fields(&event, Of::Before, &record.value.1)?;
            record.value = (Some(schema), value);
        }
        Ok(Some(record))
    }

    /// A row that was created, read or updated.
    fn changed(&mut self, record: Event, after: (Arc<Schema>, Value)) -> Result<Event> {
        let event = required_struct(&record.value.1, "field extraction")?.clone();
        let (_, value) = match self.deletes {
            Deletes::Rewritten => self.additions.with_deleted(after, false)?,
            _ => after,
        };
        let topic = match &self.route_by {
            None => None,
            Some(field) => {
                let purpose = "Read record to set topic routing for CREATE / UPDATE";
                text(required_struct(&value, purpose)?, field)?.cloned()
            }
        };
        let (schema, value) = self.additions.with_fields(&event, Of::After, &value)?;
        let value = (Some(schema), value);
        let record = Event { value, ..record }.in_topic(topic.as_ref());
        self.without_fields(record)
    }

    fn add_headers(&self, record: &mut Event) -> Result<()> {
        if self.headers.is_empty() {
            return Ok(());
        }
        let event = match &record.value.1 {
            Value::Null => {
                // A tombstone says of itself that the row was deleted.
                for reference in self.headers.iter().filter(|field| field.is_operation()) {
                    let (key, value) = (Arc::clone(&reference.name), Value::from("d"));
                    record.headers.push(Header { key, schema: Some(Schema::string(false)), value });
                }
                return Ok(());
            }
            Value::Struct(event) => event,
            other => {
                let class = other.java_class();
                let message = format!("class {class} cannot be cast to a struct");
                return Err(Error::data(message).as_java("java.lang.ClassCastException"));
            }
        };
        for reference in &self.headers {
            if let Some(located) = reference.locate(event.schema())? {
                let value = located.value(event);
                let (key, schema) = (Arc::clone(&located.name), Some(located.schema));
                record.headers.push(Header { key, schema, value });
            }
        }
        Ok(())
    }

    /// The record without the fields that its header names.
    fn without_fields(&self, record: Event) -> Result<Event> {
        let Some(dropping) = &self.dropping else { return Ok(record) };
        let header = record.headers.iter().find(|header| *header.key == *dropping.header);
        let names: Vec<Arc<str>> = match header.map(|header| &header.value) {
            None | Some(Value::Null) => return Ok(record),
            Some(Value::Array(items)) if items.is_empty() => return Ok(record),
            Some(Value::Array(items)) => {
                let name = |item: &Value| match item {
                    Value::String(name) => Some(Arc::clone(name)),
                    _ => None,
                };
                items.iter().filter_map(name).collect()
            }
            Some(other) => {
                let message = format!("class {} cannot be cast to a list", other.java_class());
                return Err(Error::data(message).as_java("java.lang.ClassCastException"));
            }
        };
        let mut record = record;
        if dropping.from_key && !record.key.1.is_null() {
            let names = dropping.names(record.key.0.as_deref(), &names)?;
            record = dropped(record, Side::Key, &names)?;
        }
        let names = dropping.names(record.value.0.as_deref(), &names)?;
        dropped(record, Side::Value, &names)
    }
}

impl Dropping {
    /// Which of the fields are dropped from a struct of this schema.
    fn names(&self, schema: Option<&Schema>, names: &[Arc<str>]) -> Result<Vec<Arc<str>>> {
        if !self.optional_only {
            return Ok(names.to_vec());
        }
        let schema = schema
            .ok_or_else(|| null_pointer("there is no schema to drop fields of".to_owned()))?;
        let optional = |name: &Arc<str>| {
            names.contains(name)
                && schema.field(name).is_some_and(|(_, field)| field.schema.is_optional())
        };
        Ok(field_names(schema)?.into_iter().filter(optional).collect())
    }
}

/// The record without fields of one side, as `ReplaceField` drops them.
fn dropped(record: Event, side: Side, names: &[Arc<str>]) -> Result<Event> {
    if names.is_empty() {
        return Ok(record);
    }
    let props = Props::from([("exclude".to_owned(), names.join(","))]);
    let mut failed = Vec::new();
    let run = record.clone().into_run();
    let runs = ReplaceField::open(side, &props)?.apply(run, &mut failed)?;
    if let Some(row) = failed.into_iter().next() {
        return Err(row.error);
    }
    let Some(run) = runs.first() else { return Ok(record) };
    let cell = |column: &Column| Ok::<_, Error>((column.schema().cloned(), column.value(0)?));
    Ok(Event { key: cell(&run.key)?, value: cell(&run.value)?, ..record })
}

/// What the modes say: of deletes, and whether tombstones pass.
fn deletes(config: &ExtractNewRecordStateConfig, props: &Props) -> (Deletes, bool) {
    let word = |mode: &str| mode.trim().to_ascii_lowercase();
    let is_given = props.contains_key("delete.tombstone.handling.mode");
    if !is_given && (config.deprecated_mode.is_some() || config.drop_tombstones.is_some()) {
        let deletes = match config.deprecated_mode.as_deref().map(word).as_deref() {
            Some("rewrite") => Deletes::Rewritten,
            Some("none") => Deletes::Null,
            _ => Deletes::Dropped,
        };
        return (deletes, config.drop_tombstones == Some(false));
    }
    match word(&config.mode).as_str() {
        "drop" => (Deletes::Dropped, false),
        "rewrite" => (Deletes::Rewritten, false),
        "rewrite-with-tombstone" => (Deletes::Rewritten, true),
        "delete-to-tombstone" => (Deletes::Bare, false),
        _ => (Deletes::Null, false),
    }
}

impl Transformation for ExtractNewRecordState {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let is_event = is_envelope(records.value.schema());
        if !is_event
            && self.headers.is_empty()
            && (0..records.len()).all(|r| !records.value.is_null(r))
        {
            return Ok(vec![records]);
        }
        let by_row = self.route_by.is_some() || !self.headers.is_empty() || self.dropping.is_some();
        if !by_row {
            let (deletes, keeps) = (self.deletes, self.keeps_tombstones);
            let known = failed.len();
            let runs = columns::extract(&records, deletes, keeps, &mut self.additions, failed);
            if let Ok(Some(runs)) = runs {
                return Ok(runs);
            }
            // What an array cannot hold, such as a default of too many digits, rows can.
            failed.truncate(known);
        }
        each(&records, failed, |record| self.extract(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deprecated_keys_count_where_there_is_no_mode() {
        for (pairs, expected) in [
            (&[][..], (Deletes::Null, false)),
            (&[("drop.tombstones", "false")], (Deletes::Dropped, true)),
            (&[("delete.handling.mode", "none")], (Deletes::Null, false)),
            (&[("delete.handling.mode", "Rewrite")], (Deletes::Rewritten, false)),
            (
                &[("delete.handling.mode", "rewrite"), ("drop.tombstones", "false")],
                (Deletes::Rewritten, true),
            ),
            (
                &[("delete.handling.mode", "rewrite"), ("delete.tombstone.handling.mode", "drop")],
                (Deletes::Dropped, false),
            ),
        ] {
            let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let props: Props = pairs.collect();
            let config = ExtractNewRecordStateConfig::parse(&props).unwrap();
            assert_eq!(deletes(&config, &props), expected, "{props:?}");
        }
        let wrong = Props::from([("delete.handling.mode".to_owned(), "keep".to_owned())]);
        assert!(ExtractNewRecordState::open(&wrong).is_err());
    }
}
