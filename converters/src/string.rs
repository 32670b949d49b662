//! `StringConverter`: text as it is, other values as Java's `toString` prints them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringViewArray};
use bytes::Bytes;
use millrace_api::config::{Config, ConfigDef, Props};
use millrace_api::data::{Column, RowError, Schema, SchemaRef, Value};
use millrace_api::{
    Converter, ConverterRole, Error, HeaderConverter, RawHeaders, Result, Serialized,
};

use crate::charset::Charset;
use crate::role::{RoleConfig, with_role};
use crate::row_buffer::RowBuffer;
use crate::texts::assemble;

pub(crate) const CLASS: &str = "org.apache.kafka.connect.storage.StringConverter";

#[derive(Config)]
struct StringConverterConfig {
    #[config(nested)]
    _role: RoleConfig,
    /// The name of the Java character set to use for encoding strings as byte arrays.
    #[config(key = "converter.encoding", importance = High, default = "UTF-8")]
    #[config(width = Medium, display = "Encoding")]
    encoding: String,
}

pub(crate) fn config_def() -> ConfigDef {
    StringConverterConfig::config_def()
}

pub(crate) fn converter(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    Ok(Box::new(StringConverter::new(props, role)?))
}

pub(crate) fn header_converter(props: &Props) -> Result<Box<dyn HeaderConverter>> {
    let converter = StringConverter::new(props, ConverterRole::Header)?;
    Ok(Box::new(converter))
}

struct StringConverter {
    charset: Charset,
}

impl StringConverter {
    fn new(props: &Props, role: ConverterRole) -> Result<Self> {
        let config = StringConverterConfig::parse(&with_role(props, role))?;
        let charset = Charset::by_name(&config.encoding).ok_or_else(|| {
            Error::config(format!("Unsupported encoding {}", config.encoding))
                .context("key", "converter.encoding")
                .context("supported", Charset::NAMES)
        })?;
        Ok(Self { charset })
    }

    fn append(&self, value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::String(text) => self.charset.encode(text, out),
            value => self.charset.encode(&value.to_string(), out),
        }
    }

    fn texts(&self, rows: &Serialized) -> StringViewArray {
        if self.charset == Charset::Utf8
            && let Ok(texts) = rows.clone().to_string_view()
        {
            return texts;
        }
        let piece = |row| {
            let bytes = rows.is_valid(row).then(|| rows.value(row))?;
            let text = match self.charset {
                Charset::Utf8 => std::str::from_utf8(bytes).ok(),
                _ => None,
            };
            let decode = || Cow::Owned(self.charset.decode(bytes));
            Some(text.map_or_else(decode, Cow::Borrowed))
        };
        assemble(rows, 0, (0..rows.len()).map(piece))
    }
}

impl Converter for StringConverter {
    fn from_connect_data(
        &mut self,
        _topic: &str,
        column: &Column,
        _failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        if let Column::Typed { array, .. } = column
            && let Some(texts) = array.as_string_view_opt()
            && self.charset == Charset::Utf8
        {
            return Ok(texts.clone().to_binary_view());
        }
        let texts = column.printer()?;
        let mut rows = RowBuffer::new(column.len(), 32);
        let mut text = Vec::new();
        for row in 0..column.len() {
            if column.is_null(row) {
                rows.null_row();
                continue;
            }
            if self.charset == Charset::Utf8 {
                texts.append(row, rows.bytes())?;
            } else {
                text.clear();
                texts.append(row, &mut text)?;
                let text = std::str::from_utf8(&text).expect("what is printed is UTF-8");
                self.charset.encode(text, rows.bytes());
            }
            rows.end_row();
        }
        Ok(rows.finish())
    }

    fn to_connect_data(
        &mut self,
        _topic: &str,
        rows: &Serialized,
        _headers: &[RawHeaders],
        _failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        Ok(vec![Column::Typed { schema: Schema::string(true), array: Arc::new(self.texts(rows)) }])
    }
}

impl HeaderConverter for StringConverter {
    fn from_connect_header(
        &mut self,
        _topic: &str,
        _key: &str,
        _schema: Option<&SchemaRef>,
        value: &Value,
    ) -> Result<Option<Bytes>> {
        Ok((!value.is_null()).then(|| {
            let mut out = Vec::new();
            self.append(value, &mut out);
            out.into()
        }))
    }

