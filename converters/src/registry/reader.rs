//! Reads rows whose schemas a registry keeps: decides which schemas are missing, and what becomes
//! of rows whose schema cannot be had.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::Array;
use futures_util::StreamExt;
use millrace_api::data::{Column, RowError};
use millrace_api::{Error, RawHeaders, Result, Serialized};

use super::Registry;
use super::errors::is_the_tasks;
use super::fetch::{self, Fetched};
use super::format::{Compiled, Format, Row};
use super::wire::{Framed, Reads, SchemaId, Unreadable};

/// How many schemas are asked for at once.
const AT_ONCE: usize = 8;
/// How many schemas of a topic are remembered that cannot be had.
const FAILURES: usize = 1000;

/// The schemas of one topic.
#[derive(Default)]
struct Known {
    /// What rows are read as, if not as what they were written with.
    wanted: Option<Fetched>,
    compiled: HashMap<SchemaId, Compiled>,
    /// Remembered for a time, so that a million rows with it are one question.
    failed: HashMap<SchemaId, (Error, Instant)>,
    /// A batch is being prepared, in as many attempts as it takes: what is found for it is kept.
    is_preparing: bool,
}

/// What a converter knows of schemas that are read.
#[derive(Default)]
pub(super) struct Readers {
    topics: HashMap<Arc<str>, Known>,
    plans: usize,
}

/// The rows of a batch, and where their ids stand.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) topic: &'a str,
    pub(super) rows: &'a Serialized,
    /// One for each row, or none at all.
    pub(super) headers: &'a [RawHeaders],
    pub(super) reads: Reads,
    pub(super) header: &'a str,
}

impl<'a> Batch<'a> {
    /// None where the row is null.
    fn split(&self, row: usize) -> Option<Result<Framed<'a>, Unreadable>> {
        let rows: &'a Serialized = self.rows;
        let cell = rows.is_valid(row).then(|| rows.value(row))?;
        Some(self.reads.split(cell, self.headers.get(row), self.header))
    }
}

impl Readers {
    /// How many topics were read.
    pub(super) fn topics(&self) -> usize {
        self.topics.len()
    }

    /// How many schemas were compiled for them.
    pub(super) fn plans(&self) -> usize {
        self.plans
    }

    /// Fetches and compiles what a batch needs and is not known.
    pub(super) async fn prepare(
        &mut self,
        batch: Batch<'_>,
        registry: &Registry,
        format: &mut impl Format,
    ) -> Result<()> {
        let subject = registry.subject_name.subject(batch.topic, registry.role, None);
        let wanted = self.wanted(batch.topic, subject.as_deref(), registry).await;
        let wanted = match wanted {
            Err(error) if is_the_tasks(&error) => return Err(error.context("topic", batch.topic)),
            wanted => wanted,
        };
        let missing = self.missing(batch);
        let asked = missing.into_iter().map(|id| {
            let (client, language) = (Arc::clone(&registry.client), registry.language.clone());
            let subject = subject.clone();
            async move { (id, fetch::reader(client, language, subject, id).await) }
        });
        let mut asked = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut waiting = None;
        while let Some((id, fetched)) = asked.next().await {
            let compiled = match fetched {
                Err(error) if is_the_tasks(&error) => {
                    // What others bring is kept, whatever becomes of this one.
                    waiting = Some(error.context("schema id", id));
                    continue;
                }
                fetched => fetched.and_then(|Fetched { schema, version }| match &wanted {
                    Ok(None) => format.compile_reader(&schema, version),
                    Ok(Some(wanted)) => {
                        format.compile_resolver(&schema, &wanted.schema, wanted.version)
                    }
                    Err(error) => Err(error.copied()),
                }),
            };
            self.remember(batch.topic, id, compiled, registry.unread_life);
        }
        match waiting {
            None => {
                self.topics.entry_ref(batch.topic).is_preparing = false;
                Ok(())
            }
            Some(error) => Err(error.context("topic", batch.topic)),
        }
    }

    /// What the rows of a topic are to be read as, if not as what they were written with. What was
    /// compiled for another is forgotten.
    async fn wanted(
        &mut self,
        topic: &str,
        subject: Option<&str>,
        registry: &Registry,
    ) -> Result<Option<Fetched>> {
        let Some(subject) = subject.filter(|_| registry.reads_latest) else {
            return Ok(None);
        };
        let latest = fetch::latest(&registry.client, &registry.language, subject).await;
        let known = self.topics.entry_ref(topic);
        let latest = match (latest, &known.wanted) {
            // The registry is away: what was the latest will do.
            (Err(error), Some(wanted)) if error.is_retriable() => wanted.clone(),
            (latest, _) => latest?,
        };
        if known.wanted.as_ref() != Some(&latest) {
            *known = Known { wanted: Some(latest.clone()), ..Known::default() };
        }
        Ok(Some(latest))
    }

