//! `InsertField`: adds fields with what is known of the record beside its key and value.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::builder::make_view;
use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, StringViewArray, StringViewBuilder,
    TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;
use millrace_api::config::{Config, invalid_value};
use millrace_api::data::json::{JsonMember, JsonObjects};
use millrace_api::data::{
    Column, Kind, Records, RowError, Schema, SchemaRef, Struct, Value, append_integer,
};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{refuse_all, stretches};
use crate::json_object::{self, Member};
use crate::null_defaults::NullDefaults;
use crate::refused::{Refused, no_map, no_struct};
use crate::schema_cache::SchemaCache;
use crate::schemas::{Fields, with_basics};
use crate::side::Side;
use crate::struct_array::struct_array;

const PURPOSE: &str = "field insertion";

#[derive(Config, Debug)]
pub(crate) struct InsertFieldConfig {
    /// Field name for Kafka topic. Suffix with <code>!</code> to make this a required field, or
    /// <code>?</code> to keep it optional (the default).
    #[config(key = "topic.field", importance = Medium)]
    topic_field: Option<String>,
    /// Field name for Kafka partition. Suffix with <code>!</code> to make this a required field, or
    /// <code>?</code> to keep it optional (the default).
    #[config(key = "partition.field", importance = Medium)]
    partition_field: Option<String>,
    /// Field name for Kafka offset - only applicable to sink connectors.<br/>Suffix with
    /// <code>!</code> to make this a required field, or <code>?</code> to keep it optional (the
    /// default).
    #[config(key = "offset.field", importance = Medium)]
    offset_field: Option<String>,
    /// Field name for record timestamp. Suffix with <code>!</code> to make this a required field,
    /// or <code>?</code> to keep it optional (the default).
    #[config(key = "timestamp.field", importance = Medium)]
    timestamp_field: Option<String>,
    /// Field name for static data field. Suffix with <code>!</code> to make this a required field,
    /// or <code>?</code> to keep it optional (the default).
    #[config(key = "static.field", importance = Medium)]
    static_field: Option<String>,
    /// Static field value, if field name configured.
    #[config(key = "static.value", importance = Medium)]
    static_value: Option<String>,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", importance = Medium, default = true)]
    replace_null_with_default: bool,
}

/// What a new field holds.
#[derive(Clone, Debug)]
enum Content {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static(Arc<str>),
}

#[derive(Clone, Debug)]
struct Insertion {
    content: Content,
    name: Arc<str>,
    /// The name as JSON text.
    quoted: String,
    optional: bool,
}

impl Insertion {
    /// `name!` is a required field, `name?` and `name` an optional one.
    fn new(content: Content, spec: &str) -> Self {
        let (name, optional) = match (spec.strip_suffix('!'), spec.strip_suffix('?')) {
            (Some(name), _) => (name, false),
            (_, Some(name)) => (name, true),
            _ => (spec, true),
        };
        Self { content, name: name.into(), quoted: json_object::quoted(name), optional }
    }

    fn schema(&self) -> SchemaRef {
        let builder = match self.content {
            Content::Topic | Content::Static(_) => return Schema::string(self.optional),
            Content::Partition => Schema::builder(Kind::Int32),
            Content::Offset => Schema::builder(Kind::Int64),
            Content::Timestamp => Schema::timestamp_builder(),
        };
        builder.with_optional(self.optional).build()
    }

    /// The field of one record beside a schema; null when the record does not have it.
    fn value(&self, records: &Records, row: usize) -> Value {
        match &self.content {
            Content::Topic => Value::String(Arc::clone(&records.topic)),
            Content::Static(text) => Value::String(Arc::clone(text)),
            Content::Partition => records.partition.map_or(Value::Null, Value::Int32),
            Content::Offset => {
                let offset = records.offsets.as_ref().map(|offsets| offsets[row]);
                offset.map_or(Value::Null, Value::Int64)
            }
            Content::Timestamp => records.timestamp(row).map_or(Value::Null, Value::Timestamp),
        }
    }

    /// The text that all records get.
    fn constant<'a>(&'a self, records: &'a Records) -> Option<&'a str> {
        match &self.content {
            Content::Topic => Some(&records.topic),
            Content::Static(text) => Some(text),
            _ => None,
        }
    }

    /// Without a schema a timestamp is a plain number.
    fn schemaless_value(&self, records: &Records, row: usize) -> Value {
        match self.value(records, row) {
            Value::Timestamp(millis) => Value::Int64(millis),
            value => value,
        }
    }

