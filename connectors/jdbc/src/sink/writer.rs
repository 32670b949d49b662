//! Writes a batch in one transaction, and finds the rows that the database does not take.

use std::sync::Arc;

use arrow::array::ArrayRef;
use millrace_api::data::Column;
use millrace_api::{Error, ErrorKind, Result};

use crate::calendar::Calendar;
use crate::dialect::Dialect;
use crate::dialect::target::{Action, Target, Write};
use crate::sink::batch::{At, Batch, Group, Row, plan};
use crate::sink::config::SinkConfig;
use crate::sink::ledger::Ledger;
use crate::sink::rows::{Refused, Run};
use crate::sink::shape::{Shape, ShapeField};
use crate::sink::tables::{Fitting, Tables};
use crate::table::Quoting;

/// Takes rows that cannot be written, while no transaction is open: it may wait for others. After an
/// error nothing of the batch is written.
#[async_trait::async_trait]
pub(super) trait Rejects: Send + Sync {
    async fn reject(&self, refused: Refused) -> Result<()>;
}

/// What writes.
pub(super) struct Writer {
    connection: Option<Box<dyn Target>>,
    tables: Tables,
    manner: Manner,
}

/// How rows are written.
struct Manner {
    dialect: Arc<dyn Dialect>,
    action: Action,
    quoting: Quoting,
    calendar: Calendar,
    dates: Calendar,
    shows_values: bool,
}

impl Writer {
    pub(super) fn new(config: &Arc<SinkConfig>, dialect: Arc<dyn Dialect>) -> Result<Self> {
        Ok(Self {
            tables: Tables::new(config, &dialect),
            connection: None,
            manner: Manner {
                action: config.action(),
                quoting: config.quoting(dialect.quote_mark()),
                calendar: config.calendar()?,
                dates: config.dates()?,
                shows_values: !config.trim_sensitive_log,
                dialect,
            },
        })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Opens a connection, if none is: one attempt.
    pub(super) async fn connect(&mut self) -> Result<()> {
        if self.connection.is_none() {
            let Manner { dialect, shows_values, .. } = &self.manner;
            self.connection = Some(dialect.connect_target(*shows_values).await?);
        }
        Ok(())
    }

    /// The open connection. Whoever has it puts it back, unless it is of no use any more.
    pub(super) fn take_connection(&mut self) -> Result<Box<dyn Target>> {
        self.connection.take().ok_or_else(|| Error::retriable("there is no connection"))
    }

    pub(super) fn put_back(&mut self, connection: Box<dyn Target>) {
        self.connection = Some(connection);
    }

    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Writes a batch, and its offsets into the ledger if there is one: all or nothing. Rows that
    /// cannot be written are rejected one by one, once each; then it gives false, and nothing is
    /// written: they have to be kept before the ledger passes over them. The next call leaves them
    /// out.
    ///
    /// # Errors
    ///
    /// [`Retriable`](ErrorKind::Retriable): the connection is gone, and nothing was written as far
    /// as anybody knows.
    pub(super) async fn write(
        &mut self,
        batch: &mut Batch,
        ledger: Option<&mut Ledger>,
        rejects: &dyn Rejects,
    ) -> Result<bool> {
        let mut target = self.take_connection()?;
        let written = self.write_through(&mut *target, batch, ledger, rejects).await;
        // After a passing error nobody knows what the server thinks of the connection.
        match &written {
            Err(error) if error.is_retriable() => {}
            _ => self.connection = Some(target),
        }
        written
    }

    async fn write_through(
        &mut self,
        target: &mut dyn Target,
        batch: &mut Batch,
        mut ledger: Option<&mut Ledger>,
        rejects: &dyn Rejects,
    ) -> Result<bool> {
        let mut is_second_try = false;
        loop {
            let fits = self.fit(target, batch).await?;
            let quick = Transaction { manner: &self.manner, fits: &fits, is_careful: false };
            let mut written = match fits.refused.is_empty() && !batch.has_rejected() {
                true => quick.run(target, batch, ledger.as_deref_mut()).await,
                false => Err(Error::data("some rows have no place")),
            };
            if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::Data) {
                let careful = Transaction { is_careful: true, ..quick };
                written = careful.run(target, batch, ledger.as_deref_mut()).await;
            }
            let error = match written.map_err(no_longer_data) {
                Ok(at_fault) => return reject(at_fault, batch, rejects).await,
                Err(error) => error,
            };
            if error.is_retriable() || is_second_try || !self.any_changed(target, &fits).await? {
                self.tables.forget();
                return Err(error);
            }
            // The tables are not as they were: what failed may work now.
            self.tables.forget();
            is_second_try = true;
        }
    }

