//! Variables as Java replaces them, and answers that do not show what they stand for.

use std::fs;
use std::path::Path;

use millrace_api::config::{ConfigDef, ConfigInfos, ConfigKey, Type};

use super::*;

const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

/// The folder that the cases are about: `prov` is allowed, `other` is not.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["prov/sub", "other", "provx"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).unwrap();
    let settings = "user=alice\npass=p\\u00e4ss ü \nempty=\nnest=${f:x:user}\na\\:b=colon\n";
    write("prov/s.properties", settings.as_bytes());
    write("prov/pw", b"s3cret\n");
    write("prov/bad.properties", b"k=\xff\n");
    write("prov/esc.properties", b"k=\\u12\n");
    write("prov/large.properties", &vec![b'k'; (1 << 20) + 1]);
    write("other/o.properties", b"k=v\n");
    let link = root.path().join("prov/link.properties");
    std::os::unix::fs::symlink(root.path().join("other/o.properties"), link).unwrap();
    root
}

/// The providers `f` (any file), `g` (files in `prov`), `dir` (folders in `prov`) and `env`.
fn variables(root: &Path) -> Variables {
    let allowed = root.join("prov").display().to_string();
    let class = |name: &str| format!("{PACKAGE}{name}ConfigProvider");
    let worker = props(&[
        ("config.providers", "f,g, dir,env"),
        ("config.providers.f.class", &class("File")),
        ("config.providers.g.class", &class("File")),
        ("config.providers.g.param.allowed.paths", &allowed),
        ("config.providers.dir.class", &class("Directory")),
        ("config.providers.dir.param.allowed.paths", &allowed),
        ("config.providers.env.class", &class("EnvVar")),
        ("config.providers.env.param.allowlist.pattern", "CARGO_PKG_.*"),
    ]);
    Variables::new(&worker).unwrap()
}

