//! The file connectors as the worker drives them: the conformance suites, Java's keys, and what
//! happens to files that are cut, replaced, missing, odd or full.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod sink;
mod source;

use std::path::Path;

use millrace_api::Plugin;
use millrace_testkit::golden::assert_keys_recorded;

fn plugin(name: &str) -> Plugin {
    let mut plugins = millrace_file::plugins().into_iter();
    plugins.find(|p| p.answers_to(name)).expect("the plugin is there")
}

#[test]
fn keys_are_javas() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/golden/config");
    for name in ["FileStreamSource", "FileStreamSink"] {
        assert_keys_recorded(&folder, &plugin(name));
    }
}
