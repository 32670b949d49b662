//! Writes Avro's binary encoding.

use crate::varint::{append_varint, to_zigzag};

/// Appends an int or a long.
#[inline]
pub(crate) fn append_long(number: i64, out: &mut Vec<u8>) {
    append_varint(to_zigzag(number), out);
}

/// Appends bytes or a string, with the length before it.
#[inline]
pub(crate) fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    append_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Appends a number in exactly so many bytes, or tells that it takes more.
pub(crate) fn append_padded(minimal: &[u8], size: usize, out: &mut Vec<u8>) -> Result<(), usize> {
    let missing = size.checked_sub(minimal.len()).ok_or(minimal.len())?;
    let sign = if minimal.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    out.resize(out.len() + missing, sign);
    out.extend_from_slice(minimal);
    Ok(())
}
