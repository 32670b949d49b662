//! The sink's task: takes records over, and decides when they are written and what happens when
//! that fails.
//!
//! Records wait until there are `batch.size` of them, or for `batch.linger.ms`. After a passing
//! error the same rows are tried again from a later `put`, so that the worker goes on polling and
//! the task can be stopped meanwhile; no others are taken until then.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::config::Props;
use millrace_api::data::SinkRecords;
use millrace_api::{Error, Offsets, Result, SinkContext, SinkTask, TopicPartition};
use tokio::time::Instant;

use crate::sink::batch::Batch;
use crate::sink::config::{ExactlyOnce, SinkConfig};
use crate::sink::ledger::Ledger;
use crate::sink::rows::{Converter, Refused};
use crate::sink::writer::{Rejects, Writer};

/// A transaction is not made larger than about this, whatever `batch.size` says.
const MOST_BYTES: usize = 16 << 20;

/// One task of the sink.
pub(super) struct JdbcSinkTask {
    config: Arc<SinkConfig>,
    context: SinkContext,
    converter: Converter,
    writer: Writer,
    ledger: Option<Ledger>,
    /// Partitions whose offsets are to be read from the ledger before their records are taken.
    unopened: BTreeSet<TopicPartition>,
    /// What is to be written, the oldest first. Only the last takes more rows.
    batches: VecDeque<Batch>,
    /// Whether the records of the last `put` were taken though it failed: they come again.
    has_taken: bool,
    trouble: Option<Trouble>,
    /// Why nothing can be written any more.
    broken: Option<Error>,
}

/// Passing errors since something was last written.
struct Trouble {
    connects: i32,
    failures: i32,
    again: Instant,
    error: Error,
}

impl JdbcSinkTask {
    /// `props` may hold driver settings. Opens nothing: the database may be away for now.
    pub(super) fn start(config: SinkConfig, props: &Props, context: SinkContext) -> Result<Self> {
        let config = Arc::new(config);
        config.check()?;
        let dialect = config.dialect(props)?;
        let mark = dialect.quote_mark();
        let ledger = match config.exactly_once {
            ExactlyOnce::Off => None,
            ExactlyOnce::Transactional => {
                let table = config.table_names(mark)?.parse(config.offsets_table())?;
                Some(Ledger::new(&dialect, context.connector(), table))
            }
        };
        Ok(Self {
            converter: Converter::new(&config, mark)?,
            writer: Writer::new(&config, dialect)?,
            config,
            context,
            ledger,
            unopened: BTreeSet::new(),
            batches: VecDeque::new(),
            has_taken: false,
            trouble: None,
            broken: None,
        })
    }

    /// Takes records over. Those that cannot become rows are rejected.
    async fn take(
        &mut self,
        records: &[SinkRecords],
        except: &BTreeSet<TopicPartition>,
    ) -> Result<()> {
        for run in records.iter().filter(|run| !except.contains(&run.topic_partition)) {
            let mut start = self.written_before(run);
            while start < run.records.len() {
                let taken = self.open_batch().rows();
                let room = self.config.batch_size() - taken;
                let len = room.min(run.records.len() - start);
                let part = Arc::new(run.slice(start, len));
                let mut refused = Vec::new();
                let run = self.converter.convert(part, &mut refused)?;
                // Before the others: offsets of what is gathered pass over what was refused.
                let rejects = Reporter(&self.context);
                for refused in refused {
                    rejects.reject(refused).await?;
                }
                self.open_batch().add(run);
                start += len;
            }
            if let (Some(ledger), Some(last)) = (&mut self.ledger, run.offsets().last()) {
                ledger.take(&run.topic_partition, last + 1);
            }
        }
        Ok(())
    }

    /// How many records of a run the database has already.
    fn written_before(&self, run: &SinkRecords) -> usize {
        let Some(ledger) = &self.ledger else { return 0 };
        run.offsets().partition_point(|offset| ledger.has(&run.topic_partition, *offset))
    }

    /// The batch that takes more rows.
    fn open_batch(&mut self) -> &mut Batch {
        if self.batches.back().is_none_or(|batch| self.is_full(batch)) {
            self.batches.push_back(Batch::default());
        }
        self.batches.back_mut().expect("there is one now")
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.is_sealed() || batch.rows() >= self.config.batch_size() || batch.bytes() >= MOST_BYTES
    }

