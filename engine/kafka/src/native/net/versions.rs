//! Decides which version of an API a client and its broker speak (KIP-35, KIP-511, KIP-584).

use std::collections::BTreeMap;

use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::{Message, Request};

use crate::native::error::{Failure, FailureKind};

/// What a broker said it speaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiVersions {
    /// From and to, by API key.
    apis: BTreeMap<i16, (i16, i16)>,
    /// The finalized features and their levels, such as `transaction.version`.
    features: BTreeMap<String, i16>,
}

impl ApiVersions {
    pub(crate) fn new(answer: &ApiVersionsResponse) -> Self {
        let apis = answer.api_keys.iter();
        let apis = apis.map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        let features = answer.finalized_features.iter();
        let features = features.map(|one| (one.name.to_string(), one.max_version_level)).collect();
        Self { apis, features }
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

    /// The finalized level of a feature; 0 when it is off.
    pub(crate) fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::ApiVersion;
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
}
