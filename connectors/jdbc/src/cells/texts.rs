//! Holds texts, whose bytes are looked at together.

use arrow::array::{ArrayBuilder, StringViewArray, StringViewBuilder};

use super::{Misfit, not_utf8};

/// The cells of a column of texts.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    cells: StringViewBuilder,
    /// The bytes of cells to be, one after the other.
    bytes: Vec<u8>,
    /// Where each of those ends; none is null.
    ends: Vec<Option<usize>>,
}

impl Texts {
    /// Room for so many.
    pub(super) fn with_capacity(rows: usize) -> Self {
        let cells = StringViewBuilder::with_capacity(rows);
        Self { cells, bytes: Vec::new(), ends: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn append_null(&mut self) {
        self.cells.append_null();
    }

    /// Appends a text.
    pub(super) fn append(&mut self, text: &str) -> Result<(), Misfit> {
        append(&mut self.cells, text)
    }

    /// Appends texts that must be UTF-8, up to the first that is not: its number comes with what is
    /// wrong with it.
    ///
    /// All are looked at at once: texts are short, and asking for each costs more than to look at
    /// it, and to copy it once more.
    pub(crate) fn append_all<'a>(
        &mut self,
        fields: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), (usize, Misfit)> {
        self.bytes.clear();
        self.ends.clear();
        for field in fields {
            self.bytes.extend_from_slice(field.unwrap_or_default());
            self.ends.push(field.map(|_| self.bytes.len()));
        }
        let (text, mut start) = (valid(&self.bytes), 0);
        for (row, end) in self.ends.iter().enumerate() {
            let Some(end) = *end else {
                self.cells.append_null();
                continue;
            };
            // Behind what is valid there is nothing, and nothing between the halves of a character.
            let cell = text.get(start..end).ok_or_else(not_utf8);
            cell.and_then(|cell| append(&mut self.cells, cell)).map_err(|misfit| (row, misfit))?;
            start = end;
        }
        Ok(())
    }

    /// All cells. Starts afresh, with room for as many.
    pub(super) fn finish(&mut self) -> StringViewArray {
        let fresh = Self::with_capacity(self.len());
        std::mem::replace(self, fresh).cells.finish()
    }
}

fn append(cells: &mut StringViewBuilder, text: &str) -> Result<(), Misfit> {
    cells.try_append_value(text).map_err(|_| Misfit::new("more text than a batch holds"))
}

/// These bytes up to the first that is not UTF-8.
fn valid(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_else(|error| {
        str::from_utf8(&bytes[..error.valid_up_to()]).expect("it was found to be valid")
    })
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
