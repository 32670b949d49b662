//! How a bench drives a task or a converter: through its plugin, as the worker does.

use millrace_api::{Converter, Plugin, Props, SinkContext, SinkTask, SourceTask};
use millrace_testkit::plugin_host::{self, MemoryOffsets};
use tokio::runtime::{Builder, Runtime};

/// A runtime on this thread; what tasks hand to threads for blocking calls runs there.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("the machine can run a thread more")
}

/// The plugin that a user means by this name.
///
/// # Panics
///
/// When there is none.
pub fn named(plugins: Vec<Plugin>, name: &str) -> Plugin {
    let mut plugins = plugins.into_iter();
    plugins.find(|plugin| plugin.answers_to(name)).expect("a plugin has this name")
}

/// Properties from pairs.
pub fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A converter of values.
pub fn converter(name: &str, pairs: &[(&str, &str)]) -> Box<dyn Converter> {
    let plugin = named(millrace_converters::plugins(), &format!("org.apache.kafka.connect.{name}"));
    plugin_host::converter(&plugin, &props(pairs)).expect("the configuration is good")
}

/// A source task that begins at the start of its source.
pub async fn source(plugin: &Plugin, pairs: &[(&str, &str)]) -> Box<dyn SourceTask> {
    plugin_host::source_task(plugin, props(pairs), &MemoryOffsets::new())
        .await
        .expect("the configuration is good")
}

/// A sink task.
pub async fn sink(plugin: &Plugin, pairs: &[(&str, &str)]) -> Box<dyn SinkTask> {
    plugin_host::sink_task(plugin, props(pairs), SinkContext::new("bench", None))
        .await
        .expect("the configuration is good")
}

/// Polls until there were so many records.
pub async fn drain(task: &mut dyn SourceTask, records: usize) {
    let mut seen = 0;
    while seen < records {
        let runs = task.poll().await.expect("the source is there");
        seen += runs.iter().map(|run| run.records.len()).sum::<usize>();
    }
    assert_eq!(seen, records, "the source has no more than it was given");
}
