//! `JsonSchemaConverter`: Connect data as JSON whose JSON Schema a registry keeps.

mod compatible;
mod connect;
mod describe;
mod documents;
mod formats;
mod order;
mod part;
mod text;
mod valid;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use millrace_api::config::{Config, ConfigDef, Props};
use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Converter, ConverterRole, Error, Result, Serialized};
use schema_registry_client::SchemaType;

use crate::json::{
    COLUMNS_FROM, DecimalFormat, Dialect, Encoders, Failures, Fault, Node, ROOM, Rules, RunReader,
    utf8,
};
use crate::json_schema::connect::connect_schema;
use crate::json_schema::describe::describe;
use crate::json_schema::documents::Documents;
use crate::json_schema::valid::Validator;
use crate::registry::{
    self, Compiled, Described, Format, RegistryConfig, Row, SchemaText, off, run_length,
};
use crate::room::Room;
use crate::row_buffer::RowBuffer;

pub(crate) const CLASS: &str = "io.confluent.connect.json.JsonSchemaConverter";

/// Parameters of this format, which its schemas do not show.
const NAMESPACE: &str = "io.confluent.connect.json";
/// The parameter that names a schema others refer to.
const ID: &str = "io.confluent.connect.json.Id";
/// The parameter of texts that are enums; one more for each symbol follows.
const ENUM: &str = "io.confluent.connect.json.Enum";
/// The same in all formats (`generalized.sum.type.support`).
const SUM_ENUM: &str = "org.apache.kafka.connect.data.Enum";
/// What stands for null among the symbols of an enum.
const NULL_MARKER: &str = "<NULL>";

#[derive(Config)]
struct JsonSchemaConverterConfig {
    #[config(nested)]
    _registry: RegistryConfig,
    #[config(nested)]
    json_schema: JsonSchemaConfig,
}

pub(crate) fn config_def() -> ConfigDef {
    JsonSchemaConverterConfig::config_def()
}

pub(crate) fn converter(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    let config = JsonSchemaConverterConfig::parse(&registry::with_aliases(props))?;
    let format = JsonSchemaFormat::new(&config.json_schema);
    registry::converter(format, SchemaType::Json, props, role)
}

/// The keys of the format; those of the registry are beside it.
#[derive(Config)]
pub(crate) struct JsonSchemaConfig {
    /// Whether enums and unions are described in a way that other schema formats share.
    #[config(key = "generalized.sum.type.support", importance = Medium, default = false)]
    generalized_sum_type_support: bool,
    /// Whether the null of a field that has a default is written as null. Else the default is.
    #[config(key = "ignore.default.for.nullables", importance = Medium, default = false)]
    ignore_default_for_nullables: bool,
    /// How many converted schemas Java keeps. Here all are kept that a converter has met.
    #[config(key = "schemas.cache.config", importance = Low, default = 1000)]
    schemas_cache_config: i32,
    /// Whether objects may have more properties than their schema names.
    #[config(key = "object.additional.properties", importance = Medium, default = true)]
    object_additional_properties: bool,
    /// Whether properties that are not required may be null.
    #[config(key = "use.optional.for.nonrequired", importance = Medium, default = false)]
    use_optional_for_nonrequired: bool,
    /// Whether every schema is taken for one of draft 7. Without effect: what is read of a schema is
    /// the same in all drafts.
    #[config(key = "ignore.modern.dialects", importance = Low, default = false)]
    _ignore_modern_dialects: bool,
    /// How decimal numbers are written, in any case: BASE64 or NUMERIC.
    #[config(key = "decimal.format", importance = Low, default = DecimalFormat::Base64)]
    decimal_format: DecimalFormat,
    /// Whether a union of one type is that type.
    #[config(key = "flatten.singleton.unions", importance = Low, default = true)]
    flatten_singleton_unions: bool,
    /// Whether properties that the schema does not name are kept. Not supported: must be false.
    #[config(key = "preserve.additional.properties", importance = Medium, default = false)]
    #[config(validate = off)]
    _preserve_additional_properties: bool,
    /// Whether payloads that are not as their JSON Schema says fail, read or written.
    #[config(key = "json.fail.invalid.schema", importance = Medium, default = false)]
    fail_invalid_schema: bool,
    /// Whether output is indented. Not supported: must be false.
    #[config(key = "json.indent.output", importance = Low, default = false, validate = off)]
    _indent_output: bool,
    #[config(nested)]
    _java: JavaObjectsConfig,
}