    /// What all records get as JSON numbers; none when a record has no number.
    fn numbers(&self, records: &Records) -> Option<StringViewArray> {
        let mut numbers = StringViewBuilder::with_capacity(records.len());
        let mut text = Vec::new();
        for row in 0..records.len() {
            let Value::Int64(number) = self.schemaless_value(records, row) else { return None };
            text.clear();
            append_integer(number, &mut text);
            numbers.append_value(str::from_utf8(&text).ok()?);
        }
        Some(numbers.finish())
    }

    /// The field of all records.
    fn array(&self, records: &Records) -> ArrayRef {
        let rows = records.len();
        match &self.content {
            Content::Topic => Arc::new(repeated(&records.topic, rows)),
            Content::Static(text) => Arc::new(repeated(text, rows)),
            Content::Partition => match records.partition {
                Some(partition) => Arc::new(Int32Array::from_value(partition, rows)),
                None => new_null_array(&DataType::Int32, rows),
            },
            Content::Offset => match &records.offsets {
                Some(offsets) => Arc::new(Int64Array::new(offsets.clone(), None)),
                None => new_null_array(&DataType::Int64, rows),
            },
            Content::Timestamp => {
                let timestamps = match &records.timestamps {
                    Some(millis) => {
                        let set = millis.iter().map(|t| *t != Records::NO_TIMESTAMP);
                        let nulls = NullBuffer::from_iter(set);
                        TimestampMillisecondArray::new(millis.clone(), Some(nulls))
                    }
                    None => TimestampMillisecondArray::new_null(rows),
                };
                Arc::new(timestamps.with_timezone("UTC"))
            }
        }
    }
}

/// One text, held once.
fn repeated(text: &str, rows: usize) -> StringViewArray {
    let view = make_view(text.as_bytes(), 0, 0);
    let buffers = vec![Buffer::from(text.as_bytes())];
    StringViewArray::new(vec![view; rows].into(), buffers, None)
}

pub(crate) struct InsertField {
    side: Side,
    insertions: Vec<Insertion>,
    defaults: NullDefaults,
    schemas: SchemaCache,
}

