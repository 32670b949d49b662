//! Decides how shapes of rows and tables of the database come together: what is looked up, what is
//! created and added, and what is refused.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_api::{Error, ErrorKind, Result};

use crate::dialect::Dialect;
use crate::dialect::target::{Grammar, Target, TargetField, TargetTable};
use crate::sink::config::SinkConfig;
use crate::sink::shape::{Shape, ShapeField};
use crate::table::{Quoting, TableId};

/// A shape and the table its rows go to.
pub(super) struct Fitting {
    shape: Arc<Shape>,
    pub(super) table: Arc<TargetTable>,
    /// One a field of the shape.
    pub(super) fields: Vec<TargetField>,
}

/// So many shapes are remembered; more only cost time.
const MOST_KNOWN: usize = 256;

/// What is known of the tables.
pub(super) struct Tables {
    config: Arc<SinkConfig>,
    dialect: Arc<dyn Dialect>,
    quoting: Quoting,
    known: HashMap<TableId, Arc<TargetTable>>,
    /// The whole names of tables by those that the database keeps.
    whole: HashMap<TableId, TableId>,
    fittings: Vec<Arc<Fitting>>,
}

impl Tables {
    pub(super) fn new(config: &Arc<SinkConfig>, dialect: &Arc<dyn Dialect>) -> Self {
        Self {
            config: Arc::clone(config),
            dialect: Arc::clone(dialect),
            quoting: config.quoting(dialect.quote_mark()),
            known: HashMap::new(),
            whole: HashMap::new(),
            fittings: Vec::new(),
        }
    }

