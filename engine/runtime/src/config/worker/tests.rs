//! A worker's properties, held against what Java answered.

use super::*;

fn props(extra: &[(&str, &str)]) -> Props {
    let base = [
        ("bootstrap.servers", "localhost:9092"),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("offset.storage.file.filename", "/tmp/connect.offsets"),
    ];
    base.iter().chain(extra).map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

#[test]
fn defaults_are_javas() {
    let config = WorkerConfig::parse(props(&[])).unwrap();
    assert_eq!(config.commit_interval, Duration::from_secs(60));
    assert_eq!(config.commit_timeout, Duration::from_secs(5));
    assert_eq!(config.graceful_timeout, Duration::from_secs(5));
    assert!(config.topic_creation && config.topic_tracking && config.topic_tracking_reset);
    assert_eq!(config.policy, OverridePolicy::All);
    assert_eq!(config.rest.listeners.len(), 1);
}

/// What Java 4.3.1 answered (`new StandaloneConfig(…)`); the class of an exception is left out.
#[test]
fn complaints_are_javas() {
    let one_of = "String must be one of";
    for (key, value, complaint) in [
        (
            "bootstrap.servers",
            "a:1,,b:2",
            "Configuration 'bootstrap.servers' values must not be empty.",
        ),
        ("bootstrap.servers", ",", "Configuration 'bootstrap.servers' values must not be empty."),
        (
            "bootstrap.servers",
            " ",
            "Configuration 'bootstrap.servers' must not be empty. Valid values include: any non-empty value",
        ),
        (
            "plugin.path",
            "",
            "Configuration 'plugin.path' must not be empty. Valid values include: any non-empty value",
        ),
        ("plugin.path", "/a,,/b", "Configuration 'plugin.path' values must not be empty."),
        ("metric.reporters", "a,,b", "Configuration 'metric.reporters' values must not be empty."),
        ("config.providers", "x,,y", "Configuration 'config.providers' values must not be empty."),
        (
            "ssl.cipher.suites",
            "a,,a",
            "Configuration 'ssl.cipher.suites' values must not be empty.",
        ),
        (
            "client.dns.lookup",
            "USE_ALL_DNS_IPS",
            &format!("{one_of}: use_all_dns_ips, resolve_canonical_bootstrap_servers_only"),
        ),
        (
            "plugin.discovery",
            "x",
            &format!(
                "{one_of} (case insensitive): ONLY_SCAN, SERVICE_LOAD, HYBRID_WARN, HYBRID_FAIL"
            ),
        ),
        ("metrics.recording.level", "info", &format!("{one_of}: INFO, DEBUG")),
        ("metrics.num.samples", "0", "Value must be at least 1"),
        ("metrics.num.samples", "x", "Not a number of type INT"),
        ("metrics.sample.window.ms", "-1", "Value must be at least 0"),
        ("topic.creation.enable", "yes", "Expected value to be either true or false"),
        ("topic.tracking.enable", "", "Expected value to be either true or false"),
        ("topic.tracking.allow.reset", "1", "Expected value to be either true or false"),
        ("offset.flush.interval.ms", "5.0", "Not a number of type LONG"),
        ("offset.flush.timeout.ms", "9223372036854775808", "Not a number of type LONG"),
        ("task.shutdown.graceful.timeout.ms", "soon", "Not a number of type LONG"),
    ] {
        let error = WorkerConfig::parse(props(&[(key, value)])).unwrap_err();
        let whole = format!("Invalid value {value} for configuration {key}: {complaint}");
        let expected = if complaint.starts_with("Configuration") { complaint } else { &whole };
        assert_eq!(error.message(), expected);
    }
    for key in
        ["bootstrap.servers", "key.converter", "value.converter", "offset.storage.file.filename"]
    {
        let mut without = props(&[]);
        without.remove(key);
        let missing =
            format!("Missing required configuration \"{key}\" which has no default value.");
        assert_eq!(WorkerConfig::parse(without).unwrap_err().to_string(), missing);
    }
}

#[test]
fn odd_values_are_accepted_as_in_java() {
    for (key, value) in [
        ("bootstrap.servers", " a:1 , a:1,b:2"),
        ("plugin.path", "/a,/a"),
        ("plugin.discovery", "Only_Scan"),
        ("metric.reporters", ""),
        ("config.providers", "x"),
        ("offset.flush.interval.ms", " +5 "),
        ("offset.flush.interval.ms", "-1"),
        ("offset.flush.timeout.ms", "-1"),
        ("task.shutdown.graceful.timeout.ms", "-1"),
        ("key.converter.plugin.version", "[1,2)"),
        ("ssl.enabled.protocols", ""),
        ("ssl.protocol", ""),
        ("internal.key.converter", "x"),
        ("group.id", "x"),
        ("session.timeout.ms", "not for this worker"),
    ] {
        let parsed = WorkerConfig::parse(props(&[(key, value)]));
        assert!(parsed.is_ok(), "{key}={value}: {:?}", parsed.err());
    }
}

#[test]
fn what_protects_and_is_not_there_is_refused() {
    for listener in ["8083", "ftp://:1", "http://localhost:99999"] {
        let error = WorkerConfig::parse(props(&[("listeners", listener)])).unwrap_err().to_string();
        assert!(error.contains(listener), "{error}");
    }
    let policy = [("connector.client.config.override.policy", "Some")];
    let error = WorkerConfig::parse(props(&policy)).unwrap_err().to_string();
    assert!(error.contains("name matches Some"), "{error}");
}

fn with_file(file: &std::path::Path, extra: &[(&str, &str)]) -> Props {
    let class = "org.apache.kafka.common.config.provider.FileConfigProvider";
    let mut all = props(&[("config.providers", "f"), ("config.providers.f.class", class)]);
    let put_in = |value: &str| value.replace("FILE", &file.display().to_string());
    all.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), put_in(value))));
    all
}

