//! Finds the rows in COPY data in PostgreSQL's binary format, and their fields.

use std::ops::Range;

/// Where a field lies in the data; NULL lies nowhere.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: i32,
}

impl Span {
    #[inline(always)]
    fn of(self, data: &[u8]) -> Option<&[u8]> {
        let length = usize::try_from(self.length).ok()?;
        let start = self.start as usize;
        Some(&data[start..start + length])
    }
}

/// Rows that were found in data; where their fields lie is valid for as long as the data lie there.
#[derive(Default)]
pub(super) struct Tuples {
    columns: usize,
    header_read: bool,
    has_ended: bool,
    /// Those of a row follow each other.
    fields: Vec<Span>,
    lengths: Vec<usize>,
    bytes: usize,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, flags, and the length of an extension that is empty so far.
const HEADER: usize = SIGNATURE.len() + 8;

impl Tuples {
    /// No rows yet, of so many fields.
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// How many rows were found.
    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// The length of all of them.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The length of each.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// A field of a row; none is NULL.
    pub(super) fn field<'a>(&self, data: &'a [u8], row: usize, at: usize) -> Option<&'a [u8]> {
        self.fields[row * self.columns + at].of(data)
    }

    /// A field of each row.
    pub(super) fn column<'a>(
        &self,
        data: &'a [u8],
        at: usize,
    ) -> impl Iterator<Item = Option<&'a [u8]>> {
        self.fields.iter().skip(at).step_by(self.columns).map(|span| span.of(data))
    }

    /// Forgets the rows.
    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.lengths.clear();
        self.bytes = 0;
    }

    /// Adds the rows of a part of the data. Gives what is left of it: the begin of a row that goes on
    /// in data to come.
    pub(super) fn find(
        &mut self,
        data: &[u8],
        part: Range<usize>,
    ) -> Result<Range<usize>, &'static str> {
        let Range { start: mut at, end } = part;
        let data = &data[..end];
        if !self.header_read {
            match header(&data[at..])? {
                Some(length) => at += length,
                None => return Ok(at..end),
            }
            self.header_read = true;
        }
        while at < end && !self.has_ended {
            match self.row(data, at)? {
                Some(next) => at = next,
                None => {
                    self.fields.truncate(self.len() * self.columns);
                    return Ok(at..end);
                }
            }
        }
        // Nothing follows the end.
        Ok(end..end)
    }

    /// Adds a row and gives where it ends; none where that is not among the data.
    #[inline]
    fn row(&mut self, data: &[u8], start: usize) -> Result<Option<usize>, &'static str> {
        let mut at = start;
        let Some(count) = take::<2>(data, &mut at).map(i16::from_be_bytes) else {
            return Ok(None);
        };
        if count == -1 {
            self.has_ended = true;
            return Ok(Some(data.len()));
        }
        if usize::try_from(count) != Ok(self.columns) {
            return Err("a row has another number of fields than the query has columns");
        }
        for _ in 0..self.columns {
            let Some(length) = take::<4>(data, &mut at).map(i32::from_be_bytes) else {
                return Ok(None);
            };
            let start = u32::try_from(at).map_err(|_| "a row is longer than a message")?;
            self.fields.push(Span { start, length });
            match length {
                -1 => {}
                length => {
                    let length = usize::try_from(length);
                    at += length.map_err(|_| "a field has a negative length")?;
                }
            }
            if at > data.len() {
                return Ok(None);
            }
        }
        self.lengths.push(at - start);
        self.bytes += at - start;
        Ok(Some(at))
    }
}

/// The length of the header, if all of it is there.
fn header(data: &[u8]) -> Result<Option<usize>, &'static str> {
    if data.len() < HEADER {
        return Ok(None);
    }
    if !data.starts_with(SIGNATURE) {
        return Err("the header is not that of binary COPY data");
    }
    let mut at = HEADER - 4;
    let extension = take::<4>(data, &mut at).map_or(0, u32::from_be_bytes);
    let length = HEADER + extension as usize;
    Ok((data.len() >= length).then_some(length))
}

