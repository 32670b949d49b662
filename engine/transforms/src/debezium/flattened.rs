//! Adds fields to the row of a change event: `__deleted`, and what `add.fields` names. Decides the
//! schemas, and the values one by one; `columns.rs` does the same to arrays.

use std::sync::Arc;

use millrace_api::data::{Schema, SchemaRef, Struct, Value};
use millrace_api::{Error, Result};

use super::event::{has_same_schema, required_struct, text};
use super::field_reference::{FieldReference, Located};
use crate::null_defaults::NullDefaults;
use crate::refused::null_in_required_field;
use crate::schema_cache::SchemaCache;
use crate::schemas::{Fields, with_basics};

/// Says whether the row is there any more.
const DELETED: &str = "__deleted";

/// A schema with added fields, and where these come from.
pub(super) type Extended = (SchemaRef, Arc<[Located]>);

/// What is added to rows.
pub(super) struct Additions {
    fields: Vec<FieldReference>,
    /// Whether defaults replace nulls where `__deleted` is added.
    pub(super) defaults: NullDefaults,
    deleted: SchemaCache,
    /// By the schema of the event, for its rows before and after the change: what becomes of which
    /// schema.
    extended: [SchemaCache<(SchemaRef, Extended)>; 2],
}

/// Which row of a change event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Of {
    Before,
    After,
}

impl Additions {
    pub(super) fn new(fields: Vec<FieldReference>, defaults: NullDefaults) -> Self {
        let extended = [SchemaCache::default(), SchemaCache::default()];
        Self { fields, defaults, deleted: SchemaCache::default(), extended }
    }

    /// A row's schema with `__deleted`.
    pub(super) fn deleted_schema(&mut self, schema: &SchemaRef) -> Result<SchemaRef> {
        self.deleted.get(schema, || {
            let mut fields = copied(schema)?;
            fields.push(DELETED.into(), Schema::string(true))?;
            Ok(with_basics(fields.into_struct(), schema).build())
        })
    }

    /// A row with `__deleted`. What is no struct stays as it is.
    pub(super) fn with_deleted(
        &mut self,
        (schema, value): (SchemaRef, Value),
        is_deleted: bool,
    ) -> Result<(SchemaRef, Value)> {
        let Value::Struct(row) = &value else { return Ok((schema, value)) };
        let extended = self.deleted_schema(&schema)?;
        let mut values = self.values(row, self.defaults)?;
        values.push(Value::from(if is_deleted { "true" } else { "false" }));
        Ok((Arc::clone(&extended), Value::Struct(Struct::new(extended, values))))
    }

    fn values(&self, row: &Struct, defaults: NullDefaults) -> Result<Vec<Value>> {
        let fields = row.schema().fields().iter().zip(row.values());
        fields.map(|(field, value)| defaults.copied(field, value)).collect()
    }

    /// The schema of a row, which is that of `of` with or without `__deleted`, with the fields that
    /// events of the schema `event` have to add.
    pub(super) fn extended(
        &mut self,
        event: &SchemaRef,
        of: Of,
        schema: &SchemaRef,
    ) -> Result<Extended> {
        let references = &self.fields;
        let cache = &mut self.extended[usize::from(of == Of::After)];
        let make = || Ok((Arc::clone(schema), with_located(schema, event, references)?));
        let (known, extended) = cache.get(event, make)?;
        match has_same_schema(Some(&known), Some(schema)) {
            true => Ok(extended),
            // Fields were dropped from this row.
            false => with_located(schema, event, references),
        }
    }

    /// A row with the added fields of its event.
    pub(super) fn with_fields(
        &mut self,
        event: &Struct,
        of: Of,
        value: &Value,
    ) -> Result<(SchemaRef, Value)> {
        let row = required_struct(value, "source field insertion")?;
        text(event, "op")?;
        let (schema, located) = self.extended(event.schema(), of, row.schema())?;
        let mut values = self.values(row, NullDefaults(false))?;
        for located in &*located {
            let value = located.value(event);
            fits(&value, located)?;
            values.push(value);
        }
        Ok((Arc::clone(&schema), Value::Struct(Struct::new(schema, values))))
    }
}

/// The schema of a row with the fields that its events have to add.
fn with_located(
    schema: &SchemaRef,
    event: &SchemaRef,
    references: &[FieldReference],
) -> Result<Extended> {
    let mut fields = copied(schema)?;
    let mut located = Vec::new();
    for reference in references {
        let Some(found) = reference.locate(event)? else { continue };
        fields.push(Arc::clone(&found.name), Arc::clone(&found.schema))?;
        located.push(found);
    }
    Ok((with_basics(fields.into_struct(), schema).build(), located.into()))
}

/// All fields of a row.
fn copied(schema: &Schema) -> Result<Fields> {
    let mut fields = Fields::default();
    for field in schema.fields() {
        fields.push(Arc::clone(&field.name), Arc::clone(&field.schema))?;
    }
    Ok(fields)
}

/// What Java's `Struct.put` finds wrong: the schema of a struct that is added has lost its fields.
fn fits(value: &Value, located: &Located) -> Result<()> {
    match value {
        Value::Null if !located.schema.is_optional() => {
            Err(null_in_required_field(&located.name, located.schema.kind()))
        }
        Value::Struct(value) if *value.schema() != located.schema => {
            Err(Error::data("Struct schemas do not match."))
        }
        _ => Ok(()),
    }
}
