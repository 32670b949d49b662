//! The files that Apache Kafka ships start the worker as they are, and give what Java gives.

use millrace_integration::backend::Backend;
use millrace_integration::broker::Broker;
use millrace_integration::client::Client;
use millrace_integration::connect::millrace;
use millrace_integration::process::Process;
use millrace_integration::site::Site;
use millrace_integration::{free_port, golden};
use std::time::Duration;

/// `config/connect-standalone.properties`: its keys and values, comments and commented keys where
/// it has them. Paths, ports, brokers and `kafka.client` are the test's.
const STANDALONE: &str = "\
# These are defaults.
bootstrap.servers={bootstrap}
kafka.client={client}

# How data lies in Kafka; each connector may choose its own.
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
# Settings of a converter stand behind its own key.
key.converter.schemas.enable=true
value.converter.schemas.enable=true

offset.storage.file.filename={directory}/connect.offsets
# Much sooner than the default
offset.flush.interval.ms=10000

# Where plugins are, a list of directories:
# plugin.path=/usr/local/share/java,/usr/local/share/kafka/plugins,/opt/connectors,
#plugin.path=
listeners=http://127.0.0.1:{port}
";

const SOURCE: &str = "\
name=local-file-source
connector.class=FileStreamSource
tasks.max=1
file=test.txt
topic=connect-test
";

const SINK: &str = "\
name=local-file-sink
connector.class=FileStreamSink
tasks.max=1
file=test.sink.txt
topics=connect-test
";

/// What the tutorial adds to the source's file.
const TRANSFORMS: &str = "\
transforms=MakeMap, InsertSource
transforms.MakeMap.type=org.apache.kafka.connect.transforms.HoistField$Value
transforms.MakeMap.field=line
transforms.InsertSource.type=org.apache.kafka.connect.transforms.InsertField$Value
transforms.InsertSource.static.field=data_source
transforms.InsertSource.static.value=test-file-source
";

/// Runs the three files until the sink has three lines; gives the topic's values and the file.
/// `suffix` sets topic and connectors of runs on the same log apart.
fn run(site: &Site, standalone: &str, source: &str, suffix: &str) -> (Vec<String>, String) {
    let directory = site.path("").display().to_string();
    let standalone = standalone
        .replace("{bootstrap}", &site.backend.bootstrap())
        .replace("{client}", site.backend.client().name())
        .replace("{directory}", directory.trim_end_matches('/'))
        .replace("{port}", &free_port().to_string());
    let topic = format!("connect-test{suffix}");
    let named = |text: &str| {
        let text = text.replace("connect-test", &topic);
        text.replace("local-file-s", &format!("local{suffix}-file-s"))
    };
    site.write("connect-standalone.properties", standalone);
    site.write("connect-file-source.properties", named(source));
    site.write("connect-file-sink.properties", named(SINK));
    site.write("test.txt", "foo\nbar\nhello world\n");
    let files = ["connect-standalone", "connect-file-source", "connect-file-sink"];
    let mut command = millrace();
    command.arg("standalone").args(files.map(|file| format!("{file}.properties")));
    let mut worker = Process::start(command.current_dir(site.path("")), &site.path("log.txt"));
    site.wait_for_lines("test.sink.txt", 3);
    let status = worker.terminate(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    let values = site.backend.contents(&topic).into_iter().map(|record| {
        assert_eq!((record.key, record.headers), (None, Vec::new()));
        String::from_utf8(record.value.unwrap()).unwrap()
    });
    (values.collect(), site.read("test.sink.txt"))
}

/// What Java gave when the golden files were recorded.
fn recorded(file: &str) -> (Vec<String>, String) {
    let answer = golden::recorded(file)["answer"].take();
    let topics = answer["topics"].as_object().unwrap();
    let values = topics.values().next().unwrap().as_array().unwrap();
    let values = values.iter().map(|record| record["value"].as_str().unwrap().to_owned());
    (values.collect(), answer["files"]["test.sink.txt"].as_str().unwrap().to_owned())
}

fn shipped_files_give_what_java_gives(site: impl Fn() -> Site) {
    assert_eq!(run(&site(), STANDALONE, SOURCE, ""), recorded("topics/shipped.json"));
}

fn transformations_give_what_java_gives(site: impl Fn() -> Site) {
    let source = format!("{SOURCE}{TRANSFORMS}");
    assert_eq!(run(&site(), STANDALONE, &source, "-2"), recorded("topics/transforms.json"));
    // The tutorial turns schemas off, and then a topic reads as people expect.
    let plain = STANDALONE.replace("schemas.enable=true", "schemas.enable=false");
    let answered = run(&site(), &plain, &source, "-3");
    assert_eq!(answered.0[2], r#"{"line":"hello world","data_source":"test-file-source"}"#);
    assert_eq!(answered, recorded("topics/transforms-schemaless.json"));
}

/// Not the shared one: the golden flows use the shipped names there.
#[test]
fn on_a_broker() {
    for client in Client::all() {
        let broker = Broker::start();
        let site = || Site::on(Backend::Kafka(broker.bootstrap().to_owned(), client));
        shipped_files_give_what_java_gives(site);
        transformations_give_what_java_gives(site);
    }
}

#[test]
fn on_the_embedded_log() {
    shipped_files_give_what_java_gives(Site::embedded);
    transformations_give_what_java_gives(Site::embedded);
}
