//! Decides what happens to the records of one topic partition: which file they go into, when it is
//! published, and up to which offset everything is safe.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use millrace_api::data::{Records, SchemaRef};
use millrace_api::{Error, Result, TopicPartition};

use crate::clock::Clock;
use crate::format::{Encoder, Format, Prepared};
use crate::naming::Naming;
use crate::rotation::{Policy, Span, Waiting};
use crate::store::{Store, Upload};

/// Encoded bytes are handed to the store in pieces of at least this size.
const PIECE: usize = 1 << 20;

/// What all partitions of a task share.
pub(crate) struct Output {
    pub(crate) naming: Naming,
    pub(crate) policy: Policy,
    pub(crate) format: Format,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
}

/// One topic partition of the task.
pub(crate) struct Partition {
    source: TopicPartition,
    file: Option<OpenFile>,
    /// The first offset that is not in a published file, if there is one: nothing from here on may
    /// be committed.
    unsafe_from: Option<i64>,
    /// The offset after the last that was handled.
    next: Option<i64>,
    /// Where files start that are there already, in the directories that were looked at.
    cuts: BTreeSet<i64>,
    listed: HashSet<String>,
}

struct OpenFile {
    topic: Arc<str>,
    schema: Option<SchemaRef>,
    key: String,
    span: Span,
    encoder: Encoder,
    upload: Option<Upload>,
}

impl Partition {
    pub(crate) fn new(source: TopicPartition) -> Self {
        Self {
            source,
            file: None,
            unsafe_from: None,
            next: None,
            cuts: BTreeSet::new(),
            listed: HashSet::new(),
        }
    }

    /// Up to where offsets may be committed, when the worker has handed over all before `consumed`.
    ///
    /// It is always where a file starts, or will: to go on from the middle of a published file
    /// would write the rest of it twice. So there is no answer after a call that published more
    /// and then failed, for which `consumed` stands still.
    pub(crate) fn committable(&self, consumed: i64) -> Option<i64> {
        match self.unsafe_from {
            Some(start) => (start <= consumed).then_some(start),
            None => (self.next <= Some(consumed)).then_some(consumed),
        }
    }

    /// Says how many of the offsets that come now, from the first, are in the open file already.
    /// The same ones may come again until they are [taken note of](Self::note).
    ///
    /// Offsets start again when the worker goes back to what it has committed. The open file is
    /// then begun anew: it starts where the last commit was, or later.
    pub(crate) async fn arrive(&mut self, offsets: &[i64], store: &Store) -> Result<usize> {
        let Some(&first) = offsets.first() else { return Ok(0) };
        if let (None, Some(lost)) = (&self.file, self.unsafe_from)
            && first > lost
        {
            return Err(Error::fatal(
                "an earlier error has cost records that were not written yet; restart the task",
            )
            .context("partition", &self.source)
            .context("first offset lost", lost));
        }
        let next = self.next.unwrap_or(first);
        if first >= next {
            return Ok(0);
        }
        if let Some(file) = &self.file
            && first > file.span.start
        {
            return Ok(offsets.partition_point(|offset| *offset < next));
        }
        tracing::info!(partition = %self.source, offset = first, "records come again");
        self.discard(store).await;
        self.unsafe_from = None;
        self.next = Some(first);
        self.listed.clear();
        Ok(0)
    }

    /// Takes note that these offsets are handled now.
    pub(crate) fn note(&mut self, offsets: &[i64]) {
        self.next = self.next.max(offsets.last().map(|last| last + 1));
    }

    /// Writes records, and publishes the files that they fill.
    pub(crate) async fn write(
        &mut self,
        records: &Records,
        prepared: &Prepared,
        out: &mut Output,
    ) -> Result<()> {
        let offsets = records.offsets.as_deref().unwrap_or_default();
        let mut at = 0;
        while at < records.len() {
            if self.file.as_ref().is_some_and(|f| !f.takes(records)) {
                self.publish(out).await?;
            }
            let mut file = match self.file.take() {
                Some(file) => file,
                None => self.begin(records, prepared, offsets[at], out).await?,
            };
            let waiting = Waiting {
                offsets: &offsets[at..],
                timestamps: records.timestamps.as_ref().map(|t| &t[at..]),
            };
            let rows = out.policy.extend(&mut file.span, waiting, &self.cuts);
            let appended = file.append(prepared, at, rows, &out.store).await;
            at += rows;
            let ends = at < records.len() || out.policy.is_full(&file.span);
            self.file = Some(file);
            appended?;
            if ends {
                self.publish(out).await?;
            }
        }
        Ok(())
    }

