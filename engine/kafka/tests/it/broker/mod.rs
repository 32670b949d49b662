//! What a broker must do for clients of all kinds: librdkafka, and requests that this test writes
//! itself where librdkafka has none. Against the embedded cluster over the wire, and against the
//! broker that `MILLRACE_TEST_BOOTSTRAP` names, so that the checks can be trusted.

mod groups;
mod plain;
mod transactions;
mod wire;

use millrace_kafka::embedded::EmbeddedCluster;

use crate::fixture::{create, properties, unique};
use crate::named::named;
use crate::served::Served;

/// Where a broker is, and what has to live as long as it.
pub(crate) struct Broker {
    pub(crate) bootstrap: String,
    served: Option<Served>,
}

impl Broker {
    pub(crate) async fn embedded() -> Self {
        let served = Served::start(EmbeddedCluster::in_memory(), "native").await;
        Self { bootstrap: served.address.to_string(), served: Some(served) }
    }

    /// The real one, where there is one.
    pub(crate) fn real() -> Option<Self> {
        Some(Self { bootstrap: named("MILLRACE_TEST_BOOTSTRAP")?, served: None })
    }

    /// A topic under a unique name.
    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> String {
        use millrace_kafka::Cluster;
        let settings = properties(&[("bootstrap.servers", &self.bootstrap)]);
        let client = millrace_kafka::librdkafka::RdKafkaCluster::new(&settings).unwrap();
        let name = unique(name);
        create(&client as &dyn Cluster, &name, partitions, &[]).await;
        name
    }

    /// The embedded cluster itself.
    pub(crate) fn cluster(&self) -> Option<&EmbeddedCluster> {
        self.served.as_ref().map(|served| &served.cluster)
    }
}

/// A test for each check, against both brokers.
macro_rules! checks {
    ($($module:ident: $($check:ident)+;)+) => {
        mod embedded {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    super::$module::$check(&super::Broker::embedded().await).await;
                }
            )+)+
        }

        mod real {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let Some(broker) = super::Broker::real() else { return };
                    super::$module::$check(&broker).await;
                }
            )+)+
        }
    };
}

checks! {
    plain:
        idempotent_and_compressed_records_are_all_there
        offsets_of_ends_and_times
        configs_are_described_and_changed
        partitions_are_added_and_records_deleted
        batches_sent_twice_are_there_once
        damaged_batches_are_refused;
    groups:
        two_members_share_a_topic
        a_group_of_type_connect_goes_through_its_generations
        who_speaks_nothing_of_what_the_others_do_stays_out
        a_member_that_is_silent_is_put_out
        a_static_member_comes_back_without_a_rebalance;
    transactions:
        readers_of_committed_records_see_what_was_committed
        offsets_are_committed_with_the_transaction
        a_second_producer_fences_the_first
        with_the_second_protocol_an_epoch_is_used_once
        a_transaction_that_takes_too_long_is_aborted;
}
