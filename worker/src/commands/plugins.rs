//! `millrace plugins`: what this binary can run.

use std::process::ExitCode;

use clap::Args;
use millrace_api::PluginKind;
use millrace_api::config::ConfigKeyInfo;

use super::print_line;
use crate::catalog::catalog;

/// List the plugins of this binary, or the keys of one.
#[derive(Args)]
#[command(after_help = "Examples:\n  millrace plugins\n  millrace plugins FileStreamSource")]
pub struct Arguments {
    /// A class name or alias: prints its configuration keys.
    plugin: Option<String>,
}

/// Prints plugins, or one plugin's keys.
pub fn run(arguments: &Arguments) -> ExitCode {
    let catalog = catalog();
    let Some(name) = &arguments.plugin else {
        for plugin in catalog.plugins() {
            print_line(&format!("{:16}  {}", plugin.kind().name(), plugin.class()));
        }
        return ExitCode::SUCCESS;
    };
    let Some(plugin) = catalog.find(&PluginKind::ALL, name) else {
        tracing::error!("no plugin is called {name}; `millrace plugins` lists all");
        return ExitCode::from(1);
    };
    print_line(&format!(
        "{} ({}, version {})",
        plugin.class(),
        plugin.kind().name(),
        plugin.version()
    ));
    for key in plugin.config_def().infos() {
        print_key(&key);
    }
    ExitCode::SUCCESS
}

fn print_key(key: &ConfigKeyInfo) {
    let default = match (&key.default_value, key.required) {
        (_, true) => "required".to_owned(),
        (Some(value), _) => format!("default {value:?}"),
        (None, _) => "default null".to_owned(),
    };
    print_line(&format!("\n{}  {} {} {default}", key.name, key.value_type, key.importance));
    print_line(&format!("    {}", key.documentation));
}
