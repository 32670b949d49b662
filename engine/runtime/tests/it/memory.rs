//! Tasks hold no more records than their share of the budget, whatever becomes of them.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::BinaryViewArray;
use millrace_api::Error;
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{Acknowledge, Cluster, NewTopic, Outgoing, Properties, connect};
use millrace_runtime::{Herder, MetricNames};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, until};
use crate::plugins::{Fault, lock, shared};

const MIB: usize = 1 << 20;

/// Nothing is lost in these tests.
struct Written;

impl Acknowledge for Written {
    fn acknowledged(&self, _records: usize) {}

    fn failed(&self, _records: usize, error: &Error) {
        panic!("{error}");
    }
}

/// A log in this process, and a client that reaches it over the network.
async fn served(servers: &mut JoinSet<()>) -> (Arc<dyn Cluster>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    servers.spawn(async move {
        EmbeddedCluster::in_memory().serve(listener).await.unwrap();
    });
    let properties = Properties::from([("bootstrap.servers".to_owned(), address.clone())]);
    (connect(&properties).unwrap(), address)
}

/// A topic for large records.
async fn create(cluster: &dyn Cluster, topic: &str, partitions: i32) {
    let new = NewTopic {
        name: topic.to_owned(),
        partitions: Some(partitions),
        replication_factor: None,
        configs: [("max.message.bytes".to_owned(), "16000000".to_owned())].into(),
    };
    cluster.create_topic(&new).await.unwrap();
}

/// Writes values of these sizes to each partition of a topic.
async fn fill(cluster: &dyn Cluster, topic: &str, partitions: i32, sizes: &[usize]) {
    let large = [("max.request.size", "16000000"), ("batch.size", "65536")];
    let large = large.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut producer = cluster.producer(&large.into()).await.unwrap();
    let values: Vec<_> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
    for partition in 0..partitions {
        let records = Outgoing {
            topic: topic.into(),
            partition: Some(partition),
            keys: BinaryViewArray::new_null(sizes.len()),
            values: values.iter().map(|value| Some(value.as_slice())).collect(),
            timestamps: None,
            headers: Vec::new(),
        };
        producer.send(&records, Arc::new(Written)).await.unwrap();
    }
    producer.flush(Duration::from_secs(20)).await.unwrap();
}

/// Twenty tasks with 4 MiB to read each, whose puts never end, share 20 MiB.
async fn hung_sinks_stay_within_their_shares(
    (cluster, servers): (Arc<dyn Cluster>, &str),
    name: &str,
) {
    const TASKS: usize = 20;
    create(&*cluster, name, 20).await;
    let budget = (TASKS * MIB).to_string();
    let extra = [("memory.budget.bytes", budget.as_str()), ("bootstrap.servers", servers)];
    let fixture = Fixture::start_on(Arc::clone(&cluster), &extra).await;
    lock(&shared(name)).faults.insert("put", (usize::MAX, Fault::Hang));
    fixture.sink(name, name, &[("tasks.max", "20")]).await;
    // Who hangs takes part in no rebalance: first each has its partition.
    until("each to have a partition", async || {
        let text = fixture.worker().metrics(MetricNames::Rules).await;
        let line = |line: &&str| line.starts_with("kafka_connect_sink_task_partition_count{");
        text.lines().filter(line).filter(|line| line.ends_with(" 1")).count() == TASKS
    })
    .await;
    fill(&*cluster, name, 20, &[10_000; 400]).await;
    until("all to hang in put", async || {
        let report = fixture.worker().memory().await.unwrap();
        report.tasks.len() == TASKS && report.tasks.iter().all(|task| task.putting_bytes > 0)
    })
    .await;
    // Whatever is fetched ahead has come by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let report = fixture.worker().memory().await.unwrap();
    assert_eq!(report.budget_bytes, TASKS * MIB);
    for task in &report.tasks {
        assert_eq!(task.share_bytes, MIB);
        assert!(task.held_bytes > 0 && task.held_bytes <= MIB, "{task:?}");
    }
    assert!(report.held_bytes <= report.budget_bytes, "{report:?}");
    let text = fixture.worker().metrics(MetricNames::Rules).await;
    let share = format!("millrace_memory_share_bytes{{connector=\"{name}\",task=\"7\"}} {MIB}\n");
    assert!(text.contains(&share), "{text}");
}

#[tokio::test]
async fn hung_sinks_stay_within_their_shares_on_a_log_in_the_process() {
    let cluster = Arc::new(EmbeddedCluster::in_memory());
    hung_sinks_stay_within_their_shares((cluster, "embedded:"), "hung-here").await;
}

#[tokio::test]
async fn hung_sinks_stay_within_their_shares_over_the_network() {
    let mut servers = JoinSet::new();
    let (cluster, address) = served(&mut servers).await;
    hung_sinks_stay_within_their_shares((cluster, &address), "hung-there").await;
}

/// Records that are each larger than all of the budget.
async fn large_records_pass_one_at_a_time(
    (cluster, servers): (Arc<dyn Cluster>, &str),
    name: &str,
) {
    let sizes = [100, 3 * MIB, 100, 2 * MIB, 3 * MIB, 100];
    create(&*cluster, name, 1).await;
    fill(&*cluster, name, 1, &sizes).await;
    let extra = [("memory.budget.bytes", "1000000"), ("bootstrap.servers", servers)];
    let fixture = Fixture::start_on(cluster, &extra).await;
    fixture.sink(name, name, &[]).await;
    let shared = shared(name);
    until("all records", async || lock(&shared).put_values().len() == sizes.len()).await;
    let lengths: Vec<_> = lock(&shared).put_values().iter().map(String::len).collect();
    assert_eq!(lengths, sizes);
}

#[tokio::test]
async fn large_records_pass_on_a_log_in_the_process() {
    let cluster = Arc::new(EmbeddedCluster::in_memory());
    large_records_pass_one_at_a_time((cluster, "embedded:"), "large-here").await;
}

#[tokio::test]
async fn large_records_pass_over_the_network() {
    let mut servers = JoinSet::new();
    let (cluster, address) = served(&mut servers).await;
    large_records_pass_one_at_a_time((cluster, &address), "large-there").await;
}
