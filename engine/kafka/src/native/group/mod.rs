//! Decides how a client is a member of a group.

pub(crate) mod assignor;
pub(crate) mod consumer_protocol;
