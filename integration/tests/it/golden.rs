//! Millrace answers what Java Connect answered when the golden files were recorded.

use millrace_integration::broker::kafka;
use millrace_integration::golden::{self, Mode};

#[test]
fn config_definitions() {
    golden::config_definitions(Mode::Compare, kafka());
}

#[test]
fn client_keys() {
    golden::client_keys(Mode::Compare, kafka());
}

#[test]
fn validation() {
    golden::exchanges(Mode::Compare, "validate", kafka());
}

#[test]
fn topics_and_files() {
    golden::flows(Mode::Compare, kafka());
}

#[test]
fn java_still_answers_as_recorded() {
    golden::config_definitions(Mode::Recheck, kafka());
    golden::client_keys(Mode::Recheck, kafka());
}

#[test]
#[ignore = "asks Java Connect and overwrites the golden files: `cargo xtask golden`"]
fn record() {
    golden::config_definitions(Mode::Record, kafka());
    golden::client_keys(Mode::Record, kafka());
    golden::exchanges(Mode::Record, "validate", kafka());
    golden::flows(Mode::Record, kafka());
}
