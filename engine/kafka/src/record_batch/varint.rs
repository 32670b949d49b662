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

/// How many bytes [`read_short`] looks at, wherever it begins.
const WINDOW: usize = 32;

/// Reads an integer of at most three bytes that begins in the window at `position`, and moves over
/// it; none when it is longer. Five of them and a byte between fit a window: nothing is checked.
#[inline(always)]
pub(super) fn read_short(window: &[u8; WINDOW], position: &mut usize) -> Option<i32> {
    let byte = |at: usize| u32::from(window[at % WINDOW]);
    let at = *position;
    let mut result = byte(at);
    if result < 0x80 {
        *position = at + 1;
    } else if byte(at + 1) < 0x80 {
        result = (result & 0x7f) | byte(at + 1) << 7;
        *position = at + 2;
    } else if byte(at + 2) < 0x80 {
        result = (result & 0x7f) | (byte(at + 1) & 0x7f) << 7 | byte(at + 2) << 14;
        *position = at + 3;
    } else {
        return None;
    }
    Some((result >> 1) as i32 ^ -((result & 1) as i32))
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

/// The bytes of an integer, lowest first, and how many they are; none when there are more than
/// four.
#[inline(always)]
pub(super) fn short(value: i64) -> Option<(u32, u32)> {
    let rest = zigzag(value);
    if rest < 0x80 {
        Some((rest as u32, 1))
    } else if rest < 0x4000 {
        let rest = rest as u32;
        Some(((rest & 0x7f) | 0x80 | rest >> 7 << 8, 2))
    } else if rest < 0x1000_0000 {
        let rest = rest as u32;
        let spread = (rest & 0x7f)
            | (rest << 1 & 0x7f00)
            | (rest << 2 & 0x7f_0000)
            | (rest << 3 & 0x7f00_0000);
        match rest < 0x20_0000 {
            true => Some((spread | 0x8080, 3)),
            false => Some((spread | 0x80_8080, 4)),
        }
    } else {
        None
    }
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
        fn short_integers_are_the_same(
            value in prop_oneof![-70_000..70_000i64, any::<i64>()],
            more: [u8; 32],
        ) {
            let mut to = more;
            let end = write(&mut to, 0, value);
            match short(value) {
                Some((bytes, length)) => {
                    prop_assert_eq!(&bytes.to_le_bytes()[..length as usize], &to[..end]);
                }
                None => prop_assert!(end > 4),
            }
            let mut position = 0;
            match read_short(&to, &mut position) {
                Some(read) => prop_assert_eq!((i64::from(read), position), (value, end)),
                None => prop_assert!(end > 3),
            }
        }

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
