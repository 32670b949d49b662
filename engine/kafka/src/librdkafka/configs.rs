//! Decides how the configs of a topic are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, ErrorKind, Result};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;
use sys::rd_kafka_admin_op_t as Operation;

use super::admin::{Options, ask};
use super::error::{self, rd_kafka_ConfigResource_error, text};
use super::native::{Client, c_string};

const WHAT: &str = "the topic's configs cannot be described";

/// The configs of a topic with their defaults; secret ones are left out.
pub(super) async fn describe(
    client: &Arc<Client>,
    topic: &str,
    timeout: Duration,
) -> Result<BTreeMap<String, String>> {
    let name = c_string(topic);
    let event = ask(client, WHAT, timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let options = Options::new(client, operation, timeout);
        let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
        // SAFETY: all handles are live; librdkafka copies the request, which is then freed.
        unsafe {
            let mut resource = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
            let (raw, queue, array) = (client.raw(), queue.raw(), &raw mut resource);
            sys::rd_kafka_DescribeConfigs(raw, array, 1, options.raw(), queue);
            sys::rd_kafka_ConfigResource_destroy(resource);
        }
    })
    .await
    .map_err(|e| e.context("topic", topic))?;
    let mut configs = BTreeMap::new();
    // SAFETY: the event is a DescribeConfigs result; what it lends is copied before it goes.
    let refused = unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeConfigs_result(event.raw());
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        (0..count).find_map(|i| read(*resources.add(i), &mut configs).err())
    };
    match refused {
        None => Ok(configs),
        Some((code, _)) if code == Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32 => {
            let missing = format!("{WHAT}: the topic does not exist");
            Err(Error::new(ErrorKind::NotFound, missing).context("topic", topic))
        }
        Some((code, reason)) => Err(client.error(code, WHAT, &reason).context("topic", topic)),
    }
}

/// Reads the configs of one topic, or why there are none.
///
/// # Safety
///
/// `resource` must be live.
unsafe fn read(
    resource: *const sys::rd_kafka_ConfigResource_t,
    configs: &mut BTreeMap<String, String>,
) -> Result<(), (i32, String)> {
    // SAFETY: the caller promises a live resource; its texts are copied.
    unsafe {
        let code = rd_kafka_ConfigResource_error(resource);
        if code != error::NONE {
            return Err((code, text(sys::rd_kafka_ConfigResource_error_string(resource))));
        }
        let mut count = 0;
        let entries = sys::rd_kafka_ConfigResource_configs(resource, &raw mut count);
        for i in 0..count {
            let entry = *entries.add(i);
            let value = sys::rd_kafka_ConfigEntry_value(entry);
            if sys::rd_kafka_ConfigEntry_is_sensitive(entry) == 0 && !value.is_null() {
                configs.insert(text(sys::rd_kafka_ConfigEntry_name(entry)), text(value));
            }
        }
    }
    Ok(())
}
