//! `ReplaceField`: drops fields and renames others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::ArrayRef;
use millrace_api::config::validators::unique_list;
use millrace_api::config::{Config, Validator};
use millrace_api::data::json::{JsonMember, JsonObjects};
use millrace_api::data::{
    Column, Field, Schema, SchemaRef, Struct, Value, in_hash_map_order, java_string_hash,
};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls, Written};
use crate::json_object;
use crate::null_defaults::NullDefaults;
use crate::picked::{Picked, not_of_its_schema};
use crate::put;
use crate::refused::{Refused, no_name};
use crate::schemas::{Fields, with_basics};
use crate::side::Side;

#[derive(Config, Debug)]
pub(crate) struct ReplaceFieldConfig {
    /// Fields to exclude. This takes precedence over the fields to include.
    #[config(key = "exclude", default = "", validate = unique_list)]
    exclude: Vec<String>,
    /// Fields to include. If specified, only these fields will be used.
    #[config(key = "include", default = "", validate = unique_list)]
    include: Vec<String>,
    /// Field rename mappings.
    #[config(key = "renames", default = "", validate = pairs)]
    renames: Vec<String>,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
}

fn pairs() -> Validator {
    let valid = "list of colon-delimited pairs, e.g. <code>foo:bar,abc:xyz</code>";
    Validator::new(valid, |value| {
        value.as_list().unwrap_or_default().iter().try_for_each(|item| pair(item).map(|_| ()))
    })
}

/// `old:new`; as Java splits, colons at the end are ignored.
fn pair(item: &str) -> Result<(&str, &str), String> {
    match item.trim_end_matches(':').split_once(':') {
        Some((old, new)) if !new.contains(':') => Ok((old, new)),
        _ => Err(format!("Invalid rename mapping: {item}")),
    }
}

/// Few names, each asked for in every member of JSON text: hashing them would cost more.
pub(crate) struct ReplaceField {
    exclude: BTreeSet<String>,
    include: BTreeSet<String>,
    renames: BTreeMap<String, Arc<str>>,
    /// Which field Java takes the value of a field from, by the new name.
    origins: BTreeMap<Arc<str>, String>,
    defaults: NullDefaults,
}

impl ReplaceField {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = ReplaceFieldConfig::parse(props)?;
        let pairs = config.renames.iter().map(|item| pair(item));
        let pairs = pairs.collect::<Result<Vec<_>, _>>().map_err(Error::config)?;
        let renames: BTreeMap<String, Arc<str>> =
            pairs.iter().map(|(old, new)| ((*old).to_owned(), Arc::from(*new))).collect();
        // Of two fields that get one name, the one counts that a HashMap of the renames gives last.
        let distinct: Vec<(&String, &Arc<str>)> = renames.iter().collect();
        let ordered = in_hash_map_order(&distinct, |(old, _)| Some(java_string_hash(old)));
        let origins =
            ordered.into_iter().map(|(old, new)| (Arc::clone(new), (*old).clone())).collect();
        let of = Self {
            exclude: config.exclude.into_iter().collect(),
            include: config.include.into_iter().collect(),
            renames,
            origins,
            defaults: NullDefaults(config.replace_null_with_default),
        };
        Ok(Box::new(Each::new(side, of)))
    }

    fn keeps(&self, name: &str) -> bool {
        !self.exclude.contains(name) && (self.include.is_empty() || self.include.contains(name))
    }

    fn renamed(&self, name: &Arc<str>) -> Arc<str> {
        Arc::clone(self.renames.get(&**name).unwrap_or(name))
    }

    /// Which of the old fields Java takes the value of a new one from: another than the one whose
    /// schema it has, when a field is excluded or missing whose new name is another's.
    fn origin<'s>(&self, schema: &'s Schema, field: &Field) -> Result<(usize, &'s Field)> {
        let name = &field.name;
        let origin = self.origins.get(name).map_or(&**name, String::as_str);
        let message = || format!("{origin} is not a valid field name");
        schema.field(origin).ok_or_else(|| Error::data(message()))
    }

    /// Of each new name that stands in `renames`, the entry whose value it gets: the one that
    /// Java's `HashMap` gives last.
    fn winners<'e>(&self, entries: &'e [(Value, Value)]) -> HashMap<Arc<str>, &'e Value> {
        if self.renames.is_empty() {
            return HashMap::new();
        }
        let hash = |entry: &(Value, Value)| name_of(entry).map(|name| java_string_hash(name));
        let mut winners = HashMap::new();
        for entry in in_hash_map_order(entries, hash) {
            let Some(name) = name_of(entry).filter(|name| self.keeps(name)) else { continue };
            let new = self.renamed(name);
            if self.origins.contains_key(&new) {
                winners.insert(new, &entry.0);
            }
        }
        winners
    }
}

