//! Decides how the table of Kafka's client keys is recorded and compared: a connector overrides one
//! key after the other, and the validation's answer has its definition.

use crate::connect::Connect;
use serde_json::{Map, Value, json};

/// One of these is a value of each type.
const VALUES: [&str; 3] = ["1", "true", "java.lang.String"];

/// What the table holds of a definition; a group only where there is one.
const MEMBERS: [&str; 5] = ["type", "required", "default_value", "importance", "documentation"];

/// Asks about each key of each client in the table, and gives the table that the answers make.
pub(super) fn ask(connect: &Connect, table: &Value) -> Value {
    let rows = table.as_array().expect("the table is a list").iter();
    rows.flat_map(|row| row_of_answers(connect, row)).collect()
}

/// The row as each of its clients has it: one row, if they agree.
fn row_of_answers(connect: &Connect, row: &Value) -> Vec<Value> {
    let name = row["name"].as_str().expect("a key has a name");
    let mut rows: Vec<Value> = Vec::new();
    for client in row["clients"].as_array().into_iter().flatten() {
        let mut answer = definition(connect, client.as_str().unwrap_or_default(), name);
        let same = rows.iter_mut().find(|known| {
            answer["clients"] = known["clients"].clone();
            **known == answer
        });
        match same.and_then(|known| known["clients"].as_array_mut()) {
            Some(clients) => clients.push(client.clone()),
            None => {
                answer["clients"] = json!([client]);
                rows.push(answer);
            }
        }
    }
    rows
}

fn definition(connect: &Connect, client: &str, name: &str) -> Value {
    let key = format!("{client}.override.{name}");
    let answered = VALUES.iter().find_map(|value| {
        let config = json!({
            "connector.class": "FileStreamSink", "name": "keys", "topics": "t", &key: value,
            "errors.deadletterqueue.topic.name": "dead",
        });
        let path = "/connector-plugins/FileStreamSink/config/validate";
        let answer = connect.rest("PUT", path, Some(&config.to_string()));
        let configs = answer.body["configs"].as_array()?;
        configs.iter().map(|config| &config["definition"]).find(|d| d["name"] == *key).cloned()
    });
    let Some(answered) = answered else {
        return json!({"name": name, "missing": client});
    };
    let mut row = Map::from_iter([("name".to_owned(), json!(name))]);
    row.extend(MEMBERS.map(|member| (member.to_owned(), answered[member].clone())));
    if let Some(group) = answered["group"].as_str() {
        row.insert("group".to_owned(), json!(group));
    }
    Value::Object(row)
}
