//! Fuzzes the reader of requests, as the served embedded cluster reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_fuzz::requests(data));
