//! Decides what a dead letter says: the context that its headers carry, what the record was before,
//! and whether somebody asks for it.

use std::fmt::Write as _;
use std::ops::Range;

use arrow::array::{Array, BinaryViewArray};
use clap::Args;
use millrace_api::data::Fetched;
use millrace_api::{Error, RawHeaders, Result};

/// What the names of context headers begin with.
const CONTEXT: &str = "__connect.errors.";

/// Which letters.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Filter {
    /// Of this connector alone.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Of this stage alone, such as VALUE_CONVERTER, TRANSFORMATION or TASK_PUT.
    #[arg(long)]
    stage: Option<String>,
    /// Whose exception, its class or its words, contains this.
    #[arg(long, value_name = "TEXT")]
    exception: Option<String>,
    /// In this partition of the queue alone.
    #[arg(long)]
    partition: Option<i32>,
    /// With these offsets in the queue: FROM..TO, without TO itself; one end may be missing.
    #[arg(long, value_name = "FROM..TO", value_parser = offsets)]
    offsets: Option<Range<i64>>,
}

fn offsets(text: &str) -> Result<Range<i64>, String> {
    let number = |text: &str, missing: i64| match text.trim() {
        "" => Ok(missing),
        number => number.parse::<i64>().map_err(|_| format!("{number} is no offset")),
    };
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from, 0)?..number(to, i64::MAX)?),
        None => number(text, 0).map(|one| one..one.saturating_add(1)),
    }
}

/// A letter in a run of the queue.
#[derive(Clone, Copy)]
pub(super) struct Letter<'a> {
    run: &'a Fetched,
    row: usize,
}

/// Why letters were written: those with the same words belong together, whatever numbers are in
/// them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cause {
    pub(super) connector: String,
    pub(super) stage: String,
    pub(super) class: String,
    pub(super) exception: String,
    pub(super) words: String,
}

impl<'a> Letter<'a> {
    pub(super) fn all_of(run: &'a Fetched) -> impl Iterator<Item = Self> {
        (0..run.offsets.len()).map(move |row| Self { run, row })
    }

    fn headers(&self) -> &'a [(std::sync::Arc<str>, Option<bytes::Bytes>)] {
        self.run.headers.get(self.row).map_or(&[], Vec::as_slice)
    }

    /// The last header of this name: earlier ones are of an earlier queue.
    pub(super) fn context(&self, name: &str) -> Option<String> {
        let is_it = |key: &str| key.strip_prefix(CONTEXT) == Some(name);
        let (_, value) = self.headers().iter().rev().find(|(key, _)| is_it(key))?;
        value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// What it was before.
    pub(super) fn own_headers(&self) -> RawHeaders {
        let own = self.headers().iter().filter(|(key, _)| !key.starts_with(CONTEXT));
        own.cloned().collect()
    }

    pub(super) fn offset(&self) -> i64 {
        self.run.offsets[self.row]
    }

    pub(super) fn timestamp(&self) -> i64 {
        self.run.timestamps[self.row]
    }

    pub(super) fn row(&self) -> usize {
        self.row
    }

    /// Whether a source wrote it: then its value describes a record that never had bytes.
    pub(super) fn is_of_source(&self) -> bool {
        self.context("source.partition").is_some()
    }

    /// The topic the record came from.
    pub(super) fn origin(&self) -> Result<String> {
        self.context("topic").ok_or_else(|| {
            Error::data("the letter does not say which topic it came from")
                .context("partition", &self.run.topic_partition)
                .context("offset", self.offset())
                .context(
                    "remedy",
                    "name the topic with --to; the connector adds it to letters with \
                     errors.deadletterqueue.context.headers.enable=true",
                )
        })
    }

    pub(super) fn cause(&self) -> Cause {
        let context = |name| self.context(name).unwrap_or_else(|| "-".to_owned());
        Cause {
            connector: context("connector.name"),
            stage: context("stage"),
            class: context("class.name"),
            exception: context("exception.class.name"),
            words: without_numbers(&self.words().unwrap_or_else(|| "-".to_owned())),
        }
    }

    /// The message of the error. One that breaks off before its cause, as those of converters do,
    /// goes on with the last one in the trace.
    fn words(&self) -> Option<String> {
        let message = self.context("exception.message")?;
        let trace = self.context("exception.stacktrace").unwrap_or_default();
        let cause = trace.lines().filter_map(|line| line.strip_prefix("Caused by: ")).next_back();
        Some(match cause.filter(|_| message.trim_end().ends_with(':')) {
            Some(cause) => format!("{} {cause}", message.trim_end()),
            None => message,
        })
    }

    pub(super) fn passes(&self, filter: &Filter) -> bool {
        let is = |wanted: &Option<String>, name| {
            wanted.is_none() || self.context(name).as_ref() == wanted.as_ref()
        };
        let says = |text: &str| {
            let names = ["exception.class.name", "exception.message", "exception.stacktrace"];
            names.iter().any(|name| self.context(name).is_some_and(|said| said.contains(text)))
        };
        is(&filter.connector, "connector.name")
            && is(&filter.stage, "stage")
            && filter.exception.as_deref().is_none_or(says)
            && filter.partition.is_none_or(|p| p == self.run.topic_partition.partition)
            && filter.offsets.as_ref().is_none_or(|range| range.contains(&self.offset()))
    }

    /// All that is known of it.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("{} offset {}\n", self.run.topic_partition, self.offset());
        for (name, value) in self.headers() {
            let value = value.as_ref().map_or_else(|| "null".to_owned(), |value| readable(value));
            let name = match name.strip_prefix(CONTEXT) {
                Some(name) => harmless(name),
                None => format!("header {}", harmless(name)),
            };
            let _ = writeln!(text, "  {name}: {}", value.replace('\n', "\n    "));
        }
        let cell = |cells: &BinaryViewArray| match cells.is_null(self.row) {
            true => "null".to_owned(),
            false => readable(cells.value(self.row)),
        };
        let _ = writeln!(text, "  key: {}", cell(&self.run.keys));
        let _ = write!(text, "  value: {}", cell(&self.run.values));
        text
    }
}

