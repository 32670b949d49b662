//! Millrace answers what Java Connect answered when the golden files were recorded.

use millrace_integration::broker::kafka;
use millrace_integration::client::Client;
use millrace_integration::golden::{self, Mode};

/// Where it makes no difference how the broker is reached.
fn somehow() -> (Mode, &'static str) {
    (Mode::Compare(Client::any()), kafka(Client::any()))
}

#[test]
fn config_definitions() {
    let (mode, bootstrap) = somehow();
    golden::config_definitions(mode, bootstrap);
}

#[test]
fn client_keys() {
    let (mode, bootstrap) = somehow();
    golden::client_keys(mode, bootstrap);
}

#[test]
fn validation() {
    let (mode, bootstrap) = somehow();
    golden::exchanges(mode, "validate", bootstrap);
}

#[test]
fn topics_and_files() {
    for client in Client::all() {
        golden::flows(Mode::Compare(client), kafka(client));
    }
}

#[test]
fn java_still_answers_as_recorded() {
    golden::config_definitions(Mode::Recheck, kafka(Client::any()));
    golden::client_keys(Mode::Recheck, kafka(Client::any()));
}

#[test]
#[ignore = "asks Java Connect and overwrites the golden files: `cargo xtask golden`"]
fn record() {
    golden::config_definitions(Mode::Record, kafka(Client::any()));
    golden::client_keys(Mode::Record, kafka(Client::any()));
    golden::exchanges(Mode::Record, "validate", kafka(Client::any()));
    golden::flows(Mode::Record, kafka(Client::any()));
}
