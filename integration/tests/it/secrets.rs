//! Secrets that are planted wherever configurations, clients and files have them come out nowhere:
//! not in logs at TRACE, REST answers, traces, topics or files.

mod refused;
mod scene;

use self::scene::{AUTHORIZATION, Scene, file_sink_with_dead_letters};
use millrace_integration::backend::Backend;
use millrace_integration::client::Client;
use millrace_integration::connect::Connect;
use millrace_integration::postgres::{Postgres, postgres};
use millrace_integration::security::{Listener, PASSWORD, SecureBroker, USER, jaas};
use millrace_integration::site::{PATIENCE, Site, file_sink, file_source, properties, with};
use millrace_integration::wait_until;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

const JDBC: &str = "JdbcSourceConnector";
const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

#[test]
fn nothing_shows_a_secret_in_text_logs() {
    nothing_shows_a_secret("text");
}

#[test]
fn nothing_shows_a_secret_in_json_logs() {
    nothing_shows_a_secret("json");
}

fn nothing_shows_a_secret(log_format: &str) {
    let mut scene = Scene::new(Site::embedded());
    let server = locked_postgres(&mut scene);
    scene.site.write("in.txt", "one\ntwo\nthree\n");
    let connect = scene.start(log_format);
    scene.told_to_tell_all();
    knock(&mut scene, &connect);
    ask_wrongly(&mut scene, &connect);
    flow(&mut scene, &connect);
    databases(&mut scene, &connect, &server);
    never_created(&mut scene, &connect, &server);
    written_literally(&mut scene, &connect, &server);
    scene.sweep(&connect);
    assert!(scene.canaries.count() >= 50, "{}", scene.canaries.count());
    scene.end(connect);
    let letters = scene.site.backend.contents("secrets-dead");
    assert_eq!(letters.len(), 3, "{letters:?}");
    scene.shows_nothing();
}

/// A server that asks one user for a password. Its tables hold no secrets.
fn locked_postgres(scene: &mut Scene) -> Postgres {
    let server = postgres();
    let password = scene.canaries.plant("right password of a database");
    server.sql(&format!("create role locked login superuser password '{password}'"));
    server.sql("create table shop (id serial primary key, a text)");
    server.sql("insert into shop (a) values ('x'), ('y')");
    let rules = server.sql("show hba_file");
    server.sql(&format!(
        "copy (values ('host all locked all scram-sha-256'), ('host all all all trust')) \
         to '{rules}'"
    ));
    server.sql("select pg_reload_conf()");
    scene.in_file("right-password", &password);
    wait_until("the server to ask for a password", PATIENCE, || {
        (server.sql("select count(*) from pg_hba_file_rules") == "2").then_some(())
    });
    server
}