#[test]
fn variables_are_resolved_before_keys_are_parsed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ms=canary-7\nflush=7\n").unwrap();
    let config = WorkerConfig::parse(with_file(
        file.path(),
        &[
            ("offset.flush.interval.ms", "${f:FILE:flush}"),
            ("producer.acks", "${f:FILE:flush}"),
            ("plugin.path", "/${f:FILE:flush}"),
            ("config.providers.f.param.x", "${f:FILE:flush}"),
        ],
    ))
    .unwrap();
    assert_eq!(config.commit_interval, Duration::from_millis(7));
    assert_eq!(config.props["producer.acks"], "7");
    for raw in ["plugin.path", "config.providers.f.param.x"] {
        assert!(config.props[raw].contains("${f:"), "{raw} is taken as it is");
    }
    let wrong = with_file(file.path(), &[("offset.flush.interval.ms", "${f:FILE:ms}")]);
    let error = WorkerConfig::parse(wrong).unwrap_err();
    let shown = format!("${{f:{}:ms}}", file.path().display());
    assert_eq!(
        error.to_string(),
        format!(
            "Invalid value {shown} for configuration offset.flush.interval.ms: Not a number of \
             type LONG"
        )
    );
    assert!(!format!("{config:?}").contains("connect.offsets"), "nothing is printed unasked");
}

#[test]
fn wrong_providers_are_refused() {
    let error = |extra: &[(&str, &str)]| WorkerConfig::parse(props(extra)).unwrap_err().to_string();
    let class = "config.providers.f.class";
    let unknown = error(&[("config.providers", "f"), (class, "FileConfigProvider")]);
    assert!(
        unknown.starts_with(
            "Invalid value FileConfigProvider for configuration config.providers.f.class: Could \
             not load config provider class or one of its dependencies"
        ) && unknown.contains("org.apache.kafka.common.config.provider."),
        "{unknown}"
    );
    let file = "org.apache.kafka.common.config.provider.FileConfigProvider";
    let provider = [("config.providers", "f"), (class, file)];
    let with = |more: &[(&str, &str)]| error(&[&provider[..], more].concat());
    let relative = with(&[("config.providers.f.param.allowed.paths", "rel")]);
    assert!(relative.starts_with("Path rel is not absolute"), "{relative}");
    let gone = with(&[("producer.acks", "${f:/no/such:k}")]);
    assert!(gone.starts_with("Could not read properties from file /no/such"), "{gone}");
}
