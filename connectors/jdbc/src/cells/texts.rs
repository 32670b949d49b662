//! Holds texts: their bytes one after the other, which are looked at together.

use arrow::array::{Array, StringArray, StringViewArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};

use super::{Misfit, not_utf8};

/// The cells of a column of texts.
///
/// Invariant: `bytes` is UTF-8, also between any two of `ends`.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// Where each cell ends; it begins where the one before ends.
    ends: Vec<i32>,
    present: Vec<bool>,
}

impl Texts {
    /// Room for so many.
    pub(super) fn with_capacity(rows: usize) -> Self {
        let (ends, present) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        Self { bytes: Vec::new(), ends, present }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn append_null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
        self.present.push(false);
    }

    /// Appends a text.
    pub(super) fn append(&mut self, text: &str) -> Result<(), Misfit> {
        self.push(text.as_bytes())
    }

    /// Appends bytes that may be text.
    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        let end = i32::try_from(self.bytes.len() + bytes.len());
        let end = end.map_err(|_| Misfit::new("more text than a batch holds"))?;
        self.bytes.extend_from_slice(bytes);
        self.ends.push(end);
        self.present.push(true);
        Ok(())
    }

    /// Appends texts that must be UTF-8, up to the first that is not: its number comes with what is
    /// wrong with it.
    pub(crate) fn append_all<'a>(
        &mut self,
        fields: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), (usize, Misfit)> {
        let (rows, bytes) = (self.len(), self.bytes.len());
        let mut outcome = Ok(());
        for (row, field) in fields.enumerate() {
            match field {
                None => self.append_null(),
                Some(field) => {
                    if let Err(misfit) = self.push(field) {
                        outcome = Err((row, misfit));
                        break;
                    }
                }
            }
        }
        // All at once: texts are short, and asking for each costs more than looking at it.
        let added = str::from_utf8(&self.bytes[bytes..]);
        let are_whole = |text: &str| {
            let ends = self.ends[rows..].iter();
            ends.fold(true, |all, end| all & text.is_char_boundary(*end as usize - bytes))
        };
        if added.is_ok_and(are_whole) {
            return outcome;
        }
        let mut start = bytes;
        for row in rows..self.len() {
            let end = self.ends[row] as usize;
            if str::from_utf8(&self.bytes[start..end]).is_err() {
                self.bytes.truncate(start);
                self.ends.truncate(row);
                self.present.truncate(row);
                return Err((row - rows, not_utf8()));
            }
            start = end;
        }
        outcome
    }

    /// All cells. Starts afresh, with room for as many.
    pub(super) fn finish(&mut self) -> StringViewArray {
        let rows = self.len();
        let fresh = Self::with_capacity(rows);
        let Self { bytes, ends, present } = std::mem::replace(self, fresh);
        self.bytes.reserve(bytes.len().min(1 << 20));
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        offsets.extend_from_slice(&ends);
        let nulls = present.contains(&false).then(|| NullBuffer::from(present));
        let offsets = OffsetBuffer::new(offsets.into());
        let texts = StringArray::new(offsets, bytes.into(), nulls);
        debug_assert_eq!(texts.len(), rows);
        // Views of the same bytes.
        StringViewArray::from(&texts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(texts: &mut Texts) -> Vec<Option<String>> {
        texts.finish().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn a_character_in_two_cells_is_none() {
        let mut texts = Texts::default();
        texts.append("\u{fc}").unwrap();
        let fields = [Some(&b"a"[..]), None, Some(&b"\xc3"[..]), Some(&b"\xbc"[..])];
        let (row, misfit) = texts.append_all(fields.into_iter()).unwrap_err();
        assert_eq!((row, misfit), (2, not_utf8()));
        let expected = [Some("\u{fc}".to_owned()), Some("a".to_owned()), None];
        assert_eq!(found(&mut texts), expected);
        assert_eq!(texts.len(), 0);
        texts.append("b").unwrap();
        assert_eq!(found(&mut texts), [Some("b".to_owned())]);
    }

    proptest! {
        #[test]
        fn cells_are_as_one_by_one(
            cells in prop::collection::vec(
                prop::option::of(prop_oneof![
                    "[a\u{fc}\u{20ac}\u{1f600}]{0,20}".prop_map(String::into_bytes),
                    prop::collection::vec(any::<u8>(), 0..4),
                ]),
                0..20,
            ),
            before in "[a\u{fc}]{0,3}",
        ) {
            let mut texts = Texts::default();
            texts.append(&before).unwrap();
            let bad = cells.iter().position(|cell| {
                cell.as_ref().is_some_and(|bytes| str::from_utf8(bytes).is_err())
            });
            let appended = texts.append_all(cells.iter().map(Option::as_deref));
            prop_assert_eq!(appended.err().map(|(row, _)| row), bad);
            let good = cells[..bad.unwrap_or(cells.len())].iter();
            let good = good.map(|c| c.clone().map(|c| String::from_utf8(c).unwrap()));
            let expected: Vec<_> = std::iter::once(Some(before)).chain(good).collect();
            prop_assert_eq!(found(&mut texts), expected);
        }
    }
}
