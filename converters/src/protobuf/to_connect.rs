//! Makes Connect schemas of messages, and plans for reading them.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_api::data::{Kind, Schema, SchemaBuilder, SchemaRef};
use protox::prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind as FieldKind, MessageDescriptor, OneofDescriptor, Syntax,
    Value,
};

use crate::json::{Fault, UNION};
use crate::protobuf::clashes::symbol;
use crate::protobuf::plan::{Absent, FieldPlan, MessagePlan, Output, Plan, Scalar, Shape, Symbols};
use crate::protobuf::{
    ENUM, PRECISION, SUM_ENUM, Settings, TAG, TYPE, UNION_NAME, VARIANT, WRAPPER, is_wrapper,
    map_field,
};
use crate::varint::to_zigzag;

type Result<T> = std::result::Result<T, Fault>;

/// How deep messages may nest: everybody who handles data goes down them by recursion.
const MAX_DEPTH: usize = 50;
/// How many fields a schema may have, those of its messages included wherever they stand.
const MAX_FIELDS: usize = 50_000;

/// The schema of a message that has this version in its subject, and what reads it.
pub(crate) fn compile(
    message: &MessageDescriptor,
    version: Option<i32>,
    settings: &Settings,
) -> Result<(SchemaRef, Plan)> {
    let mut compiler = Compiler { settings, path: Vec::new(), fields: 0 };
    let (builder, plan) = match wrapped(message) {
        Some((kind, scalar)) if settings.wrapper_for_raw_primitives => {
            (Schema::builder(kind), Plan::Wrapped(scalar))
        }
        _ => {
            let (builder, plan) = compiler.message(message)?;
            (builder, Plan::Message(plan))
        }
    };
    let builder = match version {
        Some(version) => builder.version(version),
        None => builder,
    };
    Ok((builder.build(), plan))
}

/// What a wrapper message holds.
fn wrapped(message: &MessageDescriptor) -> Option<(Kind, Scalar)> {
    let field = is_wrapper(message.full_name()).then(|| message.get_field(1)).flatten()?;
    let scalar = Scalar::of(&field.kind())?;
    Some((kind_of(scalar), scalar))
}

fn kind_of(scalar: Scalar) -> Kind {
    match scalar {
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => Kind::Int32,
        Scalar::Float => Kind::Float32,
        Scalar::Double => Kind::Float64,
        Scalar::Bool => Kind::Boolean,
        Scalar::String => Kind::String,
        Scalar::Bytes => Kind::Bytes,
        _ => Kind::Int64,
    }
}

struct Compiler<'a> {
    settings: &'a Settings,
    /// The messages that are being read: one within itself never ends.
    path: Vec<String>,
    fields: usize,
}

/// What a field is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Message,
    Oneof,
}

