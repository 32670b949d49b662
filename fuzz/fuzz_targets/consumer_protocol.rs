//! Fuzzes the reader of what members of a group tell each other.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::consumer_protocol(data));
