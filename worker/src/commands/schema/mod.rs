//! `millrace schema`: asks a schema registry for people.

mod asking;
mod check;
mod diff;
mod registry;

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use millrace_api::{Error, Result};
use schema_registry_client::{Client, Error as Refused, Reference, Schema, SchemaType, Which};

use self::asking::{refused, within_limits};
use super::print_line;

/// Ask a schema registry: what it has, what changed, and whether a change fits.
#[derive(Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    /// The registry's base URL; several are separated by commas.
    #[arg(long, global = true)]
    url: Option<String>,
    /// A worker's or connector's file, .properties or JSON, with keys such as
    /// value.converter.schema.registry.url or value.converter.basic.auth.user.info. Several are read
    /// as a worker with its connector.
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  millrace schema --url http://localhost:8081 subjects
  millrace schema --config connect-standalone.properties get orders-value
  millrace schema --config connect-standalone.properties --config orders.json subjects
  millrace schema --url http://localhost:8081 versions orders-value
  millrace schema --url http://localhost:8081 get --id 7
  millrace schema --url http://localhost:8081 check orders-value order.avsc
  millrace schema --url http://localhost:8081 register orders-value order.avsc
  millrace schema --url http://localhost:8081 diff orders-value 1 latest
Apicurio's URL is http://HOST:8080/apis/ccompat/v7.

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
    /// List the versions of a subject.
    Versions {
        /// The subject.
        subject: String,
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
    /// AVRO, JSON or PROTOBUF; when absent, PROTOBUF for *.proto, JSON for *.json, else AVRO.
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
    let registry = registry::named(&arguments.config, arguments.url.as_deref())?;
    within_limits(&registry.urls, told(&registry.client, arguments.command)).await
}

async fn told(client: &Client, command: Command) -> Result<Answer> {
    match command {
        Command::Subjects { deleted } => {
            let mut subjects = client.subjects(deleted).await.map_err(refused)?;
            subjects.sort();
            subjects.iter().for_each(|subject| print_line(subject));
            if subjects.is_empty() {
                tracing::warn!("the registry has no subjects");
            }
            Ok(Answer::Yes)
        }
        Command::Versions { subject } => versions(client, &subject).await,
        Command::Get { id: Some(id), .. } => {
            print_schema(&*client.schema_by_id(id, None).await.map_err(refused)?);
            Ok(Answer::Yes)
        }
        Command::Get { subject, version, id: None } => {
            let subject = subject.unwrap_or_default();
            print_schema(&client.version(&subject, version).await.map_err(refused)?.schema);
            Ok(Answer::Yes)
        }
        Command::Register(new) => register(client, &new).await,
        Command::Check { new, against } => check::check(client, &new, against).await,
        Command::Diff { subject, from, to } => {
            let before = client.version(&subject, from).await.map_err(refused)?;
            let after = client.version(&subject, to).await.map_err(refused)?;
            let lines = diff::lines(&before.schema, &after.schema);
            print_line(&format!("{subject}: version {} to {}", before.version, after.version));
            lines.iter().for_each(|line| print_line(line));
            if lines.is_empty() {
                print_line("no difference");
            }
            Ok(if lines.is_empty() { Answer::Yes } else { Answer::No })
        }
    }
}

async fn versions(client: &Client, subject: &str) -> Result<Answer> {
    for number in client.versions(subject).await.map_err(refused)? {
        let version = client.version(subject, Which::Number(number)).await.map_err(refused)?;
        print_line(&format!("{number}  id {}  {}", version.id, version.schema.schema_type));
    }
    Ok(Answer::Yes)
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
            let language = &schema.schema_type;
            let id = registered.id;
            print_line(&format!("{}: version {version}, id {id}, {language}", new.subject));
            Ok(Answer::Yes)
        }
        Err(error) if error.is_incompatible() => {
            tracing::error!("{error}");
            Ok(Answer::No)
        }
        Err(error) => Err(new.refused(error)),
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
        self.check_syntax(&text)?;
        Ok(Schema { references: self.reference.clone(), ..Schema::new(self.language(), text) })
    }

    /// Avro and JSON Schemas are JSON. Some registries compare whatever they are given.
    fn check_syntax(&self, text: &str) -> Result<()> {
        if self.language() == SchemaType::Protobuf {
            return Ok(());
        }
        let parsed = serde_json::from_str::<serde_json::Value>(text);
        parsed.map(drop).map_err(|error| {
            let told = Error::config(format!("the schema is no JSON: {error}"))
                .context("file", self.file.display());
            match &self.language {
                Some(_) => told,
                None => told.context("remedy", "--type says that it is in another language"),
            }
        })
    }

    fn language(&self) -> SchemaType {
        self.language.clone().unwrap_or_else(|| {
            match self.file.extension().and_then(|extension| extension.to_str()) {
                Some("proto") => SchemaType::Protobuf,
                Some("json") => SchemaType::Json,
                _ => SchemaType::Avro,
            }
        })
    }

    /// A refusal, which may come from a wrong guess.
    fn refused(&self, error: Refused) -> Error {
        let of_schema = error.refusal().is_some_and(|refusal| matches!(refusal.status, 422 | 500));
        let told = refused(error);
        match &self.language {
            None if of_schema => {
                let guess = self.language();
                told.context("remedy", format!("it is taken for {guess}: --type says otherwise"))
            }
            _ => told,
        }
    }
}

fn print_schema(schema: &Schema) {
    let pretty = serde_json::from_str::<serde_json::Value>(&schema.text).ok();
    let pretty = pretty.and_then(|json| serde_json::to_string_pretty(&json).ok());
    print_line(pretty.as_deref().unwrap_or(&schema.text));
    // Beside the schema, which others may read.
    for Reference { name, subject, version } in &schema.references {
        tracing::warn!("the schema refers to {name}, which is {subject}, version {version}");
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
    fn languages_are_guessed_from_the_files_name() {
        for (file, expected) in [
            ("a.avsc", SchemaType::Avro),
            ("a.json", SchemaType::Json),
            ("a.b.proto", SchemaType::Protobuf),
            ("-", SchemaType::Avro),
        ] {
            let new = NewSchema {
                subject: "s".into(),
                file: file.into(),
                language: None,
                reference: Vec::new(),
                normalize: false,
            };
            assert_eq!(new.language(), expected, "{file}");
        }
    }
}
