//! Decides which registry people mean by a URL and by files that were made for workers and
//! connectors: as these would ask it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_api::config::{Props, properties};
use millrace_api::{Error, Result};
use schema_registry_client::Client;

use crate::commands::connector_file::ConnectorFile;

/// A registry.
pub(super) struct Registry {
    pub(super) client: Arc<Client>,
    /// Where it is, for people.
    pub(super) urls: String,
}

const URL: &str = "schema.registry.url";

/// The limits of somebody who waits, unless the files have others.
const LIMITS: [(&str, &str); 5] = [
    ("http.connect.timeout.ms", "5000"),
    ("http.read.timeout.ms", "10000"),
    ("max.retries", "1"),
    ("retries.wait.ms", "500"),
    ("retries.max.wait.ms", "2000"),
];

/// The registry that the files and the URL name; the URL wins.
pub(super) fn named(files: &[PathBuf], url: Option<&str>) -> Result<Registry> {
    let names = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let located = |error: Error| match names.is_empty() {
        true => error,
        false => error.context("file", &names),
    };
    let mut props = converters_own(&resolved(files).map_err(located)?);
    if let Some(url) = url {
        props.insert(URL.into(), url.to_owned());
    }
    let Some(urls) = props.get(URL) else {
        let why = match names.is_empty() {
            true => "which registry? Give --url, or --config with a worker's or connector's file",
            false => "no registry is named: there is no value.converter.schema.registry.url",
        };
        return Err(located(Error::config(why)));
    };
    let urls = urls.split(',').map(without_user).collect::<Vec<_>>().join(", ");
    for (key, value) in LIMITS {
        props.entry(key.into()).or_insert_with(|| value.into());
    }
    let client = millrace_converters::registry_client(&props).map_err(located)?;
    Ok(Registry { client, urls })
}

/// What the files say together, with what variables stand for.
fn resolved(files: &[PathBuf]) -> Result<Props> {
    let mut all = Props::new();
    for file in files {
        add(&mut all, read(file)?);
    }
    millrace_runtime::resolve_variables("--config", all)
}

/// A worker's or connector's file: properties, or a connector as JSON.
fn read(file: &Path) -> Result<Props> {
    let begins_json = |bytes: Vec<u8>| {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        text.trim_ascii_start().starts_with(b"{")
    };
    match fs::read(file).is_ok_and(begins_json) {
        true => Ok(ConnectorFile::read(file)?.config),
        false => properties::read(file),
    }
}

/// Adds a connector's configuration to its worker's: one that names a converter gets none of the
/// worker's keys for it, and one that names none has no keys of its own.
fn add(all: &mut Props, mut more: Props) {
    for converter in ["key.converter", "value.converter"] {
        let begin = format!("{converter}.");
        if more.contains_key(converter) {
            all.retain(|key, _| !key.starts_with(&begin));
        } else if all.contains_key(converter) && more.contains_key("connector.class") {
            more.retain(|key, _| !key.starts_with(&begin));
        }
    }
    all.extend(more);
}

/// Keys as a converter gets them, without the prefixes that they have in the files: values' or, when
/// they name no registry, keys'. Bare ones, of files made for this, come before both.
fn converters_own(written: &Props) -> Props {
    let below = |prefix: &str| -> Props {
        let below = written
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
        below.collect()
    };
    let (values, keys) = (below("value.converter."), below("key.converter."));
    let mut props = if values.contains_key(URL) || !keys.contains_key(URL) { values } else { keys };
    let ours = ["schema.registry.", "basic.auth.", "bearer.auth.", "proxy.", "request.header."];
    props.extend(below("").into_iter().filter(|(key, _)| ours.iter().any(|p| key.starts_with(p))));
    props
}

/// A URL without the user that it may name, who may have a password.
fn without_user(url: &str) -> String {
    match url.trim().split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => url.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Props {
        properties::parse(text, "test").unwrap()
    }

    #[test]
    fn a_workers_properties_name_the_registry() {
        let own = converters_own(&parsed(
            "bootstrap.servers=x\nkey.converter.schema.registry.url=http://k\n\
             key.converter.bearer.auth.token=k\nvalue.converter.schema.registry.url=http://v\n\
             value.converter.basic.auth.user.info=a:b\nssl.truststore.location=/kafkas",
        ));
        let url = (URL.to_owned(), "http://v".to_owned());
        let user = ("basic.auth.user.info".to_owned(), "a:b".to_owned());
        assert_eq!(own, Props::from([url, user]), "credentials of keys go to nobody else");
        let of_keys = converters_own(&parsed("key.converter.schema.registry.url=http://k"));
        assert_eq!(of_keys[URL], "http://k");
        let bare = "schema.registry.url=http://b\nvalue.converter.schema.registry.url=http://v";
        assert_eq!(converters_own(&parsed(bare))[URL], "http://b");
    }

    #[test]
    fn a_connector_with_a_converter_of_its_own_gets_nothing_of_its_workers() {
        let worker = "value.converter=A\nvalue.converter.schema.registry.url=http://w\n\
                      value.converter.basic.auth.user.info=a:b";
        let mut all = parsed(worker);
        add(&mut all, parsed("name=c\nvalue.converter.schema.registry.url=http://c"));
        assert_eq!(all["value.converter.basic.auth.user.info"], "a:b");
        let mut all = parsed(worker);
        add(&mut all, parsed("name=c\nvalue.converter=A"));
        assert!(!converters_own(&all).contains_key(URL));
    }

    #[test]
    fn files_of_all_forms_are_read_and_their_variables_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let secrets = write("secrets", "user=me\nurl=http://secret:1\n");
        let worker = write(
            "worker.properties",
            "config.providers=f\n\
             config.providers.f.class=org.apache.kafka.common.config.provider.FileConfigProvider\n",
        );
        let secrets = secrets.display();
        let connector = write(
            "connector.json",
            &format!(
                r#"{{"name":"c","config":{{"value.converter":"A",
                "value.converter.schema.registry.url":"${{f:{secrets}:url}}"}}}}"#
            ),
        );
        let registry = named(&[worker.clone(), connector.clone()], None).unwrap();
        assert_eq!(registry.urls, "http://secret:1");
        let over =
            named(&[worker.clone(), connector], Some("http://u:p@other:2, http://x")).unwrap();
        assert_eq!(over.urls, "http://other:2, http://x");
        for (files, words) in [
            (vec![], "Give --url"),
            (vec![worker], "worker.properties"),
            (vec![folder.path().join("none")], "none"),
            (vec![write("bad.json", "{")], "bad.json"),
        ] {
            let error = named(&files, None).err().unwrap().trace();
            assert!(error.contains(words), "{error}");
        }
    }
}
