//! Fuzzes the reader of `JsonConverter`.
#![no_main]

#[path = "../src/plain.rs"]
mod plain;
#[path = "../src/json.rs"]
mod json;

libfuzzer_sys::fuzz_target!(|data: &[u8]| json::json(data));
