//! Workers that do not start, because of a secret that is wrong or stands where it should not.

use super::scene::Scene;
use millrace_integration::connect::Properties;
use millrace_integration::security::{STORE_PASSWORD, store};
use millrace_integration::site::{Site, file_source, properties, with};

const HTTPS: &str = "https://127.0.0.1:0";
/// Nobody listens there, and nobody is asked before the keys are read.
const NOWHERE: &str = "127.0.0.1:1";

/// A worker's keys with a canary in them, for a place.
type Wrong = (&'static str, Vec<(&'static str, String)>);

#[test]
fn workers_that_do_not_start_show_no_secret() {
    let mut scene = Scene::new(Site::embedded());
    let cases = [kafka_clients(&mut scene), listeners(&mut scene), others(&mut scene)].concat();
    for (place, keys) in &cases {
        let keys: Vec<_> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let (code, log) = scene.refused(&keys, &[]);
        assert_eq!(code, Some(2), "{place}: {log}");
        scene.note(&format!("the log of a worker with {place}"), log.as_bytes());
    }
    connector_files(&mut scene);
    scene.shows_nothing();
}

/// What the worker's own client cannot use.
fn kafka_clients(scene: &mut Scene) -> Vec<Wrong> {
    let mut cases = Vec::new();
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    for (place, before, after) in [
        ("JAAS that is cut off", format!("{plain} required username=\"a\" password=\""), ""),
        ("JAAS without its end", format!("{plain} required password=\""), "\""),
        ("JAAS without a flag", format!("{plain} password=\""), "\";"),
        ("JAAS without a user", format!("{plain} required password=\""), "\";"),
        ("JAAS that is a password", String::new(), ""),
        ("JAAS that is two words", "x".to_owned(), " y"),
        ("JAAS of another class", "org.example.X required password=".to_owned(), ";"),
        ("JAAS with a secret for a class", "\"secret ".to_owned(), "\" required;"),
    ] {
        let jaas = format!("{before}{}{after}", scene.canaries.plant(place));
        cases.push((place, client("SASL_PLAINTEXT", vec![("sasl.jaas.config", jaas)])));
    }
    let server = store("server.p12").display().to_string();
    let wrong = scene.canaries.plant("wrong password of a trust store");
    let stores =
        vec![("ssl.truststore.location", server.clone()), ("ssl.truststore.password", wrong)];
    cases.push(("a wrong trust store password", client("SSL", stores)));
    let wrong = scene.canaries.plant("wrong password of a key");
    let stores = vec![
        ("ssl.keystore.location", store("server.jks").display().to_string()),
        ("ssl.keystore.type", "JKS".to_owned()),
        ("ssl.keystore.password", STORE_PASSWORD.to_owned()),
        ("ssl.key.password", wrong),
    ];
    cases.push(("a wrong key password", client("SSL", stores)));
    for (place, before, after) in [
        ("a key that is no key", "-----BEGIN PRIVATE KEY-----\n", "\n-----END PRIVATE KEY-----"),
        ("a key without its end", "-----BEGIN PRIVATE KEY-----\n", ""),
        ("a key that is no PEM", "", ""),
    ] {
        let key = format!("{before}{}{after}", scene.canaries.plant(place));
        let keys = vec![("ssl.keystore.type", "PEM".to_owned()), ("ssl.keystore.key", key)];
        cases.push((place, client("SSL", keys)));
    }
    cases
}

fn client(protocol: &str, keys: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let common = [
        ("bootstrap.servers", NOWHERE.to_owned()),
        ("security.protocol", protocol.to_owned()),
        ("sasl.mechanism", "PLAIN".to_owned()),
    ];
    common.into_iter().chain(keys).collect()
}