    /// Looks all tables up again when they are needed.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.fittings.clear();
    }

    /// Whether what was known of a table is still so. Looks it up.
    pub(super) async fn has_changed(
        &mut self,
        target: &mut dyn Target,
        table: &TargetTable,
    ) -> Result<bool> {
        let now = target.describe(&table.id, &self.config.table_types).await?;
        Ok(now.as_ref() != Some(table))
    }

    /// The table and columns for rows of a shape; made where that is wanted. None where rows are to
    /// be deleted from a table that nobody has created yet.
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data): there is no place for rows of this shape.
    pub(super) async fn fit(
        &mut self,
        target: &mut dyn Target,
        shape: &Arc<Shape>,
    ) -> Result<Option<Arc<Fitting>>> {
        if let Some(known) = self.fittings.iter().find(|f| Arc::ptr_eq(&f.shape, shape)) {
            return Ok(Some(Arc::clone(known)));
        }
        let found = self.find(target, shape).await;
        let Some(fitting) = found.map_err(|e| e.context("table", &shape.table))? else {
            return Ok(None);
        };
        let fitting = Arc::new(fitting);
        if self.fittings.len() >= MOST_KNOWN {
            self.fittings.clear();
        }
        self.fittings.push(Arc::clone(&fitting));
        Ok(Some(fitting))
    }

    async fn find(
        &mut self,
        target: &mut dyn Target,
        shape: &Arc<Shape>,
    ) -> Result<Option<Fitting>> {
        self.check_names(shape)?;
        let grammar = self.dialect.grammar();
        let whole = self.meant(&shape.table)?;
        let kept = kept(&whole, grammar);
        self.check_kept(&whole, &kept)?;
        let untyped = |f: &&ShapeField| grammar.column_type(&f.schema, f.is_key).is_none();
        if let Some(field) = shape.fields.iter().find(untyped) {
            return Err(no_type(field));
        }
        let mut table = match self.known.get(&shape.table) {
            Some(table) => Arc::clone(table),
            None => match self.look_up(target, &shape.table).await? {
                Some(table) => Arc::new(table),
                None if shape.deletes && self.config.auto_create => return Ok(None),
                None => Arc::new(self.create(target, shape).await?),
            },
        };
        let mut fields = fields(&table, shape, grammar);
        if fields.iter().any(Option::is_none) {
            // Somebody else may have added them.
            let again =
                self.look_up(target, &shape.table).await?.ok_or_else(|| gone(&shape.table))?;
            table = Arc::new(again);
            fields = self::fields(&table, shape, grammar);
        }
        let missing = missing(shape, &fields);
        if let (true, Some(field)) = (shape.deletes, missing.first()) {
            let message = "a column of the key is missing, so that no row can be deleted; see \
                           pk.fields";
            return Err(Error::data(message).context("field", &field.name));
        }
        if !missing.is_empty() {
            table = Arc::new(self.add(target, &table, &missing).await?);
            fields = self::fields(&table, shape, grammar);
        }
        let columns: Vec<_> = fields.iter().flatten().map(|f| f.column.clone()).collect();
        unique(&columns)?;
        self.known.insert(shape.table.clone(), Arc::clone(&table));
        self.whole.insert(kept, whole);
        let fields = fields.into_iter().flatten().collect();
        Ok(Some(Fitting { shape: Arc::clone(shape), table, fields }))
    }

    /// The table that a name means in SQL.
    async fn look_up(
        &self,
        target: &mut dyn Target,
        table: &TableId,
    ) -> Result<Option<TargetTable>> {
        target.describe(&self.meant(table)?, &self.config.table_types).await
    }

    /// The table that a name means in SQL, however long it is.
    fn meant(&self, table: &TableId) -> Result<TableId> {
        let grammar = self.dialect.grammar();
        let unquoted = |name: &String| match self.quoting {
            Quoting::Never => grammar.unquoted(name),
            _ => name.clone(),
        };
        let schema = table.schema.as_ref().map(unquoted);
        Ok(TableId { schema, name: unquoted(&table.name) })
    }

    /// A name that the database cuts off may be another's: the rows of two would mix.
    fn check_kept(&self, whole: &TableId, kept: &TableId) -> Result<()> {
        match self.whole.get(kept) {
            Some(other) if other != whole => {
                let message = "two tables have the same name as far as the database keeps it; \
                               give one a shorter name by table.name.map or table.name.format";
                Err(Error::data(message).context("other", other).context("kept", kept))
            }
            _ => Ok(()),
        }
    }

    /// Names that go into SQL as they are must be names and nothing else.
    fn check_names(&self, shape: &Shape) -> Result<()> {
        let table = [shape.table.schema.as_ref(), Some(&shape.table.name)];
        let names = table.into_iter().flatten().chain(shape.fields.iter().map(|f| &f.name));
        for name in names {
            if name.is_empty() || name.contains('\0') {
                let message = "a table or column cannot have this name";
                return Err(Error::data(message).context("name", format!("{name:?}")));
            }
            let mut letters = name.chars();
            let is_plain = letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
                && letters.all(|c| c.is_alphanumeric() || c == '_' || c == '$');
            if self.quoting == Quoting::Never && !is_plain {
                let message = "this name needs quotes in SQL, and quote.sql.identifiers=never \
                               forbids them";
                return Err(Error::data(message).context("name", format!("{name:?}")));
            }
        }
        Ok(())
    }

    async fn create(&self, target: &mut dyn Target, shape: &Shape) -> Result<TargetTable> {
        let grammar = self.dialect.grammar();
        let sql = create_table(shape, grammar, self.quoting)?;
        let types = &self.config.table_types;
        if !self.config.auto_create {
            let message = format!(
                "the table is missing, and auto.create=false; create it, such as by {sql}, or \
                 look whether table.types ({}) leaves it out",
                types.join(", ")
            );
            return Err(Error::data(message));
        }
        let kept = kept(&shape.table, grammar);
        if kept != shape.table {
            let message = "the table's name is longer than the database keeps, so that others that \
                           begin alike would share the table; give it a shorter one by \
                           table.name.map or table.name.format, or create it by hand";
            return Err(Error::data(message).context("kept", kept));
        }
        let created = target.execute(&sql).await;
        if created.is_ok() {
            tracing::info!("created table {}: {sql}", shape.table);
        }
        // Where it failed, somebody else may have been quicker.
        match (self.look_up(target, &shape.table).await?, created) {
            (Some(table), _) => Ok(table),
            (None, Ok(())) => Err(gone(&shape.table)),
            (None, Err(error)) => Err(altering(error, &sql)),
        }
    }

    async fn add(
        &self,
        target: &mut dyn Target,
        table: &TargetTable,
        missing: &[&ShapeField],
    ) -> Result<TargetTable> {
        let grammar = self.dialect.grammar();
        let names: Vec<&str> = missing.iter().map(|field| field.name.as_str()).collect();
        let names = names.join(", ");
        if table.is_view {
            let message = "a view lacks columns for fields of the records; add them to it, or \
                           leave them out with fields.whitelist";
            return Err(Error::data(message).context("fields", names));
        }
        let statements = add_columns(&table.id, missing, grammar, self.quoting)?;
        let sql = statements.join("; ");
        let required =
            missing.iter().find(|f| !f.schema.is_optional() && f.schema.default().is_none());
        if let Some(field) = required {
            let message = format!(
                "a column is missing for a field that is not optional and has no default, so \
                 that rows that are there could not have it; add it, such as by {sql} without \
                 NOT NULL"
            );
            return Err(Error::data(message).context("field", &field.name));
        }
        if !self.config.auto_evolve {
            let message = format!(
                "columns are missing for fields of the records, and auto.evolve=false; run {sql}, \
                 or leave the fields out with fields.whitelist"
            );
            return Err(Error::data(message).context("fields", names));
        }
        let mut failed = None;
        for statement in &statements {
            if let Err(error) = target.execute(statement).await {
                failed = Some(altering(error, statement));
            } else {
                tracing::info!("altered table {}: {statement}", table.id);
            }
        }
        let now = target.describe(&table.id, &self.config.table_types).await?;
        let now = now.ok_or_else(|| gone(&table.id))?;
        // Where it failed, somebody else may have been quicker.
        let is_there = |field: &&ShapeField| column(&now, grammar.kept(&field.name)).is_some();
        match failed {
            _ if missing.iter().all(is_there) => Ok(now),
            Some(error) => Err(error),
            None => Err(Error::fatal("columns were added and are not there")),
        }
    }
}

