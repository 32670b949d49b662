//! Registers two versions of a schema with a registry, shows what it says to a third that breaks
//! readers, and removes all of it.
#![allow(clippy::print_stdout, reason = "it shows what happens")]

use std::sync::Arc;

use schema_registry_client::{Client, CompatibilityLevel, Error, Schema, Settings};

const SUBJECT: &str = "tour-of-schema-registry-client-value";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://localhost:8081".into());
    let client = Client::new(Settings::new([url]))?;
    println!("subjects: {:?}", client.subjects(false).await?);

    let order = |fields: &str| {
        Arc::new(Schema::avro(format!(r#"{{"type":"record","name":"Order","fields":[{fields}]}}"#)))
    };
    let first = client.register(SUBJECT, &order(r#"{"name":"id","type":"long"}"#), false).await?;
    println!("the first version has id {}", first.id);
    client.set_compatibility(Some(SUBJECT), CompatibilityLevel::Backward).await?;

    let wider =
        order(r#"{"name":"id","type":"long"},{"name":"note","type":"string","default":""}"#);
    let second = client.register(SUBJECT, &wider, false).await?;
    println!("the second version has id {}", second.id);

    let breaking = order(r#"{"name":"id","type":"long"},{"name":"total","type":"double"}"#);
    match client.register(SUBJECT, &breaking, false).await {
        Err(error) if error.is_incompatible() => println!("the third is refused: {error}"),
        other => println!("the third should be refused: {other:?}"),
    }

    println!("versions: {:?}", client.versions(SUBJECT).await?);
    client.delete_subject(SUBJECT, false).await?;
    client.delete_subject(SUBJECT, true).await?;
    Ok(())
}
