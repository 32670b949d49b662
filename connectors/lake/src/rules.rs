//! Decides which values the keys may have, and what the words among them mean.

use std::path::PathBuf;

use millrace_api::config::{Setting, Validator};

/// The formats that `format.class` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatName {
    Parquet,
    Json,
}

/// Makes a rule of a function that says what is wrong with a text.
fn rule(valid: &'static str, problem: fn(&str) -> Result<(), String>) -> Validator {
    Validator::new(valid, move |value: &Setting| problem(value.as_str().unwrap_or_default()))
}

/// `store.url`.
pub(crate) fn file_url() -> Validator {
    rule("a file: URL", |url| directory_of(url).map(|_| ()))
}

/// `topics.dir`.
pub(crate) fn directory_inside() -> Validator {
    rule("a directory below the store", |directory| {
        if directory.split('/').any(|part| part == "..") {
            Err("it must not lead out of store.url: leave `..` out".into())
        } else {
            Ok(())
        }
    })
}

/// `format.class`.
pub(crate) fn format_class() -> Validator {
    rule("ParquetFormat or JsonFormat", |class| format_of(class).map(|_| ()))
}

/// `partitioner.class`.
pub(crate) fn partitioner_class() -> Validator {
    rule("DefaultPartitioner", |class| match class.rsplit('.').next() {
        Some("DefaultPartitioner" | "Default" | "default") => Ok(()),
        _ => Err("only io.confluent.connect.storage.partitioner.DefaultPartitioner is \
                      supported so far"
            .into()),
    })
}

/// `schema.compatibility`.
pub(crate) fn without_compatibility() -> Validator {
    rule("NONE", |name| {
        if name.eq_ignore_ascii_case("NONE") {
            Ok(())
        } else {
            Err("only NONE is supported so far: each schema gets files of its own".into())
        }
    })
}

/// `timezone`.
pub(crate) fn only_utc() -> Validator {
    rule("UTC", |zone| match zone {
        "" | "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT" | "Zulu" | "Z" => Ok(()),
        _ => Err("only UTC is supported so far".into()),
    })
}

/// The format that a class or a short name means.
pub(crate) fn format_of(class: &str) -> Result<FormatName, String> {
    let simple = class.rsplit('.').next().unwrap_or(class);
    match simple.to_ascii_lowercase().as_str() {
        "parquetformat" | "parquet" => Ok(FormatName::Parquet),
        "jsonformat" | "json" => Ok(FormatName::Json),
        _ => Err("use io.confluent.connect.s3.format.parquet.ParquetFormat (or parquet) or \
             io.confluent.connect.s3.format.json.JsonFormat (or json); other formats come later"
            .into()),
    }
}

/// The directory that `store.url` means: `file:///absolute`, `file:relative` or a plain path.
pub(crate) fn directory_of(url: &str) -> Result<PathBuf, String> {
    let path = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => {
            if !scheme.eq_ignore_ascii_case("file") {
                return Err(format!(
                    "the scheme {scheme} is not supported so far: only file: is; s3, gs, abfs, wasb \
                     and hdfs come later"
                ));
            }
            decode(without_host(rest)?)?
        }
        _ => url.to_owned(),
    };
    if path.is_empty() {
        return Err("it names no directory: use file:///absolute/directory".into());
    }
    std::path::absolute(&path).map_err(|e| format!("not a usable directory: {e}"))
}

/// Whether what stands before the colon is a URL's scheme and not the beginning of a path.
fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// The path after `file:`, with or without `//` and an empty host or this one.
fn without_host(rest: &str) -> Result<&str, String> {
    let Some(authority) = rest.strip_prefix("//") else {
        return Ok(rest);
    };
    let slash = authority.find('/').unwrap_or(authority.len());
    match authority.split_at(slash) {
        ("" | "localhost", path) => Ok(path),
        (host, _) => Err(format!(
            "{host} would be a host: use file:///absolute/directory, or file:{authority} for a \
             directory below the worker's"
        )),
    }
}

/// Resolves `%20` and the like.
fn decode(path: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let escaped = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(escaped.ok_or("a % must be followed by two hex digits: write %25 for it")?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "its % escapes are not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_in_urls() {
        let here = std::env::current_dir().unwrap();
        let directory = |url| directory_of(url).unwrap();
        assert_eq!(directory("file:///var/lake"), PathBuf::from("/var/lake"));
        assert_eq!(directory("FILE://localhost/var"), PathBuf::from("/var"));
        assert_eq!(directory("file:/var/a%20b"), PathBuf::from("/var/a b"));
        assert_eq!(directory("file:lake"), here.join("lake"));
        assert_eq!(directory("file:./lake"), here.join("lake"));
        assert_eq!(directory("./lake"), here.join("lake"));
        assert_eq!(directory("/var/2026:11%"), PathBuf::from("/var/2026:11%"));
    }

    #[test]
    fn what_is_no_directory_is_explained() {
        let problem = |url| directory_of(url).unwrap_err();
        assert!(problem("s3://bucket/x").contains("s3, gs"));
        assert!(problem("file://lake/x").contains("file:lake/x"));
        assert!(problem("file:///a%2").contains("%25"));
        assert!(problem("file:///a%ff").contains("UTF-8"));
        assert!(problem("file:").contains("names no directory"));
        assert!(problem("").contains("names no directory"));
    }
}
