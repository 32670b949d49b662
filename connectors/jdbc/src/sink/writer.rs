//! Writes a batch in one transaction, and finds the rows that the database does not take.

use std::sync::Arc;

use arrow::array::ArrayRef;
use millrace_api::{Error, ErrorKind, Result};

use crate::calendar::Calendar;
use crate::dialect::Dialect;
use crate::dialect::target::{Action, Target, Write};
use crate::sink::batch::{At, Batch, Group, plan};
use crate::sink::config::SinkConfig;
use crate::sink::ledger::Ledger;
use crate::sink::rows::{Refused, Run};
use crate::sink::shape::Shape;
use crate::sink::tables::{Fitting, Tables};
use crate::table::Quoting;

/// Takes rows that cannot be written. An error ends the transaction.
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
            self.connection = Some(self.manner.dialect.connect_target().await?);
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
    /// cannot be written are rejected one by one before the others are committed.
    ///
    /// # Errors
    ///
    /// [`Retriable`](ErrorKind::Retriable): the connection is gone, and nothing was written as far
    /// as anybody knows.
    pub(super) async fn write(
        &mut self,
        batch: &Batch,
        ledger: Option<&mut Ledger>,
        rejects: &dyn Rejects,
    ) -> Result<()> {
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
        batch: &Batch,
        mut ledger: Option<&mut Ledger>,
        rejects: &dyn Rejects,
    ) -> Result<()> {
        let mut is_second_try = false;
        loop {
            let fits = self.fit(target, batch).await?;
            let is_plain = fits.refused.is_empty();
            let quick = match is_plain {
                true => {
                    self.manner.transact(target, batch, &fits, ledger.as_deref_mut(), None).await
                }
                false => Err(Error::data("some rows have no place")),
            };
            let error = match quick {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if is_plain {
                rolled_back(target, &error).await?;
            }
            match error.kind() {
                ErrorKind::Retriable => return Err(error),
                ErrorKind::Data => {
                    let ledger = ledger.as_deref_mut();
                    let careful =
                        self.manner.transact(target, batch, &fits, ledger, Some(rejects)).await;
                    if let Err(error) = &careful {
                        rolled_back(target, error).await?;
                    }
                    return careful.map_err(no_longer_data);
                }
                _ => {
                    let is_known = is_second_try || !self.any_changed(target, &fits).await?;
                    self.tables.forget();
                    if is_known {
                        return Err(error);
                    }
                    // The tables are not as they were: what failed may work now.
                    is_second_try = true;
                }
            }
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

impl Manner {
    /// Writes all in one transaction. With `rejects` each row that is at fault is looked for and
    /// rejected; without, it ends the transaction.
    async fn transact(
        &self,
        target: &mut dyn Target,
        batch: &Batch,
        fits: &Fits,
        mut ledger: Option<&mut Ledger>,
        rejects: Option<&dyn Rejects>,
    ) -> Result<()> {
        target.execute(self.dialect.grammar()?.begin()).await?;
        if let Some(ledger) = &mut ledger
            && ledger.check(target, batch).await?
        {
            return target.execute("ROLLBACK").await;
        }
        for runs in batch.tables() {
            for group in plan(runs, self.action, rejects.is_none())? {
                match rejects {
                    None => self.write_group(target, runs, &group, fits).await?,
                    Some(rejects) => {
                        self.write_carefully(target, runs, &group, fits, rejects).await?;
                    }
                }
            }
        }
        match ledger {
            Some(ledger) => {
                ledger.write(target, batch).await?;
                target.execute("COMMIT").await?;
                ledger.committed();
                Ok(())
            }
            None => target.execute("COMMIT").await,
        }
    }

    async fn write_group(
        &self,
        target: &mut dyn Target,
        runs: &[Run],
        group: &Group,
        fits: &Fits,
    ) -> Result<()> {
        let Some(fitting) = fits.get(&group.shape)? else { return Ok(()) };
        let arrays = group.arrays(runs, &group.rows())?;
        target.write(&self.write_of(group, fitting, &arrays)).await
    }

    fn write_of<'a>(
        &'a self,
        group: &Group,
        fitting: &'a Fitting,
        arrays: &'a [ArrayRef],
    ) -> Write<'a> {
        Write {
            action: group.action,
            table: &fitting.table,
            fields: &fitting.fields,
            arrays,
            quoting: self.quoting,
            calendar: &self.calendar,
            dates: &self.dates,
            shows_values: self.shows_values,
        }
    }

    /// Writes a group in halves of halves, until each row that is at fault stands alone.
    async fn write_carefully(
        &self,
        target: &mut dyn Target,
        runs: &[Run],
        group: &Group,
        fits: &Fits,
        rejects: &dyn Rejects,
    ) -> Result<()> {
        let rows = group.rows();
        let fitting = match fits.get(&group.shape) {
            Ok(Some(fitting)) => fitting,
            Ok(None) => return Ok(()),
            Err(error) => {
                for at in rows {
                    rejects.reject(refused(at, runs, error.copied())).await?;
                }
                return Ok(());
            }
        };
        let arrays = group.arrays(runs, &rows)?;
        // What is yet to be written, the next part last.
        let mut parts = vec![(0, rows.len())];
        while let Some((start, len)) = parts.pop() {
            let part: Vec<ArrayRef> = arrays.iter().map(|a| a.slice(start, len)).collect();
            target.execute("SAVEPOINT millrace_part").await?;
            match target.write(&self.write_of(group, fitting, &part)).await {
                Ok(()) => target.execute("RELEASE SAVEPOINT millrace_part").await?,
                Err(error) if error.kind() == ErrorKind::Data => {
                    target.execute("ROLLBACK TO SAVEPOINT millrace_part").await?;
                    target.execute("RELEASE SAVEPOINT millrace_part").await?;
                    if len == 1 {
                        rejects.reject(refused(rows[start], runs, error)).await?;
                    } else {
                        let half = len / 2;
                        parts.push((start + half, len - half));
                        parts.push((start, half));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn refused(at: At, runs: &[Run], error: Error) -> Refused {
    let (records, row) = at.record(runs);
    Refused::new(records, row, error)
}

/// Ends a transaction that failed, unless the connection is gone with it.
async fn rolled_back(target: &mut dyn Target, error: &Error) -> Result<()> {
    if error.is_retriable() {
        return Ok(());
    }
    target.execute("ROLLBACK").await
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
