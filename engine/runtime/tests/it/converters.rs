//! Converters that a connector names itself, and those that it has from its worker: whose keys they
//! get, and what is said of these beforehand.

use std::sync::Arc;

use millrace_api::Props;
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::Herder;

use crate::fixture::{Fixture, props};

const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
const URL: &str = "value.converter.schema.registry.url";

/// A worker whose values are Avro.
async fn with_registry() -> Fixture {
    let extra = [("value.converter", AVRO), (URL, "http://of.worker:1")];
    Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &extra).await
}

fn connector(extra: &[(&str, &str)]) -> Props {
    let mut config = props(&[("name", "c"), ("connector.class", "CountingSource"), ("topic", "t")]);
    config.extend(props(extra));
    config
}

/// The keys that are wrong, with what is said of them.
async fn complaints(fixture: &Fixture, extra: &[(&str, &str)]) -> Vec<(String, String)> {
    let infos = fixture.worker().validate(&connector(extra), &[]).await.unwrap();
    let values = infos.configs.into_iter().filter_map(|config| config.value);
    let wrong = values.flat_map(|value| {
        let name = value.name;
        value.errors.into_iter().map(move |error| (name.clone(), error))
    });
    wrong.collect()
}

#[tokio::test]
async fn a_connectors_own_converter_gets_none_of_its_workers_keys() {
    let fixture = with_registry().await;
    assert_eq!(complaints(&fixture, &[]).await, []);
    // Without the class, the key is nobody's.
    assert_eq!(complaints(&fixture, &[("value.converter.auto.register.schemas", "?")]).await, []);
    let own = complaints(&fixture, &[("value.converter", AVRO)]).await;
    assert!(!own.is_empty() && own.iter().all(|(key, _)| key == URL), "{own:?}");
    assert!(own[0].1.contains("Missing required configuration \"schema.registry.url\""), "{own:?}");
    let refused =
        fixture.worker().put_connector("c", connector(&[("value.converter", AVRO)]), None, false);
    assert!(refused.await.unwrap_err().to_string().contains("schema.registry.url"));
    assert_eq!(complaints(&fixture, &[("value.converter", AVRO), (URL, "http://r")]).await, []);
}

/// What the converter itself says when it is made is said beforehand.
#[tokio::test]
async fn a_converter_that_cannot_be_configured_is_refused_with_its_connector() {
    let fixture = with_registry().await;
    const SOURCE: &str = "value.converter.basic.auth.credentials.source";
    const STORE: &str = "value.converter.schema.registry.ssl.truststore.location";
    const STRATEGY: &str = "value.converter.value.subject.name.strategy";
    for (wrong, key) in [
        (&[(URL, "localhost:8081")][..], URL),
        (&[(URL, "mock://x")], URL),
        (&[(URL, "http://r"), (SOURCE, "USERINFO")], SOURCE),
        (&[(URL, "http://r"), (SOURCE, "USER_INFO")], "value.converter.basic.auth"),
        (&[(URL, "https://r"), (STORE, "/nope.jks")], "value.converter"),
        (&[(URL, "http://r"), (STRATEGY, "com.acme.Mine")], STRATEGY),
    ] {
        let given = [&[("value.converter", AVRO)][..], wrong].concat();
        let told = complaints(&fixture, &given).await;
        assert!(!told.is_empty() && told.iter().all(|(k, _)| k.starts_with(key)), "{told:?}");
        let refused = fixture.worker().put_connector("c", connector(&given), None, false);
        refused.await.unwrap_err();
    }
}

#[tokio::test]
async fn keys_of_converters_are_validated_and_secrets_hidden() {
    let fixture = with_registry().await;
    let given = [("value.converter", AVRO), (URL, "http://r")];
    let wrong = [
        ("value.converter.proxy.port", "x"),
        ("value.converter.propagate.schema.tags", "true"),
        ("value.converter.schema.format", "resolved"),
    ];
    let told = complaints(&fixture, &[&given[..], &wrong].concat()).await;
    let mut told: Vec<&str> = told.iter().map(|(key, _)| key.as_str()).collect();
    told.sort_unstable();
    let mut keys = wrong.map(|(key, _)| key);
    keys.sort_unstable();
    assert_eq!(told, keys);

    const CANARY: &str = "canary:7";
    let secrets = [
        "basic.auth.user.info",
        "bearer.auth.token",
        "bearer.auth.client.secret",
        "schema.registry.basic.auth.user.info",
        "schema.registry.ssl.keystore.password",
        "ssl.key.password",
        "schema.registry.bearer.auth.token",
        "request.header.Authorization",
    ];
    let secrets = secrets.map(|key| format!("value.converter.{key}"));
    let secrets = secrets.iter().map(|key| (key.as_str(), CANARY));
    let config = connector(&given.into_iter().chain(secrets).collect::<Vec<_>>());
    let infos = fixture.worker().validate(&config, &[]).await.unwrap();
    assert_eq!(infos.error_count, 0);
    let shown = format!("{infos:?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("[hidden]"));
}

#[tokio::test]
async fn all_keys_of_a_converter_are_listed() {
    let fixture = with_registry().await;
    for (class, own) in [
        (AVRO, "enhanced.avro.schema.support"),
        ("ProtobufConverter", "optional.for.nullables"),
        ("JsonSchemaConverter", "use.optional.for.nonrequired"),
    ] {
        let infos = fixture.worker().plugin_config(class, None).unwrap();
        for key in [own, "schema.registry.url", "schema.registry.ssl.keystore.key"] {
            assert!(infos.iter().any(|info| info.name == key), "{class}: {key}");
        }
    }
}
