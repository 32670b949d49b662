//! Decides which log lines are written: levels by name, as operators of Connect set them through
//! `/admin/loggers`, mapped onto the modules of this program.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use millrace_runtime::{Catalog, LoggerLevel, Loggers};
use tracing_subscriber::filter::{LevelFilter, Targets};

pub(super) const ROOT: &str = "root";
/// Modules of ours begin with it.
const OURS: &str = "millrace";

/// Loggers of Java Connect, and the module of ours that says what they said. A name that is a
/// package stands for all of its classes.
const NAMES: &[(&str, &str)] = &[
    ("org.apache.kafka.clients", "millrace_kafka"),
    ("org.apache.kafka.clients.NetworkClient", "millrace_kafka::native::net"),
    ("org.apache.kafka.clients.admin.KafkaAdminClient", "millrace_kafka::native::admin"),
    ("org.apache.kafka.clients.consumer.KafkaConsumer", "millrace_kafka::native::consumer"),
    ("org.apache.kafka.clients.producer.KafkaProducer", "millrace_kafka::native::producer"),
    ("org.apache.kafka.connect.cli.ConnectStandalone", "millrace::commands::standalone"),
    ("org.apache.kafka.connect.runtime.SubmittedRecords", "millrace_runtime::task::offsets"),
    ("org.apache.kafka.connect.runtime.Worker", "millrace_runtime::worker"),
    ("org.apache.kafka.connect.runtime.WorkerConfig", "millrace_runtime::config"),
    ("org.apache.kafka.connect.runtime.WorkerConnector", "millrace_runtime::herder::actor"),
    ("org.apache.kafka.connect.runtime.WorkerSinkTask", "millrace_runtime::task::sink"),
    ("org.apache.kafka.connect.runtime.WorkerSourceTask", "millrace_runtime::task::source"),
    ("org.apache.kafka.connect.runtime.errors.LogReporter", "millrace_runtime::task::errors"),
    ("org.apache.kafka.connect.runtime.rest.RestServer", "millrace_runtime::rest"),
    (
        "org.apache.kafka.connect.runtime.standalone.StandaloneHerder",
        "millrace_runtime::herder::standalone",
    ),
    ("org.apache.kafka.connect.storage", "millrace_converters"),
    ("org.apache.kafka.connect.storage.FileOffsetBackingStore", "millrace_runtime::store"),
    ("org.apache.kafka.connect.transforms", "millrace_transforms"),
];

/// Modules of ours that no logger of Java stands for.
const QUIET: [&str; 2] = ["millrace_api", "millrace_tls"];

/// Takes over a filter in which every level is as it now should be.
type Apply = Box<dyn Fn(Targets) + Send + Sync>;

/// Names that Java has for modules of ours, and the modules.
struct Names(Vec<(String, &'static str)>);

/// The levels of this process.
pub(super) struct Levels {
    names: Names,
    named: Mutex<BTreeMap<String, LoggerLevel>>,
    apply: Apply,
}

impl Levels {
    /// Levels as `spec` says, such as `info,millrace_kafka=debug`. What cannot be read of it is
    /// given back.
    pub(super) fn new(spec: &str, catalog: &Catalog) -> (Self, Vec<String>) {
        let names = Names::new(catalog);
        let level = || LoggerLevel { level: "INFO".to_owned(), last_modified: None };
        let all = names.0.iter().flat_map(|(java, target)| [java.as_str(), target]).chain([ROOT]);
        let named = Mutex::new(all.map(|name| (name.to_owned(), level())).collect());
        let levels = Self { names, named, apply: Box::new(|_| ()) };
        let mut wrong = Vec::new();
        let mut parts: Vec<&str> = spec.split(',').map(str::trim).collect();
        // What is said of all comes before what is said of some.
        parts.sort_by_key(|part| part.split_once('=').map_or(0, |(name, _)| name.len()));
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (name, level) = match part.split_once('=') {
                Some((name, level)) => (name, level),
                None if filter(part).is_some() => (ROOT, part),
                None if levels.names.knows(part) => (part, "TRACE"),
                // Most likely a level that is misspelt.
                None => {
                    wrong.push(part.to_owned());
                    continue;
                }
            };
            match filter(level) {
                Some(_) if !name.contains(['[', '{']) => {
                    levels.change(&mut levels.lock(), name, &level.to_uppercase(), None);
                }
                _ => wrong.push(part.to_owned()),
            }
        }
        (levels, wrong)
    }

    /// Has changes taken over.
    pub(super) fn applied_by(self, apply: impl Fn(Targets) + Send + Sync + 'static) -> Self {
        Self { apply: Box::new(apply), ..self }
    }

    /// The filter for the levels as they are.
    pub(super) fn targets(&self) -> Targets {
        targets(&self.lock())
    }

    /// Sets a namespace and all below it; the answer is what changed among them. Each logger has a twin
    /// of another name, which follows it.
    fn change(
        &self,
        named: &mut BTreeMap<String, LoggerLevel>,
        namespace: &str,
        level: &str,
        now: Option<i64>,
    ) -> Vec<String> {
        if !named.contains_key(namespace) {
            let inherited = effective(named, namespace).level.clone();
            let logger = LoggerLevel { level: inherited, last_modified: None };
            named.insert(namespace.to_owned(), logger);
        }
        let mut changed = Vec::new();
        for (name, logger) in named.iter_mut() {
            if (namespace == ROOT || is_below(name, namespace)) && logger.level != level {
                *logger = LoggerLevel { level: level.to_owned(), last_modified: now };
                changed.push(name.clone());
            }
        }
        for name in &changed {
            let logger = named[name].clone();
            for twin in self.names.twins(name) {
                named.insert(twin, logger.clone());
            }
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, LoggerLevel>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loggers for Levels {
    fn all(&self) -> Vec<(String, LoggerLevel)> {
        self.lock().iter().map(|(name, logger)| (name.clone(), logger.clone())).collect()
    }

    fn get(&self, name: &str) -> Option<LoggerLevel> {
        self.lock().get(name).cloned()
    }

    fn set(&self, namespace: &str, level: &str) -> Vec<String> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).ok();
        // Under the lock, so that the last to come is the last to be taken over.
        let mut named = self.lock();
        let changed = self.change(&mut named, namespace, level, now);
        (self.apply)(targets(&named));
        changed
    }
}

/// The level that tracing knows; none for a word that is no level. Nothing of ours is fatal.
fn filter(level: &str) -> Option<LevelFilter> {
    Some(match level.to_uppercase().as_str() {
        "OFF" | "FATAL" => LevelFilter::OFF,
        "ERROR" => LevelFilter::ERROR,
        "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        "TRACE" | "ALL" => LevelFilter::TRACE,
        _ => return None,
    })
}

fn is_below(name: &str, namespace: &str) -> bool {
    name.strip_prefix(namespace)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("::"))
}

/// The nearest logger at or above a name.
fn effective<'a>(named: &'a BTreeMap<String, LoggerLevel>, name: &str) -> &'a LoggerLevel {
    let above = named.iter().filter(|(above, _)| is_below(name, above));
    let nearest = above.max_by_key(|(above, _)| above.len());
    nearest.map_or_else(|| &named[ROOT], |(_, logger)| logger)
}

