//! Keeps the offsets of what was written in a table of the database, so that each record is written
//! exactly once (`exactly.once=transactional`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringViewArray};
use millrace_api::data::{Kind, Schema, SchemaRef, Value};
use millrace_api::{Error, ErrorKind, Offsets, Result, TopicPartition};

use crate::calendar::Calendar;
use crate::dialect::Dialect;
use crate::dialect::target::{Action, Grammar, Target, TargetField, TargetTable, Write};
use crate::sink::batch::Batch;
use crate::table::{Quoting, TableId};

const CONNECTOR: &str = "connector";
const TOPIC: &str = "topic";
const PARTITION: &str = "kafka_partition";
const OFFSET: &str = "next_offset";

/// The offsets of one connector.
pub(super) struct Ledger {
    dialect: Arc<dyn Dialect>,
    connector: Arc<str>,
    id: TableId,
    quoting: Quoting,
    /// The table of offsets, once it was found or created.
    table: Option<TargetTable>,
    /// What this task has read or written last, of each partition that is its own.
    held: BTreeMap<TopicPartition, Option<i64>>,
    /// The next offset after what is to be written.
    taken: Offsets,
    /// What was written in a transaction of which nobody knows whether it was committed.
    uncertain: Offsets,
}

impl Ledger {
    pub(super) fn new(dialect: &Arc<dyn Dialect>, connector: &str, id: TableId) -> Self {
        Self {
            connector: connector.into(),
            id,
            // Its columns have names of our own, one of which is a word of SQL somewhere.
            quoting: Quoting::Always(dialect.quote_mark()),
            table: None,
            held: BTreeMap::new(),
            taken: Offsets::new(),
            uncertain: Offsets::new(),
            dialect: Arc::clone(dialect),
        }
    }

    /// Reads where partitions are to be read on from; none where nothing is known of one. From now
    /// on they belong to this task.
    pub(super) async fn open(
        &mut self,
        target: &mut dyn Target,
        partitions: &[TopicPartition],
    ) -> Result<Offsets> {
        if self.table.is_none() {
            self.table = Some(self.find_or_create(target).await?);
        }
        let wanted = partitions.iter().collect();
        let stored = self.stored(target, &wanted, "").await?;
        for partition in partitions {
            self.held.insert(partition.clone(), stored.get(partition).copied());
            self.taken.remove(partition);
            self.uncertain.remove(partition);
        }
        Ok(stored)
    }

    /// These partitions are another task's.
    pub(super) fn close(&mut self, partitions: &[TopicPartition]) {
        self.held.retain(|partition, _| !partitions.contains(partition));
        self.taken.retain(|partition, _| !partitions.contains(partition));
        self.uncertain.retain(|partition, _| !partitions.contains(partition));
    }

    /// Whether a record was written before, or is to be.
    pub(super) fn has(&self, partition: &TopicPartition, offset: i64) -> bool {
        let written = self.held.get(partition).copied().flatten();
        written.max(self.taken.get(partition).copied()).is_some_and(|next| offset < next)
    }

    /// Records up to this offset are to be written.
    pub(super) fn take(&mut self, partition: &TopicPartition, next: i64) {
        let taken = self.taken.entry(partition.clone()).or_insert(next);
        *taken = next.max(*taken);
    }

