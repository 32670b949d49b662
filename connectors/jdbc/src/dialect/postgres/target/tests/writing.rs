//! Inserts, upserts, updates and deletes.

use millrace_api::ErrorKind;
use millrace_api::data::{Kind, Value};

use super::{Columns, Sink, of, with};
use crate::dialect::target::Action;

fn orders(ids: &[i64], items: &[&str]) -> Columns {
    let ids = ids.iter().map(|id| Value::Int64(*id)).collect();
    let items = items.iter().map(|item| Value::from(*item)).collect();
    vec![("!id", of(Kind::Int64), ids), ("item", of(Kind::String), items)]
}

const ORDERS: &str = "CREATE TABLE orders (id int PRIMARY KEY, item text, note text DEFAULT 'n')";

async fn all(sink: &mut Sink) -> Vec<String> {
    sink.rows("SELECT * FROM orders ORDER BY id").await
}

#[test]
fn rows_are_inserted_changed_and_deleted() {
    with(ORDERS, async |mut sink| {
        sink.insert("orders", orders(&[1, 2], &["a", "b"])).await.unwrap();
        assert_eq!(all(&mut sink).await, ["1|a|n", "2|b|n"]);
        sink.database.execute("UPDATE orders SET note = 'kept'").await;
        sink.write(Action::Upsert, "orders", orders(&[2, 3], &["B", "C"])).await.unwrap();
        assert_eq!(all(&mut sink).await, ["1|a|kept", "2|B|kept", "3|C|n"]);
        sink.write(Action::Update, "orders", orders(&[1, 4], &["A", "D"])).await.unwrap();
        assert_eq!(all(&mut sink).await, ["1|A|kept", "2|B|kept", "3|C|n"]);
        let keys = orders(&[1, 3, 9], &[]).remove(0);
        sink.write(Action::Delete, "orders", vec![keys]).await.unwrap();
        assert_eq!(all(&mut sink).await, ["2|B|kept"]);
        let key = orders(&[2], &[]).remove(0);
        sink.write(Action::Upsert, "orders", vec![key]).await.unwrap();
        let key = orders(&[7], &[]).remove(0);
        sink.write(Action::Upsert, "orders", vec![key]).await.unwrap();
        assert_eq!(all(&mut sink).await, ["2|B|kept", "7|-|n"]);
    });
}

#[test]
fn large_values_go_in_parts() {
    with(ORDERS, async |mut sink| {
        let large = "é".repeat(1 << 20);
        let ids: Vec<i64> = (0..15).collect();
        let items: Vec<&str> = ids.iter().map(|_| large.as_str()).collect();
        sink.insert("orders", orders(&ids, &items)).await.unwrap();
        let huge = "x".repeat(40 << 20);
        sink.write(Action::Upsert, "orders", orders(&[3], &[&huge])).await.unwrap();
        let sizes = "SELECT count(*)::text, sum(octet_length(item))::text FROM orders";
        assert_eq!(sink.rows(sizes).await, [format!("15|{}", (14 << 21) + (40 << 20))]);
    });
}

#[test]
fn keys_that_the_server_holds_for_equal_are_the_rows_fault() {
    let sql = "CREATE EXTENSION citext; CREATE TABLE t (k citext PRIMARY KEY, n int)";
    with(sql, async |mut sink| {
        let rows = |keys: &[&str]| -> Columns {
            vec![
                ("!k", of(Kind::String), keys.iter().map(|key| Value::from(*key)).collect()),
                ("n", of(Kind::Int32), vec![Value::Int32(1); keys.len()]),
            ]
        };
        let error = sink.write(Action::Upsert, "t", rows(&["a", "A"])).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Data && error.to_string().contains("21000"), "{error}");
        // One by one they are the same row.
        sink.write(Action::Upsert, "t", rows(&["a"])).await.unwrap();
        sink.write(Action::Upsert, "t", rows(&["A"])).await.unwrap();
        sink.write(Action::Delete, "t", rows(&["A"]).into_iter().take(1).collect()).await.unwrap();
        assert_eq!(sink.rows("SELECT count(*)::text FROM t").await, ["0"]);
    });
}
