//! The converter around a format that knows only texts, with a registry in this process.

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millrace_api::config::Props;
use millrace_api::data::{Column, RowError, Schema, SchemaRef, Value};
use millrace_api::{Converter, ConverterRole, Error, ErrorKind, RawHeaders, Result, Serialized};
use schema_registry_client::SchemaType;

use self::server::Registry;
use super::{Compiled, Described, Format, Row, SchemaText, converter};

/// Payloads are texts, schemas any word.
#[derive(Default)]
struct Words {
    known: Vec<SchemaText>,
    opening: Vec<u8>,
    /// The most that were ever known at once.
    most: Arc<AtomicUsize>,
}

impl Format for Words {
    fn forget(&mut self) {
        self.known.clear();
    }

    fn compile_reader(&mut self, schema: &SchemaText, _version: Option<i32>) -> Result<Compiled> {
        if &*schema.text == "broken" {
            return Err(Error::data("it does not parse"));
        }
        self.known.push(schema.clone());
        self.most.fetch_max(self.known.len(), Ordering::Relaxed);
        Ok(Compiled(self.known.len() - 1))
    }

    fn compile_resolver(
        &mut self,
        written: &SchemaText,
        wanted: &SchemaText,
        version: Option<i32>,
    ) -> Result<Compiled> {
        let text = format!("{} as {}{}", written.text, wanted.text, version.unwrap_or(0));
        self.compile_reader(&SchemaText { text: text.into(), references: vec![] }, None)
    }

    fn read(&mut self, rows: &[Row<'_>], failed: &mut Vec<RowError>) -> Result<Vec<Column>> {
        let mut values = Vec::new();
        for (row, Row { schema, payload }) in rows.iter().enumerate() {
            let payload = payload.map(|bytes| bytes.strip_prefix(&*self.opening).unwrap_or(bytes));
            values.push(match payload.map(std::str::from_utf8) {
                None => Value::Null,
                Some(Ok(text)) => format!("{}:{text}", self.known[schema.0].text).as_str().into(),
                Some(Err(_)) => {
                    failed.push(RowError { row, error: Error::data("no text") });
                    Value::Null
                }
            });
        }
        Ok(vec![Column::Rows { schema: Some(Schema::string(true)), values }])
    }

    fn describe(&mut self, schema: Option<&SchemaRef>) -> Result<Described> {
        let name = schema.and_then(|schema| schema.name()).map(Arc::from);
        let text = name.clone().unwrap_or_else(|| "text".into());
        Ok(Described { schema: SchemaText { text, references: vec![] }, record_name: name })
    }

    fn compile_writer(&mut self, _: Option<&SchemaRef>, schema: &SchemaText) -> Result<Compiled> {
        self.compile_reader(schema, None)
    }

    fn opening(&self, _writer: Compiled) -> Vec<u8> {
        self.opening.clone()
    }

    fn write(
        &mut self,
        _writer: Compiled,
        column: &Column,
        prefix: &[u8],
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let mut cells = Vec::new();
        for (row, value) in column.rows()?.iter().enumerate() {
            cells.push(match value {
                Value::Null => None,
                Value::String(text) if &**text == "poison" => {
                    failed.push(RowError { row, error: Error::data("poison") });
                    None
                }
                value => Some([prefix, value.to_string().as_bytes()].concat()),
            });
        }
        Ok(cells.iter().map(Option::as_deref).collect())
    }

    fn is_compatible(&self, ours: &SchemaText, latest: &SchemaText) -> Result<bool> {
        Ok(ours == latest || &*latest.text == "wide")
    }
}

fn open(registry: &Registry, keys: &str) -> Box<dyn Converter> {
    open_with(Words::default(), registry, keys)
}

fn open_with(words: Words, registry: &Registry, keys: &str) -> Box<dyn Converter> {
    let keys = format!(
        "schema.registry.url={}\nmax.retries=1\nretries.wait.ms=1\nhttp.read.timeout.ms=2000\n{keys}",
        registry.url()
    );
    let props = properties(&keys);
    converter(words, SchemaType::Avro, &props, ConverterRole::Value).unwrap()
}

fn properties(text: &str) -> Props {
    millrace_api::config::properties::parse(text, "test").unwrap()
}

fn named(name: Option<&str>, texts: &[Option<&str>]) -> Column {
    let mut schema = Schema::builder(millrace_api::data::Kind::String).optional();
    if let Some(name) = name {
        schema = schema.name(name);
    }
    let values = texts.iter().map(|text| text.map_or(Value::Null, Value::from)).collect();
    Column::Rows { schema: Some(schema.build()), values }
}

fn cell(id: i32, text: &str) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), text.as_bytes()].concat()
}

