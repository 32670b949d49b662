//! Decides what each PostgreSQL type becomes, and what the server is to turn it into before.

use super::decode::Decode;
use super::wire::{Described, Row};
use crate::batch::Field;
use crate::dialect::Select;
use crate::form::{Form, Hstore, NumericMapping};

/// A column of a result, as the server and its catalog describe it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServerColumn {
    pub(super) name: String,
    /// The type; for a domain the type it is built on.
    pub(super) type_oid: u32,
    /// The table it comes from and its number there; 0 for an expression.
    pub(super) relation: u32,
    pub(super) attribute: i16,
    pub(super) kind: ServerType,
    /// The type of an array's items.
    pub(super) item: Option<ServerType>,
    /// How many dimensions an array was declared with; 0 where that is not known.
    pub(super) dimensions: i32,
    pub(super) not_null: bool,
}

/// A type with what a column says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServerType {
    pub(super) name: String,
    /// `e` for an enumeration, `c` for a composite type and so on.
    pub(super) kind: String,
    /// Precision, scale or length as the server packs them; -1 for none.
    pub(super) modifier: i32,
}

/// How a column is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) form: Form,
    /// Of how many levels of lists that is the form of the items.
    pub(super) dimensions: u8,
    pub(super) decode: Decode,
    /// What the server is to turn it into first, one after the other.
    casts: &'static [&'static str],
}

/// How values of a type are read.
type Scalar = (Form, Decode, &'static [&'static str]);

impl Read {
    /// The column in SQL.
    pub(super) fn sql(&self, name: &str) -> String {
        let brackets = if self.dimensions > 0 { "[]" } else { "" };
        let casts: String = self.casts.iter().map(|cast| format!("::{cast}{brackets}")).collect();
        if casts.is_empty() { name.to_owned() } else { format!("{name}{casts} AS {name}") }
    }
}

/// Asks for the columns of a table by its name in SQL. What is built on a domain has the type at
/// its bottom, as in results.
pub(super) const COLUMNS_OF_TABLE: &str = "
    SELECT a.attname::text, a.attrelid, a.attnum, (
        WITH RECURSIVE built AS (
            SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t
            WHERE t.oid = a.atttypid
            UNION ALL
            SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t
            JOIN built b ON b.typtype = 'd' AND t.oid = b.typbasetype
        ) SELECT oid FROM built WHERE typtype <> 'd')
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

/// Asks for types, modifiers and NOT NULL of columns. Numbers only are written into it.
pub(super) fn catalog_query(columns: &[ServerColumn]) -> String {
    let rows: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            format!("({i}, {}::oid, {}::oid, {}::int2)", c.type_oid, c.relation, c.attribute)
        })
        .collect();
    format!(
        "SELECT t.typname::text, t.typtype::text, \
                CASE WHEN d.typtype = 'd' THEN d.typtypmod ELSE a.atttypmod END, \
                coalesce(a.attnotnull OR (d.typtype = 'd' AND d.typnotnull), false), \
                coalesce(b.typname, e.typname)::text, coalesce(b.typtype, e.typtype)::text, \
                CASE WHEN e.typtype = 'd' THEN e.typtypmod \
                    WHEN d.typtype = 'd' THEN d.typtypmod ELSE a.atttypmod END, \
                CASE WHEN d.typtype = 'd' THEN d.typndims ELSE a.attndims END::int4 \
         FROM (VALUES {}) AS c(ord, typ, rel, att) \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = c.typ \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.rel AND a.attnum = c.att \
         LEFT JOIN pg_catalog.pg_type d ON d.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typlen = -1 \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = e.typbasetype AND e.typtype = 'd' \
         ORDER BY c.ord",
        rows.join(", ")
    )
}

/// A column of a query.
impl From<Described> for ServerColumn {
    fn from(column: Described) -> Self {
        let Described { name, relation, attribute, type_oid } = column;
        Self { name, relation, attribute, type_oid, ..Self::default() }
    }
}

impl ServerColumn {
    /// One of a table's columns.
    pub(super) fn new(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.get(0)?,
            relation: row.get(1)?,
            attribute: row.get(2)?,
            type_oid: row.get(3)?,
            ..Self::default()
        })
    }

    /// Takes over a row of the catalog query.
    pub(super) fn complete(&mut self, row: &Row) -> Result<(), sqlx::Error> {
        let kind = |at: usize, modifier: usize| {
            Ok::<_, sqlx::Error>(ServerType {
                name: row.get::<Option<_>>(at)?.unwrap_or_default(),
                kind: row.get::<Option<_>>(at + 1)?.unwrap_or_default(),
                modifier: row.get::<Option<_>>(modifier)?.unwrap_or(-1),
            })
        };
        self.kind = kind(0, 2)?;
        self.not_null = row.get(3)?;
        self.item = Some(kind(4, 6)?).filter(|item| !item.name.is_empty());
        self.dimensions = row.get::<Option<_>>(7)?.unwrap_or(0);
        Ok(())
    }

    /// The field that the column becomes.
    pub(super) fn field(&self, read: &Read) -> Field {
        Field {
            name: self.name.clone(),
            form: read.form,
            dimensions: read.dimensions,
            optional: !self.not_null,
        }
    }

    /// How the column is read; none if it is left out.
    pub(super) fn read(&self, select: &Select) -> Option<Read> {
        let read = |dimensions, (form, decode, casts)| Read { form, dimensions, decode, casts };
        let numeric = select.mapping;
        match (&self.item, select.complex) {
            (None, None) => self.kind.simple(numeric).map(|scalar| read(0, scalar)),
            (None, Some(hstore)) => self.kind.any(numeric, hstore).map(|scalar| read(0, scalar)),
            (Some(_), None) => None,
            (Some(item), Some(hstore)) => {
                // Arrays have six dimensions at most; those of expressions do not say.
                let dimensions = u8::try_from(self.dimensions.clamp(1, 6)).unwrap_or(1);
                let (form, item, casts) = item.any(numeric, hstore)?;
                let decode = Decode::Array { item: Box::new(item), dimensions };
                Some(read(dimensions, (form, decode, casts)))
            }
        }
    }
}

