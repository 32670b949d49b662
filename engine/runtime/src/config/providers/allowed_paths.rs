//! Decides which paths the providers may read (`allowed.paths`, `AllowedPaths` in Java).

use std::path::{Component, Path, PathBuf};

use millrace_api::{Error, Props, Result};

/// The paths below which files may be read; none: any file.
pub(super) struct AllowedPaths(Option<Vec<PathBuf>>);

impl AllowedPaths {
    /// Reads `allowed.paths`: absolute paths that exist, with commas and nothing else between them.
    pub(super) fn new(parameters: &Props) -> Result<Self> {
        let Some(list) = parameters.get("allowed.paths").filter(|list| !list.is_empty()) else {
            return Ok(Self(None));
        };
        let wrong = |path: &Path, what: &str| {
            Error::config(format!("Path {} {what}", path.display()))
                .context("key", "allowed.paths")
                .context("remedy", "write absolute paths that exist, with commas between them")
        };
        let mut allowed = Vec::new();
        // As in Java, an empty element counts unless nothing comes after it.
        for path in list.trim_end_matches(',').split(',') {
            let path = normalized(Path::new(path));
            if !path.is_absolute() {
                return Err(wrong(&path, "is not absolute"));
            }
            if !path.exists() {
                return Err(wrong(&path, "does not exist"));
            }
            allowed.push(path);
        }
        Ok(Self(Some(allowed)))
    }

    /// Why a path is not read, if it lies outside.
    pub(super) fn objection(&self, name: &str, path: &str) -> Option<String> {
        self.permit(path).is_none().then(|| {
            format!("config.providers.{name}.param.allowed.paths does not allow access to the path")
        })
    }

    /// The path to read, unless it lies outside. Links are not followed before that is decided: a
    /// link inside may lead outside, as in Java, and whoever made it meant it.
    pub(super) fn permit(&self, path: &str) -> Option<PathBuf> {
        let Some(allowed) = &self.0 else {
            return Some(PathBuf::from(path));
        };
        let path = normalized(Path::new(path));
        if allowed.iter().any(|allowed| path.starts_with(allowed)) {
            return Some(path);
        }
        None
    }
}

/// `Path.normalize` in Java: takes `.` and `NAME/..` out without looking at the disk.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match (component, normal.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                normal.pop();
            }
            (other, _) => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_normalize_as_in_java() {
        for (path, normal) in [
            ("/a/b/../c", "/a/c"),
            ("/../a", "/a"),
            ("/a/./b//c/", "/a/b/c"),
            ("../a/..", ".."),
            ("a/../../b", "../b"),
        ] {
            assert_eq!(normalized(Path::new(path)), Path::new(normal), "{path}");
        }
    }

    #[test]
    fn allowed_paths_are_absolute_and_exist() {
        let error = |list: &str| {
            let parameters = Props::from([("allowed.paths".to_owned(), list.to_owned())]);
            AllowedPaths::new(&parameters).err().map(|e| e.message().to_owned())
        };
        assert_eq!(error(""), None);
        assert_eq!(error("/,/,"), None);
        assert_eq!(error("rel").unwrap(), "Path rel is not absolute");
        assert_eq!(error("/, /tmp").unwrap(), "Path  /tmp is not absolute");
        assert_eq!(error("/no/such").unwrap(), "Path /no/such does not exist");
    }
}
