//! Decides what the other checks know of the crates: `cargo metadata`, read once.

use serde_json::Value;
use std::process::Command;
use std::sync::OnceLock;

/// The whole dependency graph for Linux, the platform we ship for.
pub(crate) fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(super::root())
            .output()
            .expect("cargo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata failed: {errors}");
        serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
    })
}

/// All packages of the graph, ours and others'.
pub(crate) fn packages() -> impl Iterator<Item = &'static Value> {
    metadata()["packages"].as_array().into_iter().flatten()
}

/// Our own packages: those without a registry.
pub(crate) fn ours() -> impl Iterator<Item = &'static Value> {
    packages().filter(|package| package["source"].is_null())
}

/// A text member that every package has.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// Names of the packages that `package` declares, for `kind`: `None` for the product, `Some("dev")`
/// for tests.
pub(crate) fn dependencies(package: &'static Value, kind: Option<&str>) -> Vec<&'static str> {
    let declared = package["dependencies"].as_array().into_iter().flatten();
    let of_kind = declared.filter(|dependency| dependency["kind"].as_str() == kind);
    of_kind.map(|dependency| text(dependency, "name")).collect()
}
