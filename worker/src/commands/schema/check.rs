//! Decides what people hear when they ask whether a schema may become the next version: by which
//! level it was measured, and whether there was anything to measure it against.

use millrace_api::Result;
use schema_registry_client::{Client, CompatibilityLevel, Which};

use super::asking::refused;
use super::{Answer, NewSchema, diff};
use crate::commands::print_line;

/// Has the registry compare a schema with the versions of a subject, and prints what it says.
pub(super) async fn check(
    client: &Client,
    new: &NewSchema,
    against: Option<Which>,
) -> Result<Answer> {
    let (schema, subject) = (new.schema()?, new.subject.as_str());
    let level = level(client, subject).await;
    let named = level.as_ref().map(|level| format!(" (level {level})")).unwrap_or_default();
    if against.is_none() && is_new(client, subject).await? {
        print_line(&format!("compatible: {subject} is new, there is nothing to compare{named}"));
        return Ok(Answer::Yes);
    }
    // With any level, a schema that does not parse is refused here.
    let checked = client.check(subject, against, &schema).await;
    let checked = checked.map_err(|error| new.refused(error))?;
    if level == Some(CompatibilityLevel::None) {
        print_line(&format!("not checked: the level of {subject} is NONE, which takes any schema"));
        return Ok(Answer::Yes);
    }
    if checked.is_compatible {
        print_line(&format!("compatible{named}"));
        return Ok(Answer::Yes);
    }
    print_line(&format!("not compatible{named}"));
    checked.messages.iter().for_each(|why| print_line(&format!("  {why}")));
    if checked.messages.is_empty() {
        // Apicurio says why only when it refuses to register, and then does not change anything.
        let other = client.version(subject, against.unwrap_or(Which::Latest)).await;
        let other = other.map_err(refused)?;
        print_line(&format!(
            "  the registry does not say here which of these it is; `register` may, which it refuses. \
             To version {}:",
            other.version
        ));
        let lines = diff::lines(&other.schema, &schema);
        lines.iter().for_each(|line| print_line(&format!("  {line}")));
    }
    Ok(Answer::No)
}

/// The level by which a subject is measured; none when that may not be asked.
async fn level(client: &Client, subject: &str) -> Option<CompatibilityLevel> {
    let config = match client.config(Some(subject)).await {
        // Some registries know no settings of a subject that they do not have.
        Err(error) if error.is_not_found() => client.config(None).await,
        config => config,
    };
    config.ok()?.compatibility
}

async fn is_new(client: &Client, subject: &str) -> Result<bool> {
    match client.versions(subject).await {
        Ok(versions) => Ok(versions.is_empty()),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(refused(error)),
    }
}