    /// The places of all shapes of a batch.
    async fn fit(&mut self, target: &mut dyn Target, batch: &Batch) -> Result<Fits> {
        let mut fits = Fits { found: Vec::new(), refused: Vec::new() };
        // Rows that are written may have their table created; those to delete are in none then.
        let writes = batch.runs().filter_map(|run| run.writes.as_ref());
        let deletes = batch.runs().filter_map(|run| run.deletes.as_ref());
        for rows in writes.chain(deletes) {
            if fits.knows(&rows.shape) {
                continue;
            }
            match self.tables.fit(target, &rows.shape).await {
                Ok(fitting) => fits.found.push((Arc::clone(&rows.shape), fitting)),
                Err(error) if error.kind() == ErrorKind::Data => {
                    fits.refused.push((Arc::clone(&rows.shape), error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(fits)
    }

    async fn any_changed(&mut self, target: &mut dyn Target, fits: &Fits) -> Result<bool> {
        for fitting in fits.found.iter().filter_map(|(_, fitting)| fitting.as_ref()) {
            if self.tables.has_changed(target, &fitting.table).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Rejects rows, while no transaction is open. Whether there were none.
async fn reject(
    at_fault: Vec<(Row, Refused)>,
    batch: &mut Batch,
    rejects: &dyn Rejects,
) -> Result<bool> {
    let is_written = at_fault.is_empty();
    for (row, refused) in at_fault {
        rejects.reject(refused).await?;
        batch.reject(row);
    }
    Ok(is_written)
}

/// One way to write a batch: a careful one leaves out the rows that were rejected, and looks for
/// each other that is at fault; else such a row ends the transaction.
#[derive(Clone, Copy)]
struct Transaction<'a> {
    manner: &'a Manner,
    fits: &'a Fits,
    is_careful: bool,
}

impl Transaction<'_> {
    /// All or nothing: nothing where rows are at fault, which it gives. After a passing error the
    /// connection is of no use.
    async fn run(
        &self,
        target: &mut dyn Target,
        batch: &Batch,
        ledger: Option<&mut Ledger>,
    ) -> Result<Vec<(Row, Refused)>> {
        let written = self.attempt(target, batch, ledger).await;
        let is_open = match &written {
            Ok(at_fault) => !at_fault.is_empty(),
            Err(error) => !error.is_retriable(),
        };
        if is_open {
            target.execute("ROLLBACK").await?;
        }
        written
    }

    async fn attempt(
        &self,
        target: &mut dyn Target,
        batch: &Batch,
        mut ledger: Option<&mut Ledger>,
    ) -> Result<Vec<(Row, Refused)>> {
        target.execute(self.manner.dialect.grammar().begin()).await?;
        if let Some(ledger) = &mut ledger
            && ledger.check(target, batch).await?
        {
            return target.execute("ROLLBACK").await.map(|()| Vec::new());
        }
        let mut at_fault = Vec::new();
        for (table, runs) in batch.tables().enumerate() {
            for group in plan(runs, self.manner.action, !self.is_careful)? {
                at_fault.extend(self.write_group(target, table, runs, &group).await?);
            }
        }
        if !at_fault.is_empty() {
            return Ok(at_fault);
        }
        match ledger {
            Some(ledger) => {
                ledger.write(target, batch).await?;
                target.execute("COMMIT").await?;
                ledger.committed();
            }
            None => target.execute("COMMIT").await?,
        }
        Ok(at_fault)
    }

    /// Gives the rows that are at fault; none are where these end the transaction.
    async fn write_group(
        &self,
        target: &mut dyn Target,
        table: usize,
        runs: &[Run],
        group: &Group,
    ) -> Result<Vec<(Row, Refused)>> {
        let mut rows = group.rows();
        rows.retain(|at| !at.is_rejected(runs));
        let mut at_fault = Vec::new();
        let mut refuse = |at, error| at_fault.push(((table, at), refused(at, runs, error)));
        let fitting = match (self.fits.get(&group.shape), self.is_careful) {
            (Ok(Some(fitting)), _) => fitting,
            (Ok(None), _) => return Ok(at_fault),
            (Err(error), false) => return Err(error),
            (Err(error), true) => {
                rows.into_iter().for_each(|at| refuse(at, error.copied()));
                return Ok(at_fault);
            }
        };
        if rows.is_empty() {
            return Ok(at_fault);
        }
        let arrays = group.arrays(runs, &rows)?;
        if !self.is_careful {
            let written = target.write(&self.manner.write(group, fitting, &arrays)).await;
            return written.map(|()| at_fault);
        }
        // Halves of halves are written, until each row that is at fault stands alone: what is yet
        // to be written, the next part last.
        let mut parts = vec![(0, rows.len())];
        while let Some((start, len)) = parts.pop() {
            let part: Vec<ArrayRef> = arrays.iter().map(|a| a.slice(start, len)).collect();
            target.execute("SAVEPOINT millrace_part").await?;
            let written = target.write(&self.manner.write(group, fitting, &part)).await;
            match written {
                Ok(()) => target.execute("RELEASE SAVEPOINT millrace_part").await?,
                Err(error) if error.kind() == ErrorKind::Data => {
                    target.execute("ROLLBACK TO SAVEPOINT millrace_part").await?;
                    target.execute("RELEASE SAVEPOINT millrace_part").await?;
                    if len == 1 {
                        refuse(rows[start], self.manner.with_key(error, group, &part));
                    } else {
                        let half = len / 2;
                        parts.extend([(start + half, len - half), (start, half)]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(at_fault)
    }
}

impl Manner {
    fn write<'a>(&'a self, group: &Group, to: &'a Fitting, arrays: &'a [ArrayRef]) -> Write<'a> {
        Write {
            action: group.action,
            table: &to.table,
            fields: &to.fields,
            arrays,
            quoting: self.quoting,
            calendar: &self.calendar,
            dates: &self.dates,
        }
    }

    /// Adds the key of a single row to its error.
    fn with_key(&self, error: Error, group: &Group, arrays: &[ArrayRef]) -> Error {
        let keys = &group.shape.fields[..group.shape.keys()];
        if keys.is_empty() || !self.shows_values {
            return error;
        }
        let text = |(field, array): (&ShapeField, &ArrayRef)| {
            let (schema, array) = (Arc::clone(&field.schema), Arc::clone(array));
            let mut text = format!("{}=", field.name).into_bytes();
            let column = Column::Typed { schema, array };
            column.printer().and_then(|printer| printer.append(0, &mut text)).ok()?;
            String::from_utf8(text).ok()
        };
        let texts: Vec<String> = keys.iter().zip(arrays).filter_map(text).collect();
        error.context("key", texts.join(", "))
    }
}

fn refused(at: At, runs: &[Run], error: Error) -> Refused {
    let (records, row) = at.record(runs);
    Refused::new(records, row, error)
}

/// Every row was written alone or rejected: what fails now, such as a constraint that is checked at
/// the end of a transaction, is no single row's fault.
fn no_longer_data(error: Error) -> Error {
    if error.kind() != ErrorKind::Data {
        return error;
    }
    let message = "the transaction cannot be committed, though each of its rows was taken; look \
                   for constraints that are deferred";
    Error::fatal(message).with_source(error)
}

/// Where the rows of each shape go; none: nowhere.
struct Fits {
    found: Vec<(Arc<Shape>, Option<Arc<Fitting>>)>,
    refused: Vec<(Arc<Shape>, Error)>,
}

impl Fits {
    fn get(&self, shape: &Arc<Shape>) -> Result<Option<&Fitting>> {
        if let Some((_, fitting)) = self.found.iter().find(|(known, _)| Arc::ptr_eq(known, shape)) {
            return Ok(fitting.as_deref());
        }
        let refused = self.refused.iter().find(|(known, _)| Arc::ptr_eq(known, shape));
        Err(refused.map_or_else(|| Error::fatal("rows of no shape"), |(_, error)| error.copied()))
    }

    fn knows(&self, shape: &Arc<Shape>) -> bool {
        let mut shapes = self.found.iter().map(|f| &f.0).chain(self.refused.iter().map(|r| &r.0));
        shapes.any(|known| Arc::ptr_eq(known, shape))
    }
}
