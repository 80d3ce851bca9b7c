//! ApiVersions: what is served, read off THE table. The first request of nearly every client.
//!
//! An unknown version is answered in v0 with UNSUPPORTED_VERSION and our own range (KIP-511), so that the
//! client asks again. Produce is advertised from version 0 although 0 to 2 are refused: older librdkafka
//! switches compression off otherwise (KAFKA-18659). No finalized feature is reported that clients would act
//! on and we lack: without transaction.version 2 they use the older transaction protocol, without keys 71 and
//! 72 they send no telemetry. Kafka: ApiVersionsRequest, ApiVersionManager.

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::answer::encode_answer_in;
use super::{Outcome, Refusal, RequestContext, SERVED};

pub async fn handle(
    context: &RequestContext,
    request: ApiVersionsRequest<'_>,
) -> ApiVersionsResponse<'static> {
    let names = [&request.client_software_name, &request.client_software_version];
    if context.api_version >= 3 && !names.into_iter().all(|name| is_valid_software(name)) {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        };
    }
    let image = context.broker.metadata.image();
    let finalized =
        image.features().iter().filter(|(name, _)| SUPPORTED_FEATURES.iter().any(|row| row.0 == **name));
    let finalized_features: Vec<FinalizedFeatureKey<'static>> = finalized
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.clone().into(),
            max_version_level: *level,
            min_version_level: *level,
        })
        .collect();
    ApiVersionsResponse {
        api_keys: advertised(),
        supported_features: SUPPORTED_FEATURES.iter().map(supported_feature).collect(),
        // -1 = nothing is finalized.
        finalized_features_epoch: if finalized_features.is_empty() { -1 } else { image.last_broker_epoch() },
        finalized_features,
        ..ApiVersionsResponse::default()
    }
}

/// Feature, lowest and highest level. `metadata.version` 30 is Kafka 4.3.
const SUPPORTED_FEATURES: &[(&str, i16, i16)] = &[("metadata.version", 30, 30)];

fn supported_feature(
    &(name, min_version, max_version): &(&'static str, i16, i16),
) -> SupportedFeatureKey<'static> {
    SupportedFeatureKey { name: name.into(), min_version, max_version }
}

/// The answer to a version that we do not know, in the version that every client reads.
pub fn unsupported_version(context: &RequestContext) -> Result<Outcome, Refusal> {
    let own = advertised().into_iter().filter(|row| row.api_key == ApiKey::ApiVersions.key()).collect();
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: own,
        ..ApiVersionsResponse::default()
    };
    encode_answer_in(context, &response, 0, Vec::new())
}

fn advertised() -> Vec<ApiVersion> {
    let mut rows: Vec<ApiVersion> = SERVED
        .iter()
        .map(|row| ApiVersion {
            api_key: row.key.key(),
            min_version: if row.key == ApiKey::Produce { 0 } else { row.min_version },
            max_version: row.max_version,
        })
        .collect();
    rows.sort_by_key(|row| row.api_key);
    rows
}

/// Kafka's pattern: letters and digits, with `-` and `.` inside.
fn is_valid_software(name: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(is_end)
        && name.ends_with(is_end)
        && name.chars().all(|c| is_end(c) || matches!(c, '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn produce_is_advertised_from_zero_and_rows_come_in_key_order() {
        let rows = advertised();
        assert!(rows.is_sorted_by_key(|row| row.api_key));
        assert_eq!((rows[0].api_key, rows[0].min_version), (0, 0));
        assert!(!rows.iter().any(|row| matches!(row.api_key, 71 | 72)));
    }

    #[test]
    fn a_software_name_follows_kafkas_pattern() {
        for name in ["kcat", "apache-kafka-java", "4.3.1", "a"] {
            assert!(is_valid_software(name), "{name}");
        }
        for name in ["", "-a", "a-", "a b", "a/b", "é"] {
            assert!(!is_valid_software(name), "{name}");
        }
    }
}