/// More of a cell says no more.
const LONGEST: usize = 4096;

/// Text as it is, without what would move a terminal's cursor; all else in hexadecimal.
fn readable(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(LONGEST)];
    let is_control = |c: char| c.is_control() && c != '\n' && c != '\t';
    let mut text = match std::str::from_utf8(shown) {
        Ok(text) if !text.contains(is_control) => text.to_owned(),
        // A character may be cut where the text is.
        Err(e) if e.error_len().is_none() && shown.len() < bytes.len() => {
            String::from_utf8_lossy(&shown[..e.valid_up_to()]).replace(is_control, "\u{fffd}")
        }
        _ => shown.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    };
    if shown.len() < bytes.len() {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}

/// One line of text without what would move a terminal's cursor.
pub(super) fn harmless(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Each number becomes `#`, so that what differs by one is the same cause.
fn without_numbers(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for c in words.chars() {
        match c.is_ascii_digit() {
            false => text.push(c),
            true if text.ends_with('#') => {}
            true => text.push('#'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use millrace_api::TopicPartition;

    use super::*;

    fn letters(messages: &[&str]) -> Fetched {
        let header = |name: &str, value: &str| {
            (format!("{CONTEXT}{name}").into(), Some(bytes::Bytes::from(value.to_owned())))
        };
        let headers = messages.iter().map(|message| {
            vec![
                ("own".into(), None),
                header("stage", "VALUE_CONVERTER"),
                header("connector.name", "c"),
                header("exception.message", message),
            ]
        });
        Fetched {
            topic_partition: TopicPartition::new("dlq", 0),
            offsets: (10..10 + messages.len() as i64).collect(),
            timestamps: messages.iter().map(|_| 5).collect(),
            keys: messages.iter().map(|_| None::<&[u8]>).collect(),
            values: messages.iter().map(|_| Some(&b"\xff\x01"[..])).collect(),
            headers: headers.collect(),
        }
    }

    #[test]
    fn causes_are_the_same_whatever_their_numbers() {
        let run = letters(&["at 17 of 2000", "at 3 of 9", "else"]);
        let causes: Vec<Cause> = Letter::all_of(&run).map(|letter| letter.cause()).collect();
        assert_eq!(causes[0], causes[1]);
        assert_ne!(causes[0], causes[2]);
        assert_eq!((&*causes[0].words, &*causes[0].exception), ("at # of #", "-"));
    }

    #[test]
    fn words_that_break_off_go_on_with_the_cause() {
        let mut run = letters(&["Converting failed due to: ", "whole"]);
        for headers in &mut run.headers {
            let trace = "X: m\nCaused by: Y: n\n\tat z\nCaused by: no end";
            let name = format!("{CONTEXT}exception.stacktrace");
            headers.push((name.into(), Some(bytes::Bytes::from(trace))));
        }
        let words: Vec<_> = Letter::all_of(&run).map(|letter| letter.cause().words).collect();
        assert_eq!(words, ["Converting failed due to: no end", "whole"]);
    }

    #[test]
    fn filters_choose_by_context_and_place() {
        let run = letters(&["a", "b", "c"]);
        let count = |filter: Filter| Letter::all_of(&run).filter(|l| l.passes(&filter)).count();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(count(Filter::default()), 3);
        assert_eq!(count(Filter { exception: text("b"), ..Filter::default() }), 1);
        assert_eq!(count(Filter { stage: text("TASK_PUT"), ..Filter::default() }), 0);
        assert_eq!(count(Filter { offsets: offsets("11..").ok(), ..Filter::default() }), 2);
        assert_eq!(count(Filter { offsets: offsets("12").ok(), ..Filter::default() }), 1);
        assert!(offsets("x..").is_err());
    }

    #[test]
    fn what_is_no_text_is_shown_in_hexadecimal() {
        let run = letters(&["a\x1b[2J"]);
        let shown = Letter::all_of(&run).next().unwrap().shown();
        assert!(shown.contains("value: 0xff01") && !shown.contains('\x1b'), "{shown}");
        assert!(shown.contains("header own: null"), "{shown}");
        let mut run = letters(&["a"]);
        run.headers[0].push(("own\x1b[2J\n".into(), None));
        let shown = Letter::all_of(&run).next().unwrap().shown();
        assert!(shown.contains("header own\u{fffd}[2J\u{fffd}: null"), "{shown}");
        let long = "ü".repeat(LONGEST);
        assert!(readable(long.as_bytes()).ends_with("… (8192 bytes)"));
        assert!(readable(&format!("x{long}").into_bytes()).starts_with("xü"));
    }
}
