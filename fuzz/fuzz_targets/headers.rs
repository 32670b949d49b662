//! Fuzzes the reader of headers of answers and requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::headers(data));
