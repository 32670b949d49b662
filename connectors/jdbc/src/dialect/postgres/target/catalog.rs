//! Decides what a table looks like to the sink, by the server's catalog.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::dialect::target::{TargetColumn, TargetTable};
use crate::table::TableId;

/// The table and its columns, one a row. Without a schema the search path decides, as it does in
/// SQL. The type of a domain is the one it is built on; a type's receiving function is known by the
/// server's own code, whichever name an extension gave it.
const DESCRIBE: &str = "
    WITH RECURSIVE target AS (
        SELECT c.oid, c.relkind, c.relname, n.nspname
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = $2 AND c.relkind::text = ANY ($3)
            AND CASE WHEN $1::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
                     ELSE n.nspname = $1 END
    ), attribute AS (
        SELECT a.*, t.nspname, t.relname, t.relkind
        FROM target t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid
        WHERE a.attnum > 0 AND NOT a.attisdropped
    ), base AS (
        SELECT a.attnum, a.atttypid AS type, a.attnotnull AS filled, a.atthasdef AS made
        FROM attribute a
        UNION ALL
        SELECT b.attnum, d.typbasetype, b.filled OR d.typnotnull,
            b.made OR d.typdefault IS NOT NULL
        FROM base b JOIN pg_catalog.pg_type d ON d.oid = b.type AND d.typtype = 'd'
    )
    SELECT a.nspname::text, a.relname::text, a.relkind::text, a.attname::text,
        CASE WHEN p.prolang = 12 THEN p.prosrc ELSE p.proname END
            || CASE WHEN e.oid IS NULL THEN ':' || t.oid ELSE '[' || e.oid || ']' END
            || CASE WHEN a.attgenerated <> '' THEN ' stored '
                    WHEN a.attidentity = 'a' THEN ' identity ' ELSE ' - ' END
            || pg_catalog.format_type(t.oid, -1),
        NOT b.filled, b.made OR a.attidentity <> '',
        EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid
            AND i.indisprimary AND a.attnum = ANY (i.indkey::int2[]))
    FROM attribute a
    JOIN base b ON b.attnum = a.attnum
    JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    LEFT JOIN pg_catalog.pg_proc p ON p.oid = coalesce(e.typreceive, t.typreceive)
    ORDER BY a.attnum";

/// The table as it is now, if there is one of these types.
pub(super) async fn describe(
    connection: &mut PgConnection,
    table: &TableId,
    types: &[String],
) -> Result<Option<TargetTable>, sqlx::Error> {
    let rows = sqlx::query(DESCRIBE)
        .bind(table.schema.as_deref())
        .bind(&table.name)
        .bind(relation_kinds(types))
        .persistent(false)
        .fetch_all(connection)
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let schema: String = first.try_get(0)?;
    let name: String = first.try_get(1)?;
    let columns = rows.iter().map(column).collect::<Result<_, _>>()?;
    Ok(Some(TargetTable {
        id: TableId::new(Some(&schema), &name),
        is_view: first.try_get::<String, _>(2)? == "v",
        columns,
    }))
}

/// The catalog's letters for `table.types`.
const KINDS: [(&str, &str); 4] =
    [("TABLE", "r"), ("PARTITIONED TABLE", "p"), ("VIEW", "v"), ("FOREIGN TABLE", "f")];

fn column(row: &PgRow) -> Result<TargetColumn, sqlx::Error> {
    Ok(TargetColumn {
        name: row.try_get(3)?,
        type_name: row.try_get::<Option<_>, _>(4)?.unwrap_or_default(),
        nullable: row.try_get(5)?,
        has_default: row.try_get(6)?,
        in_primary_key: row.try_get(7)?,
    })
}

fn relation_kinds(types: &[String]) -> Vec<String> {
    let wanted =
        KINDS.iter().filter(|(name, _)| types.iter().any(|t| t.eq_ignore_ascii_case(name)));
    wanted.map(|(_, letter)| (*letter).to_owned()).collect()
}
