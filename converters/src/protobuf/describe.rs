//! Writes Connect schemas as texts of Protobuf, in Java's layout.

use millrace_api::data::{Field, Kind, Schema, logical};

use crate::json::{Fault, UNION};
use crate::protobuf::names::{map_entry, scrubbed};
use crate::protobuf::{
    ENUM, PRECISION, SUM_ENUM, Settings, TAG, TYPE, UNION_NAME, VARIANT, WRAPPER,
};

type Result<T> = std::result::Result<T, Fault>;

const MAX_DEPTH: usize = 50;

/// A schema in Protobuf.
pub(crate) struct Description {
    pub(crate) text: String,
    /// The full name of the message.
    pub(crate) name: String,
}

/// The text of a schema. What is no struct is the value of a wrapper message.
pub(crate) fn describe(schema: &Schema, settings: &Settings) -> Result<Description> {
    if schema.kind() != Kind::Struct {
        let name = wrapper_of(schema.kind()).filter(|_| logical_type(schema).is_none());
        let name = name.ok_or_else(|| {
            Fault::new(format!(
                "Unsupported root schema of type {}: put it into a struct",
                schema.name().unwrap_or(schema.kind().name())
            ))
        })?;
        return Ok(Description { text: wrappers(), name: format!("google.protobuf.{name}") });
    }
    let mut writer = Writer { settings, unnamed: 0, imports: Vec::new(), depth: 0 };
    let full = writer.name_or_default(schema.name());
    let scrub =
        |part: &str| if settings.scrub_invalid_names { scrubbed(part) } else { part.into() };
    let parts: Vec<String> = full.split('.').map(scrub).collect();
    let name = parts.join(".");
    let (last, package) = parts.split_last().expect("a split has one part");
    let message = writer.message(last, schema)?;
    let mut text = String::from("syntax = \"proto3\";\n");
    if !package.is_empty() {
        text.push_str(&format!("package {};\n", package.join(".")));
    }
    if !writer.imports.is_empty() {
        text.push('\n');
    }
    for import in &writer.imports {
        text.push_str(&format!("import \"{import}\";\n"));
    }
    text.push('\n');
    message.print(0, &mut text);
    Ok(Description { text, name })
}

/// A message before it is printed.
#[derive(Default)]
struct Message {
    name: String,
    fields: Vec<FieldText>,
    oneofs: Vec<(String, Vec<FieldText>)>,
    messages: Vec<Message>,
    enums: Vec<(String, Vec<(String, String)>)>,
}

struct FieldText {
    /// With its label.
    label_and_type: String,
    name: String,
    tag: i64,
    params: Vec<(&'static str, String)>,
}

/// What a field is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Message,
    Entry,
    Oneof,
}

struct Writer<'a> {
    settings: &'a Settings,
    /// How many schemas had no name so far.
    unnamed: usize,
    imports: Vec<&'static str>,
    depth: usize,
}

