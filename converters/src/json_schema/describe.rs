//! Writes Connect schemas as JSON Schema, in the order of keywords that Java prints.

use millrace_api::data::{Field, Kind, Schema, Value, append_integer, logical};

use crate::json::{DecimalFormat, Fault, Node, Rules, append_boolean, append_value, is_union};
use crate::json_schema::order::{Table, ordered};
use crate::json_schema::text::{append_node, append_string};
use crate::json_schema::{ENUM, ID, NAMESPACE, NULL_MARKER, SUM_ENUM, Settings};

type Result = std::result::Result<(), Fault>;

/// How deep schemas may nest: everybody who handles data goes down them by recursion.
const MAX_DEPTH: usize = 100;

/// The text of a schema.
pub(crate) fn describe(schema: &Schema, settings: &Settings) -> std::result::Result<String, Fault> {
    let mut out = Vec::new();
    let mut writer = Writer { settings, ids: Vec::new(), depth: 0 };
    writer.append(schema, Place::default(), &mut out)?;
    Ok(String::from_utf8(out).expect("only texts were appended"))
}

struct Writer<'a> {
    settings: &'a Settings,
    /// Those of schemas that were written: when they come again, they are referred to.
    ids: Vec<String>,
    depth: usize,
}

/// Where a schema stands.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The field's position.
    index: Option<usize>,
    /// Whether that null is allowed is written elsewhere.
    is_required: bool,
}

impl Place {
    fn of_field(index: usize) -> Self {
        Self { index: Some(index), is_required: false }
    }
}

