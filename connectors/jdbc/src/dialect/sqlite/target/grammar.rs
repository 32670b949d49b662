//! How SQLite spells tables and what is done to their rows.

use millrace_api::data::{Kind, Schema, Value, logical};

use crate::dialect::marks;
use crate::dialect::target::{Action, Grammar, TargetField, TargetTable};
use crate::table::{Quoting, TableId};

/// SQLite's words.
pub(in crate::dialect::sqlite) struct SqliteGrammar;

impl Grammar for SqliteGrammar {
    fn column_type(&self, schema: &Schema, _is_key: bool) -> Option<String> {
        let name = match (schema.name(), schema.kind()) {
            (Some(logical::DECIMAL | logical::DATE | logical::TIME | logical::TIMESTAMP), _) => {
                "NUMERIC"
            }
            (_, Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Boolean) => "INTEGER",
            (_, Kind::Float32 | Kind::Float64) => "REAL",
            (_, Kind::String) => "TEXT",
            (_, Kind::Bytes) => "BLOB",
            (_, Kind::Array | Kind::Map | Kind::Struct) => return None,
        };
        Some(name.to_owned())
    }

    /// As values are written: dates and times as milliseconds.
    fn literal(&self, _schema: &Schema, value: &Value) -> Option<String> {
        const DAY: i64 = crate::calendar::DAY;
        Some(match value {
            Value::Null => "NULL".to_owned(),
            Value::Boolean(value) => i32::from(*value).to_string(),
            Value::Int8(number) => number.to_string(),
            Value::Int16(number) => number.to_string(),
            Value::Int32(number) | Value::Time(number) => number.to_string(),
            Value::Int64(number) | Value::Timestamp(number) => number.to_string(),
            Value::Date(days) => (i64::from(*days) * DAY).to_string(),
            Value::Float32(number) if number.is_finite() => format!("{number:?}"),
            Value::Float64(number) if number.is_finite() => format!("{number:?}"),
            Value::Decimal(decimal) => decimal.to_plain_string(),
            // No text of SQL holds a NUL.
            Value::String(text) if !text.contains('\0') => {
                format!("'{}'", text.replace('\'', "''"))
            }
            Value::Bytes(bytes) => {
                let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
                format!("x'{}'", digits.concat())
            }
            _ => return None,
        })
    }

    fn adds_columns_one_by_one(&self) -> bool {
        true
    }

    /// Who only reads at first may find that another has written meanwhile, and nothing helps then.
    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    /// Nobody else writes in the meantime.
    fn for_update(&self) -> &'static str {
        ""
    }

    fn statements(
        &self,
        action: Action,
        table: &TargetTable,
        fields: &[TargetField],
        quoting: Quoting,
    ) -> Vec<String> {
        let sql = match action {
            Action::Insert => Some(insert(&table.id, fields, 1, false, quoting)),
            Action::Upsert => Some(insert(&table.id, fields, 1, true, quoting)),
            Action::Update => update(&table.id, fields, quoting),
            Action::Delete => Some(delete(&table.id, fields, quoting)),
        };
        sql.into_iter().collect()
    }
}

pub(super) fn insert(
    table: &TableId,
    fields: &[TargetField],
    rows: usize,
    is_upsert: bool,
    quoting: Quoting,
) -> String {
    let mut sql = marks::insert(table, fields, rows, quoting);
    if is_upsert {
        let (keys, values) = marks::split(fields);
        let set = |field: &TargetField| {
            let column = quoting.sql(&field.column);
            format!("{column}=excluded.{column}")
        };
        sql.push_str(&format!(" ON CONFLICT({})", marks::columns(keys, quoting, "", ",")));
        match values {
            [] => sql.push_str(" DO NOTHING"),
            _ => {
                let set: Vec<String> = values.iter().map(set).collect();
                sql.push_str(&format!(" DO UPDATE SET {}", set.join(",")));
            }
        }
    }
    sql
}

/// None where there is nothing to change: all fields are keys.
pub(super) fn update(table: &TableId, fields: &[TargetField], quoting: Quoting) -> Option<String> {
    let (keys, values) = marks::split(fields);
    (!values.is_empty()).then(|| {
        format!(
            "UPDATE {} SET {} WHERE {}",
            table.sql(quoting),
            marks::columns(values, quoting, "=?", ","),
            marks::columns(keys, quoting, "=?", " AND "),
        )
    })
}

pub(super) fn delete(table: &TableId, fields: &[TargetField], quoting: Quoting) -> String {
    format!(
        "DELETE FROM {} WHERE {}",
        table.sql(quoting),
        marks::columns(fields, quoting, "=?", " AND ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let id = TableId::new(None, "t`t");
        let table = TargetTable { id, is_view: false, columns: Vec::new() };
        let field = |column: &str, is_key| TargetField {
            column: column.to_owned(),
            schema: Schema::string(true),
            is_key,
        };
        let fields = [field("a", true), field("b", true), field("c", false), field("d", false)];
        let sql = |action, fields: &[TargetField]| {
            SqliteGrammar.statements(action, &table, fields, Quoting::Always('`')).join(";")
        };
        assert_eq!(
            sql(Action::Insert, &fields),
            "INSERT INTO `t``t`(`a`,`b`,`c`,`d`) VALUES (?,?,?,?)"
        );
        assert_eq!(
            sql(Action::Upsert, &fields),
            "INSERT INTO `t``t`(`a`,`b`,`c`,`d`) VALUES (?,?,?,?) ON CONFLICT(`a`,`b`) \
             DO UPDATE SET `c`=excluded.`c`,`d`=excluded.`d`"
        );
        assert!(sql(Action::Upsert, &fields[..2]).ends_with(" ON CONFLICT(`a`,`b`) DO NOTHING"));
        assert_eq!(
            sql(Action::Update, &fields),
            "UPDATE `t``t` SET `c`=?,`d`=? WHERE `a`=? AND `b`=?"
        );
        assert_eq!(sql(Action::Update, &fields[..2]), "");
        assert_eq!(sql(Action::Delete, &fields[..2]), "DELETE FROM `t``t` WHERE `a`=? AND `b`=?");
    }
}