/// What Java's serializer is told of objects of its own. None of it has an effect, there or here:
/// the converter hands it JSON.
#[derive(Config)]
struct JavaObjectsConfig {
    /// Whether properties that a Java class does not have are an error. Without effect.
    #[config(key = "json.fail.unknown.properties", importance = Low, default = true)]
    _fail_unknown_properties: bool,
    /// Whether payloads are checked before rules are carried out. Without effect.
    #[config(key = "json.validate.before.domain.rules", importance = Low, default = false)]
    _validate_before_domain_rules: bool,
    /// Whether Java's dates are written as texts. Without effect.
    #[config(key = "json.write.dates.iso8601", importance = Medium, default = false)]
    _write_dates_iso8601: bool,
    /// The draft of schemas that are made of Java classes. Without effect.
    #[config(key = "json.schema.spec.version", importance = Medium, default = "draft_7")]
    _spec_version: String,
    /// Where Java looks for annotations. Without effect.
    #[config(key = "json.schema.scan.packages", importance = Low, default = "")]
    _scan_packages: Vec<String>,
    /// Whether Java looks for envelopes in JSON that is serialized. Without effect.
    #[config(key = "json.envelope.detection", importance = Low, default = true)]
    _envelope_detection: bool,
    /// Whether schemas that are made of Java classes say oneOf for null. Without effect.
    #[config(key = "json.oneof.for.nullables", importance = Medium, default = true)]
    _oneof_for_nullables: bool,
    /// Which members of Java objects are written. Without effect.
    #[config(key = "json.default.property.inclusion", importance = Medium, default = None)]
    _property_inclusion: Option<String>,
}

/// What the configuration decides about schemas and data.
#[derive(Clone, Copy, Debug)]
struct Settings {
    rules: Rules,
    additional_properties: bool,
    optional_unless_required: bool,
    flatten_singleton_unions: bool,
    generalized_sum_types: bool,
    /// Whether payloads are held against their schema, written or read.
    validate: bool,
}

impl Settings {
    fn enum_parameter(&self) -> &'static str {
        if self.generalized_sum_types { SUM_ENUM } else { ENUM }
    }
}

/// JSON with JSON Schema.
pub(crate) struct JsonSchemaFormat {
    settings: Settings,
    encoders: Encoders,
    /// What was compiled: the Connect schema, and the text it belongs to if payloads are held
    /// against it.
    schemas: Vec<(SchemaRef, Option<SchemaText>)>,
    bytes_a_row: usize,
}

impl JsonSchemaFormat {
    pub(crate) fn new(config: &JsonSchemaConfig) -> Self {
        let rules = Rules {
            decimal_format: config.decimal_format,
            replace_null_with_default: !config.ignore_default_for_nullables,
            dialect: Dialect::JsonSchema,
        };
        let capacity = usize::try_from(config.schemas_cache_config).unwrap_or(0).max(1);
        Self {
            settings: Settings {
                rules,
                additional_properties: config.object_additional_properties,
                optional_unless_required: config.use_optional_for_nonrequired,
                flatten_singleton_unions: config.flatten_singleton_unions,
                generalized_sum_types: config.generalized_sum_type_support,
                validate: config.fail_invalid_schema,
            },
            encoders: Encoders::new(rules, capacity),
            schemas: Vec::new(),
            bytes_a_row: 0,
        }
    }

    fn compiled(&mut self, schema: SchemaRef, text: &SchemaText) -> Compiled {
        self.schemas.push((schema, self.settings.validate.then(|| text.clone())));
        Compiled(self.schemas.len() - 1)
    }

    fn run(
        &self,
        first: usize,
        rows: &[Row<'_>],
        room: &mut Room,
        failed: &mut Vec<RowError>,
    ) -> Column {
        let Some(known) = rows.iter().find(|row| row.payload.is_some()) else {
            return Column::nulls(rows.len());
        };
        let mut failed = Failures::new(None, failed);
        let mut texts = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            let text = row.payload.map(utf8).transpose();
            texts.push(text.unwrap_or_else(|fault| {
                failed.push(first + i, fault);
                None
            }));
        }
        self.leave_out_invalid(known.schema, first, &mut texts, &mut failed);
        // A null takes the default when it is read, whatever is done when it is written.
        let options = Rules { replace_null_with_default: true, ..self.settings.rules };
        let schema = &self.schemas[known.schema.0].0;
        let mut reader = RunReader { schema, options, columns_from: COLUMNS_FROM, room };
        reader.texts(first, &texts, &mut failed)
    }

    /// Takes out the texts that are not as their schema says.
    fn leave_out_invalid(
        &self,
        schema: Compiled,
        first: usize,
        texts: &mut [Option<&str>],
        failed: &mut Failures<'_>,
    ) {
        let Some(schema) = &self.schemas[schema.0].1 else { return };
        let documents = parsed(schema).expect("only schemas that can be parsed are kept");
        let mut validator = Validator::new(&documents);
        for (row, text) in (first..).zip(texts) {
            if let Some(given) = *text
                && let Err(fault) = checked(&mut validator, given)
            {
                failed.push(row, fault);
                *text = None;
            }
        }
    }

    fn is_same(&self, a: Compiled, b: Compiled) -> bool {
        a == b || self.schemas[a.0] == self.schemas[b.0]
    }
}

