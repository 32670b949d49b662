//! Inserts, upserts, updates and deletes.

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
