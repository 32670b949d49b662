//! Decides which of our Kafka clients a test drives: every one that is built in, unless the
//! environment names some.

use millrace_kafka::{Cluster, Properties, connect};
use std::fmt;
use std::sync::Arc;

/// Names the clients that tests drive, with commas between; all when it is absent.
pub const VARIABLE: &str = "MILLRACE_TEST_CLIENTS";

/// A client: a value of the property `kafka.client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Our own.
    Native,
    /// librdkafka behind the same trait.
    Librdkafka,
}

impl Client {
    /// The clients that tests drive.
    pub fn all() -> Vec<Self> {
        let all = [Self::Native, Self::Librdkafka];
        let Ok(wanted) = std::env::var(VARIABLE) else {
            return all.to_vec();
        };
        let known = |name: &str| {
            let both = [Self::Native, Self::Librdkafka];
            let found = both.into_iter().find(|client| client.name() == name.trim());
            found.unwrap_or_else(|| panic!("{VARIABLE}: {name} is neither native nor librdkafka"))
        };
        wanted.split(',').map(known).collect()
    }

    /// Whether tests drive this one.
    pub fn is_wanted(self) -> bool {
        Self::all().contains(&self)
    }

    /// The one for tests in which the client makes no difference.
    pub fn any() -> Self {
        Self::all().into_iter().next().expect("the environment names at least one")
    }

    /// The value of `kafka.client`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Librdkafka => "librdkafka",
        }
    }

    /// These properties, and the choice of this client.
    pub fn properties(self, pairs: &[(&str, &str)]) -> Properties {
        let mut properties: Properties =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        properties.insert("kafka.client".to_owned(), self.name().to_owned());
        properties
    }

    /// A cluster, reached by this client.
    pub fn connect(self, bootstrap: &str, more: &[(&str, &str)]) -> Arc<dyn Cluster> {
        let mut properties = self.properties(more);
        properties.insert("bootstrap.servers".to_owned(), bootstrap.to_owned());
        connect(&properties)
            .unwrap_or_else(|error| panic!("{self} takes the properties: {}", error.trace()))
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
