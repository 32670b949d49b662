//! Decides how ids of topics, and of the cluster, are made and written: 128 bits in 22 characters,
//! as Kafka's `Uuid`.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Distinguishes a topic from one that had its name before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicId(pub(super) Uuid);

impl TopicId {
    pub(super) fn random() -> Self {
        // Each state is seeded by the operating system's randomness.
        let random = || u128::from(RandomState::new().build_hasher().finish());
        let bits = random() << 64 | random();
        Self(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl Serialize for TopicId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(&text).map_err(de::Error::custom)?;
        let uuid = Uuid::from_slice(&bytes).map_err(de::Error::custom)?;
        Ok(Self(uuid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_22_characters_and_reads_as_it_was_written() {
        let id = TopicId::random();
        assert_eq!(id.to_string().len(), 22);
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<TopicId>(&text).unwrap(), id);
        assert_ne!(id, TopicId::random());
    }
}