impl Names {
    fn new(catalog: &Catalog) -> Self {
        let fixed = NAMES.iter().map(|(java, target)| ((*java).to_owned(), *target));
        let plugins = catalog.plugins().iter().filter_map(|plugin| {
            let (package, _) = plugin.class().rsplit_once('.')?;
            Some((package.to_owned(), plugin.log_target()?))
        });
        let mut names: Vec<_> = fixed.chain(plugins).collect();
        names.sort();
        names.dedup();
        Self(names)
    }

    /// Whether a name is that of a logger, or has one below or above it.
    fn knows(&self, name: &str) -> bool {
        let all = self.0.iter().flat_map(|(java, target)| [java.as_str(), target]);
        all.chain(QUIET).any(|known| is_below(known, name) || is_below(name, known))
    }

    /// The same logger's other names. A class of a package that is one logger here is that logger.
    fn twins(&self, name: &str) -> Vec<String> {
        let target = self.target(name).unwrap_or(name);
        let of_target = self.0.iter().filter(|(_, t)| *t == target);
        let twins = of_target.flat_map(|(java, target)| [java.clone(), (*target).to_owned()]);
        twins.filter(|twin| twin != name).collect()
    }

    /// The module that stands for a Java name.
    fn target(&self, name: &str) -> Option<&'static str> {
        let is_package = |java: &str| {
            let last = java.rsplit('.').next().unwrap_or_default();
            last.starts_with(|c: char| c.is_ascii_lowercase())
        };
        let meant = self
            .0
            .iter()
            .filter(|(java, _)| java == name || is_package(java) && is_below(name, java));
        meant.max_by_key(|(java, _)| java.len()).map(|(_, target)| *target)
    }
}

