//! Describes what a value looks like: Connect's `Schema`, and the Arrow type that holds it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field as ArrowField, Fields, TimeUnit};

use crate::data::Value;
use crate::{Error, Result};

/// A schema, shared: a run of records points to one.
pub type SchemaRef = Arc<Schema>;

/// Names of the logical types that Connect itself knows (`org.apache.kafka.connect.data.*`).
pub mod logical {
    /// An exact decimal number in bytes; parameter `scale`.
    pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
    /// Days since the epoch in an int32.
    pub const DATE: &str = "org.apache.kafka.connect.data.Date";
    /// Milliseconds since midnight in an int32.
    pub const TIME: &str = "org.apache.kafka.connect.data.Time";
    /// Milliseconds since the epoch in an int64.
    pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
    /// The parameter of [`DECIMAL`] that holds the number of digits after the point.
    pub const SCALE: &str = "scale";
}

/// The type of a schema (`Schema.Type` in Java).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 8 bit, signed.
    Int8,
    /// 16 bit, signed.
    Int16,
    /// 32 bit, signed.
    Int32,
    /// 64 bit, signed.
    Int64,
    /// IEEE 754, 32 bit.
    Float32,
    /// IEEE 754, 64 bit.
    Float64,
    /// True or false.
    Boolean,
    /// Unicode text.
    String,
    /// A string of bytes.
    Bytes,
    /// Values of one schema in order.
    Array,
    /// Keys of one schema to values of another.
    Map,
    /// Named fields.
    Struct,
}

impl Kind {
    /// All of them, in Java's order.
    pub const ALL: [Self; 12] = [
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float32,
        Self::Float64,
        Self::Boolean,
        Self::String,
        Self::Bytes,
        Self::Array,
        Self::Map,
        Self::Struct,
    ];

    /// Those that hold no others (`Schema.Type.isPrimitive` in Java).
    pub const PRIMITIVES: &[Self] = Self::ALL.split_at(9).0;

    /// The name in upper case, as Java's messages print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Float32 => "FLOAT32",
            Self::Float64 => "FLOAT64",
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Array => "ARRAY",
            Self::Map => "MAP",
            Self::Struct => "STRUCT",
        }
    }
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name, unique in the struct.
    pub name: Arc<str>,
    /// What it holds.
    pub schema: SchemaRef,
}

/// What a value looks like (`org.apache.kafka.connect.data.Schema`).
///
/// Two schemas are equal when everything is, the documentation too: that is Java's rule, and sinks
/// such as the lake's rotate files by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    kind: Kind,
    optional: bool,
    name: Option<Arc<str>>,
    version: Option<i32>,
    doc: Option<Arc<str>>,
    parameters: Vec<(Arc<str>, Arc<str>)>,
    default: Option<Value>,
    fields: Vec<Field>,
    key: Option<SchemaRef>,
    value: Option<SchemaRef>,
}

impl Schema {
    /// Starts a schema of a primitive type.
    pub fn builder(kind: Kind) -> SchemaBuilder {
        SchemaBuilder(Self {
            kind,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
            fields: Vec::new(),
            key: None,
            value: None,
        })
    }

    /// Starts a struct; add fields with [`SchemaBuilder::field`].
    pub fn struct_builder() -> SchemaBuilder {
        Self::builder(Kind::Struct)
    }

    /// Starts an array of `value`.
    pub fn array_builder(value: SchemaRef) -> SchemaBuilder {
        let mut builder = Self::builder(Kind::Array);
        builder.0.value = Some(value);
        builder
    }

    /// Starts a map from `key` to `value`; any schema may be a key.
    pub fn map_builder(key: SchemaRef, value: SchemaRef) -> SchemaBuilder {
        let mut builder = Self::builder(Kind::Map);
        builder.0.key = Some(key);
        builder.0.value = Some(value);
        builder
    }

    /// Starts a map whose values have no schema in common: header values may have such.
    pub fn map_without_value_schema(key: SchemaRef) -> SchemaBuilder {
        let mut builder = Self::builder(Kind::Map);
        builder.0.key = Some(key);
        builder
    }