impl Format for JsonSchemaFormat {
    fn forget(&mut self) {
        self.schemas.clear();
    }

    fn compile_reader(&mut self, schema: &SchemaText, version: Option<i32>) -> Result<Compiled> {
        let documents = parsed(schema)?;
        let connect = connect_schema(&documents, version, &self.settings)
            .map_err(|fault| fault.into_error(None))?;
        Ok(self.compiled(connect, schema))
    }

    fn read(&mut self, rows: &[Row<'_>], failed: &mut Vec<RowError>) -> Result<Vec<Column>> {
        let mut columns = Vec::new();
        let mut room = Room::new(ROOM);
        let mut first = 0;
        while first < rows.len() {
            let schemas = rows[first..].iter().map(|row| row.payload.map(|_| row.schema));
            let length = run_length(schemas, |a, b| self.is_same(a, b));
            columns.push(self.run(first, &rows[first..first + length], &mut room, failed));
            first += length;
        }
        Ok(columns)
    }

    fn describe(&mut self, schema: Option<&SchemaRef>) -> Result<Described> {
        let schema = schema.ok_or_else(|| {
            Error::data("data without a schema have no JSON Schema: use JsonConverter for them")
        })?;
        let text = describe(schema, &self.settings).map_err(|fault| fault.into_error(None))?;
        let document = Node::parse(&text).map_err(|e| Fault::from(e).into_error(None))?;
        let record_name = match document.get("title") {
            Some(Node::Text(title)) => Some(Arc::from(&**title)),
            _ => None,
        };
        let schema = SchemaText { text: text.into(), references: Vec::new() };
        Ok(Described { schema, record_name })
    }

    /// JSON is written by the schema of the data; the registry's says what others may expect.
    fn compile_writer(
        &mut self,
        connect: Option<&SchemaRef>,
        schema: &SchemaText,
    ) -> Result<Compiled> {
        let connect = connect.ok_or_else(|| Error::data("data without a schema"))?;
        Ok(self.compiled(Arc::clone(connect), schema))
    }

    fn is_tombstone(&self, schema: Option<&SchemaRef>) -> bool {
        schema.is_none_or(|schema| {
            let replaces = self.settings.rules.replace_null_with_default;
            !(schema.is_optional() || replaces && schema.default().is_some())
        })
    }

    fn write(
        &mut self,
        writer: Compiled,
        column: &Column,
        prefix: &[u8],
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let mut failed = Failures::new(None, failed);
        let compiled = self.encoders.of(column);
        let source = self.encoders.bind(column, compiled.as_deref())?;
        let mut rows = RowBuffer::new(column.len(), self.bytes_a_row);
        let is_tombstone = self.is_tombstone(column.schema());
        let documents = self.schemas[writer.0].1.as_ref().map(parsed).transpose()?;
        let mut validator = documents.as_ref().map(Validator::new);
        for row in 0..column.len() {
            if is_tombstone && column.is_null(row) {
                rows.null_row();
                continue;
            }
            rows.bytes().extend_from_slice(prefix);
            let start = rows.bytes().len();
            let appended = source.append(row, rows.bytes());
            let checked = appended.and_then(|()| match &mut validator {
                Some(validator) => checked(validator, utf8(&rows.bytes()[start..])?),
                None => Ok(()),
            });
            match checked {
                Ok(()) => rows.end_row(),
                Err(fault) => {
                    failed.push(row, fault);
                    rows.null_row();
                }
            }
        }
        self.bytes_a_row = rows.average();
        Ok(rows.finish())
    }

    fn is_compatible(&self, ours: &SchemaText, latest: &SchemaText) -> Result<bool> {
        let (ours, latest) = (parsed(ours)?, parsed(latest)?);
        let connect = |documents: &Documents<'_>| {
            connect_schema(documents, None, &self.settings).map_err(|fault| fault.into_error(None))
        };
        Ok(compatible::reads(&*connect(&latest)?, &*connect(&ours)?)
            && compatible::allows(&latest, &ours))
    }
}

fn checked(validator: &mut Validator<'_>, text: &str) -> std::result::Result<(), Fault> {
    validator.check(text.trim_start_matches('\u{feff}'))
}

fn parsed(schema: &SchemaText) -> Result<Documents<'_>> {
    let parse = |name: &Arc<str>, text| {
        Node::parse(text).map(|node| (Arc::clone(name), node)).map_err(|error| {
            let error = Error::data("schema is not JSON").with_source(error.to_string());
            if name.is_empty() { error } else { error.context("reference", name) }
        })
    };
    let mut documents = vec![parse(&Arc::from(""), &schema.text)?];
    for (name, text) in &schema.references {
        documents.push(parse(name, text)?);
    }
    Ok(Documents { documents })
}

impl std::fmt::Debug for JsonSchemaFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonSchemaFormat").field("settings", &self.settings).finish_non_exhaustive()
    }
}
