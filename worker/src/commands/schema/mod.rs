//! `millrace schema`: asks a schema registry for people.

mod diff;

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use millrace_api::config::{Props, properties};
use millrace_api::{Error, Result};
use schema_registry_client::{Client, Reference, Schema, SchemaType, Which};

use super::print_line;

/// Ask a schema registry: what it has, what changed, and whether a change fits.
#[derive(Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    /// The registry's base URL; several are separated by commas.
    #[arg(long, global = true)]
    url: Option<String>,
    /// Properties of a worker, connector or converter, such as value.converter.schema.registry.url,
    /// basic.auth.user.info or schema.registry.ssl.truststore.location.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  millrace schema --url http://localhost:8081 subjects
  millrace schema --config connect-standalone.properties get orders-value
  millrace schema --url http://localhost:8081 get --id 7
  millrace schema --url http://localhost:8081 check orders-value order.avsc
  millrace schema --url http://localhost:8081 register orders-value order.avsc
  millrace schema --url http://localhost:8081 diff orders-value 1 latest

Exit codes:
  0  done; compatible; no difference
  1  wrong arguments
  2  the registry cannot be reached or refuses, or a file cannot be read
  3  not compatible; different";

#[derive(Subcommand)]
enum Command {
    /// List the subjects.
    Subjects {
        /// Also those that are deleted, but not for good.
        #[arg(long)]
        deleted: bool,
    },
    /// Print a schema.
    Get {
        /// The subject.
        #[arg(required_unless_present = "id")]
        subject: Option<String>,
        /// Its version: a number, or latest.
        #[arg(default_value = "latest")]
        version: Which,
        /// The schema with this id instead.
        #[arg(long, conflicts_with = "subject")]
        id: Option<i32>,
    },
    /// Register a schema as the next version of a subject.
    Register(NewSchema),
    /// Say whether a schema may become the next version of a subject, and why not.
    Check {
        #[command(flatten)]
        new: NewSchema,
        /// Compare with this version alone: a number, or latest.
        #[arg(long)]
        against: Option<Which>,
    },
    /// Show what changed between two versions of a subject.
    Diff {
        /// The subject.
        subject: String,
        /// The version before.
        from: Which,
        /// The version after.
        #[arg(default_value = "latest")]
        to: Which,
    },
}

/// A schema in a file.
#[derive(Args)]
struct NewSchema {
    /// The subject.
    subject: String,
    /// The file with the schema; - for the standard input.
    file: PathBuf,
    /// AVRO, JSON or PROTOBUF; when absent, PROTOBUF for *.proto, else AVRO.
    #[arg(long = "type", value_name = "TYPE", value_parser = language)]
    language: Option<SchemaType>,
    /// A schema that this one uses, as NAME=SUBJECT:VERSION.
    #[arg(long, value_name = "REFERENCE", value_parser = reference)]
    reference: Vec<Reference>,
    /// Let the registry normalise the schema.
    #[arg(long)]
    normalize: bool,
}

fn language(text: &str) -> Result<SchemaType, String> {
    match SchemaType::from(text.to_owned()) {
        SchemaType::Other(_) => Err("use AVRO, JSON or PROTOBUF".to_owned()),
        known => Ok(known),
    }
}

fn reference(text: &str) -> Result<Reference, String> {
    // Subjects may have colons; names are paths or types and have no equals sign.
    let parts = text.split_once('=').and_then(|(name, rest)| {
        let (subject, version) = rest.rsplit_once(':')?;
        Some(Reference {
            name: name.into(),
            subject: subject.into(),
            version: version.parse().ok()?,
        })
    });
    parts.ok_or_else(|| "write NAME=SUBJECT:VERSION, such as part.proto=part:1".to_owned())
}

/// What is told by the exit code too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

/// Runs one of the commands.
pub async fn run(arguments: Arguments) -> ExitCode {
    match answer(arguments).await {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(3),
        Err(error) => {
            tracing::error!("{}", error.copied());
            ExitCode::from(2)
        }
    }
}

async fn answer(arguments: Arguments) -> Result<Answer> {
    let client = client(&arguments)?;
    match arguments.command {
        Command::Subjects { deleted } => {
            let mut subjects = client.subjects(deleted).await.map_err(refused)?;
            subjects.sort();
            subjects.iter().for_each(|subject| print_line(subject));
            Ok(Answer::Yes)
        }
        Command::Get { id: Some(id), .. } => {
            print_schema(&*client.schema_by_id(id, None).await.map_err(refused)?);
            Ok(Answer::Yes)
        }
        Command::Get { subject, version, id: None } => {
            let subject = subject.unwrap_or_default();
            print_schema(&client.version(&subject, version).await.map_err(refused)?.schema);
            Ok(Answer::Yes)
        }
        Command::Register(new) => register(&client, &new).await,
        Command::Check { new, against } => {
            let checked = client.check(&new.subject, against, &new.schema()?).await;
            let checked = checked.map_err(refused)?;
            if checked.is_compatible {
                print_line("compatible");
                return Ok(Answer::Yes);
            }
            print_line("not compatible");
            checked.messages.iter().for_each(|why| print_line(&format!("  {why}")));
            if checked.messages.is_empty() {
                print_line("  the registry does not say why");
            }
            Ok(Answer::No)
        }
        Command::Diff { subject, from, to } => {
            let before = client.version(&subject, from).await.map_err(refused)?;
            let after = client.version(&subject, to).await.map_err(refused)?;
            let lines = diff::lines(&before.schema, &after.schema);
            print_line(&format!("{subject}: version {} to {}", before.version, after.version));
            lines.iter().for_each(|line| print_line(line));
            Ok(if lines.is_empty() { Answer::Yes } else { Answer::No })
        }
    }
}

