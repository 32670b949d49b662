//! Decides how JSON lines are written: a value a line, as JsonConverter writes it without schemas.

use std::sync::OnceLock;

use bytes::Bytes;
use millrace_api::data::{Column, RowError};
use millrace_converters::{JsonOptions, JsonWriter};

/// Files of JSON lines.
pub(crate) struct JsonLines {
    writer: JsonWriter,
    /// How long the last run's text was.
    expected: usize,
}

/// Lines of text.
pub(crate) struct Lines {
    text: Vec<u8>,
    rows: usize,
    ends: OnceLock<Vec<usize>>,
}

impl JsonLines {
    pub(crate) fn new() -> Self {
        Self { writer: JsonWriter::new(JsonOptions::default()), expected: 0 }
    }

    pub(super) fn prepare(&mut self, values: &Column) -> Result<Lines, Vec<RowError>> {
        let mut text = Vec::with_capacity(self.expected);
        let mut failed = Vec::new();
        if let Err(error) = self.writer.append_lines(values, &mut text, &mut failed) {
            return Err(vec![RowError { row: 0, error }]);
        }
        if !failed.is_empty() {
            return Err(failed);
        }
        self.expected = text.len();
        Ok(Lines { text, rows: values.len(), ends: OnceLock::new() })
    }
}

impl Lines {
    fn range(&self, offset: usize, len: usize) -> &[u8] {
        if len == self.rows {
            return &self.text;
        }
        // JSON has no line feed inside a value that is written in one line.
        let ends = self.ends.get_or_init(|| {
            let bytes = self.text.iter().enumerate();
            bytes.filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect()
        });
        let start = if offset == 0 { 0 } else { ends[offset - 1] };
        let end = if len == 0 { start } else { ends[offset + len - 1] };
        &self.text[start..end]
    }
}

/// The inside of an open file of JSON lines.
#[derive(Default)]
pub(crate) struct Encoder {
    text: Vec<u8>,
}

impl Encoder {
    pub(super) fn append(&mut self, lines: &Lines, offset: usize, len: usize) {
        self.text.extend_from_slice(lines.range(offset, len));
    }

    pub(super) fn take(&mut self, at_least: usize) -> Option<Bytes> {
        (self.text.len() >= at_least).then(|| std::mem::take(&mut self.text).into())
    }

    pub(super) fn finish(self) -> Bytes {
        self.text.into()
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::data::{Schema, Struct, Value};

    use super::*;

    fn lines(column: &Column) -> Lines {
        let prepared = JsonLines::new().prepare(column);
        prepared.unwrap_or_else(|failed| panic!("{failed:?}"))
    }

    #[test]
    fn any_part_of_a_run_can_be_written() {
        let texts = ["{\"a\": 1}", "\"x\\ny\"", "[1,\n2]", "3"];
        let lines = lines(&Column::Json(texts.iter().map(Some).collect()));
        let text = |offset, len| String::from_utf8(lines.range(offset, len).to_vec()).unwrap();
        assert_eq!(text(0, 4), "{\"a\":1}\n\"x\\ny\"\n[1,2]\n3\n");
        assert_eq!(text(0, 1), "{\"a\":1}\n");
        assert_eq!(text(1, 2), "\"x\\ny\"\n[1,2]\n");
        assert_eq!(text(3, 1), "3\n");
        assert_eq!(text(2, 0), "");
    }

    #[test]
    fn structs_are_objects_with_the_defaults_of_their_nulls() {
        let note = Schema::string(false).to_builder();
        let note = note.default_value(Value::from("none")).unwrap().build();
        let schema = Schema::struct_builder()
            .field("note", note)
            .field("day", Schema::date_builder().optional().build())
            .field("price", Schema::decimal_builder(2).build())
            .build();
        let price = Value::Decimal(millrace_api::data::Decimal { unscaled: 1234.into(), scale: 2 });
        let fields = vec![Value::Null, Value::Date(3), price];
        let value = Value::Struct(Struct::new(schema.clone(), fields));
        let lines = lines(&Column::from_values(Some(schema), vec![value]));
        let text = std::str::from_utf8(lines.range(0, 1)).unwrap();
        assert_eq!(text, "{\"note\":\"none\",\"day\":3,\"price\":\"BNI=\"}\n");
    }

    #[test]
    fn rows_that_do_not_fit_are_named() {
        let schema = Schema::struct_builder().field("a", Schema::string(false)).build();
        let row = |value| Value::Struct(Struct::new(schema.clone(), vec![value]));
        let values = vec![row(Value::from("x")), row(Value::Null)];
        let column = Column::from_values(Some(schema.clone()), values);
        let failed = JsonLines::new().prepare(&column).map(|_| ()).unwrap_err();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].row, 1);
        assert!(failed[0].error.to_string().contains("field: a"), "{}", failed[0].error);
    }
}
