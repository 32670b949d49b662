//! Which release of Kafka Connect this worker says that it is.

/// The release of Apache Kafka whose Connect this worker behaves like. Tools read it to know what
/// they may ask for.
pub(crate) const KAFKA_VERSION: &str = "4.3.1";

/// Java's is a commit of Kafka; ours says which program answers.
pub(crate) const COMMIT: &str = concat!("millrace-", env!("CARGO_PKG_VERSION"));
