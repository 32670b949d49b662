//! Fuzzes the reader of Snappy in Java's frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::snappy(data));