async fn write(
    converter: &mut dyn Converter,
    column: &Column,
) -> (Vec<Option<Vec<u8>>>, Vec<RowError>) {
    let mut failed = Vec::new();
    converter.prepare_from("t", column).await.unwrap();
    let cells = converter.from_connect_data("t", column, &mut failed).unwrap();
    (cells.iter().map(|cell| cell.map(<[u8]>::to_vec)).collect(), failed)
}

async fn read(
    converter: &mut dyn Converter,
    cells: &[Option<Vec<u8>>],
    headers: &[RawHeaders],
) -> (Vec<Value>, Vec<RowError>) {
    let rows: Serialized = cells.iter().map(Option::as_deref).collect();
    let mut failed = Vec::new();
    converter.prepare_to("t", &rows, headers).await.unwrap();
    let columns = converter.to_connect_data("t", &rows, headers, &mut failed).unwrap();
    let values = columns.iter().flat_map(|column| column.rows().unwrap().into_owned()).collect();
    (values, failed)
}

fn trace(failed: &RowError) -> String {
    failed.error.trace()
}

#[tokio::test]
async fn a_schema_is_registered_once_and_fetched_once() {
    let registry = Registry::start();
    let mut writer = open(&registry, "");
    let column = named(None, &[Some("a"), None, Some("poison")]);
    let (cells, failed) = write(&mut *writer, &column).await;
    assert_eq!(cells, [Some(cell(1, "a")), None, None]);
    assert_eq!((failed[0].row, failed[0].error.to_string()), (2, "poison (topic: t)".into()));
    // The same schema, in another place.
    write(&mut *writer, &named(None, &[Some("b")])).await;
    assert_eq!(registry.asked(), ["POST /subjects/t-value/versions"]);

    let mut reader = open(&registry, "");
    for _ in 0..2 {
        let (values, failed) = read(&mut *reader, &cells, &[]).await;
        assert_eq!(values, ["text:a".into(), Value::Null, Value::Null]);
        assert!(failed.is_empty());
    }
    let asked = ["GET /schemas/ids/1?fetchMaxId=false&subject=t-value", "POST /subjects/t-value"];
    assert_eq!(registry.asked()[1..], asked);
}

#[tokio::test]
async fn nothing_is_asked_for_tombstones() {
    let registry = Registry::start();
    let mut converter = open(&registry, "");
    let (cells, _) = write(&mut *converter, &named(None, &[None, None])).await;
    assert_eq!(cells, [None, None]);
    let (values, failed) = read(&mut *converter, &[None, None], &[]).await;
    assert_eq!((values.len(), failed.len()), (2, 0));
    assert!(registry.asked().is_empty());
}

