//! What outlives a worker: source offsets.

mod java_map;
pub(crate) mod offset_file;
pub(crate) mod offsets;
