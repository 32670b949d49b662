//! Decides whether the repository keeps the rules that no compiler checks. Each failure names the
//! rule and the remedy.

mod crates;
mod licences;
mod metadata;
mod sources;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the repository").to_owned()
}

/// Fails with all broken places at once, so that one run is enough to mend them.
#[track_caller]
fn hold(rule: &str, remedy: &str, broken: &[String]) {
    assert!(
        broken.is_empty(),
        "\n\nrule: {rule}\nremedy: {remedy}\nbroken by:\n  {}\n",
        broken.join("\n  ")
    );
}
