//! `millrace jdbc`: asks a database for people what there is to copy, and how.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use millrace_api::{Discovery, Error, PluginKind, Props, Result};

use super::{print_line, print_table};
use crate::catalog::catalog;

/// The connector that is asked.
const SOURCE: &str = "JdbcSourceConnector";

/// Ask a database what there is to copy.
#[derive(Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Discover(Discover),
}

/// List the tables of a database, how each would best be read, and connector configurations that do
/// it.
///
/// Reads the catalog and no table; writes nothing. Numbers of rows are the database's estimates.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace jdbc discover jdbc:sqlite:/var/lib/shop.db
  millrace jdbc discover jdbc:postgresql://db/shop --user reader --password-file /run/secrets/db
  millrace jdbc discover 'jdbc:postgresql://db/shop?sslmode=require' --user reader \\
      --password-file - --set schema.pattern=public --configs > shop.json
  millrace preview shop.json

Exit codes:
  0  done
  1  wrong arguments
  2  the database cannot be reached or refuses")]
struct Discover {
    /// The database's JDBC URL, as in connection.url.
    url: String,
    /// The user to connect as.
    #[arg(long)]
    user: Option<String>,
    /// A file with the user's password; - for the standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Another key of the connector, such as schema.pattern=public or table.include.list=shop[.].*
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Print the suggested configurations alone, a JSON object each: write each into a file of its
    /// own.
    #[arg(long)]
    configs: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.trim().is_empty());
    let (key, value) = pair.ok_or_else(|| "write KEY=VALUE".to_owned())?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Runs one of the commands.
pub async fn run(arguments: Arguments) -> ExitCode {
    let Command::Discover(discover) = arguments.command;
    match discovered(&discover).await {
        Ok(discovery) => {
            if !discover.configs {
                print(&discovery);
            }
            discovery.suggested.iter().for_each(print_config);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn discovered(discover: &Discover) -> Result<Discovery> {
    let mut props: Props = discover.set.iter().cloned().collect();
    props.insert("connection.url".to_owned(), discover.url.clone());
    if let Some(user) = &discover.user {
        props.insert("connection.user".to_owned(), user.clone());
    }
    if let Some(file) = &discover.password_file {
        props.insert("connection.password".to_owned(), password(file)?);
    }
    let catalog = catalog();
    let plugin = catalog.find(&[PluginKind::Source], SOURCE).ok_or_else(|| {
        Error::config("this binary was built without the JDBC connector")
            .context("remedy", "build it with the feature jdbc")
    })?;
    plugin.discover(props).await
}

/// Without the line's end that editors add.
fn password(file: &Path) -> Result<String> {
    let read = match file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(file),
    };
    let read = read.map_err(|e| {
        let message = "cannot read the password; check the file's path and its permissions";
        Error::config(message).context("file", file.display()).with_source(e)
    })?;
    Ok(read.trim_end_matches(['\r', '\n']).to_owned())
}

fn print(discovery: &Discovery) {
    if discovery.found.is_empty() {
        return print_line("no tables; check user, schema.pattern and table.types");
    }
    print_table(&discovery.headings, &discovery.found);
    if !discovery.notes.is_empty() {
        print_line("");
    }
    for note in &discovery.notes {
        print_line(&format!("- {note}"));
    }
    print_line("");
}

fn print_config(config: &Props) {
    let text = serde_json::to_string_pretty(config).expect("texts are JSON");
    print_line(&text);
}
