//! `ExtractField`: a field takes the place of the whole key or value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use millrace_api::config::Config;
use millrace_api::data::json::JsonObjects;
use millrace_api::data::{Column, SchemaRef, Struct, Value};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::{Each, EachValue, Nulls, Written};
use crate::field_path::{FieldPath, FieldSyntax};
use crate::null_defaults::NullDefaults;
use crate::refused::Refused;
use crate::side::Side;
use crate::struct_array::within;

#[derive(Config, Debug)]
pub(crate) struct ExtractFieldConfig {
    /// Field name to extract.
    #[config(key = "field")]
    field: String,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", default = true)]
    replace_null_with_default: bool,
    /// Defines the version of the syntax to access fields. If set to <code>V1</code>, then the
    /// field paths are limited to access the elements at the root level of the struct or map. If
    /// set to <code>V2</code>, the syntax will support accessing nested elements. To access nested
    /// elements, dotted notation is used. If dots are already included in the field name, then
    /// backtick pairs can be used to wrap field names containing dots. E.g. to access the subfield
    /// <code>baz</code> from a field named "foo.bar" in a struct/map the following format can be
    /// used to access its elements: "<code>foo.bar</code>.baz".
    #[config(key = "field.syntax.version", importance = High, default = FieldSyntax::V1)]
    syntax: FieldSyntax,
}

pub(crate) struct ExtractField {
    /// As it was configured.
    field: String,
    path: FieldPath,
    defaults: NullDefaults,
}

impl ExtractField {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = ExtractFieldConfig::parse(props)?;
        let of = Self {
            path: FieldPath::new(&config.field, config.syntax)?,
            field: config.field,
            defaults: NullDefaults(config.replace_null_with_default),
        };
        Ok(Box::new(Each::new(side, of)))
    }

    /// On the way to the field defaults always count.
    fn defaults_at(&self, is_last: bool) -> NullDefaults {
        if is_last { self.defaults } else { NullDefaults(true) }
    }
}

/// One step into a struct: the place of the field, and its schema.
pub(crate) type Step = (usize, SchemaRef);

impl EachValue for ExtractField {
    type Plan = Vec<Step>;

    fn nulls(&self) -> Nulls {
        Nulls::Change
    }

    fn purpose(&self) -> Option<&'static str> {
        Some("field extraction")
    }

    fn plan(&self, schema: &SchemaRef) -> Result<(SchemaRef, Vec<Step>)> {
        let Some(places) = self.path.places(schema)? else {
            let error = Error::data(format!("Unknown field: {}", self.field));
            return Err(error.as_java("java.lang.IllegalArgumentException"));
        };
        let mut schema = schema;
        let mut steps = Vec::with_capacity(places.len());
        for place in places {
            schema = &schema.fields()[place].schema;
            steps.push((place, Arc::clone(schema)));
        }
        Ok((Arc::clone(schema), steps))
    }

    fn value(&self, steps: &Vec<Step>, _: &SchemaRef, value: &Value) -> Result<Value> {
        let mut value = value;
        for (i, (place, schema)) in steps.iter().enumerate() {
            let Value::Struct(of) = value else { return Ok(Value::Null) };
            value = self.defaults_at(i + 1 == steps.len()).value(schema, &of.values()[*place]);
        }
        Ok(match (value, steps.last()) {
            (Value::Struct(of), Some((_, schema))) => {
                Value::Struct(Struct::new(Arc::clone(schema), of.values().to_vec()))
            }
            (value, _) => value.clone(),
        })
    }

    fn array(
        &self,
        steps: &Vec<Step>,
        _: &SchemaRef,
        array: &ArrayRef,
        _: &mut Refused,
    ) -> Result<Option<ArrayRef>> {
        let mut array = Arc::clone(array);
        for (i, (place, schema)) in steps.iter().enumerate() {
            let structs = array.as_struct();
            let column = structs.column(*place);
            let column = self.defaults_at(i + 1 == steps.len()).column(schema, column)?;
            array = within(&column, structs.nulls())?;
        }
        Ok(Some(array))
    }

    fn schemaless(&self, value: Value) -> Result<Value> {
        self.path.take(value)
    }

    fn members(&self, objects: &JsonObjects, _odd: &mut Vec<usize>) -> Result<Option<Column>> {
        let Some(name) = self.path.name() else { return Ok(None) };
        Ok(Some(match objects.member(name) {
            Some(member) => Column::Json(objects.column(member)),
            None => Column::nulls(objects.len()),
        }))
    }

    fn object(&self, text: &str, out: &mut String) -> Result<Written> {
        Ok(match self.path.text(text)? {
            Some(text) => {
                out.push_str(text);
                Written::Text
            }
            None => Written::Null,
        })
    }
}