/// A table under the name that the database keeps.
fn kept(table: &TableId, grammar: &dyn Grammar) -> TableId {
    let kept = |name: &String| grammar.kept(name).to_owned();
    TableId { schema: table.schema.as_ref().map(kept), name: kept(&table.name) }
}

/// The fields of a shape that have no column.
fn missing<'a>(shape: &'a Shape, fields: &[Option<TargetField>]) -> Vec<&'a ShapeField> {
    let lacks = |i: &&usize| fields[**i].is_none();
    shape.order.iter().filter(lacks).map(|i| &shape.fields[*i]).collect()
}

fn gone(table: &TableId) -> Error {
    Error::retriable("the table was dropped just now").context("table", table)
}

fn altering(error: Error, sql: &str) -> Error {
    if error.is_retriable() {
        return error;
    }
    let message = format!("cannot change the table; do it by hand: {sql}");
    Error::new(ErrorKind::Fatal, message).with_source(error)
}

/// Two fields that differ in case only would be one column.
fn unique(columns: &[String]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match columns.iter().find(|column| !seen.insert(*column)) {
        Some(column) => {
            let message = "two fields go to one column; rename one with the transformation \
                           ReplaceField, or leave it out with fields.whitelist";
            Err(Error::data(message).context("column", column))
        }
        None => Ok(()),
    }
}

/// The column of a name: of this very spelling, else of another.
fn column<'a>(table: &'a TargetTable, name: &str) -> Option<&'a str> {
    let mut names = table.columns.iter().map(|column| column.name.as_str());
    let folded = name.to_lowercase();
    names
        .clone()
        .find(|column| *column == name)
        .or_else(|| names.find(|column| column.to_lowercase() == folded))
}

/// Where the fields of a shape go; none for one that has no column.
fn fields(table: &TargetTable, shape: &Shape, grammar: &dyn Grammar) -> Vec<Option<TargetField>> {
    let field = |field: &ShapeField| {
        let column = column(table, grammar.kept(&field.name))?.to_owned();
        Some(TargetField { column, schema: Arc::clone(&field.schema), is_key: field.is_key })
    };
    shape.fields.iter().map(field).collect()
}

/// `CREATE TABLE` for rows of a shape.
fn create_table(shape: &Shape, grammar: &dyn Grammar, quoting: Quoting) -> Result<String> {
    let definition = |i: &usize| definition(&shape.fields[*i], grammar, quoting);
    let mut parts = shape.order.iter().map(definition).collect::<Result<Vec<_>>>()?;
    let keys: Vec<String> =
        shape.fields[..shape.keys()].iter().map(|field| quoting.sql(&field.name)).collect();
    if !keys.is_empty() {
        parts.push(format!("PRIMARY KEY({})", keys.join(",")));
    }
    Ok(format!("CREATE TABLE {} (\n{})", shape.table.sql(quoting), parts.join(",\n")))
}

/// `ALTER TABLE … ADD`, as many statements as it takes.
fn add_columns(
    table: &TableId,
    fields: &[&ShapeField],
    grammar: &dyn Grammar,
    quoting: Quoting,
) -> Result<Vec<String>> {
    let add = |field: &&ShapeField| Ok(format!("ADD {}", definition(field, grammar, quoting)?));
    let parts = fields.iter().map(add).collect::<Result<Vec<_>>>()?;
    let alter = format!("ALTER TABLE {}", table.sql(quoting));
    if grammar.adds_columns_one_by_one() {
        return Ok(parts.into_iter().map(|part| format!("{alter} {part}")).collect());
    }
    Ok(vec![format!("{alter} {}", parts.join(", "))])
}

/// A column's name, type, and what stands for null.
fn definition(field: &ShapeField, grammar: &dyn Grammar, quoting: Quoting) -> Result<String> {
    let schema = &field.schema;
    let kind = grammar.column_type(schema, field.is_key).ok_or_else(|| no_type(field))?;
    let null = match schema.default() {
        Some(default) => {
            let literal = grammar.literal(schema, default).ok_or_else(|| {
                let message = "the default of a field cannot be written in SQL; create the column \
                               by hand";
                Error::data(message).context("field", &field.name)
            })?;
            format!("DEFAULT {literal}")
        }
        None if field.is_key || !schema.is_optional() => "NOT NULL".to_owned(),
        None => "NULL".to_owned(),
    };
    Ok(format!("{} {kind} {null}", quoting.sql(&field.name)))
}

fn no_type(field: &ShapeField) -> Error {
    let message = "the database has no type for a field; leave it out with fields.whitelist, or \
                   make it text or single fields with a transformation such as Flatten";
    Error::data(message)
        .context("field", &field.name)
        .context("type", field.schema.name().unwrap_or(field.schema.kind().name()))
}
