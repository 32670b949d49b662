//! Converters whose schemas a registry keeps.

mod format;

pub(crate) use format::{Compiled, Described, Format, Row, SchemaText};