impl Writer<'_> {
    fn name_or_default(&mut self, name: Option<&str>) -> String {
        match name {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => {
                self.unnamed += 1;
                format!("ConnectDefault{}", self.unnamed)
            }
        }
    }

    fn scrub(&self, name: &str) -> String {
        if self.settings.scrub_invalid_names { scrubbed(name) } else { name.to_owned() }
    }

    /// Without what stands before the last dot.
    fn unqualified(&mut self, name: Option<&str>) -> String {
        let full = self.name_or_default(name);
        self.scrub(full.rsplit('.').next().unwrap_or(&full))
    }

    fn message(&mut self, name: &str, schema: &Schema) -> Result<Message> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new("Schema is nested too deeply"));
        }
        self.depth += 1;
        let mut message = Message { name: name.to_owned(), ..Message::default() };
        let mut next = 1;
        for field in schema.fields() {
            let tag = tag(&field.schema)?.unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            let within = |fault: Fault| fault.within(&field.name);
            let is_union = is_union(&field.schema);
            if is_union {
                self.oneof(&mut message, field).map_err(within)?;
            } else {
                let name = self.scrub(&field.name);
                let text = self.field(&mut message, &field.schema, (name, tag), Part::Message);
                let text = text.map_err(within)?;
                message.fields.push(text);
            }
        }
        self.depth -= 1;
        Ok(message)
    }

    fn oneof(&mut self, message: &mut Message, union: &Field) -> Result<()> {
        let schema = &union.schema;
        let name = match schema.name().and_then(|name| name.strip_prefix(UNION_NAME)) {
            Some(name) if !self.settings.generalized_sum_types => {
                self.unqualified(name.strip_prefix('.'))
            }
            _ => schema.parameter(UNION).or(schema.name()).unwrap_or(&union.name).to_owned(),
        };
        let mut members = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let tag = tag(&field.schema)?
                .ok_or_else(|| Fault::new(format!("members of a union need a parameter {TAG}")))?;
            let name = self.scrub(&field.name);
            members.push(self.field(message, &field.schema, (name, tag), Part::Oneof)?);
        }
        message.oneofs.push((name, members));
        Ok(())
    }

    fn field(
        &mut self,
        message: &mut Message,
        schema: &Schema,
        (name, tag): (String, i64),
        part: Part,
    ) -> Result<FieldText> {
        let label = match schema.kind() {
            Kind::Array | Kind::Map => "repeated ",
            _ if self.settings.optional_for_nullables
                && schema.is_optional()
                && part == Part::Message =>
            {
                "optional "
            }
            _ => "",
        };
        let missing = || Fault::new("schema of an array or map lacks the schema of its items");
        let schema = match schema.kind() {
            Kind::Array => schema.value_schema().ok_or_else(missing)?,
            _ => schema,
        };
        let mut params = Vec::new();
        let data_type = self.data_type(schema, &name, &mut params, part)?;
        match schema.kind() {
            Kind::Struct if schema.name() != Some(VARIANT) => {
                let is_known = message.name == data_type
                    || message.messages.iter().any(|inner| inner.name == data_type);
                if !is_known {
                    let inner = self.message(&data_type, schema)?;
                    message.messages.push(inner);
                }
            }
            Kind::Map if label == "repeated " => {
                let entry = self.entry(&data_type, schema)?;
                message.messages.push(entry);
            }
            _ if symbols(schema).is_some() => self.enumeration(message, schema),
            _ => {}
        }
        Ok(FieldText { label_and_type: format!("{label}{data_type}"), name, tag, params })
    }

    fn entry(&mut self, name: &str, schema: &Schema) -> Result<Message> {
        let missing = || Fault::new("schema of an array or map lacks the schema of its items");
        let mut entry = Message { name: name.to_owned(), ..Message::default() };
        let key = schema.key_schema().ok_or_else(missing)?;
        let value = schema.value_schema().ok_or_else(missing)?;
        for (name, schema, tag) in [("key", key, 1), ("value", value, 2)] {
            if is_union(schema) {
                return Err(Fault::new("a map cannot hold unions: put them into a struct"));
            }
            let text = self.field(&mut entry, schema, (name.to_owned(), tag), Part::Entry)?;
            entry.fields.push(text);
        }
        Ok(entry)
    }

    fn enumeration(&mut self, message: &mut Message, schema: &Schema) {
        let name = self.unqualified(schema.name());
        if message.enums.iter().any(|(known, _)| *known == name) {
            return;
        }
        let name = match symbols(schema) {
            // The field refers to it by this parameter.
            Some(parameter) if schema.name().is_none() => {
                schema.parameter(parameter).unwrap_or(&name).to_owned()
            }
            _ => name,
        };
        let parameter = if self.settings.generalized_sum_types { SUM_ENUM } else { ENUM };
        let prefix = format!("{parameter}.");
        let symbol = |(name, tag): &(std::sync::Arc<str>, std::sync::Arc<str>)| {
            name.strip_prefix(&*prefix).map(|name| (name.to_owned(), tag.to_string()))
        };
        message.enums.push((name, schema.parameters().iter().filter_map(symbol).collect()));
    }

    fn data_type(
        &mut self,
        schema: &Schema,
        field: &str,
        params: &mut Vec<(&'static str, String)>,
        part: Part,
    ) -> Result<String> {
        if let Some((name, import)) = logical_type(schema) {
            if name == DECIMAL {
                let known = [("precision", PRECISION), ("scale", logical::SCALE)];
                params.extend(known.iter().filter_map(|(param, parameter)| {
                    schema.parameter(parameter).map(|value| (*param, value.to_owned()))
                }));
            }
            self.import(import);
            return Ok(name.to_owned());
        }
        match schema.kind() {
            Kind::Int8 => params.push(("connect.type", "int8".to_owned())),
            Kind::Int16 => params.push(("connect.type", "int16".to_owned())),
            Kind::Array => return Err(Fault::new("Array cannot be nested: put it into a struct")),
            Kind::Map => return Ok(map_entry(&self.unqualified(schema.name()))),
            Kind::Struct => {
                let name = self.unqualified(schema.name());
                // A field and a message cannot have the same name.
                return Ok(if name == field { format!("{name}Message") } else { name });
            }
            _ => {}
        }
        if let Some(parameter) = symbols(schema) {
            return Ok(schema.parameter(parameter).unwrap_or_default().to_owned());
        }
        let is_wrapped = self.settings.wrapper_for_nullables
            && schema.is_optional()
            && (part != Part::Oneof || schema.parameter(WRAPPER) == Some("true"));
        let plain = plain_type(schema);
        if !is_wrapped {
            return Ok(plain.to_owned());
        }
        self.import("google/protobuf/wrappers.proto");
        let wrapper = match plain {
            "uint32" | "fixed32" => "UInt32Value",
            "uint64" | "fixed64" => "UInt64Value",
            _ => wrapper_of(schema.kind()).expect("a plain type has a wrapper"),
        };
        Ok(format!("google.protobuf.{wrapper}"))
    }

    fn import(&mut self, file: &'static str) {
        if !self.imports.contains(&file) {
            self.imports.push(file);
        }
    }
}

