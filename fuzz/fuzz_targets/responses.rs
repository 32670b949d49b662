//! Fuzzes the reader of answers, as the native client reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::responses(data));
