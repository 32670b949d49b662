//! Keeps what a configuration's variables stand for out of a task's errors, whatever becomes of
//! them: the loops log some, and go on.

use async_trait::async_trait;
use millrace_api::data::{SinkRecords, SourceRecords};
use millrace_api::{Offsets, Result, SinkTask, SourceTask, TopicPartition};

use crate::config::redaction::Redaction;

/// A task whose errors show no values of variables.
pub(crate) struct Redacted<T: ?Sized> {
    pub(crate) task: Box<T>,
    pub(crate) redaction: Redaction,
}

#[async_trait]
impl SourceTask for Redacted<dyn SourceTask> {
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        self.task.poll().await.map_err(|e| self.redaction.error(e))
    }

    async fn commit(&mut self) -> Result<()> {
        self.task.commit().await.map_err(|e| self.redaction.error(e))
    }

    async fn stop(&mut self) -> Result<()> {
        self.task.stop().await.map_err(|e| self.redaction.error(e))
    }
}

#[async_trait]
impl SinkTask for Redacted<dyn SinkTask> {
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.task.open(partitions).await.map_err(|e| self.redaction.error(e))
    }

    async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        self.task.put(records).await.map_err(|e| self.redaction.error(e))
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        self.task.pre_commit(consumed).await.map_err(|e| self.redaction.error(e))
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.task.close(partitions).await.map_err(|e| self.redaction.error(e))
    }

    async fn stop(&mut self) -> Result<()> {
        self.task.stop().await.map_err(|e| self.redaction.error(e))
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::{Error, Props};

    use super::*;
    use crate::config::variables::Variables;

    struct Talkative;

    #[async_trait]
    impl SourceTask for Talkative {
        async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
            Err(Error::retriable("cannot reach canary"))
        }
    }

    #[async_trait]
    impl SinkTask for Talkative {
        async fn put(&mut self, _records: &[SinkRecords]) -> Result<()> {
            Err(Error::retriable("cannot reach canary"))
        }

        async fn pre_commit(&mut self, _consumed: &Offsets) -> Result<Offsets> {
            Err(Error::fatal("cannot write").with_source(Error::fatal("to canary")))
        }
    }

    #[tokio::test]
    async fn errors_of_tasks_show_no_values_and_stay_what_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "k=canary\n").unwrap();
        let class = "org.apache.kafka.common.config.provider.FileConfigProvider";
        let worker = [("config.providers", "f"), ("config.providers.f.class", class)];
        let worker: Props = worker.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let raw = Props::from([("u".to_owned(), format!("${{f:{}:k}}", file.path().display()))]);
        let redaction = Variables::new(&worker).unwrap().resolve(&raw).unwrap().redaction;

        let task: Box<dyn SourceTask> = Box::new(Talkative);
        let error = Redacted { task, redaction: redaction.clone() }.poll().await.unwrap_err();
        assert!(error.is_retriable() && !error.trace().contains("canary"), "{error}");
        let task: Box<dyn SinkTask> = Box::new(Talkative);
        let mut task = Redacted { task, redaction };
        let error = task.put(&[]).await.unwrap_err();
        assert!(error.is_retriable() && !error.trace().contains("canary"), "{error}");
        let error = task.pre_commit(&Offsets::new()).await.unwrap_err();
        assert!(!error.trace().contains("canary"), "{}", error.trace());
    }
}
