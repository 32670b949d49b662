//! Decides how integers of variable length are read and written: zigzag, seven bits a byte, the
//! lowest first.

/// Reads an integer at `position` and moves over it; none when the bytes end or it has more than
/// ten.
#[inline(always)]
pub(super) fn read(bytes: &[u8], position: &mut usize) -> Option<i64> {
    let first = *bytes.get(*position)?;
    *position += 1;
    if first < 0x80 {
        return Some(unzigzag(u64::from(first)));
    }
    let mut result = u64::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let byte = *bytes.get(*position)?;
        *position += 1;
        result |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(unzigzag(result));
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// Reads a length or count: none as well when it does not fit 32 bits.
#[inline(always)]
pub(super) fn read_i32(bytes: &[u8], position: &mut usize) -> Option<i32> {
    read(bytes, position).and_then(|n| i32::try_from(n).ok())
}

/// Writes an integer to `to` at `at`, and says where the next byte goes. `to` must have ten bytes
/// left.
#[inline(always)]
pub(super) fn write(to: &mut [u8], mut at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        to[at] = (rest as u8) | 0x80;
        at += 1;
        rest >>= 7;
    }
    to[at] = rest as u8;
    at + 1
}

/// How many bytes [`write`] needs.
#[inline(always)]
pub(super) fn length(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[inline(always)]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline(always)]
fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_encodings() {
        for (value, bytes) in
            [(0, &[0u8][..]), (-1, &[1]), (1, &[2]), (63, &[126]), (-64, &[127]), (64, &[128, 1])]
        {
            let mut to = [0; 10];
            let end = write(&mut to, 0, value);
            assert_eq!(&to[..end], bytes, "{value}");
        }
    }

    #[test]
    fn endless_and_cut_integers_are_refused() {
        assert_eq!(read(&[0x80; 11], &mut 0), None);
        assert_eq!(read(&[0x80], &mut 0), None);
        assert_eq!(read(&[], &mut 0), None);
    }

    proptest! {
        #[test]
        fn round_trip(value: i64) {
            let mut to = [0; 10];
            let end = write(&mut to, 0, value);
            prop_assert_eq!(end, length(value));
            let mut position = 0;
            prop_assert_eq!(read(&to, &mut position), Some(value));
            prop_assert_eq!(position, end);
        }
    }
}
