//! Debezium's transformations of its change events, by the names that Debezium gave them.
//!
//! A change event is a struct whose schema's name ends with `.Envelope`, with the row `before` and
//! `after` the change, `op` (`c`, `r`, `u`, `d`, `t`, `m`), and `source`, where it happened. What
//! is no such struct, such as heartbeats and changes of schemas, passes.

mod by_logical_table_router;
mod columns;
mod event;
mod event_router;
mod extract_new_record_state;
mod field_reference;
mod flattened;
mod json_payload;
mod schema_names;

use millrace_api::Plugin;
use millrace_api::config::Config;

use by_logical_table_router::{ByLogicalTableRouter, ByLogicalTableRouterConfig};
use event_router::{EventRouter, EventRouterConfig};
use extract_new_record_state::{ExtractNewRecordState, ExtractNewRecordStateConfig};

pub(crate) fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::transformation(
            "io.debezium.transforms.ByLogicalTableRouter",
            ByLogicalTableRouterConfig::config_def,
            ByLogicalTableRouter::open,
        ),
        Plugin::transformation(
            "io.debezium.transforms.ExtractNewRecordState",
            ExtractNewRecordStateConfig::config_def,
            ExtractNewRecordState::open,
        ),
        Plugin::transformation(
            "io.debezium.transforms.outbox.EventRouter",
            EventRouterConfig::config_def,
            EventRouter::open,
        ),
    ]
}