impl Writer<'_> {
    fn append(&mut self, schema: &Schema, place: Place, out: &mut Vec<u8>) -> Result {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new("Schema is nested too deeply"));
        }
        self.depth += 1;
        let id = schema.parameter(ID);
        self.ids.extend(id.map(str::to_owned));
        let is_optional = schema.is_optional() && !place.is_required;
        if is_union(schema, self.settings.rules) {
            self.append_union(schema, place, out)?;
        } else if is_optional {
            // A struct bears its name itself.
            let outer = id.filter(|_| schema.kind() == Kind::Struct);
            open_one_of(outer.or(id), place.index, out);
            out.extend_from_slice(b"{\"type\":\"null\"},");
            self.append_plain(schema, outer, None, out)?;
            out.extend_from_slice(b"]}");
        } else {
            self.append_plain(schema, id, place.index, out)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// A schema, or a reference to the one of the same name before.
    fn append_part(&mut self, schema: &Schema, index: Option<usize>, out: &mut Vec<u8>) -> Result {
        match schema.parameter(ID) {
            Some(id) if self.ids.iter().any(|written| written == id) => {
                out.extend_from_slice(b"{\"$ref\":");
                append_string(id, out);
                out.push(b'}');
                Ok(())
            }
            _ => self.append(schema, Place { index, is_required: false }, out),
        }
    }

    fn append_union(&mut self, schema: &Schema, place: Place, out: &mut Vec<u8>) -> Result {
        open_one_of(schema.parameter(ID), place.index, out);
        let is_optional = schema.is_optional() && !place.is_required;
        if is_optional {
            out.extend_from_slice(b"{\"type\":\"null\"}");
        }
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 || is_optional {
                out.push(b',');
            }
            let place = Place { index: Some(index), is_required: true };
            self.append(&field.schema, place, out).map_err(|fault| fault.within(&field.name))?;
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }

    fn append_plain(
        &mut self,
        schema: &Schema,
        id: Option<&str>,
        index: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result {
        let mut more: Vec<(&str, Vec<u8>)> = Vec::new();
        let mut connect_type = |name: &str| more.push(("connect.type", quoted(name)));
        out.push(b'{');
        let start = out.len();
        match schema.kind() {
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => {
                out.extend_from_slice(b"\"type\":\"integer\"");
                connect_type(&schema.kind().name().to_ascii_lowercase());
            }
            Kind::Float32 | Kind::Float64 => {
                out.extend_from_slice(b"\"type\":\"number\"");
                connect_type(&schema.kind().name().to_ascii_lowercase());
            }
            // Its type comes last.
            Kind::Boolean => {}
            Kind::String => self.append_text_type(schema, out),
            Kind::Bytes => {
                let is_number = schema.name() == Some(logical::DECIMAL)
                    && self.settings.rules.decimal_format == DecimalFormat::Numeric;
                let name: &[u8] = if is_number { b"number" } else { b"string" };
                out.extend_from_slice(b"\"type\":\"");
                out.extend_from_slice(name);
                out.push(b'"');
                connect_type("bytes");
            }
            Kind::Array => out.extend_from_slice(b"\"type\":\"array\""),
            Kind::Map => {
                let is_object = has_names(schema);
                let name: &[u8] = if is_object { b"object" } else { b"array" };
                out.extend_from_slice(b"\"type\":\"");
                out.extend_from_slice(name);
                out.push(b'"');
                connect_type("map");
            }
            Kind::Struct => {
                out.extend_from_slice(b"\"type\":\"object\"");
                if !self.settings.additional_properties {
                    out.extend_from_slice(b",\"additionalProperties\":false");
                }
            }
        }
        self.append_attributes(schema, id, out)?;
        append_more(schema, more, index, out);
        self.append_parts(schema, out)?;
        if schema.kind() == Kind::Boolean {
            out.extend_from_slice(b",\"type\":\"boolean\"");
            out.remove(start);
        }
        out.push(b'}');
        Ok(())
    }

    fn append_text_type(&self, schema: &Schema, out: &mut Vec<u8>) {
        if schema.parameter(SUM_ENUM).is_none() && schema.parameter(ENUM).is_none() {
            out.extend_from_slice(b"\"type\":\"string\"");
            return;
        }
        let prefix = format!("{}.", self.settings.enum_parameter());
        let symbols: Vec<&str> = schema
            .parameters()
            .iter()
            .filter_map(|(name, _)| name.strip_prefix(&*prefix))
            .collect();
        out.extend_from_slice(b"\"enum\":[");
        // Null has the hash of an empty text.
        let hashed = |symbol| if symbol == NULL_MARKER { "" } else { symbol };
        let symbols: Vec<_> = symbols.iter().map(|symbol| (hashed(*symbol), *symbol)).collect();
        let symbols = ordered(&symbols, |(hashed, _)| hashed, Table::Grown);
        for (i, (_, symbol)) in symbols.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match *symbol {
                NULL_MARKER => out.extend_from_slice(b"null"),
                symbol => append_string(symbol, out),
            }
        }
        out.push(b']');
    }

    fn append_attributes(&self, schema: &Schema, id: Option<&str>, out: &mut Vec<u8>) -> Result {
        let mut text = |key: &[u8], value: Option<&str>| {
            if let Some(value) = value {
                out.extend_from_slice(key);
                append_string(value, out);
            }
        };
        text(b",\"title\":", schema.name());
        text(b",\"description\":", schema.doc());
        if let Some(default) = schema.default() {
            out.extend_from_slice(b",\"default\":");
            append_default(schema, default, self.settings.rules, out)?;
        }
        if let Some(id) = id {
            out.extend_from_slice(b",\"id\":");
            append_string(id, out);
        }
        Ok(())
    }

    /// What a type is made of.
    fn append_parts(&mut self, schema: &Schema, out: &mut Vec<u8>) -> Result {
        let missing = || Fault::new("schema of an array or map lacks the schema of its items");
        match schema.kind() {
            Kind::Array => {
                out.extend_from_slice(b",\"items\":");
                self.append_part(schema.value_schema().ok_or_else(missing)?, None, out)
            }
            Kind::Map => {
                let key = schema.key_schema().ok_or_else(missing)?;
                let value = schema.value_schema().ok_or_else(missing)?;
                if has_names(schema) {
                    out.extend_from_slice(b",\"additionalProperties\":");
                    return self.append(value, Place::default(), out);
                }
                out.extend_from_slice(b",\"items\":{\"type\":\"object\",\"properties\":{");
                let entry = [("key", key, 0), ("value", value, 1)];
                for (i, (name, schema, index)) in
                    ordered(&entry, |(name, ..)| name, Table::Grown).into_iter().enumerate()
                {
                    append_name(name, i, out);
                    self.append(schema, Place::of_field(*index), out)?;
                }
                out.extend_from_slice(b"}}");
                Ok(())
            }
            Kind::Struct if !schema.fields().is_empty() => self.append_fields(schema, out),
            _ => Ok(()),
        }
    }

    fn append_fields(&mut self, schema: &Schema, out: &mut Vec<u8>) -> Result {
        let fields: Vec<(usize, &Field)> = schema.fields().iter().enumerate().collect();
        out.extend_from_slice(b",\"properties\":{");
        // Names of inner schemas are known in the order of fields, not of the text.
        let mut texts: Vec<(&str, Vec<u8>)> = Vec::with_capacity(fields.len());
        for (index, field) in fields {
            let mut text = Vec::new();
            self.append_part(&field.schema, Some(index), &mut text)
                .map_err(|fault| fault.within(&field.name))?;
            texts.push((&field.name, text));
        }
        for (i, (name, text)) in
            ordered(&texts, |(name, _)| name, Table::Grown).into_iter().enumerate()
        {
            append_name(name, i, out);
            out.extend_from_slice(text);
        }
        out.push(b'}');
        Ok(())
    }
}