impl InsertField {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = InsertFieldConfig::parse(props)?;
        let contents = [
            (Content::Topic, &config.topic_field),
            (Content::Partition, &config.partition_field),
            (Content::Offset, &config.offset_field),
            (Content::Timestamp, &config.timestamp_field),
        ];
        let mut insertions: Vec<Insertion> = contents
            .into_iter()
            .filter_map(|(content, spec)| Some(Insertion::new(content, spec.as_deref()?)))
            .collect();
        if let Some(spec) = &config.static_field {
            let Some(text) = &config.static_value else {
                let name = &Insertion::new(Content::Topic, spec).name;
                let reason = format!("No value specified for static field: {name}");
                return Err(invalid_value("static.value", "null", reason));
            };
            insertions.push(Insertion::new(Content::Static(text.as_str().into()), spec));
        }
        if insertions.is_empty() {
            return Err(Error::config("No field insertion configured"));
        }
        Ok(Box::new(Self {
            side,
            insertions,
            defaults: NullDefaults(config.replace_null_with_default),
            schemas: SchemaCache::default(),
        }))
    }

    /// Only sink records have offsets.
    fn check_offset(&self, records: &Records) -> Result<()> {
        let wanted = self.insertions.iter().any(|i| matches!(i.content, Content::Offset));
        if wanted && records.offsets.is_none() {
            return Err(Error::data(format!(
                "Only SinkRecord supported for [{PURPOSE}], found: \
                 org.apache.kafka.connect.source.SourceRecord"
            )));
        }
        Ok(())
    }

    fn insert_schemaless(&self, records: &Records, refused: &mut Refused) -> Result<Column> {
        // A partition is an int32, which JSON text cannot say.
        let is_partition = |i: &Insertion| matches!(i.content, Content::Partition);
        let sets_partition =
            records.partition.is_some() && self.insertions.iter().any(is_partition);
        if let Column::Objects(objects) = self.side.column(records)
            && !sets_partition
            && let Some(inserted) = self.insert_in_objects(records, objects)
        {
            return Ok(Column::Objects(inserted));
        }
        match &*self.side.column(records).with_texts() {
            Column::Json(texts) if !sets_partition => self.insert_in_texts(records, texts, refused),
            column => {
                let mut rows = column.rows()?.into_owned();
                for (row, value) in rows.iter_mut().enumerate() {
                    if let Err(error) = self.insert_in_value(records, row, value) {
                        refused.push(row, error);
                    }
                }
                Ok(Column::Rows { schema: None, values: rows })
            }
        }
    }

    fn insert_in_value(&self, records: &Records, row: usize, value: &mut Value) -> Result<()> {
        let entries = match value {
            Value::Null => return Ok(()),
            Value::Map(entries) => entries,
            other => return Err(no_map(PURPOSE, other)),
        };
        self.check_offset(records)?;
        for insertion in &self.insertions {
            let value = insertion.schemaless_value(records, row);
            if value.is_null() {
                continue;
            }
            let is_name =
                |key: &Value| matches!(key, Value::String(name) if *name == insertion.name);
            match entries.iter_mut().find(|(key, _)| is_name(key)) {
                Some(entry) => entry.1 = value,
                None => entries.push((Value::String(Arc::clone(&insertion.name)), value)),
            }
        }
        Ok(())
    }

    /// None when some records do not have what is to be inserted, or must not, or already have it
    /// and others not.
    fn insert_in_objects(&self, records: &Records, objects: &JsonObjects) -> Option<JsonObjects> {
        self.check_offset(records).ok()?;
        let mut members = objects.members().to_vec();
        for insertion in &self.insertions {
            let name = Arc::clone(&insertion.name);
            let made = match insertion.constant(records) {
                Some(text) => JsonMember::same(name, json_object::quoted(text)),
                None => JsonMember::own(name, insertion.numbers(records)?),
            };
            match members.iter_mut().find(|member| *member.name() == insertion.name) {
                // Elsewhere it comes last, whatever its place in the run.
                Some(member) if !objects.is_everywhere(member) => return None,
                Some(member) => *member = made,
                None => members.push(made),
            }
        }
        Some(objects.with_members(members))
    }

    fn insert_in_texts(
        &self,
        records: &Records,
        texts: &StringViewArray,
        refused: &mut Refused,
    ) -> Result<Column> {
        let column = self.side.column(records);
        let mut inserted = StringViewBuilder::with_capacity(texts.len());
        let mut object = String::new();
        let json = |insertion: &Insertion| insertion.constant(records).map(json_object::quoted);
        let constants: Vec<Option<String>> = self.insertions.iter().map(json).collect();
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text.filter(|text| json_object::is_object(text)) else {
                if !column.is_null(row) {
                    refused.push(row, no_map(PURPOSE, &column.value(row)?));
                }
                inserted.append_option(text);
                continue;
            };
            object.clear();
            let set = self.check_offset(records).and_then(|()| {
                let members = self.members(records, row, &constants);
                json_object::set(text, &members, &mut object)
            });
            if let Err(error) = set {
                refused.push(row, error);
            }
            inserted.append_value(&object);
        }
        Ok(Column::Json(inserted.finish()))
    }

    /// The members of one record's object; of two insertions of one name the later counts.
    fn members<'a>(
        &'a self,
        records: &Records,
        row: usize,
        constants: &'a [Option<String>],
    ) -> Vec<Member<'a>> {
        let mut members: Vec<Member<'_>> = Vec::with_capacity(self.insertions.len());
        for (insertion, constant) in self.insertions.iter().zip(constants) {
            let value = match (constant, insertion.schemaless_value(records, row)) {
                (Some(text), _) => Cow::Borrowed(&**text),
                (None, Value::Null) => continue,
                (None, number) => Cow::Owned(number.to_string()),
            };
            match members.iter_mut().find(|m| *m.name == *insertion.name) {
                Some(member) => member.value = value,
                None => {
                    members.push(Member { quoted: &insertion.quoted, name: &insertion.name, value })
                }
            }
        }
        members
    }

    /// The schema with the new fields. It is required, as in Java, whatever the old one was.
    fn extended(&mut self, schema: &SchemaRef) -> Result<SchemaRef> {
        let insertions = &self.insertions;
        self.schemas.get(schema, || {
            let mut fields = Fields::default();
            for field in schema.fields() {
                fields.push(Arc::clone(&field.name), Arc::clone(&field.schema))?;
            }
            for insertion in insertions {
                fields.push(Arc::clone(&insertion.name), insertion.schema())?;
            }
            Ok(with_basics(fields.into_struct(), schema).build())
        })
    }

    /// Values that are all null or all not; `first` is their place in the run that came in.
    fn apply_to_stretch(
        &mut self,
        records: Records,
        first: usize,
        is_null: bool,
        failed: &mut Vec<RowError>,
    ) -> Result<Option<Records>> {
        if is_null {
            // A null value keeps its schema, so it is a run of its own.
            return Ok(Some(records));
        }
        let mut refused = Refused::default();
        let records = self.insert_with_schema(records, &mut refused)?;
        Ok(refused.leave_out(records, first, failed))
    }

    /// Inserts into values that are not null.
    fn insert_with_schema(&mut self, records: Records, refused: &mut Refused) -> Result<Records> {
        let column = self.side.column(&records);
        let schema = Arc::clone(column.schema().expect("the caller saw the schema"));
        if schema.kind() != Kind::Struct {
            for row in 0..column.len() {
                refused.push(row, no_struct(PURPOSE, &column.value(row)?));
            }
            return Ok(records);
        }
        let extended = match self.extended(&schema) {
            Ok(extended) => extended,
            Err(error) => {
                refuse_all(records.len(), &error, refused);
                return Ok(records);
            }
        };
        let column = self.side.column(&records);
        let array = match column {
            Column::Typed { array, .. } => {
                self.insert_in_array(&records, &extended, array, refused).ok()
            }
            _ => None,
        };
        let column = match array {
            Some(array) => Column::Typed { schema: extended, array },
            None => self.insert_in_rows(&records, &extended, column, refused)?,
        };
        Ok(self.side.replace(records, column))
    }

    fn insert_in_rows(
        &self,
        records: &Records,
        extended: &SchemaRef,
        column: &Column,
        refused: &mut Refused,
    ) -> Result<Column> {
        let mut values = Vec::with_capacity(column.len());
        for (row, value) in column.rows()?.iter().enumerate() {
            let inserted = self.insert_in_struct(records, row, value, extended);
            values.push(inserted.unwrap_or_else(|error| {
                refused.push(row, error);
                Value::Null
            }));
        }
        Ok(Column::Rows { schema: Some(Arc::clone(extended)), values })
    }

    /// The definition of what happens to one value with a schema.
    fn insert_in_struct(
        &self,
        records: &Records,
        row: usize,
        value: &Value,
        extended: &SchemaRef,
    ) -> Result<Value> {
        let Value::Struct(old) = value else {
            return Err(no_struct(PURPOSE, value));
        };
        let mut values = Vec::with_capacity(extended.fields().len());
        for (field, value) in old.schema().fields().iter().zip(old.values()) {
            values.push(self.defaults.copied(field, value)?);
        }
        self.check_offset(records)?;
        values.extend(self.insertions.iter().map(|i| i.value(records, row)));
        Ok(Value::Struct(Struct::new(Arc::clone(extended), values)))
    }

    fn insert_in_array(
        &self,
        records: &Records,
        extended: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<ArrayRef> {
        let structs = array.as_struct();
        let mut columns = Vec::with_capacity(extended.fields().len());
        for (field, column) in extended.fields().iter().zip(structs.columns()) {
            let column = self.defaults.column(&field.schema, column)?;
            refused.push_nulls(field, &column, None);
            columns.push(column);
        }
        for row in 0..records.len() {
            let Err(error) = self.check_offset(records) else { break };
            refused.push(row, error);
        }
        columns.extend(self.insertions.iter().map(|insertion| insertion.array(records)));
        struct_array(extended, columns, None, records.len())
    }
}

impl Transformation for InsertField {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let column = self.side.column(&records);
        if column.schema().is_none() {
            let mut refused = Refused::default();
            let inserted = self.insert_schemaless(&records, &mut refused)?;
            let records = self.side.replace(records, inserted);
            return Ok(refused.leave_out(records, 0, failed).into_iter().collect());
        }
        let stretches = stretches(column);
        if let [(_, is_null)] = stretches[..] {
            let run = self.apply_to_stretch(records, 0, is_null, failed)?;
            return Ok(run.into_iter().collect());
        }
        let mut runs = Vec::new();
        for (rows, is_null) in stretches {
            let run = records.slice(rows.start, rows.len());
            runs.extend(self.apply_to_stretch(run, rows.start, is_null, failed)?);
        }
        Ok(runs)
    }
}
