//! Writes columns with schemas that a registry knows: decides which are asked for, and what becomes
//! of rows whose schema it refuses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Error, Result, Serialized};

use super::Registry;
use super::errors::is_the_tasks;
use super::fetch::{Choice, Written};
use super::format::{Compiled, Format};
use super::wire::Frame;

/// How many schemas of a topic are kept ready, or are known not to be.
const WRITERS: usize = 1000;

/// How a Connect schema is written to a topic.
struct Writer {
    schema: Option<SchemaRef>,
    made: Result<(Compiled, Frame)>,
    /// None: for ever.
    until: Option<Instant>,
}

/// What a converter knows of schemas that are written.
#[derive(Default)]
pub(super) struct Writers {
    /// Of each topic the one used last comes first.
    topics: HashMap<Arc<str>, Vec<Writer>>,
    plans: usize,
}

impl Writers {
    /// How many topics were written.
    pub(super) fn topics(&self) -> usize {
        self.topics.len()
    }

    /// How many schemas were compiled for them.
    pub(super) fn plans(&self) -> usize {
        self.plans
    }

    /// Asks the registry for what a column needs and is not known.
    pub(super) async fn prepare(
        &mut self,
        topic: &str,
        column: &Column,
        registry: &Registry,
        format: &mut impl Format,
    ) -> Result<()> {
        if let Some(known) = self.topics.get_mut(topic) {
            // Only here: what was prepared is there for the write that follows.
            let now = Instant::now();
            known.retain(|writer| writer.until.is_none_or(|until| now < until));
        }
        if is_all_tombstones(column, format) || self.find(topic, column.schema()).is_some() {
            return Ok(());
        }
        let made = match make(topic, column.schema(), registry, format).await {
            Err(error) if is_the_tasks(&error) => return Err(error),
            made => made,
        };
        let life = match (&made, registry.choice) {
            (Err(_), _) => Some(registry.unwritten_life),
            (Ok(_), Choice::Latest { .. }) => registry.latest_life,
            _ => None,
        };
        if let Ok((compiled, _)) = &made {
            self.plans = self.plans.max(compiled.0 + 1);
        }
        let until = life.map(|life| Instant::now() + life);
        let known = self.topics.entry(topic.into()).or_default();
        known.truncate(WRITERS - 1);
        known.insert(0, Writer { schema: column.schema().cloned(), made, until });
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
        let known = self.topics.get_mut(topic)?;
        let same = |known: &Writer| match (&known.schema, schema) {
            (Some(known), Some(schema)) => Arc::ptr_eq(known, schema),
            (None, None) => true,
            _ => false,
        };
        let equal = |known: &Writer| known.schema.as_ref() == schema;
        let found = known.iter().position(same).or_else(|| known.iter().position(equal))?;
        known[..=found].rotate_right(1);
        known[0].schema = schema.cloned();
        known.first()
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
    let (id, subject) = (chosen.id, &written.subject);
    tracing::info!("writing {topic} with the schema {id} of the subject {subject}");
    Ok((compiled, Frame::new(registry.writes, registry.role, chosen.id, &opening)))
}