    /// Starts `Decimal` with so many digits after the point.
    pub fn decimal_builder(scale: i32) -> SchemaBuilder {
        Self::builder(Kind::Bytes)
            .name(logical::DECIMAL)
            .version(1)
            .parameter(logical::SCALE, scale.to_string())
    }

    /// Starts `Date`.
    pub fn date_builder() -> SchemaBuilder {
        Self::builder(Kind::Int32).name(logical::DATE).version(1)
    }

    /// Starts `Time`.
    pub fn time_builder() -> SchemaBuilder {
        Self::builder(Kind::Int32).name(logical::TIME).version(1)
    }

    /// Starts `Timestamp`.
    pub fn timestamp_builder() -> SchemaBuilder {
        Self::builder(Kind::Int64).name(logical::TIMESTAMP).version(1)
    }

    /// `STRING_SCHEMA` (or `OPTIONAL_STRING_SCHEMA`): one shared instance.
    pub fn string(optional: bool) -> SchemaRef {
        static REQUIRED: LazyLock<SchemaRef> =
            LazyLock::new(|| Schema::builder(Kind::String).build());
        static OPTIONAL: LazyLock<SchemaRef> =
            LazyLock::new(|| Schema::builder(Kind::String).optional().build());
        Arc::clone(if optional { &OPTIONAL } else { &REQUIRED })
    }

    /// `BYTES_SCHEMA` (or `OPTIONAL_BYTES_SCHEMA`): one shared instance.
    pub fn bytes(optional: bool) -> SchemaRef {
        static REQUIRED: LazyLock<SchemaRef> =
            LazyLock::new(|| Schema::builder(Kind::Bytes).build());
        static OPTIONAL: LazyLock<SchemaRef> =
            LazyLock::new(|| Schema::builder(Kind::Bytes).optional().build());
        Arc::clone(if optional { &OPTIONAL } else { &REQUIRED })
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether null is a legal value.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// The name, such as a record's or a logical type's.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The version.
    pub fn version(&self) -> Option<i32> {
        self.version
    }

    /// The documentation.
    pub fn doc(&self) -> Option<&str> {
        self.doc.as_deref()
    }

    /// The parameters in the order they were set.
    pub fn parameters(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.parameters
    }

    /// One parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| &**n == name).map(|(_, v)| &**v)
    }

