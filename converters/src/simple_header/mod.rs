//! `SimpleHeaderConverter`, the default: header values as text, their type guessed when read.

mod print;

use bytes::Bytes;
use millrace_api::config::{Config, ConfigDef, Props};
use millrace_api::data::{SchemaRef, Value, parse_string};
use millrace_api::{ConverterRole, HeaderConverter, Result};

use crate::charset::Charset;
use crate::role::{RoleConfig, with_role};

pub(crate) const CLASS: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

/// Java's has no keys at all.
pub(crate) fn config_def() -> ConfigDef {
    ConfigDef::default()
}

pub(crate) fn header_converter(props: &Props) -> Result<Box<dyn HeaderConverter>> {
    RoleConfig::parse(&with_role(props, ConverterRole::Header))?;
    Ok(Box::new(SimpleHeaderConverter))
}

struct SimpleHeaderConverter;

impl HeaderConverter for SimpleHeaderConverter {
    fn from_connect_header(
        &mut self,
        _topic: &str,
        _key: &str,
        _schema: Option<&SchemaRef>,
        value: &Value,
    ) -> Result<Option<Bytes>> {
        Ok((!value.is_null()).then(|| print::text(value).into()))
    }

    fn to_connect_header(
        &mut self,
        _topic: &str,
        _key: &str,
        bytes: Option<&Bytes>,
    ) -> Result<(Option<SchemaRef>, Value)> {
        let Some(bytes) = bytes else {
            return Ok((None, Value::Null));
        };
        let text = Charset::Utf8.decode(bytes);
        Ok(parse_string(&text))
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::data::Schema;

    use super::*;
    use crate::recorded::{cases, escaped, schema as describe_schema, value as describe_value};

    #[test]
    fn what_java_read_and_wrote() {
        let cases = cases(include_str!("../../tests/data/simple_header.tsv"));
        assert!(cases.len() > 300);
        for case in cases {
            let bytes = Bytes::from(case.bytes);
            let (schema, value) =
                SimpleHeaderConverter.to_connect_header("t", "k", Some(&bytes)).unwrap();
            let written = SimpleHeaderConverter
                .from_connect_header("t", "k", schema.as_ref(), &value)
                .unwrap();
            let written = match &written {
                Some(bytes) => std::str::from_utf8(bytes).unwrap(),
                None => "NULLBYTES",
            };
            let (schema, value) = (describe_schema(schema.as_deref()), describe_value(&value));
            let answer = escaped(&format!("{schema} {value}  => {written}"));
            assert_eq!(answer, case.expected, "{}", case.text);
        }
    }

    #[test]
    fn no_bytes_are_no_value() {
        let mut converter = SimpleHeaderConverter;
        assert_eq!(converter.to_connect_header("t", "k", None).unwrap(), (None, Value::Null));
        let written = converter.from_connect_header("t", "k", None, &Value::Null);
        assert_eq!(written.unwrap(), None);
        let empty = converter.to_connect_header("t", "k", Some(&Bytes::new()));
        let expected = (Some(Schema::string(false)), Value::from(""));
        assert_eq!(empty.unwrap(), expected);
    }
}