/// Good and bad logins, and other headers that hold secrets.
fn knock(scene: &mut Scene, connect: &Connect) {
    let wrong = scene.canaries.plant("wrong password in Authorization");
    let bearer = scene.canaries.plant("token in Authorization");
    let broken = scene.canaries.plant("malformed Authorization");
    let login = scene.login.clone();
    for (value, status) in [
        (login.clone(), 200),
        (scene::basic("admin", &wrong), 401),
        (scene::basic(&wrong, "x"), 401),
        (format!("Bearer {bearer}"), 401),
        (format!("Basic {broken}=!"), 401),
    ] {
        let answer = scene.send(connect, ("GET", "/connectors"), &[(AUTHORIZATION, &value)], None);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    for header in ["Cookie", "X-Api-Key", "Proxy-Authorization", "Referer", "X-Forwarded-For"] {
        let secret = scene.canaries.plant(&format!("header {header}"));
        let headers = [(AUTHORIZATION, login.as_str()), (header, &secret)];
        assert_eq!(scene.send(connect, ("GET", "/connectors"), &headers, None).status, 200);
    }
    let plain = scene.canaries.plant("plain HTTP to a TLS port");
    let mut socket = TcpStream::connect(&scene.https).unwrap();
    let request = format!("GET /?token={plain} HTTP/1.1\r\nAuthorization: {plain}\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    scene.note("the answer of the TLS port", &answer);
}

/// Requests that are wrong in a way that could be explained by repeating them.
fn ask_wrongly(scene: &mut Scene, connect: &Connect) {
    let query = scene.canaries.plant("query");
    for path in ["/connectors?expand=", "/connectors?password=", "/connector-plugins?x=", "/nope?"]
    {
        scene.ask(connect, "GET", &format!("{path}{query}"), None);
    }
    let config = |inner: &str| format!(r#"{{"name": "wrong", "config": {{{inner}}}}}"#);
    let mut bodies = Vec::new();
    for (place, before, after) in [
        ("body cut off", r#"{"name": "wrong", "config": {"connection.password": ""#, "\""),
        ("body cut off in a text", r#"{"name": "wrong", "config": {"connection.password": ""#, ""),
        ("body that is no JSON", "password=", ""),
        ("body that is a text", "\"", "\""),
        ("body with a bare word", r#"{"name": "#, "}"),
        ("body with an unknown field", r#"{"name": "wrong", "password": ""#, "\"}"),
        ("body with a wrong initial_state", r#"{"name": "wrong", "initial_state": ""#, "\"}"),
        ("body with a list as configuration", r#"{"name": "wrong", "config": [""#, "\"]}"),
        ("body with an object as value", r#"{"name":"wrong","config":{"a":{"b":""#, "\"}}}"),
        ("body without a class", r#"{"name":"wrong","config":{"password":""#, "\"}}"),
    ] {
        bodies.push(format!("{before}{}{after}", scene.canaries.plant(place)));
    }
    bodies.push(config(&format!(r#""x": "{}" "y""#, scene.canaries.plant("body with no comma"))));
    for body in &bodies {
        for (method, path) in [
            ("POST", "/connectors"),
            ("PUT", "/connectors/wrong/config"),
            ("PATCH", "/connectors/wrong/config"),
            ("PATCH", "/connectors/wrong/offsets"),
            ("PUT", "/connector-plugins/FileStreamSource/config/validate"),
        ] {
            let answer = scene.ask(connect, method, path, Some(body));
            let is_refused = answer.status >= 400 || path.ends_with("validate");
            assert!(is_refused, "{method} {path}: {body}: {answer:?}");
        }
        scene.ask_admin("PUT", "/admin/loggers/millrace_runtime", Some(body));
    }
}

/// A source and a sink with secrets behind variables, the sink with records that fail.
fn flow(scene: &mut Scene, connect: &Connect) {
    let password = scene.canaries.plant("override of a producer's JAAS");
    let jaas = jaas("scram.Scram", "me", &password);
    let source = with(
        file_source("secrets-source", "in.txt", "secrets"),
        &[
            ("producer.override.sasl.jaas.config", &scene.in_file("jaas", &jaas)),
            ("producer.override.ssl.key.password", &scene.planted_in_file("producer's key")),
            ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter.basic.auth.user.info", &scene.planted_in_directory("converter")),
            ("transforms", "hoist"),
            ("transforms.hoist.type", "org.apache.kafka.connect.transforms.HoistField$Key"),
            ("transforms.hoist.field", "f"),
            ("transforms.hoist.password", &scene.planted_in_file("transformation")),
            ("my.password", &scene.planted_in_environment("CONNECTOR_PASSWORD")),
        ],
    );
    scene.create(connect, "secrets-source", &with(source, &[("key.converter", JSON)]));
    let sink = file_sink_with_dead_letters("secrets-sink", "secrets", "secrets-dead");
    let name = scene.planted_in_file("name of a field");
    let sink = with(
        sink,
        &[
            ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter.password", &scene.planted_in_directory("sink's converter")),
            ("transforms", "hoist,insert"),
            ("transforms.hoist.type", "org.apache.kafka.connect.transforms.HoistField$Value"),
            ("transforms.hoist.field", "f"),
            ("transforms.insert.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
            // Twice the same name: each record fails, with the name in the error.
            ("transforms.insert.static.field", &name),
            ("transforms.insert.static.value", &scene.planted_in_file("value of a field")),
            ("transforms.insert.topic.field", &name),
        ],
    );
    scene.create(connect, "secrets-sink", &sink);
    let log = || scene.log().matches("field name duplication").count();
    wait_until("the records to fail", PATIENCE, || (log() >= 3).then_some(()));
    wait_until("the records to be committed", PATIENCE, || {
        let offsets = scene.ask(connect, "GET", "/connectors/secrets-sink/offsets", None).body;
        (offsets.pointer("/offsets/0/offset/kafka_offset")? == 3).then_some(())
    });
}

/// Databases that refuse, are not there, or work.
fn databases(scene: &mut Scene, connect: &Connect, server: &Postgres) {
    let common = [
        ("connector.class", JDBC),
        ("mode", "bulk"),
        ("topic.prefix", "secrets-"),
        ("connection.attempts", "2"),
        ("connection.backoff.ms", "10"),
        ("poll.interval.ms", "100000"),
        ("key.converter", JSON),
        ("value.converter", JSON),
    ];
    let url = format!("jdbc:postgresql://{}/millrace", server.address());
    let absent = "jdbc:postgresql://127.0.0.1:1/x";
    let user = scene.planted_in_file("user of a database");
    let wrong = scene.planted_in_file("wrong password of a database");
    let right = scene.variable("right-password");
    let (cut, rest) =
        (scene.canaries.plant("password in a URL"), scene.canaries.plant("rest of a password"));
    let whole = format!("{url}?user=locked&password={cut}&{rest}&{rest}={cut}");
    let whole = scene.in_file("whole-url", &whole);
    let foreign = scene.canaries.plant("user in a whole URL");
    let foreign = format!("{absent}?user={foreign}&password={foreign}%21&sslmode=disable");
    let foreign = scene.in_file("foreign-url", &foreign);
    let database = scene.planted_in_file("name of a database");
    let database = format!("jdbc:postgresql://{}/{database}?user=millrace", server.address());
    let with_user = |url: &str, user: &str, password: &str| {
        let keys = [("connection.url", url), ("connection.user", user)];
        with(properties(&keys), &[("connection.password", password)])
    };
    let with_url = |url: &str| properties(&[("connection.url", url)]);
    let cases = [
        ("works", with_user(&url, "locked", &right), ""),
        ("refused", with_user(&url, "locked", &wrong), "connection.password"),
        ("stranger", with_user(&url, &user, &wrong), "${file:"),
        ("whole", with_url(&whole), "connection.password"),
        ("nameless", with_url(&database), "${file:"),
        ("absent", with_user(absent, &user, &wrong), "127.0.0.1:1"),
        ("foreign", with_url(&foreign), "127.0.0.1:1"),
    ];
    for (name, keys, expected) in cases {
        // What does not work is refused by the validation.
        for (kind, more) in [("task", &[("query", "select a from shop")][..]), ("tables", &[])] {
            let name = format!("secrets-{name}-{kind}");
            let mut config = with(with(properties(&common), more), &[("name", &name)]);
            config.extend(keys.clone());
            let told = match expected {
                "" => {
                    scene.create(connect, &name, &config);
                    scene.wait_for(connect, &name, "RUNNING")
                }
                _ => {
                    let path = format!("/connectors/{name}/config");
                    let answer = scene.ask(connect, "PUT", &path, Some(&scene::json(&config)));
                    assert_eq!(answer.status, 400, "{name}: {answer:?}");
                    answer.body.to_string()
                }
            };
            assert!(told.contains(expected), "{name} does not say {expected}: {told}");
        }
    }
}

/// Configurations that are refused, with secrets behind variables and written literally.
fn never_created(scene: &mut Scene, connect: &Connect, server: &Postgres) {
    let url = format!("jdbc:postgresql://{}/millrace", server.address());
    let jdbc = [("connector.class", JDBC), ("mode", "bulk"), ("topic.prefix", "x-")];
    let mut cases = Vec::new();
    for (key, before, after) in [
        ("tasks.max", "", ""),
        ("poll.interval.ms", "", ""),
        ("mode", "", ""),
        ("validate.non.null", "", ""),
        ("errors.tolerance", "", ""),
        ("value.converter", "org.example.", ""),
        ("transforms.x.type", "", ""),
        ("header.converter", "", ""),
        ("topic.creation.default.partitions", "", ""),
        ("producer.override.linger.ms", "", ""),
        ("connection.url", "jdbc:postgresql://user:", "@127.0.0.1/x"),
        ("connection.url", "postgres://user:", "@127.0.0.1/x"),
        ("connection.url", "jdbc:oracle:thin:scott/", "@//127.0.0.1/x"),
        ("connection.url", "jdbc:postgresql://127.0.0.1:", "/x"),
        ("connection.url", "jdbc:postgresql://127.0.0.1/x?user=a&password=", "%zz"),
        ("connection.url", "", ""),
        ("connection.url", "jdbc:postgresql://127.0.0.1/x?sslmode=", ""),
    ] {
        let value = format!("{before}{}{after}", scene.planted_in_file(&format!("a wrong {key}")));
        cases.push(with(properties(&jdbc), &[("transforms", "x"), (key, &value)]));
    }
    for (key, before, after) in [
        ("connection.password", "", ""),
        ("query.masked", "", ""),
        ("producer.override.sasl.jaas.config", "", ""),
        ("producer.override.sasl.jaas.config", "a.b.C required password=\"", "\""),
        ("producer.override.ssl.key.password", "", ""),
        ("producer.override.ssl.keystore.key", "-----BEGIN PRIVATE KEY-----", ""),
        ("connection.url", "jdbc:postgresql://user:", "@127.0.0.1/x"),
        ("connection.url", "postgres://user:", "@127.0.0.1/x"),
    ] {
        let secret = scene.canaries.plant(&format!("{key}, literally, of what is refused"));
        let value = format!("{before}{secret}{after}");
        let wrong = [("connection.url", url.as_str()), ("tasks.max", "none"), (key, &value)];
        cases.push(with(properties(&jdbc), &wrong));
    }
    for config in cases {
        let body = scene::json(&with(config.clone(), &[("name", "refused")]));
        let literal = !body.contains("${");
        // Java's answer to a validation has what was asked, but for passwords.
        if !(literal && body.contains("://user:")) {
            let path = format!("/connector-plugins/{JDBC}/config/validate");
            scene.ask(connect, "PUT", &path, Some(&body));
        }
        let whole = format!(r#"{{"name": "refused", "config": {body}}}"#);
        // Some of this is found out only when the connector starts.
        let created = scene.ask(connect, "POST", "/connectors", Some(&whole));
        if created.status == 201 {
            assert!(!literal, "{body}");
            scene.wait_for_failure(connect, "refused");
            scene.ask(connect, "DELETE", "/connectors/refused", None);
        }
    }
}

/// What a client itself writes into a configuration is given back to it, as in Java, and shown
/// nowhere else.
fn written_literally(scene: &mut Scene, connect: &Connect, server: &Postgres) {
    let password = scene.canaries.plant("password of a connector, literally");
    let jaas = jaas("plain.Plain", "me", &scene.canaries.plant("JAAS of a connector, literally"));
    let secret = scene.canaries.plant("password in the URL of a connector, literally");
    let url = |user: &str| {
        format!("jdbc:postgresql://{}/millrace?user={user}&password={secret}", server.address())
    };
    let config = |user: &str| {
        scene::json(&properties(&[
            ("name", "secrets-literal"),
            ("connector.class", JDBC),
            ("mode", "bulk"),
            ("query", "select a from literal"),
            ("topic.prefix", "secrets-"),
            ("poll.interval.ms", "200"),
            ("connection.url", &url(user)),
            ("connection.password", &password),
            ("connection.attempts", "1"),
            ("producer.override.sasl.jaas.config", &jaas),
            ("key.converter", JSON),
            ("value.converter", JSON),
        ]))
    };
    server.sql("create table literal (a text)");
    let path = "/connectors/secrets-literal/config";
    let refused = scene.ask(connect, "PUT", path, Some(&config("locked")));
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.to_string().contains("connection.password"), "{refused:?}");
    // This user needs no password.
    let answer = scene.unrecorded(connect, "PUT", path, Some(&config("millrace")));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(answer.body.to_string().contains(&password), "{answer:?}");
    server.sql("drop table literal");
    let trace = scene.wait_for_failure(connect, "secrets-literal");
    assert!(trace.contains("42P01"), "{trace}");
    for path in ["restart?includeTasks=true", "tasks/0/restart"] {
        scene.ask(connect, "POST", &format!("/connectors/secrets-literal/{path}"), None);
    }
    for path in ["status", "topics", "offsets", "tasks/0/status"] {
        scene.ask(connect, "GET", &format!("/connectors/secrets-literal/{path}"), None);
    }
    scene.ask(connect, "GET", "/connectors?expand=status", None);
    scene.ask(connect, "DELETE", "/connectors/secrets-literal", None);
}

/// Clients that a broker refuses, and that have no right configuration.
#[test]
fn nothing_shows_a_secret_of_a_kafka_client() {
    let broker = SecureBroker::start();
    let (wanted, formats) = (Client::all(), ["text", "json"]);
    for (client, log_format) in wanted.iter().flat_map(|c| formats.map(|format| (*c, format))) {
        let site = Site::on(Backend::Kafka(broker.address(Listener::Plaintext), client));
        let mut scene = Scene::new(site);
        scene.canaries.known("password of the broker's user", PASSWORD);
        scene.site.write("in.txt", "one\n");
        let right = scene.in_file("right", PASSWORD);
        let connect = scene.start(log_format);
        scene.told_to_tell_all();
        let sasl = broker.address(Listener::Sasl);
        for (mechanism, module) in [("PLAIN", "plain.Plain"), ("SCRAM-SHA-512", "scram.Scram")] {
            let wrong = scene.canaries.plant(&format!("wrong password for {mechanism}"));
            let whole = scene.in_file(&format!("jaas-{mechanism}"), &jaas(module, USER, &wrong));
            let part = scene.planted_in_file(&format!("password in JAAS for {mechanism}"));
            let malformed = scene.canaries.plant(&format!("malformed JAAS for {mechanism}"));
            let malformed = format!("org.example.{module}LoginModule required x=\"{malformed}");
            let malformed = scene.in_file(&format!("malformed-{mechanism}"), &malformed);
            for (index, (jaas, state)) in [
                (whole, "FAILED"),
                (jaas(module, USER, &part), "FAILED"),
                (malformed, "FAILED"),
                (jaas(module, USER, &right), "RUNNING"),
            ]
            .into_iter()
            .enumerate()
            {
                for (kind, role) in [("source", "producer"), ("sink", "consumer")] {
                    let name = format!("secrets-{mechanism}-{index}-{kind}-{log_format}-{client}");
                    let config = match kind {
                        "source" => file_source(&name, "in.txt", "secrets"),
                        _ => file_sink(&name, "out.txt", "secrets"),
                    };
                    let key = |key: &str| format!("{role}.override.{key}");
                    let config = with(
                        config,
                        &[
                            (&key("bootstrap.servers"), &sasl),
                            (&key("security.protocol"), "SASL_PLAINTEXT"),
                            (&key("sasl.mechanism"), mechanism),
                            (&key("sasl.jaas.config"), &jaas),
                        ],
                    );
                    scene.create(&connect, &name, &config);
                    match state {
                        "FAILED" => scene.wait_for_failure(&connect, &name),
                        _ => scene.wait_for(&connect, &name, state),
                    };
                }
            }
        }
        scene.sweep(&connect);
        scene.end(connect);
        let topic = format!("{:?}", scene.site.backend.contents("secrets"));
        scene.note("the topic", topic.as_bytes());
        scene.shows_nothing();
    }
}
