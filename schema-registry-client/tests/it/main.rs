//! What the client asks, of whom and how often, and what it makes of the answers.
#![allow(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

mod auth;
mod server;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use schema_registry_client::{
    Client, CompatibilityLevel, Config, Mode, Reference, Schema, SchemaType, Settings, Which,
};
use serde_json::json;

use crate::server::{Reply, Server};

/// A client that loses no time.
fn client(urls: &[String]) -> Client {
    Client::new(quick(urls)).unwrap()
}

fn quick(urls: &[String]) -> Settings {
    Settings {
        retry_wait: Duration::from_millis(1),
        retry_max_wait: Duration::from_millis(4),
        connect_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(10),
        ..Settings::new(urls.iter().cloned())
    }
}

/// One that waits for no answer.
fn impatient(urls: &[String]) -> Settings {
    let soon = Duration::from_millis(200);
    Settings { connect_timeout: soon, read_timeout: soon, ..quick(urls) }
}

fn version(version: i32) -> String {
    json!({"subject": "s", "version": version, "id": 10 + version, "schema": "\"int\""}).to_string()
}

#[tokio::test]
async fn every_call_is_confluents() {
    let server = Server::start(|asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("GET", "/subjects?deleted=true") => Reply::ok(r#"["a b","c"]"#),
        ("GET", "/subjects/a%20b/versions") => Reply::ok("[1,2]"),
        ("GET", "/subjects/s/versions/latest") => Reply::ok(version(2)),
        ("GET", "/subjects/s/versions/1") => Reply::ok(version(1)),
        ("GET", "/subjects/s/versions/1/referencedby") => Reply::ok("[7]"),
        ("GET", "/schemas/guids/0-1") => Reply::ok(r#"{"schema":"x","schemaType":"PROTOBUF"}"#),
        ("GET", "/schemas/ids/7/subjects") => Reply::ok(r#"["s"]"#),
        ("GET", "/schemas/ids/7/versions") => Reply::ok(r#"[{"subject":"s","version":3}]"#),
        ("GET", "/schemas/types") => Reply::ok(r#"["AVRO"]"#),
        ("GET", "/contexts") => Reply::ok(r#"["."]"#),
        ("GET", "/config") => Reply::ok(r#"{"compatibilityLevel":"FULL","other":1}"#),
        ("GET", "/config/s?defaultToGlobal=true") => {
            Reply::ok(r#"{"compatibilityLevel":"NONE","normalize":true}"#)
        }
        ("PUT" | "DELETE", "/config/s") => Reply::ok(r#"{"compatibility":"NONE"}"#),
        ("GET", "/mode") => Reply::ok(r#"{"mode":"READWRITE"}"#),
        ("PUT", "/mode/s?force=true") => Reply::ok(r#"{"mode":"IMPORT"}"#),
        ("POST", "/subjects/s?normalize=true") => Reply::ok(version(4)),
        ("POST", "/subjects/s/versions") => Reply::ok(r#"{"id":5,"guid":"0-1","version":4}"#),
        ("POST", "/compatibility/subjects/s/versions/latest?verbose=true") => {
            Reply::ok(r#"{"is_compatible":false,"messages":["no"]}"#)
        }
        ("POST", "/compatibility/subjects/s/versions?verbose=true") => {
            Reply::ok(r#"{"is_compatible":true}"#)
        }
        ("DELETE", "/subjects/s/versions/2?permanent=false") => Reply::ok("2"),
        ("DELETE", "/subjects/s?permanent=true") => Reply::ok("[1,2]"),
        _ => Reply::error(404, 40401, "no such call"),
    })
    .await;
    let client = client(&[server.url()]);
    assert_eq!(client.subjects(true).await.unwrap(), ["a b", "c"]);
    assert_eq!(client.versions("a b").await.unwrap(), [1, 2]);
    assert_eq!(client.version("s", Which::Latest).await.unwrap().version, 2);
    assert_eq!(client.version("s", Which::Number(1)).await.unwrap().id, 11);
    assert_eq!(client.referenced_by("s", Which::Number(1)).await.unwrap(), [7]);
    let by_guid = client.schema_by_guid("0-1").await.unwrap();
    assert_eq!(*by_guid, Schema::new(SchemaType::Protobuf, "x"));
    assert_eq!(client.subjects_of(7).await.unwrap(), ["s"]);
    assert_eq!(client.versions_of(7).await.unwrap()[0].version, 3);
    assert_eq!(client.schema_types().await.unwrap(), ["AVRO"]);
    assert_eq!(client.contexts().await.unwrap(), ["."]);
    let all = client.config(None).await.unwrap();
    assert_eq!(all.compatibility, Some(CompatibilityLevel::Full));
    let one = client.config(Some("s")).await.unwrap();
    let none = Some(CompatibilityLevel::None);
    assert_eq!(one, Config { compatibility: none, normalize: Some(true), alias: None });
    client.set_compatibility(Some("s"), CompatibilityLevel::None).await.unwrap();
    client.delete_config("s").await.unwrap();
    assert_eq!(client.mode(None).await.unwrap(), Mode::ReadWrite);
    client.set_mode(Some("s"), Mode::Import, true).await.unwrap();

    let schema = Arc::new(Schema {
        references: vec![Reference { name: "n".into(), subject: "o".into(), version: 1 }],
        ..Schema::new(SchemaType::Json, "{}")
    });
    assert_eq!(client.lookup("s", &schema, true).await.unwrap().version, 4);
    let registered = client.register("s", &schema, false).await.unwrap();
    assert_eq!((registered.id, registered.guid.as_deref()), (5, Some("0-1")));
    let checked = client.check("s", Some(Which::Latest), &schema).await.unwrap();
    assert_eq!((checked.is_compatible, &*checked.messages), (false, &["no".to_owned()][..]));
    assert!(client.check("s", None, &schema).await.unwrap().is_compatible);
    assert_eq!(client.delete_version("s", Which::Number(2), false).await.unwrap(), 2);
    assert_eq!(client.delete_subject("s", true).await.unwrap(), [1, 2]);

    let bodies: Vec<_> = server.asked().into_iter().filter(|a| !a.body.is_empty()).collect();
    assert_eq!(bodies[0].body, r#"{"compatibility":"NONE"}"#);
    assert_eq!(bodies[1].body, r#"{"mode":"IMPORT"}"#);
    let sent = r#"{"schema":"{}","schemaType":"JSON","references":[{"name":"n","subject":"o","version":1}]}"#;
    assert!(bodies[2..].iter().all(|asked| asked.body == sent), "{bodies:?}");
    assert_eq!(bodies[2].headers["content-type"], "application/vnd.schemaregistry.v1+json");
}

#[tokio::test]
async fn what_cannot_change_is_asked_once() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/schemas/ids/1?fetchMaxId=false" => {
            Reply::ok(r#"{"schema":"\"int\""}"#).after(Duration::from_millis(50))
        }
        "/schemas/ids/1?fetchMaxId=false&subject=%3A.eu%3As" => Reply::ok(r#"{"schema":"eu"}"#),
        "/subjects/s/versions" => Reply::ok(r#"{"id":1}"#),
        "/subjects/s/versions/latest" => Reply::ok(version(1)),
        _ => Reply::error(404, 40403, "none"),
    })
    .await;
    let settings = Settings {
        latest_ttl: Some(Duration::ZERO),
        missing_id_ttl: Some(Duration::from_secs(60)),
        ..quick(&[server.url()])
    };
    let client = Client::new(settings).unwrap();
    let many: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.schema_by_id(1, None).await })
        })
        .collect();
    for one in many {
        assert_eq!(&*one.await.unwrap().unwrap().text, "\"int\"");
    }
    // Another context counts its own ids.
    assert_eq!(&*client.schema_by_id(1, Some(":.eu:s")).await.unwrap().text, "eu");
    let schema = Arc::new(Schema::avro("x"));
    for _ in 0..2 {
        assert!(client.schema_by_id(2, None).await.unwrap_err().is_not_found());
        client.register("s", &schema, false).await.unwrap();
        client.latest("s").await.unwrap();
    }
    assert_eq!(
        server.lines(),
        [
            "GET /schemas/ids/1?fetchMaxId=false",
            "GET /schemas/ids/1?fetchMaxId=false&subject=%3A.eu%3As",
            "GET /schemas/ids/2?fetchMaxId=false",
            "POST /subjects/s/versions",
            "GET /subjects/s/versions/latest",
            "GET /subjects/s/versions/latest",
        ]
    );
    // What cannot change stays.
    client.refresh();
    let before = server.asked().len();
    client.schema_by_id(1, None).await.unwrap();
    assert!(client.schema_by_id(2, None).await.is_err());
    client.register("s", &schema, false).await.unwrap();
    assert_eq!(server.asked().len(), before + 2);
}

#[tokio::test]
async fn references_come_after_what_they_need() {
    // a -> b, c; b -> d; c -> d, a (a circle).
    let server = Server::start(|asked| {
        let subject = asked.target.split('/').nth(2).unwrap();
        let needs = match subject {
            "b" => vec!["d"],
            "c" => vec!["d", "b", "c"],
            _ => vec![],
        };
        let references: Vec<_> = needs
            .iter()
            .map(|name| json!({"name": format!("{name}.proto"), "subject": name, "version": 1}))
            .collect();
        let schema = format!("the text of {subject}");
        let body = json!({"subject": subject, "version": 1, "id": 1, "schema": schema,
                          "schemaType": "PROTOBUF", "references": references});
        Reply::ok(body.to_string())
    })
    .await;
    let reference = |name: &str| Reference {
        name: format!("{name}.proto").into(),
        subject: name.into(),
        version: 1,
    };
    let schema = Schema {
        references: vec![reference("b"), reference("c")],
        ..Schema::new(SchemaType::Protobuf, "a")
    };
    let client = client(&[server.url()]);
    let resolved = client.references(&schema).await.unwrap();
    let names: Vec<_> = resolved.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["d.proto", "b.proto", "c.proto"]);
    assert_eq!(&*resolved[0].text, "the text of d");
    client.references(&schema).await.unwrap();
    assert_eq!(server.asked().len(), 3);
}
