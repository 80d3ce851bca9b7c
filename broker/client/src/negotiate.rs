//! Which version of an API both sides speak (KIP-35, KIP-511).
//!
//! The first exchange on a connection is ApiVersions; from its answer the highest version common to the broker
//! and to our generated messages is chosen per API. A broker too old for our ApiVersions version answers in
//! version 0 with UNSUPPORTED_VERSION and its own range, and is asked again. Called by `connection.rs` only.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::api_versions::ApiVersionsResponse;
use logspine_protocol::wire::Message;

/// The version ranges that one broker serves.
#[derive(Debug, Default)]
pub(crate) struct ServedVersions(BTreeMap<i16, RangeInclusive<i16>>);

impl ServedVersions {
    pub(crate) fn from_response(response: &ApiVersionsResponse<'_>) -> Self {
        Self(response.api_keys.iter().map(|api| (api.api_key, api.min_version..=api.max_version)).collect())
    }

    /// What the broker said about this API, in words.
    pub(crate) fn describe(&self, api_key: i16) -> String {
        match self.0.get(&api_key) {
            Some(range) => format!("{} to {}", range.start(), range.end()),
            None => "none".to_owned(),
        }
    }

    /// The highest version of `M` that both sides speak and that is not above `cap`.
    pub(crate) fn pick<'a, M: Message<'a>>(&self, cap: i16) -> Option<i16> {
        let served = self.0.get(&M::API_KEY)?;
        let version = highest_stable::<M>().min(cap).min(*served.end());
        (version >= M::MIN_VERSION && version >= *served.start()).then_some(version)
    }
}

/// The newest version of a message that Kafka calls stable: one marked unstable may still change its meaning.
pub(crate) fn highest_stable<'a, M: Message<'a>>() -> i16 {
    ApiKey::from_i16(M::API_KEY)
        .map_or(M::MAX_VERSION, |key| (*key.stable_versions().end()).min(M::MAX_VERSION))
}

#[cfg(test)]
mod tests {
    use logspine_protocol::messages::init_producer_id::InitProducerIdRequest;
    use logspine_protocol::messages::metadata::MetadataRequest;

    use super::*;

    fn served(key: i16, range: RangeInclusive<i16>) -> ServedVersions {
        ServedVersions(BTreeMap::from([(key, range)]))
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        assert_eq!(served(3, 0..=9).pick::<MetadataRequest<'_>>(i16::MAX), Some(9));
        assert_eq!(served(3, 0..=99).pick::<MetadataRequest<'_>>(i16::MAX), Some(13));
        assert_eq!(served(3, 0..=99).pick::<MetadataRequest<'_>>(12), Some(12));
    }

    #[test]
    fn ranges_that_do_not_meet_have_no_version() {
        assert_eq!(served(3, 14..=20).pick::<MetadataRequest<'_>>(i16::MAX), None);
        assert_eq!(served(1, 0..=20).pick::<MetadataRequest<'_>>(i16::MAX), None);
    }

    #[test]
    fn a_version_that_kafka_calls_unstable_is_never_sent() {
        assert_eq!(served(22, 0..=6).pick::<InitProducerIdRequest<'_>>(i16::MAX), Some(5));
    }
}
