//! Which settings of its clients a connector may override.

use std::sync::Arc;

use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::Herder;

use crate::fixture::{Fixture, props};

const GROUPS: [(&str, &str); 2] = [
    ("topic.creation.default.partitions", "1"),
    ("topic.creation.default.replication.factor", "1"),
];
const DEAD_LETTERS: [(&str, &str); 1] = [("errors.deadletterqueue.topic.name", "dlq")];

/// Settings of clients that it does not have are not looked at.
#[tokio::test]
async fn the_policy_judges_each_client_that_a_connector_has() {
    let none = [("connector.client.config.override.policy", "None")];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &none).await;
    let worker = fixture.worker();
    let (producer, consumer, admin) =
        ("producer.override.acks", "consumer.override.fetch.min.bytes", "admin.override.retries");
    for (class, extra, refused) in [
        ("CountingSource", &[][..], &[producer][..]),
        ("CountingSource", &GROUPS, &[admin, producer]),
        ("RecordingSink", &[], &[consumer]),
        ("RecordingSink", &DEAD_LETTERS, &[admin, consumer, producer]),
    ] {
        let place = if class == "RecordingSink" { "topics" } else { "topic" };
        let mut config = props(&[("name", "judged"), ("connector.class", class), (place, "t")]);
        config.extend(props(&[(producer, "1"), (consumer, "1"), (admin, "1")]));
        config.extend(props(extra));
        let infos = worker.validate(&config, &[]).await.unwrap();
        let values = infos.configs.into_iter().filter_map(|config| config.value);
        let wrong = values.filter(|value| !value.errors.is_empty());
        let mut wrong: Vec<_> = wrong.map(|value| value.name).collect();
        wrong.sort();
        assert_eq!(wrong, refused, "{class} {extra:?}");
        let error = worker.put_connector("judged", config, None, false).await.unwrap_err();
        assert!(error.message().contains("The 'None' policy does not allow"), "{error}");
    }
}
