//! Fuzzes the reader of zstd data.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::zstd(data));