impl Compiler<'_> {
    fn message(&mut self, message: &MessageDescriptor) -> Result<(SchemaBuilder, MessagePlan)> {
        let name = message.full_name();
        if self.path.iter().any(|outer| outer == name) {
            return Err(Fault::new(format!(
                "message {name} is recursive: it cannot be represented in columns"
            )));
        }
        if self.path.len() == MAX_DEPTH {
            return Err(Fault::new("messages are nested too deeply"));
        }
        self.path.push(name.to_owned());
        let name = if self.settings.enhanced { name } else { message.name() };
        let mut builder = Schema::struct_builder().name(name);
        let mut plan = MessagePlan::default();
        for (index, oneof) in message.oneofs().enumerate() {
            if !oneof.is_synthetic() {
                builder = self.oneof(&oneof, index, builder, &mut plan)?;
            }
        }
        // In the order of the text.
        for field in &message.descriptor_proto().field {
            let Some(field) = message.get_field_by_name(field.name()) else { continue };
            if real_oneof(&field).is_some() {
                continue;
            }
            let (schema, read) = self.field(&field, Part::Message)?;
            builder = add(builder, field.name(), schema)?;
            let place = plan.push(field.number(), read, None);
            plan.columns.push(Output::Field(place));
        }
        self.path.pop();
        Ok((builder, plan))
    }

    fn oneof(
        &mut self,
        oneof: &OneofDescriptor,
        index: usize,
        mut builder: SchemaBuilder,
        plan: &mut MessagePlan,
    ) -> Result<SchemaBuilder> {
        let group = plan.groups.len();
        plan.groups.push(Vec::new());
        let full = if self.settings.enhanced { oneof.full_name() } else { oneof.name() };
        let mut union = Schema::struct_builder().optional();
        union = if self.settings.generalized_sum_types {
            union.name(oneof.name()).parameter(UNION, oneof.name())
        } else {
            union.name(format!("{UNION_NAME}.{full}"))
        };
        let mut members = Vec::new();
        for field in oneof.fields() {
            let (schema, read) = self.field(&field, Part::Oneof)?;
            let place = plan.push(field.number(), read, Some(group));
            if self.settings.flatten_unions {
                builder = add(builder, field.name(), schema)?;
                plan.columns.push(Output::Field(place));
            } else {
                union = add(union, field.name(), schema)?;
                members.push(place);
            }
        }
        if self.settings.flatten_unions {
            return Ok(builder);
        }
        plan.columns.push(Output::Union(members));
        let name = if self.settings.generate_index_for_unions {
            format!("{}_{index}", oneof.name())
        } else {
            oneof.name().to_owned()
        };
        add(builder, &name, union.build())
    }

    fn field(&mut self, field: &FieldDescriptor, part: Part) -> Result<(SchemaRef, FieldPlan)> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(Fault::new("messages have too many fields"));
        }
        let name: Arc<str> = field.name().into();
        let within = |fault: Fault| fault.within(&name);
        let settings = self.settings;
        let is_repeated = field.is_list() || field.is_map();
        let (mut builder, plan, shape) = match field.kind() {
            FieldKind::Message(message) if is_repeated && is_entry(&message) => {
                let (builder, entry) = self.map(&message).map_err(within)?;
                (builder, Plan::Scalar(Scalar::Bytes), Shape::Map(Box::new(entry)))
            }
            kind => {
                let (builder, plan) = self.value(field, &kind).map_err(within)?;
                if is_repeated {
                    let items = builder.optional().build();
                    (Schema::array_builder(items).optional(), plan, Shape::List)
                } else {
                    (builder, plan, Shape::Single(self.absent(field, part)))
                }
            }
        };
        if part == Part::Oneof {
            builder = builder.optional();
            if matches!(plan, Plan::Wrapped(_)) && settings.wrapper_for_nullables {
                builder = builder.parameter(WRAPPER, "true");
            }
        } else if settings.optional_for_nullables {
            if has_optional_keyword(field) {
                builder = builder.optional();
            }
        } else if !settings.wrapper_for_nullables {
            builder = builder.optional();
        }
        builder = builder.parameter(TAG, field.number().to_string());
        Ok((builder.build(), FieldPlan { name, plan, shape, group: None, column: 0 }))
    }

    fn value(
        &mut self,
        field: &FieldDescriptor,
        kind: &FieldKind,
    ) -> Result<(SchemaBuilder, Plan)> {
        if let Some(scalar) = Scalar::of(kind) {
            return Ok((scalar_schema(field, scalar), Plan::Scalar(scalar)));
        }
        let message = match kind {
            FieldKind::Message(message) => message,
            FieldKind::Enum(descriptor) => return Ok(self.enumeration(descriptor)),
            _ => return Err(Fault::new("field of an unknown type")),
        };
        let (builder, plan) = match message.full_name() {
            "confluent.type.Decimal" => {
                let number = |name: &str| meta(field, name)?.parse::<i32>().ok();
                let scale = number("scale").unwrap_or(0);
                let mut builder = Schema::decimal_builder(scale);
                if let Some(precision) = number("precision") {
                    builder = builder.parameter(PRECISION, precision.to_string());
                }
                if !(0..=76).contains(&scale) {
                    return Err(Fault::new("a decimal has a scale that is not between 0 and 76"));
                }
                (builder, Plan::Decimal(scale))
            }
            "google.type.Date" => (Schema::date_builder(), Plan::Date),
            "google.type.TimeOfDay" => (Schema::time_builder(), Plan::Time),
            "google.protobuf.Timestamp" => (Schema::timestamp_builder(), Plan::Timestamp),
            "confluent.type.Variant" => self.variant(message)?,
            _ => match wrapped(message) {
                Some((kind, scalar))
                    if self.settings.wrapper_for_nullables
                        || self.settings.wrapper_for_raw_primitives =>
                {
                    (Schema::builder(kind), Plan::Wrapped(scalar))
                }
                _ => {
                    let (builder, plan) = self.message(message)?;
                    (builder, Plan::Message(plan))
                }
            },
        };
        Ok((builder.optional(), plan))
    }

    /// Its fields are always there.
    fn variant(&mut self, message: &MessageDescriptor) -> Result<(SchemaBuilder, Plan)> {
        let (_, plan) = self.message(message)?;
        let builder = Schema::struct_builder()
            .name(VARIANT)
            .field("metadata", Schema::bytes(false))
            .field("value", Schema::bytes(false));
        Ok((builder, Plan::Message(plan)))
    }

    fn enumeration(&self, descriptor: &EnumDescriptor) -> (SchemaBuilder, Plan) {
        let settings = self.settings;
        let kind = if settings.int_for_enums { Kind::Int32 } else { Kind::String };
        let parameter = if settings.generalized_sum_types { SUM_ENUM } else { ENUM };
        let name = if settings.enhanced { descriptor.full_name() } else { descriptor.name() };
        let mut builder =
            Schema::builder(kind).name(name).parameter(parameter, descriptor.name()).optional();
        let mut by_number: HashMap<i32, Arc<str>> = HashMap::new();
        // In the order of the text; of several names the first counts.
        for value in &descriptor.enum_descriptor_proto().value {
            let symbol = symbol(value.name());
            builder =
                builder.parameter(format!("{parameter}.{symbol}"), value.number().to_string());
            by_number.entry(value.number()).or_insert_with(|| symbol.into());
        }
        let is_closed = descriptor.parent_file().syntax() == Syntax::Proto2;
        let symbols = Symbols {
            name: descriptor.name().to_owned(),
            closed: is_closed.then(|| by_number.keys().copied().collect()),
            by_number: (!settings.int_for_enums).then_some(by_number),
        };
        (builder, Plan::Enum(symbols))
    }

    fn map(
        &mut self,
        entry: &MessageDescriptor,
    ) -> Result<(SchemaBuilder, (FieldPlan, FieldPlan))> {
        let part = |name| entry.get_field_by_name(name).ok_or_else(|| Fault::new("no entry"));
        let (key_field, value_field) = (part("key")?, part("value")?);
        let (key_schema, mut key) = self.field(&key_field, Part::Message)?;
        let (value_schema, mut value) = self.field(&value_field, Part::Message)?;
        // Parts of an entry are never null.
        key.shape = Shape::Single(default(&key_field));
        value.shape = Shape::Single(default(&value_field));
        let name = if self.settings.enhanced { entry.full_name() } else { entry.name() };
        let builder = Schema::map_builder(key_schema, value_schema).name(map_field(name));
        Ok((builder.optional(), (key, value)))
    }

    fn absent(&self, field: &FieldDescriptor, part: Part) -> Absent {
        let is_message = matches!(field.kind(), FieldKind::Message(_));
        let is_optional = field.field_descriptor_proto().proto3_optional()
            || (self.settings.optional_for_proto2 && has_optional_keyword(field));
        if part == Part::Oneof {
            Absent::Null
        } else if field.is_required() {
            Absent::Required
        } else if !self.settings.generate_struct_for_nulls && (is_message || is_optional) {
            Absent::Null
        } else {
            default(field)
        }
    }
}

