//! The three converters of a task: headers, key and value between Connect's and Kafka's form.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BinaryViewArray};
use arrow::compute::filter;
use bytes::Bytes;
use millrace_api::data::{Column, Header, Headers, Records, RowError};
use millrace_api::{Converter, HeaderConverter, RawHeaders, Result};
use millrace_kafka::{Fetched, Outgoing};

use crate::task::errors::{Stage, survivors};

/// A converter and the class users know it by.
pub(crate) struct Named<T: ?Sized> {
    pub(crate) class: &'static str,
    pub(crate) converter: Box<T>,
}

/// A task's converters.
pub(crate) struct Converters {
    pub(crate) key: Named<dyn Converter>,
    pub(crate) value: Named<dyn Converter>,
    pub(crate) header: Named<dyn HeaderConverter>,
}

/// Rows that failed in one converter.
pub(crate) struct ConverterFailures {
    pub(crate) stage: Stage,
    pub(crate) class: &'static str,
    pub(crate) rows: Vec<RowError>,
}

impl Converters {
    /// Has the converters ask for what [`serialize`](Self::serialize) needs. Cancel-safe.
    pub(crate) async fn prepare_from(&mut self, records: &Records) -> Result<()> {
        self.key.converter.prepare_from(&records.topic, &records.key).await?;
        self.value.converter.prepare_from(&records.topic, &records.value).await
    }

    /// Has the converters ask for what [`deserialize`](Self::deserialize) needs. Cancel-safe.
    pub(crate) async fn prepare_to(&mut self, run: &Fetched) -> Result<()> {
        let topic = &*run.topic_partition.topic;
        self.key.converter.prepare_to(topic, &run.keys, &run.headers).await?;
        self.value.converter.prepare_to(topic, &run.values, &run.headers).await
    }

    /// Serializes a run: headers, then keys, then values, as Java does. Rows that fail are left out;
    /// a row is reported at the first stage it fails at.
    pub(crate) fn serialize(
        &mut self,
        records: &Records,
    ) -> Result<(Outgoing, Vec<ConverterFailures>)> {
        let topic = &*records.topic;
        let mut stages = Failed::default();
        let mut headers = self.serialize_headers(records, &mut stages)?;
        let keys = stages.collect(Stage::KeyConverter, self.key.class, |failed| {
            self.key.converter.from_connect_data(topic, &records.key, failed)
        })?;
        let values = stages.collect(Stage::ValueConverter, self.value.class, |failed| {
            self.value.converter.from_connect_data(topic, &records.value, failed)
        })?;
        for (cells, converter) in [(&keys, &self.key.converter), (&values, &self.value.converter)] {
            if let Some(header) = converter.schema_header() {
                add_header(&mut headers, &header, cells);
            }
        }
        let mut outgoing = Outgoing {
            topic: Arc::clone(&records.topic),
            partition: records.partition,
            keys,
            values,
            timestamps: records.timestamps.clone(),
            headers,
        };
        let failures = stages.finish();
        if !failures.is_empty() {
            outgoing = without(&outgoing, &failures);
        }
        Ok((outgoing, failures))
    }

    fn serialize_headers(
        &mut self,
        records: &Records,
        stages: &mut Failed,
    ) -> Result<Vec<RawHeaders>> {
        if records.headers.is_none() {
            return Ok(Vec::new());
        }
        let Named { class, converter } = &mut self.header;
        stages.collect(Stage::HeaderConverter, class, |failed| {
            let mut one = |h: &Header| {
                let (topic, key, schema) = (&records.topic, &h.key, h.schema.as_ref());
                let bytes = converter.from_connect_header(topic, key, schema, &h.value)?;
                Ok((Arc::clone(&h.key), bytes))
            };
            let mut rows = Vec::with_capacity(records.len());
            for row in 0..records.len() {
                let headers = records.headers.row(row).iter().map(&mut one);
                rows.push(headers.collect::<Result<RawHeaders>>().unwrap_or_else(|error| {
                    failed.push(RowError { row, error });
                    Vec::new()
                }));
            }
            Ok(rows)
        })
    }

