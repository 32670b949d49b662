//! Fuzzes the reader of Avro payloads, beside apache-avro.
#![no_main]

#[path = "../src/avro.rs"]
mod avro;

libfuzzer_sys::fuzz_target!(|data: &[u8]| avro::avro(data));
