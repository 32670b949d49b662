//! Makes columns of text over the buffers that serialized rows are in, without copying them.

use std::borrow::Cow;

use arrow::array::{ByteView, StringViewArray, make_view};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use millrace_api::Serialized;

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
    use arrow::array::Array;

    use super::*;

    #[test]
    fn pieces_stay_where_they_are() {
        let long = "a row that is too long for a view".as_bytes();
        let rows = Serialized::from_iter([Some(long), Some(b"short"), None, Some(b"\xff")]);
        let text = std::str::from_utf8(rows.value(0)).unwrap();
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