    /// Deserializes a run: keys, then values, then headers, as Java does. The result is cut where a
    /// schema changes; rows that fail are left out.
    pub(crate) fn deserialize(
        &mut self,
        run: &Fetched,
    ) -> Result<(Vec<Records>, Vec<ConverterFailures>)> {
        let topic = &*run.topic_partition.topic;
        let mut stages = Failed::default();
        let keys = stages.collect(Stage::KeyConverter, self.key.class, |failed| {
            self.key.converter.to_connect_data(topic, &run.keys, &run.headers, failed)
        })?;
        let values = stages.collect(Stage::ValueConverter, self.value.class, |failed| {
            self.value.converter.to_connect_data(topic, &run.values, &run.headers, failed)
        })?;
        let headers = self.deserialize_headers(run, &mut stages)?;
        let mut runs = join(run, &keys, &values, &headers);
        let failures = stages.finish();
        if !failures.is_empty() {
            runs = drop_rows(runs, failures.iter().flat_map(|f| &f.rows).map(|f| f.row));
        }
        Ok((runs, failures))
    }

    fn deserialize_headers(&mut self, run: &Fetched, stages: &mut Failed) -> Result<Headers> {
        if run.headers.is_empty() {
            return Ok(Headers::none());
        }
        let Named { class, converter } = &mut self.header;
        stages.collect(Stage::HeaderConverter, class, |failed| {
            let topic = &*run.topic_partition.topic;
            let mut one = |(key, bytes): &(Arc<str>, Option<Bytes>)| {
                let (schema, value) = converter.to_connect_header(topic, key, bytes.as_ref())?;
                Ok(Header { key: Arc::clone(key), schema, value })
            };
            let mut rows = Vec::with_capacity(run.headers.len());
            for (row, headers) in run.headers.iter().enumerate() {
                let headers = headers.iter().map(&mut one).collect::<Result<Vec<Header>>>();
                rows.push(headers.unwrap_or_else(|error| {
                    failed.push(RowError { row, error });
                    Vec::new()
                }));
            }
            Ok(Headers::from_rows(rows))
        })
    }
}

/// Collects the failed rows of each stage; a row that has failed is not reported again.
#[derive(Default)]
struct Failed {
    stages: Vec<ConverterFailures>,
    rows: HashSet<usize>,
}

impl Failed {
    fn collect<T>(
        &mut self,
        stage: Stage,
        class: &'static str,
        convert: impl FnOnce(&mut Vec<RowError>) -> Result<T>,
    ) -> Result<T> {
        let mut rows = Vec::new();
        let converted = convert(&mut rows)?;
        rows.retain(|failure| self.rows.insert(failure.row));
        if !rows.is_empty() {
            self.stages.push(ConverterFailures { stage, class, rows });
        }
        Ok(converted)
    }

    fn finish(self) -> Vec<ConverterFailures> {
        self.stages
    }
}

/// Adds a header to the records whose cell is not null, and that have no such header yet.
fn add_header(headers: &mut Vec<RawHeaders>, header: &(Arc<str>, Bytes), cells: &BinaryViewArray) {
    headers.resize(cells.len(), RawHeaders::new());
    let (name, value) = header;
    for row in (0..cells.len()).filter(|row| cells.is_valid(*row)) {
        let own = &mut headers[row];
        if !own.iter().any(|(key, bytes)| key == name && bytes.as_ref() == Some(value)) {
            own.push((Arc::clone(name), Some(value.clone())));
        }
    }
}

fn without(outgoing: &Outgoing, failures: &[ConverterFailures]) -> Outgoing {
    let failed = failures.iter().flat_map(|f| &f.rows).map(|f| f.row);
    let mask = survivors(outgoing.values.len(), failed);
    let cells = |cells: &BinaryViewArray| {
        let kept = filter(cells, &mask).expect("a bit a row");
        BinaryViewArray::from(kept.to_data())
    };
    let kept = |row: &usize| mask.value(*row);
    let rows = || (0..mask.len()).filter(kept);
    Outgoing {
        keys: cells(&outgoing.keys),
        values: cells(&outgoing.values),
        timestamps: outgoing.timestamps.as_ref().map(|t| rows().map(|row| t[row]).collect()),
        headers: match outgoing.headers.as_slice() {
            [] => Vec::new(),
            headers => rows().map(|row| headers[row].clone()).collect(),
        },
        ..outgoing.clone()
    }
}