    /// The next offset of each partition that is known, of these.
    pub(super) fn next<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>) -> Offsets {
        let next = |partition: &TopicPartition| {
            self.held.get(partition).copied().flatten().map(|next| (partition.clone(), next))
        };
        partitions.filter_map(next).collect()
    }

    /// Within the transaction that is to write a batch: makes sure that nobody else has written
    /// records of these partitions, and keeps others from it until the transaction is over. Says
    /// whether an earlier attempt has written the batch after all.
    pub(super) async fn check(&mut self, target: &mut dyn Target, batch: &Batch) -> Result<bool> {
        let next = next(batch);
        let partitions = next.keys().collect();
        let for_update = self.dialect.grammar().for_update();
        let stored = self.stored(target, &partitions, for_update).await?;
        let is_written = next.iter().all(|(partition, next)| {
            [&stored, &self.uncertain].iter().all(|known| known.get(partition) == Some(next))
        });
        if is_written {
            self.committed();
            return Ok(true);
        }
        for partition in next.keys() {
            let held = self.held.get(partition).copied().flatten();
            let stored = stored.get(partition).copied();
            if held != stored {
                return Err(self.taken_over(partition, held, stored));
            }
        }
        Ok(false)
    }

    /// Writes the offsets of a batch. They count once the transaction is
    /// [committed](Self::committed).
    pub(super) async fn write(&mut self, target: &mut dyn Target, batch: &Batch) -> Result<()> {
        let next = next(batch);
        for (action, is_known) in [(Action::Insert, false), (Action::Update, true)] {
            let rows = next.iter().filter(|(partition, _)| {
                self.held.get(*partition).copied().flatten().is_some() == is_known
            });
            let rows: Vec<_> = rows.collect();
            if rows.is_empty() {
                continue;
            }
            let written = target.write(&self.entries(action, &rows)?.as_write(self.quoting)).await;
            written.map_err(|error| match error.kind() {
                // Somebody else was the first to write of a partition that nobody had written of.
                ErrorKind::Data => self.taken_over(rows[0].0, None, None).with_source(error),
                _ => error,
            })?;
        }
        self.uncertain = next;
        Ok(())
    }

    /// The transaction of the last [`write`](Self::write) is committed.
    pub(super) fn committed(&mut self) {
        for (partition, offset) in std::mem::take(&mut self.uncertain) {
            if let Some(held) = self.held.get_mut(&partition) {
                *held = Some(offset);
            }
        }
    }

    fn taken_over(
        &self,
        partition: &TopicPartition,
        held: Option<i64>,
        stored: Option<i64>,
    ) -> Error {
        let shown = |offset: Option<i64>| offset.map_or("none".to_owned(), |o| o.to_string());
        Error::fatal(
            "another task has written records of this partition meanwhile, or its offset was \
             changed by hand; this task stops so that nothing is written twice. Restart it, and \
             see that no other connector of this name writes to the table of offsets",
        )
        .context("table of offsets", &self.id)
        .context("partition", partition)
        .context("expected", shown(held))
        .context("found", shown(stored))
    }

    fn entries(&self, action: Action, rows: &[(&TopicPartition, &i64)]) -> Result<Entries<'_>> {
        let table = self.table.as_ref().ok_or_else(|| Error::fatal("no partition was opened"))?;
        let connectors = rows.iter().map(|_| Some(&*self.connector));
        let topics = rows.iter().map(|(partition, _)| Some(partition.topic.as_ref()));
        let numbers = rows.iter().map(|(partition, _)| partition.partition);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(connectors.collect::<StringViewArray>()),
            Arc::new(topics.collect::<StringViewArray>()),
            Arc::new(Int32Array::from_iter_values(numbers)),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, offset)| **offset))),
        ];
        Ok(Entries { action, table, fields: fields(), arrays, calendar: Calendar::default() })
    }

    /// The offsets that the table holds.
    async fn stored(
        &self,
        target: &mut dyn Target,
        partitions: &BTreeSet<&TopicPartition>,
        for_update: &str,
    ) -> Result<Offsets> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        let name = |column| self.quoting.sql(column);
        let grammar = self.dialect.grammar();
        let mut by_topic: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for partition in partitions {
            let numbers = by_topic.entry(&partition.topic).or_default();
            numbers.push(partition.partition.to_string());
        }
        let mut any = Vec::new();
        for (topic, numbers) in by_topic {
            let topic = text(grammar, topic)?;
            let numbers = numbers.join(",");
            any.push(format!("({}={topic} AND {} IN ({numbers}))", name(TOPIC), name(PARTITION)));
        }
        let connector = text(grammar, &self.connector)?;
        let columns = [TOPIC, PARTITION, OFFSET].map(name).join(",");
        let sql = format!(
            "SELECT {columns} FROM {} WHERE {}={connector} AND ({}){for_update}",
            self.id.sql(self.quoting),
            name(CONNECTOR),
            any.join(" OR "),
        );
        let rows = target.fetch(&sql).await?;
        rows.into_iter().map(|row| self.entry(row)).collect()
    }

    fn entry(&self, row: Vec<Option<String>>) -> Result<(TopicPartition, i64)> {
        let broken = || {
            let message = "the table of offsets holds something else than offsets";
            Error::fatal(message).context("table", &self.id)
        };
        let [Some(topic), Some(partition), Some(offset)] = row.as_slice() else {
            return Err(broken());
        };
        let partition = partition.trim().parse().map_err(|_| broken())?;
        let offset = offset.trim().parse().map_err(|_| broken())?;
        Ok((TopicPartition::new(topic.as_str(), partition), offset))
    }

    async fn find_or_create(&self, target: &mut dyn Target) -> Result<TargetTable> {
        let types = ["TABLE".to_owned()];
        if let Some(table) = target.describe(&self.id, &types).await? {
            return Ok(table);
        }
        let sql = create(&self.id, self.dialect.grammar(), self.quoting)?;
        let created = target.execute(&sql).await;
        match (target.describe(&self.id, &types).await?, created) {
            (Some(table), _) => Ok(table),
            (None, Ok(())) => Err(Error::retriable("the table of offsets was dropped just now")),
            (None, Err(error)) if error.is_retriable() => Err(error),
            (None, Err(error)) => {
                let message = format!("cannot create the table of offsets; do it by hand: {sql}");
                Err(Error::fatal(message).with_source(error))
            }
        }
    }
}

