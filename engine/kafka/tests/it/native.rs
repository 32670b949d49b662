//! The native client: promises of `Cluster` against the broker that `MILLRACE_TEST_BOOTSTRAP`
//! names.

use std::sync::Arc;

use millrace_kafka::Cluster;
use millrace_kafka::native::NativeCluster;

use crate::fixture::*;

/// The cluster to test against, if there is one.
fn cluster() -> Option<Arc<dyn Cluster>> {
    Some(Arc::new(NativeCluster::new(&broker()?).expect("the properties are legal")))
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
