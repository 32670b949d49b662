//! Commands that meet each other, and plugins that do not answer.

use std::time::Duration;

use millrace_api::ErrorKind;
use millrace_runtime::{Herder, State};
use tokio::time::timeout;

use crate::fixture::{Fixture, props, until};
use crate::plugins::{Fault, lock, shared};

fn config(name: &str) -> millrace_api::Props {
    props(&[("name", name), ("connector.class", "CountingSource"), ("topic", name)])
}

/// One of two deletions comes second: it must not take the connector along that was made after the
/// first.
#[tokio::test]
async fn a_deletion_deletes_what_it_met() {
    let fixture = Fixture::start().await;
    fixture.source("met", "met", 5, &[]).await;
    let worker = fixture.worker();
    let replace = async || {
        worker.delete_connector("met").await?;
        worker.put_connector("met", config("met"), None, false).await
    };
    let (one, other) = tokio::join!(replace(), replace());
    assert!(one.is_ok() != other.is_ok(), "one of both deletes it");
    let refused = one.and(other).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    fixture.wait_for_task("met", 0, State::Running).await;
}

#[tokio::test]
async fn a_connector_that_never_starts_can_be_deleted() {
    let fixture = Fixture::start().await;
    lock(&shared("unborn")).faults.insert("connector", (1, Fault::Hang));
    let worker = fixture.worker();
    let created = worker.put_connector("unborn", config("unborn"), None, false);
    let delete = async {
        let hangs = || lock(&shared("unborn")).faults["connector"].0 == 0;
        until("the connector to hang", async || hangs()).await;
        worker.delete_connector("unborn").await
    };
    let both = timeout(Duration::from_secs(10), async { tokio::join!(created, delete) });
    let (created, deleted) = both.await.expect("both are answered");
    assert!(created.is_err());
    deleted.unwrap();
    worker.put_connector("unborn", config("unborn"), None, false).await.unwrap();
    fixture.wait_for_task("unborn", 0, State::Running).await;
}
