//! Decides what of the client is public.
//!
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod cache;
mod client;
mod connect;
mod error;
mod http;
mod schema;
mod settings;
mod token;
mod transport;

pub use client::{Client, Resolved};
pub use error::{Error, Refusal, Result, code};
pub use schema::{
    Compatibility, CompatibilityLevel, Config, Mode, Reference, Registered, Schema, SchemaType,
    SubjectVersion, Version, Which,
};
pub use settings::{Credentials, OAuth, Proxy, Secret, Settings};