    /// The ids of a batch that are not known, each once, in the order of the rows: who comes back
    /// for answers asks the same first.
    fn missing(&mut self, batch: Batch<'_>) -> Vec<SchemaId> {
        let known = self.topics.entry_ref(batch.topic);
        let now = Instant::now();
        if !std::mem::replace(&mut known.is_preparing, true) {
            known.failed.retain(|_, (_, until)| now < *until);
        }
        let (mut ids, mut missing) = (HashSet::new(), Vec::new());
        let mut last = None;
        for row in 0..batch.rows.len() {
            let Some(Ok(Framed { id, .. })) = batch.split(row) else { continue };
            let is_new = last.replace(id) != Some(id) && !known.compiled.contains_key(&id);
            if is_new && ids.insert(id) {
                missing.push(id);
            }
        }
        if known.failed.len() > FAILURES {
            known.failed.retain(|id, _| ids.contains(id));
        }
        missing.retain(|id| !known.failed.contains_key(id));
        missing
    }

    fn remember(
        &mut self,
        topic: &str,
        id: SchemaId,
        compiled: Result<Compiled>,
        failure_life: Duration,
    ) {
        let known = self.topics.entry_ref(topic);
        match compiled {
            Ok(compiled) => {
                self.plans = self.plans.max(compiled.0 + 1);
                known.compiled.insert(id, compiled);
            }
            Err(error) => {
                known.failed.insert(id, (error, Instant::now() + failure_life));
            }
        }
    }

    /// Reads a batch whose schemas were prepared.
    pub(super) fn read(
        &mut self,
        batch: Batch<'_>,
        format: &mut impl Format,
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        let count = batch.rows.len();
        let before = failed.len();
        let known = self.topics.entry_ref(batch.topic);
        let joined = joined(batch);
        let mut rows: Vec<Row<'_>> = Vec::with_capacity(count);
        let mut last: Option<(SchemaId, Compiled)> = None;
        // Rows without a schema join their neighbours, so that they cut no run.
        let mut leading = 0;
        for row in 0..count {
            let payload = match batch.split(row) {
                None => None,
                Some(framed) => match known.row(framed, &mut last) {
                    Ok(payload) => {
                        Some(joined.get(row).and_then(Option::as_deref).unwrap_or(payload))
                    }
                    Err(error) => {
                        failed.push(RowError { row, error });
                        None
                    }
                },
            };
            match last {
                Some((_, schema)) => {
                    if rows.is_empty() {
                        rows.resize(leading, Row { schema, payload: None });
                    }
                    rows.push(Row { schema, payload });
                }
                None => leading += 1,
            }
        }
        let columns = match rows.is_empty() {
            true => vec![Column::nulls(count)],
            false => format.read(&rows, failed)?,
        };
        name(batch, failed, before);
        Ok(columns)
    }
}

/// The entry of a topic, without a copy of its name where it is there.
trait EntryRef {
    fn entry_ref(&mut self, topic: &str) -> &mut Known;
}

impl EntryRef for HashMap<Arc<str>, Known> {
    fn entry_ref(&mut self, topic: &str) -> &mut Known {
        if !self.contains_key(topic) {
            self.insert(topic.into(), Known::default());
        }
        self.get_mut(topic).expect("it was just made")
    }
}

impl Known {
    /// A row's payload; `last` becomes its schema.
    fn row<'a>(
        &self,
        framed: Result<Framed<'a>, Unreadable>,
        last: &mut Option<(SchemaId, Compiled)>,
    ) -> Result<&'a [u8]> {
        let Framed { id, payload, .. } = framed.map_err(Unreadable::error)?;
        if last.is_none_or(|(known, _)| known != id) {
            match (self.compiled.get(&id), self.failed.get(&id)) {
                (Some(compiled), _) => *last = Some((id, *compiled)),
                (None, Some((error, _))) => return Err(error.copied()),
                (None, None) => {
                    return Err(Error::data("the registry was not asked for the schema"));
                }
            }
        }
        Ok(payload)
    }
}

/// Payloads whose beginning stands in a header, put together.
fn joined(batch: Batch<'_>) -> Vec<Option<Vec<u8>>> {
    if batch.headers.is_empty() {
        return Vec::new();
    }
    let rows = 0..batch.rows.len();
    let join = |row| match batch.split(row) {
        Some(Ok(Framed { opening, payload, .. })) if !opening.is_empty() => {
            Some([opening, payload].concat())
        }
        _ => None,
    };
    rows.map(join).collect()
}

/// Says of each new failure what it was about, and puts them into the order of rows.
fn name(batch: Batch<'_>, failed: &mut Vec<RowError>, before: usize) {
    let fresh = failed.split_off(before);
    failed.extend(fresh.into_iter().map(|RowError { row, error }| {
        let error = error.context("topic", batch.topic);
        let error = match batch.split(row) {
            Some(Ok(framed)) => error.context("schema id", framed.id),
            _ => error,
        };
        RowError { row, error }
    }));
    failed[before..].sort_by_key(|failure| failure.row);
}
