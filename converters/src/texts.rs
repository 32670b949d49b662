//! Makes columns of text over the buffers that serialized rows are in, without copying them.

use std::borrow::Cow;

use arrow::array::{Array, ByteView, StringViewArray, make_view};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use millrace_api::Serialized;

/// Serialized rows seen as text.
pub(crate) enum Texts<'a> {
    /// All rows are UTF-8.
    All(StringViewArray),
    /// Some are not.
    Some(&'a Serialized),
}

impl<'a> Texts<'a> {
    /// Looks whether all rows are UTF-8.
    pub(crate) fn of(rows: &'a Serialized) -> Self {
        rows.clone().to_string_view().map_or(Self::Some(rows), Self::All)
    }

    /// A row; none when it is null, the bytes when they are not UTF-8.
    pub(crate) fn row(&self, row: usize) -> Option<Result<&str, &[u8]>> {
        match self {
            Self::All(texts) => texts.is_valid(row).then(|| Ok(texts.value(row))),
            Self::Some(rows) => rows.is_valid(row).then(|| {
                let bytes = rows.value(row);
                std::str::from_utf8(bytes).map_err(|_| bytes)
            }),
        }
    }
}

/// What becomes of a row. Borrowed text lies within the row's own bytes.
pub(crate) type Piece<'a> = Option<Cow<'a, str>>;

/// The rows from `first` on with these texts: borrowed ones stay where they are.
pub(crate) fn assemble<'a>(
    rows: &'a Serialized,
    first: usize,
    pieces: impl ExactSizeIterator<Item = Piece<'a>>,
) -> StringViewArray {
    let mut own = String::new();
    let own_block = u32::try_from(rows.data_buffers().len()).expect("buffers are few");
    let mut valid = Vec::with_capacity(pieces.len());
    let mut views = Vec::with_capacity(pieces.len());
    for (row, piece) in (first..).zip(pieces) {
        valid.push(piece.is_some());
        views.push(match piece {
            None => 0,
            Some(Cow::Borrowed(text)) => view_within(rows, row, text),
            Some(Cow::Owned(text)) => {
                let start = u32::try_from(own.len()).expect("rewritten rows are a few");
                own.push_str(&text);
                make_view(text.as_bytes(), own_block, start)
            }
        });
    }
    let mut buffers = rows.data_buffers().to_vec();
    buffers.push(Buffer::from_vec(own.into_bytes()));
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
    StringViewArray::try_new(ScalarBuffer::from(views), buffers, nulls)
        .expect("all pieces are text, and views point to them")
}

fn view_within(rows: &Serialized, row: usize, text: &str) -> u128 {
    /// Views hold so many bytes themselves.
    const INLINE: usize = 12;
    if text.len() <= INLINE {
        return make_view(text.as_bytes(), 0, 0);
    }
    let inside = text.as_ptr().addr() - rows.value(row).as_ptr().addr();
    let view = ByteView::from(rows.views()[row]);
    let inside = u32::try_from(inside).expect("a row is addressed with 32 bits");
    make_view(text.as_bytes(), view.buffer_index, view.offset + inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stay_where_they_are() {
        let long = "a row that is too long for a view".as_bytes();
        let rows = Serialized::from_iter([Some(long), Some(b"short"), None, Some(b"\xff")]);
        let texts = Texts::of(&rows);
        assert!(matches!(texts.row(3), Some(Err(b"\xff"))));
        let Some(Ok(text)) = texts.row(0) else { panic!("the first row is text") };
        let pieces = [
            Some(Cow::Borrowed(&text[6..])),
            Some(Cow::Borrowed("short")),
            None,
            Some(Cow::Owned("replaced, and longer than twelve".to_owned())),
        ];
        let array = assemble(&rows, 0, pieces.into_iter());
        assert_eq!(array.value(0), "that is too long for a view");
        assert_eq!(array.value(0).as_ptr(), rows.value(0)[6..].as_ptr());
        assert_eq!(array.value(1), "short");
        assert!(array.is_null(2));
        assert_eq!(array.value(3), "replaced, and longer than twelve");
    }
}
