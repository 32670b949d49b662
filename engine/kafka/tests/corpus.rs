//! Replays what the fuzzer has found to be different: `fuzz/corpus`, a folder a target.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own in fuzz/")]
mod targets;

#[test]
fn nothing_that_was_found_does_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let mut files = 0;
        for file in std::fs::read_dir(corpus.join(name)).unwrap() {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 0, "no corpus for {name}");
    }
}
