//! Fuzzes the reader of LZ4 frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::lz4(data));
