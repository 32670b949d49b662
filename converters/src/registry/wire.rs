//! Decides where the id of a row's schema stands, and in what form: `SchemaIdSerializer` and
//! `SchemaIdDeserializer` in Java.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use millrace_api::config::ClassName;
use millrace_api::{ConverterRole, Error, RawHeaders, Result};

use super::subject::unknown;

const MAGIC_ID: u8 = 0;
const MAGIC_GUID: u8 = 1;
const GUID_BYTES: usize = 16;

/// What names a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SchemaId {
    /// Its number in one registry.
    Number(i32),
    /// Its name in all of them.
    Guid([u8; GUID_BYTES]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Guid(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    let hyphen = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{hyphen}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

impl SchemaId {
    /// A GUID as it is written, with hyphens or without.
    pub(super) fn guid(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        if digits.len() != 2 * GUID_BYTES {
            return None;
        }
        let mut bytes = [0; GUID_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self::Guid(bytes))
    }

    /// Magic byte and id, as they stand before a payload or in a header.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Number(number) => [&[MAGIC_ID][..], &number.to_be_bytes()].concat(),
            Self::Guid(bytes) => [&[MAGIC_GUID][..], &bytes].concat(),
        }
    }

    /// The id that bytes begin with, and what follows it.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), Unreadable> {
        let (magic, rest) = bytes.split_first().ok_or(Unreadable::Short)?;
        match *magic {
            MAGIC_ID => {
                let (id, rest) = rest.split_first_chunk().ok_or(Unreadable::Short)?;
                Ok((Self::Number(i32::from_be_bytes(*id)), rest))
            }
            MAGIC_GUID => {
                let (guid, rest) = rest.split_first_chunk().ok_or(Unreadable::Short)?;
                Ok((Self::Guid(*guid), rest))
            }
            magic => Err(Unreadable::Magic(magic)),
        }
    }
}

/// Why a row names no schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Magic(u8),
    Short,
}

impl Unreadable {
    pub(super) fn error(self) -> Error {
        match self {
            Self::Magic(magic) => {
                Error::data("Unknown magic byte!").context("byte", magic).context(
                    "remedy",
                    "the data was not written with a schema registry: use the converter that it \
                     was written with",
                )
            }
            Self::Short => Error::data("the data ends within the id of its schema"),
        }
    }
}

/// Where ids are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// In the last header of that name, else before the payload.
    HeaderOrPrefix,
    /// Before the payload.
    Prefix,
    /// Nowhere: it is configured.
    Fixed(SchemaId),
}

/// A row, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framed<'a> {
    pub(super) id: SchemaId,
    /// What follows the id in a header: it belongs before the payload.
    pub(super) opening: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Reads {
    /// By the name of Java's class.
    pub(super) fn by_class(key: &str, class: &ClassName, fixed: Option<SchemaId>) -> Result<Self> {
        let name = class.as_str();
        match (name.rsplit('.').next().unwrap_or(name), fixed) {
            ("DualSchemaIdDeserializer", _) => Ok(Self::HeaderOrPrefix),
            ("PrefixSchemaIdDeserializer", _) => Ok(Self::Prefix),
            ("ConfigSchemaIdDeserializer", Some(id)) => Ok(Self::Fixed(id)),
            ("ConfigSchemaIdDeserializer", None) => Err(Error::config(format!(
                "{key} is ConfigSchemaIdDeserializer, and neither use.schema.id nor \
                 use.schema.guid names a schema"
            ))),
            _ => Err(unknown(
                key,
                name,
                "DualSchemaIdDeserializer, PrefixSchemaIdDeserializer and \
                 ConfigSchemaIdDeserializer",
            )),
        }
    }

    pub(super) fn split<'a>(
        self,
        row: &'a [u8],
        headers: Option<&'a RawHeaders>,
        name: &str,
    ) -> Result<Framed<'a>, Unreadable> {
        let header = match (self, headers) {
            (Self::Fixed(id), _) => return Ok(Framed { id, opening: &[], payload: row }),
            (Self::HeaderOrPrefix, Some(headers)) => {
                let named = headers.iter().rfind(|(key, _)| &**key == name);
                named.and_then(|(_, value)| value.as_ref())
            }
            _ => None,
        };
        match header {
            Some(header) => {
                let (id, opening) = SchemaId::split(header)?;
                Ok(Framed { id, opening, payload: row })
            }
            None => {
                let (id, payload) = SchemaId::split(row)?;
                Ok(Framed { id, opening: &[], payload })
            }
        }
    }
}

