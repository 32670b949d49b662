//! Fuzzes the reader of record batches.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::record_batches(data));