#[tokio::test]
async fn bad_rows_cost_only_themselves() {
    let registry = Registry::start();
    registry.add(&["one", "broken", "two"]);
    registry.set_type(3, "PROTOBUF");
    registry.add(&["three"]);
    let mut converter = open(&registry, "");
    let cells = vec![
        Some(b"{}".to_vec()),
        Some(cell(99, "x")),
        Some(cell(1, "a")),
        Some(vec![0, 0]),
        None,
        Some(cell(2, "b")),
        Some(cell(3, "c")),
        Some(cell(4, "d")),
        Some([cell(1, ""), vec![0xff]].concat()),
        Some(cell(99, "y")),
        Some(vec![]),
    ];
    for _ in 0..2 {
        let (values, failed) = read(&mut *converter, &cells, &[]).await;
        let expected: Vec<Value> = (0..cells.len())
            .map(|row| match row {
                2 => "one:a".into(),
                7 => "three:d".into(),
                _ => Value::Null,
            })
            .collect();
        assert_eq!(values, expected);
        let rows: Vec<_> = failed.iter().map(|failed| failed.row).collect();
        assert_eq!(rows, [0, 1, 3, 5, 6, 8, 9, 10]);
        for (at, words) in [
            (0, "DataException: Unknown magic byte! (byte: 123"),
            (1, "topic: t, schema id: 99"),
            (1, "Schema not found (code 40403)"),
            (2, "the data ends within the id"),
            (3, "it does not parse (topic: t, schema id: 2)"),
            (4, "another language than the converter reads (language: PROTOBUF"),
            (5, "no text (topic: t, schema id: 1)"),
        ] {
            assert!(trace(&failed[at]).contains(words), "{}", trace(&failed[at]));
        }
    }
    let asked = registry.asked().iter().filter(|line| line.contains("/99?")).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for() {
    let registry = Registry::start();
    registry.add(&["one", "two"]);
    let mut converter = open(&registry, "");
    read(&mut *converter, &[Some(cell(1, "a"))], &[]).await;
    write(&mut *converter, &named(Some("known"), &[Some("a")])).await;

    registry.answer_all(503);
    let known = Serialized::from_iter([Some(cell(1, "b"))]);
    converter.prepare_to("t", &known, &[]).await.unwrap();
    let more = Serialized::from_iter([Some(cell(1, "b")), Some(cell(2, "c"))]);
    let error = converter.prepare_to("t", &more, &[]).await.unwrap_err();
    assert!(error.is_retriable() && error.trace().contains("answers 503"), "{}", error.trace());
    converter.prepare_from("t", &named(Some("known"), &[Some("a")])).await.unwrap();
    let new = named(Some("new"), &[Some("a")]);
    let error = converter.prepare_from("t", &new).await.unwrap_err();
    assert!(error.is_retriable() && error.trace().contains("t-value"), "{}", error.trace());
    assert_eq!(error.trace().matches("topic: ").count(), 1, "{}", error.trace());

    registry.answer_all(0);
    let (values, _) = read(&mut *converter, &[Some(cell(2, "c"))], &[]).await;
    assert_eq!(values, ["two:c".into()]);
    assert_eq!(write(&mut *converter, &new).await.1.len(), 0);
}

#[tokio::test]
async fn what_the_registry_says_of_a_schema_is_the_rows_and_remembered() {
    for (status, words) in [
        (409, "the schema is not compatible with those of its subject"),
        (422, "the schema cannot be registered (remedy: see what the registry says of the schema"),
    ] {
        let registry = Registry::start();
        let mut converter = open(&registry, "");
        registry.answer_all(status);
        for _ in 0..2 {
            let (cells, failed) = write(&mut *converter, &named(None, &[Some("a"), None])).await;
            assert_eq!(cells, [None, None]);
            assert_eq!(failed.len(), 1);
            let trace = trace(&failed[0]);
            assert!(trace.contains(words) && trace.contains("topic: t"), "{status}: {trace}");
        }
        let rows = [Some(cell(1, "a"))];
        for _ in 0..2 {
            assert_eq!(read(&mut *converter, &rows, &[]).await.1.len(), 1);
        }
        assert_eq!(registry.asked().len(), 2, "{status}");
    }
}

/// Else `errors.tolerance=all` would drop rows for a slip in a URL.
#[tokio::test]
async fn all_else_is_the_tasks_and_forgotten_once_it_is_mended() {
    for (status, kind, words) in [
        (401, ErrorKind::Fatal, "see basic.auth.* and bearer.auth.*"),
        (403, ErrorKind::Fatal, "what the registry allows this user"),
        (404, ErrorKind::Retriable, "is schema.registry.url the base URL"),
        (400, ErrorKind::Retriable, "answers 400: so be it"),
        (302, ErrorKind::Retriable, "redirects are not followed"),
        (200, ErrorKind::Retriable, "not what was asked for"),
        (503, ErrorKind::Retriable, "is the schema registry running"),
    ] {
        let registry = Registry::start();
        registry.add(&["one"]);
        let mut converter = open(&registry, "");
        registry.answer_all(status);
        let column = named(None, &[Some("a"), None]);
        let rows = [Some(cell(1, "a"))];
        let serialized: Serialized = rows.iter().map(Option::as_deref).collect();
        for _ in 0..2 {
            for error in [
                converter.prepare_from("t", &column).await.unwrap_err(),
                converter.prepare_to("t", &serialized, &[]).await.unwrap_err(),
            ] {
                let trace = error.trace();
                assert_eq!(error.kind(), kind, "{status}: {trace}");
                assert!(trace.contains(words) && trace.contains(&registry.url()), "{trace}");
            }
        }
        registry.answer_all(0);
        assert!(write(&mut *converter, &column).await.1.is_empty());
        assert!(read(&mut *converter, &rows, &[]).await.1.is_empty());
    }
}

/// A record that begins as one with a GUID is no reason to wait for a registry that is there.
#[tokio::test]
async fn guids_that_a_registry_does_not_know_are_the_rows() {
    let registry = Registry::start();
    registry.add(&["one"]);
    registry.know_no_guids();
    let mut converter = open(&registry, "");
    let rows = [Some([&[1][..], &[9; 20]].concat()), Some(cell(1, "a"))];
    for _ in 0..2 {
        let (values, failed) = read(&mut *converter, &rows, &[]).await;
        assert_eq!((values[1].clone(), failed.len()), ("one:a".into(), 1));
        assert!(trace(&failed[0]).contains("another converter's"), "{}", trace(&failed[0]));
    }
    let asked = registry.asked().iter().filter(|target| target.contains("guids")).count();
    assert_eq!(asked, 1, "it is remembered");
}

/// The sink drops a call that takes long, and makes it again: whatever life what there is not has.
#[tokio::test]
async fn many_ids_are_found_by_who_looks_now_and_then() {
    let registry = Registry::start();
    registry.add(&["one"]);
    registry.answer_after(Duration::from_millis(20));
    let mut converter = open(&registry, "missing.id.cache.ttl.sec=0");
    let rows: Vec<_> = (1..100).map(|id| Some(cell(id, "a"))).collect();
    let serialized: Serialized = rows.iter().map(Option::as_deref).collect();
    for look in 0.. {
        assert!(look < 100, "what is found is forgotten");
        let asked = converter.prepare_to("t", &serialized, &[]);
        match tokio::time::timeout(Duration::from_millis(1), asked).await {
            Ok(asked) => {
                asked.unwrap();
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(60)).await,
        }
    }
    let asked = registry.asked().iter().filter(|target| target.contains("/ids/")).count();
    assert_eq!(asked, 99, "each once");
}

#[tokio::test]
async fn what_was_the_latest_will_do_while_the_registry_is_away() {
    let registry = Registry::start();
    registry.add(&["one"]);
    let keys = "use.latest.version=true\nlatest.cache.ttl.sec=0";
    let mut converter = open(&registry, keys);
    let rows = [Some(cell(1, "a"))];
    assert!(read(&mut *converter, &rows, &[]).await.1.is_empty());
    registry.answer_all(503);
    assert!(read(&mut *converter, &rows, &[]).await.1.is_empty());
}

#[tokio::test]
async fn good_ids_are_asked_for_however_many_bad_ones_there_were() {
    let registry = Registry::start();
    registry.add(&["one"]);
    let mut converter = open(&registry, "");
    let bad: Vec<_> = (100..1200).map(|id| Some(cell(id, "x"))).collect();
    for rows in bad.chunks(550) {
        assert_eq!(read(&mut *converter, rows, &[]).await.1.len(), 550);
    }
    for _ in 0..2 {
        let rows = [Some(cell(1, "a")), Some(cell(5000, "b"))];
        let (values, failed) = read(&mut *converter, &rows, &[]).await;
        assert_eq!((values[0].clone(), failed.len()), ("one:a".into(), 1));
    }
}

#[tokio::test]
async fn what_was_compiled_does_not_pile_up() {
    let registry = Registry::start();
    let texts: Vec<_> = (0..20).map(|n| format!("s{n}")).collect();
    registry.add(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let words = Words::default();
    let most = Arc::clone(&words.most);
    let mut converter = open_with(words, &registry, "max.schemas.per.subject=3");
    for round in 0..2 {
        for (id, text) in (1..).zip(&texts) {
            let (values, _) = read(&mut *converter, &[Some(cell(id, "a"))], &[]).await;
            assert_eq!(values, [format!("{text}:a").as_str().into()], "{round}");
            let column = named(Some(text), &[Some("a")]);
            assert_eq!(write(&mut *converter, &column).await.0, [Some(cell(id, "a"))]);
        }
    }
    // One more than the limit is compiled before the rest is dropped.
    assert!((1..=4).contains(&most.load(Ordering::Relaxed)));
}

/// A client is shared, and may be older than the connector.
#[tokio::test]
async fn a_restart_sees_what_is_the_latest_now() {
    let registry = Registry::start();
    registry.add(&["text"]);
    let keys = "auto.register.schemas=false\nuse.latest.version=true";
    let mut old = open(&registry, keys);
    let column = named(None, &[Some("a")]);
    assert_eq!(write(&mut *old, &column).await.0, [Some(cell(1, "a"))]);
    registry.add(&["wide"]);
    assert_eq!(write(&mut *old, &column).await.0, [Some(cell(1, "a"))]);
    let mut new = open(&registry, keys);
    assert_eq!(write(&mut *new, &column).await.0, [Some(cell(2, "a"))]);
}

#[tokio::test]
async fn rows_are_read_as_the_latest_schema_if_so_wanted() {
    let registry = Registry::start();
    let keys = "use.latest.version=true\nlatest.cache.ttl.sec=0";
    registry.add_to("another-value", &["zero"]);
    let mut following = open(&registry, keys);
    let (_, failed) = read(&mut *following, &[Some(cell(1, "a"))], &[]).await;
    assert!(trace(&failed[0]).contains("no latest schema to read with"), "{}", trace(&failed[0]));
    registry.add(&["one", "two"]);
    let rows = [Some(cell(2, "a")), Some(cell(3, "b")), Some(cell(9, "c"))];
    for keys in ["use.latest.version=true", keys] {
        let mut converter = open(&registry, keys);
        let (values, failed) = read(&mut *converter, &rows, &[]).await;
        assert_eq!(values, ["one as two3:a".into(), "two as two3:b".into(), Value::Null]);
        assert_eq!(failed.len(), 1);
        registry.add(&["three"]);
        let (values, _) = read(&mut *converter, &rows[..1], &[]).await;
        let follows = keys.contains("ttl");
        assert_eq!(values, [if follows { "one as three4:a" } else { "one as two3:a" }.into()]);
        registry.forget_last();
    }
}

/// The worker asks for a while, does something else, and asks again.
#[tokio::test]
async fn who_is_dropped_while_asking_asks_nothing_twice() {
    let registry = Registry::start();
    registry.add(&["one", "two"]);
    registry.answer_after(Duration::from_millis(500));
    let mut converter = open(&registry, "");
    let rows = [Some(cell(1, "a")), Some(cell(99, "x")), Some(cell(2, "b"))];
    let serialized: Serialized = rows.iter().map(Option::as_deref).collect();
    let mut times = 0;
    while tokio::time::timeout(Duration::ZERO, converter.prepare_to("t", &serialized, &[]))
        .await
        .map(Result::unwrap)
        .is_err()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
        times += 1;
    }
    assert!(times > 2, "{times}");
    let (values, failed) = read(&mut *converter, &rows, &[]).await;
    assert_eq!((values, failed.len()), (vec!["one:a".into(), Value::Null, "two:b".into()], 1));
    assert_eq!(registry.asked().len(), 5);
}

#[tokio::test]
async fn what_there_is_not_is_believed_as_configured() {
    let registry = Registry::start();
    let off = "auto.register.schemas=false\n";
    for (keys, times) in [
        ("", 1),
        ("missing.id.cache.ttl.sec=60\nmissing.schema.cache.ttl.sec=60", 1),
        ("missing.id.cache.ttl.sec=0\nmissing.schema.cache.ttl.sec=0", 2),
    ] {
        let mut converter = open(&registry, &format!("{off}{keys}"));
        let before = registry.asked().len();
        for _ in 0..2 {
            assert_eq!(read(&mut *converter, &[Some(cell(9, "x"))], &[]).await.1.len(), 1);
            assert_eq!(write(&mut *converter, &named(None, &[Some("a")])).await.1.len(), 1);
        }
        assert_eq!(registry.asked().len() - before, 2 * times, "{keys}");
    }
}

#[tokio::test]
async fn ids_may_stand_in_headers() {
    let registry = Registry::start();
    let keys = "value.schema.id.serializer=\
                io.confluent.kafka.serializers.schema.id.HeaderSchemaIdSerializer";
    let words = || Words { opening: vec![7], ..Words::default() };
    let mut converter = open_with(words(), &registry, keys);
    let (cells, _) = write(&mut *converter, &named(None, &[Some("a")])).await;
    assert_eq!(cells, [Some(b"a".to_vec())]);
    let (name, bytes) = converter.schema_header().unwrap();
    assert_eq!((&*name, bytes[0], bytes.len(), bytes[17]), ("__value_schema_id", 1, 18, 7));
    write(&mut *converter, &named(None, &[None])).await;
    assert!(converter.schema_header().is_none());

    let headers = vec![vec![(name, Some(bytes))], vec![]];
    let rows = [cells[0].clone(), Some([cell(1, "\u{7}"), b"b".to_vec()].concat())];
    let (values, failed) = read(&mut *converter, &rows, &headers).await;
    assert_eq!((values, failed.len()), (vec!["text:a".into(), "text:b".into()], 0));

    let mut prefixed = open_with(words(), &registry, "");
    let (cells, _) = write(&mut *prefixed, &named(None, &[Some("a")])).await;
    assert_eq!(cells, [Some(cell(1, "\u{7}a"))]);
}

#[tokio::test]
async fn the_schema_to_write_with_is_chosen_as_configured() {
    let registry = Registry::start();
    registry.add(&["wide", "narrow"]);
    let off = "auto.register.schemas=false\n";
    let column = named(Some("mine"), &[Some("a")]);
    for (keys, id, words) in [
        ("use.schema.id=1", 1, ""),
        ("use.schema.id=2", 0, "set id.compatibility.strict=false"),
        ("use.schema.id=2\nid.compatibility.strict=false", 2, ""),
        ("use.schema.guid=00000000-0000-0000-0000-000000000001", 1, "guid"),
        ("use.latest.version=true", 0, "set latest.compatibility.strict=false"),
        ("use.latest.version=true\nlatest.compatibility.strict=false", 2, ""),
        ("", 0, "the schema is not registered, and auto.register.schemas=false"),
    ] {
        let mut converter = open(&registry, &format!("{off}{keys}"));
        let (cells, failed) = write(&mut *converter, &column).await;
        match (id, words) {
            // A GUID stays one.
            (1, "guid") => assert_eq!(cells[0].as_ref().map(|cell| cell[0]), Some(1)),
            (0, words) => {
                assert!(trace(&failed[0]).contains(words), "{keys}: {}", trace(&failed[0]))
            }
            (id, _) => assert_eq!(cells, [Some(cell(id, "a"))], "{keys}"),
        }
    }
    assert!(!registry.asked().iter().any(|line| line.ends_with("/versions")));
    let mut registering = open(&registry, "normalize.schemas=true");
    assert_eq!(write(&mut *registering, &column).await.0, [Some(cell(3, "a"))]);
    assert!(registry.asked().iter().any(|line| line.ends_with("/versions?normalize=true")));
    let mut looking = open(&registry, off);
    assert_eq!(write(&mut *looking, &column).await.0, [Some(cell(3, "a"))]);
}

#[tokio::test]
async fn subjects_are_named_as_configured() {
    let registry = Registry::start();
    for (strategy, subject) in [
        ("TopicNameStrategy", "t-value"),
        ("RecordNameStrategy", "a.Mine"),
        ("TopicRecordNameStrategy", "t-a.Mine"),
        ("AssociatedNameStrategy", "t-value"),
    ] {
        let keys = format!(
            "value.subject.name.strategy=io.confluent.kafka.serializers.subject.{strategy}"
        );
        let mut converter = open(&registry, &keys);
        write(&mut *converter, &named(Some("a.Mine"), &[Some("a")])).await;
        let last = registry.asked().last().cloned();
        assert_eq!(last, Some(format!("POST /subjects/{subject}/versions")));
        let unnamed = write(&mut *converter, &named(None, &[Some("a")])).await.1;
        assert_eq!(unnamed.len(), usize::from(strategy.contains("Record")), "{strategy}");
    }
}

#[tokio::test]
async fn a_schema_with_rules_is_not_written_without_them() {
    let registry = Registry::start();
    registry.add(&["wide"]);
    registry
        .set_rules(1, r#"{"domainRules":[{"name":"pii","type":"ENCRYPT","mode":"WRITEREAD"}]}"#);
    let keys = "auto.register.schemas=false\nuse.latest.version=true";
    let mut converter = open(&registry, keys);
    let (_, failed) = write(&mut *converter, &named(None, &[Some("secret")])).await;
    assert!(trace(&failed[0]).contains("rule: pii, type: ENCRYPT"), "{}", trace(&failed[0]));
    let (_, failed) = read(&mut *converter, &[Some(cell(1, "a"))], &[]).await;
    assert!(trace(&failed[0]).contains("rule: pii, type: ENCRYPT"), "{}", trace(&failed[0]));
    // Nor where it is the data's own.
    for keys in ["auto.register.schemas=false", ""] {
        let mut owning = open(&registry, keys);
        let (_, failed) = write(&mut *owning, &named(Some("wide"), &[Some("secret")])).await;
        assert!(trace(&failed[0]).contains("rule: pii, type: ENCRYPT"), "{}", trace(&failed[0]));
    }
}

/// What is believed for no time at all is there for the write that it was asked for.
#[tokio::test]
async fn what_was_prepared_is_there_for_its_write() {
    let registry = Registry::start();
    registry.add(&["wide"]);
    let keys = "auto.register.schemas=false\nuse.latest.version=true\nlatest.cache.ttl.sec=0";
    let mut converter = open(&registry, keys);
    for times in 1..=2 {
        let (cells, failed) = write(&mut *converter, &named(None, &[Some("a")])).await;
        assert_eq!((cells, failed.len()), (vec![Some(cell(1, "a"))], 0));
        assert_eq!(registry.asked().len(), times);
    }
}

#[test]
fn what_cannot_be_done_is_refused_at_once() {
    for (keys, words) in [
        ("", "schema.registry.url"),
        ("value.subject.name.strategy=com.acme.Mine", "Java code cannot be loaded"),
        ("value.schema.id.serializer=com.acme.Mine", "PrefixSchemaIdSerializer and"),
        ("value.schema.id.deserializer=x.ConfigSchemaIdDeserializer", "neither use.schema.id"),
        ("use.schema.guid=7", "it is no GUID"),
        (
            "use.latest.with.metadata=a",
            "Invalid value a for configuration use.latest.with.metadata",
        ),
        ("propagate.schema.tags=true", "this is not supported; set it to false"),
        ("schema.format=resolved", "this is not supported; leave it out"),
        ("schema.backup.enabled=true", "schema.backup.enabled"),
        ("validation.rules.execution=BEFORE_DOMAIN_RULES", "DISABLED"),
        ("context.name.strategy=com.acme.Mine", "context.name.strategy"),
    ] {
        let url = if keys.is_empty() { "" } else { "schema.registry.url=http://localhost:1\n" };
        let props = properties(&format!("{url}{keys}"));
        let made = converter(Words::default(), SchemaType::Avro, &props, ConverterRole::Value);
        let error = made.err().unwrap_or_else(|| panic!("{keys}"));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.trace().contains(words), "{keys}: {}", error.trace());
    }
}

/// As Java's serializer registers files that import others.
#[tokio::test]
async fn what_a_schema_refers_to_is_fetched_from_subjects_of_its_own() {
    let registry = Registry::start();
    registry
        .add_to("base.proto", &["syntax = \"proto3\"; package b; message Base { string s = 1; }"]);
    let other =
        "syntax = \"proto3\"; import public \"base.proto\"; message Other { b.Base b = 1; }";
    registry.add_to("dir/other.proto", &[other]);
    let own =
        "syntax = \"proto3\"; import \"dir/other.proto\"; message M { Other o = 1; b.Base b = 2; }";
    registry.add(&[own]);
    (1..=3).for_each(|id| registry.set_type(id, "PROTOBUF"));
    registry.set_references(2, &[("base.proto", 1)]);
    registry.set_references(3, &[("dir/other.proto", 2)]);
    let props = properties(&format!("schema.registry.url={}", registry.url()));
    let mut converter = crate::protobuf::converter(&props, ConverterRole::Value).unwrap();
    let message = [0x0a, 5, 0x0a, 3, 0x0a, 1, b'x', 0x12, 3, 0x0a, 1, b'y'];
    let cell = [&[0, 0, 0, 0, 3, 0][..], &message].concat();
    let (values, failed) = read(&mut *converter, &[Some(cell)], &[]).await;
    assert!(failed.is_empty(), "{}", trace(&failed[0]));
    assert_eq!(values[0].to_string(), "Struct{o=Struct{b=Struct{s=x}},b=Struct{s=y}}");
}
