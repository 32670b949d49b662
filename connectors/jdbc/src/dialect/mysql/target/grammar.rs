//! How MySQL and MariaDB spell tables and what is done to their rows.

use millrace_api::data::{Kind, Schema, Value, logical};

use crate::calendar::{DAY, clock};
use crate::dialect::marks;
use crate::dialect::target::{Action, Grammar, TargetField, TargetTable, has_micros};
use crate::table::{Quoting, TableId};

/// MySQL's words.
pub(in crate::dialect::mysql) struct MySqlGrammar;

/// Texts that rows are told apart by: in an index, where a `TEXT` cannot be, and by their bytes,
/// since keys in Kafka that differ in case are two keys.
const TEXT_KEY: &str = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
/// The most digits after the point of a `DECIMAL`.
const MOST_SCALE: i32 = 30;

impl Grammar for MySqlGrammar {
    fn column_type(&self, schema: &Schema, is_key: bool) -> Option<String> {
        let text = if is_key { TEXT_KEY } else { "TEXT" };
        let name = match (schema.name(), schema.kind()) {
            (Some(logical::DECIMAL), _) => {
                let scale: i32 = schema.parameter("scale")?.parse().ok()?;
                match scale {
                    ..=0 => "DECIMAL(65,0)",
                    1..=MOST_SCALE => return Some(format!("DECIMAL(65,{scale})")),
                    // No number of MySQL's has so many digits.
                    _ => text,
                }
            }
            (Some(logical::DATE), _) => "DATE",
            (Some(logical::TIME), _) => "TIME(3)",
            (Some(logical::TIMESTAMP), _) if has_micros(schema) => "DATETIME(6)",
            (Some(logical::TIMESTAMP), _) => "DATETIME(3)",
            (_, Kind::Int8 | Kind::Boolean) => "TINYINT",
            (_, Kind::Int16) => "SMALLINT",
            (_, Kind::Int32) => "INT",
            (_, Kind::Int64) => "BIGINT",
            (_, Kind::Float32) => "FLOAT",
            (_, Kind::Float64) => "DOUBLE",
            (_, Kind::String) => text,
            (_, Kind::Bytes) => "VARBINARY(1024)",
            (_, Kind::Array | Kind::Map | Kind::Struct) => return None,
        };
        Some(name.to_owned())
    }

    /// Texts in parentheses: without them a `TEXT` has no default in MySQL.
    fn literal(&self, schema: &Schema, value: &Value) -> Option<String> {
        let in_years = |text: String| (text.len() == 26 && !text.starts_with('-')).then_some(text);
        Some(match value {
            Value::Null => "NULL".to_owned(),
            Value::Boolean(value) => i32::from(*value).to_string(),
            Value::Int8(number) => number.to_string(),
            Value::Int16(number) => number.to_string(),
            Value::Int32(number) => number.to_string(),
            Value::Int64(number) => number.to_string(),
            Value::Float32(number) if number.is_finite() => format!("{number:?}"),
            Value::Float64(number) if number.is_finite() => format!("{number:?}"),
            Value::Decimal(decimal) if decimal.scale > MOST_SCALE => {
                format!("('{}')", decimal.to_plain_string())
            }
            Value::Decimal(decimal) => decimal.to_plain_string(),
            Value::Date(day) => {
                let text = in_years(clock(i64::from(*day) * DAY * 1000))?;
                format!("'{}'", &text[..10])
            }
            Value::Time(millis) => format!("'{}'", &clock(i64::from(*millis) * 1000)[11..23]),
            Value::Timestamp(micros) if has_micros(schema) => {
                format!("'{}'", in_years(clock(*micros))?)
            }
            Value::Timestamp(millis) => {
                let text = in_years(clock(millis.checked_mul(1000)?))?;
                format!("'{}'", &text[..23])
            }
            // No text of SQL holds a NUL. In the session a backslash escapes.
            Value::String(text) if !text.contains('\0') => {
                format!("('{}')", text.replace('\\', "\\\\").replace('\'', "''"))
            }
            Value::Bytes(bytes) => format!("x'{}'", hexadecimal(bytes)),
            _ => return None,
        })
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
            Action::Update => update(&table.id, fields, 1, quoting),
            Action::Delete => Some(delete(&table.id, fields, 1, quoting)),
        };
        sql.into_iter().collect()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
            format!("{column}=VALUES({column})")
        };
        // With nothing to set, a key is set to what it is.
        let values = if values.is_empty() { keys } else { values };
        let set: Vec<String> = values.iter().map(set).collect();
        sql.push_str(&format!(" ON DUPLICATE KEY UPDATE {}", set.join(",")));
    }
    sql
}

