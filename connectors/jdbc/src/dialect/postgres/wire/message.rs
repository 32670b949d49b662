//! The form of PostgreSQL's messages: what stands in those that come, how those that go are
//! written.

use std::borrow::Cow;

/// An error of one who does not keep to the protocol.
pub(super) fn broken(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(what.to_owned())
}

/// The bytes of a message behind its length, read from the front.
pub(super) struct Body<'a>(pub(super) &'a [u8]);

impl<'a> Body<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> sqlx::Result<&'a [u8]> {
        let (bytes, rest) =
            self.0.split_at_checked(count).ok_or_else(|| broken("a message is too short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> sqlx::Result<[u8; N]> {
        Ok(self.bytes(N)?.try_into().expect("there are N bytes"))
    }

    pub(super) fn byte(&mut self) -> sqlx::Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn int2(&mut self) -> sqlx::Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn int4(&mut self) -> sqlx::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn oid(&mut self) -> sqlx::Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Text up to a zero. What the server said before it knew our encoding may be in any.
    pub(super) fn lossy_text(&mut self) -> sqlx::Result<Cow<'a, str>> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.bytes(end.ok_or_else(|| broken("a text in a message has no end"))?)?;
        self.byte()?;
        Ok(String::from_utf8_lossy(text))
    }

    /// The values of a row, in the server's text.
    pub(super) fn row(mut self) -> sqlx::Result<Row> {
        let count = self.int2()?;
        let value = |_| {
            let length = self.int4()?;
            if length == -1 {
                return Ok(None);
            }
            let length = usize::try_from(length).map_err(|_| broken("a value has no length"))?;
            let text = str::from_utf8(self.bytes(length)?);
            text.map(|text| Some(text.to_owned())).map_err(|_| broken("a value is not UTF-8"))
        };
        (0..count).map(value).collect::<sqlx::Result<_>>().map(Row)
    }

    /// The columns of a result.
    pub(super) fn columns(mut self) -> sqlx::Result<Vec<Described>> {
        let count = self.int2()?;
        let column = |_| {
            let name = self.lossy_text()?.into_owned();
            let (relation, attribute, type_oid) = (self.oid()?, self.int2()?, self.oid()?);
            // The length of the type, its modifier, and the form of its values.
            self.bytes(8)?;
            Ok(Described { name, relation, attribute, type_oid })
        };
        (0..count).map(column).collect()
    }
}

/// A column of a result, as the server describes it.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Described {
    pub(in super::super) name: String,
    /// The table it comes from and its number there; 0 for an expression.
    pub(in super::super) relation: u32,
    pub(in super::super) attribute: i16,
    pub(in super::super) type_oid: u32,
}

/// A row of a small result: one that asks the catalog.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Row(Vec<Option<String>>);

impl Row {
    /// A value.
    pub(in super::super) fn get<T: FromText>(&self, at: usize) -> sqlx::Result<T> {
        let text = self
            .0
            .get(at)
            .ok_or(sqlx::Error::ColumnIndexOutOfBounds { index: at, len: self.0.len() })?;
        T::from_text(text.as_deref())
            .ok_or_else(|| broken(&format!("column {at} of an answer is of another type")))
    }
}

/// What a value can be read as.
pub(in super::super) trait FromText: Sized {
    /// None: it is something else.
    fn from_text(text: Option<&str>) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl FromText for $number {
            fn from_text(text: Option<&str>) -> Option<Self> {
                text?.parse().ok()
            }
        })*
    };
}

numbers!(i16, i32, i64, u32, String);

impl FromText for bool {
    fn from_text(text: Option<&str>) -> Option<Self> {
        match text? {
            "t" => Some(true),
            "f" => Some(false),
            _ => None,
        }
    }
}

impl<T: FromText> FromText for Option<T> {
    fn from_text(text: Option<&str>) -> Option<Self> {
        match text {
            None => Some(None),
            text => T::from_text(text).map(Some),
        }
    }
}

/// A value that is sent along with a statement, in the server's text, and its type.
pub(in super::super) struct Parameter {
    type_oid: u32,
    text: Option<String>,
}

impl Parameter {
    pub(in super::super) fn text(text: &str) -> Self {
        Self { type_oid: 25, text: Some(text.to_owned()) }
    }

    pub(in super::super) fn optional_text(text: Option<&str>) -> Self {
        Self { type_oid: 25, text: text.map(str::to_owned) }
    }

    pub(in super::super) fn boolean(is_true: bool) -> Self {
        Self { type_oid: 16, text: Some(is_true.to_string()) }
    }

    pub(in super::super) fn numbers(numbers: impl IntoIterator<Item = i64>) -> Self {
        let numbers: Vec<String> = numbers.into_iter().map(|n| n.to_string()).collect();
        Self { type_oid: 1016, text: Some(format!("{{{}}}", numbers.join(","))) }
    }
}

/// Messages to be sent together.
#[derive(Default)]
pub(super) struct Outgoing(pub(super) Vec<u8>);

impl Outgoing {
    /// One message; its length is written once it is known. The first of a session has no kind.
    pub(super) fn message(
        &mut self,
        kind: Option<u8>,
        body: impl FnOnce(&mut Self) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        self.0.extend(kind);
        let start = self.0.len();
        self.0.extend([0; 4]);
        body(self)?;
        let length = i32::try_from(self.0.len() - start);
        let length = length.map_err(|_| broken("a statement is longer than a message"))?;
        self.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Text and its end.
    pub(super) fn text(&mut self, text: &str) -> sqlx::Result<()> {
        if text.contains('\0') {
            return Err(broken("a text that is sent holds a zero, where it would end"));
        }
        self.0.extend(text.as_bytes());
        self.0.push(0);
        Ok(())
    }

    pub(super) fn int2(&mut self, number: usize) -> sqlx::Result<()> {
        let number = i16::try_from(number).map_err(|_| broken("too many values are sent"))?;
        self.0.extend(number.to_be_bytes());
        Ok(())
    }

    /// A statement without a name, and what it is to be done with.
    pub(super) fn parse(&mut self, sql: &str, parameters: &[Parameter]) -> sqlx::Result<()> {
        self.message(Some(b'P'), |out| {
            out.text("")?;
            out.text(sql)?;
            out.int2(parameters.len())?;
            parameters.iter().for_each(|p| out.0.extend(p.type_oid.to_be_bytes()));
            Ok(())
        })
    }

    /// Has it run with these values, all its rows sent as text.
    pub(super) fn execute(&mut self, parameters: &[Parameter]) -> sqlx::Result<()> {
        self.message(Some(b'B'), |out| {
            out.0.extend([0; 4]); // The names of both, and no forms: all is text.
            out.int2(parameters.len())?;
            for parameter in parameters {
                let Some(text) = &parameter.text else {
                    out.0.extend((-1i32).to_be_bytes());
                    continue;
                };
                let length =
                    i32::try_from(text.len()).map_err(|_| broken("a value is too long"))?;
                out.0.extend(length.to_be_bytes());
                out.0.extend(text.as_bytes());
            }
            out.int2(0)
        })?;
        self.message(Some(b'E'), |out| {
            out.0.extend([0; 5]); // No name, and no limit of rows.
            Ok(())
        })
    }

    /// Ends what is sent together.
    pub(super) fn sync(&mut self) -> sqlx::Result<()> {
        self.message(Some(b'S'), |_| Ok(()))
    }
}
