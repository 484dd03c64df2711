//! `ApiVersions`: what is spoken.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};

/// The answer, and the version to write it in: the first one for a client that is ahead of us.
pub fn answer(version: i16) -> (ApiVersionsResponse, i16) {
    let keys = super::versions().map(|(key, from, to)| {
        // librdkafka compresses for brokers only that claim to know the oldest version.
        let from = if key == ApiKey::Produce { 0 } else { from };
        ApiVersion::default()
            .with_api_key(key as i16)
            .with_min_version(from)
            .with_max_version(to)
    });
    let answer = ApiVersionsResponse::default().with_api_keys(keys.collect());
    match super::speaks(ApiKey::ApiVersions, version) {
        true => (answer, version),
        false => (
            answer.with_error_code(ResponseError::UnsupportedVersion.code()),
            0,
        ),
    }
}
