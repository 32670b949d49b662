//! The one list of plugins. A connector appears here, in `Cargo.toml`, and nowhere else.

use millrace_runtime::Catalog;

/// Every plugin this binary was built with.
pub fn catalog() -> Catalog {
    let mut plugins = Vec::new();
    plugins.extend(millrace_converters::plugins());
    plugins.extend(millrace_transforms::plugins());
    #[cfg(feature = "file")]
    plugins.extend(millrace_file::plugins());
    #[cfg(feature = "jdbc")]
    plugins.extend(millrace_jdbc::plugins());
    #[cfg(feature = "lake")]
    plugins.extend(millrace_lake::plugins());
    Catalog::new(plugins)
}
