//! Where and how records are bad, and what is said of them.

use millrace_kafka::RawHeaders;

use super::registry;

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
const HEADER_FROM_KEY: &str = "org.apache.kafka.connect.transforms.HeaderFrom$Key";
const CAST: &str = "org.apache.kafka.connect.transforms.Cast$Value";
const VALUE_TO_KEY: &str = "org.apache.kafka.connect.transforms.ValueToKey";
const DROP: &str = "test.DropEndingIn";
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poison {
    /// JSON that ends too early.
    CutJson,
    /// Bytes that are no UTF-8.
    NoText,
    /// JSON that is deeper than anybody reads.
    DeepJson,
    /// A number that JSON has not.
    NotANumber,
    /// A key that is no JSON.
    Key,
    /// A header that is no JSON.
    Header,
    /// Avro that does not begin as it should.
    BadMagic,
    /// Avro whose schema the registry does not know.
    UnknownId,
    /// Avro that ends within a text.
    CutAvro,
    /// Avro with a length of more bits than there are.
    LongAvro,
    /// Avro that goes on after its value.
    TrailingAvro,
    /// A decimal of more digits than the sink takes.
    WideDecimal,
    /// A tombstone, of which a transformation wants a field.
    Tombstone,
    /// A text that a transformation is to cast to a number.
    NoNumber,
    /// No key, of which a transformation wants a field.
    NullKey,
    /// A transformation refuses them.
    Transformation,
    /// The sink reports them to its reporter.
    Reported,
    /// The same, and it waits until they are where they belong: no part of [`Self::ALL`].
    Settled,
    /// The sink names them.
    Refused,
    /// The sink fails with the batch.
    Batch,
    /// A text of 64 MiB that has no end. Of these a few are enough: no part of [`Self::ALL`].
    HugeField,
}

/// A record as it lies in Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: RawHeaders,
}

/// How many brackets a text has that is too deep.
const DEPTH: usize = 10_000;

/// How many bytes a text has that is huge.
const HUGE: usize = 64 << 20;

/// As long as this, a record is neither too large for Kafka's producer nor for the queue's.
pub(super) const LARGEST: &str = "134217728";

impl Poison {
    pub(super) const ALL: [Self; 19] = [
        Self::CutJson,
        Self::NoText,
        Self::DeepJson,
        Self::NotANumber,
        Self::Key,
        Self::Header,
        Self::BadMagic,
        Self::UnknownId,
        Self::CutAvro,
        Self::LongAvro,
        Self::TrailingAvro,
        Self::WideDecimal,
        Self::Tombstone,
        Self::NoNumber,
        Self::NullKey,
        Self::Transformation,
        Self::Reported,
        Self::Refused,
        Self::Batch,
    ];

    /// One of each stage, and of each way of a sink's; of them none asks a registry.
    pub(crate) const OF_EACH_STAGE: [Self; 7] = [
        Self::Key,
        Self::CutJson,
        Self::Header,
        Self::Transformation,
        Self::Reported,
        Self::Refused,
        Self::Batch,
    ];

    /// What a percent of it leaves of the throughput, at least. A sink that fails with the whole batch
    /// is no kind of bad record: each is found with ten puts, which here cost as much as a hundred
    /// records, and no way of asking yes or no needs fewer than eight.
    pub(super) fn least_share(self) -> f64 {
        match self {
            Self::Batch => 0.5,
            _ => 0.7,
        }
    }

    /// A record that is delivered: the first number in what the sink sees is its own.
    pub(super) fn good(self, number: usize) -> Raw {
        let text = number.to_string();
        let value = match self {
            Self::WideDecimal => avro(registry::DECIMAL, &(number * 100).to_be_bytes()),
            Self::BadMagic
            | Self::UnknownId
            | Self::CutAvro
            | Self::LongAvro
            | Self::TrailingAvro => avro(registry::TEXT, &sized(&text)),
            // Objects have a form of their own, which a bad one must not cost the others.
            Self::CutJson | Self::Tombstone | Self::NoNumber => {
                format!("{{\"n\":{number}}}").into_bytes()
            }
            _ => format!("\"{number}\"").into_bytes(),
        };
        let key = match self {
            Self::Key => Some(&b"1"[..]),
            Self::NullKey => Some(&b"{\"k\":1}"[..]),
            _ => None,
        };
        let headers = match self {
            Self::Header => vec![("h".into(), Some("1".into()))],
            _ => RawHeaders::new(),
        };
        Raw { key: key.map(<[u8]>::to_vec), value: Some(value), headers }
    }

    /// A record that is delivered, and has as many bytes as one that is not.
    pub(super) fn twin(self, number: usize) -> Raw {
        let mut raw = self.good(number);
        let length = match self {
            Self::DeepJson => DEPTH - 2,
            Self::HugeField => HUGE - 2,
            _ => return raw,
        };
        raw.value = Some(format!("\"{}{number}\"", "-".repeat(length)).into_bytes());
        raw
    }