const DECIMAL: &str = "confluent.type.Decimal";

/// The message of a logical type, and the file it is in.
fn logical_type(schema: &Schema) -> Option<(&'static str, &'static str)> {
    match schema.name()? {
        logical::DECIMAL => Some((DECIMAL, "confluent/type/decimal.proto")),
        logical::DATE => Some(("google.type.Date", "google/type/date.proto")),
        logical::TIME => Some(("google.type.TimeOfDay", "google/type/timeofday.proto")),
        logical::TIMESTAMP => {
            Some(("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"))
        }
        VARIANT => Some(("confluent.type.Variant", "confluent/type/variant.proto")),
        _ => None,
    }
}

/// The type of a field that is neither logical nor made of others.
fn plain_type(schema: &Schema) -> &str {
    match schema.kind() {
        Kind::Int8 | Kind::Int16 => "int32",
        Kind::Int32 => schema.parameter(TYPE).unwrap_or("int32"),
        Kind::Int64 => schema.parameter(TYPE).unwrap_or("int64"),
        Kind::Float32 => "float",
        Kind::Float64 => "double",
        Kind::Boolean => "bool",
        Kind::String => "string",
        _ => "bytes",
    }
}

fn wrapper_of(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Int8 | Kind::Int16 | Kind::Int32 => "Int32Value",
        Kind::Int64 => "Int64Value",
        Kind::Float32 => "FloatValue",
        Kind::Float64 => "DoubleValue",
        Kind::Boolean => "BoolValue",
        Kind::String => "StringValue",
        Kind::Bytes => "BytesValue",
        Kind::Array | Kind::Map | Kind::Struct => return None,
    })
}

/// The parameter that names an enum, if a schema is one.
fn symbols(schema: &Schema) -> Option<&'static str> {
    match schema.kind() {
        Kind::String if schema.parameter(SUM_ENUM).is_some() => Some(SUM_ENUM),
        Kind::String | Kind::Int32 => schema.parameter(ENUM).map(|_| ENUM),
        _ => None,
    }
}

