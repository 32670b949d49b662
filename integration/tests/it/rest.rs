//! The REST script: requests, good and bad, that Java Connect answered and Millrace answers alike.
//! What differs on purpose is marked in the script, and listed in `docs/compatibility.md`.

use millrace_integration::broker::kafka;
use millrace_integration::client::Client;
use millrace_integration::golden::{self, Mode};

#[test]
fn millrace_answers_as_java_did() {
    for client in Client::all() {
        golden::exchanges(Mode::Compare(client), "rest", kafka(client));
    }
}

#[test]
fn millrace_answers_so_on_the_embedded_log() {
    golden::exchanges(Mode::Compare(Client::any()), "rest", "embedded:{dir}/log");
}

#[test]
fn java_still_answers_so() {
    golden::exchanges(Mode::Recheck, "rest", kafka(Client::any()));
}

#[test]
#[ignore = "asks Java Connect and overwrites the golden files: `cargo xtask golden`"]
fn record() {
    golden::exchanges(Mode::Record, "rest", kafka(Client::any()));
}
