//! Decides when a client has lost its cluster and is given its bootstrap servers again.
//!
//! A cluster whose brokers were all away answers for a moment that it has none. librdkafka 2.12
//! then drops the last broker it knows, does not count that as all brokers being down, and so
//! never asks anybody again.

use std::ffi::{c_char, c_int, c_void};

use rdkafka::bindings as sys;

use super::context::Context;
use super::error::text;

/// Takes a consumer's statistics.
pub(super) unsafe extern "C" fn on_statistics(
    raw: *mut sys::rd_kafka_t,
    json: *mut c_char,
    _length: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: the opaque pointer is the client's context, which outlives it; the statistics are a
    // C string that lives during the call.
    unsafe { keep(raw, &*opaque.cast::<Context>(), &text(json)) };
    // librdkafka frees the statistics.
    0
}

/// Gives a client its bootstrap servers again when its statistics name no broker any more.
///
/// # Safety
///
/// `raw` must be a live client.
pub(super) unsafe fn keep(raw: *mut sys::rd_kafka_t, context: &Context, statistics: &str) {
    if !has_lost_all(statistics) {
        return;
    }
    tracing::warn!(
        target: "millrace_kafka::librdkafka",
        "the cluster had no brokers for a moment; going back to bootstrap.servers"
    );
    // SAFETY: the caller promises a live client; the list is a C string that is copied.
    unsafe { sys::rd_kafka_brokers_add(raw, context.bootstrap_servers().as_ptr()) };
}

/// Whether all that is left are handles without an address: the coordinator's, and an internal one.
fn has_lost_all(statistics: &str) -> bool {
    let is_known = |source: &str| statistics.contains(source);
    !statistics.is_empty()
        && !is_known(r#""source":"learned""#)
        && !is_known(r#""source":"configured""#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_with_an_address_count() {
        let statistics = |sources: &[&str]| {
            let broker = |source| format!(r#"{{"name":"b","source":"{source}","state":"UP"}}"#);
            sources.iter().map(broker).collect::<Vec<_>>().join(",")
        };
        assert!(has_lost_all(&statistics(&["internal", "logical"])));
        assert!(!has_lost_all(&statistics(&["internal", "configured"])));
        assert!(!has_lost_all(&statistics(&["learned", "logical"])));
        assert!(!has_lost_all(""), "nothing is known");
    }
}