/// Other people's crates say at most what they say at `info`, or at `debug` where they are named:
/// at lower levels they may print what we hand them, passwords included.
fn targets(named: &BTreeMap<String, LoggerLevel>) -> Targets {
    let level = |logger: &LoggerLevel| filter(&logger.level).unwrap_or(LevelFilter::INFO);
    let root = level(&named[ROOT]);
    let targets = Targets::new().with_default(root.min(LevelFilter::INFO)).with_target(OURS, root);
    named.iter().filter(|(name, _)| *name != ROOT).fold(targets, |targets, (name, logger)| {
        let most = match name.starts_with(OURS) {
            true => LevelFilter::TRACE,
            false => LevelFilter::DEBUG,
        };
        targets.with_target(name.clone(), level(logger).min(most))
    })
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;
    use crate::catalog::catalog;

    fn start(spec: &str) -> Levels {
        Levels::new(spec, &catalog()).0
    }

    const SOURCE: &str = "org.apache.kafka.connect.runtime.WorkerSourceTask";
    const OUR_SOURCE: &str = "millrace_runtime::task::source";

    fn level(levels: &Levels, name: &str) -> String {
        levels.get(name).unwrap().level
    }

    #[test]
    fn the_environment_sets_levels() {
        let spec = "millrace_kafka=debug, warn,hyper=trace,x[y]=info,z=no";
        let (levels, wrong) = Levels::new(spec, &catalog());
        assert_eq!(wrong, ["z=no", "x[y]=info"]);
        let (misspelt, wrong) = Levels::new("lod", &catalog());
        assert_eq!((level(&misspelt, ROOT).as_str(), wrong), ("INFO", vec!["lod".to_owned()]));
        for module in ["millrace", "millrace_kafka::x", SOURCE, "org.apache.kafka.connect"] {
            assert!(Levels::new(module, &catalog()).1.is_empty(), "{module}");
        }
        assert_eq!(level(&levels, ROOT), "WARN");
        assert_eq!(level(&levels, SOURCE), "WARN");
        assert_eq!(level(&levels, "org.apache.kafka.clients.NetworkClient"), "DEBUG");
        let targets = levels.targets();
        let lets = |target: &str, level: Level| targets.would_enable(target, &level);
        assert!(lets("millrace_kafka::embedded", Level::DEBUG));
        assert!(!lets(OUR_SOURCE, Level::INFO) && lets(OUR_SOURCE, Level::WARN));
        assert!(lets("hyper::proto", Level::DEBUG) && !lets("hyper::proto", Level::TRACE));
        assert!(levels.all().iter().all(|(_, logger)| logger.last_modified.is_none()));
    }

    #[test]
    fn a_namespace_covers_what_is_below_it_and_its_twins() {
        let levels = start("info");
        let changed = levels.set("org.apache.kafka.connect.runtime", "DEBUG");
        assert!(changed.contains(&SOURCE.to_owned()), "{changed:?}");
        assert_eq!(changed[0], "org.apache.kafka.connect.runtime");
        assert!(changed.iter().all(|name| name.starts_with("org.apache.kafka.connect.runtime")));
        assert_eq!(level(&levels, OUR_SOURCE), "DEBUG");
        assert!(levels.get(OUR_SOURCE).unwrap().last_modified.is_some());
        assert!(levels.targets().would_enable(OUR_SOURCE, &Level::DEBUG));
        assert!(levels.set("org.apache.kafka.connect.runtime", "DEBUG").is_empty());

        assert_eq!(levels.set(OUR_SOURCE, "ERROR"), [OUR_SOURCE]);
        assert_eq!(level(&levels, SOURCE), "ERROR");
    }

    #[test]
    fn classes_of_plugins_are_their_crates() {
        let levels = start("info");
        let catalog = catalog();
        let plugins = catalog.plugins().iter();
        let mut connectors = plugins.filter_map(|p| Some((p.class(), p.log_target()?))).peekable();
        assert!(connectors.peek().is_some());
        for (class, target) in connectors {
            let (package, _) = class.rsplit_once('.').unwrap();
            let task = format!("{package}.source.Task");
            for (name, level) in [(class, "TRACE"), (&task, "DEBUG"), (package, "ERROR")] {
                assert!(levels.set(name, level).contains(&name.to_owned()), "{name}");
                assert_eq!(levels.get(target).unwrap().level, level, "{name}");
                assert_eq!(levels.get(package).unwrap().level, level, "{name}");
            }
            assert!(levels.targets().would_enable(&format!("{target}::x"), &Level::ERROR));
            assert!(!levels.targets().would_enable(&format!("{target}::x"), &Level::WARN));
        }
    }

    /// Asked of Java 4.3.1.
    #[test]
    fn unknown_names_become_loggers() {
        let levels = start("info");
        assert_eq!(levels.get("org.rest.foo"), None);
        assert_eq!(levels.set("org.rest.foo", "DEBUG"), ["org.rest.foo"]);
        assert_eq!(levels.get("org.rest"), None);
        assert_eq!(levels.set("org.rest", "OFF"), ["org.rest", "org.rest.foo"]);
        assert_eq!(levels.set("org.rest", "FATAL"), ["org.rest", "org.rest.foo"]);
        assert_eq!(levels.set(ROOT, "INFO"), ["org.rest", "org.rest.foo"]);
        assert!(levels.set("other", "INFO").is_empty());
        assert_eq!(levels.get("other").unwrap().last_modified, None);
        assert_eq!(levels.get("nope"), None);
    }

    #[test]
    fn strangers_never_tell_all() {
        let levels = start("info");
        levels.set(ROOT, "ALL");
        levels.set("sqlx", "TRACE");
        let targets = levels.targets();
        assert!(targets.would_enable("millrace_anything", &Level::TRACE));
        assert!(!targets.would_enable("hyper::proto::h1", &Level::DEBUG));
        assert!(!targets.would_enable("sqlx::query", &Level::TRACE));
    }

    #[test]
    fn changes_are_taken_over() {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let levels = start("info").applied_by(move |t| sender.send(t).unwrap());
        levels.set(SOURCE, "TRACE");
        assert!(receiver.recv().unwrap().would_enable(OUR_SOURCE, &Level::TRACE));
    }
}
