//! Decides what a DER encoding (X.690) holds: the few types that keys, certificates and stores use.
//!
//! Bytes are never trusted: a length that does not fit ends in a [`Flaw`], nothing allocates by a
//! length that was read, and nothing recurses.

use crate::flaw::Flaw;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[0] IMPLICIT` of a primitive type.
pub(crate) const PRIMITIVE_0: u8 = 0x80;
/// `[2] IMPLICIT` of a primitive type.
pub(crate) const PRIMITIVE_2: u8 = 0x82;
/// `[0] EXPLICIT`.
pub(crate) const CONSTRUCTED_0: u8 = 0xa0;
/// `[1] EXPLICIT`.
pub(crate) const CONSTRUCTED_1: u8 = 0xa1;
/// `[3] EXPLICIT`.
pub(crate) const CONSTRUCTED_3: u8 = 0xa3;

/// One element: its tag, its content, and both with the length between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// The elements that follow each other in some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element.
    pub(crate) fn element(&mut self) -> Result<Element<'a>, Flaw> {
        const DAMAGED: Flaw = Flaw::Damaged("its ASN.1 structure ends too early");
        let (&tag, rest) = self.rest.split_first().ok_or(DAMAGED)?;
        let (&first, mut rest) = rest.split_first().ok_or(DAMAGED)?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x80 => return Err(Flaw::Unsupported("ASN.1 elements of indefinite length".into())),
            _ => {
                let count = usize::from(first & 0x7f);
                if count > 4 || count > rest.len() {
                    return Err(DAMAGED);
                }
                let (digits, behind) = rest.split_at(count);
                rest = behind;
                digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit))
            }
        };
        if length > rest.len() {
            return Err(DAMAGED);
        }
        let (content, behind) = rest.split_at(length);
        let whole = &self.rest[..self.rest.len() - behind.len()];
        self.rest = behind;
        Ok(Element { tag, content, whole })
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Result<&'a [u8], Flaw> {
        let element = self.element()?;
        if element.tag != tag {
            return Err(Flaw::Damaged("its ASN.1 structure holds other types than it should"));
        }
        Ok(element.content)
    }

    /// The elements inside of the next one, which must have this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Result<Der<'a>, Flaw> {
        self.content(tag).map(Der::new)
    }

    /// The content of the next element if it has this tag; else nothing is read.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Flaw> {
        if self.rest.first() == Some(&tag) { self.content(tag).map(Some) } else { Ok(None) }
    }

    /// The next element, a number that fits into 32 bits.
    pub(crate) fn number(&mut self) -> Result<u32, Flaw> {
        let digits = self.content(INTEGER)?;
        let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
        if digits.len() > 4 {
            return Err(Flaw::Damaged("it holds a number that is too large"));
        }
        Ok(digits.iter().fold(0, |number, digit| (number << 8) | u32::from(*digit)))
    }
}

/// An element with this content.
pub(crate) fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|digit| *digit == 0).collect();
    let mut out = vec![tag];
    match digits[..] {
        [] => out.push(0),
        [digit] if digit < 0x80 => out.push(digit),
        _ => {
            out.push(0x80 | u8::try_from(digits.len()).expect("a length has at most eight bytes"));
            out.extend(digits);
        }
    }
    out.extend_from_slice(content);
    out
}
