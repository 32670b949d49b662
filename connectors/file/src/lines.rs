//! Decides where lines end, and hands them out as views of the chunk they were read in.

use arrow::array::builder::make_view;
use arrow::array::{BinaryViewArray, StringViewArray};
use arrow::buffer::{Buffer, ScalarBuffer};
use bytes::Bytes;
use memchr::memchr2_iter;

/// Consecutive lines, and where the next one starts.
#[derive(Debug)]
pub(crate) struct Run {
    /// The lines without their ends. Long ones point into the chunk.
    pub(crate) lines: StringViewArray,
    /// Where in the input the line after them starts, in bytes.
    pub(crate) next: u64,
}

/// The lines of a growing input, of which one chunk is at hand.
///
/// A line ends with `\n`, `\r` or `\r\n`. What has no end yet is not a line, and a `\r` at the end
/// of the chunk may be half an end, so it waits too.
#[derive(Debug)]
pub(crate) struct Lines {
    chunk: Bytes,
    /// Where in the input the chunk starts.
    position: u64,
    /// Where in the chunk the first line starts that was not taken.
    start: usize,
    /// Up to here, from `start` on, there is no end of a line.
    searched: usize,
}

impl Lines {
    /// Nothing at hand; the next line starts here.
    pub(crate) fn at(position: u64) -> Self {
        Self { chunk: Bytes::new(), position, start: 0, searched: 0 }
    }

    /// Where in the input the first line starts that was not taken.
    pub(crate) fn position(&self) -> u64 {
        self.position + self.start as u64
    }

    /// What is at hand from there on: once [`Lines::take`] gives nothing, a line without its end.
    pub(crate) fn rest(&self) -> Bytes {
        self.chunk.slice(self.start..)
    }

    /// Goes on with a chunk that starts with the [rest](Lines::rest) of the last one.
    pub(crate) fn refill(&mut self, chunk: Bytes) {
        debug_assert!(chunk.starts_with(&self.rest()), "a chunk starts with the rest");
        self.position = self.position();
        self.searched -= self.start;
        self.start = 0;
        self.chunk = chunk;
    }

    /// The next lines, at most so many; none when no line is whole.
    pub(crate) fn take(&mut self, limit: usize) -> Option<Run> {
        let bytes = &self.chunk[..];
        let mut views = Vec::new();
        let (mut start, mut searched) = (self.start, bytes.len());
        for end in memchr2_iter(b'\n', b'\r', &bytes[self.searched..]) {
            let end = self.searched + end;
            if end < start {
                continue; // The second half of `\r\n`.
            }
            if views.len() == limit {
                searched = start;
                break;
            }
            let next = match (bytes[end], bytes.get(end + 1)) {
                (b'\r', None) => {
                    searched = end;
                    break;
                }
                (b'\r', Some(b'\n')) => end + 2,
                _ => end + 1,
            };
            let offset = u32::try_from(start).expect("a chunk is far below 4 GiB");
            views.push(make_view(&bytes[start..end], 0, offset));
            start = next;
        }
        (self.start, self.searched) = (start, searched);
        (!views.is_empty())
            .then(|| Run { lines: texts(&self.chunk, views.into()), next: self.position() })
    }
}

/// The views as texts over the chunk; where they are not UTF-8, as mended copies.
fn texts(chunk: &Bytes, views: ScalarBuffer<u128>) -> StringViewArray {
    let chunk = Buffer::from(chunk.clone());
    StringViewArray::try_new(views.clone(), vec![chunk.clone()], None)
        .unwrap_or_else(|_| mended(chunk, views))
}

/// The views as texts, decoded as Java does. Sound lines stay where they are.
fn mended(chunk: Buffer, views: ScalarBuffer<u128>) -> StringViewArray {
    let lines = BinaryViewArray::new(views, vec![chunk.clone()], None);
    let mut copies = Vec::new();
    let mend = |(view, line): (&u128, Option<&[u8]>)| {
        let line = line.expect("no line is null");
        if std::str::from_utf8(line).is_ok() {
            return *view;
        }
        let text = decoded(line);
        let offset = u32::try_from(copies.len()).expect("three times a chunk is below 4 GiB");
        copies.extend_from_slice(text.as_bytes());
        make_view(text.as_bytes(), 1, offset)
    };
    let views = lines.views().iter().zip(lines.iter()).map(mend).collect();
    StringViewArray::new(views, vec![chunk, Buffer::from(copies)], None)
}