/// Lays key and value columns side by side, cutting where either ends.
fn join(run: &Fetched, keys: &[Column], values: &[Column], headers: &Headers) -> Vec<Records> {
    let total = run.offsets.len();
    for columns in [keys, values] {
        let rows: usize = columns.iter().map(Column::len).sum();
        assert_eq!(rows, total, "a converter returns as many rows as it was given");
    }
    let mut records = Vec::with_capacity(keys.len().max(values.len()));
    let (mut keys, mut values) = (Cursor::new(keys), Cursor::new(values));
    let mut start = 0;
    while start < total {
        let len = keys.left().min(values.left());
        records.push(Records {
            topic: Arc::clone(&run.topic_partition.topic),
            partition: Some(run.topic_partition.partition),
            key: keys.take(len),
            value: values.take(len),
            timestamps: Some(run.timestamps.slice(start, len)),
            headers: headers.slice(start, len),
            offsets: Some(run.offsets.slice(start, len)),
            origins: None,
        });
        start += len;
    }
    records
}

/// Walks over columns laid end to end.
struct Cursor<'a> {
    columns: &'a [Column],
    taken: usize,
}

impl<'a> Cursor<'a> {
    fn new(columns: &'a [Column]) -> Self {
        let mut cursor = Self { columns, taken: 0 };
        cursor.skip_finished();
        cursor
    }

    fn left(&self) -> usize {
        self.columns[0].len() - self.taken
    }

    fn take(&mut self, len: usize) -> Column {
        let column = &self.columns[0];
        let taken = if (self.taken, len) == (0, column.len()) {
            column.clone()
        } else {
            column.slice(self.taken, len)
        };
        self.taken += len;
        self.skip_finished();
        taken
    }

    fn skip_finished(&mut self) {
        while self.columns.first().is_some_and(|c| c.len() == self.taken) {
            self.columns = &self.columns[1..];
            self.taken = 0;
        }
    }
}

/// Drops rows counted over all runs laid end to end.
fn drop_rows(runs: Vec<Records>, failed: impl IntoIterator<Item = usize>) -> Vec<Records> {
    let mask = survivors(runs.iter().map(Records::len).sum(), failed);
    let mut start = 0;
    let mut kept = Vec::with_capacity(runs.len());
    for run in runs {
        let here = mask.slice(start, run.len());
        start += run.len();
        kept.push(if here.false_count() == 0 { run } else { run.filter(&here) });
    }
    kept.retain(|run| !run.is_empty());
    kept
}

#[cfg(test)]
mod tests {
    use millrace_api::data::{Schema, Value};
    use millrace_api::{Error, Serialized, TopicPartition};

    use super::*;

    /// Bytes `x…` fail; a column ends where the first byte changes.
    struct ByFirstByte;

    impl Converter for ByFirstByte {
        fn from_connect_data(
            &mut self,
            _topic: &str,
            column: &Column,
            failed: &mut Vec<RowError>,
        ) -> Result<Serialized> {
            let mut cells = Vec::new();
            for (row, value) in column.rows()?.iter().enumerate() {
                let text = value.to_string();
                if text.starts_with('x') {
                    failed.push(RowError { row, error: Error::data("x") });
                }
                cells.push(Some(text.into_bytes()));
            }
            Ok(cells.iter().map(|c| c.as_deref()).collect())
        }

        fn to_connect_data(
            &mut self,
            _topic: &str,
            rows: &Serialized,
            _headers: &[RawHeaders],
            failed: &mut Vec<RowError>,
        ) -> Result<Vec<Column>> {
            let mut columns: Vec<(u8, Vec<Value>)> = Vec::new();
            for (row, cell) in rows.iter().enumerate() {
                let text = std::str::from_utf8(cell.unwrap()).unwrap();
                if text.starts_with('x') {
                    failed.push(RowError { row, error: Error::data("x") });
                }
                let first = text.as_bytes()[0];
                match columns.last_mut().filter(|(f, _)| *f == first) {
                    Some((_, values)) => values.push(text.into()),
                    None => columns.push((first, vec![text.into()])),
                }
            }
            let schema = Some(Schema::string(true));
            let column = |values| Column::Rows { schema: schema.clone(), values };
            Ok(columns.into_iter().map(|(_, values)| column(values)).collect())
        }
    }

    struct NoHeaders;

    impl HeaderConverter for NoHeaders {
        fn from_connect_header(
            &mut self,
            _topic: &str,
            _key: &str,
            _schema: Option<&millrace_api::data::SchemaRef>,
            _value: &Value,
        ) -> Result<Option<Bytes>> {
            unreachable!("the test has no headers")
        }

        fn to_connect_header(
            &mut self,
            _topic: &str,
            _key: &str,
            _bytes: Option<&Bytes>,
        ) -> Result<(Option<millrace_api::data::SchemaRef>, Value)> {
            unreachable!("the test has no headers")
        }
    }