impl MessagePlan {
    fn push(&mut self, number: u32, field: FieldPlan, group: Option<usize>) -> usize {
        let place = self.fields.len();
        if let Some(group) = group {
            self.groups[group].push(place);
        }
        self.places.insert(number, place);
        self.fields.push(FieldPlan { group, column: self.columns.len(), ..field });
        place
    }
}

fn default(field: &FieldDescriptor) -> Absent {
    match (field.default_value(), field.kind()) {
        // A reader takes the sign from where a writer would have put it.
        (Value::I32(n), FieldKind::Sint32) => Absent::Number(to_zigzag(n.into())),
        (Value::I64(n), FieldKind::Sint64) => Absent::Number(to_zigzag(n)),
        (value, _) => Absent::default_of(&value),
    }
}

/// Flattened members and unions with an index may have the name of another field.
fn add(builder: SchemaBuilder, name: &str, schema: SchemaRef) -> Result<SchemaBuilder> {
    if builder.clone().build().field(name).is_some() {
        return Err(Fault::new(format!("two fields of a message become {name}")));
    }
    Ok(builder.field(name, schema))
}

fn scalar_schema(field: &FieldDescriptor, scalar: Scalar) -> SchemaBuilder {
    let kind = kind_of(scalar);
    if kind == Kind::Int32 {
        match meta(field, "connect.type").as_deref() {
            Some("int8") => return Schema::builder(Kind::Int8),
            Some("int16") => return Schema::builder(Kind::Int16),
            _ => {}
        }
    }
    let is_plain = match kind {
        Kind::Int32 => scalar == Scalar::Int32,
        Kind::Int64 => scalar == Scalar::Int64,
        _ => true,
    };
    let builder = Schema::builder(kind);
    if is_plain { builder } else { builder.parameter(TYPE, scalar.name()) }
}

/// A parameter of a field (`confluent.field_meta`).
fn meta(field: &FieldDescriptor, name: &str) -> Option<String> {
    let pool = field.parent_message().parent_pool();
    let extension = pool.get_extension_by_name("confluent.field_meta")?;
    let options = field.options();
    let meta = options.get_extension(&extension);
    let params = meta.as_message()?.get_field_by_name("params")?.into_owned();
    let found = params.as_map()?.get(&protox::prost_reflect::MapKey::String(name.to_owned()))?;
    found.as_str().map(str::to_owned)
}

/// Whether the text says `optional`.
fn has_optional_keyword(field: &FieldDescriptor) -> bool {
    use protox::prost_reflect::Cardinality;
    field.field_descriptor_proto().proto3_optional()
        || (field.parent_file().syntax() == Syntax::Proto2
            && field.cardinality() == Cardinality::Optional
            && field.containing_oneof().is_none())
}

/// One that stands in the text.
fn real_oneof(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

/// Whether a message is the entry of a map, by its looks: Connect's own maps are not marked.
fn is_entry(message: &MessageDescriptor) -> bool {
    let mut fields = message.descriptor_proto().field.iter();
    let mut is_next = |name: &str| {
        fields.next().is_some_and(|field| {
            let found = message.get_field_by_name(name);
            field.name() == name && found.is_some_and(|f| !f.is_list() && !f.is_map())
        })
    };
    message.name().ends_with("Entry")
        && is_next("key")
        && is_next("value")
        && fields.next().is_none()
}