/// What the REST API cannot be served with.
fn listeners(scene: &mut Scene) -> Vec<Wrong> {
    let https = |keys: Vec<(&'static str, String)>| {
        let listeners = [("listeners", HTTPS.to_owned())];
        listeners.into_iter().chain(keys).collect::<Vec<_>>()
    };
    let location =
        ("listeners.https.ssl.keystore.location", store("server.p12").display().to_string());
    let mut cases = Vec::new();
    let wrong = scene.canaries.plant("wrong password of a listener's store");
    let keys = vec![location.clone(), ("listeners.https.ssl.keystore.password", wrong)];
    cases.push(("a wrong password for a listener", https(keys)));
    let key = scene.canaries.plant("broken key of a listener");
    let key = format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{key}\n-----END");
    let keys = vec![
        ("listeners.https.ssl.keystore.type", "PEM".to_owned()),
        ("listeners.https.ssl.keystore.key", key),
        ("listeners.https.ssl.key.password", scene.canaries.plant("password of a broken key")),
    ];
    cases.push(("a broken key for a listener", https(keys)));
    let secret = scene.canaries.plant("password in a listener");
    let listener = format!("http://me:{secret}@127.0.0.1:0");
    cases.push(("a password in a listener", vec![("listeners", listener)]));
    cases
}

/// Values that are wrong for their keys, behind variables.
fn others(scene: &mut Scene) -> Vec<Wrong> {
    let provider = "org.apache.kafka.common.config.provider.FileConfigProvider".to_owned();
    let providers = vec![
        ("config.providers", "file".to_owned()),
        ("config.providers.file.class", provider.clone()),
    ];
    let mut cases = Vec::new();
    for key in [
        "offset.flush.interval.ms",
        "listeners",
        "key.converter",
        "connector.client.config.override.policy",
        "response.http.headers.config",
        "rest.extension.classes",
        "offset.storage.file.filename",
    ] {
        let secret = match key {
            "offset.storage.file.filename" => {
                let secret = scene.canaries.plant("a directory that is not there");
                scene.in_file("directory", &format!("/{secret}/x"))
            }
            key => scene.planted_in_file(&format!("the worker's wrong {key}")),
        };
        let keys = [providers.clone(), vec![(key, secret)]].concat();
        cases.push(("a wrong value behind a variable", keys));
    }
    let broken = scene.canaries.plant("a malformed file of secrets");
    scene.site.write("planted/broken.properties", format!("password={broken}\\uXYZ\n"));
    let file = scene.site.path("planted/broken.properties").display().to_string();
    let keys = vec![("ssl.key.password", format!("${{file:{file}:password}}"))];
    cases.push(("a malformed file of secrets", [providers.clone(), keys].concat()));
    let class = scene.canaries.plant("a provider's parameter");
    let keys = vec![
        ("config.providers", "file".to_owned()),
        ("config.providers.file.class", "org.example.Vault".to_owned()),
        ("config.providers.file.param.token", class),
    ];
    cases.push(("a provider that there is not", keys));
    cases
}

/// Connectors that are given on the command line.
fn connector_files(scene: &mut Scene) {
    let jdbc = |key: &str, value: &str| {
        let url = [("connection.url", "jdbc:postgresql://127.0.0.1:1/x"), (key, value)];
        with(with(file_source("x", "x", "x"), &[("connector.class", "JdbcSourceConnector")]), &url)
    };
    let mut connectors: Vec<Properties> = Vec::new();
    for key in ["connection.password", "producer.override.sasl.jaas.config", "query.masked"] {
        let secret = scene.canaries.plant(&format!("{key} in a file that is refused"));
        connectors.push(jdbc(key, &secret));
    }
    let secret = scene.canaries.plant("URL in a file that is refused");
    connectors.push(jdbc("connection.url", &format!("jdbc:postgresql://me:{secret}@127.0.0.1/x")));
    connectors.push(properties(&[("password", &scene.canaries.plant("a file without a name"))]));
    for connector in connectors {
        let (code, log) = scene.refused(&[], &[connector]);
        assert_eq!(code, Some(3), "{log}");
        scene.note("the log of a worker with a wrong connector", log.as_bytes());
    }
    for (place, before, after) in [
        ("a JSON file that is cut off", r#"{"name": "x", "config": {"password": ""#, ""),
        ("a JSON file with a list", r#"{"name": "x", "config": {"password": [""#, "\"]}}"),
        ("a properties file with a wrong escape", "password=", "\\uXYZ"),
    ] {
        let secret = scene.canaries.plant(place);
        // The worker's properties of the last refusal are there, and right.
        scene.site.write("planted/connector.json", format!("{before}{secret}{after}"));
        let (code, log) = scene.refused_with_file("planted/connector.json");
        assert_eq!(code, Some(3), "{place}: {log}");
        scene.note(&format!("the log of a worker with {place}"), log.as_bytes());
    }
}
