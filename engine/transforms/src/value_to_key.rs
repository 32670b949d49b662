//! `ValueToKey`: makes the key of some fields of the value.

use std::sync::Arc;

use arrow::array::ArrayRef;
use millrace_api::config::Config;
use millrace_api::config::validators::non_empty_list;
use millrace_api::data::json::{JsonMember, JsonObjects};
use millrace_api::data::{Column, SchemaRef, Value};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls, Written};
use crate::json_object;
use crate::null_defaults::NullDefaults;
use crate::picked::Picked;
use crate::refused::Refused;
use crate::schemas::Fields;
use crate::side::Side;

#[derive(Config, Debug)]
pub(crate) struct ValueToKeyConfig {
    /// Field names on the record value to extract as the record key.
    #[config(key = "fields", importance = High, validate = non_empty_list)]
    fields: Vec<String>,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
}

pub(crate) struct ValueToKey {
    fields: Vec<Arc<str>>,
    /// The names as JSON text.
    quoted: Vec<String>,
    defaults: NullDefaults,
}

impl ValueToKey {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = ValueToKeyConfig::parse(props)?;
        let of = Self {
            quoted: config.fields.iter().map(|name| json_object::quoted(name)).collect(),
            fields: config.fields.into_iter().map(Arc::from).collect(),
            defaults: NullDefaults(config.replace_null_with_default),
        };
        Ok(Box::new(Each::between(Side::Value, Side::Key, of)))
    }
}

impl EachValue for ValueToKey {
    type Plan = Picked;

    fn nulls(&self) -> Nulls {
        Nulls::Fail
    }

    fn purpose(&self) -> Option<&'static str> {
        Some("copying fields from value to key")
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Picked)> {
        let (mut fields, mut places) = (Fields::default(), Vec::new());
        for name in &self.fields {
            let Some((place, field)) = schema.field(name) else {
                return Err(Error::data(format!("Field does not exist: {name}")));
            };
            fields.push(Arc::clone(name), Arc::clone(&field.schema))?;
            places.push(place);
        }
        let picked = Picked { places, defaults: self.defaults };
        Ok((fields.into_struct().build(), picked))
    }

    fn value(&self, picked: &Picked, made: &SchemaRef, value: &Value) -> Result<Value> {
        picked.value(made, value)
    }

    fn array(
        &self,
        picked: &Picked,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        picked.array(made, array, refused).map(Some)
    }

    fn schemaless(&self, value: Value) -> Result<Value> {
        let Value::Map(entries) = value else { return Ok(value) };
        let entry = |name: &Arc<str>| {
            let is_name = |key: &Value| matches!(key, Value::String(key) if key == name);
            let value = entries.iter().find(|(key, _)| is_name(key));
            let value = value.map_or(Value::Null, |(_, value)| value.clone());
            (Value::String(Arc::clone(name)), value)
        };
        Ok(Value::Map(self.fields.iter().map(entry).collect()))
    }

    fn members(&self, objects: &JsonObjects, _odd: &mut Vec<usize>) -> Result<Option<Column>> {
        let mut key: Vec<JsonMember> = Vec::with_capacity(self.fields.len());
        for name in &self.fields {
            key.push(match objects.member(name) {
                Some(member) => json_object::or_null(objects, member),
                None => JsonMember::same(Arc::clone(name), "null"),
            });
        }
        Ok(Some(Column::Objects(objects.with_members(key))))
    }

    fn object(&self, text: &str, out: &mut String) -> Result<Written> {
        let mut found = vec!["null"; self.fields.len()];
        json_object::members(text, |member| {
            if let Some(place) = self.fields.iter().position(|name| **name == member.name) {
                found[place] = member.value;
            }
        })?;
        out.push('{');
        let mut first = true;
        for (quoted, value) in self.quoted.iter().zip(found) {
            json_object::separate(&mut first, out);
            json_object::push(quoted, value, out);
        }
        out.push('}');
        Ok(Written::Text)
    }
}
