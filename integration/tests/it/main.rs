//! One binary for all tests that need servers: linking is what costs on a small machine.
#![allow(clippy::unwrap_used, reason = "a test has no better use for an error")]
#![allow(clippy::print_stdout, reason = "the runner shows it when a test fails")]

/// Makes a test of each function for each way to a log: to a shared broker through either client,
/// and an embedded one.
macro_rules! on_all_backends {
    ($($name:ident)*) => {$(
        mod $name {
            use millrace_integration::client::Client;
            use millrace_integration::site::Site;

            #[test]
            fn native() {
                if Client::Native.is_wanted() {
                    super::$name(&Site::kafka(Client::Native));
                }
            }

            #[test]
            fn librdkafka() {
                if Client::Librdkafka.is_wanted() {
                    super::$name(&Site::kafka(Client::Librdkafka));
                }
            }

            #[test]
            fn embedded() {
                super::$name(&Site::embedded());
            }
        }
    )*};
}

mod bad_peers;
mod broker_tools;
mod crash;
mod dead_letters;
mod differential;
mod drill;
mod faults;
mod file;
mod golden;
mod handover;
mod jdbc;
mod postgres;
mod quickstart;
mod registry;
mod registry_away;
mod rest;
mod secrets;
mod security;
mod servers;
mod shell;
