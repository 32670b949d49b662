//! Cuts COPY data in PostgreSQL's binary format into rows and fields.

use bytes::Bytes;

/// What stands next in the data.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    /// A whole row: its fields may be asked for.
    Row,
    /// The row goes on in a chunk to come.
    Incomplete,
    /// There are no more rows.
    End,
}

/// The data as it comes, and the fields of the row that was last found in it.
#[derive(Default)]
pub(super) struct Tuples {
    data: Bytes,
    at: usize,
    header_read: bool,
    fields: Vec<Option<(usize, usize)>>,
    bytes: usize,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, flags, and the length of an extension that is empty so far.
const HEADER: usize = SIGNATURE.len() + 8;

impl Tuples {
    /// Adds a chunk. A chunk is a row nearly always, so nearly always nothing is copied.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.data = if self.at == self.data.len() {
            chunk
        } else {
            [&self.data[self.at..], &chunk].concat().into()
        };
        self.at = 0;
    }

    /// Finds the next row, which must have so many fields.
    pub(super) fn next(&mut self, expected: usize) -> Result<Parsed, &'static str> {
        if !self.header_read && !self.header()? {
            return Ok(Parsed::Incomplete);
        }
        let mut at = self.at;
        let Some(count) = self.take::<2>(&mut at).map(i16::from_be_bytes) else {
            return Ok(Parsed::Incomplete);
        };
        if count == -1 {
            self.at = self.data.len();
            return Ok(Parsed::End);
        }
        if usize::try_from(count) != Ok(expected) {
            return Err("a row has another number of fields than the query has columns");
        }
        self.fields.clear();
        for _ in 0..expected {
            let Some(length) = self.take::<4>(&mut at).map(i32::from_be_bytes) else {
                return Ok(Parsed::Incomplete);
            };
            if length == -1 {
                self.fields.push(None);
                continue;
            }
            let length = usize::try_from(length).map_err(|_| "a field has a negative length")?;
            if self.data.len() - at < length {
                return Ok(Parsed::Incomplete);
            }
            self.fields.push(Some((at, at + length)));
            at += length;
        }
        self.bytes = at - self.at;
        self.at = at;
        Ok(Parsed::Row)
    }

    /// A field of the row; none is NULL.
    pub(super) fn field(&self, i: usize) -> Option<&[u8]> {
        self.fields[i].map(|(start, end)| &self.data[start..end])
    }

    /// The length of the row.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the header is there as a whole; skips it.
    fn header(&mut self) -> Result<bool, &'static str> {
        if self.data.len() < HEADER {
            return Ok(false);
        }
        if !self.data.starts_with(SIGNATURE) {
            return Err("the header is not that of binary COPY data");
        }
        let mut at = HEADER - 4;
        let extension = self.take::<4>(&mut at).map_or(0, u32::from_be_bytes);
        let end = HEADER + extension as usize;
        if self.data.len() < end {
            return Ok(false);
        }
        self.at = end;
        self.header_read = true;
        Ok(true)
    }

    fn take<const N: usize>(&self, at: &mut usize) -> Option<[u8; N]> {
        let bytes = self.data.get(*at..*at + N)?;
        *at += N;
        Some(bytes.try_into().expect("the range has N bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 8]);
        data.extend([0, 2, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff]);
        data.extend([0, 2, 0, 0, 0, 0, 0, 0, 0, 2, b'b', b'c']);
        data.extend([0xff, 0xff]);
        data
    }

    #[test]
    fn rows_are_the_same_wherever_chunks_are_cut() {
        let data = sample();
        for step in 1..=data.len() {
            let mut tuples = Tuples::default();
            let mut rows = Vec::new();
            for chunk in data.chunks(step) {
                tuples.push(Bytes::copy_from_slice(chunk));
                while tuples.next(2).unwrap() == Parsed::Row {
                    let row: Vec<_> = (0..2).map(|i| tuples.field(i).map(<[u8]>::to_vec)).collect();
                    rows.push((row, tuples.bytes()));
                }
            }
            let expected = [
                (vec![Some(b"a".to_vec()), None], 11),
                (vec![Some(vec![]), Some(b"bc".to_vec())], 12),
            ];
            assert_eq!(rows, expected, "step {step}");
        }
    }

    #[test]
    fn other_data_is_refused() {
        let mut tuples = Tuples::default();
        tuples.push(Bytes::from_static(b"id,name\n1,a\n2,b\n3,c\n"));
        assert!(tuples.next(2).is_err());
        let mut tuples = Tuples::default();
        tuples.push(sample().into());
        assert!(tuples.next(3).is_err());
    }
}