fn append_name(name: &str, i: usize, out: &mut Vec<u8>) {
    if i > 0 {
        out.push(b',');
    }
    append_string(name, out);
    out.push(b':');
}

/// Whether a map's keys are names of members.
fn has_names(schema: &Schema) -> bool {
    schema.key_schema().is_some_and(|key| key.kind() == Kind::String && !key.is_optional())
}

fn open_one_of(id: Option<&str>, index: Option<usize>, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        append_string(id, out);
        out.push(b',');
    }
    if let Some(index) = index {
        out.extend_from_slice(b"\"connect.index\":");
        append_integer(index as i64, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"oneOf\":[");
}

/// The keywords that only Connect knows.
fn append_more(
    schema: &Schema,
    mut more: Vec<(&'static str, Vec<u8>)>,
    index: Option<usize>,
    out: &mut Vec<u8>,
) {
    let number = |number: i64| {
        let mut text = Vec::new();
        append_integer(number, &mut text);
        text
    };
    if let Some(version) = schema.version() {
        more.push(("connect.version", number(version.into())));
    }
    let parameters: Vec<_> =
        schema.parameters().iter().filter(|(name, _)| !name.starts_with(NAMESPACE)).collect();
    if !parameters.is_empty() {
        let mut text = vec![b'{'];
        for (i, (name, value)) in
            ordered(&parameters, |(name, _)| name, Table::Sized).into_iter().enumerate()
        {
            append_name(name, i, &mut text);
            append_string(value, &mut text);
        }
        text.push(b'}');
        more.push(("connect.parameters", text));
    }
    if let Some(index) = index {
        more.push(("connect.index", number(index as i64)));
    }
    for (name, text) in ordered(&more, |(name, _)| name, Table::Copied) {
        out.push(b',');
        append_string(name, out);
        out.push(b':');
        out.extend_from_slice(text);
    }
}

fn quoted(name: &str) -> Vec<u8> {
    let mut text = Vec::new();
    append_string(name, &mut text);
    text
}

fn append_default(schema: &Schema, default: &Value, rules: Rules, out: &mut Vec<u8>) -> Result {
    if let Value::Boolean(truth) = default {
        append_boolean(*truth, out);
        return Ok(());
    }
    let mut text = Vec::new();
    append_value(Some(schema), default, rules, &mut text)?;
    let text = String::from_utf8(text).expect("JSON is text");
    append_node(&Node::parse(&text)?, out);
    Ok(())
}
