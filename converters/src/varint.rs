//! Numbers of as many bytes as they need, which Avro and Protobuf write the same way.

/// Appends a number, seven bits a byte, the lowest first.
#[inline]
pub(crate) fn append_varint(number: u64, out: &mut Vec<u8>) {
    if number < 0x80 {
        return out.push(number as u8);
    }
    let mut rest = number;
    let mut bytes = [0; 10];
    let mut len = 0;
    while rest >= 0x80 {
        bytes[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    bytes[len] = rest as u8;
    out.extend_from_slice(&bytes[..=len]);
}

/// Takes the sign from the lowest bit.
#[inline]
pub(crate) fn from_zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// Puts the sign into the lowest bit.
#[inline]
pub(crate) fn to_zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_bytes_they_need() {
        for (number, bytes) in [(0, 1), (127, 1), (128, 2), (300, 2), (1 << 63, 10), (u64::MAX, 10)]
        {
            let mut out = Vec::new();
            append_varint(number, &mut out);
            assert_eq!(out.len(), bytes);
            let read = out.iter().rev().fold(0, |read, byte| read << 7 | u64::from(byte & 0x7f));
            assert_eq!(read, number);
            let last = out.len() - 1;
            assert!(out.iter().enumerate().all(|(i, byte)| (*byte < 0x80) == (i == last)));
        }
    }

    #[test]
    fn small_numbers_are_small_whatever_their_sign() {
        assert_eq!([0, -1, 1, -2].map(to_zigzag), [0, 1, 2, 3]);
        for number in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(from_zigzag(to_zigzag(number)), number);
        }
    }
}