async fn register(client: &Client, new: &NewSchema) -> Result<Answer> {
    let schema = Arc::new(new.schema()?);
    match client.register(&new.subject, &schema, new.normalize).await {
        Ok(registered) => {
            let version = match registered.version {
                Some(version) => version,
                None => {
                    let found = client.lookup(&new.subject, &schema, new.normalize).await;
                    found.map_err(refused)?.version
                }
            };
            print_line(&format!("{}: version {version}, id {}", new.subject, registered.id));
            Ok(Answer::Yes)
        }
        Err(error) if error.is_incompatible() => {
            tracing::error!("{error}");
            Ok(Answer::No)
        }
        Err(error) => Err(refused(error)),
    }
}

impl NewSchema {
    fn schema(&self) -> Result<Schema> {
        let unread = |e: std::io::Error| {
            Error::config("the schema cannot be read")
                .context("file", self.file.display())
                .with_source(e)
        };
        let text = if self.file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text).map_err(unread)?
        } else {
            fs::read_to_string(&self.file).map_err(unread)?
        };
        let is_proto = self.file.extension().is_some_and(|extension| extension == "proto");
        let guessed = if is_proto { SchemaType::Protobuf } else { SchemaType::Avro };
        let language = self.language.clone().unwrap_or(guessed);
        Ok(Schema { references: self.reference.clone(), ..Schema::new(language, text) })
    }
}

fn refused(error: schema_registry_client::Error) -> Error {
    Error::fatal(error.to_string())
}

/// The client of the registry that `--config` and `--url` name.
fn client(arguments: &Arguments) -> Result<Arc<Client>> {
    let written = match &arguments.config {
        Some(file) => properties::read(file)?,
        None => Props::new(),
    };
    let mut props = converters_own(&written);
    if let Some(url) = &arguments.url {
        props.insert("schema.registry.url".into(), url.clone());
    }
    if !props.contains_key("schema.registry.url") {
        return Err(Error::config(
            "which registry? Give --url, or --config with schema.registry.url",
        ));
    }
    // Somebody waits.
    for (key, value) in [
        ("http.connect.timeout.ms", "5000"),
        ("http.read.timeout.ms", "10000"),
        ("max.retries", "1"),
        ("retries.max.wait.ms", "2000"),
    ] {
        props.entry(key.into()).or_insert_with(|| value.into());
    }
    millrace_converters::registry_client(&props)
}

/// Keys as a converter gets them: without the prefixes that they have in a worker's or connector's
/// properties. Values' come before keys', and bare ones before both.
fn converters_own(written: &Props) -> Props {
    let below = |prefix: &'static str| {
        let below =
            written.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)));
        below.map(|(key, value)| (key.to_owned(), value.clone()))
    };
    let mut props: Props = below("key.converter.").collect();
    props.extend(below("value.converter."));
    let bare = below("").filter(|(key, _)| {
        ["schema.registry.", "basic.auth.", "bearer.auth.", "proxy."]
            .iter()
            .any(|p| key.starts_with(p))
    });
    props.extend(bare);
    props
}

fn print_schema(schema: &Schema) {
    let pretty = serde_json::from_str::<serde_json::Value>(&schema.text).ok();
    let pretty = pretty.and_then(|json| serde_json::to_string_pretty(&json).ok());
    print_line(pretty.as_deref().unwrap_or(&schema.text));
    for reference in &schema.references {
        let Reference { name, subject, version } = reference;
        print_line(&format!("# {name} is {subject}, version {version}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_written_in_one_word() {
        let read = reference("a/b.proto=:.eu:part:3").unwrap();
        assert_eq!((&*read.name, &*read.subject, read.version), ("a/b.proto", ":.eu:part", 3));
        assert!(["a", "a=b", "a=b:c"].iter().all(|text| reference(text).is_err()));
    }

    #[test]
    fn a_workers_properties_name_the_registry() {
        let text = "bootstrap.servers=x\nkey.converter.schema.registry.url=http://k\n\
                    value.converter.schema.registry.url=http://v\n\
                    value.converter.basic.auth.user.info=a:b";
        let own = converters_own(&properties::parse(text, "test").unwrap());
        assert_eq!(own["schema.registry.url"], "http://v");
        assert_eq!(own["basic.auth.user.info"], "a:b");
        assert!(!own.contains_key("bootstrap.servers"));
    }
}