    fn to_connect_header(
        &mut self,
        _topic: &str,
        _key: &str,
        bytes: Option<&Bytes>,
    ) -> Result<(Option<SchemaRef>, Value)> {
        let text = |bytes: &Bytes| Value::String(self.charset.decode(bytes).into());
        let value = bytes.map_or(Value::Null, text);
        Ok((Some(Schema::string(true)), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf8() -> StringConverter {
        StringConverter::new(&Props::new(), ConverterRole::Value).unwrap()
    }

    fn read(converter: &mut StringConverter, rows: &Serialized) -> Column {
        let mut failed = Vec::new();
        let mut columns = converter.to_connect_data("t", rows, &[], &mut failed).unwrap();
        assert!(failed.is_empty());
        assert_eq!(columns.len(), 1);
        columns.remove(0)
    }

    fn write(converter: &mut StringConverter, column: &Column) -> Serialized {
        let mut failed = Vec::new();
        converter.from_connect_data("t", column, &mut failed).unwrap()
    }

    #[test]
    fn nothing_is_copied() {
        let long = b"a text of more than twelve bytes";
        let rows = Serialized::from_iter([Some(&long[..]), None, Some(b"x")]);
        let column = read(&mut utf8(), &rows);
        let Column::Typed { schema, array } = &column else { panic!("not typed") };
        assert_eq!(schema, &Schema::string(true));
        assert_eq!(array.as_string_view().value(0).as_ptr(), rows.value(0).as_ptr());
        let back = write(&mut utf8(), &column);
        assert_eq!(back.value(0).as_ptr(), rows.value(0).as_ptr());
        assert_eq!(back, rows);
    }

    #[test]
    fn only_malformed_rows_are_rewritten() {
        let rows = Serialized::from_iter([
            Some(&b"a text of more than twelve bytes"[..]),
            Some(b"\xed\xa0\x80 and so on, and so on"),
            None,
        ]);
        let column = read(&mut utf8(), &rows);
        let Column::Typed { array, .. } = &column else { panic!("not typed") };
        let texts = array.as_string_view();
        assert_eq!(texts.value(0).as_ptr(), rows.value(0).as_ptr());
        assert_eq!(texts.value(1), "\u{fffd} and so on, and so on");
        assert!(texts.is_null(2));
    }

    #[test]
    fn other_values_print_as_in_java() {
        let column = Column::Json(StringViewArray::from(vec![
            Some(r#"{"a":1,"b":[1.0,null,"x"]}"#),
            Some("null"),
            None,
            Some("1e21"),
        ]));
        let rows = write(&mut utf8(), &column);
        assert_eq!(rows.value(0), b"{a=1, b=[1.0, null, x]}");
        assert!(rows.is_null(1) && rows.is_null(2));
        assert_eq!(rows.value(3), b"1.0E21");
    }

    #[test]
    fn encoding_is_configured() {
        let props = |name: &str| Props::from([("converter.encoding".into(), name.into())]);
        let mut latin = StringConverter::new(&props("ISO-8859-1"), ConverterRole::Key).unwrap();
        let rows = Serialized::from_iter([Some(&b"\xe9"[..]), None]);
        let column = read(&mut latin, &rows);
        assert_eq!(column.value(0).unwrap(), Value::from("\u{e9}"));
        assert_eq!(write(&mut latin, &column), rows);
        let error = StringConverter::new(&props("x-nope"), ConverterRole::Key).err().unwrap();
        assert_eq!(error.message(), "Unsupported encoding x-nope");
        assert_eq!(error.kind(), millrace_api::ErrorKind::Config);
    }

    #[test]
    fn headers_are_text_too() {
        let mut converter = utf8();
        let bytes = converter.from_connect_header("t", "k", None, &Value::Int32(5)).unwrap();
        assert_eq!(bytes.as_deref(), Some(&b"5"[..]));
        let (schema, value) = converter.to_connect_header("t", "k", bytes.as_ref()).unwrap();
        assert_eq!((schema, value), (Some(Schema::string(true)), Value::from("5")));
    }
}