    /// A record that becomes a letter.
    pub(super) fn bad(self, number: usize) -> Raw {
        let mut raw = self.good(number);
        let value = raw.value.take().unwrap_or_default();
        raw.value = match self {
            Self::CutJson => Some(format!("{{\"number\":\"{number}").into_bytes()),
            Self::NoText => Some([&b"\"\xff\xfe\x80"[..], &value[1..]].concat()),
            Self::DeepJson => Some("[".repeat(DEPTH).into_bytes()),
            Self::NotANumber => Some(b"NaN".to_vec()),
            Self::HugeField => Some(format!("\"{}", "-".repeat(HUGE)).into_bytes()),
            Self::BadMagic => Some([&b"{"[..], &value[1..]].concat()),
            Self::UnknownId => Some(avro(99, &value[5..])),
            Self::CutAvro => Some(value[..value.len() - 1].to_vec()),
            Self::LongAvro => Some(avro(registry::TEXT, &[0xff; 12])),
            Self::TrailingAvro => Some([&value[..], &b"\0"[..]].concat()),
            Self::WideDecimal => Some(avro(registry::DECIMAL, &wide())),
            Self::Tombstone => None,
            Self::NoNumber => Some(format!("{{\"n\":\"{number}!\"}}").into_bytes()),
            Self::Key | Self::Header | Self::NullKey => Some(value),
            Self::Transformation | Self::Reported | Self::Settled | Self::Refused | Self::Batch => {
                Some(format!("\"{number}!\"").into_bytes())
            }
        };
        match self {
            Self::Key => raw.key = Some(b"{".to_vec()),
            Self::NullKey => raw.key = None,
            Self::Header => raw.headers = vec![("h".into(), Some("{".into()))],
            _ => {}
        }
        raw
    }

    /// The keys of a sink that comes to such a record; `registry` is a registry's URL.
    pub(crate) fn config(self, registry: &str) -> Vec<(&'static str, &str)> {
        let refusing = |end, by| vec![("poison", end), ("poison.by", by)];
        let own = match self {
            Self::Key => vec![("key.converter", JSON), SCHEMALESS_KEY],
            Self::Header => {
                vec![("header.converter", JSON), ("header.converter.schemas.enable", "false")]
            }
            Self::Tombstone => vec![
                ("transforms", "t"),
                ("transforms.t.type", VALUE_TO_KEY),
                ("transforms.t.fields", "n"),
            ],
            Self::NoNumber => vec![
                ("transforms", "t"),
                ("transforms.t.type", CAST),
                ("transforms.t.spec", "n:int64"),
            ],
            Self::NullKey => vec![
                ("key.converter", JSON),
                SCHEMALESS_KEY,
                ("transforms", "t"),
                ("transforms.t.type", HEADER_FROM_KEY),
                ("transforms.t.fields", "k"),
                ("transforms.t.headers", "k"),
                ("transforms.t.operation", "copy"),
            ],
            Self::Transformation => vec![
                ("transforms", "t"),
                ("transforms.t.type", DROP),
                ("transforms.t.marker", "none"),
                ("transforms.t.poison", "!"),
            ],
            Self::WideDecimal => refusing(".99", "refuse"),
            Self::Reported => refusing("!", "report"),
            Self::Settled => refusing("!", "settle"),
            Self::Refused => refusing("!", "refuse"),
            Self::Batch => refusing("!", "fail"),
            Self::HugeField => vec![("producer.override.max.request.size", LARGEST)],
            _ => Vec::new(),
        };
        let values = match self.is_avro() {
            true => [("value.converter", AVRO), ("value.converter.schema.registry.url", registry)],
            false => [("value.converter", JSON), ("value.converter.schemas.enable", "false")],
        };
        values.into_iter().chain(own).collect()
    }

    /// The stage and the class at which such a record fails, as Java names them.
    pub(super) fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Key => ("KEY_CONVERTER", JSON),
            Self::Header => ("HEADER_CONVERTER", JSON),
            Self::Tombstone => ("TRANSFORMATION", VALUE_TO_KEY),
            Self::NoNumber => ("TRANSFORMATION", CAST),
            Self::NullKey => ("TRANSFORMATION", HEADER_FROM_KEY),
            Self::Transformation => ("TRANSFORMATION", DROP),
            Self::WideDecimal | Self::Reported | Self::Settled | Self::Refused | Self::Batch => {
                ("TASK_PUT", SINK_TASK)
            }
            _ if self.is_avro() => ("VALUE_CONVERTER", AVRO),
            _ => ("VALUE_CONVERTER", JSON),
        }
    }

    fn is_avro(self) -> bool {
        matches!(
            self,
            Self::BadMagic
                | Self::UnknownId
                | Self::CutAvro
                | Self::LongAvro
                | Self::TrailingAvro
                | Self::WideDecimal
        )
    }
}

const SCHEMALESS_KEY: (&str, &str) = ("key.converter.schemas.enable", "false");

/// A payload as a registry's serializers write it.
fn avro(id: u32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

/// A text of Avro: its length goes before it. Bytes that stand alone have no length, as Confluent's
/// serializer writes them.
fn sized(text: &str) -> Vec<u8> {
    assert!(text.len() < 64, "its length is one byte");
    [&[2 * text.len() as u8], text.as_bytes()].concat()
}

/// 256³⁹ + 3, which has 94 digits and ends in 99.
fn wide() -> Vec<u8> {
    [&[1][..], &[0; 38], &[3]].concat()
}