/// Each case as Java 4.3.1 answered it. `S` stands for `prov/s.properties`, `R` for the folder.
#[test]
fn variables_are_replaced_as_in_java() {
    let root = folder();
    let variables = variables(root.path());
    let written = |text: &str| {
        let root = root.path().display().to_string();
        text.replace("S:", "R/prov/s.properties:").replace("R/", &format!("{root}/"))
    };
    for (text, expected) in [
        ("plain", "plain"),
        ("${f:S:user}", "alice"),
        ("a${f:S:user}b${f:S:pass}c", "aalicebpäss ü c"),
        ("${nope:x:y}", "${nope:x:y}"),
        ("${f:S:missing}", "${f:S:missing}"),
        ("${f:S:nest}", "${f:x:user}"),
        ("${f:S:empty}", ""),
        ("${f:user}", "${f:user}"),
        ("${f:}", "${f:}"),
        ("${f::user}", "${f::user}"),
        ("${f}", "${f}"),
        ("${}", "${}"),
        ("${:}", "${:}"),
        ("${::}", "${::}"),
        ("${f:S:a:b}", "colon"),
        ("x${ ${f:S:user}", "x${ ${f:S:user}"),
        ("${x${f:S:user}", "${x${f:S:user}"),
        ("$${f:S:user}", "$alice"),
        ("${f:S:user", "${f:S:user"),
        ("}${f:S:user}}", "}alice}"),
        ("${f:S:\nuser}", "${f:S:\nuser}"),
        ("${nope:a}${f:S:user}${nope:b}", "${nope:a}alice${nope:b}"),
        ("${g:S:user}", "alice"),
        ("${g:R/other/o.properties:k}", "${g:R/other/o.properties:k}"),
        ("${g:R/prov/../other/o.properties:k}", "${g:R/prov/../other/o.properties:k}"),
        ("${g:R/prov/sub/../s.properties:user}", "alice"),
        ("${g:R/prov/link.properties:k}", "v"),
        ("${g:R/provx/s:k}", "${g:R/provx/s:k}"),
        ("${dir:R/prov:pw}", "s3cret\n"),
        ("${dir:R/prov:sub}", "${dir:R/prov:sub}"),
        ("${dir:R/prov:sub/../pw}", "${dir:R/prov:sub/../pw}"),
        ("${dir:R/prov/sub:../pw}", "${dir:R/prov/sub:../pw}"),
        ("${dir:R/prov:..}", "${dir:R/prov:..}"),
        ("${dir:R/prov:none}", "${dir:R/prov:none}"),
        ("${dir:R/other:o.properties}", "${dir:R/other:o.properties}"),
        ("${dir:R/prov/pw:pw}", "${dir:R/prov/pw:pw}"),
        ("${dir:pw}", "${dir:pw}"),
        ("${dir:R/prov:link.properties}", "k=v\n"),
        ("${env:CARGO_PKG_NAME}", "millrace-runtime"),
        ("${env::CARGO_PKG_NAME}", "millrace-runtime"),
        ("${env:PATH}", "${env:PATH}"),
        ("${env: CARGO_PKG_NAME}", "${env: CARGO_PKG_NAME}"),
        ("${ env:CARGO_PKG_NAME}", "${ env:CARGO_PKG_NAME}"),
    ] {
        let resolved = variables.resolve(&props(&[("k", &written(text))])).unwrap();
        assert_eq!(resolved.props["k"], written(expected), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_without_its_content() {
    let root = folder();
    let variables = variables(root.path());
    let prov = root.path().join("prov").display().to_string();
    let error =
        |value: &str| variables.resolve(&props(&[("k", value)])).map(|_| ()).unwrap_err().trace();
    for (file, why) in [
        ("nonexist", "No such file"),
        ("sub", "not a regular file"),
        ("bad.properties", "not UTF-8"),
        ("esc.properties", "Malformed \\uxxxx"),
        ("large.properties", "larger than 1048576 bytes"),
    ] {
        let error = error(&format!("${{f:{prov}/{file}:k}}"));
        let message = format!("Could not read properties from file {prov}/{file}");
        assert!(error.contains(&message) && error.contains(why), "{error}");
    }
    let path = error("${env:p:CARGO_PKG_NAME}");
    assert!(
        path.contains("Path is not supported for EnvVarConfigProvider, invalid value 'p'"),
        "{path}"
    );
}

#[tokio::test]
async fn a_provider_that_fails_is_no_fault_of_the_request() {
    let root = folder();
    let raw = props(&[("k", "${f:/no/such:k}")]);
    let error = variables(root.path()).resolve_aside(&raw).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), millrace_api::ErrorKind::Fatal);
    assert_eq!(error.message(), "Could not read properties from file /no/such");
}

/// A configuration with a secret, a number that is none, and text that is neither.
fn resolved(root: &Path) -> (Props, Resolved) {
    fs::write(root.join("prov/r.properties"), "pw=canary-1\nn=abc\nlist=canary-2, canary-3\n")
        .unwrap();
    let file = root.join("prov/r.properties").display().to_string();
    let raw = props(&[
        ("password", &format!("${{f:{file}:pw}}")),
        ("url", &format!("db://u:${{f:{file}:pw}}@h")),
        ("number", &format!("${{f:{file}:n}}")),
        ("list", &format!("${{f:{file}:list}}")),
        ("plain", "abc"),
    ]);
    let resolved = variables(root).resolve(&raw).unwrap();
    (raw, resolved)
}

#[test]
fn errors_show_the_variable_and_not_its_value() {
    let root = folder();
    let (raw, Resolved { props, redaction }) = resolved(root.path());
    assert_eq!(props["url"], "db://u:canary-1@h");
    let cause = Error::data("refused: canary-1").context("list", "[canary-2, canary-3]");
    let error = Error::fatal(format!("cannot reach {}", props["url"])).with_source(cause);
    let trace = redaction.error(error).trace();
    assert!(!trace.contains("canary"), "{trace}");
    assert!(trace.contains(&raw["url"]) && trace.contains("refused: ${f:"), "{trace}");
    // A value too short to be taken out everywhere is taken out where it is quoted.
    let quoted = "Invalid value abc for configuration number: abc";
    assert_eq!(
        redaction.text(quoted),
        format!("Invalid value {} for configuration number: abc", raw["number"])
    );
}

#[test]
fn secrets_inside_of_a_value_are_hidden_one_at_a_time() {
    let root = folder();
    let file = root.path().join("prov/i.properties");
    let jaas = r#"a.LoginModule required username="canary-1" password='canary-2' x="open";"#;
    let url = "jdbc:db://canary-3:canary-4@host/open?user=canary-5&password=canary-6&ssl=open";
    fs::write(&file, format!("jaas={jaas}\nurl={url}\n")).unwrap();
    let file = file.display();
    let raw = props(&[("a", &format!("${{f:{file}:jaas}}")), ("b", &format!("${{f:{file}:url}}"))]);
    let Resolved { redaction, .. } = variables(root.path()).resolve(&raw).unwrap();
    for secret in 1..=6 {
        let shown = redaction.text(&format!("no canary-{secret}, open"));
        assert!(shown.starts_with("no ${f:") && shown.ends_with("}, open"), "{shown}");
    }
    assert_eq!(redaction.text("host LoginModule password"), "host LoginModule password");
}

#[test]
fn validations_show_what_was_written() {
    let root = folder();
    let (raw, Resolved { props, redaction }) = resolved(root.path());
    let types = [("password", Type::Password), ("url", Type::String), ("number", Type::Int)];
    let types = types.into_iter().chain([("plain", Type::String)]);
    let def = types.fold(ConfigDef::default(), |d, (k, t)| d.define(ConfigKey::new(k, t)));
    let infos = redaction.infos(ConfigInfos::new("c", &def, def.validate(&props)));
    let value = |i: usize| infos.configs[i].value.clone().unwrap();
    assert_eq!(value(0).value.as_deref(), Some("[hidden]"));
    assert_eq!(value(1).value.as_ref(), Some(&raw["url"]));
    assert_eq!(value(2).value, None);
    assert!(value(2).errors[0].contains(&raw["number"]), "{:?}", value(2).errors);
    assert_eq!(value(3).value.as_deref(), Some("abc"));
}

#[test]
fn what_stays_is_told_with_the_reason() {
    let root = folder();
    let prov = root.path().join("prov").display().to_string();
    let file = format!("{prov}/s.properties");
    let raw = props(&[
        ("a", &format!("${{g:{file}:user}} ${{g:{file}:typo}} ${{g:{file}:typo}}")),
        ("b", "${vault:/a:b}"),
        ("c", "${g:/elsewhere:k}"),
        ("d", &format!("${{dir:{prov}/none:k}}")),
        ("e", "${NONE}"),
    ]);
    let variables = variables(root.path());
    let resolved = variables.resolve(&raw).unwrap();
    let left: Vec<_> = variables.left(&raw, &resolved.props).into_iter().collect();
    let typo = format!("${{g:{file}:typo}}");
    let none = format!("${{dir:{prov}/none:k}}");
    let denied = "config.providers.g.param.allowed.paths does not allow access to the path";
    assert_eq!(
        left,
        [
            ("a", typo.as_str(), "the config provider g finds no such key".to_owned()),
            ("b", "${vault:/a:b}", "config.providers of the worker has no vault".to_owned()),
            ("c", "${g:/elsewhere:k}", denied.to_owned()),
            ("d", none.as_str(), format!("{prov}/none is not a directory")),
        ]
    );
}

#[test]
fn task_configurations_get_their_variables_back() {
    let root = folder();
    let (raw, resolved) = resolved(root.path());
    let mut task = resolved.props.clone();
    task.insert("own".into(), "1".into());
    put_back(&raw, &mut task);
    let own = task.remove("own").unwrap();
    assert_eq!((own.as_str(), &task), ("1", &raw));
}

#[test]
fn without_providers_nothing_is_looked_for() {
    let raw = props(&[("k", "${f:/no/such:k}")]);
    let none = Variables::new(&props(&[("config.providers", "f")])).unwrap();
    assert_eq!(none.resolve(&raw).unwrap().props, raw);
}
