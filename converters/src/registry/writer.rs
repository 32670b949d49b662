//! Writes columns with schemas that a registry knows: decides which are asked for, and what becomes
//! of rows whose schema it refuses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Error, Result, Serialized};

use super::fetch::{Choice, Written};
use super::format::{Compiled, Format};
use super::wire::Frame;
use super::{FAILURE_LIFE, Registry};

/// How many schemas of topics are kept ready.
const WRITERS: usize = 1000;

/// How a Connect schema is written to a topic.
struct Writer {
    topic: Arc<str>,
    schema: Option<SchemaRef>,
    made: Result<(Compiled, Frame)>,
    /// None: for ever.
    until: Option<Instant>,
}

/// What a converter knows of schemas that are written; the one used last comes first.
#[derive(Default)]
pub(super) struct Writers(Vec<Writer>);

impl Writers {
    /// Asks the registry for what a column needs and is not known.
    pub(super) async fn prepare(
        &mut self,
        topic: &str,
        column: &Column,
        registry: &Registry,
        format: &mut impl Format,
    ) -> Result<()> {
        let now = Instant::now();
        // Only here: what was prepared is there for the write that follows.
        self.0.retain(|writer| writer.until.is_none_or(|until| now < until));
        if is_all_tombstones(column, format) || self.find(topic, column.schema()).is_some() {
            return Ok(());
        }
        let made = match make(topic, column.schema(), registry, format).await {
            Err(error) if error.is_retriable() => return Err(error.context("topic", topic)),
            made => made,
        };
        let life = match (&made, registry.choice) {
            (Err(_), _) => Some(FAILURE_LIFE),
            (Ok(_), Choice::Latest { .. }) => registry.latest_life,
            _ => None,
        };
        if self.0.len() >= WRITERS {
            self.0.pop();
        }
        let until = life.map(|life: Duration| Instant::now() + life);
        let writer = Writer { topic: topic.into(), schema: column.schema().cloned(), made, until };
        self.0.insert(0, writer);
        Ok(())
    }

    /// Writes a column whose schema was prepared, and says what its records' headers get.
    pub(super) fn write(
        &mut self,
        topic: &str,
        column: &Column,
        format: &mut impl Format,
        failed: &mut Vec<RowError>,
    ) -> Result<(Serialized, Frame)> {
        let nothing = || Serialized::new_null(column.len());
        if is_all_tombstones(column, format) {
            return Ok((nothing(), Frame::default()));
        }
        let unprepared = Err(Error::data("the registry was not asked for the schema"));
        let made = self.find(topic, column.schema()).map_or(&unprepared, |writer| &writer.made);
        let (compiled, frame) = match made {
            Ok(made) => made,
            Err(error) => {
                let rows = (0..column.len()).filter(|row| !column.is_null(*row));
                failed.extend(rows.map(|row| RowError { row, error: error.copied() }));
                return Ok((nothing(), Frame::default()));
            }
        };
        let before = failed.len();
        let cells = format.write(*compiled, column, &frame.prefix, failed)?;
        let fresh = failed.split_off(before);
        failed.extend(
            fresh.into_iter().map(|RowError { row, error }| RowError {
                row,
                error: error.context("topic", topic),
            }),
        );
        Ok((cells, frame.clone()))
    }

    /// What is known of a schema, moved to the front. Schemas that are equal are one.
    fn find(&mut self, topic: &str, schema: Option<&SchemaRef>) -> Option<&Writer> {
        let same = |known: &Writer| match (&known.schema, schema) {
            (Some(known), Some(schema)) => Arc::ptr_eq(known, schema),
            (None, None) => true,
            _ => false,
        };
        let at = |is: &dyn Fn(&Writer) -> bool| {
            self.0.iter().position(|known| *known.topic == *topic && is(known))
        };
        let found = at(&same).or_else(|| at(&|known| known.schema.as_ref() == schema))?;
        let mut writer = self.0.remove(found);
        writer.schema = schema.cloned();
        self.0.insert(0, writer);
        self.0.first()
    }
}

/// Whether a column has nothing but nulls that need no schema.
fn is_all_tombstones(column: &Column, format: &impl Format) -> bool {
    format.is_tombstone(column.schema()) && (0..column.len()).all(|row| column.is_null(row))
}

async fn make(
    topic: &str,
    schema: Option<&SchemaRef>,
    registry: &Registry,
    format: &mut impl Format,
) -> Result<(Compiled, Frame)> {
    let named = |error: Error| error.context("topic", topic);
    let described = format.describe(schema).map_err(named)?;
    let record = described.record_name.as_deref();
    let subject = registry.subject_name.subject(topic, registry.role, record).ok_or_else(|| {
        named(Error::data("the data has no name, and the subject is named after it"))
            .context("remedy", "use TopicNameStrategy, or name the schema")
    })?;
    let written = Written {
        subject,
        language: registry.language.clone(),
        schema: described.schema,
        normalize: registry.normalize,
    };
    let chosen = written.choose(&registry.client, registry.choice, registry.writes).await;
    let chosen = chosen.map_err(named)?;
    let odd = |error: Error| {
        named(error).context("subject", &written.subject).context("schema id", chosen.id)
    };
    if chosen.must_fit && !format.is_compatible(&written.schema, &chosen.schema).map_err(odd)? {
        let key = if matches!(registry.choice, Choice::Latest { .. }) {
            "latest.compatibility.strict=false"
        } else {
            "id.compatibility.strict=false"
        };
        return Err(odd(Error::data("the data are not compatible with the schema to write with"))
            .context("remedy", format!("let the schema evolve with the data, or set {key}")));
    }
    let compiled = format.compile_writer(schema, &chosen.schema).map_err(odd)?;
    let opening = format.opening(compiled);
    Ok((compiled, Frame::new(registry.writes, registry.role, chosen.id, &opening)))
}
