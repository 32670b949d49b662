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

conformance!(cluster_or_skip!());
conformance!(cluster_or_skip!();
    create_partitions alter_topic_configs delete_records describe_group
    seek_and_pause_before_fetching_begins a_pause_in_the_middle_holds_back_what_was_fetched_ahead
    cooperative_members_keep_what_they_have a_member_that_does_not_poll_loses_its_partitions
    the_consumer_group_protocol
);
transactions!(cluster_or_skip!());
transactions!(cluster_or_skip!(); fenced_from_outside);