fn name_of(entry: &(Value, Value)) -> Option<&Arc<str>> {
    match &entry.0 {
        Value::String(name) => Some(name),
        _ => None,
    }
}

/// Where the value of each new field is.
pub(crate) enum Plan {
    Own(Picked),
    /// In a field of another schema, or of none: each value is asked whether it fits.
    Others,
}

impl EachValue for ReplaceField {
    type Plan = Plan;

    fn nulls(&self) -> Nulls {
        Nulls::Pass
    }

    fn purpose(&self) -> Option<&'static str> {
        Some("field replacement")
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Plan)> {
        let mut fields = Fields::default();
        for field in schema.fields().iter().filter(|field| self.keeps(&field.name)) {
            fields.push(self.renamed(&field.name), Arc::clone(&field.schema))?;
        }
        let made = with_basics(fields.into_struct(), schema).build();
        let own = |field: &Field| {
            let (place, from) = self.origin(schema, field).ok()?;
            (from.schema == field.schema).then_some(place)
        };
        let plan = match made.fields().iter().map(own).collect() {
            Some(places) => Plan::Own(Picked { places, defaults: self.defaults }),
            None => Plan::Others,
        };
        Ok((made, plan))
    }

    fn value(&self, plan: &Plan, made: &SchemaRef, value: &Value) -> Result<Value> {
        if let Plan::Own(picked) = plan {
            return picked.value(made, value);
        }
        let Value::Struct(old) = value else { return Err(not_of_its_schema()) };
        let mut values = Vec::with_capacity(made.fields().len());
        for field in made.fields() {
            let (place, from) = self.origin(old.schema(), field)?;
            let value = self.defaults.value(&from.schema, &old.values()[place]);
            put::check(field, value)?;
            values.push(value.clone());
        }
        Ok(Value::Struct(Struct::new(Arc::clone(made), values)))
    }

    fn array(
        &self,
        plan: &Plan,
        made: &SchemaRef,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        match plan {
            Plan::Own(picked) => picked.array(made, array, refused).map(Some),
            Plan::Others => Ok(None),
        }
    }

    fn schemaless(&self, value: Value) -> Result<Value> {
        let Value::Map(entries) = value else { return Ok(value) };
        let winners = self.winners(&entries);
        let mut kept: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for entry in &entries {
            let Some(name) = name_of(entry) else { return Err(no_name(&entry.0)) };
            if !self.keeps(name) {
                continue;
            }
            let new = self.renamed(name);
            if winners.get(&new).is_none_or(|winner| **winner == entry.0) {
                kept.push((Value::String(new), entry.1.clone()));
            }
        }
        Ok(Value::Map(kept))
    }

    fn members(&self, objects: &JsonObjects, _odd: &mut Vec<usize>) -> Result<Option<Column>> {
        let mut members: Vec<JsonMember> = Vec::with_capacity(objects.members().len());
        for member in objects.members().iter().filter(|member| self.keeps(member.name())) {
            let new = self.renamed(member.name());
            // Which of two members wins is decided a row at a time.
            if members.iter().any(|member| *member.name() == new) {
                return Ok(None);
            }
            members.push(member.renamed(new));
        }
        Ok(Some(Column::Objects(objects.with_members(members))))
    }

    fn object(&self, text: &str, out: &mut String) -> Result<Written> {
        let mut renamed: Vec<Arc<str>> = Vec::new();
        let mut collides = false;
        out.push('{');
        let mut first = true;
        json_object::members(text, |member| {
            if !self.keeps(&member.name) {
                return;
            }
            let new = self.renames.get(&*member.name);
            if let Some((new, _)) = self.origins.get_key_value(new.map_or(&*member.name, |n| n)) {
                collides |= renamed.contains(new);
                renamed.push(Arc::clone(new));
            }
            json_object::separate(&mut first, out);
            match new {
                Some(new) => json_object::push(&json_object::quoted(new), member.value, out),
                None => out.push_str(member.text),
            }
        })?;
        out.push('}');
        // Which of two members wins is decided where names are unique.
        Ok(if collides { Written::Not } else { Written::Text })
    }
}
