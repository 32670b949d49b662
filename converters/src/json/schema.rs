//! Writes schemas as JSON and reads them.

use std::sync::Arc;

use millrace_api::data::{Kind, Schema, SchemaBuilder, SchemaRef, append_integer};

use crate::json::Rules;
use crate::json::fault::Fault;
use crate::json::node::Node;
use crate::json::read::to_value;
use crate::json::text::{append_boolean, append_text};
use crate::json::value::append_value;

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int8 => "int8",
        Kind::Int16 => "int16",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Float32 => "float",
        Kind::Float64 => "double",
        Kind::Boolean => "boolean",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Array => "array",
        Kind::Map => "map",
        Kind::Struct => "struct",
    }
}

/// Appends a schema as an object. Fails when a default cannot be written.
pub(crate) fn append_schema(
    schema: &Schema,
    options: Rules,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    append_open(schema, options, out)?;
    out.push(b'}');
    Ok(())
}

/// A schema without the closing brace: within a struct, the field's name follows.
fn append_open(schema: &Schema, options: Rules, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(b"{\"type\":");
    append_text(type_name(schema.kind()), out);
    append_parts(schema, options, out)?;
    out.extend_from_slice(b",\"optional\":");
    append_boolean(schema.is_optional(), out);
    if let Some(name) = schema.name() {
        out.extend_from_slice(b",\"name\":");
        append_text(name, out);
    }
    if let Some(version) = schema.version() {
        out.extend_from_slice(b",\"version\":");
        append_integer(version.into(), out);
    }
    if let Some(doc) = schema.doc() {
        out.extend_from_slice(b",\"doc\":");
        append_text(doc, out);
    }
    if !schema.parameters().is_empty() {
        out.extend_from_slice(b",\"parameters\":{");
        for (i, (name, value)) in schema.parameters().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            append_text(name, out);
            out.push(b':');
            append_text(value, out);
        }
        out.push(b'}');
    }
    if let Some(default) = schema.default() {
        out.extend_from_slice(b",\"default\":");
        append_value(Some(schema), default, options, out)?;
    }
    Ok(())
}

fn append_parts(schema: &Schema, options: Rules, out: &mut Vec<u8>) -> Result<(), Fault> {
    let inner = |key: &[u8], schema: Option<&SchemaRef>, out: &mut Vec<u8>| {
        out.extend_from_slice(key);
        match schema {
            Some(schema) => append_schema(schema, options, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    };
    match schema.kind() {
        Kind::Array => inner(b",\"items\":", schema.value_schema(), out),
        Kind::Map => {
            inner(b",\"keys\":", schema.key_schema(), out)?;
            inner(b",\"values\":", schema.value_schema(), out)
        }
        Kind::Struct => {
            out.extend_from_slice(b",\"fields\":[");
            for (i, field) in schema.fields().iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                append_open(&field.schema, options, out)
                    .map_err(|fault| fault.within(&field.name))?;
                out.extend_from_slice(b",\"field\":");
                append_text(&field.name, out);
                out.push(b'}');
            }
            out.push(b']');
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How deep schemas may nest: everybody who handles data goes down them by recursion.
const MAX_DEPTH: usize = 100;

/// The schema that a JSON object describes; none for null.
pub(crate) fn read_schema(node: &Node<'_>, options: Rules) -> Result<Option<SchemaRef>, Fault> {
    read_at(0, node, options)
}

fn read_at(depth: usize, node: &Node<'_>, options: Rules) -> Result<Option<SchemaRef>, Fault> {
    if matches!(node, Node::Null) {
        return Ok(None);
    }
    if depth == MAX_DEPTH {
        return Err(Fault::new("Schema is nested too deeply"));
    }
    let Some(Node::Text(kind)) = node.get("type") else {
        return Err(Fault::new("Schema must contain 'type' field"));
    };
    let mut builder = start(depth + 1, kind, node, options)?;
    if let Some(Node::Boolean(true)) = node.get("optional") {
        builder = builder.optional();
    }
    if let Some(Node::Text(name)) = node.get("name") {
        builder = builder.name(&**name);
    }
    if let Some(Node::Number(version)) = node.get("version")
        && version.is_integer()
    {
        builder = builder.version(version.to_i64() as i32);
    }
    if let Some(Node::Text(doc)) = node.get("doc") {
        builder = builder.doc(&**doc);
    }
    if let Some(Node::Object(parameters)) = node.get("parameters") {
        for (name, value) in parameters {
            let Node::Text(value) = value else {
                return Err(Fault::new("Schema parameters must have string values."));
            };
            builder = builder.parameter(&**name, &**value);
        }
    }
    let Some(default) = node.get("default") else {
        return Ok(Some(builder.build()));
    };
    let schema = builder.clone().build();
    let default = to_value(&schema, Some(default), options)?;
    if default.is_null() && schema.is_optional() {
        return Ok(Some(schema));
    }
    let builder = builder.default_value(default).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Fault::new("Invalid default value").because(cause.unwrap_or_default())
    })?;
    Ok(Some(builder.build()))
}

fn start(
    depth: usize,
    kind: &str,
    node: &Node<'_>,
    options: Rules,
) -> Result<SchemaBuilder, Fault> {
    let part = |key: &str, missing: &'static str, null: &'static str| {
        let node = node.get(key).ok_or_else(|| Fault::new(missing))?;
        read_at(depth, node, options)?.ok_or_else(|| Fault::new(null))
    };
    Ok(Schema::builder(match kind {
        "int8" => Kind::Int8,
        "int16" => Kind::Int16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float" => Kind::Float32,
        "double" => Kind::Float64,
        "boolean" => Kind::Boolean,
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "array" => {
            let missing = "Array schema did not specify the element type";
            return Ok(Schema::array_builder(part("items", missing, missing)?));
        }
        "map" => {
            let key = part(
                "keys",
                "Map schema did not specify the key type",
                "keySchema cannot be null.",
            )?;
            let value = part(
                "values",
                "Map schema did not specify the value type",
                "valueSchema cannot be null.",
            )?;
            return Ok(Schema::map_builder(key, value));
        }
        "struct" => return read_fields(depth, node, options),
        other => return Err(Fault::new(format!("Unknown schema type: {other}"))),
    }))
}

fn read_fields(depth: usize, node: &Node<'_>, options: Rules) -> Result<SchemaBuilder, Fault> {
    let Some(Node::Array(fields)) = node.get("fields") else {
        return Err(Fault::new("Struct schema's \"fields\" argument is not an array."));
    };
    let mut builder = Schema::struct_builder();
    let mut names = std::collections::HashSet::new();
    for field in fields {
        let Some(Node::Text(name)) = field.get("field") else {
            return Err(Fault::new("Struct schema's field name not specified properly"));
        };
        let name: Arc<str> = (&**name).into();
        let schema = read_at(depth, field, options)
            .map_err(|fault| fault.within(&name))?
            .expect("an object is not null");
        if name.is_empty() {
            return Err(Fault::new("fieldName cannot be null."));
        }
        if !names.insert(Arc::clone(&name)) {
            return Err(Fault::new(format!(
                "Cannot create field because of field name duplication {name}"
            )));
        }
        builder = builder.field(name, schema);
    }
    Ok(builder)
}
