//! The native client: promises of `Cluster` against the broker that `MILLRACE_TEST_BOOTSTRAP`
//! names.

use std::sync::Arc;

use millrace_kafka::Cluster;
use millrace_kafka::native::NativeCluster;

use crate::fixture::*;

/// The cluster to test against, if there is one.
fn cluster() -> Option<Arc<dyn Cluster>> {
    let Ok(servers) = std::env::var("MILLRACE_TEST_BOOTSTRAP") else {
        eprintln!("skipped: MILLRACE_TEST_BOOTSTRAP=host:port is not set");
        return None;
    };
    let properties = properties(&[("bootstrap.servers", &servers)]);
    Some(Arc::new(NativeCluster::new(&properties).expect("the properties are legal")))
}

macro_rules! cluster_or_skip {
    () => {
        match cluster() {
            Some(cluster) => cluster,
            None => return,
        }
    };
}

conformance!(cluster_or_skip!();
    round_trip explicit_times keys_choose_partitions keyless_runs_stay_together many_runs
    nulls headers value_sizes every_compression end_offsets
    topics delete_group describe_cluster topic_configs create_partitions alter_topic_configs
);

mod transactions {
    use super::*;

    transactions!(cluster_or_skip!());
}