/// Where ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// Before the payload.
    Prefix,
    /// In a header.
    Header,
}

impl Writes {
    /// By the name of Java's class.
    pub(super) fn by_class(key: &str, class: &ClassName) -> Result<Self> {
        let name = class.as_str();
        match name.rsplit('.').next().unwrap_or(name) {
            "PrefixSchemaIdSerializer" => Ok(Self::Prefix),
            "HeaderSchemaIdSerializer" => Ok(Self::Header),
            _ => Err(unknown(key, name, "PrefixSchemaIdSerializer and HeaderSchemaIdSerializer")),
        }
    }
}

/// The name of the header that names the schema.
pub(super) fn header_name(role: ConverterRole) -> Arc<str> {
    match role {
        ConverterRole::Key => "__key_schema_id".into(),
        _ => "__value_schema_id".into(),
    }
}

/// What is written with a schema: what each payload begins with, and the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) prefix: Vec<u8>,
    pub(super) header: Option<(Arc<str>, Bytes)>,
}

impl Frame {
    /// `opening` is what a format puts after the id.
    pub(super) fn new(writes: Writes, role: ConverterRole, id: SchemaId, opening: &[u8]) -> Self {
        let bytes = [&id.to_bytes(), opening].concat();
        match writes {
            Writes::Prefix => Self { prefix: bytes, header: None },
            Writes::Header => {
                Self { prefix: Vec::new(), header: Some((header_name(role), bytes.into())) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "__value_schema_id";

    fn guid() -> SchemaId {
        SchemaId::guid("89791762-2336-4186-9674-299b90a802e2").expect("it is one")
    }

    #[test]
    fn ids_stand_before_payloads_or_in_the_last_header() {
        let number = |payload| Framed { id: SchemaId::Number(258), opening: &[], payload };
        let v0 = [0, 0, 0, 1, 2, b'x'];
        assert_eq!(Reads::Prefix.split(&v0, None, NAME), Ok(number(b"x")));
        let v1 = [guid().to_bytes(), b"x".to_vec()].concat();
        let split = Reads::HeaderOrPrefix.split(&v1, None, NAME);
        assert_eq!(split, Ok(Framed { id: guid(), opening: &[], payload: b"x" }));

        let header = |name: &str, bytes: &[u8]| (name.into(), Some(Bytes::copy_from_slice(bytes)));
        let headers = vec![
            header(NAME, &v0),
            header(NAME, &[guid().to_bytes(), vec![2, 4]].concat()),
            header("__key_schema_id", b"no"),
        ];
        let split = Reads::HeaderOrPrefix.split(&v0, Some(&headers), NAME);
        assert_eq!(split, Ok(Framed { id: guid(), opening: &[2, 4], payload: &v0 }));
        assert_eq!(Reads::Prefix.split(&v0, Some(&headers), NAME), Ok(number(b"x")));
        let fixed = Reads::Fixed(guid()).split(&v0, Some(&headers), NAME);
        assert_eq!(fixed, Ok(Framed { id: guid(), opening: &[], payload: &v0 }));

        for (bytes, why) in [
            (&b""[..], Unreadable::Short),
            (&[0, 0, 0, 1], Unreadable::Short),
            (&[1, 0, 0, 1, 5], Unreadable::Short),
            (b"{\"a\":1}", Unreadable::Magic(b'{')),
        ] {
            assert_eq!(Reads::HeaderOrPrefix.split(bytes, None, NAME), Err(why));
        }
    }

    #[test]
    fn guids_are_written_as_everywhere() {
        assert_eq!(guid().to_string(), "89791762-2336-4186-9674-299b90a802e2");
        assert_eq!(guid().to_bytes()[..3], [1, 0x89, 0x79]);
        for text in
            ["", "89791762-2336-4186-9674-299b90a802e", "8979176x-2336-4186-9674-299b90a802e2"]
        {
            assert_eq!(SchemaId::guid(text), None);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let id = SchemaId::Number(7);
        let frame = Frame::new(Writes::Prefix, ConverterRole::Value, id, &[9]);
        assert_eq!(frame, Frame { prefix: vec![0, 0, 0, 0, 7, 9], header: None });
        let frame = Frame::new(Writes::Header, ConverterRole::Value, guid(), &[9]);
        let headers = vec![frame.header.map(|(name, bytes)| (name, Some(bytes))).expect("there")];
        let split = Reads::HeaderOrPrefix.split(b"x", Some(&headers), NAME);
        assert_eq!(split, Ok(Framed { id: guid(), opening: &[9], payload: b"x" }));
    }
}