    /// The default value.
    pub fn default(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// A struct's fields in order; empty for other types.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// A struct's field and its position.
    pub fn field(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields.iter().enumerate().find(|(_, f)| &*f.name == name)
    }

    /// A map's key schema.
    pub fn key_schema(&self) -> Option<&SchemaRef> {
        self.key.as_ref()
    }

    /// The schema of a map's values or an array's elements.
    pub fn value_schema(&self) -> Option<&SchemaRef> {
        self.value.as_ref()
    }

    /// The scale of a `Decimal`; none for other schemas and for a broken parameter.
    pub fn decimal_scale(&self) -> Option<i32> {
        if self.kind != Kind::Bytes || self.name() != Some(logical::DECIMAL) {
            return None;
        }
        self.parameter(logical::SCALE)?.parse().ok()
    }

    /// A builder that starts with all of this schema's attributes.
    pub fn to_builder(&self) -> SchemaBuilder {
        SchemaBuilder(self.clone())
    }

    /// The Arrow type of a column of such values. Every row may be null there: a schema that is not
    /// optional is enforced by [`Value::validate`] and the converters, not by Arrow.
    ///
    /// | Connect | Arrow |
    /// |---|---|
    /// | int8…int64, float, boolean | the same |
    /// | string, bytes | `Utf8View`, `BinaryView` |
    /// | Date, Time, Timestamp | `Date32`, `Time32(ms)`, `Timestamp(ms, UTC)` |
    /// | Decimal, scale 0 to 76 | `Decimal256(76, scale)` |
    /// | array, map, struct | `List`, `Map`, `Struct` |
    ///
    /// `None` when Arrow cannot hold it (a decimal with a negative scale or one past 76): such
    /// data go as [`Column::Rows`](crate::data::Column::Rows).
    pub fn arrow_type(&self) -> Option<DataType> {
        let logical = self.name().unwrap_or("");
        Some(match (self.kind, logical) {
            (Kind::Int32, logical::DATE) => DataType::Date32,
            (Kind::Int32, logical::TIME) => DataType::Time32(TimeUnit::Millisecond),
            (Kind::Int64, logical::TIMESTAMP) => {
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
            }
            (Kind::Bytes, logical::DECIMAL) => match self.decimal_scale()? {
                scale @ 0..=76 => DataType::Decimal256(76, i8::try_from(scale).ok()?),
                _ => return None,
            },
            (Kind::Int8, _) => DataType::Int8,
            (Kind::Int16, _) => DataType::Int16,
            (Kind::Int32, _) => DataType::Int32,
            (Kind::Int64, _) => DataType::Int64,
            (Kind::Float32, _) => DataType::Float32,
            (Kind::Float64, _) => DataType::Float64,
            (Kind::Boolean, _) => DataType::Boolean,
            (Kind::String, _) => DataType::Utf8View,
            (Kind::Bytes, _) => DataType::BinaryView,
            (Kind::Array, _) => {
                let item = self.value.as_ref()?.arrow_type()?;
                DataType::List(Arc::new(ArrowField::new("item", item, true)))
            }
            (Kind::Map, _) => {
                let key = self.key.as_ref()?.arrow_type()?;
                let value = self.value.as_ref()?.arrow_type()?;
                let entry = Fields::from(vec![
                    ArrowField::new("key", key, false),
                    ArrowField::new("value", value, true),
                ]);
                let entries = ArrowField::new("entries", DataType::Struct(entry), false);
                DataType::Map(Arc::new(entries), false)
            }
            (Kind::Struct, _) => {
                let fields: Option<Vec<_>> = self
                    .fields
                    .iter()
                    .map(|f| Some(ArrowField::new(&*f.name, f.schema.arrow_type()?, true)))
                    .collect();
                DataType::Struct(Fields::from(fields?))
            }
        })
    }
}

/// Builds a [`Schema`] (`SchemaBuilder` in Java).
#[derive(Clone, Debug)]
pub struct SchemaBuilder(Schema);

impl SchemaBuilder {
    /// Allows null.
    #[must_use]
    pub fn optional(self) -> Self {
        self.with_optional(true)
    }

    /// Allows null, or not.
    #[must_use]
    pub fn with_optional(mut self, optional: bool) -> Self {
        self.0.optional = optional;
        self
    }

    /// Sets the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.0.name = Some(name.into());
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: i32) -> Self {
        self.0.version = Some(version);
        self
    }

    /// Sets the documentation.
    #[must_use]
    pub fn doc(mut self, doc: impl Into<Arc<str>>) -> Self {
        self.0.doc = Some(doc.into());
        self
    }

    /// Sets a parameter; an old value of that name is replaced in its place.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.0.parameters.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => self.0.parameters.push((name, value)),
        }
        self
    }

    /// Adds a field to a struct. The name must be new.
    #[must_use]
    pub fn field(mut self, name: impl Into<Arc<str>>, schema: SchemaRef) -> Self {
        let name = name.into();
        assert!(self.0.kind == Kind::Struct, "fields belong to structs");
        assert!(self.0.field(&name).is_none(), "field {name} is there already");
        self.0.fields.push(Field { name, schema });
        self
    }

    /// Sets the default, which must fit the schema as built so far. Null is as good as none.
    pub fn default_value(mut self, value: Value) -> Result<Self> {
        value.validate(&self.0).map_err(|e| Error::data("Invalid default value").with_source(e))?;
        self.0.default = Some(value).filter(|value| !value.is_null());
        Ok(self)
    }

    /// The schema.
    pub fn build(self) -> SchemaRef {
        Arc::new(self.0)
    }
}
