//! Decides what the registry is asked for a schema that is read, and for one that is written.

use std::sync::Arc;

use millrace_api::{Error, Result};
use schema_registry_client::{self as client, Client, Schema, SchemaType, Version};

use super::errors::from_client;
use super::format::SchemaText;
use super::rules::{Act, none_forbids};
use super::wire::{SchemaId, Writes};

/// A schema to read with, and its version in the topic's subject if it is one of that.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) schema: SchemaText,
    pub(super) version: Option<i32>,
}

/// The schema with this id.
pub(super) async fn reader(
    client: Arc<Client>,
    language: SchemaType,
    subject: Option<Arc<str>>,
    id: SchemaId,
) -> Result<Fetched> {
    let schema = by_id(&client, subject.as_deref(), id).await?;
    none_forbids(schema.rule_set.as_ref(), Act::Read)?;
    let text = resolved(&client, &language, &schema).await?;
    let version = match subject {
        None => None,
        Some(subject) => match client.lookup(&subject, &schema, false).await {
            Ok(version) => Some(version.version),
            // Whoever wrote it may have named subjects otherwise.
            Err(error) if error.is_verdict() => None,
            Err(error) => {
                let what = "the registry cannot be asked for a schema's version";
                return Err(from_client(what, error).context("subject", subject));
            }
        },
    };
    Ok(Fetched { schema: text, version })
}

/// The subject's latest schema, to read with whatever was written.
pub(super) async fn latest(
    client: &Client,
    language: &SchemaType,
    subject: &str,
) -> Result<Fetched> {
    let latest = client.latest(subject).await;
    let latest = latest.map_err(|error| {
        from_client("the subject has no latest schema to read with", error)
            .context("subject", subject)
    })?;
    none_forbids(latest.schema.rule_set.as_ref(), Act::Read)?;
    let schema = resolved(client, language, &latest.schema).await?;
    Ok(Fetched { schema, version: Some(latest.version) })
}

/// Which schema of a subject is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The data's own, registered if need be.
    Register,
    /// The data's own, which has to be registered.
    Lookup,
    /// The subject's latest; checked whether the data fit, if so wanted.
    Latest { strict: bool },
    /// This one; checked as before.
    Fixed { id: SchemaId, strict: bool },
}

/// A schema to write with.
pub(super) struct Chosen {
    pub(super) schema: SchemaText,
    pub(super) id: SchemaId,
    /// It is another's, and the data's own must be compatible with it.
    pub(super) must_fit: bool,
}

/// What is written, as the registry hears of it.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) subject: Arc<str>,
    pub(super) language: SchemaType,
    pub(super) schema: SchemaText,
    pub(super) normalize: bool,
}

impl Written {
    /// Asks the registry for an id to write with: a number or, for headers, a GUID.
    pub(super) async fn choose(
        &self,
        client: &Client,
        choice: Choice,
        writes: Writes,
    ) -> Result<Chosen> {
        match choice {
            Choice::Register => self.register(client, writes).await,
            Choice::Lookup => {
                let version = client.lookup(&self.subject, &self.ours(), self.normalize).await;
                let what = "the schema is not registered, and auto.register.schemas=false";
                let version = version.map_err(|e| self.failed(what, e))?;
                none_forbids(version.schema.rule_set.as_ref(), Act::Write)?;
                let id = self.id_of(&version, writes)?;
                Ok(Chosen { schema: self.schema.clone(), id, must_fit: false })
            }
            Choice::Latest { strict } => {
                let latest = client.latest(&self.subject).await;
                let latest =
                    latest.map_err(|e| self.failed("the subject has no latest schema", e))?;
                let id = self.id_of(&latest, writes)?;
                self.theirs(client, &latest.schema, id, strict).await
            }
            Choice::Fixed { id, strict } => {
                let schema = by_id(client, Some(&self.subject), id).await?;
                let id = match (writes, id) {
                    (Writes::Header, SchemaId::Number(_)) => {
                        let version = client.lookup(&self.subject, &schema, false).await;
                        let what = "the schema of use.schema.id has no GUID in the subject";
                        self.id_of(&*version.map_err(|e| self.failed(what, e))?, writes)?
                    }
                    _ => id,
                };
                self.theirs(client, &schema, id, strict).await
            }
        }
    }

