//! What a worker does to the threads of plugins that do not let go, and knows of them: nothing else
//! asks the system for this, so that what is unsafe about it has one home. See
//! `docs/design/0019-containment.md`.

pub mod allocator;
pub mod processor;

pub use allocator::Allocator;