/// What is not UTF-8 becomes U+FFFD. Half of a surrogate pair, which is three bytes long, becomes
/// one of them in Java, where Rust counts three.
fn decoded(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    while let Some(chunk) = bytes.utf8_chunks().next() {
        text.push_str(chunk.valid());
        bytes = &bytes[chunk.valid().len()..];
        let wrong = match bytes {
            [] => break,
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            [0xed, 0xa0..=0xbf, ..] => 2,
            _ => chunk.invalid().len(),
        };
        text.push(char::REPLACEMENT_CHARACTER);
        bytes = &bytes[wrong..];
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(lines: &mut Lines, limit: usize) -> Vec<(Vec<String>, u64)> {
        std::iter::from_fn(|| lines.take(limit))
            .map(|run| (run.lines.iter().flatten().map(str::to_owned).collect(), run.next))
            .collect()
    }

    /// Feeds the input in these pieces, takes what is whole after each.
    fn read(pieces: &[&[u8]], limit: usize) -> (Vec<String>, u64) {
        let mut lines = Lines::at(0);
        let mut all = Vec::new();
        let mut position = 0;
        for piece in pieces {
            lines.refill([&lines.rest()[..], piece].concat().into());
            for (texts, next) in take(&mut lines, limit) {
                assert!(texts.len() <= limit);
                assert!(next > position);
                position = next;
                all.extend(texts);
            }
            assert_eq!(lines.position(), position);
        }
        (all, position)
    }

    /// Pieces and lines are separated by bars here.
    #[test]
    fn lines_end_with_lf_cr_or_both() {
        let cases = [
            ("a\nbb\n", "a|bb", 5),
            ("a\rb\r\nc\n", "a|b|c", 7),
            ("a\n\n\r\r\nb\n", "a||||b", 8),
            ("a\nno end", "a", 2),
            ("a\r", "", 0),
            ("a\r|\nb\n", "a|b", 5),
            ("a\r|b\n", "a|b", 4),
            ("on||e\nt|wo\n", "one|two", 8),
            ("", "", 0),
        ];
        for (pieces, expected, position) in cases {
            let pieces: Vec<&[u8]> = pieces.split('|').map(str::as_bytes).collect();
            for limit in [1, 2, 100] {
                let (lines, end) = read(&pieces, limit);
                assert_eq!((lines.join("|").as_str(), end), (expected, position));
            }
        }
    }

    #[test]
    fn long_lines_are_the_chunk_itself() {
        let chunk = Bytes::from("a line of more than twelve bytes\nand one more of them\n");
        let mut lines = Lines::at(7);
        lines.refill(chunk.clone());
        let run = lines.take(10).unwrap();
        assert_eq!(run.lines.value(0).as_ptr(), chunk.as_ptr());
        assert_eq!(run.lines.value(1).as_ptr(), chunk[33..].as_ptr());
        assert_eq!(run.next, 7 + chunk.len() as u64);
    }

    #[test]
    fn bytes_that_are_no_text_cost_one_copied_line() {
        let input = b"a sound line to begin with\nb\xffd \xc3 line, also long\nshort\n";
        let chunk = Bytes::from(&input[..]);
        let mut lines = Lines::at(0);
        lines.refill(chunk.clone());
        let run = lines.take(10).unwrap();
        let texts: Vec<_> = run.lines.iter().flatten().collect();
        let mended = "b\u{fffd}d \u{fffd} line, also long";
        assert_eq!(texts, ["a sound line to begin with", mended, "short"]);
        assert_eq!(texts[0].as_ptr(), chunk.as_ptr());
        assert_eq!(run.next, chunk.len() as u64);
    }

    /// The first four are recorded from Java (`golden/topics/invalid-utf8.json`).
    #[test]
    fn wrong_bytes_are_counted_as_java_counts_them() {
        let cases: [(&[u8], &str); 8] = [
            (b"ok", "ok"),
            (b"\xff\xfe bad \xc3", "?? bad ?"),
            (b"over\xf0\x9f\x98", "over?"),
            (b"ed \xa0\x80 \xed\xa0\x80", "ed ?? ?"),
            (b"\xed\xa0x\xed", "?x?"),
            (b"\xe0\x80\x80", "???"),
            (b"\xf4\x90\x80\x80", "????"),
            (b"\xed\x9f\xbf\xee\x80\x80", "\u{d7ff}\u{e000}"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decoded(bytes), expected.replace('?', "\u{fffd}"), "{bytes:x?}");
        }
    }

    /// Line ends found the slow way: the definition.
    fn by_bytes(text: &[u8]) -> (Vec<String>, u64) {
        let (mut lines, mut start, mut i) = (Vec::new(), 0, 0);
        while i < text.len() {
            let length = match (text[i], text.get(i + 1)) {
                (b'\r', None) => break,
                (b'\r', Some(b'\n')) => 2,
                (b'\r' | b'\n', _) => 1,
                _ => 0,
            };
            if length > 0 {
                lines.push(String::from_utf8_lossy(&text[start..i]).into_owned());
                start = i + length;
            }
            i += length.max(1);
        }
        (lines, start as u64)
    }

    proptest! {
        #[test]
        fn pieces_and_limits_change_nothing(
            pieces in prop::collection::vec("[ab\r\n\u{e9}]{0,20}", 0..6),
            limit in 1_usize..5,
        ) {
            let whole = pieces.concat();
            let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
            prop_assert_eq!(read(&pieces, limit), by_bytes(whole.as_bytes()));
        }
    }
}
