//! Decides which version of an API a client and its broker speak (KIP-35, KIP-511), and which
//! features the cluster has (KIP-584).

use std::collections::BTreeMap;

use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::{Message, Request};

use crate::native::error::{Failure, FailureKind};

/// What a broker said it speaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiVersions {
    /// From and to, by API key.
    apis: BTreeMap<i16, (i16, i16)>,
    features: Features,
}

/// The finalized features of a cluster, as one broker knows them.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// Greater the more the broker knew; -1 when it has just started and knew nothing.
    epoch: i64,
    /// By name, such as `transaction.version`.
    levels: BTreeMap<String, i16>,
}

impl Default for Features {
    fn default() -> Self {
        Self { epoch: -1, levels: BTreeMap::new() }
    }
}

impl Features {
    /// Takes over what a broker knows, unless another has known more.
    pub(crate) fn learn(&mut self, other: &Self) {
        if other.epoch > self.epoch {
            self.clone_from(other);
        }
    }

    /// The level of a feature; 0 when it is off.
    pub(crate) fn level(&self, name: &str) -> i16 {
        self.levels.get(name).copied().unwrap_or(0)
    }
}

impl ApiVersions {
    pub(crate) fn new(answer: &ApiVersionsResponse) -> Self {
        let apis = answer.api_keys.iter();
        let apis = apis.map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        let levels = answer.finalized_features.iter();
        let levels = levels.map(|one| (one.name.to_string(), one.max_version_level)).collect();
        Self { apis, features: Features { epoch: answer.finalized_features_epoch, levels } }
    }

    /// The newest version of a request that both sides know.
    pub(crate) fn of<R: Request>(&self) -> Result<i16, Failure> {
        let ours = <R as Message>::VERSIONS;
        let name =
            ApiKey::try_from(R::KEY).map_or_else(|_| R::KEY.to_string(), |k| format!("{k:?}"));
        let Some((least, most)) = self.apis.get(&R::KEY) else {
            let remedy = match ApiKey::try_from(R::KEY) {
                Ok(ApiKey::ConsumerGroupHeartbeat) => {
                    "group.protocol=consumer needs Kafka 4.0 or newer; set group.protocol=classic"
                }
                Ok(ApiKey::SaslHandshake) => "it takes no SASL on this port: see security.protocol",
                _ => "Kafka 2.1 or newer is needed",
            };
            let why = format!("it does not know {name} requests: {remedy}");
            return Err(Failure::new(FailureKind::Unsupported, why));
        };
        let version = ours.max.min(*most);
        if version < ours.min.max(*least) {
            let why = format!(
                "it speaks {name} in versions {least} to {most}, and we in {} to {}",
                ours.min, ours.max
            );
            return Err(Failure::new(FailureKind::Unsupported, why));
        }
        Ok(version)
    }

    /// Whether it knows an API at all.
    pub(crate) fn has<R: Request>(&self) -> bool {
        self.of::<R>().is_ok()
    }

    /// What it knew of the cluster's features.
    pub(crate) fn features(&self) -> &Features {
        &self.features
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
    use kafka_protocol::messages::{FetchRequest, ProduceRequest};

    use super::*;

    #[test]
    fn the_newest_common_version_is_used() {
        let api = |key: i16, min, max| {
            ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
        };
        let answer = ApiVersionsResponse::default().with_api_keys(vec![
            api(0, 0, 9),
            api(1, 90, 99),
            api(3, 0, 99),
        ]);
        let versions = ApiVersions::new(&answer);
        assert_eq!(versions.of::<ProduceRequest>().unwrap(), 9);
        let error = versions.of::<FetchRequest>().unwrap_err();
        assert_eq!(error.kind(), FailureKind::Unsupported);
        assert!(error.to_string().contains("Fetch in versions 90 to 99"), "{error}");
        assert!(!versions.has::<kafka_protocol::messages::EndTxnRequest>());
    }

    #[test]
    fn a_broker_that_has_just_started_takes_no_feature_away() {
        let knows = |epoch, level: i16| {
            let feature = FinalizedFeatureKey::default()
                .with_name("transaction.version".into())
                .with_max_version_level(level);
            let answer = ApiVersionsResponse::default()
                .with_finalized_features_epoch(epoch)
                .with_finalized_features(vec![feature]);
            ApiVersions::new(&answer)
        };
        let mut features = Features::default();
        for (broker, expected) in [
            (ApiVersions::new(&ApiVersionsResponse::default()), 0),
            (knows(90, 2), 2),
            (ApiVersions::new(&ApiVersionsResponse::default()), 2),
            (knows(40, 1), 2),
            (knows(91, 1), 1),
        ] {
            features.learn(broker.features());
            assert_eq!(features.level("transaction.version"), expected, "{broker:?}");
        }
    }
}
