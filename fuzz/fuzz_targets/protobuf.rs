//! Fuzzes the reader of messages of Protobuf.
#![no_main]
#![allow(dead_code, reason = "the module holds the targets of two formats")]

#[path = "../src/plain.rs"]
mod plain;
#[path = "../src/payloads.rs"]
mod payloads;

libfuzzer_sys::fuzz_target!(|data: &[u8]| payloads::protobuf(data));