    /// Publishes the open file if the clock says so.
    pub(crate) async fn publish_if_due(&mut self, out: &mut Output) -> Result<()> {
        let now = out.clock.now();
        let span = self.file.as_ref().map(|file| file.span);
        if span.is_some_and(|span| Policy::is_due(&span, now)) {
            self.publish(out).await?;
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        records: &Records,
        first: &Prepared,
        start: i64,
        out: &Output,
    ) -> Result<OpenFile> {
        let directory = out.naming.directory(&records.topic, self.source.partition);
        if !self.listed.contains(&directory) {
            let names = out.store.names(&directory).await?;
            let starts = names.iter().filter_map(|n| out.naming.start_of(n, &self.source));
            self.cuts.extend(starts);
            self.listed.insert(directory.clone());
        }
        self.unsafe_from = Some(start);
        Ok(OpenFile {
            topic: Arc::clone(&records.topic),
            schema: records.value.schema().cloned(),
            key: out.naming.key(&directory, &self.source, start),
            span: out.policy.begin(start, out.clock.now()),
            encoder: out.format.encoder(first),
            upload: None,
        })
    }

    async fn publish(&mut self, out: &mut Output) -> Result<()> {
        if let Some(file) = self.file.take() {
            file.publish(&mut out.store).await?;
            self.unsafe_from = None;
        }
        Ok(())
    }

    /// Gives the open file up. Its records stay uncommitted.
    pub(crate) async fn discard(&mut self, store: &Store) {
        if let Some(upload) = self.file.take().and_then(|file| file.upload) {
            store.discard(upload).await;
        }
    }

    /// How much memory the open file takes.
    pub(crate) fn memory(&self) -> usize {
        self.file.as_ref().map_or(0, |file| file.encoder.memory())
    }

    /// Gives that memory up.
    pub(crate) async fn spill(&mut self, store: &Store) -> Result<()> {
        match &mut self.file {
            Some(file) => {
                file.encoder.spill()?;
                file.hand_over(store).await
            }
            None => Ok(()),
        }
    }
}

impl OpenFile {
    /// Whether records of this topic and schema may go into the file.
    fn takes(&self, records: &Records) -> bool {
        let same_schema = match (&self.schema, records.value.schema()) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (None, None) => true,
            _ => false,
        };
        same_schema && self.topic == records.topic
    }

    async fn append(
        &mut self,
        rows: &Prepared,
        offset: usize,
        len: usize,
        store: &Store,
    ) -> Result<()> {
        self.encoder.append(rows, offset, len)?;
        self.hand_over(store).await
    }

    /// Gives the store what is encoded, when it is worth a call.
    async fn hand_over(&mut self, store: &Store) -> Result<()> {
        match self.encoder.take(PIECE)? {
            Some(bytes) => store.write(self.upload(store).await?, bytes).await,
            None => Ok(()),
        }
    }

    async fn upload(&mut self, store: &Store) -> Result<&mut Upload> {
        if self.upload.is_none() {
            self.upload = Some(store.create(self.key.clone()).await?);
        }
        Ok(self.upload.as_mut().expect("it was made above"))
    }

    async fn publish(mut self, store: &mut Store) -> Result<()> {
        let (key, span) = (self.key.clone(), self.span);
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => store.create(key.clone()).await?,
        };
        let written = match self.encoder.finish() {
            Ok(bytes) => store.write(&mut upload, bytes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            store.discard(upload).await;
            return Err(error);
        }
        store.publish(upload).await?;
        tracing::info!(key, records = span.rows, "published");
        Ok(())
    }
}