    async fn register(&self, client: &Client, writes: Writes) -> Result<Chosen> {
        let ours = self.ours();
        let registered = client.register(&self.subject, &ours, self.normalize).await;
        let registered = registered.map_err(|e| match e.is_incompatible() {
            true => self.failed("the schema is not compatible with those of its subject", e),
            false => self.failed("the schema cannot be registered", e),
        })?;
        none_forbids(registered.rule_set.as_ref(), Act::Write)?;
        let id = match (writes, registered.guid.as_deref().and_then(SchemaId::guid)) {
            (Writes::Prefix, _) => SchemaId::Number(registered.id),
            (Writes::Header, Some(guid)) => guid,
            (Writes::Header, None) => {
                let version = client.lookup(&self.subject, &ours, self.normalize).await;
                let version =
                    version.map_err(|e| self.failed("the schema's GUID cannot be learnt", e))?;
                self.id_of(&version, writes)?
            }
        };
        Ok(Chosen { schema: self.schema.clone(), id, must_fit: false })
    }

    async fn theirs(
        &self,
        client: &Client,
        schema: &Schema,
        id: SchemaId,
        must_fit: bool,
    ) -> Result<Chosen> {
        none_forbids(schema.rule_set.as_ref(), Act::Write)?;
        let schema = resolved(client, &self.language, schema).await?;
        Ok(Chosen { schema, id, must_fit })
    }

    /// What Connect data become refers to nothing that a registry has to keep: types that every
    /// client brings with it are left out, as in Java.
    fn ours(&self) -> Arc<Schema> {
        Arc::new(Schema::new(self.language.clone(), Arc::clone(&self.schema.text)))
    }

    fn id_of(&self, version: &Version, writes: Writes) -> Result<SchemaId> {
        if writes == Writes::Prefix {
            return Ok(SchemaId::Number(version.id));
        }
        version.guid.as_deref().and_then(SchemaId::guid).ok_or_else(|| {
            Error::fatal("the registry gives schemas no GUIDs, and headers name schemas by them")
                .context("subject", &self.subject)
                .context("remedy", "use PrefixSchemaIdSerializer, or a newer registry")
        })
    }

    fn failed(&self, what: &'static str, error: schema_registry_client::Error) -> Error {
        from_client(what, error).context("subject", &self.subject)
    }
}

async fn by_id(client: &Client, subject: Option<&str>, id: SchemaId) -> Result<Arc<Schema>> {
    let schema = match id {
        SchemaId::Number(number) => client.schema_by_id(number, subject).await,
        SchemaId::Guid(_) => client.schema_by_guid(&id.to_string()).await,
    };
    match schema {
        Ok(schema) => Ok(schema),
        Err(error) if knows_no_such_path(&error) && client.schema_types().await.is_ok() => {
            Err(Error::data("the schema registry has no schema under what stands for its id")
                .context("remedy", "the record is another converter's, or of a registry with GUIDs")
                .with_source(error))
        }
        Err(error) => Err(from_client("the schema cannot be fetched", error)),
    }
}

/// Whether it may be the id that is wrong, or the address: a registry without GUIDs does not know
/// their path, as no gateway knows any path of a registry.
fn knows_no_such_path(error: &client::Error) -> bool {
    let is_odd = |refusal: &client::Refusal| matches!(refusal.status, 400 | 404);
    !error.is_verdict() && error.refusal().is_some_and(is_odd)
}

async fn resolved(client: &Client, language: &SchemaType, schema: &Schema) -> Result<SchemaText> {
    if schema.schema_type != *language {
        return Err(Error::data("the schema is in another language than the converter reads")
            .context("language", &schema.schema_type)
            .context("expected", language)
            .context("remedy", "use the converter for that language"));
    }
    let references = client.references(schema).await;
    let references =
        references.map_err(|e| from_client("what the schema refers to cannot be fetched", e))?;
    let references = references.into_iter().map(|found| (found.name, found.text)).collect();
    Ok(SchemaText { text: Arc::clone(&schema.text), references })
}
