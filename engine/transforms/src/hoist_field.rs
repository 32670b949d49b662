//! `HoistField`: wraps each key or value into a struct, or without a schema into a map, of one
//! field.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, StringViewBuilder, StructArray};
use arrow::datatypes::Field as ArrowField;
use millrace_api::config::Config;
use millrace_api::data::json::JsonMember;
use millrace_api::data::{Column, Records, RowError, Schema, SchemaRef, Struct, Value};
use millrace_api::{Props, Result, Transformation};

use crate::json_object;
use crate::refused::{Refused, null_in_required_field};
use crate::schema_cache::SchemaCache;
use crate::schemas::empty_name;
use crate::side::Side;

#[derive(Config, Debug)]
pub(crate) struct HoistFieldConfig {
    /// Field name for the single field that will be created in the resulting Struct or Map.
    #[config(key = "field", importance = Medium)]
    field: String,
}

pub(crate) struct HoistField {
    side: Side,
    field: Arc<str>,
    schemas: SchemaCache,
}

impl HoistField {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = HoistFieldConfig::parse(props)?;
        Ok(Box::new(Self { side, field: config.field.into(), schemas: SchemaCache::default() }))
    }

    /// A struct's field must have a name, and null fits a required field as little as a required
    /// value.
    fn refused(&self, column: &Column) -> Refused {
        let mut refused = Refused::default();
        let Some(schema) = column.schema() else {
            return refused;
        };
        if self.field.is_empty() {
            (0..column.len()).for_each(|row| refused.push(row, empty_name()));
        }
        if schema.is_optional() {
            return refused;
        }
        for row in (0..column.len()).filter(|row| column.is_null(*row)) {
            refused.push(row, null_in_required_field(&self.field, schema.kind()));
        }
        refused
    }

    fn hoist(&mut self, column: &Column) -> Result<Column> {
        Ok(match column {
            Column::Json(texts) => Column::Json(hoist_texts(&self.field, texts)),
            Column::Objects(objects) => {
                let texts = objects.texts();
                match objects.has_nulls() || texts.iter().flatten().any(has_blanks) {
                    true => Column::Json(hoist_texts(&self.field, &texts)),
                    false => {
                        let member = JsonMember::own(Arc::clone(&self.field), texts);
                        Column::Objects(objects.with_members(vec![member]))
                    }
                }
            }
            Column::Rows { schema: None, values } => {
                let name = Value::String(Arc::clone(&self.field));
                let hoist = |value: &Value| Value::Map(vec![(name.clone(), value.clone())]);
                Column::Rows { schema: None, values: values.iter().map(hoist).collect() }
            }
            Column::Rows { schema: Some(schema), values } => {
                let schema = self.hoisted(schema)?;
                let hoist = |value: &Value| {
                    Value::Struct(Struct::new(Arc::clone(&schema), vec![value.clone()]))
                };
                Column::Rows { values: values.iter().map(hoist).collect(), schema: Some(schema) }
            }
            Column::Typed { schema, array } => Column::Typed {
                schema: self.hoisted(schema)?,
                array: hoist_array(&self.field, array),
            },
        })
    }

    fn hoisted(&mut self, schema: &SchemaRef) -> Result<SchemaRef> {
        let field = &self.field;
        self.schemas.get(schema, || {
            let hoisted = Schema::struct_builder().field(Arc::clone(field), Arc::clone(schema));
            Ok(hoisted.build())
        })
    }
}

impl Transformation for HoistField {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let refused = self.refused(self.side.column(&records));
        let Some(records) = refused.leave_out(records, 0, failed) else {
            return Ok(Vec::new());
        };
        let hoisted = self.hoist(self.side.column(&records))?;
        Ok(vec![self.side.replace(records, hoisted)])
    }
}

fn hoist_array(name: &str, array: &ArrayRef) -> ArrayRef {
    let field = ArrowField::new(name, array.data_type().clone(), true);
    Arc::new(StructArray::new(vec![field].into(), vec![Arc::clone(array)], None))
}

/// Whether an object has blanks around it, which the text of a member has not.
fn has_blanks(object: &str) -> bool {
    !object.starts_with('{') || !object.ends_with('}')
}

/// No value at all becomes `null`.
fn hoist_texts(name: &str, texts: &StringViewArray) -> StringViewArray {
    let start = format!("{{{}:", json_object::quoted(name));
    let mut hoisted = StringViewBuilder::with_capacity(texts.len());
    let mut object = String::new();
    for text in texts {
        object.clear();
        object.push_str(&start);
        object.push_str(text.unwrap_or("null"));
        object.push('}');
        hoisted.append_value(&object);
    }
    hoisted.finish()
}
