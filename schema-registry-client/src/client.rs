//! The calls of a registry's API, and which of their answers are remembered.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cache::{Cache, Recent};
use crate::schema::{
    Compatibility, CompatibilityLevel, Config, Mode, Reference, Registered, Schema, SubjectVersion,
    Version, Which,
};
use crate::transport::{Call, Transport, encoded};
use crate::{Error, Result, Settings};

/// No schema refers to more others, one by one and through each other.
const MAX_REFERENCES: usize = 1000;

/// A client of one registry. Cheap to clone; clones share connections and what is known.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Arc<Transport>,
    /// By context and id.
    by_id: Cache<(Arc<str>, i32), Arc<Schema>>,
    by_guid: Cache<Arc<str>, Arc<Schema>>,
    registered: Cache<(Arc<str>, Arc<Schema>, bool), Registered>,
    looked_up: Cache<(Arc<str>, Arc<Schema>, bool), Arc<Version>>,
    versions: Cache<(Arc<str>, i32), Arc<Version>>,
    latest: Cache<Arc<str>, Arc<Version>>,
}

/// A schema that another refers to, and the name it has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// [`Reference::name`].
    pub name: Arc<str>,
    /// In the language of the schema that refers to it.
    pub text: Arc<str>,
}

impl Client {
    /// A client; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`].
    pub fn new(settings: Settings) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            transport: Arc::new(Transport::new(&settings)?),
            by_id: cache(&settings, settings.missing_id_ttl),
            by_guid: cache(&settings, settings.missing_id_ttl),
            registered: cache(&settings, None),
            looked_up: cache(&settings, settings.missing_schema_ttl),
            versions: cache(&settings, settings.missing_version_ttl),
            latest: Cache::new(
                Recent::new(settings.latest_capacity, settings.latest_ttl),
                missing(&settings, settings.missing_version_ttl),
            ),
        })))
    }

    /// Forgets all that may be otherwise by now: which version is the latest, which schemas a subject
    /// has, and what there was not.
    pub fn refresh(&self) {
        let Inner { by_id, by_guid, registered, looked_up, versions, latest, .. } = &*self.0;
        latest.forget(|_| true);
        registered.forget(|_| true);
        looked_up.forget(|_| true);
        by_id.forget_missing();
        by_guid.forget_missing();
        versions.forget_missing();
    }

    // Schemas.

    /// The schema with this id. Ids are counted a context: with a subject, in that of the subject.
    /// Remembered.
    pub async fn schema_by_id(&self, id: i32, subject: Option<&str>) -> Result<Arc<Schema>> {
        let key = (context_of(subject.unwrap_or_default()).into(), id);
        let query = subject.map(|s| format!("&subject={}", encoded(s))).unwrap_or_default();
        let call = get(format!("/schemas/ids/{id}?fetchMaxId=false{query}"));
        self.0.by_id.get(key, || self.asked(call)).await
    }

    /// The schema with this GUID, written with hyphens. Remembered.
    pub async fn schema_by_guid(&self, guid: &str) -> Result<Arc<Schema>> {
        let call = get(format!("/schemas/guids/{}", encoded(guid)));
        self.0.by_guid.get(guid.into(), || self.asked(call)).await
    }

    /// The subjects that have the schema with this id.
    pub async fn subjects_of(&self, id: i32) -> Result<Vec<String>> {
        self.call(get(format!("/schemas/ids/{id}/subjects"))).await
    }

    /// The subjects and versions that are the schema with this id.
    pub async fn versions_of(&self, id: i32) -> Result<Vec<SubjectVersion>> {
        self.call(get(format!("/schemas/ids/{id}/versions"))).await
    }

    /// The languages that the registry knows.
    pub async fn schema_types(&self) -> Result<Vec<String>> {
        self.call(get("/schemas/types".into())).await
    }

    /// What a schema refers to, and what that refers to: each after those it needs itself.
    /// Remembered.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] when there are more than 1000.
    pub async fn references(&self, schema: &Schema) -> Result<Vec<Resolved>> {
        enum Step {
            Enter(Reference),
            Leave(Resolved),
        }
        let mut steps: Vec<_> = schema.references.iter().rev().cloned().map(Step::Enter).collect();
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        let mut resolved = Vec::new();
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Leave(done) => {
                    resolved.push(done);
                    continue;
                }
                // A name stands for one schema; the first that is met, as in Java.
                Step::Enter(reference) if !seen.insert(Arc::clone(&reference.name)) => continue,
                Step::Enter(reference) => reference,
            };
            if seen.len() > MAX_REFERENCES {
                let problem = format!("the schema refers to more than {MAX_REFERENCES} others");
                return Err(Error::Schema(problem));
            }
            let version = self.numbered(&reference.subject, reference.version).await?;
            let text = Arc::clone(&version.schema.text);
            steps.push(Step::Leave(Resolved { name: reference.name, text }));
            steps.extend(version.schema.references.iter().rev().cloned().map(Step::Enter));
        }
        Ok(resolved)
    }

    // Subjects.

    /// All subjects, with those that are deleted, but not for good, if wanted.
    pub async fn subjects(&self, deleted: bool) -> Result<Vec<String>> {
        self.call(get(format!("/subjects?deleted={deleted}"))).await
    }

    /// The subjects whose names begin so; a context (`:.name:`) is such a beginning.
    pub async fn subjects_with_prefix(&self, prefix: &str) -> Result<Vec<String>> {
        self.call(get(format!("/subjects?subjectPrefix={}", encoded(prefix)))).await
    }

    /// The numbers of a subject's versions.
    pub async fn versions(&self, subject: &str) -> Result<Vec<i32>> {
        self.call(get(format!("/subjects/{}/versions", encoded(subject)))).await
    }

    /// A version of a subject, as it is now.
    pub async fn version(&self, subject: &str, which: Which) -> Result<Arc<Version>> {
        self.call(get(format!("/subjects/{}/versions/{which}", encoded(subject)))).await
    }

    /// The latest version of a subject. Remembered for [`Settings::latest_ttl`].
    pub async fn latest(&self, subject: &str) -> Result<Arc<Version>> {
        let call = get(format!("/subjects/{}/versions/latest", encoded(subject)));
        self.0.latest.get(subject.into(), || self.asked(call)).await
    }

    /// A version by number, also if it is deleted. Remembered.
    pub async fn numbered(&self, subject: &str, version: i32) -> Result<Arc<Version>> {
        let subject_path = encoded(subject);
        let call = get(format!("/subjects/{subject_path}/versions/{version}?deleted=true"));
        self.0.versions.get((subject.into(), version), || self.asked(call)).await
    }

    /// The ids of schemas that refer to a version.
    pub async fn referenced_by(&self, subject: &str, which: Which) -> Result<Vec<i32>> {
        let path = format!("/subjects/{}/versions/{which}/referencedby", encoded(subject));
        self.call(get(path)).await
    }

    /// Registers a schema with a subject; one that it has already keeps its id. Remembered.
    pub async fn register(
        &self,
        subject: &str,
        schema: &Arc<Schema>,
        normalize: bool,
    ) -> Result<Registered> {
        let key = (Arc::from(subject), Arc::clone(schema), normalize);
        let path = format!("/subjects/{}/versions{}", encoded(subject), normalized(normalize));
        let call = post(path, &**schema);
        let registered = self.0.registered.get(key, || self.asked(call)).await?;
        // Whatever was the latest, this may be now.
        self.0.latest.forget(|known| &**known == subject);
        Ok(registered)
    }

    /// Finds a schema among the versions of a subject. Remembered.
    pub async fn lookup(
        &self,
        subject: &str,
        schema: &Arc<Schema>,
        normalize: bool,
    ) -> Result<Arc<Version>> {
        let key = (Arc::from(subject), Arc::clone(schema), normalize);
        let path = format!("/subjects/{}{}", encoded(subject), normalized(normalize));
        let call = post(path, &**schema);
        self.0.looked_up.get(key, || self.asked(call)).await
    }

    /// Whether a schema may become the next version of a subject; measured against one of its
    /// versions, or against those that its compatibility level names.
    pub async fn check(
        &self,
        subject: &str,
        against: Option<Which>,
        schema: &Schema,
    ) -> Result<Compatibility> {
        let version = against.map(|which| format!("/{which}")).unwrap_or_default();
        let subject = encoded(subject);
        let path = format!("/compatibility/subjects/{subject}/versions{version}?verbose=true");
        self.call(post(path, schema)).await
    }

    /// Deletes a subject: its versions are no longer seen, but their ids go on working. For good
    /// (`permanent`) only what was deleted so before.
    pub async fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>> {
        let path = format!("/subjects/{}?permanent={permanent}", encoded(subject));
        let deleted = self.call(delete(path)).await;
        self.forget_subject(subject);
        deleted
    }

    /// Deletes a version, as [`delete_subject`](Self::delete_subject) deletes all.
    pub async fn delete_version(
        &self,
        subject: &str,
        which: Which,
        permanent: bool,
    ) -> Result<i32> {
        let subject_path = encoded(subject);
        let path = format!("/subjects/{subject_path}/versions/{which}?permanent={permanent}");
        let deleted = self.call(delete(path)).await;
        self.forget_subject(subject);
        deleted
    }

    // Settings of the registry.

    /// The settings of a subject, by default those of all; none: of all.
    pub async fn config(&self, subject: Option<&str>) -> Result<Config> {
        self.call(get(of_subject("/config", subject, "?defaultToGlobal=true"))).await
    }

    /// Changes settings; what is none stays.
    pub async fn set_config(&self, subject: Option<&str>, config: &Config) -> Result<()> {
        self.call(put(of_subject("/config", subject, ""), config)).await.map(|_: Value| ())
    }

    /// Changes the compatibility level.
    pub async fn set_compatibility(
        &self,
        subject: Option<&str>,
        level: CompatibilityLevel,
    ) -> Result<()> {
        let config = Config { compatibility: Some(level), ..Config::default() };
        self.set_config(subject, &config).await
    }

    /// Takes a subject's own settings away.
    pub async fn delete_config(&self, subject: &str) -> Result<()> {
        self.call(delete(of_subject("/config", Some(subject), ""))).await.map(|_: Value| ())
    }

    /// The mode of a subject, by default that of all; none: of all.
    pub async fn mode(&self, subject: Option<&str>) -> Result<Mode> {
        #[derive(Deserialize)]
        struct Answer {
            mode: Mode,
        }
        let answer: Answer =
            self.call(get(of_subject("/mode", subject, "?defaultToGlobal=true"))).await?;
        Ok(answer.mode)
    }

    /// Changes the mode. `force` does so also where the subject has schemas already.
    pub async fn set_mode(&self, subject: Option<&str>, mode: Mode, force: bool) -> Result<()> {
        let path = of_subject("/mode", subject, &format!("?force={force}"));
        self.call(put(path, &json!({ "mode": mode }))).await.map(|_: Value| ())
    }

    /// Takes a subject's own mode away.
    pub async fn delete_mode(&self, subject: &str) -> Result<()> {
        self.call(delete(of_subject("/mode", Some(subject), ""))).await.map(|_: Value| ())
    }

    /// All contexts.
    pub async fn contexts(&self) -> Result<Vec<String>> {
        self.call(get("/contexts".into())).await
    }

    async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        self.0.transport.call(call).await
    }

    /// A call that may outlive who began it.
    fn asked<T: DeserializeOwned + Send + 'static>(
        &self,
        call: Call,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        let transport = Arc::clone(&self.0.transport);
        async move { transport.call(call).await }
    }

    fn forget_subject(&self, subject: &str) {
        self.0.registered.forget(|(known, ..)| &**known == subject);
        self.0.looked_up.forget(|(known, ..)| &**known == subject);
        self.0.versions.forget(|(known, _)| &**known == subject);
        self.0.latest.forget(|known| &**known == subject);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A cache of what cannot change.
fn cache<K, V>(settings: &Settings, missing_ttl: Option<Duration>) -> Cache<K, V>
where
    K: Clone + Eq + Hash,
    V: Clone + Send + Sync + 'static,
{
    Cache::new(Recent::new(settings.cache_capacity, None), missing(settings, missing_ttl))
}

fn missing<K: Clone + Eq + Hash>(settings: &Settings, ttl: Option<Duration>) -> Recent<K, Error> {
    Recent::new(if ttl.is_some() { settings.missing_capacity } else { 0 }, ttl)
}

/// The context in a subject's name (`:.name:subject`), with its colons; empty for the default.
fn context_of(subject: &str) -> &str {
    let end = subject.strip_prefix(":.").and_then(|rest| rest.find(':'));
    end.map_or("", |end| &subject[..end + 3])
}

fn of_subject(path: &str, subject: Option<&str>, query: &str) -> String {
    match subject {
        Some(subject) => format!("{path}/{}{query}", encoded(subject)),
        None => format!("{path}{}", if query.contains("defaultToGlobal") { "" } else { query }),
    }
}

fn normalized(normalize: bool) -> &'static str {
    if normalize { "?normalize=true" } else { "" }
}

fn get(path: String) -> Call {
    Call { method: Method::GET, path, body: None }
}

fn delete(path: String) -> Call {
    Call { method: Method::DELETE, path, body: None }
}

fn post(path: String, body: &impl Serialize) -> Call {
    Call { method: Method::POST, path, body: Some(written(body)) }
}

fn put(path: String, body: &impl Serialize) -> Call {
    Call { method: Method::PUT, path, body: Some(written(body)) }
}

fn written(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("what is sent has texts as keys").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_a_part_of_names() {
        for (subject, context) in
            [("orders", ""), (":.eu:orders", ":.eu:"), (":.eu:", ":.eu:"), (":.", ""), (":x:y", "")]
        {
            assert_eq!(context_of(subject), context, "{subject}");
        }
    }
}