/// Rows that are changed one by one in a statement: each column looks up its row's value. Values
/// are bound column by column, each behind its row's keys; then the keys. None where there is
/// nothing to change: all fields are keys.
pub(super) fn update(
    table: &TableId,
    fields: &[TargetField],
    rows: usize,
    quoting: Quoting,
) -> Option<String> {
    let (keys, values) = marks::split(fields);
    let case =
        format!(" WHEN {} THEN ?", marks::columns(keys, quoting, "=?", " AND ")).repeat(rows);
    let set = |field: &TargetField| {
        let column = quoting.sql(&field.column);
        match rows {
            1 => format!("{column}=?"),
            // The column at the end says of which type the values are.
            _ => format!("{column}=CASE{case} ELSE {column} END"),
        }
    };
    (!values.is_empty()).then(|| {
        let set: Vec<String> = values.iter().map(set).collect();
        format!(
            "UPDATE {} SET {} WHERE {}",
            table.sql(quoting),
            set.join(","),
            condition(keys, rows, quoting)
        )
    })
}

pub(super) fn delete(
    table: &TableId,
    fields: &[TargetField],
    rows: usize,
    quoting: Quoting,
) -> String {
    format!("DELETE FROM {} WHERE {}", table.sql(quoting), condition(fields, rows, quoting))
}

/// Which rows have these keys. Those of several columns are spelt out: the server looks tuples up
/// one by one.
fn condition(keys: &[TargetField], rows: usize, quoting: Quoting) -> String {
    let all = marks::columns(keys, quoting, "=?", " AND ");
    match keys {
        _ if rows == 1 => all,
        [key] => format!("{} IN {}", quoting.sql(&key.column), marks::marks(rows)),
        _ => vec![format!("({all})"); rows].join(" OR "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let id = TableId::new(Some("d"), "t`t");
        let table = TargetTable { id, is_view: false, columns: Vec::new() };
        let field = |column: &str, is_key| TargetField {
            column: column.to_owned(),
            schema: Schema::string(true),
            is_key,
        };
        let fields = [field("a", true), field("b", true), field("c", false), field("d", false)];
        let quoting = Quoting::Always('`');
        let sql = |action, fields: &[TargetField]| {
            MySqlGrammar.statements(action, &table, fields, quoting).join(";")
        };
        let all = "INSERT INTO `d`.`t``t`(`a`,`b`,`c`,`d`) VALUES (?,?,?,?)";
        assert_eq!(sql(Action::Insert, &fields), all);
        assert_eq!(
            sql(Action::Upsert, &fields),
            format!("{all} ON DUPLICATE KEY UPDATE `c`=VALUES(`c`),`d`=VALUES(`d`)")
        );
        let keys = "ON DUPLICATE KEY UPDATE `a`=VALUES(`a`),`b`=VALUES(`b`)";
        assert!(sql(Action::Upsert, &fields[..2]).ends_with(keys));
        assert_eq!(
            sql(Action::Update, &fields),
            "UPDATE `d`.`t``t` SET `c`=?,`d`=? WHERE `a`=? AND `b`=?"
        );
        assert_eq!(sql(Action::Update, &fields[..2]), "");
        assert_eq!(
            delete(&table.id, &fields[..2], 2, quoting),
            "DELETE FROM `d`.`t``t` WHERE (`a`=? AND `b`=?) OR (`a`=? AND `b`=?)"
        );
        assert_eq!(
            delete(&table.id, &fields[..1], 3, quoting),
            "DELETE FROM `d`.`t``t` WHERE `a` IN (?,?,?)"
        );
        assert_eq!(
            update(&table.id, &fields[..3], 2, quoting).unwrap(),
            "UPDATE `d`.`t``t` SET `c`=CASE WHEN `a`=? AND `b`=? THEN ? WHEN `a`=? AND `b`=? \
             THEN ? ELSE `c` END WHERE (`a`=? AND `b`=?) OR (`a`=? AND `b`=?)"
        );
    }
}
