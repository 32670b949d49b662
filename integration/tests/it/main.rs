//! One binary for all tests that need servers: linking is what costs on a small machine.
#![allow(clippy::unwrap_used, reason = "a test has no better use for an error")]
#![allow(clippy::print_stdout, reason = "the runner shows it when a test fails")]

/// Makes two tests of each function: one on the shared broker, one on an embedded log.
macro_rules! on_both_backends {
    ($($name:ident)*) => {$(
        mod $name {
            use millrace_integration::site::Site;

            #[test]
            fn kafka() {
                super::$name(&Site::kafka());
            }

            #[test]
            fn embedded() {
                super::$name(&Site::embedded());
            }
        }
    )*};
}

mod bad_peers;
mod crash;
mod differential;
mod drill;
mod faults;
mod file;
mod golden;
mod handover;
mod postgres;
mod quickstart;
mod rest;
mod secrets;
mod security;
mod servers;
mod shell;