    /// When the oldest batch is to be written.
    fn due(&self) -> Option<Instant> {
        let oldest = self.batches.front()?;
        let since = oldest.since()?;
        Some(if self.is_full(oldest) { since } else { since + self.config.linger() })
    }

    fn is_due(&self) -> bool {
        self.trouble.is_some() || self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Nothing is tried until the time after a passing error is over.
    fn wait_out_trouble(&self) -> Result<()> {
        let now = Instant::now();
        match &self.trouble {
            Some(trouble) if now < trouble.again => {
                self.context.set_timeout(trouble.again - now);
                Err(trouble.error.copied())
            }
            _ => Ok(()),
        }
    }

    /// Writes what is due; `all`: what is not, too.
    async fn flush(&mut self, all: bool) -> Result<()> {
        self.wait_out_trouble()?;
        while !self.batches.is_empty() && (all || self.is_due()) {
            self.settle().await?;
            match self.write_oldest().await {
                Err((error, is_connecting)) => return Err(self.failed(error, is_connecting)),
                Ok(false) => {}
                Ok(true) => {
                    self.batches.pop_front();
                    self.trouble = None;
                }
            }
        }
        Ok(())
    }

    /// Waits for what was rejected, where the ledger would pass over it. The worker's offsets wait
    /// by themselves.
    async fn settle(&mut self) -> Result<()> {
        let (Some(_), Some(reporter)) = (&self.ledger, self.context.errant_record_reporter())
        else {
            return Ok(());
        };
        match reporter.settle().await {
            Err(error) if error.is_retriable() => {
                // That says nothing of the database: the connection stays, and no retry is counted.
                self.context.set_timeout(self.config.retry_backoff());
                let message = "records that cannot be written are not in the dead letter queue \
                               yet, and with exactly.once=transactional rows wait for them; \
                               nothing is wrong with the database, see whether the queue's topic \
                               takes records";
                Err(Error::retriable(message).with_source(error))
            }
            Err(error) => {
                self.broken = Some(error.copied());
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Writes a batch; false: rows were rejected instead. With an error comes whether it was about
    /// connecting.
    async fn write_oldest(&mut self) -> Result<bool, (Error, bool)> {
        let Some(batch) = self.batches.front_mut().filter(|batch| !batch.is_empty()) else {
            return Ok(true);
        };
        let rejects = &Reporter(&self.context);
        let was_connected = self.writer.is_connected();
        self.writer.connect().await.map_err(|e| (e, true))?;
        batch.seal();
        match self.writer.write(batch, self.ledger.as_mut(), rejects).await {
            // A connection that lay idle may be gone, which says nothing about the next.
            Err(error) if error.is_retriable() && was_connected => {
                tracing::warn!("writing failed and is repeated on a new connection: {error}");
                self.writer.connect().await.map_err(|e| (e, true))?;
                let written = self.writer.write(batch, self.ledger.as_mut(), rejects).await;
                written.map_err(|e| (e, false))
            }
            written => written.map_err(|e| (e, false)),
        }
    }

    /// Takes note of an error; gives what to return.
    fn failed(&mut self, error: Error, is_connecting: bool) -> Error {
        if !error.is_retriable() {
            self.broken = Some(error.copied());
            return error;
        }
        let (mut connects, mut failures) =
            self.trouble.as_ref().map_or((0, 0), |trouble| (trouble.connects, trouble.failures));
        let mut wait = self.config.retry_backoff();
        if is_connecting {
            connects += 1;
            wait = self.config.connection_backoff();
        }
        if !is_connecting || connects >= self.config.connection_attempts {
            connects = 0;
            failures += 1;
        }
        if failures > self.config.max_retries {
            let message = "writing fails again and again; see what the database says, then \
                           restart, or raise max.retries";
            let error = Error::fatal(message)
                .context("max.retries", self.config.max_retries)
                .with_source(error);
            self.broken = Some(error.copied());
            return error;
        }
        self.context.set_timeout(wait);
        let again = Instant::now() + wait;
        self.trouble = Some(Trouble { connects, failures, again, error: error.copied() });
        error
    }

    /// Reads from the ledger where new partitions go on, and has them read from there. Gives those.
    async fn open_ledger(&mut self) -> Result<BTreeSet<TopicPartition>> {
        if self.unopened.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.wait_out_trouble()?;
        let Some(ledger) = &mut self.ledger else { return Ok(BTreeSet::new()) };
        let partitions: Vec<_> = self.unopened.iter().cloned().collect();
        let opened = match self.writer.connect().await {
            Err(error) => Err((error, true)),
            Ok(()) => {
                let mut target = self.writer.take_connection()?;
                let opened = ledger.open(&mut *target, &partitions).await;
                if opened.is_ok() {
                    self.writer.put_back(target);
                }
                opened.map_err(|error| (error, false))
            }
        };
        let stored = opened.map_err(|(error, connecting)| self.failed(error, connecting))?;
        self.unopened.clear();
        self.trouble = None;
        for (partition, offset) in &stored {
            self.context.offset(partition.clone(), *offset);
        }
        Ok(stored.into_keys().collect())
    }

    /// Up to where everything is written, of these.
    fn written(&self, consumed: &Offsets) -> Offsets {
        if let Some(ledger) = &self.ledger {
            return ledger.next(consumed.keys());
        }
        let mut written = consumed.clone();
        for run in self.batches.iter().flat_map(Batch::runs) {
            let first = run.records.offsets().first();
            if let (Some(next), Some(first)) =
                (written.get_mut(&run.records.topic_partition), first)
            {
                *next = (*next).min(*first);
            }
        }
        written
    }
}

#[async_trait]
impl SinkTask for JdbcSinkTask {
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        if self.ledger.is_none() {
            return Ok(());
        }
        self.unopened.extend(partitions.iter().cloned());
        match self.open_ledger().await {
            // The next put tries again.
            Err(error) if error.is_retriable() => Ok(()),
            opened => opened.map(|_| ()),
        }
    }

    async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        if let Some(error) = &self.broken {
            return Err(error.copied());
        }
        if !self.has_taken {
            if self.is_due() {
                self.flush(false).await?;
            }
            let rewound = self.open_ledger().await?;
            if let Err(error) = self.take(records, &rewound).await {
                // Some were taken, so that none can come again.
                let error = Error::fatal("records cannot be taken").with_source(error);
                self.broken = Some(error.copied());
                return Err(error);
            }
        }
        if self.is_due() {
            self.has_taken = true;
            self.flush(false).await?;
        }
        self.has_taken = false;
        if let Some(due) = self.due() {
            let wait = due.saturating_duration_since(Instant::now());
            self.context.set_timeout(wait.max(Duration::from_millis(1)));
        }
        Ok(())
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        if self.broken.is_some() {
            // What is gathered may stand behind the record at fault.
            return Ok(self.written(consumed));
        }
        match self.flush(true).await {
            Ok(()) => {}
            Err(error) if error.is_retriable() => {
                tracing::warn!("not everything is written yet, so not all is committed: {error}");
            }
            Err(error) => return Err(error),
        }
        Ok(self.written(consumed))
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let gone = |partition: &TopicPartition| partitions.contains(partition);
        for batch in &mut self.batches {
            batch.forget(gone);
        }
        self.unopened.retain(|partition| !gone(partition));
        if let Some(ledger) = &mut self.ledger {
            ledger.close(partitions);
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.writer.close().await;
        Ok(())
    }
}

/// Reports records that cannot be written, where the worker takes such; else the task fails.
struct Reporter<'a>(&'a SinkContext);

#[async_trait]
impl Rejects for Reporter<'_> {
    async fn reject(&self, refused: Refused) -> Result<()> {
        let Refused { records, row, error } = refused;
        match self.0.errant_record_reporter() {
            Some(reporter) => {
                let reported = reporter.report(&records, row, error).await;
                reported.map_err(|e| Error::fatal("a record cannot be written").with_source(e))
            }
            None => Err(Error::fatal(
                "a record cannot be written; correct it, or let errors.tolerance=all and \
                 errors.deadletterqueue.topic.name pass over such records",
            )
            .with_source(error)),
        }
    }
}