/// Whether a struct stands for the one of its fields that is not null.
pub(crate) fn is_union(schema: &Schema) -> bool {
    schema.kind() == Kind::Struct
        && (schema.name().is_some_and(|name| name.starts_with(UNION_NAME))
            || schema.parameter(UNION).is_some())
}

fn tag(schema: &Schema) -> Result<Option<i64>> {
    let Some(text) = schema.parameter(TAG) else {
        return Ok(None);
    };
    let tag = text.parse().map_err(|_| Fault::new(format!("parameter {TAG} is no number")))?;
    Ok(Some(tag))
}

impl Message {
    fn print(&self, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        // Empty lines within a message are indented as all others.
        let begin_section = |out: &mut String| {
            if !out.ends_with('{') {
                out.push_str(&indent);
            }
            out.push('\n');
        };
        out.push_str(&format!("{indent}message {} {{", self.name));
        if !self.fields.is_empty() {
            begin_section(out);
        }
        for field in &self.fields {
            field.print(depth + 1, out);
        }
        if !self.oneofs.is_empty() {
            begin_section(out);
        }
        for (name, members) in &self.oneofs {
            out.push_str(&format!("{indent}  oneof {name} {{\n"));
            for member in members {
                member.print(depth + 2, out);
            }
            out.push_str(&format!("{indent}  }}\n"));
        }
        if !self.messages.is_empty() || !self.enums.is_empty() {
            begin_section(out);
        }
        for message in &self.messages {
            message.print(depth + 1, out);
        }
        for (name, symbols) in &self.enums {
            out.push_str(&format!("{indent}  enum {name} {{\n"));
            for (symbol, number) in symbols {
                out.push_str(&format!("{indent}    {symbol} = {number};\n"));
            }
            out.push_str(&format!("{indent}  }}\n"));
        }
        let is_open = out.ends_with('\n');
        out.push_str(if is_open { &indent } else { "" });
        out.push_str("}\n");
    }
}

impl FieldText {
    fn print(&self, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        let Self { label_and_type, name, tag, params } = self;
        out.push_str(&format!("{indent}{label_and_type} {name} = {tag}"));
        if !params.is_empty() {
            out.push_str(" [(confluent.field_meta) = {\n");
            out.push_str(&format!("{indent}  params: [\n"));
            for (i, (key, value)) in params.iter().enumerate() {
                let (key, value) = (format!("key: \"{key}\""), format!("value: \"{value}\""));
                // Those of decimals have had the value first from the beginning.
                let is_decimal = key.ends_with("precision\"") || key.ends_with("scale\"");
                let [first, second] = if is_decimal { [value, key] } else { [key, value] };
                let comma = if i + 1 < params.len() { "," } else { "" };
                out.push_str(&format!("{indent}    {{\n{indent}      {first},\n"));
                out.push_str(&format!("{indent}      {second}\n{indent}    }}{comma}\n"));
            }
            out.push_str(&format!("{indent}  ]\n{indent}}}]"));
        }
        out.push_str(";\n");
    }
}

/// The file of wrapper messages as Java prints it.
fn wrappers() -> String {
    let mut text = String::from(
        "syntax = \"proto3\";\npackage google.protobuf;\n\n\
         option java_package = \"com.google.protobuf\";\n\
         option java_outer_classname = \"WrappersProto\";\n\
         option java_multiple_files = true;\n\
         option go_package = \"google.golang.org/protobuf/types/known/wrapperspb\";\n\
         option cc_enable_arenas = true;\n\
         option objc_class_prefix = \"GPB\";\n\
         option csharp_namespace = \"Google.Protobuf.WellKnownTypes\";\n\n",
    );
    let messages = [
        ("DoubleValue", "double"),
        ("FloatValue", "float"),
        ("Int64Value", "int64"),
        ("UInt64Value", "uint64"),
        ("Int32Value", "int32"),
        ("UInt32Value", "uint32"),
        ("BoolValue", "bool"),
        ("StringValue", "string"),
        ("BytesValue", "bytes"),
    ];
    for (name, data_type) in messages {
        text.push_str(&format!(
            "message {name} {{\n  {data_type} value = 1 [json_name = \"value\"];\n}}\n"
        ));
    }
    text
}