    fn converters() -> Converters {
        Converters {
            key: Named { class: "K", converter: Box::new(ByFirstByte) },
            value: Named { class: "V", converter: Box::new(ByFirstByte) },
            header: Named { class: "H", converter: Box::new(NoHeaders) },
        }
    }

    fn fetched(keys: &[&str], values: &[&str]) -> Fetched {
        let cells = |texts: &[&str]| texts.iter().map(|t| Some(t.as_bytes())).collect();
        Fetched {
            topic_partition: TopicPartition::new("t", 3),
            offsets: (100..100 + keys.len() as i64).collect(),
            timestamps: (0..keys.len() as i64).collect(),
            keys: cells(keys),
            values: cells(values),
            headers: Vec::new(),
        }
    }

    #[test]
    fn runs_are_cut_where_either_schema_changes_and_failed_rows_go() {
        let run = fetched(&["a1", "a2", "b3", "b4", "x5"], &["c1", "d2", "x3", "d4", "x5"]);
        let (runs, failures) = converters().deserialize(&run).unwrap();
        let seen: Vec<_> = runs.iter().flat_map(|r| r.offsets.as_ref().unwrap().to_vec()).collect();
        assert_eq!(seen, [100, 101, 103]);
        let lengths: Vec<_> = runs.iter().map(Records::len).collect();
        assert_eq!(lengths, [1, 1, 1]);
        assert_eq!(runs[2].key.value(0).unwrap(), "b4".into());
        assert_eq!(runs[2].value.value(0).unwrap(), "d4".into());
        let failed: Vec<_> =
            failures.iter().flat_map(|f| f.rows.iter().map(|r| (f.class, r.row))).collect();
        assert_eq!(failed, [("K", 4), ("V", 2)]);
    }

    /// Writes texts, and says by which schema.
    struct Headed;

    impl Converter for Headed {
        fn from_connect_data(
            &mut self,
            topic: &str,
            column: &Column,
            failed: &mut Vec<RowError>,
        ) -> Result<Serialized> {
            let cells = ByFirstByte.from_connect_data(topic, column, failed)?;
            let some = |row| (!column.is_null(row)).then(|| cells.value(row));
            Ok((0..cells.len()).map(some).collect())
        }

        fn schema_header(&self) -> Option<(Arc<str>, Bytes)> {
            Some(("schema".into(), Bytes::from_static(b"1")))
        }

        fn to_connect_data(
            &mut self,
            topic: &str,
            rows: &Serialized,
            headers: &[RawHeaders],
            failed: &mut Vec<RowError>,
        ) -> Result<Vec<Column>> {
            ByFirstByte.to_connect_data(topic, rows, headers, failed)
        }
    }

    #[test]
    fn a_schema_is_named_by_a_header_that_is_added_once() {
        let values = vec!["a".into(), Value::Null, "b".into()];
        let records = Records::new("t", Column::Rows { schema: None, values });
        let mut converters = converters();
        converters.value = Named { class: "V", converter: Box::new(Headed) };
        let (outgoing, _) = converters.serialize(&records).unwrap();
        let counts: Vec<_> = outgoing.headers.iter().map(Vec::len).collect();
        assert_eq!(counts, [1, 0, 1]);
        let mut headers = outgoing.headers;
        headers[2] = vec![("schema".into(), Some(Bytes::from_static(b"2")))];
        let header = Headed.schema_header().unwrap();
        add_header(&mut headers, &header, &outgoing.values);
        let counts: Vec<_> = headers.iter().map(Vec::len).collect();
        assert_eq!(counts, [1, 0, 2]);
    }

    #[test]
    fn failed_rows_are_not_sent() {
        let text = |t: &[&str]| Column::Rows {
            schema: Some(Schema::string(false)),
            values: t.iter().map(|t| (*t).into()).collect(),
        };
        let mut records = Records::new("t", text(&["a", "x", "c"]));
        records.key = text(&["k", "l", "x"]);
        records.timestamps = Some(vec![7, 8, 9].into());
        let (outgoing, failures) = converters().serialize(&records).unwrap();
        assert_eq!(outgoing.values.iter().flatten().collect::<Vec<_>>(), [b"a"]);
        assert_eq!(outgoing.timestamps.unwrap().to_vec(), [7]);
        assert_eq!(failures.len(), 2);
    }
}