impl ServerType {
    /// How values are read of types that Confluent's connector reads.
    fn simple(&self, numeric: NumericMapping) -> Option<Scalar> {
        let (form, decode) = match self.name.as_str() {
            "bool" => (Form::Boolean, Decode::Boolean),
            "int2" => (Form::Int16, Decode::Int2),
            "int4" => (Form::Int32, Decode::Int4),
            "int8" => (Form::Int64, Decode::Int8),
            "oid" => (Form::Int64, Decode::Oid),
            "float4" => (Form::Float32, Decode::Float4),
            "float8" => (Form::Float64, Decode::Float8),
            // Only the server knows how many of its digits stand after the point.
            "money" => return Some((Form::Float64, Decode::Float8, &["numeric", "float8"])),
            "text" | "varchar" | "bpchar" | "name" | "char" | "json" | "xml" | "citext" => {
                (Form::String, Decode::Text)
            }
            "jsonb" => (Form::String, Decode::Jsonb),
            "uuid" => (Form::String, Decode::Uuid),
            "bytea" => (Form::Bytes, Decode::Bytes),
            "date" => (Form::Date, Decode::Date),
            "time" => (Form::Time, Decode::Time),
            "timetz" => (Form::Time, Decode::TimeTz),
            "timestamp" => (Form::Timestamp, Decode::Timestamp),
            "timestamptz" => (Form::Timestamp, Decode::TimestampTz),
            "bit" if self.modifier == 1 => (Form::Boolean, Decode::Bit),
            "numeric" => self.numeric(numeric),
            _ if self.kind == "e" => (Form::String, Decode::Text),
            _ => return None,
        };
        Some((form, decode, &[]))
    }

    /// How values of any type are read: those without a Connect type as the server's text.
    fn any(&self, numeric: NumericMapping, hstore: Hstore) -> Option<Scalar> {
        match (self.name.as_str(), hstore) {
            ("hstore", Hstore::None) => None,
            ("hstore", Hstore::Map) => Some((Form::Map, Decode::HstoreMap, &[])),
            ("hstore", Hstore::Json) => Some((Form::String, Decode::HstoreJson, &[])),
            // Its cast to text always names the network's size.
            ("inet" | "cidr", _) => Some((Form::String, Decode::Address, &[])),
            _ => self.simple(numeric).or(Some((Form::String, Decode::Text, &["text"]))),
        }
    }

    fn numeric(&self, mapping: NumericMapping) -> (Form, Decode) {
        const HEADER: i32 = 4;
        let stated = (self.modifier >= HEADER).then(|| {
            let packed = self.modifier - HEADER;
            // Eleven bits, signed.
            let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
            (packed >> 16 & 0xffff, scale)
        });
        let form = Form::numeric(mapping, stated);
        let decode = match form {
            Form::Decimal { scale, .. } => Decode::Numeric { scale },
            Form::Float64 => Decode::NumericFloat { scale: stated.map_or(0, |(_, scale)| scale) },
            _ => Decode::NumericInteger,
        };
        (form, decode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, modifier: i32) -> ServerType {
        ServerType { name: name.into(), modifier, ..ServerType::default() }
    }

    #[test]
    fn numeric_modifiers() {
        let check = |precision: i32, scale: i32| {
            let modifier = (precision << 16 | (scale & 0x7ff)) + 4;
            let read = kind("numeric", modifier).simple(NumericMapping::None);
            assert_eq!(read.unwrap().0, Form::Decimal { precision, scale });
        };
        check(10, 2);
        check(1000, 1000);
        check(3, -2);
        let bare = kind("numeric", -1).simple(NumericMapping::BestFit).unwrap();
        assert_eq!(bare.1, Decode::Numeric { scale: 127 });
    }

    #[test]
    fn types_without_a_connect_type() {
        for name in ["interval", "point", "inet", "hstore", "varbit", "bit"] {
            let kind = kind(name, 8);
            assert_eq!(kind.simple(NumericMapping::None), None, "{name}");
            let any = kind.any(NumericMapping::None, Hstore::Json).unwrap();
            assert_eq!(any.0, Form::String, "{name}");
        }
        assert_eq!(kind("hstore", -1).any(NumericMapping::None, Hstore::None), None);
        let mut mood = kind("mood", -1);
        mood.kind = "e".into();
        assert_eq!(mood.simple(NumericMapping::None).unwrap().0, Form::String);
    }
}