#[inline(always)]
fn take<const N: usize>(data: &[u8], at: &mut usize) -> Option<[u8; N]> {
    let bytes = data.get(*at..)?.first_chunk::<N>()?;
    *at += N;
    Some(*bytes)
}

/// Data that come in parts: whole rows as a rule, for which nothing is copied.
#[derive(Default)]
pub(super) struct Parts {
    /// The begin of a row that went on in another part.
    begun: Vec<u8>,
}

impl Parts {
    /// Whether a row was begun in another part.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Keeps what is left of a part.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.begun.extend_from_slice(rest);
    }

    /// What was begun, and the next part; to be given [`back`](Self::back).
    pub(super) fn joined(&mut self, part: &[u8]) -> Vec<u8> {
        self.begun.extend_from_slice(part);
        std::mem::take(&mut self.begun)
    }

    /// What is left of it.
    pub(super) fn back(&mut self, mut data: Vec<u8>, rest: Range<usize>) {
        data.truncate(rest.end);
        data.drain(..rest.start);
        self.begun = data;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Vec<u8> {
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 8]);
        data.extend([0, 2, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff]);
        data.extend([0, 2, 0, 0, 0, 0, 0, 0, 0, 2, b'b', b'c']);
        data.extend([0xff, 0xff]);
        data
    }

    type Field = Option<Vec<u8>>;

    /// The rows of data that come in parts, with their lengths.
    fn rows<'a>(
        columns: usize,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<(Vec<Field>, usize)>, &'static str> {
        let (mut tuples, mut pieces) = (Tuples::new(columns), Parts::default());
        let mut rows = Vec::new();
        for part in parts {
            let data = pieces.joined(part);
            let rest = tuples.find(&data, 0..data.len())?;
            for row in 0..tuples.len() {
                let fields = (0..columns).map(|at| tuples.field(&data, row, at));
                rows.push((fields.map(|f| f.map(<[u8]>::to_vec)).collect(), tuples.lengths()[row]));
            }
            let all: usize = tuples.lengths().iter().sum();
            assert_eq!(tuples.bytes(), all);
            tuples.clear();
            pieces.back(data, rest);
        }
        Ok(rows)
    }

    #[test]
    fn rows_are_the_same_wherever_parts_are_cut() {
        let data = sample();
        for step in 1..=data.len() {
            let expected = [
                (vec![Some(b"a".to_vec()), None], 11),
                (vec![Some(vec![]), Some(b"bc".to_vec())], 12),
            ];
            assert_eq!(rows(2, data.chunks(step)).unwrap(), expected, "step {step}");
        }
    }

    #[test]
    fn columns_are_those_of_the_rows() {
        let data = sample();
        let mut tuples = Tuples::new(2);
        assert!(tuples.find(&data, 0..data.len()).unwrap().is_empty());
        let column = |at| tuples.column(&data, at).map(|f| f.map(<[u8]>::to_vec)).collect();
        let columns: [Vec<Field>; 2] = [column(0), column(1)];
        assert_eq!(columns[0], [Some(b"a".to_vec()), Some(vec![])]);
        assert_eq!(columns[1], [None, Some(b"bc".to_vec())]);
    }

    #[test]
    fn other_data_is_refused() {
        let text = b"id,name\n1,a\n2,b\n3,c\n";
        assert!(rows(2, [&text[..]].into_iter()).is_err());
        assert!(rows(3, [&sample()[..]].into_iter()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_bad(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..200),
            columns in 1usize..4,
            step in 1usize..40,
        ) {
            let data = [&sample()[..HEADER], &bytes].concat();
            let _ = rows(columns, data.chunks(step));
            let _ = rows(columns, bytes.chunks(step));
        }
    }
}