/// The offsets after the last records of a batch.
fn next(batch: &Batch) -> Offsets {
    let mut next = Offsets::new();
    for run in batch.runs() {
        if let Some(last) = run.records.offsets().last() {
            let entry = next.entry(run.records.topic_partition.clone()).or_insert(0);
            *entry = (*entry).max(last + 1);
        }
    }
    next
}

/// Rows of the table of offsets.
struct Entries<'a> {
    action: Action,
    table: &'a TargetTable,
    fields: Vec<TargetField>,
    arrays: Vec<ArrayRef>,
    calendar: Calendar,
}

impl Entries<'_> {
    fn as_write(&self, quoting: Quoting) -> Write<'_> {
        Write {
            action: self.action,
            table: self.table,
            fields: &self.fields,
            arrays: &self.arrays,
            quoting,
            calendar: &self.calendar,
            dates: &self.calendar,
        }
    }
}

fn schemas() -> [(&'static str, SchemaRef, bool); 4] {
    [
        (CONNECTOR, Schema::string(false), true),
        (TOPIC, Schema::string(false), true),
        (PARTITION, Schema::builder(Kind::Int32).build(), true),
        (OFFSET, Schema::builder(Kind::Int64).build(), false),
    ]
}

fn fields() -> Vec<TargetField> {
    let field = |(column, schema, is_key): (&str, SchemaRef, bool)| TargetField {
        column: column.to_owned(),
        schema,
        is_key,
    };
    schemas().into_iter().map(field).collect()
}

fn create(id: &TableId, grammar: &dyn Grammar, quoting: Quoting) -> Result<String> {
    let column = |(name, schema, is_key): &(&str, SchemaRef, bool)| {
        let kind = grammar.column_type(schema, *is_key);
        kind.map(|kind| format!("{} {kind} NOT NULL", quoting.sql(name)))
    };
    let columns = schemas().iter().map(column).collect::<Option<Vec<_>>>();
    let columns = columns.ok_or_else(|| Error::fatal("the database has no text or no numbers"))?;
    let keys = [CONNECTOR, TOPIC, PARTITION].map(|name| quoting.sql(name)).join(",");
    let columns = columns.join(", ");
    Ok(format!("CREATE TABLE {} ({columns}, PRIMARY KEY({keys}))", id.sql(quoting)))
}

fn text(grammar: &dyn Grammar, text: &str) -> Result<String> {
    let literal = grammar.literal(&Schema::string(false), &Value::from(text));
    literal.ok_or_else(|| Error::fatal("the name of the connector or a topic is no text in SQL"))
}

#[cfg(test)]
mod tests {
    use millrace_api::config::{Config, Props};
    use millrace_api::data::{Column, Records, SinkRecords};
    use millrace_testkit::plugin_host::run;

    use super::*;
    use crate::sink::config::SinkConfig;
    use crate::sink::rows::Converter;

    /// Three records of partition 0 from this offset on.
    fn batch(config: SinkConfig, first: i64) -> Batch {
        let mut converter = Converter::new(&Arc::new(config), '`').unwrap();
        let texts = vec![Value::from("x"); 3];
        let mut records =
            Records::new("t", Column::from_values(Some(Schema::string(false)), texts));
        records.offsets = Some((first..first + 3).collect());
        let records = SinkRecords::new(records, TopicPartition::new("t", 0));
        let mut batch = Batch::default();
        batch.add(converter.convert(Arc::new(records), &mut Vec::new()).unwrap());
        batch
    }

    /// A database, its ledger, in which partition 0 is open, and batches from these offsets on.
    async fn opened(
        folder: &tempfile::TempDir,
        firsts: [i64; 2],
    ) -> (Box<dyn Target>, Ledger, [Batch; 2]) {
        let url = format!("jdbc:sqlite:{}/x.db", folder.path().display());
        let props = Props::from([("connection.url".to_owned(), url)]);
        let config = || SinkConfig::parse(&props).unwrap();
        let dialect = config().dialect(&props).unwrap();
        let mut target = dialect.connect_target(true).await.unwrap();
        let mut ledger = Ledger::new(&dialect, "c", TableId::new(None, "offsets"));
        ledger.open(&mut *target, &[TopicPartition::new("t", 0)]).await.unwrap();
        (target, ledger, firsts.map(|first| batch(config(), first)))
    }

    /// Writes a batch and ends the transaction; nobody learns how.
    async fn write(target: &mut dyn Target, ledger: &mut Ledger, batch: &Batch, end: &str) {
        target.execute("BEGIN").await.unwrap();
        assert!(!ledger.check(target, batch).await.unwrap());
        ledger.write(target, batch).await.unwrap();
        target.execute(end).await.unwrap();
        target.execute("BEGIN").await.unwrap();
    }

    #[test]
    fn a_commit_that_was_not_answered_is_found_out() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let (mut target, mut ledger, [batch, _]) = opened(&folder, [0, 3]).await;
            let partition = TopicPartition::new("t", 0);
            for (end, is_written) in [("ROLLBACK", false), ("COMMIT", true)] {
                write(&mut *target, &mut ledger, &batch, end).await;
                assert_eq!(ledger.check(&mut *target, &batch).await.unwrap(), is_written, "{end}");
                target.execute("ROLLBACK").await.unwrap();
                assert_eq!(ledger.has(&partition, 2), is_written, "{end}");
                assert!(!ledger.has(&partition, 3));
            }
        });
    }

    #[test]
    fn a_commit_that_was_not_answered_is_forgotten_with_its_partition() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let (mut target, mut ledger, [first, second]) = opened(&folder, [0, 3]).await;
            write(&mut *target, &mut ledger, &first, "COMMIT").await;
            let partitions = [TopicPartition::new("t", 0)];
            ledger.close(&partitions);
            ledger.open(&mut *target, &partitions).await.unwrap();
            assert!(ledger.uncertain.is_empty());
            assert!(!ledger.check(&mut *target, &second).await.unwrap());
        });
    }

    #[test]
    fn a_commit_that_was_not_answered_counts_for_its_own_batch_only() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let (mut target, mut ledger, [first, second]) = opened(&folder, [0, 3]).await;
            write(&mut *target, &mut ledger, &first, "COMMIT").await;
            let error = ledger.check(&mut *target, &second).await.unwrap_err();
            assert!(error.to_string().contains("another task"), "{error}");
            assert!(ledger.check(&mut *target, &first).await.unwrap());
        });
    }
}
