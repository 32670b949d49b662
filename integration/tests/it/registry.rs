//! A real registry: what the client makes of it, and what people see when it refuses or is away.

use millrace_integration::block_on;
use millrace_integration::connect::millrace;
use millrace_integration::registry::Registry;
use millrace_integration::site::{Site, file_sink, file_source, wait_for_task, with};
use schema_registry_client::{
    Client, CompatibilityLevel, Reference, Schema, SchemaType, Settings, Which, code,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

fn client(registry: &Registry) -> Client {
    Client::new(Settings::new([registry.url()])).unwrap()
}

fn order(fields: &str) -> Arc<Schema> {
    let text = format!(r#"{{"type":"record","name":"Order","fields":[{fields}]}}"#);
    Arc::new(Schema::avro(text))
}

const ID: &str = r#"{"name":"id","type":"long"}"#;
const NOTE: &str = r#"{"name":"note","type":"string","default":""}"#;
const TOTAL: &str = r#"{"name":"total","type":"double"}"#;

/// One registry for all of it: it takes longest to start.
#[test]
fn the_client_on_a_real_registry() {
    let mut registry = Registry::start();
    block_on(async {
        schemas_evolve(&client(&registry)).await;
        refusals_have_codes(&client(&registry)).await;
        references_are_followed(&client(&registry)).await;
    });
    a_refused_schema_is_shown_to_people(&registry);
    people_ask_the_registry(&registry);
    a_restart_loses_nothing(&mut registry);
}

async fn schemas_evolve(client: &Client) {
    let first = client.register("evolving", &order(ID), false).await.unwrap();
    client.set_compatibility(Some("evolving"), CompatibilityLevel::Backward).await.unwrap();
    let level = client.config(Some("evolving")).await.unwrap().compatibility;
    assert_eq!(level, Some(CompatibilityLevel::Backward));
    let wider = order(&format!("{ID},{NOTE}"));
    let second = client.register("evolving", &wider, false).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(client.versions("evolving").await.unwrap(), [1, 2]);
    let latest = client.latest("evolving").await.unwrap();
    assert_eq!((latest.version, latest.id), (2, second.id));
    // The same schema has the same id in any subject.
    assert_eq!(client.register("another", &wider, false).await.unwrap().id, second.id);
    assert_eq!(client.lookup("evolving", &order(ID), false).await.unwrap().version, 1);
    let by_id = client.schema_by_id(first.id, Some("evolving")).await.unwrap();
    assert_eq!(by_id.text, order(ID).text);
    let subjects = client.subjects(false).await.unwrap();
    assert!(["another", "evolving"].iter().all(|name| subjects.iter().any(|s| s == name)));

    let breaking = order(&format!("{ID},{TOTAL}"));
    let checked = client.check("evolving", Some(Which::Latest), &breaking).await.unwrap();
    assert!(!checked.is_compatible);
    let refused = client.register("evolving", &breaking, false).await.unwrap_err();
    assert!(refused.is_incompatible() && refused.to_string().contains("total"), "{refused}");
    client.delete_subject("another", false).await.unwrap();
    assert!(client.versions("another").await.unwrap_err().is_not_found());
}

async fn refusals_have_codes(client: &Client) {
    let codes = [
        client.versions("nobody").await.unwrap_err().code(),
        client.version("evolving", Which::Number(9)).await.unwrap_err().code(),
        client.schema_by_id(987_654, None).await.unwrap_err().code(),
        client.register("broken", &Arc::new(Schema::avro("{")), false).await.unwrap_err().code(),
    ];
    // Not the row's fault that is waited out, but an answer.
    for subject in ["nobody", "evolving"] {
        let error = client.lookup(subject, &order(TOTAL), false).await.unwrap_err();
        assert!(error.is_verdict() && error.is_not_found(), "{error}");
    }
    let reference = Reference { name: "x".into(), subject: "nobody".into(), version: 1 };
    let lost = Schema { references: vec![reference], ..Schema::avro("{}") };
    assert!(client.references(&lost).await.unwrap_err().is_verdict());
    assert!(client.register("lost", &lost.into(), false).await.unwrap_err().is_verdict());
    assert!(client.latest("nobody").await.unwrap_err().is_verdict());
    let known = [
        code::SUBJECT_NOT_FOUND,
        code::VERSION_NOT_FOUND,
        code::SCHEMA_NOT_FOUND,
        code::INVALID_SCHEMA,
    ];
    assert_eq!(codes, known.map(Some));
}

async fn references_are_followed(client: &Client) {
    let part = "syntax = \"proto3\";\nmessage Part {\n  string name = 1;\n}\n";
    let part = Arc::new(Schema::new(SchemaType::Protobuf, part));
    client.register("part.proto", &part, false).await.unwrap();
    let whole =
        "syntax = \"proto3\";\nimport \"part.proto\";\nmessage Whole {\n  Part part = 1;\n}\n";
    let whole = Arc::new(Schema {
        references: vec![Reference {
            name: "part.proto".into(),
            subject: "part.proto".into(),
            version: 1,
        }],
        ..Schema::new(SchemaType::Protobuf, whole)
    });
    let id = client.register("whole-value", &whole, false).await.unwrap().id;
    let fetched = client.schema_by_id(id, None).await.unwrap();
    assert_eq!(fetched.schema_type, SchemaType::Protobuf);
    let resolved = client.references(&fetched).await.unwrap();
    assert_eq!(resolved.len(), 1);
    assert!(resolved[0].text.contains("message Part"));
    assert_eq!(client.referenced_by("part.proto", Which::Number(1)).await.unwrap(), [id]);
}

const AVRO: &str = "io.confluent.connect.avro.AvroConverter";

/// Lines that shall become Avro strings, for a subject that holds numbers.
fn a_refused_schema_is_shown_to_people(registry: &Registry) {
    let client = client(registry);
    let numbers = Arc::new(Schema::avro("\"int\""));
    block_on(async {
        client.register("lines-value", &numbers, false).await.unwrap();
        let level = CompatibilityLevel::Backward;
        client.set_compatibility(Some("lines-value"), level).await.unwrap();
    });
    let site = Site::embedded();
    site.write("in.txt", "one\ntwo\n");
    let url = registry.url();
    let keys = [("value.converter", AVRO), ("value.converter.schema.registry.url", &*url)];
    let source =
        with(file_source("lines", &site.path("in.txt").display().to_string(), "lines"), &keys);
    let sink = with(file_sink("out", &site.path("out.txt").display().to_string(), "lines"), &keys);
    let connect = site.start(&[], &[source, sink]);
    let status = wait_for_task(&connect, "lines", "FAILED");
    for words in ["answers 409", "Incompatible", "subject: lines-value", "compatibility level"] {
        assert!(status.contains(words), "{words}: {status}");
    }
    block_on(client.set_compatibility(Some("lines-value"), CompatibilityLevel::None)).unwrap();
    connect.rest("POST", "/connectors/lines/tasks/0/restart", None);
    site.wait_for_lines("out.txt", 2);
    assert_eq!(site.read("out.txt"), "one\ntwo\n");
    let values = site.backend.contents("lines").into_iter().map(|record| record.value.unwrap());
    let id = block_on(client.latest("lines-value")).unwrap().id.to_be_bytes();
    let framed = |text: &[u8]| [&[0][..], &id, text].concat();
    assert_eq!(values.collect::<Vec<_>>(), [framed(b"\x06one"), framed(b"\x06two")]);
}

/// `millrace schema` with these arguments: its exit code, and what it said.
fn schema(site: &Site, arguments: &[&str]) -> (i32, String) {
    let output = millrace().arg("schema").args(arguments).current_dir(site.path("")).output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn people_ask_the_registry(registry: &Registry) {
    let site = Site::embedded();
    let file = |name: &str, fields: &str| site.write(name, &*order(fields).text);
    file("one.avsc", ID);
    file("two.avsc", &format!("{ID},{NOTE}"));
    file("moved.avsc", &format!("{NOTE},{ID}"));
    file("breaking.avsc", &format!("{ID},{TOTAL}"));
    site.write("t.proto", "syntax = \"proto3\";\nmessage T {}\n");
    site.write("t.json", r#"{"type":"object","properties":{"a":{"type":"string"}}}"#);
    site.write("url", format!("url={}\n", registry.url()));
    site.write(
        "worker.properties",
        "config.providers=f\n\
         config.providers.f.class=org.apache.kafka.common.config.provider.FileConfigProvider\n",
    );
    let variable = format!("${{f:{}:url}}", site.path("url").display());
    let connector = format!(
        r#"{{"name":"c","config":{{"value.converter":"x","value.converter.schema.registry.url":"{variable}"}}}}"#
    );
    site.write("connector.json", connector);
    let url = registry.url();
    let by_url = |arguments: &[&str]| schema(&site, &[&["--url", &*url], arguments].concat());
    let says = |(code, said): (i32, String), expected: i32, words: &str| {
        assert!(code == expected && said.contains(words), "{expected} {words}: {code} {said}");
    };
    says(by_url(&["check", "people", "one.avsc"]), 0, "people is new");
    says(by_url(&["register", "people", "one.avsc"]), 0, "people: version 1, id ");
    says(by_url(&["check", "people", "breaking.avsc"]), 0, "NONE, which takes any schema");
    let level = CompatibilityLevel::Backward;
    block_on(client(registry).set_compatibility(Some("people"), level)).unwrap();
    says(by_url(&["check", "people", "two.avsc"]), 0, "compatible (level BACKWARD)");
    says(by_url(&["check", "people", "breaking.avsc"]), 3, "+ total.type: \"double\"");
    says(by_url(&["register", "people", "breaking.avsc"]), 3, "Incompatible");
    says(by_url(&["register", "people", "two.avsc"]), 0, "version 2");
    says(by_url(&["register", "people", "moved.avsc"]), 0, "version 3");
    says(by_url(&["diff", "people", "2"]), 3, "~ order: id, note -> note, id");
    says(by_url(&["diff", "people", "1", "1"]), 0, "no difference");
    says(by_url(&["versions", "people"]), 0, "3  id ");
    says(by_url(&["register", "people-proto", "t.proto"]), 0, "PROTOBUF");
    says(by_url(&["register", "people-json", "t.json"]), 0, "JSON");
    says(by_url(&["get", "nobody"]), 2, "millrace schema subjects");
    says(by_url(&["get", "people", "9"]), 2, "millrace schema versions");
    let files = ["--config", "worker.properties", "--config", "connector.json"];
    says(schema(&site, &[&files[..], &["get", "people", "1"]].concat()), 0, "\"Order\"");
    let (host, _) = url.split_once("/apis").unwrap();
    says(schema(&site, &["--url", host, "subjects"]), 2, "/apis/ccompat/v7");
    let https = url.replace("http:", "https:");
    says(schema(&site, &["--url", &https, "subjects"]), 2, "write http://");
}

/// Clients register and fetch while the registry is killed and started again.
fn a_restart_loses_nothing(registry: &mut Registry) {
    const CLIENTS: usize = 4;
    let stop = Arc::new(AtomicBool::new(false));
    let done: Arc<Vec<AtomicUsize>> = Arc::new((0..CLIENTS).map(|_| AtomicUsize::new(0)).collect());
    let url = registry.url();
    let work = |worker: usize| {
        let (stop, done, url) = (Arc::clone(&stop), Arc::clone(&done), url.clone());
        async move {
            let settings = Settings {
                max_retries: 300,
                retry_wait: Duration::from_millis(50),
                retry_max_wait: Duration::from_millis(500),
                ..Settings::new([url.clone()])
            };
            let known = Client::new(settings.clone()).unwrap();
            let first = known.register("known", &order(ID), false).await.unwrap().id;
            known.schema_by_id(first, None).await.unwrap();
            let mut ids = Vec::new();
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // What is known is there whoever is away.
                known.schema_by_id(first, None).await.unwrap();
                let client = Client::new(settings.clone()).unwrap();
                let name = format!("{{\"name\":\"f{worker}_{round}\",\"type\":\"long\"}}");
                let schema = order(&name);
                let subject = format!("load-{worker}-{round}");
                let id = client.register(&subject, &schema, false).await.unwrap().id;
                let text = client.schema_by_id(id, None).await.unwrap();
                assert_eq!(text.text, schema.text);
                ids.push((id, schema));
                done[worker].fetch_add(1, Ordering::Relaxed);
            }
            // What was answered before the end is there after it.
            let client = Client::new(settings).unwrap();
            for (id, schema) in ids {
                assert_eq!(client.schema_by_id(id, None).await.unwrap().text, schema.text);
            }
        }
    };
    let mut tasks = JoinSet::new();
    block_on(async { (0..CLIENTS).for_each(|worker| drop(tasks.spawn(work(worker)))) });
    let all_have = |count: usize| {
        millrace_integration::wait_until("work", Duration::from_secs(120), || {
            done.iter().all(|n| n.load(Ordering::Relaxed) >= count).then_some(())
        });
    };
    all_have(5);
    registry.kill();
    registry.restart();
    let most = done.iter().map(|n| n.load(Ordering::Relaxed)).max().unwrap_or(0);
    all_have(most + 5);
    stop.store(true, Ordering::Relaxed);
    block_on(tasks.join_all());
}
